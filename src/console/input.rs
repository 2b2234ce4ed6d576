//! The input thread: reads the host's end and tells the machine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::keys::{Action, Keys};
use super::wake::Wake;
use super::{ConsoleEvent, Events, Output};

/// Bytes given out and not acknowledged, at most.
pub(super) const MAX_OUTSTANDING: usize = 64 << 10;
/// Bytes read at a time.
const CHUNK: usize = 4096;

/// Where input comes from.
pub(super) enum Source {
    /// A terminal in raw mode: Ctrl-A is ours.
    Terminal(OwnedFd),
    /// A pipe, file or device: every byte is the guest's.
    Stream(OwnedFd),
    /// A socket to take peers from.
    Listener(UnixListener),
    /// Our end of a pseudo-terminal, and the other end, held open.
    Pty {
        /// Our end.
        master: OwnedFd,
        /// See `pty` in the parent.
        _peer: OwnedFd,
    },
}

/// The machine, as the input thread sees it.
pub(super) struct Host {
    pub(super) events: Events,
    pub(super) info: Box<dyn Fn() -> String + Send>,
}

/// How much input the machine still has to take, shared with the thread.
#[derive(Debug, Clone)]
pub(super) struct Credit(Arc<CreditState>);

#[derive(Debug)]
struct CreditState {
    outstanding: AtomicUsize,
    closed: AtomicBool,
    wake: Wake,
}

impl Credit {
    pub(super) fn new() -> io::Result<Credit> {
        Ok(Credit(Arc::new(CreditState {
            outstanding: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            wake: Wake::new()?,
        })))
    }

    fn take(&self, bytes: usize) {
        self.0.outstanding.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The machine took `bytes`; more than it was given counts as all.
    pub(super) fn give_back(&self, bytes: usize) {
        let before = self
            .0
            .outstanding
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                Some(n.saturating_sub(bytes))
            });
        let before = before.unwrap_or_else(|n| n);
        if before >= MAX_OUTSTANDING {
            self.0.wake.wake();
        }
    }

    fn room(&self) -> usize {
        MAX_OUTSTANDING.saturating_sub(self.0.outstanding.load(Ordering::Acquire))
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.wake.wake();
    }

    fn closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }
}

/// Starts the thread.
pub(super) fn start(
    source: Source,
    host: Host,
    output: Output,
    credit: Credit,
) -> io::Result<JoinHandle<()>> {
    let mut reader = Reader {
        host,
        output,
        credit,
    };
    std::thread::Builder::new()
        .name("console-input".to_owned())
        .spawn(move || match source {
            Source::Terminal(fd) => reader.terminal(&fd),
            Source::Stream(fd) => {
                if reader.stream(fd.as_fd()) == End::Eof {
                    reader.host.events.tell(ConsoleEvent::Eof);
                }
            }
            Source::Pty { master, _peer } => {
                reader.stream(master.as_fd());
            }
            Source::Listener(listener) => reader.serve(&listener),
        })
}

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Eof,
    Closed,
}

struct Reader {
    host: Host,
    output: Output,
    credit: Credit,
}

impl Reader {
    /// Passes everything on until the end, leaving bytes where they are while the
    /// machine has enough of them.
    fn stream(&mut self, fd: BorrowedFd<'_>) -> End {
        let mut buf = [0; CHUNK];
        loop {
            let room = self.credit.room().min(CHUNK);
            if room == 0 {
                if !self.wait(None) {
                    return End::Closed;
                }
                continue;
            }
            match self.read(fd, &mut buf[..room]) {
                Read::Bytes(n) => self.input(&buf[..n]),
                Read::Nothing => {}
                Read::Eof => return End::Eof,
                Read::Closed => return End::Closed,
            }
        }
    }

    /// A person's keys. Read even while the machine takes nothing, for Ctrl-A.
    fn terminal(&mut self, fd: &OwnedFd) {
        let mut keys = Keys::default();
        let mut buf = [0; CHUNK];
        loop {
            match self.read(fd.as_fd(), &mut buf) {
                Read::Bytes(n) => {
                    for action in keys.feed(&buf[..n]) {
                        self.act(action, &keys);
                    }
                }
                Read::Nothing => {}
                Read::Eof => return self.host.events.tell(ConsoleEvent::Eof),
                Read::Closed => return,
            }
        }
    }

    fn act(&mut self, action: Action, keys: &Keys) {
        match action {
            Action::Input(mut bytes) => {
                bytes.truncate(self.credit.room());
                self.input(&bytes);
            }
            Action::Show(text) => self.show(&text),
            Action::Info => {
                let info = (self.host.info)();
                self.show(&format!("{}\n{}", info.trim_end(), keys.prompt()));
            }
            Action::Balloon(bytes) => self.host.events.tell(ConsoleEvent::Balloon(bytes)),
            Action::Reset => self.host.events.tell(ConsoleEvent::Reset),
            Action::Quit => {
                self.output.never_wait();
                self.host.events.tell(ConsoleEvent::Quit);
            }
        }
    }

    /// Shows text to the person; where standard output is not their terminal,
    /// standard error may be.
    fn show(&self, text: &str) {
        use std::io::IsTerminal;
        if io::stdout().is_terminal() {
            self.output.show(text);
        } else {
            eprint!("{text}");
        }
    }

    /// Serves one peer after the other.
    fn serve(&mut self, listener: &UnixListener) {
        loop {
            if !self.wait(Some((listener.as_fd(), PollFlags::IN))) {
                return;
            }
            // Nonblocking, as the peer may have gone again.
            let peer = listener
                .set_nonblocking(true)
                .and_then(|()| listener.accept());
            let Ok((peer, _)) = peer else { continue };
            if peer.set_nonblocking(true).is_err() {
                continue;
            }
            let peer = Arc::new(OwnedFd::from(peer));
            self.output.connect(Some(Arc::clone(&peer)));
            let end = self.stream(peer.as_fd());
            // A peer that only stopped sending still listens.
            let gone = end == End::Closed || self.wait_for_hangup(peer.as_fd());
            self.output.connect(None);
            if !gone || self.credit.closed() {
                return;
            }
        }
    }

    /// Waits until the peer has closed both directions. False when closed ourselves.
    fn wait_for_hangup(&self, peer: BorrowedFd<'_>) -> bool {
        loop {
            match self.credit.0.wake.wait(Some((peer, PollFlags::empty()))) {
                _ if self.credit.closed() => return false,
                Ok(shows) if shows.is_empty() => {}
                _ => return true,
            }
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.credit.take(bytes.len());
            self.host.events.tell(ConsoleEvent::Bytes(bytes.to_vec()));
        }
    }

    /// Waits for `fd`, or for the machine to take bytes. False at the end.
    fn wait(&self, fd: Option<(BorrowedFd<'_>, PollFlags)>) -> bool {
        self.credit.0.wake.wait(fd).is_ok() && !self.credit.closed()
    }

    fn read(&self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> Read {
        let shows = match self.credit.0.wake.wait(Some((fd, PollFlags::IN))) {
            _ if self.credit.closed() => return Read::Closed,
            Ok(shows) => shows,
            Err(_) => return Read::Eof,
        };
        if shows.is_empty() {
            return Read::Nothing;
        }
        match rustix::io::read(fd, buf) {
            Ok(0) => Read::Eof,
            Ok(n) => Read::Bytes(n),
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            // A terminal that was hung up, a peer that was killed.
            Err(_) => Read::Eof,
        }
    }
}

enum Read {
    Bytes(usize),
    Nothing,
    Eof,
    Closed,
}
