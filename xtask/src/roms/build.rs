//! Compiling guest programs so that the same sources and compiler always give
//! the same bytes: sources are named relative to `test-roms`, there is no build
//! id, no debug information and no compiler comment in the result.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::manifest::Rom;

/// What the tools' names begin with. Debian: package `gcc-riscv64-linux-gnu`.
pub(super) const PREFIX: &str = "riscv64-linux-gnu-";

const CFLAGS: &[&str] = &[
    "-mcmodel=medany",
    "-O2",
    "-ffreestanding",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-tree-loop-distribute-patterns",
    "-msmall-data-limit=0",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Irt",
    "-Iisa",
];

/// A riscv64 GCC with its binutils.
pub(super) struct Compiler {
    version: String,
}

impl Compiler {
    /// The compiler on the search path, if there is one.
    pub(super) fn find() -> Option<Self> {
        let output = Command::new(format!("{PREFIX}gcc"))
            .arg("--version")
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Some(Self {
            version: text.lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// First line of `gcc --version`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Build `rom` from the sources under `folder`; gives the ELF's bytes.
    pub(super) fn build(&self, folder: &Path, rom: &Rom) -> Result<Vec<u8>> {
        let scratch = Scratch::new(&rom.name)?;
        let elf = scratch.0.join(rom.file());
        let mut objects = Vec::new();
        for (index, source) in rom.sources.iter().enumerate() {
            let object = scratch.0.join(format!("{index}.o"));
            compile(folder, rom, source, &object)?;
            objects.push(object);
        }
        let mut ld = Command::new(format!("{PREFIX}ld"));
        ld.current_dir(folder)
            .args([
                "--build-id=none",
                "--no-warn-rwx-segments",
                "-z",
                "max-page-size=4096",
            ])
            .args(["--gc-sections", "-T", &rom.link, "-o"])
            .arg(&elf)
            .args(&objects);
        run(&mut ld, rom)?;
        let mut strip = Command::new(format!("{PREFIX}objcopy"));
        strip.args(["--strip-debug", "--discard-all"]).arg(&elf);
        run(&mut strip, rom)?;
        std::fs::read(&elf).with_context(|| format!("reading {}", elf.display()))
    }
}

fn compile(folder: &Path, rom: &Rom, source: &str, object: &Path) -> Result<()> {
    let mut gcc = Command::new(format!("{PREFIX}gcc"));
    gcc.current_dir(folder)
        .arg(format!("-march={}", rom.march))
        .arg(format!("-mabi={}", rom.abi))
        .args(CFLAGS)
        .args(&rom.flags)
        .args(["-c", source, "-o"])
        .arg(object);
    run(&mut gcc, rom)
}

fn run(command: &mut Command, rom: &Rom) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("running {program}"))?;
    if !status.success() {
        bail!("{program} failed on program {:?}", rom.name);
    }
    Ok(())
}

/// A folder of our own below the system's temporary one, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("isoform-rom-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover temporary file is not worth failing a finished build.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
