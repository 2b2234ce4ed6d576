//! Entries of the L1 and L2 tables (qcow2 specification, "Cluster mapping").

use std::io;

/// The cluster has one owner and may be written in place ("COPIED").
pub(crate) const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Reads as zeros, whatever is at the offset (version 3).
pub(crate) const ZERO: u64 = 1;
/// The offset in an L1 entry and in one of a standard cluster: bits 9 to 55.
pub(crate) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// What an L2 entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Nothing: the backing file shows through, or zeros.
    Unallocated,
    /// Zeros; `host` is kept for later.
    Zero {
        /// Offset in the file.
        host: Option<u64>,
        /// It may be written in place.
        copied: bool,
    },
    /// Data at an offset in the file.
    Data {
        /// Offset in the file.
        host: u64,
        /// It may be written in place.
        copied: bool,
    },
    /// Compressed data.
    Compressed {
        /// Offset in the file, not aligned.
        at: u64,
        /// Bytes at most, up to the end of a sector.
        len: u64,
    },
}

impl Mapping {
    /// Reads an L2 entry.
    ///
    /// # Errors
    /// An offset that is no cluster's.
    pub(crate) fn of(entry: u64, cluster_bits: u32, version: u32) -> io::Result<Mapping> {
        if entry & COMPRESSED != 0 {
            let bits = 62 - (cluster_bits - 8);
            let at = entry & ((1 << bits) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> bits;
            let len = (sectors + 1) * 512 - (at & 511);
            return Ok(Mapping::Compressed { at, len });
        }
        let host = entry & OFFSET;
        let copied = entry & COPIED != 0;
        if host & ((1 << cluster_bits) - 1) != 0 {
            return Err(damaged("an L2 entry's offset is no cluster's"));
        }
        Ok(match (entry & ZERO != 0 && version >= 3, host) {
            (true, 0) => Mapping::Zero { host: None, copied },
            (true, host) => Mapping::Zero {
                host: Some(host),
                copied,
            },
            (false, 0) => Mapping::Unallocated,
            (false, host) => Mapping::Data { host, copied },
        })
    }

    /// Whether this cluster, `n` clusters of `cluster` bytes after `first`, goes on
    /// where that leaves off.
    pub(crate) fn continues(self, first: Mapping, n: u64, cluster: u64) -> bool {
        match (first, self) {
            (Mapping::Unallocated, Mapping::Unallocated) => true,
            (Mapping::Zero { .. }, Mapping::Zero { .. }) => true,
            (
                Mapping::Data { host, copied },
                Mapping::Data {
                    host: next,
                    copied: also,
                },
            ) => copied == also && host.checked_add(n * cluster) == Some(next),
            _ => false,
        }
    }
}

/// The error of an image that contradicts itself, noticed in the middle of work.
pub(crate) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the qcow2 image is damaged: {what}"),
    )
}
