//! Whether a qcow2 file's tables agree with each other: what leads to each cluster, and
//! what its count says.

use crate::host::{Cache, HostFile};
use crate::image::Access;
use crate::qcow2::entry::{Mapping, OFFSET, ZERO};
use crate::qcow2::header::Header;
use crate::qcow2::{size, words};
use crate::{DiskError, qcow2};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Problems that are told one by one.
const TOLD: usize = 20;
/// Clusters that are counted together.
const CHUNK: u64 = 64;
/// Entries of tables that are looked at; snapshots can make them many.
const STEPS: u64 = 1 << 32;
/// Bytes that a snapshot may have beside those that are known (QEMU's limit).
const EXTRA_MAX: u64 = 1024;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong: a machine may lose data over it.
    pub errors: u64,
    /// Clusters that are counted more often than they are used: lost room, no more.
    pub leaks: u64,
    /// Clusters of the disk with data in the file.
    pub allocated: u64,
    /// Clusters of the disk that are compressed.
    pub compressed: u64,
    /// Clusters of the disk.
    pub clusters: u64,
    /// The first problems, a sentence each.
    pub problems: Vec<String>,
}

impl Report {
    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.problems.len() < TOLD {
            self.problems.push(what());
        }
    }

    fn error(&mut self, what: impl FnOnce() -> String) {
        self.errors += 1;
        self.tell(what);
    }
}

/// Checks a qcow2 file. No other file is opened, and nothing is changed.
///
/// # Errors
/// A file that cannot be had, is in use, is no qcow2, or whose header is damaged.
pub fn check(path: &Path) -> Result<Report, DiskError> {
    let host = HostFile::open(path, Access::Read, Cache::Writeback)?;
    check_host(host)
}

/// As [`check`], of a file that is open.
pub(crate) fn check_host(host: HostFile) -> Result<Report, DiskError> {
    let header = Header::load(&host)?;
    let report = Report {
        clusters: header.size.div_ceil(header.cluster()),
        ..Report::default()
    };
    let mut walk = Walk {
        host,
        header,
        report,
        used: HashMap::new(),
        own: HashMap::new(),
        steps: 0,
    };
    walk.all()?;
    Ok(walk.report)
}

/// What is known so far.
struct Walk {
    host: HostFile,
    header: Header,
    report: Report,
    /// How often each cluster is used, in chunks.
    used: HashMap<u64, Vec<u32>>,
    /// What entries of the active tables claim of clusters: that they are the only
    /// ones ("COPIED") or not.
    own: HashMap<u64, bool>,
    /// Entries of tables looked at.
    steps: u64,
}

impl Walk {
    fn all(&mut self) -> Result<(), DiskError> {
        let header = self.header.clone();
        if header.dirty || header.corrupt {
            self.report
                .error(|| "it was not closed properly, or is marked corrupt".to_owned());
        }
        self.count(0, header.cluster(), "the header");
        self.l1(header.l1_offset, header.l1_entries, true)?;
        self.snapshots()?;
        self.refcounts()
    }

    /// Counts the clusters of a range of bytes.
    fn count(&mut self, offset: u64, len: u64, what: &str) {
        let bits = self.header.cluster_bits;
        let end = offset.saturating_add(len);
        let file = self.host.len().next_multiple_of(self.header.cluster());
        if end > file || offset & (self.header.cluster() - 1) != 0 {
            self.report
                .error(|| format!("{what} at {offset:#x} is not in the file, or at no cluster"));
            return;
        }
        if len == 0 {
            return;
        }
        for cluster in offset >> bits..=(end - 1) >> bits {
            let chunk = self.used.entry(cluster / CHUNK);
            let chunk = chunk.or_insert_with(|| vec![0; CHUNK as usize]);
            if let Some(count) = chunk.get_mut((cluster % CHUNK) as usize) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn read(&self, offset: u64, len: u64) -> Option<Vec<u64>> {
        let inside = offset.checked_add(len)? <= self.host.len();
        let mut bytes = vec![0; if inside { len as usize } else { return None }];
        self.host.read(&mut bytes, offset).ok()?;
        Some(words(&bytes))
    }

    /// An L1 table, with all that it leads to.
    fn l1(&mut self, offset: u64, entries: u32, active: bool) -> Result<(), DiskError> {
        let len = u64::from(entries) * 8;
        self.count(offset, len, "an L1 table");
        let Some(table) = self.read(offset, len) else {
            self.report
                .error(|| format!("the L1 table at {offset:#x} cannot be read"));
            return Ok(());
        };
        self.steps += u64::from(entries);
        let mut seen = HashSet::new();
        for entry in table {
            if self.steps > STEPS {
                let what = "its snapshots are more than can be checked";
                return Err(DiskError::damaged(self.host.path(), what));
            }
            let l2 = entry & OFFSET;
            if l2 == 0 {
                continue;
            }
            self.count(l2, self.header.cluster(), "an L2 table");
            if active {
                self.claim(l2, entry);
            }
            if !seen.insert(l2) {
                self.report
                    .error(|| format!("two L1 entries lead to {l2:#x}"));
            } else if l2 & (self.header.cluster() - 1) == 0 {
                self.l2(l2, active);
            }
        }
        Ok(())
    }

    fn l2(&mut self, offset: u64, active: bool) {
        let cluster = self.header.cluster();
        let Some(table) = self.read(offset, cluster) else {
            self.report
                .error(|| format!("the L2 table at {offset:#x} cannot be read"));
            return;
        };
        self.steps += cluster / 8;
        let (bits, version) = (self.header.cluster_bits, self.header.version);
        for entry in table {
            match Mapping::of(entry, bits, version) {
                Err(_) => self.report.error(|| {
                    format!(
                        "an entry of the L2 table at {offset:#x} leads to no cluster: {entry:#x}"
                    )
                }),
                Ok(Mapping::Unallocated | Mapping::Zero { host: None, .. }) => {}
                Ok(
                    Mapping::Data { host, .. }
                    | Mapping::Zero {
                        host: Some(host), ..
                    },
                ) => {
                    self.count(host, cluster, "a cluster");
                    if active {
                        self.report.allocated += u64::from(entry & ZERO == 0);
                        self.claim(host, entry);
                    }
                }
                Ok(Mapping::Compressed { at, len }) => {
                    self.count_compressed(at, len);
                    if active {
                        self.report.allocated += 1;
                        self.report.compressed += 1;
                    }
                }
            }
        }
    }

    /// Compressed data counts for each cluster that it touches. Its length is that of
    /// whole sectors, so that it may end behind the file.
    fn count_compressed(&mut self, at: u64, len: u64) {
        let first = at & !(self.header.cluster() - 1);
        let end = at.saturating_add(len);
        if at >= self.host.len() {
            self.report
                .error(|| format!("compressed data at {at:#x} is not in the file"));
        }
        let bits = self.header.cluster_bits;
        let last = end.saturating_sub(1) >> bits << bits;
        self.count(first, 1, "");
        let mut next = first;
        while next < last {
            next += self.header.cluster();
            if next < self.host.len() {
                self.count(next, 1, "");
            }
        }
    }

    fn claim(&mut self, offset: u64, entry: u64) {
        let cluster = offset >> self.header.cluster_bits;
        self.own.insert(cluster, size::is_copied(entry));
    }

    /// The list of snapshots, each with an L1 table (specification, "Snapshots").
    fn snapshots(&mut self) -> Result<(), DiskError> {
        let start = self.header.snapshots_offset;
        let mut at = start;
        for _ in 0..self.header.snapshots {
            let mut fixed = [0; 40];
            if self.host.read(&mut fixed, at).is_err() {
                self.report
                    .error(|| "the list of snapshots cannot be read".to_owned());
                return Ok(());
            }
            let [
                o0,
                o1,
                o2,
                o3,
                o4,
                o5,
                o6,
                o7,
                e0,
                e1,
                e2,
                e3,
                i0,
                i1,
                n0,
                n1,
                ..,
                x0,
                x1,
                x2,
                x3,
            ] = fixed;
            let offset = u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
            let entries = u32::from_be_bytes([e0, e1, e2, e3]);
            let names =
                u64::from(u16::from_be_bytes([i0, i1])) + u64::from(u16::from_be_bytes([n0, n1]));
            let extra = u64::from(u32::from_be_bytes([x0, x1, x2, x3]));
            if u64::from(entries) > self.header.l1_most() || extra > EXTRA_MAX {
                self.report
                    .error(|| "a snapshot has sizes that cannot be".to_owned());
                return Ok(());
            }
            self.l1(offset, entries, false)?;
            at = (at + 40 + extra + names).next_multiple_of(8);
        }
        self.count(start, at - start, "the list of snapshots");
        Ok(())
    }

    /// The refcount table and its blocks, against what was counted.
    fn refcounts(&mut self) -> Result<(), DiskError> {
        let header = self.header.clone();
        let len = u64::from(header.table_clusters) << header.cluster_bits;
        self.count(header.table_offset, len, "the refcount table");
        let Some(table) = self.read(header.table_offset, len) else {
            return Err(DiskError::damaged(
                self.host.path(),
                "its refcount table cannot be read",
            ));
        };
        let mut blocks: Vec<u64> = table.iter().map(|entry| entry & OFFSET).collect();
        let mut seen = HashSet::new();
        for block in blocks.iter_mut().filter(|block| **block != 0) {
            self.count(*block, header.cluster(), "a refcount block");
            if !seen.insert(*block) {
                let twice = std::mem::take(block);
                self.report
                    .error(|| format!("two refcount table entries lead to {twice:#x}"));
            }
        }
        let block_bits = header.cluster_bits + 3 - header.refcount_order;
        // A chunk is not larger than what a block counts.
        let used: HashSet<u64> = (self.used.keys())
            .map(|chunk| (chunk * CHUNK) >> block_bits)
            .collect();
        for (n, block) in (0..).zip(&blocks) {
            if *block != 0 || used.contains(&n) {
                self.block(n << block_bits, *block, 1 << block_bits);
            }
        }
        // What lies behind all that the table can count.
        let counted = (blocks.len() as u64) << block_bits;
        let beyond = self.used.keys().filter(|chunk| **chunk * CHUNK >= counted);
        let beyond = beyond.count() as u64;
        if beyond > 0 {
            self.report.errors += beyond;
            self.report
                .tell(|| "clusters are used that the refcount table does not reach".to_owned());
        }
        Ok(())
    }

    /// The counts of clusters from `first` on, by the block at `offset`; 0 if there is
    /// none, and all of them count as free.
    fn block(&mut self, first: u64, offset: u64, entries: u64) {
        let mut bytes = vec![0; self.header.cluster() as usize];
        let readable = offset & (self.header.cluster() - 1) == 0;
        if offset != 0 && (!readable || self.host.read(&mut bytes, offset).is_err()) {
            self.report
                .error(|| format!("the refcount block at {offset:#x} cannot be read"));
            return;
        }
        for index in 0..entries {
            let cluster = first + index;
            let count = qcow2::size::count_in(&bytes, self.header.refcount_order, index);
            let chunk = self.used.get(&(cluster / CHUNK));
            let used = chunk.and_then(|c| c.get((cluster % CHUNK) as usize));
            let used = u64::from(used.copied().unwrap_or(0));
            if count < used {
                self.report.error(|| {
                    format!("cluster {cluster} is used {used} times and counts as {count}")
                });
            } else if count > used {
                self.report.leaks += 1;
                self.report.tell(|| {
                    format!("cluster {cluster} counts as {count} and is used {used} times")
                });
            }
            let claimed = self.own.get(&cluster);
            if claimed.is_some_and(|own| *own != (count == 1)) {
                self.report.error(|| format!("what leads to cluster {cluster} says wrongly whether it is the only one: it counts as {count}"));
            }
        }
    }
}
