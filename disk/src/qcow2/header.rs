//! The header (qcow2 specification, "Header"), checked before anything rests on it.

use crate::DiskError;
use crate::host::HostFile;
use crate::probe::QCOW2_MAGIC;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Bytes of a version 2 header, and of the shortest of version 3.
const V2_BYTES: u64 = 72;
const V3_BYTES: u64 = 104;
/// QEMU's own limits, above which it opens no image either.
const L1_BYTES_MAX: u64 = 32 << 20;
const TABLE_BYTES_MAX: u64 = 8 << 20;
const BACKING_NAME_MAX: u32 = 1023;
const SNAPSHOTS_MAX: u32 = 65536;
/// Offsets in a file have 56 bits (L2 entries, bits 9 to 55).
pub(super) const OFFSET_MAX: u64 = 1 << 56;

/// Where fields are that are written anew.
pub(super) mod at {
    /// Virtual size.
    pub(in super::super) const SIZE: u64 = 24;
    /// Entries of the L1 table, then its offset.
    pub(in super::super) const L1: u64 = 36;
    /// Offset of the refcount table, then its clusters.
    pub(in super::super) const TABLE: u64 = 48;
    /// Autoclear features.
    pub(in super::super) const AUTOCLEAR: u64 = 88;
}

/// Incompatible features (bits), and what is said of those that are not known here.
const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const COMPRESSION: u64 = 1 << 3;
const REFUSED: [(u64, &str); 2] = [
    (
        1 << 2,
        "keeps its data in a second file, which is not opened; convert it with `qemu-img convert`",
    ),
    (
        1 << 4,
        "has extended L2 entries, which are not known here; convert it with `qemu-img convert`",
    ),
];

const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;

/// The name of the file that an image builds upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackingName {
    /// As it stands in the header.
    pub(crate) name: PathBuf,
    /// The format that the header states.
    pub(crate) format: Option<String>,
}

/// A header whose fields are within their limits.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    /// Bytes of the disk.
    pub(crate) size: u64,
    pub(crate) backing: Option<BackingName>,
    pub(crate) l1_entries: u32,
    pub(crate) l1_offset: u64,
    pub(crate) table_offset: u64,
    pub(crate) table_clusters: u32,
    pub(crate) snapshots: u32,
    pub(crate) snapshots_offset: u64,
    pub(crate) dirty: bool,
    pub(crate) corrupt: bool,
    pub(crate) autoclear: u64,
    pub(crate) refcount_order: u32,
    /// Compressed clusters are zstd, not deflate.
    pub(crate) zstd: bool,
}

/// Big-endian numbers out of bytes that may be too few.
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_be_bytes(*word))
}

impl Header {
    /// Reads and checks the header of a file.
    pub(crate) fn load(host: &HostFile) -> Result<Self, DiskError> {
        let path = host.path();
        let mut bytes = vec![0; 4096];
        let got = host
            .read_most(&mut bytes, 0)
            .map_err(DiskError::io("cannot read", path))?;
        bytes.truncate(got);
        let bits = be32(&bytes, 20).unwrap_or(0);
        if got == 4096 && (13..=21).contains(&bits) {
            // Extensions and the backing file's name may fill the first cluster.
            bytes.resize(1 << bits, 0);
            let got = host
                .read_most(&mut bytes, 0)
                .map_err(DiskError::io("cannot read", path))?;
            bytes.truncate(got);
        }
        Self::parse(&bytes, path, host.len())
    }

    /// The header in a file's first cluster, of a file of `len` bytes.
    fn parse(bytes: &[u8], path: &Path, len: u64) -> Result<Self, DiskError> {
        let short = || DiskError::damaged(path, "its header is cut off");
        let u32_at = |at| be32(bytes, at).ok_or_else(short);
        let u64_at = |at| be64(bytes, at).ok_or_else(short);
        if !bytes.starts_with(QCOW2_MAGIC) {
            return Err(DiskError::damaged(
                path,
                "it does not begin as qcow2 files do; for a raw disk give format=raw",
            ));
        }
        let version = u32_at(4)?;
        if version != 2 && version != 3 {
            let what = format!(
                "has version {version}; known are 2 and 3, convert it with `qemu-img convert`"
            );
            return Err(DiskError::unsupported(path, what));
        }
        if u32_at(32)? != 0 {
            let what = "is encrypted, which is not known here; convert it with `qemu-img convert`";
            return Err(DiskError::unsupported(path, what));
        }
        let v3 = version == 3;
        let incompatible = if v3 { u64_at(72)? } else { 0 };
        check_features(incompatible, path)?;
        let header_len = u64::from(if v3 { u32_at(100)? } else { V2_BYTES as u32 });
        let cluster_bits = u32_at(20)?;
        let cluster = 1u64.checked_shl(cluster_bits).unwrap_or(0);
        let backing_len = u32_at(16)?;
        let backing_offset = u64_at(8)?;
        let header = Self {
            version,
            cluster_bits,
            size: u64_at(24)?,
            backing: None,
            l1_entries: u32_at(36)?,
            l1_offset: u64_at(40)?,
            table_offset: u64_at(48)?,
            table_clusters: u32_at(56)?,
            snapshots: u32_at(60)?,
            snapshots_offset: u64_at(64)?,
            dirty: incompatible & DIRTY != 0,
            corrupt: incompatible & CORRUPT != 0,
            autoclear: if v3 { u64_at(88)? } else { 0 },
            refcount_order: if v3 { u32_at(96)? } else { 4 },
            zstd: incompatible & COMPRESSION != 0 && bytes.get(104) == Some(&1),
        };
        let rules = [
            ((9..=21).contains(&cluster_bits), "its cluster size is none"),
            (
                header_len >= if v3 { V3_BYTES } else { V2_BYTES } && header_len <= cluster,
                "its header's length is none",
            ),
            (header.refcount_order <= 6, "its refcounts' width is none"),
            (
                incompatible & COMPRESSION == 0 || header_len > V3_BYTES,
                "its compression is not stated",
            ),
            (
                incompatible & COMPRESSION == 0 || bytes.get(104).is_some_and(|k| *k <= 1),
                "its compression is not known",
            ),
            (
                header.snapshots <= SNAPSHOTS_MAX,
                "it has too many snapshots",
            ),
            (
                backing_offset == 0 || backing_len <= BACKING_NAME_MAX,
                "its backing file's name is too long",
            ),
        ];
        if let Some((_, what)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(DiskError::damaged(path, *what));
        }
        header.check_tables(path, len)?;
        let name = match backing_offset {
            0 => None,
            from => Some(backing_name(bytes, from, backing_len).ok_or_else(short)?),
        };
        let format = extensions(bytes, header_len).ok_or_else(short)?;
        let backing = name.map(|name| BackingName { name, format });
        Ok(Self { backing, ..header })
    }

    /// Whether the tables lie in the file and cover the disk.
    fn check_tables(&self, path: &Path, len: u64) -> Result<(), DiskError> {
        let inside = |offset: u64, bytes: u64| {
            offset.is_multiple_of(self.cluster())
                && offset >= self.cluster()
                && offset.checked_add(bytes).is_some_and(|end| end <= len)
        };
        let l1_bytes = u64::from(self.l1_entries) * 8;
        let table_bytes = u64::from(self.table_clusters) << self.cluster_bits;
        let rules = [
            (
                l1_bytes == 0 || inside(self.l1_offset, l1_bytes),
                "its L1 table is not in the file",
            ),
            (l1_bytes <= L1_BYTES_MAX, "its L1 table is too large"),
            (
                u64::from(self.l1_entries) >= self.l1_needed(self.size),
                "its L1 table is too small for the disk",
            ),
            (
                table_bytes > 0 && inside(self.table_offset, table_bytes),
                "its refcount table is not in the file",
            ),
            (
                table_bytes <= TABLE_BYTES_MAX.max(self.cluster()),
                "its refcount table is too large",
            ),
            (
                self.snapshots == 0 || inside(self.snapshots_offset, 0),
                "its list of snapshots is not in the file",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(DiskError::damaged(path, *what)),
            None => Ok(()),
        }
    }

    /// Bytes of a cluster.
    pub(crate) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of an L2 table, as a power of two.
    pub(crate) fn l2_bits(&self) -> u32 {
        self.cluster_bits - 3
    }

    /// Entries that the L1 table of a disk of `size` bytes needs.
    pub(crate) fn l1_needed(&self, size: u64) -> u64 {
        size.div_ceil(1 << (self.cluster_bits + self.l2_bits()))
    }

    /// The largest L1 table, in entries.
    pub(crate) fn l1_most(&self) -> u64 {
        L1_BYTES_MAX / 8
    }
}

/// The largest refcount table, in entries.
pub(super) const TABLE_ENTRIES_MAX: usize = (TABLE_BYTES_MAX / 8) as usize;

fn check_features(incompatible: u64, path: &Path) -> Result<(), DiskError> {
    if let Some((_, what)) = REFUSED.iter().find(|(bit, _)| incompatible & bit != 0) {
        return Err(DiskError::unsupported(path, *what));
    }
    let unknown = incompatible & !(DIRTY | CORRUPT | COMPRESSION);
    if unknown != 0 {
        let what = format!(
            "has features that are not known here (bits {unknown:#x}); convert it with `qemu-img convert`"
        );
        return Err(DiskError::unsupported(path, what));
    }
    Ok(())
}

fn backing_name(bytes: &[u8], from: u64, len: u32) -> Option<PathBuf> {
    let from = usize::try_from(from).ok()?;
    let name = bytes.get(from..from.checked_add(len as usize)?)?;
    Some(PathBuf::from(OsString::from_vec(name.to_vec())))
}

/// Goes through the header extensions, which end with one of type 0 or the cluster;
/// returns the backing file's format. `None` if one reaches beyond.
fn extensions(bytes: &[u8], from: u64) -> Option<Option<String>> {
    let mut at = usize::try_from(from).ok()?;
    let mut format = None;
    while let (Some(kind), Some(len)) = (be32(bytes, at), be32(bytes, at + 4)) {
        if kind == EXTENSION_END {
            break;
        }
        let data = bytes.get(at + 8..)?.get(..len as usize)?;
        if kind == EXTENSION_BACKING_FORMAT {
            format = Some(String::from_utf8_lossy(data).into_owned());
        }
        at += 8 + (len as usize).next_multiple_of(8);
    }
    Some(format)
}

/// The first cluster of a new, empty image of version 3 with 16-bit refcounts: a disk of
/// no bytes, its refcount table in the second cluster. `None` if the backing file's name
/// is too long.
pub(super) fn encode(cluster_bits: u32, backing: Option<&BackingName>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 << cluster_bits);
    bytes.extend(QCOW2_MAGIC);
    bytes.extend(3u32.to_be_bytes());
    // The backing file's name: offset and length, entered below.
    bytes.extend([0; 12]);
    bytes.extend(cluster_bits.to_be_bytes());
    // Size, encryption, L1 entries and offset.
    bytes.extend([0; 24]);
    bytes.extend((1u64 << cluster_bits).to_be_bytes());
    bytes.extend(1u32.to_be_bytes());
    // Snapshots, features.
    bytes.extend([0; 12 + 24]);
    bytes.extend(4u32.to_be_bytes());
    bytes.extend((V3_BYTES as u32).to_be_bytes());
    debug_assert_eq!(bytes.len() as u64, V3_BYTES);
    if let Some(backing) = backing {
        use std::os::unix::ffi::OsStrExt;
        if let Some(format) = &backing.format {
            bytes.extend(EXTENSION_BACKING_FORMAT.to_be_bytes());
            bytes.extend((format.len() as u32).to_be_bytes());
            bytes.extend(format.bytes());
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes.extend([0; 8]);
        let name = backing.name.as_os_str().as_bytes();
        let offset = (bytes.len() as u64).to_be_bytes();
        let len = u32::try_from(name.len())
            .ok()
            .filter(|n| *n <= BACKING_NAME_MAX)?;
        bytes.extend(name);
        let place = bytes.get_mut(8..20)?;
        let (to_offset, to_len) = place.split_at_mut(8);
        to_offset.copy_from_slice(&offset);
        to_len.copy_from_slice(&len.to_be_bytes());
    } else {
        bytes.extend([0; 8]);
    }
    let cluster = 1 << cluster_bits;
    if bytes.len() > cluster {
        return None;
    }
    bytes.resize(cluster, 0);
    Some(bytes)
}
