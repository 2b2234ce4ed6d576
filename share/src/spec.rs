//! Numbers of the protocol (9P2000.L: `include/net/9p/9p.h` of Linux names them, the
//! diod project's `protocol.md` tells what they mean).

use bitflags::bitflags;
use rustix::fs::OFlags;

/// The version of the protocol.
pub(crate) const VERSION: &[u8] = b"9P2000.L";
/// What a server answers that does not know the version asked for.
pub(crate) const UNKNOWN_VERSION: &[u8] = b"unknown";
/// Bytes of a message at most; the client may ask for less.
pub const MSIZE: u32 = 512 << 10;
/// Bytes of a message that a client must at least be able to take.
pub(crate) const MSIZE_MIN: u32 = 4096;
/// Bytes of an answer before the data of a read, and before the entries of a folder.
pub(crate) const DATA_HEADER: usize = 11;
/// Bytes of an answer that an error takes.
pub const ERROR_BYTES: usize = 11;
/// Names in one walk at most.
pub(crate) const MAXWELEM: usize = 16;
/// Stands for no user.
pub(crate) const NONUNAME: u32 = !0;
/// `V9FS_MAGIC`: the kind of file system that the guest is told.
pub(crate) const FS_MAGIC: u32 = 0x0102_1997;
/// Flag of an unlink: the name is a folder's.
pub(crate) const AT_REMOVEDIR: u32 = 0x200;

/// Kinds of request. An answer's is that of its request and one.
pub mod kind {
    #![expect(missing_docs, reason = "the protocol's own names")]
    pub const RLERROR: u8 = 7;
    pub const TSTATFS: u8 = 8;
    pub const TLOPEN: u8 = 12;
    pub const TLCREATE: u8 = 14;
    pub const TSYMLINK: u8 = 16;
    pub const TMKNOD: u8 = 18;
    pub const TRENAME: u8 = 20;
    pub const TREADLINK: u8 = 22;
    pub const TGETATTR: u8 = 24;
    pub const TSETATTR: u8 = 26;
    pub const TXATTRWALK: u8 = 30;
    pub const TXATTRCREATE: u8 = 32;
    pub const TREADDIR: u8 = 40;
    pub const TFSYNC: u8 = 50;
    pub const TLOCK: u8 = 52;
    pub const TGETLOCK: u8 = 54;
    pub const TLINK: u8 = 70;
    pub const TMKDIR: u8 = 72;
    pub const TRENAMEAT: u8 = 74;
    pub const TUNLINKAT: u8 = 76;
    pub const TVERSION: u8 = 100;
    pub const TAUTH: u8 = 102;
    pub const TATTACH: u8 = 104;
    pub const TFLUSH: u8 = 108;
    pub const TWALK: u8 = 110;
    pub const TREAD: u8 = 116;
    pub const TWRITE: u8 = 118;
    pub const TCLUNK: u8 = 120;
    pub const TREMOVE: u8 = 122;
}

bitflags! {
    /// How a file is to be opened (`P9_DOTL_*`): Linux's own flags of most machines.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Open: u32 {
        /// Only to be written.
        const WRONLY = 0o1;
        /// To be read and written.
        const RDWR = 0o2;
        /// Must not exist before.
        const EXCL = 0o200;
        /// To be emptied.
        const TRUNC = 0o1000;
        /// Writes go to its end.
        const APPEND = 0o2000;
        /// Writes are to be durable.
        const DSYNC = 0o10000;
        /// Must be a folder.
        const DIRECTORY = 0o200000;
        /// Writes are to be durable, times and all.
        const SYNC = 0o4000000;
    }

    /// What of its attributes a client asks for, or sets (`P9_STATS_*`, `P9_ATTR_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct SetAttr: u32 {
        const MODE = 1;
        const UID = 2;
        const GID = 4;
        const SIZE = 8;
        const ATIME = 0x10;
        const MTIME = 0x20;
        const CTIME = 0x40;
        /// To the time given, not to the present.
        const ATIME_SET = 0x80;
        /// To the time given, not to the present.
        const MTIME_SET = 0x100;
    }
}

/// The attributes that are always told: all but birth time, generation and version.
pub(crate) const STATS_BASIC: u64 = 0x7ff;

impl Open {
    /// Whether something can be changed by what is opened so.
    pub(crate) fn writes(self) -> bool {
        self.intersects(Self::WRONLY | Self::RDWR | Self::TRUNC)
    }

    /// The host's flags. What the guest's kernel does by itself, or is about its own
    /// processes, is left out.
    pub(crate) fn host(self) -> OFlags {
        let mut flags = match self.contains(Self::RDWR) {
            true => OFlags::RDWR,
            false if self.contains(Self::WRONLY) => OFlags::WRONLY,
            false => OFlags::RDONLY,
        };
        flags.set(OFlags::TRUNC, self.contains(Self::TRUNC));
        flags.set(OFlags::APPEND, self.contains(Self::APPEND));
        flags.set(OFlags::DSYNC, self.contains(Self::DSYNC));
        flags.set(OFlags::SYNC, self.contains(Self::SYNC));
        flags
    }
}
