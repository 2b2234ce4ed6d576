//! Running guest programs on QEMU: our tests are only as good as the agreement
//! of somebody else's machine. Where QEMU is known to deviate from the
//! specification the list says so, and its deviating verdict is checked as well.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::manifest::{Kind, Machine, Manifest, Rom};

/// Debian: package `qemu-system-riscv`, of 10.0 or later (the backports' for Debian 12).
pub(crate) const QEMU: &str = "qemu-system-riscv64";
/// The first version that knows all extensions of the list's `qemu_cpu`.
const OLDEST: u32 = 10;
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long a program that never ends is watched not ending.
const ENDLESS: Duration = Duration::from_secs(1);

/// Run every program that needs nobody to talk with, on each board it is made for.
pub(super) fn verify(folder: &Path, manifest: &Manifest, roms: &[&Rom]) -> Result<()> {
    let why = match version() {
        Some(major) if major >= OLDEST => None,
        Some(major) => Some(format!("{QEMU} is of version {major}, {OLDEST} is needed")),
        None => Some(format!("no {QEMU} on this machine")),
    };
    if let Some(why) = why {
        crate::skips::note("roms --qemu", &why);
        return Ok(());
    }
    let mut wrong = 0;
    let alone = |rom: &&&Rom| !matches!(rom.kind, Kind::Interactive | Kind::Linux);
    for rom in roms.iter().filter(alone) {
        let boards: &[&str] = match rom.machine {
            Machine::Any => &["virt", "spike"],
            Machine::Virt => &["virt"],
        };
        for board in boards {
            wrong += u32::from(!agrees(folder, manifest, rom, board)?);
        }
    }
    if wrong > 0 {
        bail!("{wrong} verdicts differ from test-roms/roms.toml");
    }
    Ok(())
}

/// QEMU's major version, from a line like `QEMU emulator version 10.0.2 (…)`.
fn version() -> Option<u32> {
    let output = Command::new(QEMU).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("version ")
        .nth(1)?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn agrees(folder: &Path, manifest: &Manifest, rom: &Rom, board: &str) -> Result<bool> {
    let expected = rom.qemu_exit.unwrap_or(rom.exit);
    let start = Instant::now();
    let status = execute(folder, manifest, rom, board)?;
    let agrees = match status {
        Some(code) => u32::try_from(code) == Ok(expected & 0xff),
        None => rom.kind == Kind::Endless,
    };
    let got = status.map_or("no verdict".to_owned(), |code| format!("exit {code}"));
    let note = match (&rom.why, agrees) {
        (_, false) => format!("EXPECTED {expected}"),
        (Some(why), true) => format!("(known: {why})"),
        (None, true) => String::new(),
    };
    let time = start.elapsed().as_millis();
    println!("{:20} {board:6} {got:10} {time:>6} ms {note}", rom.name);
    Ok(agrees)
}

/// Run one program; `None` when it came to no end in time.
fn execute(folder: &Path, manifest: &Manifest, rom: &Rom, board: &str) -> Result<Option<i32>> {
    let elf = folder.join("bin").join(rom.file());
    ensure!(
        elf.is_file(),
        "no {}: run `cargo xtask roms`",
        elf.display()
    );
    let cpu = format!("{}{}", manifest.qemu_cpu, rom.qemu_cpu);
    let harts = rom.qemu_harts.unwrap_or(rom.harts);
    let mut child = Command::new(QEMU)
        .args([
            "-machine",
            board,
            "-bios",
            "none",
            "-m",
            "256M",
            "-smp",
            &harts.to_string(),
        ])
        .args(["-cpu", &cpu, "-display", "none", "-serial", "null"])
        .args(&rom.qemu_args)
        .args(["-monitor", "none", "-kernel"])
        .arg(elf)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("running {QEMU}"))?;
    let timeout = if rom.kind == Kind::Endless {
        ENDLESS
    } else {
        TIMEOUT
    };
    let end = Instant::now() + timeout;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
