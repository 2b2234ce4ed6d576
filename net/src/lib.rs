//! The host's side of virtual networks: what a virtual NIC is plugged into.
//!
//! * [`cable`]: frames between a NIC and a backend, each with a thread of its own.
//! * [`pcap`]: frames written to a file.
//! * [`user`]: a network behind the host's sockets, which needs no rights.
//! * [`switch`]: a network of one user's machines on this host, which needs none either.
//! * [`tap`]: a network interface of the host's, which somebody with rights has made.
//! * [`vsock`]: no network, but sockets between a guest and this host, by the same cable.
//!
//! A frame is an ethernet frame from the destination address on, without the frame
//! check sequence and without any header of the NIC's. The crate knows no NIC and no
//! machine, and none of the other crates here.

pub mod cable;
pub mod pcap;
mod seat;
pub mod switch;
pub mod tap;
pub mod user;
pub mod vsock;
mod worker;

/// Bytes of a frame's addresses and type.
const HEADER: usize = 14;

/// Bytes of the longest frame with a payload of `mtu`, tagged twice (IEEE 802.1Q).
const fn longest(mtu: u16) -> usize {
    HEADER + 2 * 4 + mtu as usize
}
