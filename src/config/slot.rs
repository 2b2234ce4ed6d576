//! Where on the board a virtio device is.

use std::fmt;

/// The virtio-mmio slots of the board; slot 0 is at 0x10001000.
pub const VIRTIO_SLOTS: usize = 8;
/// Device numbers on the PCI bus. 0 is the host bridge.
pub const PCI_SLOTS: usize = 32;
/// QEMU's name of the bus.
pub const PCI_BUS: &str = "pcie.0";

/// A virtio device's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotId {
    /// A virtio-mmio slot, below [`VIRTIO_SLOTS`].
    Mmio(usize),
    /// A device number on the PCI bus, 1 and up, below [`PCI_SLOTS`].
    Pci(usize),
}

impl SlotId {
    /// How many there can be.
    pub const COUNT: usize = VIRTIO_SLOTS + PCI_SLOTS;

    /// A number below [`SlotId::COUNT`] that no other place has.
    pub fn index(self) -> usize {
        match self {
            SlotId::Mmio(slot) => slot,
            SlotId::Pci(device) => VIRTIO_SLOTS + device,
        }
    }

    /// All virtio-mmio slots.
    pub fn mmio() -> impl DoubleEndedIterator<Item = SlotId> {
        (0..VIRTIO_SLOTS).map(SlotId::Mmio)
    }

    /// All places on the PCI bus.
    pub fn pci() -> impl DoubleEndedIterator<Item = SlotId> {
        (1..PCI_SLOTS).map(SlotId::Pci)
    }
}

/// As `bus=` and `addr=` name it.
impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotId::Mmio(slot) => write!(f, "virtio-mmio-bus.{slot}"),
            SlotId::Pci(device) => write!(f, "{PCI_BUS},addr={device}"),
        }
    }
}
