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
    /// Talks with a person; has no verdict.
    Interactive,
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

fn link_script() -> String {
    "rt/link.ld".to_owned()
}

impl Manifest {
    /// Read and check the list at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let manifest: Self =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
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
