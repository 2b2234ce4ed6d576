//! A backend's thread, which ends when its owner is dropped.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// What becomes readable when a thread is to end.
pub(crate) type Bell = Arc<OwnedFd>;

/// A bell that was not rung.
pub(crate) fn bell() -> io::Result<Bell> {
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    Ok(Arc::new(bell))
}

/// A running thread. Dropping it rings the bell and waits for the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    name: &'static str,
    stop: Bell,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread that ends soon after `stop` became readable.
    pub(crate) fn start(
        name: &'static str,
        stop: Bell,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        let thread = Some(thread);
        Ok(Self { name, stop, thread })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only when it was rung before.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread {} of a network panicked", self.name);
        }
    }
}

/// Waits until one of the descriptors has what it is asked for, or for as long as `most`
/// says. What each has, in their order.
pub(crate) fn wait(
    asked: &[(&dyn AsFd, PollFlags)],
    most: Option<Duration>,
) -> io::Result<Vec<PollFlags>> {
    let mut fds: Vec<PollFd<'_>> = asked
        .iter()
        .map(|(fd, flags)| PollFd::from_borrowed_fd(fd.as_fd(), *flags))
        .collect();
    // What is too long for a timespec is for ever.
    let most = most.and_then(|most| Timespec::try_from(most).ok());
    match poll(&mut fds, most.as_ref()) {
        Ok(_) => Ok(fds.iter().map(PollFd::revents).collect()),
        Err(Errno::INTR) => Ok(vec![PollFlags::empty(); asked.len()]),
        Err(error) => Err(error.into()),
    }
}
