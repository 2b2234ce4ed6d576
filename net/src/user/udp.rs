//! UDP: a socket of the host's for each port that the guest sends from.
//!
//! Endpoint-independent mapping (RFC 4787 REQ-1): a guest's port is the same to all of
//! the world, so programs that tell each other their addresses find each other. Answers
//! come in only from addresses that the guest has sent to (REQ-8). As long as there is
//! only one such, the socket is connected to it: then the host tells of unreachable
//! ports, and we tell the guest. TFTP servers answer from other ports, so that port is
//! never connected to.
//!
//! Queries to the name server have a socket of their own, connected to one of the host's
//! name servers; who asks again without having had an answer is led to the next, and
//! others first ask those that answer.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendFlags, bind, connect, connect_unspec, getsockname, recvfrom, send, sendto,
};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::Ipv4Packet;

use super::agenda::{Agenda, Kind, Token};
use super::dns::{self, Servers};
use super::host::Host;
use super::icmp::{self, quote, unreachable, unreachable_quoted};
use super::lan::{DNS, Endpoint, GATEWAY, Lan};
use super::table::{Row, Table};
use super::tcp::Around;

/// Ports of the guest's at a time.
pub(crate) const FLOWS: usize = 512;
/// Addresses that a port remembers to have sent to.
const PEERS: usize = 128;
/// Datagrams that one port gets before the next has its turn.
const TURN: usize = 32;
const IDLE: Duration = Duration::from_secs(60);
const DNS_IDLE: Duration = Duration::from_secs(10);
/// A query that is sent again so much later was not answered.
const DNS_RETRY: Duration = Duration::from_millis(900);
const TFTP: u16 = 69;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    guest: Endpoint,
    dns: bool,
}

/// What is known of a port.
struct Sent {
    /// Where the socket is connected to.
    only: Option<SocketAddr>,
    peers: VecDeque<Ipv4Addr>,
    /// The beginning of the last packet sent, and where it went.
    quoted: Vec<u8>,
    quoted_to: Ipv4Addr,
    at: Instant,
    answered: bool,
}

type Flow = Row<Key, Sent>;

pub(crate) struct Flows {
    flows: Table<Key, Sent>,
    servers: Servers,
    warned: bool,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            flows: Table::new(Kind::Udp, FLOWS),
            servers: Servers::default(),
            warned: false,
        }
    }
}

impl Flows {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Sends a datagram of the guest's to the world, or to the host.
    pub(crate) fn send<H: Host>(
        &mut self,
        packet: &Ipv4Packet<&[u8]>,
        from: u16,
        to: SocketAddrV4,
        payload: &[u8],
        around: &mut Around<'_, H>,
    ) {
        let key = Key {
            guest: (packet.src_addr(), from),
            dns: false,
        };
        let sent = self.flow(key, SocketAddr::V4(to), around).and_then(|flow| {
            flow.sending(packet, around);
            flow.aim(to)?;
            match flow.of.only {
                Some(_) => send(&flow.socket, payload, SendFlags::NOSIGNAL),
                None => sendto(&flow.socket, payload, SendFlags::NOSIGNAL, &to),
            }
        });
        failed(sent.err(), packet, around.lan);
    }

    /// Sends a query of the guest's to a name server.
    pub(crate) fn query<H: Host>(
        &mut self,
        packet: &Ipv4Packet<&[u8]>,
        from: u16,
        servers: &[SocketAddr],
        payload: &[u8],
        around: &mut Around<'_, H>,
    ) {
        let key = Key {
            guest: (packet.src_addr(), from),
            dns: true,
        };
        let mut list = self.nameservers(servers, around.now);
        if let Some(flow) = self.flows.by_key(&key) {
            let at = list.iter().position(|server| Some(*server) == flow.of.only);
            match at {
                Some(at) if !flow.is_unanswered(around.now) => list.swap(0, at),
                // Again, and then to another one; or its server is none any more.
                at => {
                    if let Some(at) = at {
                        let passed_over = list.remove(at);
                        list.push(passed_over);
                    }
                    self.flows.remove(&key, around.agenda);
                }
            }
        }
        let mut error = None;
        for server in list {
            match self.ask(key, server, packet, payload, around) {
                Ok(()) => return,
                Err(failed) => error = Some(failed),
            }
            self.servers.silent(server, around.now, around.now);
            self.flows.remove(&key, around.agenda);
        }
        failed(error, packet, around.lan);
    }

    /// Sends a query to the server, from a socket that is connected to it or to nothing.
    fn ask<H: Host>(
        &mut self,
        key: Key,
        server: SocketAddr,
        packet: &Ipv4Packet<&[u8]>,
        payload: &[u8],
        around: &mut Around<'_, H>,
    ) -> Result<(), Errno> {
        let flow = self.flow(key, server, around)?;
        if flow.of.only.is_none() {
            connect(&flow.socket, &server)?;
            flow.of.only = Some(server);
        }
        flow.sending(packet, around);
        flow.of.answered = false;
        send(&flow.socket, payload, SendFlags::NOSIGNAL).map(drop)
    }

    /// Name servers in the order in which they are to be asked: those that owe somebody an
    /// answer come last.
    pub(crate) fn nameservers(&mut self, list: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        for flow in self.flows.rows().filter(|flow| flow.is_unanswered(now)) {
            if let Some(server) = flow.of.only {
                self.servers.silent(server, flow.of.at, now);
            }
        }
        self.servers.ordered(list, now)
    }

    /// The socket of a guest's port, made if there is none.
    fn flow<H: Host>(
        &mut self,
        key: Key,
        to: SocketAddr,
        around: &mut Around<'_, H>,
    ) -> Result<&mut Flow, Errno> {
        if self.flows.by_key(&key).is_none() {
            self.open(key, to.ip(), around)?;
        }
        self.flows.by_key(&key).ok_or(Errno::NOBUFS)
    }

    fn open<H: Host>(
        &mut self,
        key: Key,
        to: IpAddr,
        around: &mut Around<'_, H>,
    ) -> Result<(), Errno> {
        if self.flows.is_full() && !std::mem::replace(&mut self.warned, true) {
            log::warn!(
                "the guest sends UDP from more than {FLOWS} ports; the idlest are forgotten"
            );
        }
        let socket = around.host.udp(to)?;
        let sent = Sent {
            only: None,
            peers: VecDeque::new(),
            quoted: Vec::new(),
            quoted_to: GATEWAY,
            at: around.now,
            answered: true,
        };
        let patience = if key.dns { DNS_IDLE } else { IDLE };
        self.flows.add((key, socket, sent), patience, around)?;
        Ok(())
    }

    pub(crate) fn ready(&mut self, token: Token, agenda: &mut Agenda) {
        self.flows.ready(token, agenda);
    }

    pub(crate) fn rang(&mut self, token: Token, now: Instant, agenda: &mut Agenda) {
        self.flows.rang(token, now, agenda);
    }

    /// Datagrams for the guest.
    pub(crate) fn work<H: Host>(
        &mut self,
        token: Token,
        scratch: &mut [u8],
        around: &mut Around<'_, H>,
    ) {
        let Some(flow) = self.flows.by_token(token) else {
            return;
        };
        flow.served();
        let mut failures = 0;
        for _ in 0..TURN {
            if !around.lan.has_room() {
                break;
            }
            match recvfrom(&flow.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((count, _, from)) => {
                    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                    let from = from.or(flow.of.only);
                    if let Some(from) = from.and_then(|from| flow.source(from)) {
                        flow.used(around.now, around.agenda);
                        flow.of.answered = true;
                        if let Some(server) = flow.of.only.filter(|_| flow.key.dns) {
                            self.servers.heard(server, around.now);
                        }
                        let payload = scratch.get(..count).unwrap_or_default();
                        around.lan.udp(from, flow.key.guest, payload);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => match icmp::reason(error) {
                    Some(reason) => {
                        if let Some(server) = flow.of.only.filter(|_| flow.key.dns) {
                            self.servers.silent(server, flow.of.at, around.now);
                        }
                        let ((guest, _), sent) = (flow.key.guest, &flow.of);
                        unreachable_quoted(sent.quoted_to, guest, &sent.quoted, reason, around.lan);
                    }
                    // Of whatever else, what is behind it is not told of again.
                    None => failures += 1,
                },
            }
        }
        // One that only fails waits for its next event.
        if failures < TURN {
            flow.again(around.agenda);
        }
    }
}

impl Flow {
    /// Whether it asked a name server that had the time to answer.
    fn is_unanswered(&self, now: Instant) -> bool {
        self.key.dns && !self.of.answered && now >= self.of.at + DNS_RETRY
    }

    /// Notes that a packet is being sent.
    fn sending<H>(&mut self, packet: &Ipv4Packet<&[u8]>, around: &mut Around<'_, H>) {
        self.used(around.now, around.agenda);
        self.of.at = around.now;
        quote(packet, &mut self.of.quoted);
        self.of.quoted_to = packet.dst_addr();
    }

    /// Makes the socket one that can send to `to` and hear from there.
    fn aim(&mut self, to: SocketAddrV4) -> Result<(), Errno> {
        let peers = &mut self.of.peers;
        let first = peers.is_empty();
        if !peers.contains(to.ip()) {
            if peers.len() == PEERS {
                peers.pop_front();
            }
            peers.push_back(*to.ip());
        }
        let to = SocketAddr::V4(to);
        if first && to.port() != TFTP {
            connect(&self.socket, &to)?;
            self.of.only = Some(to);
        } else if self.of.only.is_some_and(|only| only != to) {
            self.widen()?;
        }
        Ok(())
    }

    /// Takes the connection off the socket, which keeps its port.
    fn widen(&mut self) -> Result<(), Errno> {
        let own = getsockname(&self.socket).and_then(SocketAddr::try_from)?;
        connect_unspec(&self.socket)?;
        self.of.only = None;
        // Unconnected, a socket loses a port that it was given; if another took it in
        // between, the next datagram gets it a new one.
        let _ = bind(
            &self.socket,
            &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, own.port()),
        );
        Ok(())
    }

    /// What the guest is to see as the sender; nothing, where it did not send to.
    fn source(&self, from: SocketAddr) -> Option<Endpoint> {
        if self.key.dns {
            return Some((DNS, dns::PORT));
        }
        let SocketAddr::V4(from) = from else {
            return None;
        };
        let shown = match from.ip().is_loopback() {
            true => GATEWAY,
            false => *from.ip(),
        };
        let known = self.of.peers.contains(from.ip());
        known.then_some((shown, from.port()))
    }
}

/// Tells the guest of an error of sending.
fn failed(error: Option<Errno>, packet: &Ipv4Packet<&[u8]>, lan: &mut Lan) {
    if let Some(reason) = error.and_then(icmp::reason) {
        unreachable(packet, reason, lan);
    }
}
