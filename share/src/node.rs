//! A file of the shared folder, held by a descriptor, and all that is done by names.
//!
//! This is where a guest could get out of the folder, and why it cannot:
//!
//! * A [`Node`] is only ever come to from another one, down by one [`Name`], which holds
//!   no `/` and is neither `.` nor `..`; the first one is the shared folder.
//! * Symbolic links are not followed (`O_NOFOLLOW`): a node may *be* a link, and the
//!   kernel looks up nothing below a link. The guest's kernel follows them, in the
//!   guest's tree.
//! * A node's descriptor is made with `O_PATH`, which opens nothing: neither devices nor
//!   FIFOs of the host notice. To read and write, it is opened anew by way of
//!   `/proc/self/fd`, only if it is a regular file; a folder by its own name `.`.
//!
//! Since no step looks at more than one name below a descriptor, it does not matter what
//! others rename, replace or mount meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat, Timestamps};
use rustix::io::Errno;
use rustix::path::DecInt;

/// How every node is come to.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Bits of a mode beside the file's type.
pub(crate) const MODE_BITS: u32 = 0o7777;
/// Bytes of a name at most.
const NAME_MAX: usize = 255;
/// `PROC_SUPER_MAGIC`.
const PROC_MAGIC: u64 = 0x9fa0;

/// One name in a folder: no path, and neither `.` nor `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks a name.
    pub(crate) fn new(name: &'a [u8]) -> Result<Self, Errno> {
        match name {
            b"" => Err(Errno::NOENT),
            b"." | b".." => Err(Errno::INVAL),
            _ if name.len() > NAME_MAX => Err(Errno::NAMETOOLONG),
            _ if name.iter().any(|b| matches!(b, b'/' | 0)) => Err(Errno::INVAL),
            _ => Ok(Self(name)),
        }
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// `/proc/self/fd`: the way from a descriptor made with `O_PATH` to the file itself.
#[derive(Debug)]
pub(crate) struct Descriptors(OwnedFd);

impl Descriptors {
    /// Opens it.
    ///
    /// # Errors
    /// There is no `/proc`, or something else is there.
    pub(crate) fn open() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::openat(CWD, c"/proc/self/fd", flags, Mode::empty())?;
        match fs::fstatfs(&fd)?.f_type as u64 {
            PROC_MAGIC => Ok(Self(fd)),
            _ => Err(Errno::NOSYS),
        }
    }
}

/// A file: the file itself and not its name, so that it stays what it is when names
/// change.
#[derive(Debug)]
pub(crate) struct Node {
    fd: OwnedFd,
    kind: FileType,
    dev: u64,
    ino: u64,
}

impl Node {
    fn new(fd: OwnedFd) -> Result<(Self, Stat), Errno> {
        let stat = fs::fstat(&fd)?;
        let node = Self {
            fd,
            kind: FileType::from_raw_mode(stat.st_mode),
            dev: stat.st_dev,
            ino: stat.st_ino,
        };
        Ok((node, stat))
    }

    /// The shared folder itself. What the person named may be a symbolic link.
    pub(crate) fn root(folder: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::openat(CWD, folder, flags, Mode::empty())?;
        Ok(Self::new(fd)?.0)
    }

    /// What has this name in this folder.
    pub(crate) fn child(&self, name: Name<'_>) -> Result<(Self, Stat), Errno> {
        Self::new(fs::openat(&self.fd, name.0, HANDLE, Mode::empty())?)
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// The host's file system that it is on.
    pub(crate) fn dev(&self) -> u64 {
        self.dev
    }

    /// Whether both are one file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        fs::fstat(&self.fd)
    }

    pub(crate) fn statfs(&self) -> Result<fs::StatFs, Errno> {
        fs::fstatfs(&self.fd)
    }

    /// Opens it to be read or written: a regular file, or a folder to be read.
    ///
    /// # Errors
    /// Those of `open`, and ENXIO for what would act on the host by being opened.
    pub(crate) fn open(&self, by: &Descriptors, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        let (folder, writes) = (OFlags::DIRECTORY | OFlags::NOFOLLOW, OFlags::ACCMODE);
        match self.kind {
            FileType::Directory if flags.intersects(writes | OFlags::TRUNC) => Err(Errno::ISDIR),
            FileType::Directory => fs::openat(&self.fd, c".", flags | folder, Mode::empty()),
            // The descriptor is known to be a regular file, so this "magic link" of
            // /proc leads to no other, and opening does not wait for anybody.
            FileType::RegularFile => {
                let number = DecInt::from_fd(&self.fd);
                fs::openat(&by.0, number, flags, Mode::empty())
            }
            FileType::Symlink => Err(Errno::LOOP),
            _ => Err(Errno::NXIO),
        }
    }

    /// Makes a regular file that did not exist, and opens it.
    pub(crate) fn create(
        &self,
        name: Name<'_>,
        flags: OFlags,
        mode: u32,
    ) -> Result<OwnedFd, Errno> {
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.fd, name.0, flags | new, permissions(mode))
    }

    pub(crate) fn mkdir(&self, name: Name<'_>, mode: u32) -> Result<(), Errno> {
        fs::mkdirat(&self.fd, name.0, permissions(mode))
    }

    /// Makes a FIFO or a socket: a name that only programs of one kernel meet at, and
    /// nothing to the other. Devices of the guest's choosing are not for the host.
    pub(crate) fn mknod(&self, name: Name<'_>, mode: u32) -> Result<(), Errno> {
        match FileType::from_raw_mode(mode) {
            // A type of none at all is a regular file's as well (mknod(2)).
            kind @ (FileType::Fifo | FileType::Socket | FileType::RegularFile) => {
                fs::mknodat(&self.fd, name.0, kind, permissions(mode), 0)
            }
            FileType::Unknown if mode & !MODE_BITS == 0 => fs::mknodat(
                &self.fd,
                name.0,
                FileType::RegularFile,
                permissions(mode),
                0,
            ),
            _ => Err(Errno::PERM),
        }
    }

    pub(crate) fn symlink(&self, target: &[u8], name: Name<'_>) -> Result<(), Errno> {
        fs::symlinkat(target, &self.fd, name.0)
    }

    /// What a symbolic link says.
    pub(crate) fn readlink(&self) -> Result<Vec<u8>, Errno> {
        match self.kind {
            FileType::Symlink => Ok(fs::readlinkat(&self.fd, c"", Vec::new())?.into_bytes()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Gives `file` another name, in this folder.
    pub(crate) fn link(&self, by: &Descriptors, file: &Self, name: Name<'_>) -> Result<(), Errno> {
        if file.is_folder() {
            return Err(Errno::PERM);
        }
        // The one link that is followed is that of /proc to the file itself.
        let number = DecInt::from_fd(&file.fd);
        fs::linkat(&by.0, number, &self.fd, name.0, AtFlags::SYMLINK_FOLLOW)
    }

    pub(crate) fn rename(&self, old: Name<'_>, to: &Self, new: Name<'_>) -> Result<(), Errno> {
        fs::renameat(&self.fd, old.0, &to.fd, new.0)
    }

    pub(crate) fn unlink(&self, name: Name<'_>, folder: bool) -> Result<(), Errno> {
        let flags = match folder {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        fs::unlinkat(&self.fd, name.0, flags)
    }

    /// Sets permissions. Symbolic links have none.
    pub(crate) fn chmod(&self, by: &Descriptors, mode: u32) -> Result<(), Errno> {
        if self.kind == FileType::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        let number = DecInt::from_fd(&self.fd);
        fs::chmodat(&by.0, number, permissions(mode), AtFlags::empty())
    }

    /// Sets owner and group; `None` leaves one as it is.
    pub(crate) fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let (uid, gid) = (uid.map(fs::Uid::from_raw), gid.map(fs::Gid::from_raw));
        fs::chownat(&self.fd, c"", uid, gid, AtFlags::EMPTY_PATH)
    }

    pub(crate) fn utimens(&self, by: &Descriptors, times: &Timestamps) -> Result<(), Errno> {
        let number = DecInt::from_fd(&self.fd);
        fs::utimensat(&by.0, number, times, AtFlags::empty())
    }

    /// A node for what `fd`, just made in a folder of ours, is open on.
    pub(crate) fn of(by: &Descriptors, fd: &OwnedFd) -> Result<(Self, Stat), Errno> {
        let number = DecInt::from_fd(fd.as_fd());
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Self::new(fs::openat(&by.0, number, flags, Mode::empty())?)
    }
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & MODE_BITS)
}
