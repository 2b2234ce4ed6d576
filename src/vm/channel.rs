//! Where the output of `--exec` goes: three ports of a console of their own, to
//! standard output, standard error, and the command's status.
//!
//! A thread for each stream writes what the guest sends, so that no other thread
//! waits for a reader. A reader that leaves ends the run as it ends any program; a
//! disk that is full is a host error. Under the host's clock a full buffer makes the
//! guest's driver wait; under the instruction clock, where a slow reader must not
//! change the run, everything is taken and the whole machine waits
//! ([`Channels::is_behind`]).

use super::event::{End, Event, Poster};
use super::shared::lock;
use crate::config::SlotId;
use isoform_devices::CharSink;
use isoform_devices::virtio::console::PortConfig;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes kept for a reader that is slower than the guest.
const CAPACITY: usize = 1 << 20;
/// Bytes of a status at most: digits and a newline, with room to spare.
const STATUS_MAX: usize = 64;
/// How long a run that is stopped from outside waits for a reader that may not read.
const LINGER: Duration = Duration::from_millis(250);

/// Why a stream cannot be written any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The reader of standard output has left.
    ReaderLeft,
    /// The host refuses.
    Write {
        /// Which stream.
        stream: &'static str,
        /// What the host said.
        error: Errno,
    },
}

/// The command's channels.
pub(super) struct Channels {
    status: Arc<Mutex<Vec<u8>>>,
    pipes: [Arc<Pipe>; 2],
}

impl Channels {
    /// The channels, and the ports of the console in `slot` that feed them.
    pub(super) fn open(
        slot: SlotId,
        post: &Poster,
        full: Full,
    ) -> std::io::Result<(Self, Vec<PortConfig>)> {
        let port = |name: &str, sink: Box<dyn CharSink>| PortConfig {
            name: format!("isoform.{name}"),
            is_console: false,
            sink,
        };
        // Port 0 of a console device is its console: nothing is to be read there.
        let quiet = PortConfig {
            name: String::new(),
            is_console: true,
            sink: Box::new(|_: &[u8]| ()),
        };
        let status = Arc::new(Mutex::new(Vec::new()));
        let (out, err) = (
            Pipe::new("standard output", full),
            Pipe::new("standard error", full),
        );
        let ends = [
            std::io::stdout().as_fd().try_clone_to_owned()?,
            std::io::stderr().as_fd().try_clone_to_owned()?,
        ];
        for (n, (pipe, end)) in [&out, &err].into_iter().zip(ends).enumerate() {
            pipe.start(
                end,
                Room {
                    slot,
                    port: n as u16 + 1,
                },
                post,
            )?;
        }
        let kept = status.clone();
        let status_sink = move |bytes: &[u8]| {
            let mut status = lock(&kept);
            let room = STATUS_MAX.saturating_sub(status.len());
            status.extend(bytes.iter().take(room));
        };
        let ports = vec![
            quiet,
            port("out", Box::new(Sink(out.clone()))),
            port("err", Box::new(Sink(err.clone()))),
            port("status", Box::new(status_sink)),
        ];
        Ok((
            Self {
                status,
                pipes: [out, err],
            },
            ports,
        ))
    }

    /// The command's status, once it is there in full.
    pub(super) fn status(&self) -> Option<u32> {
        let status = lock(&self.status);
        let text = std::str::from_utf8(&status).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    }

    /// Whether more is to be written than a machine should have waiting.
    pub(super) fn is_behind(&self) -> bool {
        self.pipes
            .iter()
            .any(|p| lock(&p.state).bytes.len() >= CAPACITY)
    }

    /// Waits until everything is written, which is as long as the readers take; after
    /// `stopped`, not much longer than readers that are there need.
    pub(super) fn finish(&self, stopped: bool) -> Result<(), Failure> {
        self.pipes
            .iter()
            .try_for_each(|p| p.finish(stopped.then_some(LINGER)))
    }
}

/// What a full buffer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The guest's driver waits, and is told of room.
    Refuse,
    /// The buffer grows until the machine is stopped for it.
    Grow,
}

/// Who waits for room: a port of the console in a slot.
#[derive(Debug, Clone, Copy)]
struct Room {
    slot: SlotId,
    port: u16,
}

/// What guest and thread share.
struct Pipe {
    name: &'static str,
    full: Full,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// The thread holds bytes that it has not written yet.
    busy: bool,
    /// The guest was told that there is no room.
    refused: bool,
    /// From here on everything is taken and dropped.
    failed: Option<Failure>,
}

/// The guest's end.
struct Sink(Arc<Pipe>);

impl Pipe {
    fn new(name: &'static str, full: Full) -> Arc<Self> {
        let (state, changed) = Default::default();
        Arc::new(Self {
            name,
            full,
            state,
            changed,
        })
    }

    /// Starts the thread. It ends with the process.
    fn start(self: &Arc<Self>, end: OwnedFd, room: Room, post: &Poster) -> std::io::Result<()> {
        let (pipe, post) = (self.clone(), post.clone());
        let run = move || {
            loop {
                let chunk = pipe.take(room, &post);
                let result = write_all(&end, &chunk);
                let mut state = lock(&pipe.state);
                state.busy = false;
                if let Err(error) = result {
                    pipe.fail(&mut state, error, &post);
                }
                pipe.changed.notify_all();
            }
        };
        std::thread::Builder::new()
            .name("exec output".into())
            .spawn(run)
            .map(drop)
    }

    /// Waits for bytes and takes all there are.
    fn take(&self, Room { slot, port }: Room, post: &Poster) -> Vec<u8> {
        let mut state = lock(&self.state);
        while state.bytes.is_empty() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.busy = true;
        if std::mem::take(&mut state.refused) {
            post.post(Event::OutputRoom { slot, port });
        }
        Vec::from(std::mem::take(&mut state.bytes))
    }

    fn fail(&self, state: &mut State, error: Errno, post: &Poster) {
        if state.failed.is_some() {
            return;
        }
        let failure = match error {
            Errno::PIPE => Failure::ReaderLeft,
            error => Failure::Write {
                stream: self.name,
                error,
            },
        };
        state.failed = Some(failure);
        state.bytes.clear();
        // How it counts is said in `finish`.
        post.post(Event::End(End::Unheard));
    }

    fn finish(&self, patience: Option<Duration>) -> Result<(), Failure> {
        let mut state = lock(&self.state);
        while state.failed.is_none() && (state.busy || !state.bytes.is_empty()) {
            state = match patience {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.changed.wait_timeout(state, patience);
                    let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
                    if result.timed_out() {
                        return Ok(());
                    }
                    state
                }
            };
        }
        state.failed.clone().map_or(Ok(()), Err)
    }
}

impl CharSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut state = lock(&self.0.state);
        if state.failed.is_some() {
            return bytes.len();
        }
        let room = match self.0.full {
            Full::Refuse => CAPACITY.saturating_sub(state.bytes.len()).min(bytes.len()),
            Full::Grow => bytes.len(),
        };
        state.bytes.extend(bytes.iter().take(room));
        state.refused = room < bytes.len();
        self.0.changed.notify_all();
        room
    }
}

/// Writes all of it. A stream that is set not to wait is waited for.
fn write_all(end: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(end, bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(end, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
