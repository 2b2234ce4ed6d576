//! A short sample of the fuzzing that `cargo xtask soak` does at length. Every target of
//! `fuzz/` comes back from the inputs kept in `fuzz/seeds`, which reached what others did
//! not, and from pseudo-random ones: bytes without sense, and kept inputs with changes.
//!
//! `ISOFORM_SEEDS` says how many streams of these there are at least, and
//! `ISOFORM_FUZZ_SECONDS` for how long there are more.

use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Streams of bytes for each target, unless `ISOFORM_SEEDS` says otherwise.
const SEEDS: u64 = 4;

fn number(variable: &str) -> Option<u64> {
    let asked = std::env::var(variable).ok()?;
    Some(asked.parse().expect("a number"))
}

/// What a target is told to begin with, in the order of names.
fn begun_with(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = std::fs::read_dir(folder.join(name)).expect("each target has seeds");
    let mut paths: Vec<_> = entries.map(|e| e.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no seeds");
    let read = |path| std::fs::read(path).expect("readable");
    paths.into_iter().map(read).collect()
}

/// One of the inputs, with some bytes changed and perhaps the end of another.
fn changed(inputs: &[Vec<u8>], random: &mut ChaCha12Rng) -> Vec<u8> {
    let mut below = |bound: usize| random.next_u64() as usize % bound.max(1);
    let mut bytes = inputs[below(inputs.len())].clone();
    if below(4) == 0 {
        let other = &inputs[below(inputs.len())];
        bytes.truncate(below(bytes.len()));
        bytes.extend_from_slice(&other[below(other.len())..]);
    }
    for _ in 0..below(8) {
        let (at, value) = (below(bytes.len()), below(256) as u8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
    }
    bytes
}

/// Inputs of many lengths; a panic names its input or its seed.
fn target(name: &str) {
    let (_, run) = isoform_fuzz::TARGETS
        .iter()
        .find(|(of, _)| *of == name)
        .expect("a target of that name");
    let kept = begun_with(name);
    for (at, bytes) in kept.iter().enumerate() {
        println!("{name}: kept input {at}");
        run(bytes);
    }
    let seeds = number("ISOFORM_SEEDS").unwrap_or(SEEDS);
    let time = Duration::from_secs(number("ISOFORM_FUZZ_SECONDS").unwrap_or(0));
    let begun = Instant::now();
    for seed in (0..).take_while(|seed| *seed < seeds || begun.elapsed() < time) {
        println!("{name}: seed {seed}");
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        for length in (0..64).chain([100, 300, 1000, 3000, 9000]) {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            run(&bytes);
            run(&changed(&kept, &mut random));
        }
    }
}

#[test]
fn loader() {
    target("loader");
}

#[test]
fn bootdisk() {
    target("bootdisk");
}

#[test]
fn packages() {
    target("packages");
}

#[test]
fn archive() {
    target("archive");
}

#[test]
fn hart() {
    target("hart");
}

#[test]
fn devices() {
    target("devices");
}

#[test]
fn forms() {
    target("forms");
}

#[test]
fn share() {
    target("share");
}

#[test]
fn kept() {
    target("kept");
}

#[test]
fn disk() {
    target("disk");
}

#[test]
fn code() {
    target("code");
}

#[test]
fn nat() {
    target("nat");
}

#[test]
fn nvme() {
    target("nvme");
}

#[test]
fn pci() {
    target("pci");
}

#[test]
fn vsock() {
    target("vsock");
}

/// Each target has its test above, its program and its place in the manifest.
#[test]
fn every_target_is_built_and_tested() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect(name);
    let (manifest, tests) = (read("fuzz/Cargo.toml"), read("tests/fuzz.rs"));
    for (name, _) in isoform_fuzz::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(tests.contains(&format!("target(\"{name}\");")), "{name}");
        let program = read(&format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(
            program.contains(&format!("isoform_fuzz::{name}::run")),
            "{name}"
        );
    }
    assert_eq!(
        manifest.matches("[[bin]]").count(),
        isoform_fuzz::TARGETS.len()
    );
}
