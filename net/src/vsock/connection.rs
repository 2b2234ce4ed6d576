//! One connection: a socket of the host on one side, a port of the guest on the other,
//! and the credit of both (Virtio 1.2, section 5.10.6.3).
//!
//! From the guest comes no more than [`BUF_ALLOC`] bytes that the host's side has not
//! taken; to the guest goes no more than it says it has room for. What the guest says is
//! believed only to its own harm: numbers that contradict each other are no room.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::spec::{HOST_CID, Header, SHUTDOWN_RCV, SHUTDOWN_SEND, TYPE_STREAM, op};

/// Bytes from the guest that may wait for the host's side.
pub(super) const BUF_ALLOC: u32 = 256 << 10;
/// Bytes that the host's side took before the guest is told by a packet of its own.
const NEWS: u32 = BUF_ALLOC / 4;
/// Bytes of data in a packet to the guest at most.
pub(super) const CHUNK: usize = 64 << 10;

/// The port of the host's side, and the guest's.
pub(super) type Key = (u32, u32);

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The guest was asked, and answers until then.
    Asked(Instant),
    Open,
}

/// The guest broke the rules, or the connection cannot go on: it is to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What the guest is still to be sent.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    /// A request or a response.
    first: Option<u16>,
    credit: bool,
    credit_request: bool,
    shutdown: bool,
}

pub(super) struct Connection {
    socket: OwnedFd,
    phase: Phase,
    /// From the guest, for the socket.
    unwritten: VecDeque<u8>,
    /// Bytes that the socket took, and the guest knows that it did.
    forwarded: u32,
    told: u32,
    /// The guest's room, what it has taken of it, and what it was sent.
    buf_alloc: u32,
    fwd_cnt: u32,
    sent: u32,
    /// It was asked for room since it had any.
    asked: bool,
    /// By flags of shutdown, what either side will not do any more.
    guest_is_done: u32,
    host_is_done: u32,
    due: Due,
}

impl Connection {
    /// One that the guest is asked for.
    pub(super) fn asked(socket: OwnedFd, until: Instant) -> Self {
        Self::new(socket, Phase::Asked(until), op::REQUEST)
    }

    /// One that the guest has asked for.
    pub(super) fn granted(socket: OwnedFd, request: &Header) -> Self {
        let mut this = Self::new(socket, Phase::Open, op::RESPONSE);
        this.credit(request);
        this
    }

    fn new(socket: OwnedFd, phase: Phase, first: u16) -> Self {
        Self {
            socket,
            phase,
            unwritten: VecDeque::new(),
            forwarded: 0,
            told: 0,
            buf_alloc: 0,
            fwd_cnt: 0,
            sent: 0,
            asked: false,
            guest_is_done: 0,
            host_is_done: 0,
            due: Due {
                first: Some(first),
                ..Due::default()
            },
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The socket with what it has not taken yet, if there is anything.
    pub(super) fn rest(self) -> Option<(OwnedFd, VecDeque<u8>)> {
        (!self.unwritten.is_empty()).then_some((self.socket, self.unwritten))
    }

    /// What the socket is waited for.
    pub(super) fn interest(&self, may_read: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, may_read && self.reads());
        flags.set(PollFlags::OUT, !self.unwritten.is_empty());
        flags
    }

    /// Whether there is something to read for: a guest that takes it.
    fn reads(&self) -> bool {
        let ends = self.host_is_done & SHUTDOWN_SEND | self.guest_is_done & SHUTDOWN_RCV;
        self.phase == Phase::Open && self.due.first.is_none() && ends == 0 && self.room() > 0
    }

    /// Bytes that the guest has room for.
    fn room(&self) -> u32 {
        let taken = self.sent.wrapping_sub(self.fwd_cnt);
        self.buf_alloc.saturating_sub(taken)
    }

    /// Every packet says what room there is.
    pub(super) fn credit(&mut self, header: &Header) {
        (self.buf_alloc, self.fwd_cnt) = (header.buf_alloc, header.fwd_cnt);
        self.asked &= self.room() == 0;
    }

    /// A packet of the guest's for this connection; not a reset.
    pub(super) fn hear(&mut self, header: &Header, payload: &[u8]) -> Result<(), Broken> {
        self.credit(header);
        match (header.op, self.phase) {
            (op::RESPONSE, Phase::Asked(_)) => {
                self.phase = Phase::Open;
                Ok(())
            }
            (op::RW, Phase::Open) => self.data(payload),
            (op::SHUTDOWN, Phase::Open) => {
                self.guest_is_done |= header.flags & (SHUTDOWN_RCV | SHUTDOWN_SEND);
                self.write();
                Ok(())
            }
            (op::CREDIT_REQUEST, Phase::Open) => {
                self.due.credit = true;
                Ok(())
            }
            (op::CREDIT_UPDATE, Phase::Open) => Ok(()),
            _ => Err(Broken),
        }
    }

    /// Whether the guest wants nothing of it any more, in either direction.
    pub(super) fn is_over(&self) -> bool {
        self.guest_is_done == SHUTDOWN_RCV | SHUTDOWN_SEND
    }

    fn data(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let waits = self.unwritten.len() + payload.len();
        if self.guest_is_done & SHUTDOWN_SEND != 0 || waits > BUF_ALLOC as usize {
            return Err(Broken);
        }
        self.unwritten.extend(payload);
        self.write();
        Ok(())
    }

    /// Has the socket take what it will.
    pub(super) fn write(&mut self) {
        let deaf = self.host_is_done & SHUTDOWN_RCV != 0;
        let taken = match drain(self.socket.as_fd(), &mut self.unwritten, deaf) {
            Ok(taken) => taken,
            Err(lost) => {
                self.host_ends(SHUTDOWN_RCV);
                lost
            }
        };
        self.forwarded = self.forwarded.wrapping_add(taken);
        self.due.credit |= self.forwarded.wrapping_sub(self.told) >= NEWS;
        if self.guest_is_done & SHUTDOWN_SEND != 0 && self.unwritten.is_empty() {
            // Fails only where nobody listens.
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
    }

    /// The host's side will not do that any more.
    fn host_ends(&mut self, what: u32) {
        self.due.shutdown |= self.host_is_done & what != what;
        self.host_is_done |= what;
    }

    /// Data for the guest, of a socket that `shows` something: a packet, if there is any.
    pub(super) fn read(&mut self, key: Key, guest: u32, shows: PollFlags) -> Option<Vec<u8>> {
        if !self.reads() {
            return None;
        }
        let mut buffer = vec![0; CHUNK.min(self.room() as usize)];
        match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                let gone = shows.contains(PollFlags::HUP);
                self.host_ends(SHUTDOWN_SEND | if gone { SHUTDOWN_RCV } else { 0 });
                None
            }
            Ok((len, _)) => {
                let data = buffer.get(..len)?;
                self.sent = self.sent.wrapping_add(len as u32);
                self.due.credit_request |= self.room() == 0 && !self.asked;
                Some(self.header(key, guest, op::RW, 0).with(data))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(_) => {
                self.host_ends(SHUTDOWN_SEND | SHUTDOWN_RCV);
                None
            }
        }
    }

    /// A packet that the guest is still to be sent.
    pub(super) fn due(&mut self, key: Key, guest: u32) -> Option<Vec<u8>> {
        let mut flags = 0;
        let op = if let Some(first) = self.due.first.take() {
            first
        } else if self.phase != Phase::Open {
            return None;
        } else if std::mem::take(&mut self.due.shutdown) {
            flags = self.host_is_done;
            op::SHUTDOWN
        } else if std::mem::take(&mut self.due.credit_request) {
            self.asked = true;
            op::CREDIT_REQUEST
        } else if std::mem::take(&mut self.due.credit) {
            op::CREDIT_UPDATE
        } else {
            return None;
        };
        Some(self.header(key, guest, op, flags).with(&[]))
    }

    fn header(&mut self, (host, port): Key, guest: u32, op: u16, flags: u32) -> Header {
        self.told = self.forwarded;
        self.due.credit &= op == op::CREDIT_UPDATE;
        Header {
            src_cid: HOST_CID,
            dst_cid: u64::from(guest),
            src_port: host,
            dst_port: port,
            kind: TYPE_STREAM,
            op,
            flags,
            buf_alloc: BUF_ALLOC,
            fwd_cnt: self.forwarded,
        }
    }
}

/// Has a socket take what it will of `bytes`: how many it took. An error, with how many
/// were lost, where it takes none any more.
pub(super) fn drain(
    socket: BorrowedFd<'_>,
    bytes: &mut VecDeque<u8>,
    deaf: bool,
) -> Result<u32, u32> {
    let mut taken = 0;
    while !bytes.is_empty() {
        let sent = match deaf {
            true => Err(Errno::PIPE),
            false => send(
                socket,
                bytes.as_slices().0,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ),
        };
        match sent {
            Ok(count) => {
                bytes.drain(..count.min(bytes.len()));
                taken += count as u32;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(_) => {
                taken += bytes.len() as u32;
                bytes.clear();
                return Err(taken);
            }
        }
    }
    Ok(taken)
}
