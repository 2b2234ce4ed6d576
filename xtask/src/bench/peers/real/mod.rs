//! The disk of the "real" group: a root file system of Debian's own packages, with
//! `init.sh` as its first process.
//!
//! apt chooses and fetches the packages from the archive that the image's kernel is
//! from, with lists and status of its own, so that the machine's stay as they are; they
//! are unpacked and not configured, which is enough for running programs and needs
//! neither root nor a foreign CPU. The disk is kept in cargo's target folder until the
//! recipe changes; delete `target/peers` to have newer packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const SUITE: &str = "trixie";
const PACKAGES: &[&str] = &[
    "base-files",
    "coreutils",
    "dash",
    "gcc",
    "libc6-dev",
    "libpython3-stdlib",
    "openssl",
    "python3-minimal",
    "sqlite3",
    "xz-utils",
];
/// What makes a disk, and how each says that it is there.
const TOOLS: &[(&str, &str)] = &[
    ("apt-get", "--version"),
    ("dpkg-deb", "--version"),
    ("mkfs.ext4", "-V"),
];
/// Size of the disk: more than twice what is on it.
const SIZE: &str = "900M";
const INIT: &str = include_str!("init.sh");
const PYTHON: &str = include_str!("work.py");
/// Bytes of a program that are compressed and hashed.
const TEXT: usize = 1_000_000;

/// The disk, made if it is not there, of packages from `mirror`.
pub(super) fn disk(mirror: &str) -> Result<PathBuf> {
    let folder = process::target().join("peers");
    let (disk, recipe) = (folder.join("root.ext4"), folder.join("recipe"));
    let wanted = format!("{mirror} {SUITE} {PACKAGES:?}\n{INIT}\n{PYTHON}\n{SIZE} {TEXT}");
    if disk.is_file() && fs::read_to_string(&recipe).is_ok_and(|is| is == wanted) {
        return Ok(disk);
    }
    for (tool, argument) in TOOLS {
        ensure!(process::works(tool, argument), "no {tool} on this machine");
    }
    ensure!(Path::new(KEYRING).is_file(), "no debian-archive-keyring");
    println!("making a root file system of Debian's packages, once");
    drop(fs::remove_dir_all(&folder));
    let tree = folder.join("tree");
    fs::create_dir_all(&tree)?;
    fetch(mirror, &folder)?;
    unpack(&folder.join("archives"), &tree)?;
    furnish(&tree)?;
    let mut format = Command::new("mkfs.ext4");
    format.args(["-q", "-d"]).arg(&tree).arg(&disk).arg(SIZE);
    quietly(&mut format)?;
    fs::remove_dir_all(&tree)?;
    fs::write(recipe, wanted)?;
    Ok(disk)
}

/// Has apt choose and fetch the packages into `folder/archives`.
fn fetch(mirror: &str, folder: &Path) -> Result<()> {
    for name in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let source = format!("deb [arch=riscv64 signed-by={KEYRING}] {mirror} {SUITE} main\n");
    fs::write(folder.join("sources.list"), source)?;
    fs::write(folder.join("status"), "")?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-y", "-oAPT::Install-Recommends=false"]);
        command.args([
            "-oAPT::Architecture=riscv64",
            "-oAPT::Architectures=riscv64",
        ]);
        command.args(["-oDir::Etc::SourceParts=/dev/null", "-oDebug::NoLocking=1"]);
        command.args(["-oAPT::Sandbox::User="]);
        for (option, name) in [
            ("Etc::SourceList", "sources.list"),
            ("State::Lists", "lists"),
            ("State::status", "status"),
            ("Cache", "."),
        ] {
            command.arg(format!("-oDir::{option}={}", folder.join(name).display()));
        }
        quietly(command.args(words))
    };
    apt(&["update"])?;
    apt(&[&["install", "--download-only"], PACKAGES].concat())
}

/// Unpacks all packages of a folder.
fn unpack(archives: &Path, tree: &Path) -> Result<()> {
    for entry in fs::read_dir(archives)? {
        let package = entry?.path();
        if package
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            quietly(Command::new("dpkg-deb").arg("-x").args([&package, tree]))?;
        }
    }
    Ok(())
}

/// Adds what the works need: places to mount on, their sources, the first process.
fn furnish(tree: &Path) -> Result<()> {
    let work = tree.join("work");
    fs::create_dir_all(&work)?;
    for name in ["proc", "sys", "dev", "run", "tmp", "root"] {
        fs::create_dir_all(tree.join(name))?;
    }
    let sources = crate::repository().join("test-roms/bench");
    for name in ["bench.h", "float.c"] {
        fs::copy(sources.join(name), work.join(name)).context(name)?;
    }
    fs::write(work.join("work.py"), PYTHON)?;
    let mut text = fs::read(tree.join("usr/bin/openssl"))?;
    text.truncate(TEXT);
    fs::write(work.join("text"), text)?;
    super::guest::install_program(&tree.join("bench"))?;
    let init = tree.join("init");
    fs::write(&init, INIT)?;
    super::guest::make_executable(&init)
}

/// Runs a command whose output matters only where it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let output = process::captured(command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or_default();
    ensure!(
        output.status.success(),
        "{}: {}: {last}",
        command.get_program().to_string_lossy(),
        output.status
    );
    Ok(())
}
