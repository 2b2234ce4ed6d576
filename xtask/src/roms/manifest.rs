//! `test-roms/roms.toml`: which guest programs there are, how each is built, what
//! machine it needs and what verdict it gives.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The whole list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// First line of `gcc --version` of the compiler that built the committed ELFs.
    pub(super) compiler: String,
    /// QEMU's `-cpu` argument that has everything the programs ask for.
    pub(super) qemu_cpu: String,
    /// The programs, in the order in which they are worth running.
    #[serde(rename = "rom")]
    pub(super) roms: Vec<Rom>,
    /// Programs of kind [`Kind::Linux`], apart so that whoever runs all of `roms` need
    /// not know them; [`Manifest::read`] puts them behind those.
    #[serde(rename = "program", default)]
    programs: Vec<Rom>,
}

/// One guest program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rom {
    /// File name without `.elf`.
    pub(super) name: String,
    /// What it tests or shows, in a line.
    pub(super) about: String,
    /// What kind of program it is.
    pub(super) kind: Kind,
    /// Sources, relative to `test-roms`.
    pub(super) sources: Vec<String>,
    /// GCC's `-march`.
    pub(super) march: String,
    /// GCC's `-mabi`. Tests handle FP registers in assembly, and C code in them must
    /// not depend on an FPU.
    #[serde(default = "integers_only")]
    pub(super) abi: String,
    /// Further compiler arguments, `-D…` mostly.
    #[serde(default)]
    pub(super) flags: Vec<String>,
    /// Linker script, relative to `test-roms`.
    #[serde(default = "link_script")]
    pub(super) link: String,
    /// Number of harts it needs.
    #[serde(default = "one")]
    pub(super) harts: u32,
    /// Which boards it runs on.
    #[serde(default)]
    pub(super) machine: Machine,
    /// The clock (`--clock`) that its verdict depends on; runs under any by default.
    pub(super) clock: Option<String>,
    /// Its exit status: 0, or the number of the test that is meant to fail.
    #[serde(default)]
    pub(super) exit: u32,
    /// Where QEMU gives another exit status: that status. `why` says why.
    pub(super) qemu_exit: Option<u32>,
    /// Harts to give it on QEMU, where that matters to QEMU only.
    pub(super) qemu_harts: Option<u32>,
    /// Further arguments for QEMU.
    #[serde(default)]
    pub(super) qemu_args: Vec<String>,
    /// What to add to `qemu_cpu` for this program.
    #[serde(default)]
    pub(super) qemu_cpu: String,
    /// Why QEMU's verdict differs from ours, with the specification's section.
    pub(super) why: Option<String>,
}

/// What a program is for, and so who runs it.
#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Runs to a verdict by itself.
    Test,
    /// Runs to a verdict after much work.
    Bench,
    /// Never comes to a verdict, on purpose; whoever runs it must survive it.
    Endless,
    /// Talks with a person; has no verdict.
    Interactive,
    /// A program for Linux, no bare one.
    Linux,
}

/// The boards a program runs on.
#[derive(Deserialize, Default, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Machine {
    /// Any board with RAM at 0x80000000 and either HTIF or the test finisher.
    #[default]
    Any,
    /// `virt`: it uses that board's devices.
    Virt,
}

fn one() -> u32 {
    1
}

fn integers_only() -> String {
    "lp64".to_owned()
}

fn link_script() -> String {
    "rt/link.ld".to_owned()
}

impl Manifest {
    /// Read and check the list at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let mut manifest: Self =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        for rom in &manifest.programs {
            ensure!(rom.kind == Kind::Linux, "{}: not of kind linux", rom.name);
        }
        manifest.roms.append(&mut manifest.programs);
        for rom in &manifest.roms {
            ensure!(
                rom.qemu_exit.is_none() || rom.why.is_some(),
                "{}: qemu_exit without a why",
                rom.name
            );
        }
        Ok(manifest)
    }
}

impl Rom {
    /// The name of the built file.
    pub(super) fn file(&self) -> String {
        format!("{}.elf", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn list() -> (std::path::PathBuf, Manifest) {
        let folder = crate::repository().join("test-roms");
        let manifest = Manifest::read(&folder.join("roms.toml")).expect("the list can be read");
        (folder, manifest)
    }

    /// Every program has its own name, its sources and a committed ELF.
    #[test]
    fn programs_are_complete() {
        let (folder, manifest) = list();
        let mut names = BTreeSet::new();
        for rom in &manifest.roms {
            assert!(names.insert(&rom.name), "{} is listed twice", rom.name);
            let elf = std::fs::read(folder.join("bin").join(rom.file())).expect(&rom.name);
            assert!(elf.starts_with(b"\x7fELF"), "{} is no ELF", rom.name);
            for source in rom.sources.iter().chain([&rom.link]) {
                assert!(folder.join(source).is_file(), "{}: no {source}", rom.name);
            }
        }
    }

    /// No ELF and no source lies about that no program accounts for.
    #[test]
    fn nothing_is_left_over() {
        let (folder, manifest) = list();
        let mut known: BTreeSet<_> = manifest
            .roms
            .iter()
            .flat_map(|rom| rom.sources.iter().cloned())
            .collect();
        known.extend(
            manifest
                .roms
                .iter()
                .map(|rom| format!("bin/{}", rom.file())),
        );
        for room in [
            "bin", "rt", "isa", "priv", "smp", "dev", "bench", "hello", "user",
        ] {
            for entry in std::fs::read_dir(folder.join(room)).expect(room) {
                let name = entry
                    .expect(room)
                    .file_name()
                    .into_string()
                    .expect("a plain name");
                let built_from = name.ends_with(".h") || name.ends_with(".ld");
                assert!(
                    built_from || known.contains(&format!("{room}/{name}")),
                    "nothing uses test-roms/{room}/{name}"
                );
            }
        }
    }

    /// The README's tables name every program, and every deviation with its reason.
    #[test]
    fn the_readme_keeps_up() {
        let (folder, manifest) = list();
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("README.md");
        for rom in &manifest.roms {
            let row = format!("| `{}` | {} |", rom.name, rom.harts);
            assert!(readme.contains(&row), "no row {row:?} in the README");
            if let (Some(status), Some(why)) = (rom.qemu_exit, &rom.why) {
                let row = format!("| `{}` | {status} | {why} |", rom.name);
                assert!(readme.contains(&row), "no row {row:?} in the README");
            }
        }
    }

    /// A deviation of QEMU's must be explained.
    #[test]
    fn a_deviation_needs_a_reason() {
        let text = r#"
            compiler = "gcc"
            qemu_cpu = "max"
            [[rom]]
            name = "x"
            about = "x"
            kind = "test"
            sources = []
            march = "rv64i"
            qemu_exit = 3
        "#;
        let path = std::env::temp_dir().join(format!("isoform-list-{}", std::process::id()));
        std::fs::write(&path, text).expect("a temporary file");
        let error = Manifest::read(&path).err().expect("refused");
        std::fs::remove_file(&path).expect("still there");
        assert_eq!(error.to_string(), "x: qemu_exit without a why");
    }
}
