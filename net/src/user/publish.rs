//! Published ports: what comes to a port of the host goes to one of the guest's.
//!
//! Peers appear to the guest as the gateway, each with a port of its own there: the one
//! that it has in truth, or the next that is free.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, acceptfrom_with, recvfrom, sendto};
use smoltcp::time::{Duration, Instant};

use super::agenda::{Agenda, Alarm, Kind, Token};
use super::host::Host;
use super::lan::{Endpoint, GATEWAY, GUEST};
use super::tcp::{self, Around};
use super::{NetError, Proto, Publish};

/// UDP peers at a time, of all published ports together.
const PEERS: usize = 1024;
const IDLE: Duration = Duration::from_secs(60);
/// What one port gets before the next has its turn.
const TURN: usize = 32;
/// How long until a host that is out of descriptors is asked again for a connection.
const PAUSE: Duration = Duration::from_millis(500);

struct Port {
    socket: OwnedFd,
    guest_port: u16,
    queued: bool,
    alarm: Alarm,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    token: Token,
    address: SocketAddr,
}

/// All published ports of a network.
#[derive(Default)]
pub(crate) struct Published {
    ports: HashMap<Token, Port>,
    /// Peers of UDP by their port at the gateway, and when they were last heard.
    peers: HashMap<u16, (Peer, Instant)>,
    by_peer: HashMap<Peer, u16>,
    next: u16,
}

impl Published {
    /// Opens them on the host.
    pub(crate) fn open<H: Host>(
        list: &[Publish],
        host: &mut H,
        agenda: &mut Agenda,
    ) -> Result<Self, NetError> {
        let mut published = Self::default();
        for publish in list {
            let kind = match publish.proto {
                Proto::Tcp => Kind::Listener,
                Proto::Udp => Kind::PublishedUdp,
            };
            let token = agenda.token(kind);
            let opened = match publish.proto {
                Proto::Tcp => host.listen(publish.bind),
                Proto::Udp => host.bind(publish.bind),
            };
            let watched = opened.and_then(|socket| {
                host.watch(socket.as_fd(), token)?;
                Ok(socket)
            });
            let socket = watched.map_err(|error| NetError::Publish {
                publish: *publish,
                source: error.into(),
            })?;
            let port = Port {
                socket,
                guest_port: publish.guest_port,
                queued: false,
                alarm: Alarm::default(),
            };
            published.ports.insert(token, port);
        }
        Ok(published)
    }

    pub(crate) fn ready(&mut self, token: Token, agenda: &mut Agenda) {
        if let Some(port) = self.ports.get_mut(&token) {
            agenda.serve(token, &mut port.queued);
        }
    }

    pub(crate) fn rang(&mut self, token: Token, agenda: &mut Agenda) {
        if let Some(port) = self.ports.get_mut(&token) {
            port.alarm.rang();
            agenda.serve(token, &mut port.queued);
        }
    }

    /// Connections that wait at a port.
    pub(crate) fn accept<H: Host>(
        &mut self,
        token: Token,
        flows: &mut tcp::Flows,
        around: &mut Around<'_, H>,
    ) {
        let Some(port) = self.ports.get_mut(&token) else {
            return;
        };
        port.queued = false;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        for _ in 0..TURN {
            match acceptfrom_with(&port.socket, flags) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    if let Some(peer) = peer {
                        // A refinement that a connection works without.
                        let _ = set_tcp_nodelay(&socket, true);
                        flows.accept(socket, peer, port.guest_port, around);
                    }
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    let later = around.now + PAUSE;
                    return around.agenda.wake(token, &mut port.alarm, later);
                }
            }
        }
        around.agenda.serve(token, &mut port.queued);
    }

    /// Datagrams that came to a port.
    pub(crate) fn work<H: Host>(
        &mut self,
        token: Token,
        scratch: &mut [u8],
        around: &mut Around<'_, H>,
    ) {
        let Some(port) = self.ports.get_mut(&token) else {
            return;
        };
        port.queued = false;
        let mut failures = 0;
        for _ in 0..TURN {
            let Some(port) = self.ports.get(&token).filter(|_| around.lan.has_room()) else {
                break;
            };
            match recvfrom(&port.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((count, _, from)) => {
                    let to = (GUEST, port.guest_port);
                    let address = from.and_then(|from| SocketAddr::try_from(from).ok());
                    let peer = address.map(|address| Peer { token, address });
                    if let Some(from) = peer.and_then(|peer| self.shown(peer, around.now)) {
                        let payload = scratch.get(..count).unwrap_or_default();
                        around.lan.udp((GATEWAY, from), to, payload);
                    }
                }
                Err(Errno::AGAIN) => return,
                // An answer that reached nobody, told on the port's socket.
                Err(Errno::INTR | Errno::CONNREFUSED) => {}
                // Of whatever else, what is behind it is not told of again.
                Err(_) => failures += 1,
            }
        }
        // One that only fails waits for its next event.
        if let Some(port) = self.ports.get_mut(&token).filter(|_| failures < TURN) {
            around.agenda.serve(token, &mut port.queued);
        }
    }

    /// The port at the gateway that stands for a peer.
    fn shown(&mut self, peer: Peer, now: Instant) -> Option<u16> {
        if let Some(port) = self.by_peer.get(&peer) {
            let (_, heard) = self.peers.get_mut(port)?;
            *heard = now;
            return Some(*port);
        }
        if self.peers.len() >= PEERS {
            self.forget(now);
        }
        let free = |port: &u16| *port >= 1024 && !self.peers.contains_key(port);
        let from = self.next.max(1024);
        let mut wanted = std::iter::once(peer.address.port())
            .chain(from..=u16::MAX)
            .chain(1024..from);
        let port = wanted.find(free)?;
        self.next = port.wrapping_add(1);
        self.peers.insert(port, (peer, now));
        self.by_peer.insert(peer, port);
        Some(port)
    }

    /// Forgets who was silent for long, or else whoever was for longest.
    fn forget(&mut self, now: Instant) {
        let oldest = self.peers.iter().min_by_key(|(_, (_, heard))| *heard);
        let oldest = oldest.map(|(port, _)| *port);
        self.peers.retain(|port, (peer, heard)| {
            let keep = Some(*port) != oldest && now < *heard + IDLE;
            if !keep {
                self.by_peer.remove(peer);
            }
            keep
        });
    }

    /// Sends a guest's answer to the peer that a port of the gateway stands for. Whether
    /// there is one.
    pub(crate) fn answer(&mut self, from: Endpoint, to: u16, payload: &[u8], now: Instant) -> bool {
        let Some((peer, heard)) = self.peers.get_mut(&to) else {
            return false;
        };
        let port = self.ports.get(&peer.token);
        let Some(port) = port.filter(|port| port.guest_port == from.1 && from.0 == GUEST) else {
            return false;
        };
        *heard = now;
        // What cannot be sent is lost, as UDP is.
        let _ = sendto(&port.socket, payload, SendFlags::NOSIGNAL, &peer.address);
        true
    }
}
