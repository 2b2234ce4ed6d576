//! The block device (Virtio 1.2, section 5.2).

use bitflags::bitflags;

/// Bytes of a request's header.
pub const HEADER_BYTES: u64 = 16;
/// Bytes of the identifier that GET_ID gives.
pub const ID_BYTES: usize = 20;
/// Bytes of the configuration space up to and including `write_zeroes_may_unmap` with
/// what is unused after it.
pub const CONFIG_BYTES: usize = 60;
/// Bytes of a range to discard or to make zeros.
pub const RANGE_BYTES: u64 = 16;
/// A range's flag: its room may be given back.
pub const RANGE_UNMAP: u32 = 1 << 0;

bitflags! {
    /// Feature bits (5.2.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// `seg_max` is valid.
        const SEG_MAX = 1 << 2;
        /// Read-only.
        const RO = 1 << 5;
        /// `blk_size` is valid.
        const BLK_SIZE = 1 << 6;
        /// There is a cache that can be flushed.
        const FLUSH = 1 << 9;
        /// The fields of the topology are valid.
        const TOPOLOGY = 1 << 10;
        /// There are several queues.
        const MQ = 1 << 12;
        /// Room can be given back.
        const DISCARD = 1 << 13;
        /// Sectors can be made zeros.
        const WRITE_ZEROES = 1 << 14;
    }
}

/// Kinds of request (5.2.6).
pub mod kind {
    /// Read.
    pub const IN: u32 = 0;
    /// Write.
    pub const OUT: u32 = 1;
    /// Make completed writes durable.
    pub const FLUSH: u32 = 4;
    /// Read the identifier.
    pub const GET_ID: u32 = 8;
    /// Give room back.
    pub const DISCARD: u32 = 11;
    /// Make sectors zeros.
    pub const WRITE_ZEROES: u32 = 13;
}

/// The last byte of a request, written by the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RequestStatus {
    /// Done.
    Ok = 0,
    /// Failed.
    IoErr = 1,
    /// A kind of request not known here.
    Unsupp = 2,
}
