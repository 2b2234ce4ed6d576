//! `--timeout`: ends the run after some time of the host's, whatever the machine does,
//! and however often it is reset.

use super::event::{End, Event};
use crate::console::Output;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the run at its time. Dropped before, it does nothing.
pub(super) struct Watchdog {
    /// Dropping it tells the thread that the run has ended.
    _leash: Sender<()>,
}

impl Watchdog {
    /// After `timeout`, `events` get the end, and nobody waits for a reader of `output`
    /// any more.
    pub(super) fn start(
        timeout: Duration,
        events: &Sender<Event>,
        output: Option<Output>,
    ) -> std::io::Result<Self> {
        let (leash, ended) = channel::<()>();
        let events = events.clone();
        std::thread::Builder::new()
            .name("timeout".into())
            .spawn(move || {
                if ended.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                    if let Some(output) = output {
                        output.never_wait();
                    }
                    // Nobody listens any more once the machine has ended.
                    let _ = events.send(Event::End(End::Timeout));
                }
            })?;
        Ok(Self { _leash: leash })
    }
}
