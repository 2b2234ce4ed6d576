//! `cargo xtask roms`: the guest programs in `test-roms/`.
//!
//! - [`manifest`] reads `test-roms/roms.toml`, the one list of programs.
//! - [`build`] compiles them, reproducibly, with a riscv64 GCC.
//! - [`qemu`] runs them on QEMU, the independent judge of our tests.
//!
//! The built ELFs are committed in `test-roms/bin/`, so that nobody needs a
//! cross compiler to test Isoform; `--check` proves that they are what the
//! sources say.

mod build;
mod manifest;
mod qemu;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use build::Compiler;
use manifest::{Kind, Manifest, Rom};
pub(crate) use qemu::QEMU;

/// What to do with the guest programs; without a flag, build and install them.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build apart and compare with the committed ELFs instead of replacing them
    #[arg(long)]
    check: bool,
    /// Run the committed ELFs on QEMU and compare with the expected verdicts
    #[arg(long, conflicts_with = "check")]
    qemu: bool,
    /// List the programs
    #[arg(long, conflicts_with_all = ["check", "qemu"])]
    list: bool,
    /// Only these programs (default: all)
    names: Vec<String>,
}

/// Carry out `cargo xtask roms`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = folder();
    let manifest = programs()?;
    let roms = select(&manifest, &args.names)?;
    if args.list {
        for rom in roms {
            let clock = rom.clock.as_deref().unwrap_or("any");
            println!(
                "{:20} harts {}  clock {clock:4}  {}",
                rom.name, rom.harts, rom.about
            );
        }
        return Ok(());
    }
    if args.qemu {
        return qemu::verify(&folder, &manifest, &roms);
    }
    let Some(compiler) = Compiler::find() else {
        crate::skips::note("roms", &format!("no {}gcc on this machine", build::PREFIX));
        return Ok(());
    };
    if args.check && compiler.version() != manifest.compiler {
        let why = format!(
            "the committed ELFs were built by {:?}, this machine has {:?}",
            manifest.compiler,
            compiler.version()
        );
        crate::skips::note("roms --check", &why);
        return Ok(());
    }
    if args.check {
        check(&compiler, &folder, &roms)
    } else {
        install(&compiler, &folder, &roms)
    }
}

/// `cargo xtask roms --check` of all programs.
pub(crate) fn check_all() -> Result<()> {
    run(&Args {
        check: true,
        qemu: false,
        list: false,
        names: Vec::new(),
    })
}

/// `cargo xtask roms --qemu` of all programs.
pub(crate) fn verify_all() -> Result<()> {
    run(&Args {
        check: false,
        qemu: true,
        list: false,
        names: Vec::new(),
    })
}

/// The name of the program that runs a kernel bare.
pub(crate) fn bench(kernel: &str) -> String {
    format!("bench_{kernel}")
}

/// QEMU's name for a CPU with our guest's extensions.
pub(crate) fn qemu_cpu() -> Result<String> {
    Ok(programs()?.qemu_cpu)
}

/// The tests for several harts, and how many each needs.
pub(crate) fn on_several_harts() -> Result<Vec<(String, u32)>> {
    let roms = programs()?.roms.into_iter();
    let several = roms.filter(|rom| rom.kind == Kind::Test && rom.harts > 1);
    Ok(several.map(|rom| (rom.name, rom.harts)).collect())
}

/// Where a program's committed ELF is.
pub(crate) fn elf(name: &str) -> PathBuf {
    folder().join("bin").join(format!("{name}.elf"))
}

fn folder() -> PathBuf {
    crate::repository().join("test-roms")
}

fn programs() -> Result<Manifest> {
    Manifest::read(&folder().join("roms.toml"))
}

/// The programs named, or all of them when no name is given.
fn select<'a>(manifest: &'a Manifest, names: &[String]) -> Result<Vec<&'a Rom>> {
    for name in names {
        ensure!(
            manifest.roms.iter().any(|rom| rom.name == *name),
            "no program {name:?} in test-roms/roms.toml"
        );
    }
    Ok(manifest
        .roms
        .iter()
        .filter(|rom| names.is_empty() || names.contains(&rom.name))
        .collect())
}

/// Build `roms` and put them into `test-roms/bin`.
fn install(compiler: &Compiler, folder: &Path, roms: &[&Rom]) -> Result<()> {
    for rom in roms {
        let elf = compiler.build(folder, rom)?;
        let to = folder.join("bin").join(rom.file());
        std::fs::write(&to, &elf).with_context(|| format!("writing {}", to.display()))?;
        println!("{:20} {:>7} bytes", rom.name, elf.len());
    }
    Ok(())
}

/// Build `roms` and compare each with the committed file, byte for byte.
fn check(compiler: &Compiler, folder: &Path, roms: &[&Rom]) -> Result<()> {
    let mut stale = Vec::new();
    for rom in roms {
        let path = folder.join("bin").join(rom.file());
        let committed =
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if compiler.build(folder, rom)? != committed {
            stale.push(rom.name.as_str());
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what the sources build: {}; run `cargo xtask roms` and commit the result",
            stale.join(", ")
        );
    }
    println!("{} programs are what their sources build", roms.len());
    Ok(())
}
