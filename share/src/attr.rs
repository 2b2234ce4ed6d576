//! What is told about files: identity and attributes.

use rustix::fs::{FileType, Stat};

use crate::spec::STATS_BASIC;
use crate::wire::Writer;

/// A file's identity, 13 bytes: kind, version and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Qid {
    kind: u8,
    version: u32,
    path: u64,
}

impl Qid {
    /// That of a file with these attributes. `root` is the file system of the shared
    /// folder.
    pub(crate) fn of(stat: &Stat, root: u64) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let modified = (stat.st_mtime as u64).rotate_left(20) ^ stat.st_mtime_nsec;
        let version = modified ^ (stat.st_size as u64).rotate_left(40);
        Self {
            kind: kind_bits(kind),
            version: (version ^ version >> 32) as u32,
            path: number(stat.st_ino, stat.st_dev, root),
        }
    }

    /// That of an entry of a folder, in which its version is not told.
    pub(crate) fn of_entry(kind: FileType, ino: u64, dev: u64, root: u64) -> Self {
        Self {
            kind: kind_bits(kind),
            version: 0,
            path: number(ino, dev, root),
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        to.u8(self.kind).u32(self.version).u64(self.path);
    }
}

/// `P9_QTDIR`, `P9_QTSYMLINK` and `P9_QTFILE`.
fn kind_bits(kind: FileType) -> u8 {
    match kind {
        FileType::Directory => 0x80,
        FileType::Symlink => 0x02,
        _ => 0,
    }
}

/// A number that only this file has. Files of other file systems, mounted in the shared
/// folder, are kept apart by a number that hashing spreads over all bits.
fn number(ino: u64, dev: u64, root: u64) -> u64 {
    if dev == root {
        return ino;
    }
    // The finaliser of SplitMix64 (Steele, Lea and Flood).
    let mut mixed = dev.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ino ^ mixed ^ mixed >> 31
}

/// The body of an answer to a request for attributes.
pub(crate) fn write_attributes(to: &mut Writer, stat: &Stat, mask: u64, root: u64) {
    to.u64(mask & STATS_BASIC);
    Qid::of(stat, root).write(to);
    to.u32(stat.st_mode).u32(stat.st_uid).u32(stat.st_gid);
    for value in [
        word(stat.st_nlink),
        stat.st_rdev,
        stat.st_size as u64,
        word(stat.st_blksize),
        word(stat.st_blocks),
        stat.st_atime as u64,
        stat.st_atime_nsec,
        stat.st_mtime as u64,
        stat.st_mtime_nsec,
        stat.st_ctime as u64,
        stat.st_ctime_nsec,
        // Birth, generation and version of the data: not told.
        0,
        0,
        0,
        0,
    ] {
        to.u64(value);
    }
}

/// A count whose type differs from host to host.
fn word(count: impl TryInto<u64>) -> u64 {
    count.try_into().unwrap_or(0)
}

/// A directory entry's type as `readdir` tells it (`DT_*`).
pub(crate) fn entry_kind(kind: FileType) -> u8 {
    match kind {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => 0,
    }
}
