//! The thread of a user-mode network: it waits for sockets, the cable and the time, and
//! hands all of it to [`Nat`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use smoltcp::time::{Duration, Instant};

use super::agenda::{Readiness, Token};
use super::host::Os;
use super::lan::Trust;
use super::nat::Nat;
use super::{NetError, UserConfig};
use crate::cable::HostEnd;

/// Events taken from the host at a time.
const EVENTS: usize = 256;
/// Frames, and turns, between two looks at the host.
const ROUND: usize = 64;

/// A running user-mode network. Dropping it ends it, and with it all of the guest's
/// connections.
#[derive(Debug)]
pub struct UserNet {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl UserNet {
    /// Starts a network on the cable's end.
    ///
    /// # Errors
    /// When the configuration is out of range, a published port is taken, the TFTP
    /// folder cannot be opened, or the host grants no descriptors or threads.
    pub fn start(config: UserConfig, end: HostEnd) -> Result<Self, NetError> {
        let host = |error: Errno| NetError::Host(error.into());
        let os = Os::new().map_err(host)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(host)?;
        os.watch_level(stop.as_fd(), Token::STOP).map_err(host)?;
        os.watch_level(end.wakeup(), Token::CABLE).map_err(host)?;
        let nat = Nat::new(config, os)?;
        let stop = Arc::new(stop);
        let held = Arc::clone(&stop); // A descriptor is watched for as long as it is open.
        let run = move || {
            let _held = held;
            Runner::new(nat, end).run();
        };
        let thread = thread::Builder::new().name("user-net".to_owned());
        let thread = Some(thread.spawn(run).map_err(NetError::Host)?);
        Ok(Self { stop, thread })
    }
}

impl Drop for UserNet {
    fn drop(&mut self) {
        // Fails only when it was written before.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the user-mode network's thread panicked");
        }
    }
}

struct Runner {
    nat: Nat<Os>,
    end: HostEnd,
    began: std::time::Instant,
    events: Vec<epoll::Event>,
    stopped: bool,
}

impl Runner {
    fn new(nat: Nat<Os>, end: HostEnd) -> Self {
        Self {
            nat,
            end,
            began: std::time::Instant::now(),
            events: Vec::with_capacity(EVENTS),
            stopped: false,
        }
    }

    fn now(&self) -> Instant {
        let passed = self.began.elapsed();
        Instant::from_micros(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX))
    }

    fn run(mut self) {
        while !self.stopped && !self.end.is_closed() {
            let busy = self.round();
            if let Err(error) = self.wait(busy) {
                log::error!("the user-mode network ends: the host cannot wait for it: {error}");
                return;
            }
        }
    }

    /// Does a bounded piece of what is to be done. Whether there is more.
    fn round(&mut self) -> bool {
        let now = self.now();
        let offloads = self.end.offloads();
        self.nat.trust(Trust {
            from_guest: offloads.from_guest,
            to_guest: offloads.to_guest,
        });
        self.nat.expire(now);
        for _ in 0..ROUND {
            if !self.nat.has_room() {
                break;
            }
            let Some(frame) = self.end.receive() else {
                break;
            };
            self.nat.frame(frame, now);
        }
        self.nat.work(ROUND, now);
        while let Some(frame) = self.nat.lan.take() {
            if let Err(frame) = self.end.send(frame) {
                self.nat.lan.put_back(frame);
                // The cable's wakeup comes when there is room.
                return self.nat.has_room() && self.has_work();
            }
        }
        self.has_work()
    }

    fn has_work(&self) -> bool {
        !self.nat.is_idle() || !self.end.is_empty()
    }

    /// Waits until something happens, or only looks what did.
    fn wait(&mut self, busy: bool) -> io::Result<()> {
        let timeout = match busy {
            true => Some(Duration::ZERO),
            false => self.nat.deadline().map(|at| {
                let now = self.now();
                if at > now { at - now } else { Duration::ZERO }
            }),
        };
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(u32::try_from(time.total_micros() % 1_000_000).unwrap_or(0)) * 1000,
        });
        self.events.clear();
        let waited = epoll::wait(
            self.nat.host.epoll(),
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        );
        match waited {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in std::mem::take(&mut self.events) {
            self.event(event);
        }
        self.events.reserve(EVENTS);
        Ok(())
    }

    fn event(&mut self, event: epoll::Event) {
        use epoll::EventFlags as On;
        let flags = event.flags;
        match Token(event.data.u64()) {
            Token::STOP => self.stopped = true,
            Token::CABLE => self.end.clear_wakeup(),
            token => {
                let readable = On::IN | On::RDHUP | On::HUP | On::ERR;
                let writable = On::OUT | On::HUP | On::ERR;
                let ready = Readiness {
                    readable: flags.intersects(readable),
                    writable: flags.intersects(writable),
                };
                self.nat.ready(token, ready);
            }
        }
    }
}
