//! The sockets of the file system: the one that programs of the host come to, and those
//! that the guest is led to.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketType, bind, connect, listen};

use super::VsockError;
use super::mux::Connect;
use crate::seat::{Seat, socket};

/// Programs that wait to be accepted.
const BACKLOG: i32 = 64;

/// Listens at a path for programs of the host, of this user alone.
pub(super) fn take(path: &Path) -> Result<Seat, VsockError> {
    make_room(path)?;
    let failed = |source: io::Error| VsockError::Listen {
        path: path.to_owned(),
        source,
    };
    let errno = |e: Errno| failed(e.into());
    let listener = socket(SocketType::STREAM).map_err(errno)?;
    // Before it has a name, so that it never was anybody else's.
    fchmod(&listener, Mode::RUSR | Mode::WUSR).map_err(errno)?;
    let address = SocketAddrUnix::new(path).map_err(errno)?;
    bind(&listener, &address).map_err(errno)?;
    let seat = Seat::new(path.to_owned(), listener).map_err(failed)?;
    listen(&seat.listener, BACKLOG).map_err(errno)?;
    Ok(seat)
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
    let socket = socket(SocketType::STREAM)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
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
