//! The host's side of a guest's socket device: streams between its ports and sockets of
//! the host's file system, as Firecracker has it.
//!
//! * A program of the host connects to the socket at PATH and writes `CONNECT 1234` with a
//!   line's end. When the guest's port 1234 has accepted, it reads `OK` and a number, and
//!   from there on the stream.
//! * A guest that connects to port P of the host (CID 2) is connected to the socket at
//!   `PATH_P`, at which a program of the host listens.
//!
//! Packets travel by a [cable](crate::cable), each with its header (Virtio 1.2, section
//! 5.10.6) as one frame; an empty one says that the guest's side starts anew, and is
//! answered by one. Data waits in sockets and in bounded buffers: who does not read stops
//! who writes, on its own connection alone.
//!
//! Deliberately not done: datagrams and packet streams, which the device does not offer;
//! connections from guest to guest.

mod connection;
mod mux;
mod paths;
pub mod sample;
mod spec;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::cable::HostEnd;
use crate::seat::Seat;
use crate::worker::{self, Bell, Worker};
use mux::{Mux, Source};
use paths::Paths;

/// Packets of the guest's before sockets have their turn.
const ROUND: usize = 64;
/// How long until a host that is out of descriptors is asked again for a connection.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of the longest path at which a guest's ports have their places beside it.
pub const PATH_MAX: usize = 96;

/// What a guest's sockets are connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VsockConfig {
    /// The guest's number: 3 and up.
    pub cid: u32,
    /// Where programs of the host come to.
    pub path: PathBuf,
}

/// Why a guest's sockets lead nowhere.
#[derive(Debug, thiserror::Error)]
pub enum VsockError {
    /// Somebody else has the path.
    #[error(
        "{} is taken: another machine or program listens there, or it is no socket; give each \
         machine a path of its own with uds=", .0.display()
    )]
    Taken(PathBuf),
    /// It cannot be made.
    #[error("cannot listen at {}: {source}; its folder has to be there and writable", .path.display())]
    Listen {
        /// The path.
        path: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// The host grants no descriptors, or no thread.
    #[error(
        "the host cannot connect a guest's sockets: {0}; it may be out of descriptors or threads"
    )]
    Host(io::Error),
}

/// The host's side of a guest's sockets. Dropping it ends all connections, and removes the
/// socket at its path.
#[derive(Debug)]
pub struct Vsock {
    _worker: Worker,
}

impl Vsock {
    /// Connects the cable's end with the host's sockets.
    ///
    /// # Errors
    /// When the path is taken or cannot be made, or the host grants no descriptors or
    /// threads.
    pub fn start(config: &VsockConfig, end: HostEnd) -> Result<Self, VsockError> {
        let seat = paths::take(&config.path)?;
        let stop = worker::bell().map_err(VsockError::Host)?;
        let line = Line {
            seat,
            end,
            mux: Mux::new(config.cid, Paths(config.path.clone())),
            pauses: None,
        };
        let bell = Arc::clone(&stop);
        let worker = Worker::start("vsock", stop, move || line.run(&bell));
        Ok(Self {
            _worker: worker.map_err(VsockError::Host)?,
        })
    }
}

/// What the thread works with.
struct Line {
    seat: Seat,
    end: HostEnd,
    mux: Mux<Paths>,
    /// Nobody is accepted until then.
    pauses: Option<Instant>,
}

impl Line {
    fn run(mut self, stop: &Bell) {
        loop {
            self.end.clear_wakeup();
            let more = self.hear();
            let now = Instant::now();
            self.mux.expire(now);
            self.pauses = self.pauses.filter(|until| *until > now);
            self.mux.speak(&mut |packet| self.end.send(packet));
            let most = match more {
                true => Some(Duration::ZERO),
                false => {
                    let next = self.mux.deadline().into_iter().chain(self.pauses).min();
                    next.map(|at| at.saturating_duration_since(now))
                }
            };
            match self.wait(stop, most) {
                Ok(true) if !self.end.is_closed() => {}
                Ok(_) => return,
                Err(error) => return log::error!("the guest's sockets are gone: {error}"),
            }
        }
    }

    /// Takes packets of the guest's; whether there may be more.
    fn hear(&mut self) -> bool {
        for _ in 0..ROUND {
            match self.end.receive() {
                Some(packet) => self.mux.hear(&packet),
                None => return false,
            }
        }
        true
    }

    /// Waits for sockets and serves them; false at the end.
    fn wait(&mut self, stop: &Bell, most: Option<Duration>) -> io::Result<bool> {
        let wakeup = self.end.wakeup();
        let welcomes = self.pauses.is_none() && self.mux.welcomes();
        let door = if welcomes {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut asked: Vec<(&dyn AsFd, PollFlags)> = vec![
            (&**stop, PollFlags::IN),
            (&wakeup, PollFlags::IN),
            (&self.seat.listener, door),
        ];
        let first = asked.len();
        let sources = self.mux.sources();
        asked.extend(
            sources
                .iter()
                .map(|(_, fd, flags)| (fd as &dyn AsFd, *flags)),
        );
        let shown = worker::wait(&asked, most)?;
        let of_sources = shown.iter().skip(first);
        let served: Vec<(Source, PollFlags)> = sources
            .iter()
            .map(|(source, _, _)| *source)
            .zip(of_sources.copied())
            .collect();
        let now = Instant::now();
        self.mux
            .serve(&served, now, &mut |packet| self.end.send(packet));
        let shows = |n: usize| shown.get(n).is_some_and(|flags| !flags.is_empty());
        if shows(2) && welcomes {
            self.accept(now);
        }
        Ok(!shows(0))
    }

    fn accept(&mut self, now: Instant) {
        match self.seat.accept() {
            Ok(socket) => self.mux.greet(socket, now),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(error) => {
                log::warn!("a program cannot connect to the guest: {error}");
                self.pauses = Some(now + PAUSE);
            }
        }
    }
}
