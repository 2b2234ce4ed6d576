//! A network for a guest that needs no rights on the host: the guest's connections
//! become the host's sockets.
//!
//! The guest sees a small network of its own, 10.0.2.0/24: a gateway 10.0.2.2, a name
//! server 10.0.2.3, and itself, 10.0.2.15, which it learns by DHCP. [`UserNet`] plays all
//! machines of it but the guest, and stands for the rest of the world:
//!
//! | module | what |
//! |---|---|
//! | `nat` | where each packet leads; the machine with explicit inputs |
//! | `run` | the thread around that, which waits for sockets and the cable |
//! | `lan` | addresses, ARP, packets for the guest, their checksums |
//! | `tcp` | connections both ways, each with a little stack of its own |
//! | `udp`, `dns`, `icmp` | datagrams, queries, echo requests and errors |
//! | `publish` | ports of the host that lead to the guest |
//! | `dhcp`, `tftp` | what a guest boots from |
//! | `fragments` | puts the guest's IPv4 fragments together |
//! | `host`, `agenda` | where sockets come from; who is served next, and when |
//!
//! **What a guest cannot do.** It cannot reach the host's own addresses (unless
//! [`UserConfig::host`] lets the gateway stand for 127.0.0.1) nor, without the same leave,
//! 169.254.0.0/16, 100.100.100.200, 168.63.129.16 and 192.0.0.192, where clouds answer a
//! host with what is its own secret. It cannot send with foreign source addresses, use more sockets than `tcp::FLOWS` and `udp::FLOWS` and
//! some say, or make anything grow without bound: where the guest does not take what is
//! for it, sockets are not read, and where a socket takes nothing, the guest's window
//! closes. The buffers of all its TCP connections are 256 MiB at most: they are smaller
//! for connections that are opened beside many others.
//!
//! **Checksums.** A cable is memory, so nothing breaks on it. Whether TCP and UDP
//! checksums count is a question of what the driver was promised, which changes with
//! each reset of the NIC: so it is no configuration but said on the cable
//! ([`crate::cable::NicEnd::set_offloads`]). Until said otherwise all are made and
//! checked; those of IPv4 headers always are.
//!
//! **Sizes.** Packets are as large as [`UserConfig::mtu`] says where the guest shows (by
//! the MSS of its connections) that it takes as much, else 1500 bytes; larger datagrams
//! go to it in fragments.
//!
//! **What is not here.** IPv6: its packets are ignored, so guests that try it first go
//! on with IPv4. Multicast and broadcasts beyond DHCP lead nowhere.

mod agenda;
mod dhcp;
mod dns;
mod fragments;
mod host;
mod icmp;
mod lan;
mod nat;
mod publish;
mod run;
#[doc(hidden)]
pub mod sample;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod tftp;
mod udp;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

pub use run::UserNet;

/// What [`UserConfig::mtu`] may be: from what every IPv4 host takes (RFC 791 3.1) up to
/// the longest packet whose frame is still shorter than 64 KiB.
pub const MTU: RangeInclusive<u16> = 576..=65520;

/// How a user-mode network is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserConfig {
    /// Bytes of the largest IPv4 packet, within [`MTU`]. The NIC tells its driver.
    pub mtu: u16,
    /// Whether 10.0.2.2 stands for the host's 127.0.0.1, and 169.254.0.0/16 and other
    /// addresses of clouds' metadata are reached.
    pub host: bool,
    /// Whether nothing leaves but answers of published ports: no names either.
    pub restrict: bool,
    /// Ports of the host that lead to the guest.
    pub publish: Vec<Publish>,
    /// Name servers behind 10.0.2.3; when empty, those of the host at the time.
    pub nameservers: Vec<SocketAddr>,
    /// What DHCP says that the guest is called.
    pub hostname: Option<String>,
    /// A folder whose files can be read by TFTP from 10.0.2.2.
    pub tftp: Option<PathBuf>,
    /// The file of it that DHCP says to boot.
    pub bootfile: Option<String>,
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            mtu: *MTU.end(),
            host: false,
            restrict: false,
            publish: Vec::new(),
            nameservers: Vec::new(),
            hostname: None,
            tftp: None,
            bootfile: None,
        }
    }
}

/// A port of the host that leads to one of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Of which protocol.
    pub proto: Proto,
    /// Where the host listens.
    pub bind: SocketAddr,
    /// The port of 10.0.2.15.
    pub guest_port: u16,
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto = match self.proto {
            Proto::Tcp => "TCP",
            Proto::Udp => "UDP",
        };
        write!(
            f,
            "{proto} {} as the guest's {}",
            self.bind, self.guest_port
        )
    }
}

/// What a port is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The MTU is out of range.
    #[error("an MTU of {mtu} bytes is asked for, but it has to be from {least} to {most}")]
    Mtu {
        /// What was asked for.
        mtu: u16,
        /// The smallest.
        least: u16,
        /// The largest.
        most: u16,
    },
    /// A published port is not to be had.
    #[error(
        "cannot publish {publish}: {source}; choose another port or address of the host, \
         or stop what uses it"
    )]
    Publish {
        /// Which.
        publish: Publish,
        /// What the host says.
        source: io::Error,
    },
    /// The folder of files is not to be had.
    #[error("cannot serve {} by TFTP: {source}; name a folder that can be read", folder.display())]
    Tftp {
        /// Which.
        folder: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// The host grants no descriptors, or no thread.
    #[error(
        "the host cannot run a user-mode network: {0}; it may be out of descriptors or threads"
    )]
    Host(io::Error),
}
