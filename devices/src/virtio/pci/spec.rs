//! Registers of virtio over PCI (Virtio 1.2, section 4.1).

use bitflags::bitflags;

use super::super::spec::id;
use crate::pci::spec::class;

/// Vendor of all virtio devices (4.1.2).
pub const VENDOR: u16 = 0x1af4;
/// A device's number is this and its identifier (4.1.2.1).
pub const DEVICE_BASE: u16 = 0x1040;
/// Of devices without the legacy interface: 1 or more (4.1.2.1).
pub const REVISION: u8 = 1;
/// Subsystem of such devices: 0x40 or more (4.1.2.1). That of QEMU.
pub const SUBSYSTEM: u16 = 0x1100;

/// The class of a device, by its identifier.
pub fn class_of(id: u32) -> u32 {
    match id {
        id::BLOCK => class::STORAGE_SCSI,
        id::NETWORK => class::NETWORK_ETHERNET,
        id::CONSOLE => class::COMMUNICATION_OTHER,
        _ => class::OTHER,
    }
}

/// BAR of MSI-X.
pub const MSIX_BAR: u8 = 1;
/// BAR of all structures.
pub const BAR: u8 = 4;
/// Bytes of each structure in the BAR, most of them unused.
pub const STRUCTURE_BYTES: u64 = 0x1000;
/// Bytes of the BAR.
pub const BAR_BYTES: u64 = 4 * STRUCTURE_BYTES;

/// Types of structures (4.1.4), and where in the BAR they are.
pub mod structure {
    use super::STRUCTURE_BYTES;

    /// Common configuration.
    pub const COMMON: u8 = 1;
    /// Notifications.
    pub const NOTIFY: u8 = 2;
    /// ISR status.
    pub const ISR: u8 = 3;
    /// The device's configuration space.
    pub const DEVICE: u8 = 4;
    /// The other way to the BAR.
    pub const ACCESS: u8 = 5;

    /// Offset of [`COMMON`].
    pub const COMMON_AT: u64 = 0;
    /// Offset of [`ISR`].
    pub const ISR_AT: u64 = STRUCTURE_BYTES;
    /// Offset of [`DEVICE`].
    pub const DEVICE_AT: u64 = 2 * STRUCTURE_BYTES;
    /// Offset of [`NOTIFY`].
    pub const NOTIFY_AT: u64 = 3 * STRUCTURE_BYTES;
}

/// Bytes from the notification address of one queue to that of the next (4.1.4.4).
pub const NOTIFY_MULTIPLIER: u32 = 4;

/// Bytes of `struct virtio_pci_cap` (4.1.4).
pub const CAPABILITY_BYTES: usize = 16;
/// Offsets into it.
pub mod cap {
    /// The BAR, 8 bits.
    pub const BAR: usize = 4;
    /// Offset within the BAR, 32 bits.
    pub const OFFSET: usize = 8;
    /// Bytes, 32 bits.
    pub const LENGTH: usize = 12;
    /// What [`ACCESS`](super::structure::ACCESS) has behind it: data, 32 bits.
    pub const DATA: usize = 16;
}

/// Registers of the common configuration (4.1.4.3).
pub mod common {
    /// Selects the device's feature bits; 32 bits.
    pub const DEVICE_FEATURE_SELECT: u64 = 0x00;
    /// Feature bits of the device; 32 bits.
    pub const DEVICE_FEATURE: u64 = 0x04;
    /// Selects the driver's feature bits; 32 bits.
    pub const DRIVER_FEATURE_SELECT: u64 = 0x08;
    /// Feature bits that the driver accepts; 32 bits.
    pub const DRIVER_FEATURE: u64 = 0x0c;
    /// Vector of configuration changes; 16 bits.
    pub const CONFIG_MSIX_VECTOR: u64 = 0x10;
    /// How many queues there are; 16 bits.
    pub const NUM_QUEUES: u64 = 0x12;
    /// Device status, of which writing 0 resets; 8 bits.
    pub const DEVICE_STATUS: u64 = 0x14;
    /// Changes whenever the configuration does; 8 bits.
    pub const CONFIG_GENERATION: u64 = 0x15;
    /// Selects the queue that the following are about; 16 bits.
    pub const QUEUE_SELECT: u64 = 0x16;
    /// Size: at first the largest, and 0 where there is no queue; 16 bits.
    pub const QUEUE_SIZE: u64 = 0x18;
    /// Vector; 16 bits.
    pub const QUEUE_MSIX_VECTOR: u64 = 0x1a;
    /// In use; 16 bits.
    pub const QUEUE_ENABLE: u64 = 0x1c;
    /// Where to notify, in units of the multiplier; 16 bits.
    pub const QUEUE_NOTIFY_OFF: u64 = 0x1e;
    /// Descriptor table, low half; 32 bits.
    pub const QUEUE_DESC: u64 = 0x20;
    /// High half.
    pub const QUEUE_DESC_HIGH: u64 = 0x24;
    /// Available ring, low half; 32 bits.
    pub const QUEUE_DRIVER: u64 = 0x28;
    /// High half.
    pub const QUEUE_DRIVER_HIGH: u64 = 0x2c;
    /// Used ring, low half; 32 bits.
    pub const QUEUE_DEVICE: u64 = 0x30;
    /// High half.
    pub const QUEUE_DEVICE_HIGH: u64 = 0x34;
    /// The end of these.
    pub const END: usize = 0x38;
}

/// No vector (4.1.5.1.2).
pub const NO_VECTOR: u16 = 0xffff;

bitflags! {
    /// ISR status (4.1.4.5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Isr: u8 {
        /// Buffers were used.
        const QUEUE = 1;
        /// The configuration changed, or the device needs a reset.
        const CONFIG = 2;
    }
}
