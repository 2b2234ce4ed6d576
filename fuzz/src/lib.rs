//! What the fuzz targets do, one module a boundary that input crosses. A target must
//! come back: no panic, no hang, no memory without bound, whatever the bytes.
//!
//! * [`loader`]: files given to `isoform run`.
//! * [`bootdisk`]: disks that are asked how they boot.
//! * [`packages`]: `.deb` packages and what they are packed with.
//! * [`archive`]: an archive's text files, apt's configuration, kernel modules.
//! * [`hart`]: the saved state of a hart, and what runs on it then.
//! * [`devices`]: register accesses, queues in memory and saved states, on a whole
//!   board.
//! * [`code`]: decoder, disassembler and interpreter on any bytes.
//! * [`forms`]: any program, interpreted and in both translated forms, compared.
//! * [`disk`]: disk images, opened, used and checked.
//! * [`share`]: messages of 9P for a folder of the host.
//! * [`kept`]: files of translated code kept between runs.
//! * [`nat`]: frames of a guest to the user-mode network.
//! * [`nvme`]: registers, queues and commands of an NVMe controller.
//! * [`pci`]: the PCI bus, and virtio over it.
//! * [`vsock`]: packets of a guest's sockets, and the programs that they reach.

pub mod archive;
pub mod bootdisk;
pub mod code;
pub mod devices;
pub mod disk;
pub mod forms;
pub mod hart;
pub mod input;
pub mod kept;
pub mod loader;
pub mod nat;
pub mod nvme;
pub mod packages;
pub mod pci;
mod rig;
pub mod share;
pub mod vsock;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("loader", loader::run),
    ("bootdisk", bootdisk::run),
    ("packages", packages::run),
    ("archive", archive::run),
    ("hart", hart::run),
    ("devices", devices::run),
    ("code", code::run),
    ("forms", forms::run),
    ("kept", kept::run),
    ("disk", disk::run),
    ("nat", nat::run),
    ("nvme", nvme::run),
    ("pci", pci::run),
    ("share", share::run),
    ("vsock", vsock::run),
];
