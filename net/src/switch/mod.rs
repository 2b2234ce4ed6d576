//! A switch between the virtual machines of one user on one host, without rights and
//! without a program of its own.
//!
//! Each machine's card is a *member*: it has a socket in the switch's folder, and a
//! connection to each other member. A frame goes from the member of the guest that sent it
//! directly to where its destination is; to all, where that is not known or a group.
//! What comes from another member goes to the own guest and to nobody else: so there are
//! no loops, and no frame is passed on twice.
//!
//! | module | what |
//! |---|---|
//! | `meet` | the folder, and how members find each other |
//! | `macs` | which address is at which member |
//!
//! **Why without a hub.** The first member could pass frames on for all others. Then each
//! would be copied twice, all would depend on one, and when that ends the rest would have
//! to agree on another one, while frames are lost. With a connection to each other there is
//! nothing to take over: who ends or is killed is missed by the host, which closes its
//! connections. The price, connections by the square of members, is small with
//! [`MEMBERS`] at most. Sockets are `SOCK_SEQPACKET`: they keep frames apart, as
//! datagrams do, but tell of the other end's death, and take more than a datagram
//! socket's few (`net.unix.max_dgram_qlen`).
//!
//! **What a hostile guest can do.** Members trust each other's programs, as they are one
//! user's and nobody else can reach the folder, but no frame. One that is too short, or
//! longer than [`SwitchConfig::mtu`] allows for, is dropped by the sender and by the
//! receiver. Addresses that a member can have are bounded. Frames on their way are the
//! sender's: the host counts them against its socket, one socket for each way, and what
//! finds that full is dropped ([`Switch::dropped`]) as by any switch. So a guest that
//! reads nothing, or sends all the time, takes nothing from others and grows nobody.
//! What it can do is what it could on any cable: claim another's address, or flood all.
//!
//! **What is not here.** Checksums: frames cross to other machines and have to be whole,
//! so a card on a switch is not "local" and its device completes them. VLANs and spanning
//! trees: tags and their frames pass as others do.

mod macs;
mod meet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use self::macs::{Mac, Macs, is_unicast};
use crate::cable::HostEnd;
use crate::seat::Seat;
use crate::worker::{self, Bell, Worker};
use crate::{HEADER, longest};

/// Members of a switch at most.
pub const MEMBERS: usize = 64;
/// Frames of one sender before the next has its turn.
const ROUND: usize = 64;
/// How long until a host that is out of descriptors is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Which switch, and what passes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    /// Its name, as [`is_name`] has it.
    pub name: String,
    /// Bytes of the longest payload of a frame.
    pub mtu: u16,
    /// Where switches' folders are: a folder of mode 0700. Without one it is `isoform` in
    /// `$XDG_RUNTIME_DIR`, or `/tmp/isoform-UID` where there is no such.
    pub home: Option<PathBuf>,
}

/// Whether a switch can be called so: 1 to 32 letters, digits, `-`, `_` and `.`, the first
/// of them no `.`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    meet::is_name(name)
}

/// Why there is no switch.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// It cannot be called so.
    #[error(
        "no switch can be called `{0}`: a name is 1 to 32 letters, digits, `-`, `_` and `.`, \
         and does not begin with `.`"
    )]
    Name(String),
    /// Somebody else could reach the folder.
    #[error(
        "{} is not a folder of this user's alone; remove it, or make it so by chmod 700",
        .0.display()
    )]
    Open(PathBuf),
    /// There are as many members as there can be.
    #[error("{MEMBERS} machines are on the switch already, which is as many as it takes")]
    Full,
    /// The host does not let us join.
    #[error("cannot join the switch in {}: {source}", folder.display())]
    Join {
        /// Where members meet.
        folder: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// The host grants no descriptors, or no thread.
    #[error("the host cannot run a switch: {0}; it may be out of descriptors or threads")]
    Host(io::Error),
}

/// A card's membership of a switch. Dropping it ends it.
#[derive(Debug)]
pub struct Switch {
    dropped: Arc<AtomicU64>,
    _worker: Worker,
}

impl Switch {
    /// Joins a switch, which exists as long as it has members, with the cable's end.
    ///
    /// # Errors
    /// When the name is none, the folder cannot be had for this user alone, the switch has
    /// [`MEMBERS`] members, or the host grants no descriptors or threads.
    pub fn start(config: &SwitchConfig, end: HostEnd) -> Result<Self, SwitchError> {
        let stop = worker::bell().map_err(SwitchError::Host)?;
        let (seat, peers) = meet::join(config)?;
        let dropped = Arc::new(AtomicU64::new(0));
        let longest = longest(config.mtu);
        let member = Member {
            end,
            seat,
            peers: (0..).zip(peers).collect(),
            macs: Macs::default(),
            held: None,
            deaf_until: None,
            next: 0,
            buffer: vec![0; longest + 1],
            longest,
            dropped: Arc::clone(&dropped),
        };
        let bell = Arc::clone(&stop);
        let worker = Worker::start("switch", stop, move || member.run(&bell));
        let worker = worker.map_err(SwitchError::Host)?;
        Ok(Self {
            dropped,
            _worker: worker,
        })
    }

    /// How many frames this member dropped: for want of room on the way to another, or of
    /// a length that does not pass.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Member {
    end: HostEnd,
    seat: Seat,
    /// Connections to the others. Of a number that is used again nothing is remembered.
    peers: BTreeMap<u64, OwnedFd>,
    macs: Macs,
    /// A frame that the cable had no room for. Until it has, nothing more is read.
    held: Option<Vec<u8>>,
    /// Until when nobody new is listened to, for want of descriptors.
    deaf_until: Option<Instant>,
    /// Whose turn is next.
    next: u64,
    /// Takes a frame, and a byte more of one that is too long.
    buffer: Vec<u8>,
    longest: usize,
    dropped: Arc<AtomicU64>,
}

impl Member {
    fn run(mut self, stop: &Bell) {
        // Who came before the first frame gets it.
        self.accept(Instant::now());
        loop {
            let now = Instant::now();
            self.send(now);
            self.receive(now);
            match self.wait(stop) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    log::error!("a card leaves its switch: the host cannot wait: {error}");
                    break;
                }
            }
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        log::debug!("a card leaves its switch; it dropped {dropped} frames");
    }

    /// Sends some of the guest's frames.
    fn send(&mut self, now: Instant) {
        for _ in 0..ROUND {
            let Some(frame) = self.end.receive() else {
                return;
            };
            let Some(to) = frame
                .first_chunk::<6>()
                .filter(|_| self.passes(frame.len()))
            else {
                self.drop_one();
                continue;
            };
            let known = self.macs.find(to, now).filter(|_| is_unicast(to));
            match known.and_then(|member| self.peers.get(&member)) {
                Some(peer) => self.send_to(peer, &frame),
                None => self.peers.values().for_each(|p| self.send_to(p, &frame)),
            }
        }
    }

    fn send_to(&self, peer: &OwnedFd, frame: &[u8]) {
        loop {
            match send(peer, frame, SendFlags::NOSIGNAL) {
                Ok(_) => return,
                Err(Errno::INTR) => {}
                // No room, or nobody any more, which reading finds as well.
                Err(_) => return self.drop_one(),
            }
        }
    }

    fn passes(&self, length: usize) -> bool {
        (HEADER..=self.longest).contains(&length)
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes some frames of each member, beginning with another one each time.
    fn receive(&mut self, now: Instant) {
        if let Some(frame) = self.held.take()
            && !self.deliver(frame)
        {
            return;
        }
        let later = self.peers.range(self.next..);
        let turns = later.chain(self.peers.range(..self.next));
        let turns: Vec<u64> = turns.map(|(member, _)| *member).collect();
        for member in turns {
            self.next = member + 1;
            if !self.receive_from(member, now) {
                return;
            }
        }
    }

    /// Whether the cable has room for what others sent.
    fn receive_from(&mut self, member: u64, now: Instant) -> bool {
        for _ in 0..ROUND {
            let Some(peer) = self.peers.get(&member) else {
                return true;
            };
            match recv(peer, &mut self.buffer[..], RecvFlags::empty()) {
                // It is told once that what we sent was not read; then the rest comes.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return true,
                Ok((0, _)) | Err(_) => {
                    self.forget(member);
                    return true;
                }
                Ok((length, _)) if !self.passes(length) => self.drop_one(),
                Ok((length, _)) => {
                    let frame = self.buffer.get(..length).unwrap_or_default().to_vec();
                    self.learn(&frame, member, now);
                    if !self.deliver(frame) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn learn(&mut self, frame: &[u8], member: u64, now: Instant) {
        let from = frame.get(6..).and_then(|rest| rest.first_chunk::<6>());
        let from: Option<&Mac> = from;
        if let Some(from) = from {
            self.macs.learn(*from, member, now);
        }
    }

    /// Whether the cable took the frame; else it is kept.
    fn deliver(&mut self, frame: Vec<u8>) -> bool {
        self.held = self.end.send(frame).err();
        self.held.is_none()
    }

    fn forget(&mut self, member: u64) {
        self.peers.remove(&member);
        self.macs.forget(member);
    }

    /// Waits until something happens. Whether to go on.
    fn wait(&mut self, stop: &Bell) -> io::Result<bool> {
        if self.end.is_closed() {
            return Ok(false);
        }
        // While nothing is read, it still is noticed who has gone.
        let reading = match self.held {
            None => PollFlags::IN,
            Some(_) => PollFlags::empty(),
        };
        let now = Instant::now();
        self.deaf_until = self.deaf_until.filter(|until| now < *until);
        let listening = match self.deaf_until {
            None => PollFlags::IN,
            Some(_) => PollFlags::empty(),
        };
        let most = match self.end.is_empty() {
            true => self.deaf_until.map(|until| until - now),
            false => Some(Duration::ZERO),
        };
        let wakeup = self.end.wakeup();
        let mut asked: Vec<(&dyn AsFd, PollFlags)> = vec![
            (stop, PollFlags::IN),
            (&wakeup, PollFlags::IN),
            (&self.seat.listener, listening),
        ];
        asked.extend(self.peers.values().map(|p| (p as &dyn AsFd, reading)));
        let found = worker::wait(&asked, most)?;
        let [stopped, woken, called, peers @ ..] = &found[..] else {
            return Ok(true);
        };
        let gone = self.peers.keys().zip(peers);
        let gone = gone.filter(|(_, of)| self.held.is_some() && of.contains(PollFlags::HUP));
        let gone: Vec<u64> = gone.map(|(member, _)| *member).collect();
        if !woken.is_empty() {
            self.end.clear_wakeup();
        }
        gone.into_iter().for_each(|member| self.forget(member));
        if !called.is_empty() {
            self.accept(now);
        }
        Ok(stopped.is_empty())
    }

    /// Takes whoever has come.
    fn accept(&mut self, now: Instant) {
        for _ in 0..MEMBERS {
            match meet::accept(&self.seat) {
                Ok(socket) if self.peers.len() < MEMBERS => {
                    let number = self.peers.last_key_value().map_or(0, |(last, _)| last + 1);
                    self.peers.insert(number, socket);
                }
                // More than can have a seat: none of ours. Its end closes.
                Ok(_) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                // Out of descriptors: whoever waits shall not keep us from waiting.
                Err(_) => {
                    self.deaf_until = Some(now + PAUSE);
                    return;
                }
            }
        }
    }
}
