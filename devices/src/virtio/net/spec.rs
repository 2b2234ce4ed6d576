//! The network device (Virtio 1.2, section 5.1).

use bitflags::bitflags;

bitflags! {
    /// Feature bits (5.1.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// The device completes checksums that the driver left partial.
        const CSUM = 1 << 0;
        /// The driver takes frames whose checksums are partial or known to be good.
        const GUEST_CSUM = 1 << 1;
        /// `mtu` is valid.
        const MTU = 1 << 3;
        /// `mac` is valid.
        const MAC = 1 << 5;
        /// The device takes TCP over IPv4 in frames longer than the MTU.
        const HOST_TSO4 = 1 << 11;
        /// A received frame may take several buffers.
        const MRG_RXBUF = 1 << 15;
        /// `status` is valid.
        const STATUS = 1 << 16;
        /// There is a control queue.
        const CTRL_VQ = 1 << 17;
        /// What is received can be chosen by mode and address.
        const CTRL_RX = 1 << 18;
        /// There are more modes of receiving.
        const CTRL_RX_EXTRA = 1 << 20;
        /// The address can be set by a command.
        const CTRL_MAC_ADDR = 1 << 23;
    }

    /// Flags of the header before a frame (5.1.6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HeaderFlags: u8 {
        /// The checksum is partial: `csum_start` and `csum_offset` say how to
        /// complete it.
        const NEEDS_CSUM = 1;
        /// The checksum is known to be good.
        const DATA_VALID = 2;
    }
}

/// Frames to the driver.
pub const RX: u16 = 0;
/// Frames from the driver.
pub const TX: u16 = 1;
/// Commands (without more pairs of queues).
pub const CONTROL: u16 = 2;

/// `status`: the link is up.
pub const LINK_UP: u16 = 1;

/// Bytes of the header, `num_buffers` included.
pub const HEADER_BYTES: usize = 12;
/// Bytes of the header for legacy drivers without mergeable buffers, which know no
/// `num_buffers`.
pub const LEGACY_HEADER_BYTES: usize = 10;

/// `gso_type` of the header: one frame.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4, to be cut into segments.
pub const GSO_TCPV4: u8 = 1;
/// Set in `gso_type` besides: congestion is signalled explicitly.
pub const GSO_ECN: u8 = 0x80;

/// Commands, by class and number (5.1.6.5).
pub mod command {
    /// Modes of receiving, one byte on or off.
    pub const RX: u8 = 0;
    /// Everything.
    pub const RX_PROMISC: u8 = 0;
    /// All multicast.
    pub const RX_ALLMULTI: u8 = 1;
    /// All unicast.
    pub const RX_ALLUNI: u8 = 2;
    /// No multicast.
    pub const RX_NOMULTI: u8 = 3;
    /// No unicast.
    pub const RX_NOUNI: u8 = 4;
    /// No broadcast.
    pub const RX_NOBCAST: u8 = 5;
    /// Addresses.
    pub const MAC: u8 = 1;
    /// Two tables to receive besides: unicast, then multicast.
    pub const MAC_TABLE_SET: u8 = 0;
    /// The device's own address.
    pub const MAC_ADDR_SET: u8 = 1;
    /// The answer: done.
    pub const OK: u8 = 0;
    /// The answer: not done.
    pub const ERR: u8 = 1;
}
