//! The socket device (Virtio 1.2, section 5.10).

use bitflags::bitflags;

bitflags! {
    /// Feature bits (5.10.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// Stream sockets.
        const STREAM = 1 << 0;
    }
}

/// Bytes of `struct virtio_vsock_hdr` (5.10.6).
pub const HEADER_BYTES: usize = 44;
/// Where its `len` is: bytes behind the header.
pub const LEN: std::ops::Range<usize> = 24..28;
/// Where its `op` is.
pub const OP: std::ops::Range<usize> = 30..32;
/// The operation whose payload may be cut into several packets.
pub const OP_RW: u16 = 5;

/// The event that connections are gone (5.10.6.7), `struct virtio_vsock_event`.
pub const TRANSPORT_RESET: [u8; 4] = [0; 4];
