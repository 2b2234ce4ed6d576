//! A guest on the serial line, spoken to as a person would.

use crate::program::{PATIENCE, Process, Stream};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A running guest.
pub(crate) struct Session {
    /// The program.
    pub(crate) process: Process,
    input: Box<dyn Write>,
    output: Stream,
    /// Where what was not expected yet begins.
    at: usize,
    /// The guest's terminal; kept, for without it the pseudo-terminal ends.
    _terminal: Option<OwnedFd>,
}

impl Session {
    /// With pipes for input and output.
    pub(crate) fn on_pipes(command: &mut Command) -> Session {
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let input = Box::new(process.0.stdin.take().expect("piped"));
        let output = Stream::of(process.0.stdout.take().expect("piped"));
        Session {
            process,
            input,
            output,
            at: 0,
            _terminal: None,
        }
    }

    /// On a pseudo-terminal.
    pub(crate) fn on_a_terminal(command: &mut Command) -> Session {
        let (master, terminal) = pseudo_terminal();
        let end = || Stdio::from(terminal.try_clone().expect("a duplicate"));
        let process = Process::start(command.stdin(end()).stdout(end()).stderr(end()));
        let output = Stream::of(master.try_clone().expect("a duplicate"));
        Session {
            process,
            input: Box::new(master),
            output,
            at: 0,
            _terminal: Some(terminal),
        }
    }

    /// Waits until `text` comes, after what was expected before; what came with it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        self.expect_one(&[text]).1
    }

    /// Waits until one of these comes: which, and what came before it.
    pub(crate) fn expect_one(&mut self, texts: &[&str]) -> (usize, String) {
        let begun = Instant::now();
        loop {
            let new = &self.output.seen[self.at..];
            let place = |text: &&str| new.windows(text.len()).position(|w| w == text.as_bytes());
            let mut found = (0..).zip(texts.iter().map(place));
            if let Some((which, Some(place))) = found.find(|(_, place)| place.is_some()) {
                let before = String::from_utf8_lossy(&new[..place]).into_owned();
                self.at += place + texts[which].len();
                return (which, before);
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(
                self.output.more(left),
                "no {texts:?} in {:?}",
                self.output.text()
            );
        }
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: &[u8]) {
        self.input.write_all(keys).expect("typed");
        self.input.flush().expect("typed");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.process.wait()
    }
}

fn pseudo_terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a pty");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let path = PathBuf::from(name.into_string().expect("an ASCII name"));
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("it opens");
    (master.into(), terminal.into())
}
