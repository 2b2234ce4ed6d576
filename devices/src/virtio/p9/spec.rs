//! The 9P transport (device 9 of Virtio 1.2, section 5; Linux's `virtio_9p.h` says the
//! rest, which the specification does not), and what it must know of 9P.

use bitflags::bitflags;

bitflags! {
    /// Feature bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// The configuration space holds the tag.
        const MOUNT_TAG = 1 << 0;
    }
}

/// Bytes of a tag at most. Its length could say more, which nobody would type.
pub const TAG_MAX: usize = 255;
/// Bytes of a message's length, kind and tag.
pub const HEADER_BYTES: u64 = 7;
/// Bytes of an answer that says an error.
pub const ERROR_BYTES: usize = 11;
/// The kind of such an answer.
pub const RLERROR: u8 = 7;

/// Error numbers, as Linux has them.
pub mod errno {
    /// Input or output has failed.
    pub const EIO: u32 = 5;
    /// The message is too long.
    pub const EMSGSIZE: u32 = 90;
}
