//! New images, and other sizes of those there are.

use super::entry::COPIED;
use super::header::{self, BackingName, at};
use super::{Qcow2, refcount};
use crate::DiskError;
use crate::host::HostFile;
use std::io;

impl Qcow2 {
    /// Makes the disk larger or smaller. What is new reads as zeros.
    pub(crate) fn resize(&mut self, size: u64) -> Result<(), DiskError> {
        let path = self.host.path().to_owned();
        if self.header.snapshots > 0 {
            let what = "has internal snapshots, which keep it from another size; delete them with `qemu-img snapshot -d`";
            return Err(DiskError::unsupported(&path, what));
        }
        if self.header.l1_needed(size) > self.header.l1_most() {
            let what = format!(
                "a qcow2 image with clusters of {} bytes cannot have {size} bytes",
                self.header.cluster()
            );
            return Err(DiskError::invalid(&path, what));
        }
        let resized = if size > self.header.size {
            self.grow(size)
        } else {
            self.shrink(size)
        };
        resized.map_err(DiskError::io("cannot resize", &path))
    }

    fn grow(&mut self, size: u64) -> io::Result<()> {
        if self.header.l1_needed(size) > self.l1.len() as u64 {
            self.move_l1(self.header.l1_needed(size))?;
        }
        let before = self.header.size;
        // What is in clusters behind the old end is nobody's, but may not be zeros.
        self.header.size = size;
        let unused = self.in_cluster(before);
        let shows = self.header.backing.is_some();
        let end = match shows {
            true => size,
            false if unused == 0 => before,
            false => (before - unused + self.header.cluster()).min(size),
        };
        self.write_zeroes(before, end - before, false)?;
        self.flush()?;
        self.write_size(size)
    }

    fn shrink(&mut self, size: u64) -> io::Result<()> {
        let before = self.header.size;
        let discard = std::mem::replace(&mut self.discard, true);
        let emptied = self.write_zeroes(size, before - size, true);
        self.discard = discard;
        emptied?;
        self.header.size = size;
        self.flush()?;
        self.write_size(size)
    }

    fn write_size(&mut self, size: u64) -> io::Result<()> {
        self.host.write(&size.to_be_bytes(), at::SIZE)?;
        self.flush()
    }

    /// Makes an L1 table of `entries`, durable before the header leads there.
    fn move_l1(&mut self, entries: u64) -> io::Result<()> {
        self.flush()?;
        let bits = self.header.cluster_bits;
        let clusters = (entries * 8).div_ceil(self.header.cluster());
        let first = self.contiguous(clusters)?;
        let mut table = self.l1.clone();
        table.resize(entries as usize, 0);
        let mut bytes: Vec<u8> = table.iter().flat_map(|e| e.to_be_bytes()).collect();
        bytes.resize((clusters << bits) as usize, 0);
        self.host.write(&bytes, first << bits)?;
        self.refcounts.write(&mut self.host)?;
        self.host.sync()?;
        let mut field = [0; 12];
        let (to_entries, to_offset) = field.split_at_mut(4);
        to_entries.copy_from_slice(&(entries as u32).to_be_bytes());
        to_offset.copy_from_slice(&(first << bits).to_be_bytes());
        self.host.write(&field, at::L1)?;
        self.host.sync()?;
        let old = (self.l1.len() as u64 * 8).div_ceil(self.header.cluster());
        let old_first = self.header.l1_offset >> bits;
        self.given_up.extend(old_first..old_first + old);
        self.header.l1_offset = first << bits;
        self.header.l1_entries = entries as u32;
        self.l1 = table;
        Ok(())
    }

    /// Allocates clusters one after another. Runs that are too short are given back at
    /// the end, so that the search goes on behind them.
    fn contiguous(&mut self, count: u64) -> io::Result<u64> {
        let mut short = Vec::new();
        let mut run = 0..0;
        while run.end - run.start < count {
            if run.is_empty() {
                self.refcounts.prepare(&mut self.host, count)?;
            }
            let want = count - (run.end - run.start);
            let (first, got) = self.refcounts.allocate(&mut self.host, want)?;
            if first == run.end && run.end > run.start {
                run.end = first + got;
            } else {
                short.extend(std::mem::replace(&mut run, first..first + got));
                self.refcounts.prepare(&mut self.host, count)?;
            }
        }
        for cluster in short {
            self.refcounts.release(&self.host, cluster)?;
        }
        Ok(run.start)
    }
}

/// Writes an empty image into an empty file: header, refcount table, one block.
pub(crate) fn format(
    host: &mut HostFile,
    cluster_bits: u32,
    backing: Option<&BackingName>,
) -> io::Result<()> {
    let Some(header) = header::encode(cluster_bits, backing) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the backing file's name does not fit into a qcow2 header",
        ));
    };
    let cluster = 1u64 << cluster_bits;
    host.write(&header, 0)?;
    let mut tables = vec![0; 2 << cluster_bits];
    let (table, block) = tables.split_at_mut(1 << cluster_bits);
    for (to, from) in table.iter_mut().zip((2 * cluster).to_be_bytes()) {
        *to = from;
    }
    // Header, table and block count once each, in 16 bits.
    for (to, from) in block.iter_mut().zip([0, 1, 0, 1, 0, 1]) {
        *to = from;
    }
    host.write(&tables, cluster)
}

/// Whether an L1 or L2 entry says that its cluster may be written in place.
pub(crate) fn is_copied(entry: u64) -> bool {
    entry & COPIED != 0
}

/// A cluster's count in a block that is not of an open image.
pub(crate) fn count_in(block: &[u8], order: u32, index: u64) -> u64 {
    refcount::count(block, order, index)
}
