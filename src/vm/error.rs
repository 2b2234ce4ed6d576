//! Why a machine cannot run.

use crate::board::BoardError;
use crate::boot::load::LoadError;
use crate::console::ConsoleError;
use isoform_disk::DiskError;
use isoform_riscv::CpuError;
use std::path::PathBuf;

/// Why a machine cannot run.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// What is to be loaded does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A network card cannot be plugged in.
    #[error("--net: {0}")]
    Net(#[from] isoform_net::user::NetError),
    /// The same, of a switch.
    #[error("--net switch: {0}")]
    Switch(#[from] isoform_net::switch::SwitchError),
    /// The same, of a tap device.
    #[error("--net tap: {0}")]
    Tap(#[from] isoform_net::tap::TapError),
    /// The guest's sockets lead nowhere.
    #[error("--vsock: {0}")]
    Vsock(#[from] isoform_net::vsock::VsockError),
    /// Frames cannot be captured.
    #[error("--pcap: cannot write {}", .path.display())]
    Pcap {
        /// Where to.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// A folder cannot be shared.
    #[error("--share: {0}")]
    Share(#[from] isoform_share::ShareError),
    /// Flash cannot be used.
    #[error(transparent)]
    Flash(#[from] crate::disk::FlashError),
    /// The serial line cannot be set up.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// No such CPU.
    #[error("--cpu: {0}")]
    Cpu(#[from] CpuError),
    /// There is no translator.
    #[error("--backend jit: {0}")]
    Translator(#[from] isoform_cranelift::TranslatorError),
    /// The board cannot be built.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// No slot is left for a device that the run needs.
    #[error(
        "all virtio-mmio slots and places on the PCI bus are taken, and {0} needs one; use fewer of --drive and --share"
    )]
    NoSlot(&'static str),
    /// The device tree cannot be made or written.
    #[error("cannot write the device tree{}: {reason}", .path.as_ref().map(|p| format!(" to {}", p.display())).unwrap_or_default())]
    DeviceTree {
        /// Where to, if to a file.
        path: Option<PathBuf>,
        /// Why not.
        reason: String,
    },
    /// The names for perf cannot be written.
    #[error("--perf-map: cannot write {path}: {source}")]
    PerfMap {
        /// Where to.
        path: String,
        /// What the host said.
        source: std::io::Error,
    },
    /// The host has no thread or randomness to give.
    #[error("the host does not give what a machine needs")]
    Host(#[from] std::io::Error),
    /// The command's status never came.
    #[error(
        "the guest {0} before the command of --exec had ended; add --serial file:F to see its console"
    )]
    NoStatus(&'static str),
    /// The command's output has nowhere to go.
    #[error("the command's {stream} cannot be written: {error}")]
    Output {
        /// Standard output or standard error.
        stream: &'static str,
        /// What the host said.
        error: std::io::Error,
    },
    /// The run ended by a fault of ours.
    #[error("the machine stopped: {0}; this is a fault of isoform, please report it")]
    Broken(String),
}
