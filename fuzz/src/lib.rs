//! What the fuzz targets do, one module a boundary that input crosses. A target must
//! come back: no panic, no hang, no memory without bound, whatever the bytes.
//!
//! * [`loader`]: files given to `isoform run`.
//! * [`packages`]: `.deb` packages and what they are packed with.
//! * [`archive`]: an archive's text files, apt's configuration, kernel modules.
//! * [`hart`]: the saved state of a hart, and what runs on it then.
//! * [`devices`]: register accesses, queues in memory and saved states, on a whole
//!   board.
//! * [`code`]: decoder, disassembler and interpreter on any bytes.

pub mod archive;
pub mod code;
pub mod devices;
pub mod hart;
pub mod input;
pub mod loader;
pub mod packages;
mod rig;

#[cfg(test)]
mod tests {
    /// A target by name.
    type Target = (&'static str, fn(&[u8]));

    const TARGETS: &[Target] = &[
        ("loader", crate::loader::run),
        ("packages", crate::packages::run),
        ("archive", crate::archive::run),
        ("hart", crate::hart::run),
        ("devices", crate::devices::run),
        ("code", crate::code::run),
    ];

    /// Every target comes back from a few inputs of every length. (xorshift64)
    #[test]
    fn targets_come_back() {
        for (name, target) in TARGETS {
            println!("{name}");
            let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
            for length in (0..64).chain([100, 500, 2000, 5000]) {
                let mut next = || {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed as u8
                };
                let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
                target(&bytes);
            }
        }
    }

    /// Each module has its target in the manifest, and the other way round.
    #[test]
    fn every_target_is_built() {
        let manifest = include_str!("../Cargo.toml");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
