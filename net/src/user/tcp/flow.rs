//! One TCP connection: the guest's stack on one side, a socket of the host's on the
//! other, and bytes carried between the two.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, socket_error};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{Ipv4Packet, TcpPacket};

use super::super::agenda::{Alarm, Readiness};
use super::super::lan::{ETHERNET, Lan};
use super::stack::{Stack, UNANSWERED};
use super::{Key, SYN_MAX};

/// Segments that one connection sends before the next has its turn.
const SEGMENTS: usize = 16;
/// Bytes that one connection takes from its socket before the next has its turn.
const TURN: usize = 256 << 10;
/// How long an open connection may be without a packet (RFC 5382 REQ-5).
const IDLE: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
/// The same for one that is being opened, or that both sides have closed.
const CLOSING: Duration = Duration::from_secs(4 * 60);
/// Least time to the next look at a stack that wants one at once but had nothing to send.
const SOON: Duration = Duration::from_millis(10);

pub(super) struct Flow {
    pub(super) key: Key,
    socket: OwnedFd,
    pub(super) phase: Phase,
    ready: Readiness,
    pub(super) queued: bool,
    pub(super) alarm: Alarm,
    /// The last packet from the guest.
    heard: Instant,
    /// Since when the guest is to acknowledge something.
    owed: Option<Instant>,
    /// The guest gave it up while the host's side was being connected.
    abandoned: bool,
    /// The host's side has sent all it will.
    host_done: bool,
    /// The host's side was told that the guest has sent all it will.
    guest_done: bool,
}

pub(super) enum Phase {
    /// The guest's SYN waits until the host's socket is connected.
    Connecting { syn: Vec<u8> },
    /// Both sides are there; `opened` once the guest's is established.
    Open { stack: Box<Stack>, opened: bool },
}

/// Keeps no more of a SYN than it is long: its frame may have been padded.
pub(super) fn waiting(mut syn: Vec<u8>) -> Phase {
    syn.shrink_to_fit();
    Phase::Connecting { syn }
}

/// What is to become of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is more to do, once others had their turn.
    Again,
    /// Nothing until something happens, or until then.
    Wait(Instant),
    /// It is over.
    Over,
    /// The host's side could not be connected.
    Failed(Errno),
    /// The host's side is connected.
    Connected,
}

impl Flow {
    pub(super) fn new(key: Key, socket: OwnedFd, phase: Phase, now: Instant) -> Self {
        Self {
            key,
            socket,
            phase,
            ready: Readiness::default(),
            queued: false,
            alarm: Alarm::default(),
            heard: now,
            owed: None,
            abandoned: false,
            host_done: false,
            guest_done: false,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
    }

    pub(super) fn note(&mut self, ready: Readiness) {
        self.ready.readable |= ready.readable;
        self.ready.writable |= ready.writable;
    }

    /// A frame of this connection from the guest. While the host's side is being
    /// connected, the last SYN counts, and a reset ends it all.
    pub(super) fn receive(&mut self, frame: Vec<u8>, lan: &mut Lan, now: Instant) {
        self.heard = now;
        match &mut self.phase {
            Phase::Open { stack, .. } => stack.receive(frame, lan, now),
            Phase::Connecting { .. } => match control(&frame) {
                Some((_, true)) => self.abandoned = true,
                Some((true, false)) if frame.len() <= SYN_MAX => {
                    self.phase = waiting(frame);
                }
                _ => {}
            },
        }
    }

    /// Its turn.
    pub(super) fn work(&mut self, lan: &mut Lan, now: Instant) -> Next {
        let Phase::Open { stack, opened } = &mut self.phase else {
            return self.connect();
        };
        if !*opened && stack.socket().may_send() {
            *opened = true;
            stack.opened();
        }
        let carried = self.carry_out().and_then(|()| self.carry_in());
        let more = match carried {
            Ok(more) => more,
            // The host's side is broken, and so shall be the guest's.
            Err(_) => {
                self.abort(lan, now);
                return Next::Over;
            }
        };
        self.settle(more, lan, now)
    }

    fn connect(&mut self) -> Next {
        if self.abandoned {
            return Next::Over;
        }
        if !self.ready.writable {
            return Next::Wait(self.heard + CLOSING);
        }
        match socket_error(&self.socket) {
            Ok(Ok(())) => Next::Connected,
            Ok(Err(error)) | Err(error) => Next::Failed(error),
        }
    }

    /// Sends what is to be sent, and looks at what is left.
    fn settle(&mut self, more: bool, lan: &mut Lan, now: Instant) -> Next {
        let Phase::Open { stack, opened } = &mut self.phase else {
            return Next::Over;
        };
        let all_sent = stack.transmit(SEGMENTS, lan, now);
        match stack.socket().state() {
            State::Closed if all_sent => {
                let orderly = self.host_done && self.guest_done || !*opened;
                if !orderly {
                    self.reset_host();
                }
                return Next::Over;
            }
            // Waiting is for duplicates that a cable does not make.
            State::TimeWait if all_sent && self.guest_done => return Next::Over,
            _ => {}
        }
        let patience = match self.host_done && self.guest_done {
            true => CLOSING,
            false => IDLE,
        };
        let mut expiry = self.heard + patience;
        if *opened && stack.is_owed() {
            let since = *self.owed.get_or_insert(now);
            expiry = expiry.min(since.max(self.heard) + UNANSWERED);
        } else {
            self.owed = None;
        }
        if now >= expiry {
            self.abort(lan, now);
            return Next::Over;
        }
        if more || !all_sent {
            return Next::Again;
        }
        let deadline = stack.deadline(now).map(|at| at.max(now + SOON));
        Next::Wait(deadline.map_or(expiry, |at| at.min(expiry)))
    }

    /// From the guest's stack to the socket, as much as it takes.
    fn carry_out(&mut self) -> Result<(), Errno> {
        let Phase::Open { stack, .. } = &mut self.phase else {
            return Ok(());
        };
        let socket = stack.socket();
        while self.ready.writable && socket.can_recv() {
            let mut failed = None;
            let taken = socket.recv(
                |bytes| match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                    Ok(count) => (count, ()),
                    Err(error) => {
                        failed = Some(error);
                        (0, ())
                    }
                },
            );
            match failed {
                Some(Errno::AGAIN) => self.ready.writable = false,
                Some(Errno::INTR) => {}
                Some(error) => return Err(error),
                None if taken.is_err() => break,
                None => {}
            }
        }
        let said_all = matches!(
            socket.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        if said_all && !self.guest_done && socket.recv_queue() == 0 {
            self.guest_done = true;
            // Fails when the peer is gone, which reading finds as well.
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
        Ok(())
    }

    /// From the socket to the guest's stack, as much as there is room for. Whether there
    /// may be more.
    fn carry_in(&mut self) -> Result<bool, Errno> {
        let Phase::Open { stack, .. } = &mut self.phase else {
            return Ok(false);
        };
        let socket = stack.socket();
        let mut left = TURN;
        while self.ready.readable && !self.host_done && socket.can_send() {
            if left == 0 {
                return Ok(true);
            }
            let mut read = Ok(0);
            let put = socket.send(|room| {
                read = recv(&self.socket, &mut *room, RecvFlags::empty()).map(|(count, _)| count);
                (read.unwrap_or(0), ())
            });
            if put.is_err() {
                break;
            }
            match read {
                Ok(0) => {
                    self.host_done = true;
                    socket.close();
                }
                Ok(count) => left = left.saturating_sub(count),
                Err(Errno::AGAIN) => self.ready.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Breaks both sides.
    pub(super) fn abort(&mut self, lan: &mut Lan, now: Instant) {
        self.reset_host();
        if let Phase::Open { stack, .. } = &mut self.phase {
            stack.socket().abort();
            // Without room the guest learns of it by its next segment.
            stack.transmit(1, lan, now);
        }
    }

    /// Makes closing the socket a reset for its peer.
    fn reset_host(&self) {
        let _ = set_socket_linger(&self.socket, Some(std::time::Duration::ZERO));
    }
}

/// Whether a frame's segment has SYN set, and RST.
fn control(frame: &[u8]) -> Option<(bool, bool)> {
    let packet = Ipv4Packet::new_checked(frame.get(ETHERNET..)?).ok()?;
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    Some((segment.syn() && !segment.ack(), segment.rst()))
}
