//! Where the output of `--exec` goes: three ports of a console of their own, to
//! standard output, standard error, and the command's status.

use super::event::{Event, Poster};
use super::shared::lock;
use isoform_devices::CharSink;
use isoform_devices::virtio::console::PortConfig;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes kept for a reader that is slower than the guest.
const CAPACITY: usize = 1 << 20;
/// Digits and newline of a status, with room to spare.
const STATUS_MAX: usize = 64;

/// The command's channels.
pub(super) struct Channels {
    status: Arc<Mutex<Vec<u8>>>,
    writers: Vec<Writer>,
}

impl Channels {
    /// The channels, and the ports of the console in `slot` that feed them.
    pub(super) fn open(slot: usize, post: &Poster) -> std::io::Result<(Self, Vec<PortConfig>)> {
        let port = |name: &str, sink: Box<dyn CharSink>| PortConfig {
            name: format!("isoform.{name}"),
            is_console: false,
            sink,
        };
        // Port 0 of a console device is its console: nothing is to be read there.
        let quiet = PortConfig { name: String::new(), is_console: true, sink: Box::new(|_: &[u8]| ()) };
        let status = Arc::new(Mutex::new(Vec::new()));
        let (out, out_sink) = Writer::start(Box::new(std::io::stdout()), slot, 1, post)?;
        let (err, err_sink) = Writer::start(Box::new(std::io::stderr()), slot, 2, post)?;
        let kept = status.clone();
        let status_sink = move |bytes: &[u8]| {
            let mut status = lock(&kept);
            let room = STATUS_MAX.saturating_sub(status.len());
            status.extend(bytes.iter().take(room));
        };
        let ports = vec![
            quiet,
            port("out", Box::new(out_sink)),
            port("err", Box::new(err_sink)),
            port("status", Box::new(status_sink)),
        ];
        Ok((Self { status, writers: vec![out, err] }, ports))
    }

    /// The command's status, once it is there in full.
    pub(super) fn status(&self) -> Option<u32> {
        let status = lock(&self.status);
        let text = std::str::from_utf8(&status).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    }

    /// Waits until everything is written.
    pub(super) fn finish(&mut self) {
        self.writers.drain(..).for_each(Writer::finish);
    }
}

/// What guest and thread share.
#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// The guest was told that there is no room.
    full: bool,
    /// Nothing more will come.
    ended: bool,
    /// The reader is gone: everything is taken and dropped.
    broken: bool,
}

/// A thread that writes what the guest sends.
struct Writer {
    pipe: Arc<Pipe>,
    thread: JoinHandle<()>,
}

/// The guest's end.
struct Sink(Arc<Pipe>);

impl Writer {
    fn start(
        mut to: Box<dyn Write + Send>,
        slot: usize,
        port: u16,
        post: &Poster,
    ) -> std::io::Result<(Self, Sink)> {
        let pipe = Arc::new(Pipe::default());
        let (mine, post) = (pipe.clone(), post.clone());
        let thread = std::thread::Builder::new().name("exec output".into()).spawn(move || {
            while let Some(chunk) = mine.take(|| post.post(Event::OutputRoom { slot, port })) {
                if to.write_all(&chunk).and_then(|()| to.flush()).is_err() {
                    // As with any program in a pipeline whose reader leaves.
                    lock(&mine.state).broken = true;
                }
            }
        })?;
        Ok((Self { pipe: pipe.clone(), thread }, Sink(pipe)))
    }

    fn finish(self) {
        lock(&self.pipe.state).ended = true;
        self.pipe.changed.notify_all();
        // Its panic has been reported where it happened.
        let _ = self.thread.join();
    }
}

impl Pipe {
    /// Waits for bytes and takes all there are. `room` is called if the guest waits
    /// for room. `None` at the end.
    fn take(&self, room: impl Fn()) -> Option<Vec<u8>> {
        let mut state = lock(&self.state);
        while state.bytes.is_empty() && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.bytes.is_empty() {
            return None;
        }
        let chunk = Vec::from(std::mem::take(&mut state.bytes));
        if std::mem::take(&mut state.full) {
            room();
        }
        Some(chunk)
    }
}

impl CharSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut state = lock(&self.0.state);
        if state.broken {
            return bytes.len();
        }
        let room = CAPACITY.saturating_sub(state.bytes.len()).min(bytes.len());
        state.bytes.extend(bytes.iter().take(room));
        state.full = room < bytes.len();
        self.0.changed.notify_all();
        room
    }
}
