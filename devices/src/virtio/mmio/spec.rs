//! Registers of virtio over MMIO (Virtio 1.2, sections 4.2.2 and 4.2.4).

use bitflags::bitflags;

/// "virt".
pub const MAGIC: u32 = 0x7472_6976;
/// "QEMU": a vendor's number of its own choosing, but teaching kernels made for that
/// board take no other.
pub const VENDOR: u32 = 0x554d_4551;
/// Bytes of one slot's window on `virt`.
pub const SLOT_SIZE: u64 = 0x1000;

/// Reads [`MAGIC`].
pub const MAGIC_VALUE: u64 = 0x000;
/// 2, or 1 for the legacy interface.
pub const VERSION: u64 = 0x004;
/// Kind of device.
pub const DEVICE_ID: u64 = 0x008;
/// [`VENDOR`].
pub const VENDOR_ID: u64 = 0x00c;
/// Feature bits of the device, 32 of them as selected.
pub const DEVICE_FEATURES: u64 = 0x010;
/// Selects them.
pub const DEVICE_FEATURES_SEL: u64 = 0x014;
/// Feature bits that the driver accepts.
pub const DRIVER_FEATURES: u64 = 0x020;
/// Selects them.
pub const DRIVER_FEATURES_SEL: u64 = 0x024;
/// Legacy: unit of QueuePFN.
pub const GUEST_PAGE_SIZE: u64 = 0x028;
/// Selects the queue that the following are about.
pub const QUEUE_SEL: u64 = 0x030;
/// Largest size; 0 where there is no queue.
pub const QUEUE_NUM_MAX: u64 = 0x034;
/// Size.
pub const QUEUE_NUM: u64 = 0x038;
/// Legacy: alignment of the used ring.
pub const QUEUE_ALIGN: u64 = 0x03c;
/// Legacy: page number of the queue, which puts it into use.
pub const QUEUE_PFN: u64 = 0x040;
/// In use.
pub const QUEUE_READY: u64 = 0x044;
/// Notifies the queue whose number is written.
pub const QUEUE_NOTIFY: u64 = 0x050;
/// Pending interrupts.
pub const INTERRUPT_STATUS: u64 = 0x060;
/// Ends them.
pub const INTERRUPT_ACK: u64 = 0x064;
/// Device status; writing 0 resets.
pub const STATUS: u64 = 0x070;
/// Descriptor table, low half.
pub const QUEUE_DESC_LOW: u64 = 0x080;
/// High half.
pub const QUEUE_DESC_HIGH: u64 = 0x084;
/// Available ring, low half.
pub const QUEUE_DRIVER_LOW: u64 = 0x090;
/// High half.
pub const QUEUE_DRIVER_HIGH: u64 = 0x094;
/// Used ring, low half.
pub const QUEUE_DEVICE_LOW: u64 = 0x0a0;
/// High half.
pub const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
/// Shared memory: length, low half. All ones: there is none.
pub const SHM_LEN_LOW: u64 = 0x0b0;
/// Shared memory: base, high half; the end of these registers.
pub const SHM_BASE_HIGH: u64 = 0x0bc;
/// Changes whenever the configuration does.
pub const CONFIG_GENERATION: u64 = 0x0fc;
/// The configuration space starts here.
pub const CONFIG: u64 = 0x100;

/// Alignment of the used ring where a legacy driver names none.
pub const DEFAULT_QUEUE_ALIGN: u32 = 4096;

bitflags! {
    /// Pending interrupts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interrupt: u32 {
        /// Buffers were used.
        const USED = 1;
        /// The configuration changed, or the device needs a reset.
        const CONFIG = 2;
    }
}
