//! How members find each other: in a folder that only their user can reach, each with a
//! socket there.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{SocketAddrUnix, SocketType, bind, connect, listen};

use super::{MEMBERS, SwitchConfig, SwitchError};
use crate::seat::{Seat, socket};

/// Bytes on the way to one other member, if the host lets us have as many; it counts what
/// it needs itself as well, and allows for twice the number.
const WAY: usize = 1 << 20;
/// How long others may take to join.
const PATIENCE: Duration = Duration::from_secs(5);

/// The next member that has come to a place.
pub(super) fn accept(seat: &Seat) -> Result<OwnedFd, Errno> {
    let socket = seat.accept()?;
    widen(&socket);
    Ok(socket)
}

/// Whether a switch can be called so: a name of a file that is in no other folder and
/// leaves room for the rest of a socket's path.
pub(super) fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=32).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(letter)
}

/// Takes a seat, and connects to all who have one. Who joins holds a lock of the folder
/// meanwhile: so of two members the later one connects to the earlier one, once, and no
/// name is given to two.
pub(super) fn join(config: &SwitchConfig) -> Result<(Seat, Vec<OwnedFd>), SwitchError> {
    let folder = folder(config)?;
    let failed = |source: io::Error| SwitchError::Join {
        folder: folder.clone(),
        source,
    };
    let _lock = lock(&folder).map_err(failed)?;
    let (mut free, mut peers) = (None, Vec::new());
    for number in 0..MEMBERS {
        let path = folder.join(number.to_string());
        match call(&path).map_err(failed)? {
            Answer::Here(socket) => peers.push(socket),
            Answer::Busy => log::warn!(
                "a member of the switch takes no connections, and is left out: {}",
                path.display()
            ),
            Answer::Nobody => {
                free.get_or_insert(path);
            }
        }
    }
    let path = free.ok_or(SwitchError::Full)?;
    let listener = socket(SocketType::SEQPACKET).map_err(|e| failed(e.into()))?;
    bind(&listener, &address(&path).map_err(failed)?).map_err(|e| failed(e.into()))?;
    let seat = Seat::new(path, listener).map_err(failed)?;
    listen(&seat.listener, MEMBERS as i32).map_err(|e| failed(e.into()))?;
    Ok((seat, peers))
}

/// Who is at a name.
enum Answer {
    Here(OwnedFd),
    Busy,
    Nobody,
}

/// Connects to whoever is at a name. The socket of a dead member is removed.
fn call(path: &Path) -> io::Result<Answer> {
    let socket = socket(SocketType::SEQPACKET)?;
    match connect(&socket, &address(path)?) {
        Ok(()) => {
            widen(&socket);
            Ok(Answer::Here(socket))
        }
        Err(Errno::NOENT) => Ok(Answer::Nobody),
        Err(Errno::AGAIN) => Ok(Answer::Busy),
        Err(Errno::CONNREFUSED) => {
            fs::remove_file(path)?;
            Ok(Answer::Nobody)
        }
        Err(error) => Err(error.into()),
    }
}

fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(path)?)
}

/// Lets more frames be on the way to another member.
fn widen(socket: &OwnedFd) {
    // The host's limit holds without an error; whatever comes of it works.
    let _ = set_socket_send_buffer_size(socket, WAY);
}

/// The lock of a folder, free again when it is dropped or its owner dies.
fn lock(folder: &Path) -> io::Result<File> {
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(folder.join("lock"))?;
    let late = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::AGAIN) if Instant::now() < late => {}
            Err(Errno::AGAIN) => {
                return Err(io::Error::other(
                    "another machine holds its lock, and does not get on",
                ));
            }
            Err(error) => return Err(error.into()),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The switch's folder, which nobody else can look into.
fn folder(config: &SwitchConfig) -> Result<PathBuf, SwitchError> {
    if !is_name(&config.name) {
        return Err(SwitchError::Name(config.name.clone()));
    }
    let mut folder = config.home.clone().unwrap_or_else(home);
    private(&folder)?;
    for part in ["switch", &config.name] {
        folder.push(part);
        private(&folder)?;
    }
    Ok(folder)
}

/// Where a user's running programs meet; without such a place, in the folder for everybody
/// one that is only the user's.
fn home() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match runtime.filter(|path| path.is_absolute() && path.is_dir()) {
        Some(runtime) => runtime.join("isoform"),
        None => {
            let user = rustix::process::geteuid().as_raw();
            PathBuf::from(format!("/tmp/isoform-{user}"))
        }
    }
}

/// Creates the folder if need be, and makes sure that it is this user's alone: in a
/// folder for everybody, another may have put something there.
fn private(folder: &Path) -> Result<(), SwitchError> {
    let failed = |source| SwitchError::Join {
        folder: folder.to_owned(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(folder).map_err(failed)?;
    let owned = found.uid() == rustix::process::geteuid().as_raw();
    match found.is_dir() && owned && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(SwitchError::Open(folder.to_owned())),
    }
}
