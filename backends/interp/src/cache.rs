//! Decoded code, by guest-physical page.
//!
//! A page is decoded as far as it is run. It keeps a copy of the bytes that it was
//! decoded from: when the page's version says that it may have been written, the
//! copy is compared, and only what differs is forgotten. A page that mixes code and
//! data so costs a comparison a change, not a decoding.

use crate::Counts;
use isoform_core::{Guest, Insn, PageId};
use std::collections::HashMap;

const PAGE: usize = 4096;
/// Slots are two bytes apart, the smallest alignment of instructions.
const SLOTS: usize = PAGE / 2;
/// Instructions decoded at once, along the way that they would run.
const AHEAD: usize = 32;
/// Entries of the first-level lookup.
const RECENT: usize = 1024;
/// The smallest number of pages kept.
const MIN_PAGES: usize = 52;

/// A page's place in the cache.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    gpa: u64,
    version: u32,
    /// Holds code. Otherwise free.
    live: bool,
    /// Looked up since the clock hand last passed.
    used: bool,
}

pub(crate) struct Cache {
    pages: Vec<Page>,
    /// `SLOTS` instructions a page; untouched parts cost no memory.
    code: Box<[Insn]>,
    /// The bytes that each page was decoded from.
    bytes: Box<[u8]>,
    by_gpa: HashMap<u64, u32>,
    /// Places of pages lately found, by a few bits of their address.
    recent: Vec<u32>,
    /// Where to look for the next page to evict.
    hand: usize,
    pub(crate) counts: Counts,
}

impl Cache {
    /// At most `size` bytes of decoded code, and not fewer than 1 MiB.
    pub(crate) fn new(size: usize) -> Self {
        let capacity = (size / (SLOTS * size_of::<Insn>() + PAGE)).max(MIN_PAGES);
        Self {
            pages: vec![Page::default(); capacity],
            code: bytemuck::zeroed_slice_box(capacity * SLOTS),
            bytes: bytemuck::zeroed_slice_box(capacity * PAGE),
            by_gpa: HashMap::new(),
            recent: vec![0; RECENT],
            hand: 0,
            counts: Counts::default(),
        }
    }

    /// The decoded instructions of a page, by half of their offset.
    #[inline]
    pub(crate) fn code(&self, index: usize) -> Option<&[Insn; SLOTS]> {
        self.code.as_chunks().0.get(index)
    }

    /// The place of a page, whose content is up to date with `id.version`. `buffer` is
    /// scratch space.
    #[inline]
    pub(crate) fn find<G: Guest>(
        &mut self,
        guest: &mut G,
        id: PageId,
        buffer: &mut [u8; PAGE],
    ) -> usize {
        let recent = (id.gpa / PAGE as u64) as usize % RECENT;
        let index = self.recent[recent] as usize;
        let page = &self.pages[index];
        if page.live && page.gpa == id.gpa && page.version == id.version {
            return index;
        }
        let index = self.find_slowly(guest, id, buffer);
        self.recent[recent] = index as u32;
        index
    }

    #[cold]
    #[inline(never)]
    fn find_slowly<G: Guest>(
        &mut self,
        guest: &mut G,
        id: PageId,
        buffer: &mut [u8; PAGE],
    ) -> usize {
        let known = self.by_gpa.get(&id.gpa).map(|i| *i as usize);
        if let Some(index) = known {
            self.pages[index].used = true;
            if self.pages[index].version == id.version {
                return index;
            }
        }
        let version = guest.read_code_page(id, buffer);
        let index = match known {
            Some(index) => {
                self.counts.revalidations += 1;
                self.forget_changed(index, buffer);
                index
            }
            None => {
                self.counts.pages += 1;
                self.evict(id.gpa)
            }
        };
        self.pages[index] = Page {
            gpa: id.gpa,
            version,
            live: true,
            used: true,
        };
        self.bytes[index * PAGE..][..PAGE].copy_from_slice(buffer);
        index
    }

    /// Forgets the instructions of which a byte differs from the new content.
    fn forget_changed(&mut self, index: usize, new: &[u8; PAGE]) {
        let old = &self.bytes[index * PAGE..][..PAGE];
        if old == new {
            return;
        }
        let code = &mut self.code[index * SLOTS..][..SLOTS];
        let halves = old.as_chunks::<2>().0.iter().zip(new.as_chunks::<2>().0);
        for (slot, _) in halves.enumerate().filter(|(_, (a, b))| a != b) {
            // An instruction that starts before may reach into the halfword.
            code[slot.saturating_sub(7)..=slot].fill(Insn::default());
        }
    }

    /// Makes room for a page: the first that was not looked up since the hand last
    /// passed (the clock algorithm).
    fn evict(&mut self, gpa: u64) -> usize {
        let capacity = self.pages.len();
        let index = loop {
            self.hand = (self.hand + 1) % capacity;
            let page = &mut self.pages[self.hand];
            if !std::mem::take(&mut page.used) {
                break self.hand;
            }
        };
        if self.pages[index].live {
            self.by_gpa.remove(&self.pages[index].gpa);
            self.code[index * SLOTS..][..SLOTS].fill(Insn::default());
        }
        self.by_gpa.insert(gpa, index as u32);
        index
    }

    /// Whether the instruction at `slot` is decoded.
    #[inline]
    pub(crate) fn is_decoded(&self, index: usize, slot: usize) -> bool {
        self.code(index)
            .and_then(|code| code.get(slot))
            .is_some_and(|insn| insn.op != 0)
    }

    /// Puts an instruction where one is decoded, or a default one to forget it.
    pub(crate) fn put(&mut self, index: usize, slot: usize, insn: Insn) {
        if let Some(place) = self.code.get_mut(index * SLOTS + slot) {
            *place = insn;
        }
    }

    /// Decodes the instruction at `slot` and some that follow. False where it goes on
    /// in the next page.
    #[cold]
    #[inline(never)]
    pub(crate) fn decode<G: Guest>(&mut self, guest: &G, index: usize, slot: usize) -> bool {
        let bytes = &self.bytes[index * PAGE..][..PAGE];
        let code = &mut self.code[index * SLOTS..][..SLOTS];
        let step = G::ALIGN as usize;
        let mut at = slot * step;
        for _ in 0..AHEAD {
            let decoded = bytes.get(at..).and_then(|bytes| guest.decode(bytes));
            let (Some(place), Some(insn)) = (code.get_mut(at / step), decoded) else {
                break;
            };
            *place = insn;
            at += G::length(insn) as usize;
        }
        at != slot * step
    }
}
