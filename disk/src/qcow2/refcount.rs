//! Reference counts of the file's clusters, and the search for free ones (qcow2
//! specification, "Host cluster management").

use super::entry::{OFFSET, damaged};
use super::header::{Header, OFFSET_MAX, TABLE_ENTRIES_MAX, at};
use super::pages::{Page, Pages};
use crate::host::HostFile;
use std::collections::BTreeSet;
use std::io;

/// Bytes of refcount blocks kept.
const KEPT: u64 = 8 << 20;

/// The refcount table with its blocks.
#[derive(Debug)]
pub(super) struct Refcounts {
    cluster_bits: u32,
    order: u32,
    /// Where the table is in the file.
    offset: u64,
    table: Vec<u64>,
    /// Entries of the table that are not in the file yet.
    changed: BTreeSet<usize>,
    blocks: Pages,
    /// No cluster below is free.
    hint: u64,
}

impl Refcounts {
    /// Reads the table of an image.
    pub(super) fn load(host: &HostFile, header: &Header) -> io::Result<Self> {
        let bytes = u64::from(header.table_clusters) << header.cluster_bits;
        let mut table = vec![0; bytes as usize];
        host.read(&mut table, header.table_offset)?;
        Ok(Self {
            cluster_bits: header.cluster_bits,
            order: header.refcount_order,
            offset: header.table_offset,
            table: words(&table),
            changed: BTreeSet::new(),
            blocks: Pages::new(header.cluster(), KEPT),
            hint: 0,
        })
    }

    /// Entries of a block, as a power of two.
    fn block_bits(&self) -> u32 {
        self.cluster_bits + 3 - self.order
    }

    /// Where a cluster's count is: entry of the table, index in the block.
    fn place(&self, cluster: u64) -> (usize, u64) {
        let index = cluster & ((1 << self.block_bits()) - 1);
        let entry = usize::try_from(cluster >> self.block_bits());
        (entry.unwrap_or(usize::MAX), index)
    }

    fn block(&self, entry: usize) -> u64 {
        self.table.get(entry).copied().unwrap_or(0) & OFFSET
    }

    /// How often a cluster is referred to.
    pub(super) fn get(&mut self, host: &HostFile, cluster: u64) -> io::Result<u64> {
        let (entry, index) = self.place(cluster);
        match self.block(entry) {
            0 => Ok(0),
            block => {
                let order = self.order;
                let page = self.blocks.load(host, block)?;
                Ok(count(page.bytes(), order, index))
            }
        }
    }

    /// Changes a count, whose block there is.
    fn set(&mut self, host: &HostFile, cluster: u64, value: u64) -> io::Result<()> {
        let (entry, index) = self.place(cluster);
        let (block, order) = (self.block(entry), self.order);
        self.blocks.load(host, block)?;
        self.blocks
            .change(block, |page| set_count(page, order, index, value));
        Ok(())
    }

    /// Takes up to `most` free clusters one after another, and at least one; returns
    /// the first and how many.
    pub(super) fn allocate(&mut self, host: &mut HostFile, most: u64) -> io::Result<(u64, u64)> {
        let mut first = self.hint;
        loop {
            if first >= OFFSET_MAX >> self.cluster_bits {
                return Err(full());
            }
            let (entry, _) = self.place(first);
            if entry >= self.table.len() {
                self.grow(host)?;
            } else if self.block(entry) == 0 {
                self.create_block(host, entry, first)?;
                first += 1;
            } else if self.get(host, first)? != 0 {
                first += 1;
            } else {
                break;
            }
        }
        let block_end = (first >> self.block_bits()).saturating_add(1) << self.block_bits();
        let mut count = 1;
        while count < most && first + count < block_end && self.get(host, first + count)? == 0 {
            count += 1;
        }
        for cluster in first..first + count {
            self.set(host, cluster, 1)?;
        }
        self.hint = first + count;
        Ok((first, count))
    }

    /// Makes the blocks for the `count` clusters that are searched next, so that none of
    /// them becomes a block itself.
    pub(super) fn prepare(&mut self, host: &mut HostFile, count: u64) -> io::Result<()> {
        let (mut entry, _) = self.place(self.hint);
        // One block more: making blocks takes clusters as well.
        let end = self.hint + count + (count >> self.block_bits()) + 2;
        while (entry as u64) << self.block_bits() < end {
            if entry >= self.table.len() {
                self.grow(host)?;
            } else if self.block(entry) == 0 {
                let (cluster, _) = self.allocate(host, 1)?;
                if self.block(entry) == 0 {
                    self.create_block(host, entry, cluster)?;
                }
            } else {
                entry += 1;
            }
        }
        Ok(())
    }

    /// Makes the block of a table entry, in a cluster that it counts itself.
    fn create_block(&mut self, host: &HostFile, entry: usize, cluster: u64) -> io::Result<()> {
        let offset = cluster << self.cluster_bits;
        self.blocks.create(offset, vec![0; 1 << self.cluster_bits]);
        if let Some(place) = self.table.get_mut(entry) {
            *place = offset;
            self.changed.insert(entry);
        }
        self.set(host, cluster, 1)
    }

    /// Drops a reference; returns whether it was the last.
    pub(super) fn release(&mut self, host: &HostFile, cluster: u64) -> io::Result<bool> {
        let count = self.get(host, cluster)?;
        let Some(less) = count.checked_sub(1) else {
            return Err(damaged("a cluster that is in use counts as free"));
        };
        self.set(host, cluster, less)?;
        if less == 0 {
            self.hint = self.hint.min(cluster);
        }
        Ok(less == 0)
    }

    /// Makes the table larger, or leaves it as it is.
    fn grow(&mut self, host: &mut HostFile) -> io::Result<()> {
        let before = self.table.len();
        let grown = self.try_to_grow(host);
        if grown.is_err() {
            for block in self.table.split_off(before) {
                self.blocks.forget(block);
            }
        }
        grown
    }

    /// The new table goes behind all clusters that it counted so far, together with the
    /// blocks that count it.
    fn try_to_grow(&mut self, host: &mut HostFile) -> io::Result<()> {
        let (bits, block_bits) = (self.cluster_bits, self.block_bits());
        let start = (self.table.len() as u64) << block_bits;
        let first = start >> block_bits;
        let a_cluster = 1u64 << (bits - 3);
        let old = (self.table.len() as u64).div_ceil(a_cluster);
        let (mut clusters, mut blocks) = (old + old / 2 + 1, 1);
        loop {
            let last = (start + blocks + clusters - 1) >> block_bits;
            let (want_blocks, want) = (last - first + 1, (last + 1).div_ceil(a_cluster));
            if want_blocks <= blocks && want <= clusters {
                break;
            }
            (blocks, clusters) = (blocks.max(want_blocks), clusters.max(want));
        }
        let entries = (clusters * a_cluster) as usize;
        if entries > TABLE_ENTRIES_MAX {
            return Err(full());
        }
        self.table.resize(entries, 0);
        for n in 0..blocks {
            let offset = (start + n) << bits;
            self.blocks.create(offset, vec![0; 1 << bits]);
            if let Some(entry) = self.table.get_mut((first + n) as usize) {
                *entry = offset;
            }
        }
        for cluster in start..start + blocks + clusters {
            self.set(host, cluster, 1)?;
        }
        self.move_table(host, (start + blocks) << bits, old)
    }

    /// Writes the table and all blocks, then has the header lead there.
    fn move_table(&mut self, host: &mut HostFile, offset: u64, old: u64) -> io::Result<()> {
        self.write_blocks(host)?;
        let bytes: Vec<u8> = self.table.iter().flat_map(|e| e.to_be_bytes()).collect();
        host.write(&bytes, offset)?;
        host.sync()?;
        let clusters = (bytes.len() >> self.cluster_bits) as u32;
        let mut field = [0; 12];
        let (to_offset, to_clusters) = field.split_at_mut(8);
        to_offset.copy_from_slice(&offset.to_be_bytes());
        to_clusters.copy_from_slice(&clusters.to_be_bytes());
        host.write(&field, at::TABLE)?;
        host.sync()?;
        self.changed.clear();
        let before = std::mem::replace(&mut self.offset, offset) >> self.cluster_bits;
        for cluster in before..before + old {
            self.release(host, cluster)?;
        }
        Ok(())
    }

    fn write_blocks(&mut self, host: &mut HostFile) -> io::Result<bool> {
        let fresh = self.blocks.write(host, true)?;
        Ok(self.blocks.write(host, false)? || fresh)
    }

    /// Writes what changed: blocks, and only once they are durable what leads to new
    /// ones. Returns whether there was anything.
    pub(super) fn write(&mut self, host: &mut HostFile) -> io::Result<bool> {
        let written = self.write_blocks(host)?;
        if self.changed.is_empty() {
            return Ok(written);
        }
        host.sync()?;
        for entry in &self.changed {
            let value = self.table.get(*entry).copied().unwrap_or(0);
            host.write(&value.to_be_bytes(), self.offset + *entry as u64 * 8)?;
        }
        self.changed.clear();
        Ok(true)
    }

    /// Whether so many changes wait that they should be written.
    pub(super) fn crowded(&self) -> bool {
        self.blocks.crowded()
    }
}

fn full() -> io::Error {
    io::Error::new(
        io::ErrorKind::StorageFull,
        "the qcow2 image cannot become larger",
    )
}

/// A table's numbers.
pub(crate) fn words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_be_bytes(*word)).collect()
}

/// The count at `index` of a block of counts of `1 << order` bits. Those below a byte
/// begin at its lowest bits.
pub(super) fn count(page: &[u8], order: u32, index: u64) -> u64 {
    let bit = index << order;
    let at = (bit / 8) as usize;
    if order < 3 {
        let mask = (1u64 << (1 << order)) - 1;
        let byte = page.get(at).copied().unwrap_or(0);
        return u64::from(byte) >> (bit % 8) & mask;
    }
    let len = 1 << (order - 3);
    let bytes = page.get(at..at + len).unwrap_or_default();
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn set_count(page: &mut Page, order: u32, index: u64, value: u64) {
    let bit = index << order;
    let at = (bit / 8) as usize;
    if order < 3 {
        let mask = ((1u32 << (1 << order)) - 1) as u8;
        let shift = (bit % 8) as u32;
        let byte = page.byte(at) & !(mask << shift) | (value as u8 & mask) << shift;
        page.change(at, &[byte]);
        return;
    }
    let bytes = value.to_be_bytes();
    let len = 1usize << (order - 3);
    page.change(at, bytes.get(8 - len..).unwrap_or_default());
}
