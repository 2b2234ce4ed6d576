//! The soft TLB: virtual page → host address, one per vCPU.
//!
//! An entry stands for a page that is wholly RAM and wholly of one permission; all
//! else misses and takes the frontend's slow path. A few address spaces are kept,
//! so that switching between them and back loses nothing.
//!
//! Invariant: an empty or flushed entry misses for all 2^64 addresses. Its tag is a
//! page that is looked up in another entry, so no address that is looked up here is
//! within a page of it: neither equality nor distance makes it a hit.
//!
//! * `victims`: entries that made room for others.
//! * `pages`: sets of pages, by which work is spared.

mod pages;
#[cfg(test)]
mod tests;
mod victims;

use crate::PAGE;
use crate::host::{cas128, fence_behind_atomic, has_cas128};
use crate::ram::{self, Ram};
use isoform_core::{AmoOp, FetchLayout, Size, TlbLayout};
use pages::Pages;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use victims::{NO_PAGE, Victims};

/// Entries per address space, direct-mapped.
const ENTRIES: usize = 1024;
/// Fetch entries per address space.
const FETCH_ENTRIES: usize = 1024;
/// Address spaces kept.
const SPACES: usize = 16;

/// What makes two translations of one address different: the root of the tables,
/// and the class of access rights. Both are the frontend's to define.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpaceId {
    /// Root and address-space identifier (RISC-V: `satp`).
    pub root: u64,
    /// Privilege and what else changes rights.
    pub class: u8,
}

/// A translation that the frontend found.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    /// Any virtual address in the page.
    pub va: u64,
    /// Guest-physical address of the page.
    pub gpa: u64,
    /// log2 of the size of the mapping that this page is part of: 12 or more.
    pub log_size: u8,
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed and need no bookkeeping (dirty bits are set).
    pub write: bool,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Entry {
    /// Virtual page, or [`empty`].
    read: u64,
    /// Virtual page, or [`empty`].
    write: u64,
    /// Host address of the page minus its virtual address.
    addend: usize,
    /// Guest-physical page, and the log2 size of its mapping in the low bits.
    page: u64,
}

impl Entry {
    const NONE: Self = Self {
        read: NO_PAGE,
        write: NO_PAGE,
        addend: 0,
        page: 0,
    };

    fn is_for(&self, page: u64) -> bool {
        self.read == page || self.write == page
    }
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct FetchEntry {
    /// Virtual page, or [`empty`].
    tag: u64,
    /// As [`Entry::page`].
    page: u64,
}

/// The tag of an empty entry: a page whose addresses are looked up in the one beside.
#[inline(always)]
const fn empty(index: usize) -> u64 {
    (index as u64 ^ 1) * PAGE
}

const fn empty_data() -> [Entry; ENTRIES] {
    let none = Entry {
        read: 0,
        write: 0,
        addend: 0,
        page: 0,
    };
    let mut entries = [none; ENTRIES];
    let mut i = 0;
    while i < ENTRIES {
        entries[i].read = empty(i);
        entries[i].write = empty(i);
        i += 1;
    }
    entries
}

const fn empty_fetch() -> [FetchEntry; FETCH_ENTRIES] {
    let mut entries = [FetchEntry { tag: 0, page: 0 }; FETCH_ENTRIES];
    let mut i = 0;
    while i < FETCH_ENTRIES {
        entries[i].tag = empty(i);
        i += 1;
    }
    entries
}

static EMPTY_DATA: [Entry; ENTRIES] = empty_data();
static EMPTY_FETCH: [FetchEntry; FETCH_ENTRIES] = empty_fetch();

/// The guest-physical page in a word of [`Entry::page`].
#[inline(always)]
const fn gpa_of(page: u64) -> u64 {
    page & !(PAGE - 1)
}

/// The log2 of the mapping's size in a word of [`Entry::page`].
#[inline(always)]
const fn log_size_of(page: u64) -> u8 {
    (page & (PAGE - 1)) as u8
}

/// Which addresses may have entries that came from mappings larger than a page: a bit
/// for each of them by 2 MiB, or by 1 GiB for the largest. Others may share it.
#[derive(Debug, Default)]
struct Large {
    by_2m: [u64; 16],
    by_1g: u64,
}

impl Large {
    fn bit_2m(va: u64) -> (usize, u64) {
        let n = va >> 21;
        (n as usize / 64 % 16, 1 << (n % 64))
    }

    const fn bit_1g(va: u64) -> u64 {
        1 << (va >> 30 & 63)
    }

    fn note(&mut self, va: u64, log_size: u8) {
        match log_size {
            ..=12 => {}
            13..=21 => {
                let (word, bit) = Self::bit_2m(va);
                self.by_2m[word] |= bit;
            }
            22..=30 => self.by_1g |= Self::bit_1g(va),
            31.. => self.by_1g = u64::MAX,
        }
    }

    fn may_hold(&self, va: u64) -> bool {
        let (word, bit) = Self::bit_2m(va);
        self.by_2m[word] & bit != 0 || self.by_1g & Self::bit_1g(va) != 0
    }
}

#[derive(Debug)]
struct Space {
    id: SpaceId,
    used: u64,
    /// See [`Tlb::epoch`].
    epoch: u64,
    /// Virtual pages whose entries for fetches made room for others in this epoch.
    replaced: Pages,
    /// Guest-physical pages that entries may give write permission to.
    written: Pages,
    /// Where entries came from mappings larger than a page.
    large: Large,
    data: Box<[Entry; ENTRIES]>,
    victims: Box<Victims>,
    fetch: Box<[FetchEntry; FETCH_ENTRIES]>,
}

impl Space {
    fn new(id: SpaceId) -> Self {
        Self {
            id,
            used: 0,
            epoch: 0,
            replaced: Pages::default(),
            written: Pages::default(),
            large: Large::default(),
            data: Box::new(EMPTY_DATA),
            victims: Box::new(Victims::NONE),
            fetch: Box::new(EMPTY_FETCH),
        }
    }

    fn flush(&mut self) {
        *self.data = EMPTY_DATA;
        *self.victims = Victims::NONE;
        self.written.clear();
        *self.fetch = EMPTY_FETCH;
        self.large = Large::default();
    }

    /// Drops a page; whether a translation for fetches may have been known that is not any
    /// more.
    fn flush_page(&mut self, va: u64) -> bool {
        let (page, data, fetch) = (va & !(PAGE - 1), index(va), fetch_index(va));
        if !self.large.may_hold(va) {
            if self.data[data].is_for(page) {
                self.data[data] = EMPTY_DATA[data];
            }
            self.victims.drop_page(page);
            if self.fetch[fetch].tag == page {
                self.fetch[fetch] = EMPTY_FETCH[fetch];
                return true;
            }
            return self.replaced.may_hold(va);
        }
        let mut dropped = !self.replaced.is_empty();
        // Entries of a superpage stand for all of it. Empty ones may go, too.
        let covers = |tag: u64, page: u64| (tag ^ va) >> log_size_of(page) == 0;
        let gone = |e: &Entry| covers(e.read, e.page) || covers(e.write, e.page);
        self.victims.drop_where(gone);
        for (entry, none) in self.data.iter_mut().zip(&EMPTY_DATA) {
            if gone(entry) {
                *entry = *none;
            }
        }
        for (entry, none) in self.fetch.iter_mut().zip(&EMPTY_FETCH) {
            if covers(entry.tag, entry.page) && entry.tag != none.tag {
                *entry = *none;
                dropped = true;
            }
        }
        dropped
    }

    fn drop_writes(&mut self, which: impl Fn(u64) -> bool) {
        for (at, entry) in self.data.iter_mut().enumerate() {
            if entry.write != empty(at) && which(gpa_of(entry.page)) {
                entry.write = empty(at);
            }
        }
        self.victims.drop_writes(which);
    }

    fn insert_fetch(&mut self, va: u64, page: u64) {
        let entry = &mut self.fetch[fetch_index(va)];
        if entry.tag != EMPTY_FETCH[fetch_index(va)].tag {
            self.replaced.add(entry.tag);
        }
        *entry = FetchEntry {
            tag: va & !(PAGE - 1),
            page,
        };
    }
}

#[inline(always)]
fn index(va: u64) -> usize {
    (va / PAGE) as usize % ENTRIES
}

#[inline(always)]
fn fetch_index(va: u64) -> usize {
    (va / PAGE) as usize % FETCH_ENTRIES
}

/// What an access of `size` must equal to hit: the page, and the bits that make it
/// misaligned.
#[inline(always)]
fn probe(va: u64, size: Size) -> u64 {
    va & (!(PAGE - 1) | (size.bytes() - 1))
}

/// The soft TLB of one vCPU.
#[derive(Debug)]
pub struct Tlb {
    /// Keeps the mapping alive that addends point into.
    ram: Arc<Ram>,
    /// The space in use, out of `kept`.
    current: Space,
    kept: Vec<Space>,
    clock: u64,
    /// The latest of all epochs.
    epochs: u64,
    /// Pages that no entry gives write permission to while they are of this version.
    dropped: Box<[(u64, u32); DROPPED]>,
}

/// Places of [`Tlb::dropped`].
const DROPPED: usize = 1 << 10;

/// Begins another epoch in a space.
fn begin(space: &mut Space, epochs: &mut u64) {
    *epochs += 1;
    space.epoch = *epochs;
    space.replaced.clear();
}

impl Tlb {
    /// Empty.
    pub fn new(ram: Arc<Ram>) -> Self {
        Self {
            ram,
            current: Space::new(SpaceId::default()),
            kept: Vec::new(),
            clock: 0,
            epochs: 0,
            dropped: Box::new([(u64::MAX, 0); DROPPED]),
        }
    }

    /// Uses the translations of `id` from now on.
    pub fn switch(&mut self, id: SpaceId) {
        if self.current.id == id {
            return;
        }
        self.clock += 1;
        self.current.used = self.clock;
        if let Some(space) = self.kept.iter_mut().find(|s| s.id == id) {
            std::mem::swap(&mut self.current, space);
            return;
        }
        if self.kept.len() + 1 < SPACES {
            self.kept.push(Space::new(id));
        }
        let oldest = self.kept.iter_mut().min_by_key(|s| s.used);
        if let Some(space) = oldest {
            if space.id != id {
                space.flush();
                space.id = id;
            }
            begin(space, &mut self.epochs);
            std::mem::swap(&mut self.current, space);
        }
    }

    /// Where generated code finds the current tables, from the address of the TLB.
    pub const LAYOUT: TlbLayout = TlbLayout {
        table: offset_of!(Tlb, current) + offset_of!(Space, data),
        log_entries: ENTRIES.ilog2(),
        log_entry: size_of::<Entry>().ilog2(),
        read: offset_of!(Entry, read),
        write: offset_of!(Entry, write),
        addend: offset_of!(Entry, addend),
        fetch: FetchLayout {
            table: offset_of!(Tlb, current) + offset_of!(Space, fetch),
            log_entries: FETCH_ENTRIES.ilog2(),
            log_entry: size_of::<FetchEntry>().ilog2(),
            tag: offset_of!(FetchEntry, tag),
            page: offset_of!(FetchEntry, page),
        },
    };

    /// Host address of an access that hits for loads.
    #[inline(always)]
    fn hit_read(&self, va: u64, size: Size) -> Option<*mut u8> {
        let entry = &self.current.data[index(va)];
        let host = (va as usize).wrapping_add(entry.addend);
        (entry.read == probe(va, size)).then_some(host as *mut u8)
    }

    /// Host address of an access that hits for stores.
    #[inline(always)]
    fn hit_write(&self, va: u64, size: Size) -> Option<*mut u8> {
        let entry = &self.current.data[index(va)];
        let host = (va as usize).wrapping_add(entry.addend);
        (entry.write == probe(va, size)).then_some(host as *mut u8)
    }

    /// Loads, zero-extended; `None` on a miss or where misaligned.
    #[inline(always)]
    pub fn load(&self, va: u64, size: Size) -> Option<u64> {
        let host = self.hit_read(va, size)?;
        // SAFETY: a hit is a page in RAM that `self.ram` keeps mapped, and aligned.
        #[expect(unsafe_code, reason = "the fast path to guest RAM")]
        Some(unsafe { ram::load(host, size) })
    }

    /// Stores; `None` on a miss or where misaligned.
    #[inline(always)]
    pub fn store(&self, va: u64, size: Size, value: u64) -> Option<()> {
        let host = self.hit_write(va, size)?;
        // SAFETY: a hit is a page in RAM that `self.ram` keeps mapped, and aligned.
        #[expect(unsafe_code, reason = "the fast path to guest RAM")]
        unsafe {
            ram::store(host, size, value)
        };
        Some(())
    }

    /// Stores zeros to `bytes` bytes of one page, both multiples of 8; `None` on a miss.
    pub fn zero(&self, va: u64, bytes: u64) -> Option<()> {
        (0..bytes)
            .step_by(8)
            .try_for_each(|at| self.store(va + at, Size::B8, 0))
    }

    /// Compare-and-swap; the value found. `None` on a miss.
    #[inline]
    pub fn compare_exchange(&self, va: u64, size: Size, old: u64, new: u64) -> Option<u64> {
        let host = self.hit_write(va, size)?;
        // SAFETY: a hit is a page in RAM that `self.ram` keeps mapped, and aligned.
        #[expect(unsafe_code, reason = "the fast path to guest RAM")]
        Some(unsafe { ram::compare_exchange(host, size, old, new) })
    }

    /// Compare-and-swap of 16 bytes, 16-aligned (low half first); the value found.
    /// `None` on a miss.
    pub fn compare_exchange_128(&self, va: u64, old: u128, new: u128) -> Option<u128> {
        if !va.is_multiple_of(16) || !has_cas128() {
            return None;
        }
        let host = self.hit_write(va, Size::B8)?;
        // SAFETY: a hit is a page in RAM that `self.ram` keeps mapped; the address is
        // 16-aligned as host pages are; the CPU has the instruction.
        #[expect(unsafe_code, reason = "the fast path to guest RAM")]
        let found = unsafe { cas128(host, old, new) };
        fence_behind_atomic();
        Some(found)
    }

    /// Atomic read-modify-write of 4 or 8 bytes; the old value, zero-extended. `None`
    /// on a miss.
    #[inline]
    pub fn amo(&self, op: AmoOp, va: u64, size: Size, value: u64) -> Option<u64> {
        let host = self.hit_write(va, size)?;
        const O: Ordering = Ordering::SeqCst;
        macro_rules! amo {
            ($atomic:ty, $u:ty) => {{
                // SAFETY: a hit is a page in RAM that `self.ram` keeps mapped, and aligned.
                #[expect(unsafe_code, reason = "the fast path to guest RAM")]
                let cell = unsafe { <$atomic>::from_ptr(host.cast()) };
                let v = value as $u;
                match op {
                    AmoOp::Swap => cell.swap(v, O),
                    AmoOp::Add => cell.fetch_add(v, O),
                    AmoOp::Xor => cell.fetch_xor(v, O),
                    AmoOp::And => cell.fetch_and(v, O),
                    AmoOp::Or => cell.fetch_or(v, O),
                    AmoOp::Minu => cell.fetch_min(v, O),
                    AmoOp::Maxu => cell.fetch_max(v, O),
                    AmoOp::Min | AmoOp::Max => {
                        let apply = |old: $u| Some(op.apply(size, old.into(), value) as $u);
                        cell.fetch_update(O, O, apply).unwrap_or_else(|found| found)
                    }
                }
                .into()
            }};
        }
        let old = match size {
            Size::B4 => amo!(AtomicU32, u32),
            Size::B8 => amo!(AtomicU64, u64),
            Size::B1 | Size::B2 => return None,
        };
        fence_behind_atomic();
        Some(old)
    }

    /// Guest-physical page of a fetch, on a hit.
    #[inline]
    pub fn fetch(&self, va: u64) -> Option<u64> {
        self.fetch_word(va).map(gpa_of)
    }

    /// The word that the table holds for a fetch, on a hit: the guest-physical page,
    /// with the log2 of its mapping's size in the low bits.
    #[inline]
    pub fn fetch_word(&self, va: u64) -> Option<u64> {
        let entry = &self.current.fetch[fetch_index(va)];
        (entry.tag == va & !(PAGE - 1)).then_some(entry.page)
    }

    /// Keeps a translation for fetches.
    pub fn insert_fetch(&mut self, va: u64, gpa: u64, log_size: u8) {
        let space = &mut self.current;
        space.large.note(va, log_size);
        space.insert_fetch(va, gpa_of(gpa) | u64::from(log_size));
    }

    /// Keeps a translation for loads and stores, where the page is RAM. Pages that
    /// hold decoded code get no write permission.
    pub fn insert(&mut self, m: Mapping) {
        let gpa = m.gpa & !(PAGE - 1);
        let (Some(host), Some(page)) = (self.ram.host(gpa, PAGE), self.ram.page_index(gpa)) else {
            return;
        };
        let tag = m.va & !(PAGE - 1);
        let writable = m.write && !self.ram.code().is_tracked(page);
        let (space, at) = (&mut self.current, index(m.va));
        if writable {
            space.written.add(gpa);
        }
        space.large.note(m.va, m.log_size);
        let before = space.data[at];
        if !before.is_for(tag) {
            space.victims.take_in(before, at);
        }
        space.victims.drop_page(tag);
        space.data[at] = Entry {
            read: if m.read { tag } else { empty(at) },
            write: if writable { tag } else { empty(at) },
            addend: (host as usize).wrapping_sub(tag as usize),
            page: gpa | u64::from(m.log_size),
        };
    }

    /// The guest-physical address of a load, or of a store if `write`, that an entry has
    /// which made room for another; it takes its place again.
    pub fn recall(&mut self, va: u64, write: bool) -> Option<u64> {
        let (page, at) = (va & !(PAGE - 1), index(va));
        let space = &mut self.current;
        let entry = space.victims.give_back(page, write, at)?;
        let before = std::mem::replace(&mut space.data[at], entry);
        space.victims.take_in(before, at);
        Some(gpa_of(entry.page) | va & (PAGE - 1))
    }

    /// A number for all that the current space's table for fetches has told: the same only
    /// while each virtual page that it had leads where it did. Later ones are greater.
    pub fn epoch(&self) -> u64 {
        self.current.epoch
    }

    /// Begins another epoch in all spaces; gives the first of them.
    pub fn begin_epochs(&mut self) -> u64 {
        let first = self.epochs + 1;
        self.each_space(begin);
        first
    }

    /// Drops everything.
    pub fn flush_all(&mut self) {
        self.flush_spaces(|_| true);
    }

    /// Drops all spaces that `which` names.
    pub fn flush_spaces(&mut self, which: impl Fn(SpaceId) -> bool) {
        self.each_space(|space, epochs| {
            if which(space.id) {
                space.flush();
                begin(space, epochs);
            }
        });
    }

    /// Drops the mapping that holds `va` from all spaces that `which` names. A mapping
    /// larger than a page is dropped whole.
    pub fn flush_page(&mut self, va: u64, which: impl Fn(SpaceId) -> bool) {
        self.each_space(|space, epochs| {
            if which(space.id) && space.flush_page(va) {
                begin(space, epochs);
            }
        });
    }

    fn each_space(&mut self, mut act: impl FnMut(&mut Space, &mut u64)) {
        let epochs = &mut self.epochs;
        self.kept.iter_mut().for_each(|space| act(space, epochs));
        act(&mut self.current, epochs);
    }

    /// Drops write permission for pages that hold decoded code.
    pub fn drop_code_writes(&mut self) {
        let ram = self.ram.clone();
        let is_code = |gpa| {
            let page = ram.page_index(gpa);
            page.is_some_and(|page| ram.code().is_tracked(page))
        };
        self.each_space(|space, _| space.drop_writes(is_code));
    }

    /// Drops write permission for one guest-physical page, which is tracked as code and of
    /// this version: until that changes, no entry can get it back.
    pub fn drop_page_writes(&mut self, gpa: u64, version: u32) {
        let page = gpa & !(PAGE - 1);
        let dropped = &mut self.dropped[(page / PAGE) as usize % DROPPED];
        if std::mem::replace(dropped, (page, version)) == (page, version) {
            return;
        }
        self.each_space(|space, _| {
            if space.written.may_hold(page) {
                space.drop_writes(|entry| entry == page);
            }
        });
    }
}
