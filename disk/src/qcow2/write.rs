//! Writing: clusters in place, new clusters, zeros, and what is given back.

use super::Qcow2;
use super::entry::{COPIED, Mapping, ZERO, damaged};
use std::io;

impl Qcow2 {
    /// Writes `bytes` at `offset`; they lie in the disk.
    pub(crate) fn write(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        self.unpacked = None;
        while !bytes.is_empty() {
            self.make_room()?;
            let written = self.write_some(offset, bytes)?;
            let (_, rest) = bytes.split_at(written);
            bytes = rest;
            offset += written as u64;
        }
        Ok(())
    }

    /// Writes as much as can be written at once; returns how much.
    fn write_some(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let table = self.table_to_write(offset)?;
        let lead = self.in_cluster(offset);
        let (mapping, len) = self.run(offset, bytes.len() as u64)?;
        let first_cluster = (self.header.cluster() - lead).min(len);
        match mapping {
            Mapping::Data { host, copied: true } => {
                let (part, _) = bytes.split_at(len as usize);
                self.host.write(part, host.saturating_add(lead))?;
                Ok(part.len())
            }
            // Zeros that have a cluster: it becomes data.
            Mapping::Zero {
                host: Some(host),
                copied: true,
            } => {
                let (part, _) = bytes.split_at(first_cluster as usize);
                self.fill(offset, part, host, 1)?;
                self.map(table, offset, host, 1);
                Ok(part.len())
            }
            _ => self.write_new(table, offset, bytes),
        }
    }

    /// Writes into clusters newly allocated.
    fn write_new(&mut self, table: u64, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let (cluster, lead) = (self.header.cluster(), self.in_cluster(offset));
        let most = (bytes.len() as u64).min(self.left_in_table(offset));
        let wanted = self.clusters_without_place(table, offset, (lead + most).div_ceil(cluster))?;
        let (first, count) = self.refcounts.allocate(&mut self.host, wanted)?;
        let host = first << self.header.cluster_bits;
        let (part, _) = bytes.split_at(most.min(count * cluster - lead) as usize);
        if let Err(e) = self.fill(offset, part, host, count) {
            for n in first..first + count {
                self.refcounts.release(&self.host, n)?;
            }
            return Err(e);
        }
        for n in 0..count {
            self.give_up(table, (offset - lead) + n * cluster)?;
        }
        self.map(table, offset, host, count);
        Ok(part.len())
    }

    /// Of `most` clusters from `offset` on, how many cannot be written in place.
    fn clusters_without_place(&mut self, table: u64, offset: u64, most: u64) -> io::Result<u64> {
        let (bits, version) = (self.header.cluster_bits, self.header.version);
        let index = self.l2_index(offset);
        let page = self.l2.load(&self.host, table)?;
        let mut count = 1;
        while count < most {
            match Mapping::of(page.entry(index + count), bits, version)? {
                Mapping::Data { copied: true, .. } => break,
                Mapping::Zero {
                    host: Some(_),
                    copied: true,
                } => break,
                _ => count += 1,
            }
        }
        Ok(count)
    }

    /// Writes `bytes` into `count` clusters at `host`, and around them what the guest
    /// sees there now.
    fn fill(&mut self, offset: u64, bytes: &[u8], host: u64, count: u64) -> io::Result<()> {
        let lead = self.in_cluster(offset);
        let end = lead + bytes.len() as u64;
        let all = count * self.header.cluster();
        self.copy_edge(offset - lead, lead, host)?;
        self.copy_edge(offset + bytes.len() as u64, all - end, host + end)?;
        self.host.write(bytes, host + lead)?;
        self.host.lengthen(host + all)
    }

    /// Writes to `host` what a guest reads at `offset`; nothing where the file has none
    /// yet and zeros are wanted.
    fn copy_edge(&mut self, mut offset: u64, len: u64, mut host: u64) -> io::Result<()> {
        let end = offset + len;
        while offset < end {
            let inside = self.header.size.saturating_sub(offset).min(end - offset);
            let (extent, len) = match inside {
                0 => (crate::Extent::Zero, end - offset),
                _ => self.extent(offset, inside)?,
            };
            if extent == crate::Extent::Data {
                let mut copy = vec![0; len as usize];
                self.read(offset, &mut copy)?;
                self.host.write(&copy, host)?;
            } else if host < self.host.len() {
                self.host.zero(host, len, false)?;
            }
            offset += len;
            host += len;
        }
        Ok(())
    }

    /// Has `count` clusters from that of `offset` on lead to `host`.
    fn map(&mut self, table: u64, offset: u64, host: u64, count: u64) {
        let (index, cluster) = (self.l2_index(offset), self.header.cluster());
        self.l2.change(table, |page| {
            for n in 0..count {
                page.set_entry(index + n, (host + n * cluster) | COPIED);
            }
        });
    }

    /// Notes that what the cluster of `offset` leads to will lose that reference.
    fn give_up(&mut self, table: u64, offset: u64) -> io::Result<()> {
        let (bits, version) = (self.header.cluster_bits, self.header.version);
        let index = self.l2_index(offset);
        let entry = self.l2.load(&self.host, table)?.entry(index);
        let (at, len) = match Mapping::of(entry, bits, version)? {
            Mapping::Data { host, .. }
            | Mapping::Zero {
                host: Some(host), ..
            } => (host, 1),
            Mapping::Compressed { at, len } => (at, len),
            Mapping::Unallocated | Mapping::Zero { host: None, .. } => return Ok(()),
        };
        let last = at.saturating_add(len - 1) >> bits;
        self.given_up.extend(at >> bits..=last);
        Ok(())
    }

    /// The L2 table of `offset`, made or copied if it cannot be written in place.
    fn table_to_write(&mut self, offset: u64) -> io::Result<u64> {
        let bits = self.header.cluster_bits;
        let index = offset >> (bits + self.header.l2_bits());
        let entry = self.l1_entry(index);
        let old = self.l2_at(offset);
        if old == 0 {
            return self.new_table(index, vec![0; 1 << bits], None);
        }
        let known = self.l2.load(&self.host, old)?;
        if entry & COPIED == 0 {
            let copy = known.bytes().to_vec();
            return self.new_table(index, copy, Some(old >> bits));
        }
        self.counted(old)
    }

    /// A table that is to be changed, if it counts as used.
    fn counted(&mut self, table: u64) -> io::Result<u64> {
        let cluster = table >> self.header.cluster_bits;
        match self.refcounts.get(&self.host, cluster)? {
            0 => Err(damaged("an L2 table counts as free")),
            _ => Ok(table),
        }
    }

    fn new_table(&mut self, index: u64, bytes: Vec<u8>, old: Option<u64>) -> io::Result<u64> {
        let place = usize::try_from(index).ok();
        let Some(place) = place.filter(|n| *n < self.l1.len()) else {
            return Err(damaged("its L1 table is too small"));
        };
        let (cluster, _) = self.refcounts.allocate(&mut self.host, 1)?;
        let table = cluster << self.header.cluster_bits;
        self.host.lengthen(table + self.header.cluster())?;
        self.l2.create(table, bytes);
        if let Some(entry) = self.l1.get_mut(place) {
            *entry = table | COPIED;
        }
        self.l1_changed.insert(place);
        self.given_up.extend(old);
        Ok(table)
    }

    /// Makes a range zeros; `unmap` gives its clusters back.
    pub(crate) fn write_zeroes(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        self.each_part(offset, len, |image, offset, len, whole| {
            if whole && image.zero_clusters(offset, len, unmap && image.discard)? {
                return Ok(());
            }
            image.zero_bytes(offset, len)
        })
    }

    /// Gives clusters back that lie wholly in the range; they read as zeros then.
    pub(crate) fn discard(&mut self, offset: u64, len: u64) -> io::Result<()> {
        if !self.discard {
            return Ok(());
        }
        self.each_part(offset, len, |image, offset, len, whole| {
            if whole {
                image.zero_clusters(offset, len, true)?;
            }
            Ok(())
        })
    }

    /// Goes through a range: whole clusters of one L2 table, and parts of clusters. The
    /// last cluster of the disk is whole where the disk ends.
    fn each_part(
        &mut self,
        offset: u64,
        len: u64,
        mut work: impl FnMut(&mut Self, u64, u64, bool) -> io::Result<()>,
    ) -> io::Result<()> {
        self.unpacked = None;
        let cluster = self.header.cluster();
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            self.make_room()?;
            let left = (end - at).min(self.left_in_table(at));
            let lead = self.in_cluster(at);
            let part = match (lead, left / cluster) {
                (0, 0) | (1.., _) => left.min(cluster - lead),
                (0, count) => count * cluster,
            };
            let to_end = at + part == self.header.size;
            let whole = lead == 0 && (part >= cluster || to_end);
            work(self, at, part, whole)?;
            at += part;
        }
        Ok(())
    }

    /// Has whole clusters of one table read as zeros without writing them; returns
    /// whether that could be done for all of them.
    fn zero_clusters(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<bool> {
        let shows = self.backing.is_some() || self.header.backing.is_some();
        let old = self.header.version < 3;
        if self.l2_at(offset) == 0 && !shows {
            return Ok(true);
        }
        if old && (shows || !unmap) {
            return Ok(false);
        }
        let table = self.table_to_write(offset)?;
        let (bits, version) = (self.header.cluster_bits, self.header.version);
        let nothing = if shows { ZERO } else { 0 };
        for n in 0..len.div_ceil(self.header.cluster()) {
            let at = offset + (n << bits);
            let index = self.l2_index(at);
            let entry = self.l2.load(&self.host, table)?.entry(index);
            let new = match Mapping::of(entry, bits, version)? {
                Mapping::Unallocated => nothing,
                Mapping::Zero { host: None, .. } => entry,
                Mapping::Zero { .. } if !unmap => entry,
                Mapping::Data { copied: true, .. } if !unmap => entry | ZERO,
                _ => nothing,
            };
            if new & !(ZERO | COPIED) == 0 {
                self.give_up(table, at)?;
            }
            if new != entry {
                self.l2.change(table, |page| page.set_entry(index, new));
            }
        }
        Ok(true)
    }

    /// Writes zeros where something else is.
    fn zero_bytes(&mut self, offset: u64, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            let (extent, len) = self.extent(at, (end - at).min(ZEROS.len() as u64))?;
            if extent == crate::Extent::Data {
                let zeros = ZEROS.get(..len as usize).unwrap_or(&ZEROS);
                self.write(at, zeros)?;
            }
            at += len;
        }
        Ok(())
    }
}
