//! Running a guest on one of the two sides, and what came of it.

use std::fs::{File, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::guest::{Guest, Purpose};
use super::host;
use crate::{process, roms};

/// No run takes this long, unless its guest hangs.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often an end is looked for; as much is added to the time of a run at most.
const POLL: Duration = Duration::from_millis(1);

/// Who runs a guest.
#[derive(Clone)]
pub(super) enum Side {
    /// The built program, and its further options.
    Isoform(PathBuf, Vec<String>),
    /// QEMU, with the CPU of this name.
    Qemu(String),
}

/// What came of a run.
pub(super) struct Run {
    /// Seconds from start to end of the process.
    pub(super) seconds: f64,
    /// Seconds of CPU that it used, on all threads.
    pub(super) cpu: f64,
    /// What the guest wrote to its serial line.
    pub(super) serial: String,
    /// What the process wrote to its standard error: Isoform's `--stats`.
    pub(super) report: String,
}

impl Side {
    /// Isoform, which keeps translated code in a folder, or not at all.
    pub(super) fn isoform(program: PathBuf, kept: Option<&Path>) -> Self {
        let folder = kept.map_or("off".to_owned(), |folder| folder.display().to_string());
        Self::Isoform(program, vec!["--translation-cache".to_owned(), folder])
    }

    /// The same side, with code kept in a folder if it is Isoform.
    pub(super) fn keeping(&self, folder: &Path) -> Self {
        match self {
            Self::Isoform(program, _) => Self::isoform(program.clone(), Some(folder)),
            Self::Qemu(_) => self.clone(),
        }
    }

    /// Runs a bare program.
    pub(super) fn bare(&self, elf: &Path, scratch: &Path) -> Result<Run> {
        let mut command = self.machine("256M", 1);
        match self {
            Self::Isoform(..) => command.arg(elf),
            Self::Qemu(_) => command.args(["-bios", "none", "-kernel"]).arg(elf),
        };
        self.run(command, scratch)
    }

    /// Boots Linux on some harts.
    pub(super) fn linux(&self, guest: &Guest, harts: u32, purpose: &Purpose<'_>) -> Result<Run> {
        let mut command = self.machine("1G", harts);
        let words = match self {
            Self::Isoform(..) => ["--kernel", "--initrd", "--append"],
            Self::Qemu(_) => ["-kernel", "-initrd", "-append"],
        };
        command.arg(words[0]).arg(&guest.kernel);
        command.arg(words[1]).arg(&guest.initrd);
        command.arg(words[2]).arg(purpose.arguments());
        match purpose {
            Purpose::Works(_) => {}
            Purpose::Disk(file) => self.add_disk(&mut command, file, true),
            Purpose::Share => self.add_folder(&mut command, &guest.shared_folder()?),
            Purpose::Devices { .. } | Purpose::Idle(_) => {
                self.add_disk(&mut command, &guest.scratch_disk()?, false);
                self.add_card(&mut command);
            }
        }
        self.run(command, &guest.scratch)
    }

    /// A card on a network of the guest's own, from which it reaches the host.
    fn add_card(&self, command: &mut Command) {
        match self {
            Self::Isoform(..) => command.args(["--net", "user,host=on"]),
            Self::Qemu(_) => command
                .args(["-netdev", "user,id=net"])
                .args(["-device", "virtio-net-device,netdev=net"]),
        };
    }

    /// A folder of the host, called "share".
    fn add_folder(&self, command: &mut Command, folder: &Path) {
        let folder = folder.display();
        match self {
            Self::Isoform(..) => command.arg("--share").arg(format!("{folder}:share")),
            Self::Qemu(_) => command
                .arg("-fsdev")
                .arg(format!("local,id=share,path={folder},security_model=none"))
                .args(["-device", "virtio-9p-device,fsdev=share,mount_tag=share"]),
        };
    }

    /// A virtio disk, whose content may stay as it is, whatever the guest writes.
    fn add_disk(&self, command: &mut Command, file: &Path, keep: bool) {
        let file = file.display();
        let snapshot = if keep { "on" } else { "off" };
        match self {
            Self::Isoform(..) => command
                .arg("--drive")
                .arg(format!("file={file},format=raw,snapshot={snapshot}")),
            Self::Qemu(_) => command
                .arg("-drive")
                .arg(format!(
                    "file={file},format=raw,if=none,id=disk,snapshot={snapshot}"
                ))
                .args(["-device", "virtio-blk-device,drive=disk"]),
        };
    }

    fn machine(&self, memory: &str, harts: u32) -> Command {
        let harts = harts.to_string();
        match self {
            Self::Isoform(program, options) => {
                let mut command = Command::new(program);
                command.args(["run", "--stats", "--memory", memory, "--smp", &harts]);
                command.args(options);
                command
            }
            Self::Qemu(cpu) => {
                let mut command = Command::new(roms::QEMU);
                command.args([
                    "-machine", "virt", "-cpu", cpu, "-m", memory, "-smp", &harts,
                ]);
                command.args(["-display", "none", "-monitor", "none"]);
                command
            }
        }
    }

    /// Runs to the end, which must be a success.
    fn run(&self, mut command: Command, scratch: &Path) -> Result<Run> {
        let (serial, report) = (scratch.join("serial"), scratch.join("report"));
        let option = match self {
            Self::Isoform(..) => "--serial",
            Self::Qemu(_) => "-serial",
        };
        command
            .arg(option)
            .arg(format!("file:{}", serial.display()));
        command.stdin(Stdio::null()).stderr(File::create(&report)?);
        let cpu = host::cpu_of_children();
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| process::named(&command))?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if start.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                bail!("{}: no end in {PATIENCE:?}", process::named(&command));
            }
            std::thread::sleep(POLL);
        };
        let seconds = start.elapsed().as_secs_f64();
        let report = read_to_string(report)?;
        ensure!(
            status.success(),
            "{}: {status}\n{report}",
            process::named(&command)
        );
        Ok(Run {
            seconds,
            cpu: host::cpu_of_children() - cpu,
            serial: String::from_utf8_lossy(&std::fs::read(serial)?).into_owned(),
            report,
        })
    }
}

impl Run {
    /// Instructions that the guest executed, and how many of them translated, as
    /// `--stats` tells.
    pub(super) fn instructions(&self) -> Option<(u64, u64)> {
        let number = |words: &str| words.split(' ').next()?.parse::<u64>().ok();
        let is_total = |line: &&str| line.contains(" instructions in ");
        let all = self.report.lines().find(is_total).and_then(number)?;
        let parts = self
            .report
            .lines()
            .filter_map(|line| number(line.trim_start().strip_prefix("translated: ")?));
        Some((all, parts.sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read() {
        let report = "4618 instructions in 23.947 s: 193 million a second\n\
                      hart 0: 4000 instructions\n  translated: 3000 instructions (75.0 %), 7\n\
                      hart 1: 618 instructions\n  translated: 600 instructions (97.0 %), 7\n";
        let run = Run {
            seconds: 0.0,
            cpu: 0.0,
            serial: String::new(),
            report: report.to_owned(),
        };
        assert_eq!(run.instructions(), Some((4618, 3600)));
    }
}
