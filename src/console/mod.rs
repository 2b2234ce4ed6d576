//! The host's side of the serial line: terminal, file, socket or pseudo-terminal.
//!
//! A [`Console`] has an input thread, which reads the host's end and calls back
//! with [`ConsoleEvent`]s, and an output thread behind [`Output`], so that neither
//! the guest waits for a person nor a person for the guest. On a terminal the input
//! goes through `keys` (Ctrl-A and the monitor) in raw mode, which `terminal`
//! undoes however the program ends. Pipes, files and sockets pass every byte
//! untouched. Nothing here knows a device: the run loop carries bytes between this
//! module and the UART.

mod input;
mod keys;
mod output;
mod terminal;
#[cfg(test)]
mod tests;
mod wake;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::config::SerialSpec;
use input::{Credit, Source};
pub use output::{Output, Policy};
pub use terminal::restore as restore_terminal;

/// What comes from the host's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleEvent {
    /// Bytes for the guest, 1 to 4096 of them; acknowledge them with
    /// [`Console::consumed`].
    Bytes(Vec<u8>),
    /// The monitor's `balloon`: bytes that the guest is to have.
    Balloon(u64),
    /// The monitor's `reset`.
    Reset,
    /// Ctrl-A x or the monitor's `quit`. From here on [`Output::write`] takes all.
    Quit,
    /// [`Output::write`] took less than it was given, and takes more now.
    OutputRoom,
    /// No more bytes will come (end of a pipe). The guest goes on. A socket's peer
    /// that leaves is no end: another may come.
    Eof,
}

/// Who hears of events. Called on several threads.
#[derive(Clone)]
struct Events(Arc<dyn Fn(ConsoleEvent) + Send + Sync>);

impl Events {
    fn tell(&self, event: ConsoleEvent) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

/// Why the host's end cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The file for `file:` cannot be made.
    #[error("cannot write the serial line to {path}: {source}; give another --serial file:PATH")]
    File {
        /// The path as given.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The socket for `unix:` cannot be made.
    #[error(
        "cannot listen on {path} for the serial line: {source}; give another --serial unix:PATH"
    )]
    Socket {
        /// The path as given.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody else listens there, or it is no socket.
    #[error("cannot listen on {path} for the serial line: {what}; give another --serial unix:PATH")]
    Taken {
        /// The path as given.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// No pseudo-terminal can be had.
    #[error(
        "cannot make a pseudo-terminal for the serial line: {0}; use --serial stdio or unix:PATH"
    )]
    Pty(#[source] io::Error),
    /// The terminal, or a duplicate of standard input or output, cannot be had.
    #[error("cannot use the terminal for the serial line: {0}; use --serial null or file:PATH")]
    Stdio(#[source] io::Error),
    /// No thread or event descriptor is left.
    #[error("cannot start the serial line's threads: {0}")]
    Threads(#[source] io::Error),
}

/// The host's end of a serial line. Dropping it writes out what is pending, waiting
/// for readers of a file or standard output, and restores the terminal. It must not be dropped by
/// its own callbacks.
#[derive(Debug)]
pub struct Console {
    output: Output,
    input: Option<Input>,
    raw: Option<terminal::Raw>,
    /// The socket's path, removed at the end.
    socket: Option<PathBuf>,
    pty: Option<PathBuf>,
}

/// The input thread and what reaches it.
#[derive(Debug)]
struct Input {
    credit: Credit,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Opens the host's end that `spec` names.
    ///
    /// `full` is what happens to output that a file or standard output does not take
    /// yet; sockets and pseudo-terminals drop the oldest.
    ///
    /// `events` is called on the threads of input and output and should not wait: bytes
    /// are to be queued, and acknowledged with [`Console::consumed`] when the guest took
    /// them. `info` answers the monitor's `info`; it is called on the input thread and
    /// returns lines separated by `\n`.
    ///
    /// # Errors
    /// [`ConsoleError`]; the terminal is then as it was.
    pub fn open(
        spec: &SerialSpec,
        full: Policy,
        events: impl Fn(ConsoleEvent) + Send + Sync + 'static,
        info: impl Fn() -> String + Send + 'static,
    ) -> Result<Console, ConsoleError> {
        let events = Events(Arc::new(events));
        let mut console = Console {
            output: Output::null(),
            input: None,
            raw: None,
            socket: None,
            pty: None,
        };
        let source = match spec {
            SerialSpec::Null => return Ok(console),
            SerialSpec::File(path) => {
                let file = Some(open_file(path)?);
                console.output = Output::start(file, full, spec.name(), events)?;
                return Ok(console);
            }
            SerialSpec::Stdio => console.open_stdio(full, &events)?,
            SerialSpec::Unix(path) => {
                let listener = listen(path)?;
                console.socket = Some(path.clone());
                let policy = Policy::DropOldest;
                console.output = Output::start(None, policy, spec.name(), events.clone())?;
                Source::Listener(listener)
            }
            SerialSpec::Pty => console.open_pty(&events)?,
        };
        let credit = Credit::new().map_err(ConsoleError::Threads)?;
        let host = input::Host {
            events,
            info: Box::new(info),
        };
        let thread = input::start(source, host, console.output.clone(), credit.clone())
            .map_err(ConsoleError::Threads)?;
        console.input = Some(Input {
            credit,
            thread: Some(thread),
        });
        Ok(console)
    }

    fn open_stdio(&mut self, full: Policy, events: &Events) -> Result<Source, ConsoleError> {
        let dup =
            |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map_err(ConsoleError::Stdio);
        let stdin = dup(io::stdin().as_fd())?;
        let stdout = Some(dup(io::stdout().as_fd())?);
        self.output = Output::start(stdout, full, "stdio", events.clone())?;
        if !io::stdin().is_terminal() {
            return Ok(Source::Stream(stdin));
        }
        self.raw = Some(terminal::Raw::enter().map_err(ConsoleError::Stdio)?);
        Ok(Source::Terminal(stdin))
    }

    fn open_pty(&mut self, events: &Events) -> Result<Source, ConsoleError> {
        let (master, peer, path) = pty().map_err(ConsoleError::Pty)?;
        let output = master.try_clone().map_err(ConsoleError::Pty)?;
        self.output = Output::start(Some(output), Policy::DropOldest, "pty", events.clone())?;
        eprintln!("serial line: {}", path.display());
        self.pty = Some(path);
        Ok(Source::Pty {
            master,
            _peer: peer,
        })
    }

    /// The way out, for the UART: cheap to clone, usable from any thread.
    pub fn output(&self) -> Output {
        self.output.clone()
    }

    /// Acknowledges `bytes` of input. At most 64 KiB are given out unacknowledged;
    /// then a pipe or socket is left unread, and what is typed is dropped (Ctrl-A
    /// goes on to work).
    pub fn consumed(&self, bytes: usize) {
        if let Some(input) = &self.input {
            input.credit.give_back(bytes);
        }
    }

    /// The pseudo-terminal to connect to, for `pty`.
    pub fn pty(&self) -> Option<&Path> {
        self.pty.as_deref()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Output first: the input thread holds the socket's peer.
        self.output.close();
        if let Some(input) = &mut self.input {
            input.credit.close();
            if let Some(thread) = input.thread.take() {
                // Its panic has been reported where it happened.
                let _ = thread.join();
            }
        }
        // After the last output, so that the shell's prompt comes behind it.
        drop(self.raw.take());
        if let Some(path) = &self.socket {
            // Somebody may have removed it; then there is nothing to do.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl SerialSpec {
    /// Its name on the command line.
    fn name(&self) -> &'static str {
        match self {
            SerialSpec::Stdio => "stdio",
            SerialSpec::Null => "null",
            SerialSpec::File(_) => "file",
            SerialSpec::Unix(_) => "unix",
            SerialSpec::Pty => "pty",
        }
    }
}

fn open_file(path: &Path) -> Result<OwnedFd, ConsoleError> {
    match File::create(path) {
        Ok(file) => Ok(file.into()),
        Err(source) => Err(ConsoleError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Listens at `path`; a socket there that nobody serves is a dead run's, and goes.
fn listen(path: &Path) -> Result<UnixListener, ConsoleError> {
    let taken = |what| ConsoleError::Taken {
        path: path.to_owned(),
        what,
    };
    let fail = |source| ConsoleError::Socket {
        path: path.to_owned(),
        source,
    };
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        result => return result.map_err(fail),
    }
    let is_socket = std::fs::symlink_metadata(path)
        .is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type()));
    if !is_socket {
        return Err(taken("a file of that name exists"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return Err(taken("another program listens there")),
    }
    std::fs::remove_file(path).map_err(fail)?;
    UnixListener::bind(path).map_err(fail)
}

/// A pseudo-terminal in raw mode: our end, the other end, its name. The other end
/// is held open so that its settings last and our end never sees a hang-up.
fn pty() -> io::Result<(OwnedFd, OwnedFd, PathBuf)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let path = PathBuf::from(std::ffi::OsString::from(
        String::from_utf8_lossy(name.as_bytes()).into_owned(),
    ));
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let peer = rustix::fs::open(&path, flags, rustix::fs::Mode::empty())?;
    let mut settings = rustix::termios::tcgetattr(&peer)?;
    // Without echo in particular, which would send output back as input.
    settings.make_raw();
    rustix::termios::tcsetattr(&peer, rustix::termios::OptionalActions::Now, &settings)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok((master, peer, path))
}
