//! x86-64: a jump is an opcode and a distance of 32 bits from its end.
//!
//! It changes by one store where the distance does not cross 8 bytes, which the processor
//! fetches whole; where the compiler put it across, the jump goes by a stub behind the
//! unit that has it in place.

pub(crate) mod assembler;

use super::Changeable;

/// What level 3 of the psABI has beyond the first processors, with AVX2, BMI and FMA.
pub(super) const COMMON: &[&str] = &[
    "has_cmpxchg16b",
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];

/// What the baseline compiler counts bits with.
pub(super) const COUNTS: &[&str] = &["has_lzcnt", "has_bmi1", "has_popcnt"];

/// Bytes of a distance.
const DISTANCE: usize = 4;
/// What the processor fetches whole.
const WHOLE: usize = 8;
/// Three bytes that do nothing, and the opcode of a jump by a distance.
const STUB: [u8; 4] = [0x0f, 0x1f, 0x00, 0xe9];
/// Where in the stub the jump begins.
const JUMP: usize = 3;

/// The distance at `at` of a jump to `to`.
pub(super) fn distance(at: usize, to: usize) -> Option<[u8; DISTANCE]> {
    let from = at.wrapping_add(DISTANCE);
    let distance = i32::try_from(to.wrapping_sub(from) as isize).ok()?;
    Some(distance.to_le_bytes())
}

/// See [`super::Distance::prepare`].
pub(super) fn prepare(
    code: &mut Vec<u8>,
    base: usize,
    offset: usize,
    target: usize,
) -> Option<Changeable> {
    let ready = |at| Changeable { at, home: target };
    if offset % WHOLE <= WHOLE - DISTANCE {
        let bytes = distance(base + offset, target)?;
        code.get_mut(offset..offset + DISTANCE)?
            .copy_from_slice(&bytes);
        return Some(ready(base + offset));
    }
    code.resize(code.len().next_multiple_of(WHOLE), 0xcc);
    let stub = code.len();
    code.extend(STUB);
    let at = base + code.len();
    code.extend(distance(at, target)?);
    let bytes = distance(base + offset, base + stub + JUMP)?;
    code.get_mut(offset..offset + DISTANCE)?
        .copy_from_slice(&bytes);
    Some(ready(at))
}

#[cfg(test)]
mod tests {
    use super::super::Distance;
    use super::*;

    fn leads_to(code: &[u8], base: usize, at: usize) -> usize {
        let bytes = code[at - base..at - base + 4].try_into().expect("4 bytes");
        (at + 4).wrapping_add(i32::from_le_bytes(bytes) as usize)
    }

    #[test]
    fn jumps_lead_to_their_targets_wherever_they_lie() {
        let base = 0x1_0000;
        for offset in 0..16 {
            let mut code = vec![0x90; 21];
            let Changeable { at, home } = prepare(&mut code, base, offset, 0x8000).expect("near");
            assert!(at % WHOLE <= WHOLE - DISTANCE, "changed by one store");
            assert_eq!((leads_to(&code, base, at), home), (0x8000, 0x8000));
            let first = leads_to(&code, base, base + offset);
            if at == base + offset {
                assert_eq!(code.len(), 21);
            } else {
                assert_eq!(code[first - base], 0xe9);
                assert_eq!(first + 1, at);
            }
        }
    }

    #[test]
    fn distances_are_written_where_they_fit() {
        let mut code = [0x90; 6];
        assert_eq!(Distance::Bytes4.write(&mut code, 1, -2), Some(()));
        assert_eq!(code, [0x90, 0xfe, 0xff, 0xff, 0xff, 0x90]);
        assert_eq!(Distance::Bytes4.write(&mut code, 3, 0), None);
        assert_eq!(Distance::Bytes4.write(&mut code, 0, 1 << 31), None);
    }
}
