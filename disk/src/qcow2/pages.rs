//! Tables of a cluster each, L2 tables and refcount blocks, as they are in memory.

use super::entry::damaged;
use crate::host::HostFile;
use std::collections::HashMap;
use std::io;
use std::ops::Range;

/// One table, big-endian as in the file.
#[derive(Clone, Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    /// Bytes that differ from the file's; empty if none.
    dirty: Range<usize>,
    /// Nothing in the file leads here yet.
    fresh: bool,
    used: u64,
}

impl Page {
    /// The `index`th number of 64 bits.
    pub(super) fn entry(&self, index: u64) -> u64 {
        let at = (index as usize).saturating_mul(8);
        let word = self.bytes.get(at..).and_then(|tail| tail.first_chunk());
        word.map_or(0, |word| u64::from_be_bytes(*word))
    }

    /// Changes the `index`th number of 64 bits.
    pub(super) fn set_entry(&mut self, index: u64, value: u64) {
        self.change((index as usize).saturating_mul(8), &value.to_be_bytes());
    }

    /// The byte at `at`.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes bytes from `at` on.
    pub(super) fn change(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if let Some(place) = self.bytes.get_mut(at..end) {
            place.copy_from_slice(bytes);
            self.dirty = match self.dirty.is_empty() {
                true => at..end,
                false => self.dirty.start.min(at)..self.dirty.end.max(end),
            };
        }
    }
}

/// Tables by their offset in the file. Only those without changes are ever dropped.
#[derive(Debug)]
pub(super) struct Pages {
    pages: HashMap<u64, Page>,
    cluster: usize,
    most: usize,
    dirty: usize,
    clock: u64,
}

impl Pages {
    /// Keeps at most about `bytes` bytes of tables of `cluster` bytes.
    pub(super) fn new(cluster: u64, bytes: u64) -> Self {
        Self {
            pages: HashMap::new(),
            cluster: cluster as usize,
            most: (bytes / cluster).max(16) as usize,
            dirty: 0,
            clock: 0,
        }
    }

    /// Whether so many have changes that they should be written.
    pub(super) fn crowded(&self) -> bool {
        self.dirty > self.most / 2
    }

    /// Whether any has changes; of those that are not fresh if `fresh` is false.
    pub(super) fn is_dirty(&self, fresh: bool) -> bool {
        self.dirty > 0
            && self
                .pages
                .values()
                .any(|p| !p.dirty.is_empty() && p.fresh == fresh)
    }

    /// The table at `offset`, read if it is not here.
    pub(super) fn load(&mut self, host: &HostFile, offset: u64) -> io::Result<&Page> {
        self.clock += 1;
        let clock = self.clock;
        if !self.pages.contains_key(&offset) {
            if offset == 0 || !offset.is_multiple_of(self.cluster as u64) {
                return Err(damaged("a table's offset is no cluster's"));
            }
            let mut bytes = vec![0; self.cluster];
            host.read(&mut bytes, offset)?;
            self.make_room();
            self.insert(offset, bytes, 0..0, false);
        }
        let page = self.pages.get_mut(&offset);
        let page = page.ok_or_else(|| damaged("a table is missing"))?;
        page.used = clock;
        Ok(page)
    }

    /// Changes the table at `offset`, which was loaded.
    pub(super) fn change(&mut self, offset: u64, change: impl FnOnce(&mut Page)) {
        if let Some(page) = self.pages.get_mut(&offset) {
            let clean = page.dirty.is_empty();
            change(page);
            self.dirty += usize::from(clean && !page.dirty.is_empty());
        }
    }

    /// A new table at `offset`, nothing of which is in the file.
    pub(super) fn create(&mut self, offset: u64, bytes: Vec<u8>) {
        self.forget(offset);
        let all = 0..bytes.len();
        self.dirty += 1;
        self.insert(offset, bytes, all, true);
    }

    /// Drops the table at `offset` with its changes.
    pub(super) fn forget(&mut self, offset: u64) {
        if let Some(page) = self.pages.remove(&offset) {
            self.dirty -= usize::from(!page.dirty.is_empty());
        }
    }

    fn insert(&mut self, offset: u64, bytes: Vec<u8>, dirty: Range<usize>, fresh: bool) {
        let used = self.clock;
        self.pages.insert(
            offset,
            Page {
                bytes,
                dirty,
                fresh,
                used,
            },
        );
    }

    /// Drops the older half of what has no changes, if there are too many.
    fn make_room(&mut self) {
        if self.pages.len() < self.most {
            return;
        }
        let clean = self.pages.values().filter(|p| p.dirty.is_empty());
        let mut ages: Vec<u64> = clean.map(|p| p.used).collect();
        ages.sort_unstable();
        let middle = ages.get(ages.len() / 2).copied().unwrap_or(0);
        self.pages
            .retain(|_, p| !p.dirty.is_empty() || p.used > middle);
    }

    /// Writes changes, of fresh tables or of the others; returns whether there were any.
    /// What could not be written stays changed.
    pub(super) fn write(&mut self, host: &mut HostFile, fresh: bool) -> io::Result<bool> {
        let mut any = false;
        if self.dirty == 0 {
            return Ok(false);
        }
        for (offset, page) in &mut self.pages {
            if page.dirty.is_empty() || page.fresh != fresh {
                continue;
            }
            any = true;
            let changed = page.bytes.get(page.dirty.clone()).unwrap_or_default();
            host.write(changed, offset.saturating_add(page.dirty.start as u64))?;
            page.dirty = 0..0;
            page.fresh = false;
            self.dirty -= 1;
        }
        Ok(any)
    }
}
