//! The configuration space (PCI Local Bus Specification 3.0, chapter 6) and its place in
//! memory (PCI Express Base Specification 5.0, section 7.2.2).

use bitflags::bitflags;

/// Slots on a bus: a device number has five bits.
pub const SLOTS: usize = 32;
/// Bytes that each function has behind ECAM.
pub const ECAM_FUNCTION_BYTES: u64 = 4096;
/// Functions of a bus behind ECAM: eight a slot.
pub const FUNCTIONS: u64 = 256;
/// Bytes of the configuration space that PCI knows. What PCI Express adds behind it is
/// empty here: it reads as zero.
pub const CONFIG_BYTES: usize = 256;

/// Offsets into the header, type 0 (6.1).
pub mod header {
    /// Vendor, 16 bits.
    pub const VENDOR_ID: usize = 0x00;
    /// Device, 16 bits.
    pub const DEVICE_ID: usize = 0x02;
    /// [`Command`](super::Command), 16 bits.
    pub const COMMAND: usize = 0x04;
    /// [`Status`](super::Status), 16 bits.
    pub const STATUS: usize = 0x06;
    /// Revision, 8 bits.
    pub const REVISION_ID: usize = 0x08;
    /// Programming interface, sub-class, class: 8 bits each.
    pub const CLASS_CODE: usize = 0x09;
    /// For the driver's use here, 8 bits.
    pub const CACHE_LINE_SIZE: usize = 0x0c;
    /// The first base address register; there are six, of 32 bits.
    pub const BAR0: usize = 0x10;
    /// Vendor of the board that the device is on, 16 bits.
    pub const SUBSYSTEM_VENDOR_ID: usize = 0x2c;
    /// The board, 16 bits.
    pub const SUBSYSTEM_ID: usize = 0x2e;
    /// Offset of the first capability, 8 bits.
    pub const CAPABILITIES: usize = 0x34;
    /// For the driver's use, 8 bits.
    pub const INTERRUPT_LINE: usize = 0x3c;
    /// 1 for INTA#, 0 for none; 8 bits.
    pub const INTERRUPT_PIN: usize = 0x3d;
    /// End of the header: capabilities may lie from here on.
    pub const END: usize = 0x40;
}

/// Smallest size of a BAR in memory (6.2.5.1).
pub const BAR_MIN: u64 = 16;
/// Bits of a BAR that say what it is.
pub const BAR_TYPE_MASK: u32 = 0xf;
/// A memory BAR of 64 bits, which takes the next one's place as well.
pub const BAR_TYPE_64: u32 = 4;
/// Reads there have no side effects.
pub const BAR_PREFETCHABLE: u32 = 8;

bitflags! {
    /// The command register (6.2.2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// The function answers at its memory BARs.
        const MEMORY = 1 << 1;
        /// The function may access memory, and send messages.
        const MASTER = 1 << 2;
        /// Parity errors are answered to: there are none.
        const PARITY = 1 << 6;
        /// System errors are reported: there are none.
        const SERR = 1 << 8;
        /// The interrupt pin is silent.
        const INTX_DISABLE = 1 << 10;
    }

    /// The status register (6.2.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u16 {
        /// The function wants its interrupt pin, whether or not it may.
        const INTERRUPT = 1 << 3;
        /// There is a list of capabilities.
        const CAPABILITIES = 1 << 4;
    }

    /// Message control of MSI-X (6.8.2.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MsixControl: u16 {
        /// All vectors are masked.
        const FUNCTION_MASK = 1 << 14;
        /// Interrupts are messages; the pin is silent.
        const ENABLE = 1 << 15;
    }
}

/// Identifiers of capabilities (appendix H).
pub mod capability {
    /// What a vendor makes of it.
    pub const VENDOR: u8 = 0x09;
    /// MSI-X.
    pub const MSIX: u8 = 0x11;
    /// Advanced features: reset of the function (ECN "Advanced Capabilities for
    /// Conventional PCI").
    pub const ADVANCED_FEATURES: u8 = 0x13;
}

/// The capability for advanced features.
pub mod advanced {
    /// Its length in bytes.
    pub const LENGTH: u8 = 6;
    /// It tells of transactions pending, and can reset the function.
    pub const CAPABILITIES: u8 = 3;
    /// Offset of the control byte.
    pub const CONTROL: usize = 4;
    /// In it: reset the function. Reads as 0.
    pub const INITIATE_FLR: u8 = 1;
}

/// Bytes of an entry in the MSI-X table (6.8.2).
pub const MSIX_ENTRY_BYTES: u64 = 16;
/// Vector control: the vector is masked (6.8.2.9).
pub const MSIX_VECTOR_MASKED: u32 = 1;

/// Classes: class and sub-class above the programming interface (appendix D).
pub mod class {
    /// Mass storage, SCSI.
    pub const STORAGE_SCSI: u32 = 0x01_0000;
    /// Mass storage, non-volatile memory.
    pub const STORAGE_NVM: u32 = 0x01_0800;
    /// Network, Ethernet.
    pub const NETWORK_ETHERNET: u32 = 0x02_0000;
    /// Bridge, host.
    pub const BRIDGE_HOST: u32 = 0x06_0000;
    /// Simple communication, other.
    pub const COMMUNICATION_OTHER: u32 = 0x07_8000;
    /// None of the classes.
    pub const OTHER: u32 = 0x00_ff00;
}
