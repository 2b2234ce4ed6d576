//! Registers, keys and structures of QEMU's firmware configuration device
//! (QEMU's documentation, "QEMU Firmware Configuration (fw_cfg) Device"), in the form
//! that boards with memory-mapped registers have. All numbers in registers and in the
//! DMA structure are big-endian; items are little-endian unless said otherwise.

/// The data of the selected item, in the order of addresses.
pub const DATA: u64 = 0;
/// Bytes of [`DATA`].
pub const DATA_BYTES: u64 = 8;
/// Selects an item: 16 bits.
pub const SELECTOR: u64 = 8;
/// The DMA structure's address: upper half, then lower half, whose write begins it.
pub const DMA: u64 = 16;
/// Bytes of the register window.
pub const WINDOW: u64 = 24;

/// What [`DMA`] reads: "QEMU CFG".
pub const DMA_SIGNATURE: u64 = 0x5145_4d55_2043_4647;

/// Keys of items.
pub mod key {
    /// "QEMU".
    pub const SIGNATURE: u16 = 0x0000;
    /// Features: see [`super::ID_FEATURES`].
    pub const ID: u16 = 0x0001;
    /// 16 bits: CPUs.
    pub const NB_CPUS: u16 = 0x0005;
    /// 32 bits: bytes of the kernel.
    pub const KERNEL_SIZE: u16 = 0x0008;
    /// 32 bits: bytes of the initrd.
    pub const INITRD_SIZE: u16 = 0x000b;
    /// 16 bits: the most CPUs there may be.
    pub const MAX_CPUS: u16 = 0x000f;
    /// The kernel.
    pub const KERNEL_DATA: u16 = 0x0011;
    /// The initrd.
    pub const INITRD_DATA: u16 = 0x0012;
    /// 32 bits: bytes of the command line, its NUL included.
    pub const CMDLINE_SIZE: u16 = 0x0014;
    /// The command line, ended by NUL.
    pub const CMDLINE_DATA: u16 = 0x0015;
    /// The directory of named items.
    pub const FILE_DIR: u16 = 0x0019;
    /// The first named item.
    pub const FILE_FIRST: u16 = 0x0020;
    /// Key bits that name an item: bit 14 asks to write it, which is not possible.
    pub const MASK: u16 = 0xbfff;
}

/// The traditional interface and DMA.
pub const ID_FEATURES: u32 = 3;
/// Bytes for a name in the directory, its NUL included.
pub const NAME_BYTES: usize = 56;

bitflags::bitflags! {
    /// The control word of a DMA structure, less the key in its upper half.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Control: u32 {
        /// It failed.
        const ERROR = 1 << 0;
        /// Copy from the item to memory.
        const READ = 1 << 1;
        /// Go on in the item.
        const SKIP = 1 << 2;
        /// Select the item of the key first.
        const SELECT = 1 << 3;
        /// Copy from memory to the item.
        const WRITE = 1 << 4;
    }
}
