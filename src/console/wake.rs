//! A descriptor that makes a waiting thread look up.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

/// An event descriptor; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Wake(Arc<OwnedFd>);

impl Wake {
    pub(super) fn new() -> io::Result<Wake> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Wake(Arc::new(fd)))
    }

    /// Ends the current or next wait.
    pub(super) fn wake(&self) {
        // Full only after 2^64 - 2 calls without a wait, and awake then anyway.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Waits for `fd` to show one of `flags` (or an error or hang-up, which need no
    /// asking for) or for [`Wake::wake`]. Returns what `fd` shows.
    pub(super) fn wait(&self, fd: Option<(BorrowedFd<'_>, PollFlags)>) -> io::Result<PollFlags> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        if let Some((fd, flags)) = fd {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            // Empty already if another clone was quicker.
            let _ = rustix::io::read(&*self.0, &mut [0; 8]);
        }
        Ok(fds.get(1).map_or(PollFlags::empty(), |fd| fd.revents()))
    }
}
