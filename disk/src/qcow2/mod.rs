//! qcow2 images, versions 2 and 3 (QEMU's docs/interop/qcow2.txt, "the specification").
//!
//! Written here and not taken from a crate, for the order of writes. Where a host may
//! fail at any time, these hold of what is on its disk:
//!
//! 1. A cluster that anything leads to is counted.
//! 2. A table that anything leads to is whole.
//! 3. A cluster is used for something else, or given back, only when nothing leads to it
//!    any more.
//!
//! So changes of tables stay in memory until a flush, which writes in this order, each
//! step durable before the next: refcount blocks that are new; what leads to them,
//! counts and L2 tables that are new; the other L2 tables and the L1 table. Only then
//! are clusters free that were given up. The worst that a failure leaves behind is
//! clusters that are counted and not used (leaks).
//!
//! Not known here and refused: encryption, data files, extended L2 entries, and for
//! writing images that were not closed properly or are marked corrupt. Internal
//! snapshots are kept as they are. Persistent bitmaps become invalid by a write, as the
//! specification has it (their autoclear bit goes).

pub(crate) mod entry;
pub(crate) mod header;
mod pages;
mod read;
mod refcount;
pub(crate) mod size;
mod write;

use crate::host::HostFile;
use crate::image::Layer;
use crate::{Access, DiskError};
use entry::OFFSET;
use header::Header;
use pages::Pages;
use refcount::Refcounts;
use std::collections::BTreeSet;
use std::io;

pub(crate) use header::BackingName;
pub(crate) use refcount::words;

/// Bytes of L2 tables kept.
const KEPT: u64 = 32 << 20;
/// Clusters given up before a flush is made without being asked for.
const GIVEN_UP_MAX: usize = 16384;

/// An open image.
#[derive(Debug)]
pub(crate) struct Qcow2 {
    pub(crate) host: HostFile,
    pub(crate) header: Header,
    l1: Vec<u64>,
    /// Entries of the L1 table that are not in the file yet.
    l1_changed: BTreeSet<usize>,
    l2: Pages,
    refcounts: Refcounts,
    /// Clusters that lost a reference which is still in the file.
    given_up: Vec<u64>,
    writable: bool,
    discard: bool,
    backing: Option<Box<Layer>>,
    /// The compressed cluster read last: its guest offset and contents.
    unpacked: Option<(u64, Vec<u8>)>,
}

impl Qcow2 {
    /// An image in a file whose header was read. What it builds upon is `backing`.
    pub(crate) fn open(
        host: HostFile,
        header: Header,
        access: Access,
        backing: Option<Box<Layer>>,
        discard: bool,
    ) -> Result<Self, DiskError> {
        let path = host.path().to_owned();
        let writable = access == Access::Write;
        if writable && (header.dirty || header.corrupt) {
            let what = "was not closed properly, or is marked corrupt; repair it with `qemu-img check -r all`, or use it with readonly=on or snapshot=on";
            return Err(DiskError::unsupported(&path, what));
        }
        let mut l1 = vec![0; header.l1_entries as usize * 8];
        if !l1.is_empty() {
            host.read(&mut l1, header.l1_offset)
                .map_err(DiskError::io("cannot read", &path))?;
        }
        let refcounts =
            Refcounts::load(&host, &header).map_err(DiskError::io("cannot read", &path))?;
        let mut image = Self {
            l2: Pages::new(header.cluster(), KEPT),
            host,
            header,
            l1: words(&l1),
            l1_changed: BTreeSet::new(),
            refcounts,
            given_up: Vec::new(),
            writable,
            discard,
            backing,
            unpacked: None,
        };
        if writable {
            image.prepare_to_write()?;
        }
        Ok(image)
    }

    /// What is looked at before anything is written: that the clusters of the tables
    /// count as used, or the first allocation would write over them.
    fn prepare_to_write(&mut self) -> Result<(), DiskError> {
        let path = self.host.path().to_owned();
        let io = |source| DiskError::Io {
            what: "cannot use",
            path: path.clone(),
            source,
        };
        let bits = self.header.cluster_bits;
        let l1_clusters = (self.l1.len() as u64 * 8).div_ceil(self.header.cluster());
        let tables = [
            (0, 1),
            (self.header.l1_offset >> bits, l1_clusters),
            (
                self.header.table_offset >> bits,
                self.header.table_clusters.into(),
            ),
        ];
        for cluster in tables.into_iter().flat_map(|(at, n)| at..at + n) {
            if self.refcounts.get(&self.host, cluster).map_err(io)? == 0 {
                let what = "clusters of its tables count as free; repair it with `qemu-img check -r all`, or use it with readonly=on or snapshot=on";
                return Err(DiskError::damaged(&path, what));
            }
        }
        if self.header.autoclear != 0 {
            self.host
                .write(&[0; 8], header::at::AUTOCLEAR)
                .map_err(io)?;
            self.header.autoclear = 0;
        }
        Ok(())
    }

    /// Bytes of the disk.
    pub(crate) fn size(&self) -> u64 {
        self.header.size
    }

    /// Makes durable what was written, tables included.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.writable {
            return Ok(());
        }
        self.write_tables()?;
        self.host.sync()?;
        self.give_back();
        Ok(())
    }

    /// Flushes for the last time: the counts of what was given back, too.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        self.flush()
    }

    /// Writes the tables in the order that the module's documentation gives.
    fn write_tables(&mut self) -> io::Result<()> {
        let counts = self.refcounts.write(&mut self.host)?;
        let fresh = self.l2.write(&mut self.host, true)?;
        let more = !self.l1_changed.is_empty() || self.l2.is_dirty(false);
        if (counts || fresh) && more {
            self.host.sync()?;
        }
        self.l2.write(&mut self.host, false)?;
        while let Some(index) = self.l1_changed.first().copied() {
            let value = self.l1_entry(index as u64);
            let place = self.header.l1_offset + index as u64 * 8;
            self.host.write(&value.to_be_bytes(), place)?;
            self.l1_changed.remove(&index);
        }
        Ok(())
    }

    /// Drops the references of what was given up, now that they are not in the file.
    fn give_back(&mut self) {
        for cluster in std::mem::take(&mut self.given_up) {
            match self.refcounts.release(&self.host, cluster) {
                Ok(last) if last && self.discard => {
                    let offset = cluster << self.header.cluster_bits;
                    self.host.discard(offset, self.header.cluster());
                }
                Ok(_) => {}
                // It stays counted, which is a leak and no more.
                Err(e) => log::warn!("{}: {e}", self.host.path().display()),
            }
        }
    }

    /// Flushes if too much waits for it.
    fn make_room(&mut self) -> io::Result<()> {
        let crowded =
            self.l2.crowded() || self.refcounts.crowded() || self.given_up.len() > GIVEN_UP_MAX;
        if crowded { self.flush() } else { Ok(()) }
    }

    fn l1_entry(&self, index: u64) -> u64 {
        let entry = usize::try_from(index).ok().and_then(|n| self.l1.get(n));
        entry.copied().unwrap_or(0)
    }

    /// Where the L2 table is that maps `offset`; 0 if there is none.
    fn l2_at(&self, offset: u64) -> u64 {
        self.l1_entry(offset >> (self.header.cluster_bits + self.header.l2_bits())) & OFFSET
    }

    /// The index in its L2 table of the cluster at `offset`.
    fn l2_index(&self, offset: u64) -> u64 {
        offset >> self.header.cluster_bits & ((1 << self.header.l2_bits()) - 1)
    }

    /// Bytes from `offset` to the end of what one L2 table maps.
    fn left_in_table(&self, offset: u64) -> u64 {
        let mapped = 1u64 << (self.header.cluster_bits + self.header.l2_bits());
        mapped - (offset & (mapped - 1))
    }

    /// Bytes from the beginning of a cluster to `offset`.
    fn in_cluster(&self, offset: u64) -> u64 {
        offset & (self.header.cluster() - 1)
    }
}

impl Drop for Qcow2 {
    fn drop(&mut self) {
        if let Err(e) = self.close() {
            log::error!(
                "{}: what was not flushed is lost: {e}",
                self.host.path().display()
            );
        }
    }
}
