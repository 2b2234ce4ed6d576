//! `isoform run`: the options, and what becomes of a run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::guest::{self, BOOT, MACHINE};
use super::{Failure, machine, status};
use crate::config::net::{NetSpec, Publish};
use crate::config::{self, BackendChoice, ClockChoice, Outcome, SerialSpec, Share, Vsock};

/// Run a machine: a Linux kernel, a bare-metal program, a disk
///
/// IMAGE is what to run: a name from `isoform images`, or a file. Files are
/// recognised by what is in them: ELF programs, Linux kernels (ELF or Image;
/// raw, packed with gzip, zstd or xz, or an EFI zboot file), raw disks. Without
/// IMAGE and --kernel, a small guest that is built in.
///
/// A disk boots by the kernel that its menu names (extlinux.conf or grub.cfg on
/// ext2/3/4), or else by UEFI firmware from its EFI system partition: EDK2, if it is
/// installed or in the cache. edk2:riscv64 and u-boot:riscv64 as IMAGE fetch firmware and
/// start it with what --drive and --net give.
///
/// A program that occupies the start of memory, or that reports through `tohost`,
/// gets the bare machine; kernels get a firmware interface (SBI) that is built
/// in. --bios overrides either.
///
/// On a terminal, Ctrl-A x quits, Ctrl-A c opens a monitor, and Ctrl-A h lists
/// what else there is. The guest's own exit code becomes that of the program.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) guest: guest::Args,
    /// Where the serial line goes: stdio, null, file:F, unix:F or pty
    ///
    /// unix:F listens on a socket for one peer at a time. A peer that is absent
    /// or slow never stops the guest: the latest 64 KiB are kept for it. [default:
    /// stdio; null under --exec]
    #[arg(long, value_name = "SERIAL", value_parser = config::serial, help_heading = MACHINE)]
    pub(super) serial: Option<SerialSpec>,
    /// A network card: user[,restrict=on][,host=on][,tftp=DIR,bootfile=PATH]
    /// [,hostname=NAME], switch:NAME or tap,ifname=NAME, each with [,mac=A][,mtu=N]; may be
    /// given up to 4 times
    ///
    /// user is a network of the guest's own (10.0.2.0/24), from which it reaches
    /// whatever this machine reaches, without root. The guest is 10.0.2.15 by DHCP,
    /// names are resolved at 10.0.2.3. The host itself is reached at 10.0.2.2, and only with
    /// host=on, which also lets it reach the addresses where clouds keep a host's
    /// secrets. restrict=on lets nothing out but answers of published ports. tftp=DIR
    /// serves a folder to firmware that boots over the network; bootfile=PATH is the
    /// file in it that firmware starts.
    ///
    /// switch:NAME is a network of all machines of this user that name it, without root;
    /// addresses on it are the guests' affair. tap is an interface of this machine's, made
    /// by: sudo ip tuntap add dev tap0 mode tap user $USER && sudo ip link set tap0 up.
    /// Cards on either have an address that is another one with each start; mac=A gives
    /// one that stays. mtu=N lets longer frames pass than 1500 bytes, if all others take
    /// them.
    #[arg(long = "net", value_name = "NET", num_args = 0..=1, require_equals = false,
          default_missing_value = "user", value_parser = config::net::net,
          help_heading = MACHINE)]
    pub(super) nets: Vec<NetSpec>,
    /// Lead a port of this host into the guest: [ADDR:]HOST:GUEST[/udp]; may be given
    /// many times
    ///
    /// 2222:22 makes the guest's ssh reachable at localhost, port 2222, from this host
    /// alone; 0.0.0.0:2222:22 from everywhere.
    #[arg(long, value_name = "PORTS", value_parser = config::net::publish, help_heading = MACHINE)]
    pub(super) publish: Vec<Publish>,
    /// Write what the (first) network card sends and receives to FILE, for Wireshark
    #[arg(long, value_name = "FILE", help_heading = MACHINE)]
    pub(super) pcap: Option<PathBuf>,
    /// Give the guest a folder: HOSTDIR:TAG, or HOSTDIR:TAG:ro to read only; may be
    /// given several times
    ///
    /// In a Linux guest: mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt. The guest
    /// reaches what is in the folder with your rights, and nothing beside it.
    #[arg(long = "share", value_name = "SHARE",
          value_parser = config::share::share, help_heading = MACHINE)]
    pub(super) shares: Vec<Share>,
    /// Sockets between the guest and this host: cid=N,uds=PATH, with N from 3 on
    ///
    /// A program of this host connects to the socket PATH, writes `CONNECT 1234` and a
    /// line's end, reads `OK` and a number, and is connected to port 1234 of the guest's
    /// AF_VSOCK. A guest that connects to port P of CID 2 reaches the program that listens
    /// on the socket PATH_P.
    #[arg(long, value_name = "VSOCK", value_parser = config::vsock::vsock,
          help_heading = MACHINE)]
    pub(super) vsock: Option<Vsock>,
    /// A memory balloon: what the guest does not use goes back to this host (on or off)
    ///
    /// The guest's kernel reports free memory by itself, and takes it back when it needs
    /// it. The monitor's `balloon SIZE` (Ctrl-A c) has it do with less.
    #[arg(long, value_name = "on|off", default_value = "on", action = clap::ArgAction::Set,
          value_parser = config::switch, help_heading = MACHINE)]
    pub(super) balloon: bool,
    /// A named image as a system that lasts, on FILE; it is made first where there is
    /// none, as by `isoform image build`
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    pub(super) disk: Option<PathBuf>,
    /// Write the machine's device tree to FILE and do not run
    #[arg(long, value_name = "FILE", help_heading = BOOT)]
    pub(super) dump_dtb: Option<PathBuf>,
    /// What executes the guest
    #[arg(long, value_enum, default_value_t, value_name = "BACKEND", help_heading = RUN)]
    pub(super) backend: BackendChoice,
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
    /// Name translated code for `perf report`, in /tmp/perf-PID.map
    #[arg(long, help_heading = RUN)]
    pub(super) perf_map: bool,
}

const RUN: &str = "The run";

impl Args {
    /// A run of this guest without any other option.
    pub(super) fn of(guest: guest::Args) -> Self {
        Self {
            guest,
            serial: None,
            nets: Vec::new(),
            publish: Vec::new(),
            pcap: None,
            shares: Vec::new(),
            vsock: None,
            balloon: true,
            disk: None,
            dump_dtb: None,
            backend: BackendChoice::default(),
            translation_cache: Some("off".into()),
            clock: ClockChoice::default(),
            exec: None,
            no_reboot: false,
            timeout: None,
            stats: false,
            perf_map: false,
        }
    }
}

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
