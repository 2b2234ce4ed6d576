//! `isoform run`: the options, and what becomes of a run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, machine, status};
use crate::config::{
    self, Arch, BackendChoice, BiosChoice, ClockChoice, CpuOptions, DriveSpec, MachineOptions,
    Outcome, SerialSpec,
};

/// Run a machine: a Linux kernel, a bare-metal program, a disk
///
/// IMAGE is what to run: a name from `isoform images`, or a file. Files are
/// recognised by what is in them: ELF programs, Linux kernels (ELF or Image;
/// raw, packed with gzip, zstd or xz, or an EFI zboot file), raw disks. Without
/// IMAGE and --kernel, a small guest that is built in.
///
/// A program that occupies the start of memory, or that reports through `tohost`,
/// gets the bare machine; kernels get a firmware interface (SBI) that is built
/// in. --bios overrides either.
///
/// On a terminal, Ctrl-A x quits, Ctrl-A c opens a monitor, and Ctrl-A h lists
/// what else there is. The guest's own exit code becomes that of the program.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// What to run: a name such as debian:riscv64, or a file
    pub(super) image: Option<OsString>,

    /// The machine's architecture
    #[arg(long, value_enum, default_value_t, value_name = "ARCH", help_heading = MACHINE)]
    pub(super) arch: Arch,
    /// Memory of the machine, 16M to 64G; what the guest leaves untouched costs
    /// nothing
    #[arg(short, long, value_name = "SIZE", default_value = "1G",
          value_parser = config::size::memory, help_heading = MACHINE)]
    pub(super) memory: u64,
    /// Number of harts (CPUs), 1 to 32; each runs on a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(config::MAX_HARTS)),
          help_heading = MACHINE)]
    pub(super) smp: u32,
    /// The board: virt[,virtio-mmio=legacy|modern]
    #[arg(long, value_name = "BOARD", default_value = "virt",
          value_parser = config::machine, help_heading = MACHINE)]
    pub(super) machine: MachineOptions,
    /// The CPU and its features: rv64[,sv48=off,svadu=on,...]
    #[arg(long, value_name = "CPU", default_value = "rv64",
          value_parser = config::cpu, help_heading = MACHINE)]
    pub(super) cpu: CpuOptions,
    /// A disk: file=F[,snapshot=on][,readonly=on][,bus=N]; may be given up to 8
    /// times
    ///
    /// The first takes virtio-mmio slot 0 (at 0x10001000), the second slot 1, and
    /// so on; bus=N chooses another. snapshot=on keeps the guest's writes in a
    /// temporary file that vanishes with the machine. A comma in a name is written twice.
    #[arg(long = "drive", value_name = "DRIVE",
          value_parser = config::drive::drive, help_heading = MACHINE)]
    pub(super) drives: Vec<DriveSpec>,
    /// Where the serial line goes: stdio, null, file:F, unix:F or pty
    ///
    /// unix:F listens on a socket for one peer at a time. A peer that is absent
    /// or slow never stops the guest: the latest 64 KiB are kept for it. [default:
    /// stdio; null under --exec]
    #[arg(long, value_name = "SERIAL", value_parser = config::serial, help_heading = MACHINE)]
    pub(super) serial: Option<SerialSpec>,

    /// The kernel, where IMAGE is a disk or is not given
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    pub(super) kernel: Option<PathBuf>,
    /// The kernel's initial file system (initrd, initramfs)
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    pub(super) initrd: Option<PathBuf>,
    /// The kernel's command line; of a named image, what to add to it
    #[arg(long, value_name = "STR", value_parser = config::append,
          allow_hyphen_values = true, help_heading = BOOT)]
    pub(super) append: Option<String>,
    /// What runs below the program: none, builtin (SBI), or a firmware file
    ///
    /// [default: what the program needs]
    #[arg(long, value_name = "BIOS", value_parser = config::bios, help_heading = BOOT)]
    pub(super) bios: Option<BiosChoice>,
    /// A device tree to use instead of the machine's own
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    pub(super) dtb: Option<PathBuf>,
    /// Write the machine's device tree to FILE and do not run
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    pub(super) dump_dtb: Option<PathBuf>,
    /// Mirror to make named images from; else ISOFORM_DEBIAN_MIRROR, else apt's
    #[arg(long, value_name = "URL", help_heading = BOOT)]
    pub(super) mirror: Option<String>,

    /// What executes the guest
    #[arg(long, value_enum, default_value_t, value_name = "BACKEND", help_heading = RUN)]
    pub(super) backend: BackendChoice,
    /// Bytes of translated code kept
    #[arg(long, value_name = "SIZE", default_value = "128M",
          value_parser = config::size::code_cache, help_heading = RUN)]
    pub(super) code_cache: usize,
    /// Where translated code is kept for later runs: DIR, or off [default:
    /// isoform/translations in XDG_CACHE_HOME, else in ~/.cache]
    #[arg(long, value_name = "DIR|off", help_heading = RUN)]
    pub(super) translation_cache: Option<PathBuf>,
    /// What makes time pass: host, or insn[,seed=N] for runs that repeat bit for
    /// bit
    #[arg(long, value_name = "CLOCK", default_value = "host",
          value_parser = config::clock, help_heading = RUN)]
    pub(super) clock: ClockChoice,
    /// Boot a named image, run CMD in its shell, print only CMD's output, and end
    /// with its exit status
    #[arg(long, value_name = "CMD", allow_hyphen_values = true, help_heading = RUN)]
    pub(super) exec: Option<OsString>,
    /// End when the guest resets itself, instead of starting it again
    #[arg(long, help_heading = RUN)]
    pub(super) no_reboot: bool,
    /// End after this many seconds, with exit status 124
    #[arg(long, value_name = "SECS", value_parser = config::timeout, help_heading = RUN)]
    pub(super) timeout: Option<Duration>,
    /// Report at the end what the machine did
    #[arg(long, help_heading = RUN)]
    pub(super) stats: bool,
}

const MACHINE: &str = "Machine";
const BOOT: &str = "What it starts";
const RUN: &str = "The run";

/// Runs a machine until it ends.
pub(super) fn run(args: &Args, verbose: u8) -> Result<u8, Failure> {
    let under_exec = |failure: Failure| {
        if args.exec.is_some() {
            failure.under_exec()
        } else {
            failure
        }
    };
    run_machine(args, verbose).map_err(under_exec)
}

fn run_machine(args: &Args, verbose: u8) -> Result<u8, Failure> {
    let (config, payload) = machine::build(args, verbose > 0)?;
    let timeout = config.timeout;
    let outcome = crate::vm::run(config, &payload).map_err(anyhow::Error::from)?;
    match (outcome, timeout) {
        (Outcome::Timeout, Some(time)) => {
            eprintln!(
                "isoform: the machine was stopped after {} s (--timeout)",
                time.as_secs_f64()
            );
        }
        (Outcome::Exit(code), _) if code > u32::from(u8::MAX) => {
            eprintln!(
                "isoform: the guest's exit code {code} does not fit an exit status; it becomes 255"
            );
        }
        _ => {}
    }
    Ok(status::of(outcome))
}
