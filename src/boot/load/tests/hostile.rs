//! Files that lie. Nothing here may panic, hang or take memory without bound.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// One of each form, small.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(make_samples)
}

fn make_samples() -> Vec<Vec<u8>> {
    let mut program = elf(vec![
        load_at(BASE, &[0x13; 48]),
        load_at(BASE + 0x1000, b"data"),
    ]);
    program.symbols = vec![("tohost", BASE + 8), ("fromhost", BASE + 16)];
    let kernel = image(0x20_0000, 0x1_0000, 700);
    let mut vmlinux = elf(vec![load_at(0, &kernel)]);
    vmlinux.kind = 3;
    vmlinux.entry = 0;
    vec![
        program.bytes(),
        vmlinux.bytes(),
        kernel.clone(),
        gzip(&kernel),
        zstd(&kernel),
        xz(&kernel),
        zboot(b"gzip\0", &gzip(&kernel)),
        zboot(b"zstd22\0", &zstd(&kernel)),
    ]
}

#[test]
fn cut_off_at_every_length() {
    for whole in samples() {
        let end = exercise(whole).expect("a good file").extent.end;
        for len in 0..whole.len() {
            match exercise(&whole[..len]) {
                // An Image does not say how long its file is, and what follows a
                // zboot payload or the last section header is not needed.
                Ok(entry) => assert!(entry.extent.end <= end),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn a_cut_elf_or_packed_kernel_is_an_error() {
    let samples = samples();
    for whole in [&samples[0], &samples[3], &samples[4], &samples[5]] {
        for len in 0..whole.len() {
            assert!(exercise(&whole[..len]).is_err(), "{len} of {}", whole.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Bytes changed here and there.
    #[test]
    fn changed_at_random(
        which in 0..8_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = samples()[which].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = exercise(&bytes);
    }

    /// Whole fields of an ELF's headers replaced by values at the edges.
    #[test]
    fn headers_with_extreme_fields(
        fields in prop::collection::vec((0..24_usize, prop::sample::select(&[
            0_u64, 1, 63, 64, 0xffff, 1 << 31, 1 << 32, 1 << 62, 1 << 63, BASE, BASE + 64,
            u64::MAX, u64::MAX - 1, u64::MAX - 4095,
        ][..])), 1..4),
    ) {
        let mut bytes = samples()[0].clone();
        for (field, value) in fields {
            put(&mut bytes, 16 + 8 * field, &value.to_le_bytes());
        }
        let _ = exercise(&bytes);
    }

    /// No form at all, behind each magic number.
    #[test]
    fn noise_behind_a_magic_number(
        which in 0..6_usize,
        noise in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let magic: &[u8] = [
            &b"\x7fELF\x02\x01\x01"[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"MZ\0\0zimg", b"",
        ][which];
        let _ = exercise(&[magic, &noise].concat());
    }
}
