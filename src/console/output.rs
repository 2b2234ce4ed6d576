//! Bytes from the guest, on their way out.
//!
//! A bounded buffer and a thread that empties it. Where the host's end is a file
//! or standard output, a full buffer takes no more and tells of room later: the
//! guest sees a slow line, and nobody here waits. A driver that waits for the line
//! loses nothing; one that gives up (Linux's kernel messages do, after 10 ms) loses
//! what it sends all the same, as on a real line, and the buffer is large for its
//! sake. Where the host's end is a socket or pseudo-terminal that may have no reader
//! for days, the oldest bytes go instead, so that whoever connects sees the latest.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::wake::Wake;
use super::{ConsoleError, ConsoleEvent, Events};

/// Bytes the buffer holds: a kernel's messages from start to prompt, several times.
pub(super) const CAPACITY: usize = 256 << 10;
/// Bytes a write takes at most: a pipe that says it has room has at least this much.
const CHUNK: usize = 4096;
/// How long the end of a run waits for a peer that may not be reading.
const LINGER: Duration = Duration::from_millis(250);

/// What a full buffer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It takes no more; [`ConsoleEvent::OutputRoom`] tells when it does again.
    Refuse,
    /// It grows. Whoever writes looks at [`Output::is_behind`] and holds back.
    Grow,
    /// The oldest bytes are dropped.
    DropOldest,
}

/// The way out. Clones write to the same end.
#[derive(Debug, Clone)]
pub struct Output(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something to write, a new end, or the end of it all.
    work: Condvar,
    /// Less to write, or nothing left.
    room: Condvar,
    wake: Wake,
    name: &'static str,
    events: Events,
}

#[derive(Debug)]
struct State {
    buffer: VecDeque<u8>,
    end: Option<Arc<OwnedFd>>,
    policy: Policy,
    /// A writer was refused room, and is to be told of it.
    refused: bool,
    /// The thread holds bytes it has not written yet.
    busy: bool,
    /// No more will be written: the thread leaves.
    closed: bool,
    /// Bytes dropped.
    dropped: u64,
}

impl Output {
    /// An output that goes nowhere.
    pub(super) fn null() -> Output {
        Output(None)
    }

    /// Starts the thread. Without `end`, bytes wait for [`Output::connect`].
    pub(super) fn start(
        end: Option<OwnedFd>,
        policy: Policy,
        name: &'static str,
        events: Events,
    ) -> Result<Output, ConsoleError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                buffer: VecDeque::with_capacity(CAPACITY),
                end: end.map(Arc::new),
                policy,
                refused: false,
                busy: false,
                closed: false,
                dropped: 0,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            wake: Wake::new().map_err(ConsoleError::Threads)?,
            name,
            events,
        });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("console-output".to_owned())
            .spawn(move || thread.run())
            .map_err(ConsoleError::Threads)?;
        Ok(Output(Some(shared)))
    }

    /// Takes bytes from the guest, and says how many. Never waits.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let Some(shared) = &self.0 else {
            return bytes.len();
        };
        let mut state = shared.lock();
        if state.closed {
            return bytes.len();
        }
        // What `show` adds may exceed the capacity.
        let room = CAPACITY.saturating_sub(state.buffer.len());
        let taken = match state.policy {
            Policy::Refuse => bytes.len().min(room),
            Policy::Grow | Policy::DropOldest => bytes.len(),
        };
        state.refused |= taken < bytes.len();
        state.buffer.extend(bytes.iter().take(taken));
        if state.policy == Policy::DropOldest {
            let excess = state.buffer.len().saturating_sub(CAPACITY);
            state.buffer.drain(..excess);
            state.dropped += excess as u64;
        }
        shared.work.notify_one();
        taken
    }

    /// Whether more is to be written than a machine should have waiting.
    pub fn is_behind(&self) -> bool {
        let behind = |state: &State| {
            state.policy == Policy::Grow && state.buffer.len() >= CAPACITY && !state.closed
        };
        self.0.as_ref().is_some_and(|shared| behind(&shared.lock()))
    }

    /// Takes text for a person without ever waiting; there is little of it.
    pub(super) fn show(&self, text: &str) {
        if let Some(shared) = &self.0 {
            shared.lock().buffer.extend(text.as_bytes());
            shared.work.notify_one();
        }
    }

    /// Waits until everything is written, at most `patience`. Returns whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let Some(shared) = &self.0 else { return true };
        let deadline = Instant::now() + patience;
        let mut state = shared.lock();
        while state.busy || !state.buffer.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return false;
            }
            let waited = shared.room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// From now on a full buffer drops its oldest bytes: for the end of a run, which
    /// waits for no reader.
    pub fn never_wait(&self) {
        if let Some(shared) = &self.0 {
            let mut state = shared.lock();
            state.policy = Policy::DropOldest;
            shared.tell_room(state);
        }
    }

    /// From now on a full buffer grows: for what is still on its way at the end.
    pub fn take_all(&self) {
        if let Some(shared) = &self.0 {
            let mut state = shared.lock();
            if state.policy == Policy::Refuse {
                state.policy = Policy::Grow;
            }
            shared.tell_room(state);
        }
    }

    /// Bytes dropped so far because nobody took them.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.lock().dropped)
    }

    /// Gives it another end, or none.
    pub(super) fn connect(&self, end: Option<Arc<OwnedFd>>) {
        if let Some(shared) = &self.0 {
            shared.lock().end = end;
            shared.work.notify_one();
            shared.wake.wake();
        }
    }

    /// Writes out what it can and ends the thread.
    pub(super) fn close(&self) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.lock();
        let deadline = Instant::now() + LINGER;
        while state.end.is_some() && (state.busy || !state.buffer.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.policy == Policy::DropOldest && left.is_zero() {
                break;
            }
            // In steps, as the policy may change meanwhile.
            let waited = shared.room.wait_timeout(state, left.max(LINGER / 10));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        shared.lock().closed = true;
        shared.work.notify_all();
        shared.room.notify_all();
        shared.wake.wake();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output thread.
    fn run(&self) {
        while let Some((bytes, end)) = self.next() {
            let result = self.write_all(&bytes, &end);
            let mut state = self.lock();
            state.busy = false;
            if let Err(error) = result {
                self.lost(&mut state, &end, &error);
            }
            self.tell_room(state);
        }
    }

    /// Says that there is room to whoever waits for it or was refused it.
    fn tell_room(&self, mut state: MutexGuard<'_, State>) {
        let has_room = state.policy != Policy::Refuse || state.buffer.len() < CAPACITY;
        let was_refused = has_room && std::mem::take(&mut state.refused);
        drop(state);
        self.room.notify_all();
        if was_refused {
            self.events.tell(ConsoleEvent::OutputRoom);
        }
    }

    /// The next bytes and where they go; `None` at the end.
    fn next(&self) -> Option<(Vec<u8>, Arc<OwnedFd>)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            match &state.end {
                Some(end) if !state.buffer.is_empty() => {
                    let end = Arc::clone(end);
                    let n = state.buffer.len().min(CHUNK);
                    let bytes = state.buffer.drain(..n).collect();
                    state.busy = true;
                    self.tell_room(state);
                    return Some((bytes, end));
                }
                _ => {
                    state = self
                        .work
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }

    /// Writes `bytes`, waiting for room at `end` while it is still the end.
    fn write_all(&self, mut bytes: &[u8], end: &Arc<OwnedFd>) -> io::Result<()> {
        while !bytes.is_empty() {
            self.wake.wait(Some((end.as_fd(), PollFlags::OUT)))?;
            {
                let state = self.lock();
                let current = state.end.as_ref().is_some_and(|e| Arc::ptr_eq(e, end));
                if state.closed || !current {
                    return Ok(());
                }
            }
            let ready = rustix::event::poll(
                &mut [rustix::event::PollFd::from_borrowed_fd(
                    end.as_fd(),
                    PollFlags::OUT,
                )],
                Some(&rustix::event::Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                }),
            );
            if ready == Ok(0) {
                continue;
            }
            match rustix::io::write(end, bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The end is gone or full: what the guest writes from here on is dropped, or
    /// kept for a socket's next peer.
    fn lost(&self, state: &mut State, end: &Arc<OwnedFd>, error: &io::Error) {
        if !state.end.as_ref().is_some_and(|e| Arc::ptr_eq(e, end)) {
            return;
        }
        state.end = None;
        state.policy = Policy::DropOldest;
        if error.kind() == io::ErrorKind::BrokenPipe {
            log::info!("nobody reads the serial line ({}) any more", self.name);
        } else {
            log::warn!(
                "the serial line ({}) cannot be written any more: {error}; the guest goes on without",
                self.name
            );
        }
    }
}
