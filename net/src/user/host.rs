//! The host as the user-mode network sees it: somewhere to get sockets from. Everything
//! else (sending, receiving, errors) is done on the sockets themselves, so a test or a
//! fuzz target that hands out other sockets reaches nothing of the host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::{Errno, Result};
use rustix::net::sockopt::{set_socket_keepalive, set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, getsockname, ipproto, listen,
    socket_with,
};

use super::agenda::Token;
use super::dns;

/// Connections that wait at a published port.
const BACKLOG: i32 = 128;
/// Of an address that nobody has (RFC 5737), to see what the host says of such.
const NOBODYS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The discard service's. Nothing is sent to it.
const ANY_PORT: u16 = 9;

/// What the network asks of the host. All sockets are nonblocking.
pub(crate) trait Host {
    /// A stream socket whose connection to `to` has begun.
    fn tcp(&mut self, to: SocketAddr) -> Result<OwnedFd>;
    /// A datagram socket, neither bound nor connected.
    fn udp(&mut self, to: IpAddr) -> Result<OwnedFd>;
    /// An ICMP echo socket that is connected to `to`.
    fn ping(&mut self, to: Ipv4Addr) -> Result<OwnedFd>;
    /// A socket that listens.
    fn listen(&mut self, at: SocketAddr) -> Result<OwnedFd>;
    /// A datagram socket that is bound.
    fn bind(&mut self, at: SocketAddr) -> Result<OwnedFd>;
    /// Whether the address is one of the host's own; an error where that cannot be found
    /// out for now.
    fn is_own(&mut self, address: Ipv4Addr) -> Result<bool>;
    /// Where names are asked for, best first; never empty.
    fn nameservers(&mut self) -> Vec<SocketAddr>;
    /// Domains in which short names are looked for.
    fn search(&mut self) -> Vec<String>;
    /// Reports changes of the socket's readiness under the token, for as long as it is
    /// open.
    fn watch(&mut self, socket: BorrowedFd<'_>, token: Token) -> Result<()>;
}

/// The real one. Watches with an edge-triggered epoll: a socket is registered once, and
/// who stops reading for want of room costs no system call.
pub(crate) struct Os {
    epoll: OwnedFd,
    /// Whether sockets can be bound to addresses that the host does not have.
    binds_all: bool,
}

impl Os {
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let binds_all = can_bind(NOBODYS)?;
        if binds_all {
            log::info!(
                "the host lets sockets be bound to any address (net.ipv4.ip_nonlocal_bind): its \
                 own ones are told by the routes to them"
            );
        }
        Ok(Self { epoll, binds_all })
    }

    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Adds a descriptor that stays readable until it is cleared.
    pub(crate) fn watch_level(&self, fd: BorrowedFd<'_>, token: Token) -> Result<()> {
        let data = epoll::EventData::new_u64(token.0);
        epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)
    }
}

impl Host for Os {
    fn tcp(&mut self, to: SocketAddr) -> Result<OwnedFd> {
        let socket = open(family(to.ip()), SocketType::STREAM, None)?;
        // Either is a refinement that a connection works without.
        let _ = set_tcp_nodelay(&socket, true);
        let _ = set_socket_keepalive(&socket, true);
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error),
        }
    }

    fn udp(&mut self, to: IpAddr) -> Result<OwnedFd> {
        open(family(to), SocketType::DGRAM, None)
    }

    fn ping(&mut self, to: Ipv4Addr) -> Result<OwnedFd> {
        let socket = open(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP))?;
        connect(&socket, &SocketAddrV4::new(to, 0))?;
        Ok(socket)
    }

    fn listen(&mut self, at: SocketAddr) -> Result<OwnedFd> {
        let socket = open(family(at.ip()), SocketType::STREAM, None)?;
        // Connections of an earlier run that linger must not hold the port.
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &at)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    fn bind(&mut self, at: SocketAddr) -> Result<OwnedFd> {
        let socket = open(family(at.ip()), SocketType::DGRAM, None)?;
        bind(&socket, &at)?;
        Ok(socket)
    }

    /// Only to its own addresses does a host let sockets be bound; asking so needs
    /// neither netlink nor a list that could be out of date. A host that lets them be
    /// bound to any address is asked for the route.
    fn is_own(&mut self, address: Ipv4Addr) -> Result<bool> {
        match self.binds_all {
            true => leads_home(address),
            false => can_bind(address),
        }
    }

    fn nameservers(&mut self) -> Vec<SocketAddr> {
        dns::nameservers(&resolv_conf(), interface)
    }

    fn search(&mut self) -> Vec<String> {
        dns::search(&resolv_conf())
    }

    fn watch(&mut self, socket: BorrowedFd<'_>, token: Token) -> Result<()> {
        use epoll::EventFlags as On;
        let data = epoll::EventData::new_u64(token.0);
        let flags = On::IN | On::OUT | On::RDHUP | On::ET;
        epoll::add(&self.epoll, socket, data, flags)
    }
}

/// Whether a socket can be bound to the address.
fn can_bind(address: Ipv4Addr) -> Result<bool> {
    let socket = open(AddressFamily::INET, SocketType::DGRAM, None)?;
    match bind(&socket, &SocketAddrV4::new(address, 0)) {
        Ok(()) => Ok(true),
        Err(Errno::ADDRNOTAVAIL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether what is sent to the address would come from it: so it is only where it is the
/// host's own.
fn leads_home(address: Ipv4Addr) -> Result<bool> {
    let socket = open(AddressFamily::INET, SocketType::DGRAM, None)?;
    match connect(&socket, &SocketAddrV4::new(address, ANY_PORT)) {
        Ok(()) => {
            let source = getsockname(&socket).and_then(SocketAddr::try_from)?;
            // Of 127.0.0.0/8 all leads to the one.
            Ok(source.ip() == address || source.ip().is_loopback())
        }
        // No way there, or a broadcast.
        Err(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Read whenever it is needed: it changes with the network that the host is in.
fn resolv_conf() -> String {
    std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

/// The number of an interface.
fn interface(name: &str) -> Option<u32> {
    let path = format!("/sys/class/net/{name}/ifindex");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn family(of: IpAddr) -> AddressFamily {
    match of {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

fn open(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, kind, flags, protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_addresses_are_known_either_way() {
        let mut host = Os::new().expect("a host");
        for binds_all in [host.binds_all, true] {
            host.binds_all = binds_all;
            assert_eq!(host.is_own(Ipv4Addr::LOCALHOST), Ok(true));
            assert_eq!(host.is_own(Ipv4Addr::new(127, 3, 2, 1)), Ok(true));
            assert_eq!(host.is_own(Ipv4Addr::new(198, 51, 100, 1)), Ok(false));
        }
    }
}
