//! The host's side of virtual networks: what a virtual NIC is plugged into.
//!
//! * [`cable`]: frames between a NIC and a backend, each with a thread of its own.
//! * [`pcap`]: frames written to a file.
//! * [`user`]: a network behind the host's sockets, which needs no rights.
//!
//! A frame is an ethernet frame from the destination address on, without the frame
//! check sequence and without any header of the NIC's. The crate knows no NIC and no
//! machine, and none of the other crates here.

pub mod cable;
pub mod pcap;
pub mod user;
