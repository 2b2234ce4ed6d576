//! What all virtio devices and transports have in common (Virtio 1.2, sections 2
//! and 6).

use bitflags::bitflags;

bitflags! {
    /// Device status (2.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u32 {
        /// The driver has noticed the device.
        const ACKNOWLEDGE = 1;
        /// The driver knows how to drive it.
        const DRIVER = 2;
        /// The driver is set up.
        const DRIVER_OK = 4;
        /// Negotiation is complete; refused by the device by leaving it 0.
        const FEATURES_OK = 8;
        /// The device cannot go on until it is reset.
        const DEVICE_NEEDS_RESET = 64;
        /// The driver has given up.
        const FAILED = 128;
    }

    /// Feature bits that belong to no device (6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// Legacy: any layout of descriptors is understood (6.3).
        const ANY_LAYOUT = 1 << 27;
        /// Indirect descriptors (2.7.5.3).
        const INDIRECT_DESC = 1 << 28;
        /// `used_event` and `avail_event` (2.7.7, 2.7.10).
        const EVENT_IDX = 1 << 29;
        /// Not the legacy interface.
        const VERSION_1 = 1 << 32;
    }
}

/// Device identifiers (5).
pub mod id {
    /// No device.
    pub const NONE: u32 = 0;
    /// Network card.
    pub const NETWORK: u32 = 1;
    /// Block device.
    pub const BLOCK: u32 = 2;
    /// Console.
    pub const CONSOLE: u32 = 3;
    /// Entropy source.
    pub const ENTROPY: u32 = 4;
    /// Memory balloon.
    pub const BALLOON: u32 = 5;
    /// 9P transport.
    pub const P9: u32 = 9;
    /// Socket device.
    pub const VSOCK: u32 = 19;
}

/// Flag of the available ring: no interrupts, please (2.7.6).
pub const VIRTQ_AVAIL_F_NO_INTERRUPT: u16 = 1;

/// Bytes of a descriptor table with `size` entries (2.7).
pub const fn descriptor_bytes(size: u16) -> u64 {
    16 * size as u64
}

/// Bytes of an available ring with `size` entries, `used_event` included.
pub const fn avail_bytes(size: u16) -> u64 {
    6 + 2 * size as u64
}

/// Bytes of a used ring with `size` entries, `avail_event` included.
pub const fn used_bytes(size: u16) -> u64 {
    6 + 8 * size as u64
}
