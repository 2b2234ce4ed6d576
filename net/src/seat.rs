//! Places in the host's file system that others connect to.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, socket_with};

/// A socket that others connect to by its path. It is gone when dropped.
pub(crate) struct Seat {
    path: PathBuf,
    /// Which file it is.
    file: (u64, u64),
    pub(crate) listener: OwnedFd,
}

impl Seat {
    /// Of a socket that is bound to the path.
    ///
    /// # Errors
    /// It is not there any more.
    pub(crate) fn new(path: PathBuf, listener: OwnedFd) -> io::Result<Self> {
        let file = identity(&path)?;
        Ok(Self {
            path,
            file,
            listener,
        })
    }

    /// Whoever has come next.
    pub(crate) fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Before the listener is closed: until then nobody else can have the name. What
        // somebody has put there all the same stays.
        let ours = identity(&self.path).is_ok_and(|file| file == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            log::debug!("{} is left behind: {error}", self.path.display());
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// A socket of the file system's that does not block.
pub(crate) fn socket(kind: SocketType) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, kind, flags, None)
}
