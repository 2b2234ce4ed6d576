//! Which pages hold code that somebody decoded, and whether they were written since.
//!
//! A page becomes *tracked* when a vCPU decodes code from it. From then on no soft
//! TLB may hold a write entry for it, so that each store comes by the slow path,
//! which calls [`CodePages::note_write`]: the page is untracked and its version
//! changes. Whoever kept something decoded compares versions.
//!
//! Other vCPUs may hold write entries from before. They are asked to drop them and
//! are not waited for: until all have (see [`WriteEpoch`]), the one who decoded
//! compares the bytes themselves at each of its instruction fences.

use isoform_core::{Attention, Requests};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use vm_memory::bitmap::{Bitmap, RefSlice, WithBitmapSlice};

const TRACKED: u32 = 1 << 31;

/// Per page of RAM: a version and whether the page is tracked.
#[derive(Debug, Clone)]
pub struct CodePages {
    /// Bit 31: tracked. Below: the version, wrapping.
    words: Arc<Box<[AtomicU32]>>,
    /// Versions changed so far.
    changes: Arc<AtomicU64>,
}

impl CodePages {
    /// No page tracked, for `pages` pages. Untouched entries cost no memory.
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            words: bytemuck::zeroed_slice_box::<AtomicU32>(pages).into(),
            changes: Arc::default(),
        }
    }

    /// For other pages, numbered by themselves, whose changes count here, too.
    pub(crate) fn beside(&self, pages: usize) -> Self {
        Self {
            changes: self.changes.clone(),
            ..Self::new(pages)
        }
    }

    fn word(&self, page: usize) -> Option<&AtomicU32> {
        self.words.get(page)
    }

    /// The version of a page, by its index in RAM.
    #[inline]
    pub fn version(&self, page: usize) -> u32 {
        self.word(page)
            .map_or(0, |w| w.load(Ordering::Acquire) & !TRACKED)
    }

    /// How often any version changed: the same number twice, the same code.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Whether writes to the page must take the slow path.
    #[inline]
    pub fn is_tracked(&self, page: usize) -> bool {
        self.word(page)
            .is_some_and(|w| w.load(Ordering::SeqCst) & TRACKED != 0)
    }

    /// Starts tracking: gives the version, and whether the page was not yet tracked.
    /// Read the content only afterwards.
    pub(crate) fn track(&self, page: usize) -> (u32, bool) {
        self.word(page).map_or((0, false), |w| {
            let old = w.fetch_or(TRACKED, Ordering::SeqCst);
            // With its like in `note_write`: either the writer sees the mark, or what
            // is read from here on has what was written.
            fence(Ordering::SeqCst);
            (old & !TRACKED, old & TRACKED == 0)
        })
    }

    /// The page was written. Call after the store.
    pub fn note_write(&self, page: usize) {
        fence(Ordering::SeqCst);
        if let Some(w) = self.word(page)
            && w.load(Ordering::SeqCst) & TRACKED != 0
        {
            self.bump(page);
        }
    }

    /// These pages were written. Call after the stores.
    pub fn note_writes(&self, pages: Range<usize>) {
        fence(Ordering::SeqCst);
        pages
            .filter(|p| self.is_tracked(*p))
            .for_each(|p| self.bump(p));
    }

    /// Changes the version and stops tracking, whatever the page was.
    pub fn bump(&self, page: usize) {
        if let Some(w) = self.word(page) {
            let bumped = |v: u32| Some(v.wrapping_add(1) & !TRACKED);
            // The closure always gives a value, so the update cannot fail.
            let _ = w.fetch_update(Ordering::SeqCst, Ordering::SeqCst, bumped);
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// DMA through vm-memory reports its writes here.
impl Bitmap for CodePages {
    fn mark_dirty(&self, offset: usize, len: usize) {
        if len == 0 {
            return;
        }
        let page = crate::PAGE as usize;
        let last = offset.saturating_add(len - 1) / page;
        self.note_writes(offset / page..last + 1);
    }

    fn dirty_at(&self, _offset: usize) -> bool {
        false
    }

    fn slice_at(&self, offset: usize) -> RefSlice<'_, Self> {
        RefSlice::new(self, offset)
    }
}

impl<'a> WithBitmapSlice<'a> for CodePages {
    type S = RefSlice<'a, Self>;
}

/// How the vCPUs of one machine learn that pages became code.
///
/// A number that grows with each request to drop write entries, and per vCPU the
/// number up to which it has.
#[derive(Debug)]
pub struct WriteEpoch {
    now: AtomicU64,
    /// By page, the request that followed its mark. Held from the one to the other: whoever
    /// finds a page tracked also finds the number that it is waited for with.
    tracking: Mutex<HashMap<usize, u64>>,
    vcpus: Vec<(Arc<Attention>, AtomicU64)>,
}

impl WriteEpoch {
    /// For these vCPUs, in the order of their indices.
    pub fn new(vcpus: impl IntoIterator<Item = Arc<Attention>>) -> Self {
        let vcpus = vcpus.into_iter().map(|a| (a, AtomicU64::new(0))).collect();
        Self {
            now: AtomicU64::new(0),
            tracking: Mutex::default(),
            vcpus,
        }
    }

    /// vCPU `me` decodes code from a page: starts tracking it, and asks the others to
    /// drop their write entries if nobody has. Gives the page's version and the epoch
    /// for [`WriteEpoch::settled`]. `me` drops its own write entries afterwards, then
    /// reads the content.
    pub fn track(&self, me: usize, code: &CodePages, page: usize) -> (u32, u64) {
        let mut requests = self.tracking.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, first) = code.track(page);
        if first {
            requests.insert(page, self.request(me));
        }
        // Whoever tracks a page does it here.
        let epoch = requests.get(&page).copied();
        (version, epoch.unwrap_or_else(|| self.now()))
    }

    fn request(&self, me: usize) -> u64 {
        let epoch = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        for (i, (attention, _)) in self.vcpus.iter().enumerate() {
            if i != me {
                attention.raise(Requests::DROP_WRITES);
            }
        }
        epoch
    }

    /// The latest request.
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    /// vCPU `me` drops its write entries for tracked pages by calling `drop`.
    pub fn serve(&self, me: usize, drop: impl FnOnce()) {
        let epoch = self.now();
        drop();
        if let Some((_, seen)) = self.vcpus.get(me) {
            seen.store(epoch, Ordering::SeqCst);
        }
    }

    /// Whether no vCPU but `me` can still write to a page tracked before `epoch`
    /// without its version changing. One that runs no guest code counts: it serves
    /// requests before it does again.
    pub fn settled(&self, me: usize, epoch: u64) -> bool {
        self.vcpus.iter().enumerate().all(|(i, (attention, seen))| {
            i == me || seen.load(Ordering::SeqCst) >= epoch || attention.is_quiescent()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_changes_the_version_of_tracked_pages_only() {
        let pages = CodePages::new(4);
        pages.note_write(1);
        assert_eq!(pages.version(1), 0);
        assert_eq!(pages.track(1), (0, true));
        assert_eq!(pages.track(1), (0, false));
        pages.mark_dirty(4095, 2);
        assert_eq!(pages.version(0), 0);
        assert_eq!(pages.version(1), 1);
        assert!(!pages.is_tracked(1));
        pages.mark_dirty(usize::MAX, 7);
        assert!(!pages.is_tracked(99));
    }

    #[test]
    fn an_epoch_settles_when_all_others_served() {
        let a: Vec<_> = (0..3).map(|_| Arc::new(Attention::new())).collect();
        let epoch = WriteEpoch::new(a.iter().cloned());
        a.iter().for_each(|a| a.set_quiescent(false));
        let pages = CodePages::new(1);
        let (_, e) = epoch.track(0, &pages, 0);
        assert!(a[1].is_set() && a[2].is_set() && !a[0].is_set());
        assert!(!epoch.settled(0, e));
        epoch.serve(1, || ());
        assert!(!epoch.settled(0, e));
        a[2].set_quiescent(true);
        assert!(epoch.settled(0, e));
    }

    #[test]
    fn who_finds_a_page_tracked_waits_for_the_same_writers() {
        let a: Vec<_> = (0..3).map(|_| Arc::new(Attention::new())).collect();
        let epoch = WriteEpoch::new(a.iter().cloned());
        a.iter().for_each(|a| a.set_quiescent(false));
        let pages = CodePages::new(1);
        epoch.track(0, &pages, 0);
        let (_, e) = epoch.track(2, &pages, 0);
        epoch.serve(0, || ());
        assert!(!epoch.settled(2, e), "vCPU 1 may still write");
        epoch.serve(1, || ());
        assert!(epoch.settled(2, e));
    }
}
