//! The options that say what guest there is: its machine, and what it starts. Several
//! commands have them.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::firmware::{FwCfgSpec, PflashSpec};
use crate::config::{self, Arch, BiosChoice, CpuOptions, DriveSpec, MachineOptions};

/// A guest.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
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
    /// The board: virt[,aia=aplic-imsic][,virtio-mmio=legacy]
    ///
    /// aia=aplic-imsic has interrupts come as messages (APLIC and IMSIC instead of a PLIC),
    /// so that devices on the PCI bus use MSI-X.
    #[arg(long, value_name = "BOARD", default_value = "virt",
          value_parser = config::machine, help_heading = MACHINE)]
    pub(super) machine: MachineOptions,
    /// The CPU and its features: rv64[,sv48=off,svadu=on,...]
    #[arg(long, value_name = "CPU", default_value = "rv64",
          value_parser = config::cpu, help_heading = MACHINE)]
    pub(super) cpu: CpuOptions,
    /// A disk: file=F[,snapshot=on][,readonly=on][,format=raw|qcow2]
    /// [,if=virtio|nvme][,bus=N|pcie.0[,addr=N]] and more; may be given several times
    ///
    /// The first takes virtio-mmio slot 0 (at 0x10001000), the second slot 1, and
    /// so on; bus=N chooses another of the 8, bus=pcie.0 a place on the PCI bus, which
    /// addr=N names (1 to 31). if=nvme puts the disk behind an NVMe controller there.
    /// snapshot=on keeps the guest's writes in a
    /// temporary file that vanishes with the machine. A comma in a name is written twice.
    ///
    /// What is not said to be raw or qcow2 is looked at. A qcow2 image that builds
    /// upon another file needs backing=on, which lets that be opened.
    /// cache=writeback uses the host's page cache and writes it out when the guest
    /// flushes, cache=none goes around it, and cache=unsafe never waits for the
    /// host's disk, which loses all when the host fails. discard=off keeps room that
    /// the guest gives back, and serial=S is the disk's serial number.
    #[arg(long = "drive", value_name = "DRIVE",
          value_parser = config::drive::drive, help_heading = MACHINE)]
    pub(super) drives: Vec<DriveSpec>,
    /// What a flash bank holds: FILE[,readonly=on][,snapshot=on]; the first is for
    /// firmware, the second for its variables
    ///
    /// Where no IMAGE is a program, the first bank is what starts, at 0x20000000, and a
    /// kernel given with --kernel is handed to it. A bank holds 32 MiB; of a shorter file
    /// the rest is erased flash, and the file grows when the guest writes there. With
    /// snapshot=on what the guest writes vanishes with the machine. Beside edk2:riscv64, it
    /// is the second bank, in a file that is made where there is none.
    #[arg(long = "pflash", value_name = "FLASH",
          value_parser = config::firmware::pflash, help_heading = MACHINE)]
    pub(super) pflash: Vec<PflashSpec>,
    /// Hand an item to the firmware: NAME,file=F or NAME,string=S
    ///
    /// Names are as in opt/org.example/item. May be given more than once.
    #[arg(long = "fw-cfg", alias = "fw_cfg", value_name = "ITEM",
          value_parser = config::firmware::fw_cfg, help_heading = MACHINE)]
    pub(super) fw_cfg: Vec<FwCfgSpec>,

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
    /// Mirror to make named images from; else ISOFORM_DEBIAN_MIRROR, else apt's
    #[arg(long, value_name = "URL", help_heading = BOOT)]
    pub(super) mirror: Option<String>,

    /// Bytes of translated code kept
    #[arg(long, value_name = "SIZE", default_value = "128M",
          value_parser = config::size::code_cache, help_heading = MACHINE)]
    pub(super) code_cache: usize,
}

/// The heading of options about the machine.
pub(super) const MACHINE: &str = "Machine";
/// The heading of options about what it starts.
pub(super) const BOOT: &str = "What it starts";
