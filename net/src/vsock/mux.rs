//! All connections of a guest: packets on one side, sockets on the other. It does no
//! waiting: who holds it waits for the sockets and for the guest, and calls it.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::connection::{Connection, Key, Phase, drain};
use super::spec::{HOST_CID, Header, TYPE_STREAM, op};

/// Connections at a time, those that are about to be or to end among them.
pub(super) const CONNECTIONS: usize = 1024;
/// Programs of the host that have not said yet which port they want.
pub(super) const GREETINGS: usize = 64;
/// How long they may take to say so, and the guest to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Resets that wait to be sent. A guest that needs more goes without.
const RESETS: usize = 256;
/// Bytes of `CONNECT` with the largest port, before the line's end.
const LINE: usize = "CONNECT 4294967295\r".len();
/// Ports of the host's side of connections to the guest, from here on: no guest's
/// program connects to one.
const FIRST_PORT: u32 = 1 << 30;
const LAST_PORT: u32 = (1 << 31) - 1;

/// Where connections to the host lead.
pub(super) trait Connect {
    /// A nonblocking socket, connected to whoever serves a port.
    fn connect(&mut self, port: u32) -> Result<OwnedFd, Errno>;
}

/// A socket of the host's that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By its place in the list.
    Greeting(usize),
    Connection(Key),
    /// By its place in the list.
    Parting(usize),
}

/// Sends a packet to the guest, or gives it back.
pub(super) type Send<'a> = &'a mut dyn FnMut(Vec<u8>) -> Result<(), Vec<u8>>;

/// A program that has not said which port it wants.
struct Greeting {
    socket: OwnedFd,
    /// What it has said.
    line: Vec<u8>,
    until: Instant,
}

pub(super) struct Mux<C> {
    guest: u32,
    connector: C,
    connections: BTreeMap<Key, Connection>,
    /// Programs that have not said which port they want.
    greetings: Vec<Greeting>,
    /// What guests sent before they closed.
    partings: Vec<(OwnedFd, VecDeque<u8>)>,
    resets: VecDeque<Header>,
    /// Empty packets to be answered.
    echoes: usize,
    /// A packet that the guest's side had no room for.
    held: Option<Vec<u8>>,
    next_port: u32,
}

impl<C: Connect> Mux<C> {
    pub(super) fn new(guest: u32, connector: C) -> Self {
        Self {
            guest,
            connector,
            connections: BTreeMap::new(),
            greetings: Vec::new(),
            partings: Vec::new(),
            resets: VecDeque::new(),
            echoes: 0,
            held: None,
            next_port: FIRST_PORT,
        }
    }

    fn is_full(&self) -> bool {
        self.connections.len() + self.partings.len() >= CONNECTIONS
    }

    /// Whether another program of the host may come.
    pub(super) fn welcomes(&self) -> bool {
        self.greetings.len() < GREETINGS && !self.is_full()
    }

    /// A program of the host has come.
    pub(super) fn greet(&mut self, socket: OwnedFd, now: Instant) {
        self.greetings.push(Greeting {
            socket,
            line: Vec::new(),
            until: now + PATIENCE,
        });
    }

    /// A packet of the guest's.
    pub(super) fn hear(&mut self, packet: &[u8]) {
        if packet.is_empty() {
            return self.hang_up();
        }
        let Some((header, payload)) = Header::split(packet) else {
            return;
        };
        if header.src_cid != u64::from(self.guest) {
            // In another's name: nobody is to be answered.
            return;
        }
        if header.dst_cid != HOST_CID || header.kind != TYPE_STREAM {
            return self.refuse(&header);
        }
        let key = (header.dst_port, header.src_port);
        match (header.op, self.connections.get_mut(&key)) {
            (op::RST, _) => self.part(key),
            (op::REQUEST, None) => self.request(key, &header),
            (_, None) => self.refuse(&header),
            (_, Some(connection)) => {
                let heard = connection.hear(&header, payload);
                let over = connection.is_over();
                if heard.is_err() || over {
                    self.refuse(&header);
                    self.part(key);
                } else if header.op == op::RESPONSE {
                    self.welcome(key, &header);
                }
            }
        }
    }

    /// The guest's side starts anew.
    fn hang_up(&mut self) {
        self.connections.clear();
        self.resets.clear();
        // An answer that waits is still owed.
        let owed = self.held.take().is_some_and(|packet| packet.is_empty());
        self.echoes += 1 + usize::from(owed);
    }

    fn request(&mut self, key: Key, header: &Header) {
        if self.is_full() {
            return self.refuse(header);
        }
        match self.connector.connect(key.0) {
            Ok(socket) => {
                let connection = Connection::granted(socket, header);
                self.connections.insert(key, connection);
            }
            Err(error) => {
                log::debug!("vsock: nobody serves port {}: {error}", key.0);
                self.refuse(header);
            }
        }
    }

    /// Tells the program that asked for a connection that it is there.
    fn welcome(&mut self, key: Key, header: &Header) {
        let line = format!("OK {}\n", key.0);
        let Some(connection) = self.connections.get(&key) else {
            return;
        };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // Nothing was sent before it, so there is room unless nobody is there.
        if send(connection.fd(), line.as_bytes(), flags) != Ok(line.len()) {
            self.refuse(header);
            self.connections.remove(&key);
        }
    }

    fn refuse(&mut self, header: &Header) {
        if header.op != op::RST && self.resets.len() < RESETS {
            self.resets.push_back(header.reset());
        }
    }

    /// The guest has done with a connection; what it sent is still written.
    fn part(&mut self, key: Key) {
        let connection = self.connections.remove(&key);
        self.partings.extend(connection.and_then(Connection::rest));
    }

    /// Sends the guest what it is still to be sent, as far as there is room.
    pub(super) fn speak(&mut self, send: Send<'_>) {
        while let Some(packet) = self.held.take().or_else(|| self.urgent()) {
            if let Err(packet) = send(packet) {
                self.held = Some(packet);
                return;
            }
        }
        for (key, connection) in &mut self.connections {
            while let Some(packet) = connection.due(*key, self.guest) {
                if let Err(packet) = send(packet) {
                    self.held = Some(packet);
                    return;
                }
            }
        }
    }

    /// Echoes come before all else: the guest's side drops what precedes them.
    fn urgent(&mut self) -> Option<Vec<u8>> {
        if let Some(left) = self.echoes.checked_sub(1) {
            self.echoes = left;
            return Some(Vec::new());
        }
        self.resets.pop_front().map(|header| header.with(&[]))
    }

    /// The sockets to wait for, and what for. One that nothing is wanted of is left out:
    /// it would always show that its peer has gone.
    pub(super) fn sources(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let may_read = self.held.is_none();
        let greetings = self.greetings.iter().enumerate();
        let greetings =
            greetings.map(|(n, g)| (Source::Greeting(n), g.socket.as_fd(), PollFlags::IN));
        let connections = self.connections.iter();
        let connections =
            connections.map(|(key, c)| (Source::Connection(*key), c.fd(), c.interest(may_read)));
        let partings = self.partings.iter().enumerate();
        let partings =
            partings.map(|(n, (fd, _))| (Source::Parting(n), fd.as_fd(), PollFlags::OUT));
        let all = greetings.chain(connections).chain(partings);
        all.filter(|(_, _, flags)| !flags.is_empty()).collect()
    }

    /// Sockets show something; `shown` is in the order of [`Mux::sources`].
    pub(super) fn serve(&mut self, shown: &[(Source, PollFlags)], now: Instant, send: Send<'_>) {
        // From the end, so that places in the lists hold while some are removed.
        for (source, flags) in shown.iter().rev().filter(|(_, flags)| !flags.is_empty()) {
            match *source {
                Source::Greeting(n) => self.listen(n, now),
                Source::Connection(key) => self.carry(key, *flags, send),
                Source::Parting(n) => self.see_off(n),
            }
        }
    }

    fn carry(&mut self, key: Key, flags: PollFlags, send: Send<'_>) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.write();
        if self.held.is_none()
            && let Some(packet) = connection.read(key, self.guest, flags)
            && let Err(packet) = send(packet)
        {
            self.held = Some(packet);
        }
    }

    fn see_off(&mut self, n: usize) {
        if let Some((socket, bytes)) = self.partings.get_mut(n) {
            let gone = drain(socket.as_fd(), bytes, false).is_err();
            if gone || bytes.is_empty() {
                self.partings.swap_remove(n);
            }
        }
    }

    /// A program of the host says which port it wants.
    fn listen(&mut self, n: usize, now: Instant) {
        let Some(greeting) = self.greetings.get_mut(n) else {
            return;
        };
        let ended = loop {
            // Byte by byte: what follows the line is for the guest, and stays in the socket.
            let mut byte = [0];
            match recv(&greeting.socket, &mut byte, RecvFlags::DONTWAIT) {
                Ok((1.., _)) if byte == [b'\n'] => break true,
                Ok((1.., _)) if greeting.line.len() < LINE => greeting.line.extend(byte),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => break false,
            }
        };
        let Greeting { socket, line, .. } = self.greetings.swap_remove(n);
        if let Some(port) = wanted(&line).filter(|_| ended && !self.is_full()) {
            let key = (self.port(port), port);
            let connection = Connection::asked(socket, now + PATIENCE);
            self.connections.insert(key, connection);
        }
    }

    /// A port of the host's side that no other connection to the guest's port has.
    fn port(&mut self, guest_port: u32) -> u32 {
        loop {
            let port = self.next_port;
            self.next_port = if port == LAST_PORT {
                FIRST_PORT
            } else {
                port + 1
            };
            if !self.connections.contains_key(&(port, guest_port)) {
                return port;
            }
        }
    }

    /// Gives up on those who took too long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.greetings.retain(|greeting| greeting.until > now);
        let late = |c: &Connection| matches!(c.phase(), Phase::Asked(until) if until <= now);
        let late: Vec<Key> = self
            .connections
            .iter()
            .filter_map(|(key, c)| late(c).then_some(*key))
            .collect();
        for key in late {
            self.connections.remove(&key);
            let asked = Header {
                src_cid: u64::from(self.guest),
                dst_cid: HOST_CID,
                src_port: key.1,
                dst_port: key.0,
                kind: TYPE_STREAM,
                ..Header::default()
            };
            self.refuse(&asked);
        }
    }

    /// When to call [`Mux::expire`] next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let greetings = self.greetings.iter().map(|greeting| greeting.until);
        let asked = self.connections.values().filter_map(|c| match c.phase() {
            Phase::Asked(until) => Some(until),
            Phase::Open => None,
        });
        greetings.chain(asked).min()
    }

    /// Connections that there are, of any kind.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }
}

/// The port in `CONNECT 1234`, without its end.
fn wanted(line: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(line).ok()?;
    let port = text.trim_end_matches('\r').strip_prefix("CONNECT ")?;
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|_| digits)
}
