//! TCP: connections of the guest's to the host's sockets, and of published ports to the
//! guest.
//!
//! A SYN of the guest begins a connection of the host's, and is shown to a stack only
//! once that stands: so a port that refuses, refuses the guest, and one that answers
//! nothing lets it wait. Then bytes go both ways through two bounded buffers; a side that
//! does not read stops the other one's window.

mod flow;
mod stack;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use smoltcp::time::Instant;
use smoltcp::wire::{Ipv4Packet, TcpPacket};

use self::flow::{Flow, Next, Phase};
use self::stack::{Size, Stack};
use super::agenda::{Agenda, Kind, Readiness, Token};
use super::host::Host;
use super::icmp::{self, Reason};
use super::lan::{ETHERNET, Endpoint, GATEWAY, GUEST, Lan};

/// Connections at a time.
pub(crate) const FLOWS: usize = 4096;
/// Bytes of each of the two buffers of a connection, and how many connections there may be
/// for a new one to get as much. So no more than these have buffers of that size or a
/// larger one, however connections come and go.
const BUFFERS: [(usize, usize); 3] = [(256 << 10, 192), (64 << 10, 1024), (8 << 10, FLOWS)];
/// Bytes of the buffers of all connections together.
const MEMORY: usize = 256 << 20;
const _: () = {
    let [(large, few), (medium, more), (small, all)] = BUFFERS;
    let most = large * few + medium * (more - few) + small * (all - more);
    assert!(2 * most <= MEMORY);
};
/// Bytes of the longest frame that can begin a connection. A SYN carries data only where
/// an earlier connection was promised that it would be read (RFC 7413), and none is.
pub(super) const SYN_MAX: usize = 512;
/// Of these, connections that are not established on the host's side yet.
const CONNECTING: usize = 1024;
/// Where the gateway's own ports begin, for peers whose port is taken.
const EPHEMERAL: u16 = 49152;

/// What tells connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) guest: Endpoint,
    pub(crate) remote: Endpoint,
}

#[derive(Default)]
pub(crate) struct Flows {
    flows: HashMap<Token, Flow>,
    by_key: HashMap<Key, Token>,
    /// Those that are being connected; tokens grow, so the oldest is the first.
    connecting: BTreeSet<Token>,
    seeds: RandomState,
    warned: bool,
}

/// What TCP works with.
pub(crate) struct Around<'a, H> {
    pub(crate) host: &'a mut H,
    pub(crate) lan: &'a mut Lan,
    pub(crate) agenda: &'a mut Agenda,
    pub(crate) now: Instant,
}

impl Flows {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// A frame of a connection that exists; or the frame, where none does.
    pub(crate) fn receive<H: Host>(
        &mut self,
        key: &Key,
        frame: Vec<u8>,
        around: &mut Around<'_, H>,
    ) -> Option<Vec<u8>> {
        let token = self.by_key.get(key);
        let Some((token, flow)) =
            token.and_then(|token| Some((*token, self.flows.get_mut(token)?)))
        else {
            return Some(frame);
        };
        flow.receive(frame, around.lan, around.now);
        around.agenda.serve(token, &mut flow.queued);
        None
    }

    /// Begins a connection of the guest's to the first of `to` to which the host can.
    /// `frame` is its SYN.
    pub(crate) fn open<H: Host>(
        &mut self,
        key: Key,
        to: &[SocketAddr],
        frame: Vec<u8>,
        around: &mut Around<'_, H>,
    ) {
        if frame.len() > SYN_MAX {
            return; // The guest tries again without data.
        }
        if self.connecting.len() >= CONNECTING || self.flows.len() >= FLOWS {
            self.make_room(around);
        }
        if self.flows.len() >= FLOWS {
            return; // The guest tries again.
        }
        let token = around.agenda.token(Kind::Tcp);
        let mut begun = Err(Errno::NETUNREACH);
        for to in to {
            begun = around.host.tcp(*to).and_then(|socket| {
                around.host.watch(socket.as_fd(), token)?;
                Ok(socket)
            });
            if begun.is_ok() {
                break;
            }
        }
        match begun {
            Ok(socket) => {
                let phase = flow::waiting(frame);
                self.insert(token, Flow::new(key, socket, phase, around.now));
            }
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                self.make_room(around);
            }
            Err(error) => refuse(&frame, error, around.lan),
        }
    }

    /// A connection to a published port, for the guest's `port`. Without a stack for it,
    /// it is closed.
    pub(crate) fn accept<H: Host>(
        &mut self,
        socket: OwnedFd,
        peer: SocketAddr,
        port: u16,
        around: &mut Around<'_, H>,
    ) {
        let Some(key) = self
            .free_key(peer.port(), port)
            .filter(|_| self.flows.len() < FLOWS)
        else {
            return;
        };
        let token = around.agenda.token(Kind::Tcp);
        let size = self.size(around.lan);
        let stack = Stack::connecting(&key, size, self.seed(token), around.now);
        let Some(stack) = stack.map(Box::new) else {
            return;
        };
        if around.host.watch(socket.as_fd(), token).is_err() {
            return;
        }
        let opened = false;
        let mut flow = Flow::new(key, socket, Phase::Open { stack, opened }, around.now);
        around.agenda.serve(token, &mut flow.queued);
        self.insert(token, flow);
    }

    /// The gateway's end of a connection to the guest's `port`: the peer's own port if
    /// nobody has it, so that it can be recognised.
    fn free_key(&self, wanted: u16, port: u16) -> Option<Key> {
        let key = |from| Key {
            guest: (GUEST, port),
            remote: (GATEWAY, from),
        };
        std::iter::once(wanted)
            .chain(EPHEMERAL..=u16::MAX)
            .filter(|from| *from != 0)
            .map(key)
            .find(|key| !self.by_key.contains_key(key))
    }

    /// The seed of a connection's sequence numbers, which a guest cannot guess.
    fn seed(&self, token: Token) -> u64 {
        self.seeds.hash_one(token)
    }

    /// What a connection that is opened now gets.
    fn size(&self, lan: &Lan) -> Size {
        let open = self.flows.len();
        let [large, medium, (small, _)] = BUFFERS;
        let fitting = [large, medium].into_iter().find(|(_, few)| open < *few);
        let buffer = fitting.map_or(small, |(bytes, _)| bytes);
        let mtu = lan.mtu();
        Size { mtu, buffer }
    }

    fn insert(&mut self, token: Token, flow: Flow) {
        if flow.is_connecting() {
            self.connecting.insert(token);
        }
        self.by_key.insert(flow.key, token);
        self.flows.insert(token, flow);
    }

    fn remove(&mut self, token: Token, agenda: &mut Agenda) -> Option<Flow> {
        let mut flow = self.flows.remove(&token)?;
        agenda.cancel(token, &mut flow.alarm);
        self.by_key.remove(&flow.key);
        self.connecting.remove(&token);
        Some(flow)
    }

    /// Gives up the oldest connection that does not stand yet.
    fn make_room<H>(&mut self, around: &mut Around<'_, H>) {
        let oldest = self.connecting.first().copied();
        if !std::mem::replace(&mut self.warned, true) {
            log::warn!(
                "the guest has {} TCP connections, {} of them not established: more than there \
                 is room for; the oldest of those are given up, new ones may fail",
                self.flows.len(),
                self.connecting.len(),
            );
        }
        if let Some(token) = oldest {
            self.remove(token, around.agenda);
        }
    }

    /// A socket's readiness changed.
    pub(crate) fn ready(&mut self, token: Token, ready: Readiness, agenda: &mut Agenda) {
        if let Some(flow) = self.flows.get_mut(&token) {
            flow.note(ready);
            agenda.serve(token, &mut flow.queued);
        }
    }

    /// An alarm went off.
    pub(crate) fn rang(&mut self, token: Token, agenda: &mut Agenda) {
        if let Some(flow) = self.flows.get_mut(&token) {
            flow.alarm.rang();
            agenda.serve(token, &mut flow.queued);
        }
    }

    /// A connection's turn.
    pub(crate) fn work<H: Host>(&mut self, token: Token, around: &mut Around<'_, H>) {
        let Some(flow) = self.flows.get_mut(&token) else {
            return;
        };
        flow.queued = false;
        match flow.work(around.lan, around.now) {
            Next::Again => around.agenda.serve(token, &mut flow.queued),
            Next::Wait(until) if flow.is_connecting() && until <= around.now => {
                self.remove(token, around.agenda);
            }
            Next::Wait(until) => around.agenda.wake(token, &mut flow.alarm, until),
            Next::Over => {
                self.remove(token, around.agenda);
            }
            Next::Failed(error) => {
                let flow = self.remove(token, around.agenda);
                if let Some(Phase::Connecting { syn }) = flow.map(|flow| flow.phase) {
                    refuse(&syn, error, around.lan);
                }
            }
            Next::Connected => self.connected(token, around),
        }
    }

    /// The host's side stands: now the guest's SYN is seen.
    fn connected<H: Host>(&mut self, token: Token, around: &mut Around<'_, H>) {
        self.connecting.remove(&token);
        let (seed, size) = (self.seed(token), self.size(around.lan));
        let Some(flow) = self.flows.get_mut(&token) else {
            return;
        };
        let stack = Stack::listening(&flow.key, size, seed, around.now);
        let Some(stack) = stack.map(Box::new) else {
            self.remove(token, around.agenda);
            return;
        };
        let opened = false;
        let before = std::mem::replace(&mut flow.phase, Phase::Open { stack, opened });
        if let Phase::Connecting { syn } = before {
            flow.receive(syn, around.lan, around.now);
        }
        around.agenda.serve(token, &mut flow.queued);
    }
}

/// Tells the guest why its SYN leads nowhere.
fn refuse(syn: &[u8], error: Errno, lan: &mut Lan) {
    let packet = syn.get(ETHERNET..).unwrap_or_default();
    let Ok(packet) = Ipv4Packet::new_checked(packet) else {
        return;
    };
    match icmp::reason(error) {
        _ if error == Errno::TIMEDOUT => {}
        Some(reason) if reason != Reason::Port => icmp::unreachable(&packet, reason, lan),
        // Of a port TCP itself says that nobody is there (RFC 9293 3.10.7.1).
        _ => {
            if let Ok(segment) = TcpPacket::new_checked(packet.payload()) {
                lan.reset(packet.dst_addr(), packet.src_addr(), &segment);
            }
        }
    }
}
