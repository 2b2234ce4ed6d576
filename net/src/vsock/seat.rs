//! The sockets of the file system: the one that programs of the host come to, and those
//! that the guest is led to.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use super::VsockError;
use super::mux::Connect;

/// Programs that wait to be accepted.
const BACKLOG: i32 = 64;

/// A socket that programs of the host come to. It is gone when dropped.
pub(super) struct Seat {
    path: PathBuf,
    /// Which file it is.
    file: (u64, u64),
    pub(super) listener: OwnedFd,
}

impl Seat {
    /// Listens at a path, for this user alone.
    pub(super) fn take(path: &Path) -> Result<Self, VsockError> {
        make_room(path)?;
        let failed = |source: io::Error| VsockError::Listen {
            path: path.to_owned(),
            source,
        };
        let errno = |e: Errno| failed(e.into());
        let listener = socket().map_err(errno)?;
        // Before it has a name, so that it never was anybody else's.
        fchmod(&listener, Mode::RUSR | Mode::WUSR).map_err(errno)?;
        let address = SocketAddrUnix::new(path).map_err(errno)?;
        bind(&listener, &address).map_err(errno)?;
        let file = identity(path).map_err(failed)?;
        let seat = Self {
            path: path.to_owned(),
            file,
            listener,
        };
        listen(&seat.listener, BACKLOG).map_err(errno)?;
        Ok(seat)
    }

    /// The next program that has come.
    pub(super) fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Not a successor's that took its place.
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

/// Removes the socket of somebody who is not there any more. Anything else stays.
fn make_room(path: &Path) -> Result<(), VsockError> {
    let taken = || VsockError::Taken(path.to_owned());
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(meta) if !meta.file_type().is_socket() => return Err(taken()),
        Ok(_) => {}
    }
    match call(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(|_| taken()),
        Err(Errno::NOENT) => Ok(()),
        _ => Err(taken()),
    }
}

/// A socket that is connected to whoever listens at a path.
fn call(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Leads connections of the guest to port P to the socket at `PATH_P`.
pub(super) struct Paths(pub(super) PathBuf);

impl Connect for Paths {
    fn connect(&mut self, port: u32) -> Result<OwnedFd, Errno> {
        let mut path = OsString::from(&self.0);
        path.push(format!("_{port}"));
        call(Path::new(&path))
    }
}
