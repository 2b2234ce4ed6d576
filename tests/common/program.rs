//! The program under test, run to its end or watched on the way.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long any one thing may take on a machine that is busy with others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// `isoform run`, with nothing to read unless the test gives it something.
pub(crate) fn isoform_run() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isoform"));
    command.arg("run").stdin(Stdio::null());
    command
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit status.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// Standard error.
    pub(crate) err: String,
}

/// A process that does not outlive its test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Process {
        Process(command.spawn().expect("it starts"))
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("it is ours") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only a failed test leaves it running; it may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a stream says, as it comes.
pub(crate) struct Stream {
    pieces: Receiver<Vec<u8>>,
    /// All of it so far.
    pub(crate) seen: Vec<u8>,
}

impl Stream {
    /// Reads in the background.
    pub(crate) fn of(mut from: impl Read + Send + 'static) -> Stream {
        let (send, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            // A pseudo-terminal whose other end is closed ends by an error.
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let seen = Vec::new();
        Stream { pieces, seen }
    }

    /// All of it, to the end.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        while self.more(PATIENCE) {}
        self.seen
    }

    /// Takes what comes next; false at the end.
    pub(crate) fn more(&mut self, patience: Duration) -> bool {
        match self.pieces.recv_timeout(patience) {
            Ok(piece) => self.seen.extend(piece),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing comes after {:?}", self.text()),
        }
        true
    }

    /// It so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(piped);
    let out = Stream::of(process.0.stdout.take().expect("piped"));
    let err = Stream::of(process.0.stderr.take().expect("piped"));
    let (out, err) = (out.rest(), err.rest());
    let status = process.wait().code().unwrap_or(-1);
    let err = String::from_utf8_lossy(&err).into_owned();
    assert!(!err.contains("panicked"), "{command:?}: {err}");
    Ran { status, out, err }
}
