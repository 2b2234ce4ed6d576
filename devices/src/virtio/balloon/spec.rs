//! The memory balloon (Virtio 1.2, section 5.5).

use bitflags::bitflags;

bitflags! {
    /// Feature bits (5.5.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// The driver may take pages out of the balloon when memory is short.
        const DEFLATE_ON_OOM = 1 << 2;
        /// `poison_val` is valid.
        const PAGE_POISON = 1 << 4;
        /// There is a queue for reports of free pages.
        const REPORTING = 1 << 5;
    }
}

/// Pages as balloons count them, on any machine (5.5.6).
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a page's number.
pub const PFN_BYTES: usize = 4;

/// Offset of `actual` in the configuration space (5.5.4).
pub const ACTUAL: usize = 4;
/// Of `poison_val`.
pub const POISON_VAL: usize = 12;
/// Bytes of the configuration space.
pub const CONFIG_BYTES: usize = 16;
