//! A short sample of the fuzzing that `cargo xtask soak` does at length: every target
//! of `fuzz/` comes back from pseudo-random bytes. `ISOFORM_SEEDS` says how many
//! streams of them.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Streams of bytes for each target, unless `ISOFORM_SEEDS` says otherwise.
const SEEDS: u64 = 4;

fn seeds() -> u64 {
    let asked = std::env::var("ISOFORM_SEEDS").ok();
    asked.map_or(SEEDS, |n| n.parse().expect("ISOFORM_SEEDS is a number"))
}

/// Inputs of many lengths; a panic names its seed.
fn target(name: &str) {
    let (_, run) = isoform_fuzz::TARGETS
        .iter()
        .find(|(of, _)| *of == name)
        .expect("a target of that name");
    for seed in 0..seeds() {
        println!("{name}: seed {seed}");
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        for length in (0..64).chain([100, 300, 1000, 3000, 9000]) {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            run(&bytes);
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
