//! A guest's packets and a host's programs of any kind, for fuzzing: nothing of the host is
//! reached.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::{Errno, read};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::connection::{BUF_ALLOC, CHUNK};
use super::mux::{CONNECTIONS, Connect, GREETINGS, Mux};
use super::spec::{HEADER_BYTES, HOST_CID, Header, TYPE_STREAM, op};

/// The guest's number.
const GUEST: u32 = 3;
/// Programs of the host's that are kept.
const PROGRAMS: usize = 16;

/// A host on which programs serve all ports but a few; theirs are the other ends.
#[derive(Default)]
struct Programs(Vec<OwnedFd>);

impl Programs {
    fn pair(&mut self) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        self.0.truncate(PROGRAMS - 1);
        self.0.insert(0, theirs);
        Ok(ours)
    }
}

/// What the packets go by.
struct World<'a> {
    mux: Mux<Host>,
    data: &'a [u8],
    now: Instant,
    /// Packets that the guest has room for.
    room: usize,
}

#[derive(Default)]
struct Host(std::rc::Rc<std::cell::RefCell<Programs>>);

impl Connect for Host {
    fn connect(&mut self, port: u32) -> Result<OwnedFd, Errno> {
        match port % 4 {
            0 => Err(Errno::CONNREFUSED),
            _ => self.0.borrow_mut().pair(),
        }
    }
}

/// Plays `data` as what a guest and programs of the host do.
pub fn run(data: &[u8]) {
    let host = Host::default();
    let programs = host.0.clone();
    let mut world = World {
        mux: Mux::new(GUEST, host),
        data,
        now: Instant::now(),
        room: 0,
    };
    for _ in 0..2048 {
        let Some(code) = world.byte() else { break };
        match code % 8 {
            0..=2 => {
                let packet = world.packet(code);
                world.mux.hear(&packet);
            }
            3 => world.room = usize::from(code >> 3),
            4 if world.mux.welcomes() => {
                if let Ok(socket) = programs.borrow_mut().pair() {
                    world.mux.greet(socket, world.now);
                }
            }
            5 => {
                let line = format!("CONNECT {}\n", code >> 3);
                let bytes = match code & 8 {
                    0 => line.into_bytes(),
                    _ => world.bytes(usize::from(code)),
                };
                if let Some(program) = programs.borrow().0.first() {
                    let _ = send(program, &bytes, SendFlags::NOSIGNAL);
                }
            }
            6 => world.programs_go_on(code, &mut programs.borrow_mut()),
            _ => world.now += Duration::from_secs(u64::from(code >> 4)),
        }
        world.turn();
    }
}

impl World<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.data.split_first()?;
        self.data = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (now, later) = self.data.split_at(count.min(self.data.len()));
        self.data = later;
        now.to_vec()
    }

    /// A packet that is sensible in most of its fields.
    fn packet(&mut self, code: u8) -> Vec<u8> {
        if code == 1 {
            return Vec::new();
        }
        let mut byte = || u32::from(self.byte().unwrap_or_default());
        let (host, guest, flags, credit, len) = (byte(), byte(), byte(), byte(), byte());
        let header = Header {
            src_cid: u64::from(GUEST + u32::from(code == 2)),
            dst_cid: HOST_CID + u64::from(code == 8),
            src_port: guest % 8,
            // Of both kinds: what the guest asked for, and what it is asked for.
            dst_port: host % 8 + if host & 128 == 0 { 0 } else { 1 << 30 },
            kind: TYPE_STREAM + u16::from(code == 9),
            op: op::REQUEST + u16::from(code >> 5),
            flags,
            buf_alloc: credit << (credit % 24),
            fwd_cnt: host.wrapping_mul(flags),
        };
        let len = match len {
            255 => BUF_ALLOC as usize / 2,
            len => len as usize,
        };
        let mut packet = header.with(&vec![0x5a; len]);
        if code & 31 == 16 {
            packet.truncate(HEADER_BYTES.min(len));
        }
        packet
    }

    /// Programs of the host read, write or leave.
    fn programs_go_on(&self, code: u8, programs: &mut Programs) {
        match code >> 3 & 3 {
            0 => drop(programs.0.pop()),
            1 => {
                for program in &programs.0 {
                    let _ = send(program, &[0xa5; 5000], SendFlags::NOSIGNAL);
                }
            }
            _ => {
                for program in &programs.0 {
                    let _ = read(program, &mut [0; 5000]);
                }
            }
        }
    }

    /// One turn of the thread's loop, with all sockets said to show something.
    fn turn(&mut self) {
        let Self { mux, now, room, .. } = self;
        let mut guest = |packet: Vec<u8>| {
            assert!(
                packet.is_empty() || (HEADER_BYTES..=HEADER_BYTES + CHUNK).contains(&packet.len())
            );
            *room = room.checked_sub(1).ok_or(packet)?;
            Ok(())
        };
        mux.expire(*now);
        mux.speak(&mut guest);
        let shown: Vec<_> = mux
            .sources()
            .into_iter()
            .map(|(source, _, _)| (source, PollFlags::IN | PollFlags::OUT))
            .collect();
        assert!(shown.len() <= CONNECTIONS + GREETINGS);
        mux.serve(&shown, *now, &mut guest);
        assert!(mux.deadline().is_none_or(|at| at > *now));
    }
}
