//! The soft TLB: virtual page → host address, one per vCPU.
//!
//! An entry stands for a page that is wholly RAM and wholly of one permission; all
//! else misses and takes the frontend's slow path. A few address spaces are kept,
//! so that switching between them and back loses nothing.
//!
//! Invariant: an empty or flushed entry misses for all 2^64 addresses. Its tag is a
//! page that is looked up in another entry, so no address that is looked up here is
//! within a page of it: neither equality nor distance makes it a hit.

use crate::PAGE;
use crate::host::{cas128, fence_behind_atomic, has_cas128};
use crate::ram::{self, Ram};
use isoform_core::{AmoOp, FetchLayout, Size, TlbLayout};
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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

/// Entries for data that made room for others: pages that share a place in the table take
/// turns without a walk. Each page has one place here, which others share with it than in
/// the table.
#[derive(Debug)]
struct Victims([Entry; VICTIMS]);

const VICTIMS: usize = 128;
/// The tag of what a victim does not permit: no page begins there.
const NO_PAGE: u64 = 1;

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

impl Victims {
    const NONE: Self = Self([Entry::NONE; VICTIMS]);

    fn place(&mut self, page: u64) -> &mut Entry {
        let n = page / PAGE;
        &mut self.0[(n ^ (n / ENTRIES as u64)) as usize % VICTIMS]
    }

    /// Takes in an entry that was in place `at` of its table, if it is one.
    fn take_in(&mut self, mut entry: Entry, at: usize) {
        for tag in [&mut entry.read, &mut entry.write] {
            if *tag == empty(at) {
                *tag = NO_PAGE;
            }
        }
        // `NO_PAGE` is less than any page but 0, with which nothing is lost.
        let page = entry.read.max(entry.write) & !(PAGE - 1);
        if entry.is_for(page) {
            *self.place(page) = entry;
        }
    }

    /// Gives back the entry of a page that can be written to if `write`, for place `at`.
    fn give_back(&mut self, page: u64, write: bool, at: usize) -> Option<Entry> {
        let place = self.place(page);
        if (if write { place.write } else { place.read }) != page {
            return None;
        }
        let mut entry = std::mem::replace(place, Entry::NONE);
        for tag in [&mut entry.read, &mut entry.write] {
            if *tag == NO_PAGE {
                *tag = empty(at);
            }
        }
        Some(entry)
    }

    /// The entry of a page is not valid any more.
    fn drop_page(&mut self, page: u64) {
        let place = self.place(page);
        if place.is_for(page) {
            *place = Entry::NONE;
        }
    }
}

/// A set of pages that may hold more than was put in. Behind a pointer: spaces are
/// exchanged at each trap.
#[derive(Debug, Default)]
struct Pages(Box<[u64; Pages::BITS / 64]>);

impl Pages {
    const BITS: usize = 1 << 10;

    fn bit(address: u64) -> (usize, u64) {
        // Those that share an entry of a table differ above.
        let page = address / PAGE;
        let n = (page ^ (page / ENTRIES as u64)) as usize % Self::BITS;
        (n / 64, 1 << (n % 64))
    }

    fn add(&mut self, address: u64) {
        let (word, bit) = Self::bit(address);
        self.0[word] |= bit;
    }

    fn may_hold(&self, address: u64) -> bool {
        let (word, bit) = Self::bit(address);
        self.0[word] & bit != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn clear(&mut self) {
        self.0.fill(0);
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
            let entry = &self.data[data];
            if entry.read == page || entry.write == page {
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
        for victim in &mut self.victims.0 {
            if covers(victim.read, victim.page) || covers(victim.write, victim.page) {
                *victim = Entry::NONE;
            }
        }
        for (entry, none) in self.data.iter_mut().zip(&EMPTY_DATA) {
            if covers(entry.read, entry.page) || covers(entry.write, entry.page) {
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
        for victim in &mut self.victims.0 {
            if victim.write != NO_PAGE && which(gpa_of(victim.page)) {
                victim.write = NO_PAGE;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x8000_0000;

    fn tlb() -> Tlb {
        Tlb::new(Arc::new(Ram::new(BASE, 0x10_0000).expect("1 MiB")))
    }

    fn map(va: u64, gpa: u64, log_size: u8) -> Mapping {
        Mapping {
            va,
            gpa,
            log_size,
            read: true,
            write: true,
        }
    }

    /// Every tag value in use, and addresses around them.
    fn probes() -> impl Iterator<Item = u64> {
        let interesting = [
            0,
            1,
            PAGE,
            u64::MAX,
            empty(0),
            empty(ENTRIES - 1),
            1 << 38,
            1 << 63,
            !(PAGE - 1),
            BASE,
        ];
        interesting.into_iter().flat_map(|a| {
            (0..16).flat_map(move |i| [a.wrapping_add(i), a.wrapping_sub(i), a ^ (PAGE - 1 - i)])
        })
    }

    #[test]
    fn an_empty_tlb_misses_everywhere() {
        let mut t = tlb();
        let check = |t: &Tlb| {
            for va in probes() {
                for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
                    assert_eq!(t.load(va, size), None, "{va:#x}");
                    assert_eq!(t.store(va, size, 0), None, "{va:#x}");
                }
                assert_eq!(t.fetch(va), None, "{va:#x}");
            }
        };
        check(&t);
        probes().for_each(|va| t.insert(map(va, BASE, 12)));
        t.flush_all();
        check(&t);
        probes().for_each(|va| {
            t.insert(map(va, BASE, 12));
            t.flush_page(va, |_| true);
        });
        check(&t);
    }

    #[test]
    fn no_address_is_near_the_tag_of_its_own_empty_entry() {
        for va in probes().chain((0..ENTRIES as u64).map(|n| n * PAGE)) {
            assert!(va ^ EMPTY_DATA[index(va)].read >= PAGE, "{va:#x}");
            assert!(va ^ EMPTY_DATA[index(va)].write >= PAGE, "{va:#x}");
            assert!(va ^ EMPTY_FETCH[fetch_index(va)].tag >= PAGE, "{va:#x}");
        }
    }

    #[test]
    fn misaligned_and_crossing_accesses_miss() {
        let mut t = tlb();
        t.insert(map(0x5000, BASE, 12));
        t.insert(map(0x6000, BASE + PAGE, 12));
        assert_eq!(t.load(0x5ff8, Size::B8), Some(0));
        assert_eq!(t.load(0x5ffc, Size::B8), None);
        assert_eq!(t.load(0x5001, Size::B2), None);
        assert_eq!(t.load(0x5fff, Size::B1), Some(0));
    }

    #[test]
    fn what_is_not_ram_never_hits() {
        let mut t = tlb();
        t.insert(map(0x5000, BASE - PAGE, 12));
        t.insert(map(0x6000, BASE + 0x10_0000, 12));
        assert_eq!(t.load(0x5000, Size::B1), None);
        assert_eq!(t.load(0x6000, Size::B1), None);
    }

    #[test]
    fn a_superpage_is_dropped_whole() {
        let mut t = tlb();
        t.insert(map(0x20_0000, BASE, 21));
        t.insert(map(0x3f_f000, BASE + PAGE, 21));
        t.insert(map(0x40_0000, BASE + PAGE, 12));
        t.flush_page(0x30_0000, |_| true);
        assert_eq!(t.load(0x20_0000, Size::B1), None);
        assert_eq!(t.load(0x3f_f000, Size::B1), None);
        assert_eq!(t.load(0x40_0000, Size::B1), Some(0));
    }

    #[test]
    fn spaces_are_apart_and_kept() {
        let mut t = tlb();
        let id = |n| SpaceId { root: n, class: 0 };
        for n in 1..6 {
            t.switch(id(n));
            assert_eq!(t.load(0x5000, Size::B1), None);
            t.insert(map(0x5000, BASE + n * PAGE, 12));
            t.store(0x5000, Size::B1, n).expect("mapped");
        }
        for n in 1..6 {
            t.switch(id(n));
            assert_eq!(t.load(0x5000, Size::B1), Some(n));
        }
        for n in 6..40 {
            t.switch(id(n));
            assert_eq!(t.load(0x5000, Size::B1), None, "space {n} starts empty");
            t.insert(map(0x5000, BASE, 12));
        }
        t.flush_spaces(|s| s.root == 39);
        assert_eq!(t.load(0x5000, Size::B1), None);
    }

    #[test]
    fn pages_that_share_a_place_take_turns() {
        let mut t = tlb();
        let far = 0x5000 + ENTRIES as u64 * PAGE;
        t.insert(map(0x5000, BASE, 12));
        t.store(0x5000, Size::B1, 7).expect("mapped");
        t.insert(map(far, BASE + PAGE, 12));
        assert_eq!(t.load(0x5000, Size::B1), None);
        assert_eq!(t.recall(0x5008, true), Some(BASE + 8));
        assert_eq!(t.load(0x5000, Size::B1), Some(7));
        assert_eq!(t.load(far, Size::B1), None);
        // Rights are taken from those that made room, too, and so are the pages.
        t.ram.clone().code().track(1);
        t.drop_page_writes(BASE + PAGE, 0);
        assert_eq!(t.recall(far, true), None);
        assert_eq!(t.recall(far, false), Some(BASE + PAGE));
        t.flush_page(0x5000, |_| true);
        assert_eq!(t.recall(0x5000, false), None);
        t.insert(map(0x5000, BASE, 12));
        t.flush_spaces(|_| true);
        assert_eq!(t.recall(far, false), None);
        for va in [0, 1, 0x1000, u64::MAX] {
            assert_eq!(t.recall(va, false), None, "none is for no page");
        }
    }

    #[test]
    fn an_epoch_ends_where_a_known_fetch_may_lead_elsewhere() {
        let mut t = tlb();
        let here = SpaceId { root: 1, class: 1 };
        t.switch(here);
        let first = t.epoch();
        t.insert_fetch(0x5000, BASE, 12);
        t.flush_page(0x6000, |_| true);
        assert_eq!(t.epoch(), first, "nobody knew that page");
        t.switch(SpaceId { root: 2, class: 1 });
        assert!(t.epoch() > first);
        t.flush_page(0x5000, |space| space.root == 2);
        t.switch(here);
        assert_eq!(t.epoch(), first, "it comes back with the space");
        // The entry makes room for another.
        t.insert_fetch(0x5000 + FETCH_ENTRIES as u64 * PAGE, BASE, 12);
        t.flush_page(0x5000, |_| true);
        let second = t.epoch();
        assert!(second > first, "whoever knew that page may know it still");
        t.flush_page(0x5000, |_| true);
        assert_eq!(t.epoch(), second, "nobody does any more");
        t.insert_fetch(0x4000_0000, BASE, 30);
        t.flush_page(0x4020_0000, |_| true);
        let third = t.epoch();
        assert!(third > second, "a large page goes whole");
        t.flush_spaces(|_| true);
        let fourth = t.epoch();
        assert!(fourth > third);
        assert!(t.begin_epochs() > fourth && t.epoch() > fourth);
    }

    #[test]
    fn tracked_pages_are_not_writable() {
        let mut t = tlb();
        let ram = t.ram.clone();
        t.insert(map(0x5000, BASE, 12));
        t.insert(map(0x6000, BASE + PAGE, 12));
        ram.code().track(0);
        t.drop_page_writes(BASE + 0x2000, 0);
        assert_eq!(t.store(0x5000, Size::B1, 1), Some(()), "another page");
        t.drop_page_writes(BASE, 0);
        assert_eq!(t.store(0x5000, Size::B1, 1), None);
        ram.code().bump(0);
        t.insert(map(0x5000, BASE, 12));
        assert_eq!(t.store(0x5000, Size::B1, 0), Some(()));
        ram.code().track(0);
        t.drop_code_writes();
        assert_eq!(t.store(0x5000, Size::B1, 1), None);
        assert_eq!(t.load(0x5000, Size::B1), Some(0));
        assert_eq!(t.store(0x6000, Size::B1, 1), Some(()));
        t.insert(map(0x5000, BASE, 12));
        assert_eq!(t.store(0x5000, Size::B1, 1), None);
    }

    #[test]
    fn atomics_hit_ram() {
        let mut t = tlb();
        t.insert(map(0x5000, BASE, 12));
        assert_eq!(t.amo(AmoOp::Add, 0x5000, Size::B4, 5), Some(0));
        assert_eq!(t.amo(AmoOp::Min, 0x5000, Size::B4, u64::MAX), Some(5));
        assert_eq!(t.amo(AmoOp::Maxu, 0x5000, Size::B4, 0), Some(0xffff_ffff));
        assert_eq!(
            t.compare_exchange(0x5000, Size::B4, 0xffff_ffff, 3),
            Some(0xffff_ffff)
        );
        assert_eq!(t.load(0x5000, Size::B8), Some(3));
        if has_cas128() {
            assert_eq!(t.compare_exchange_128(0x5000, 3, 4 << 64), Some(3));
            assert_eq!(t.load(0x5008, Size::B8), Some(4));
            // Where either half differs, nothing is stored.
            for other in [1, 5 << 64] {
                let found = t.compare_exchange_128(0x5000, other, u128::MAX);
                assert_eq!(found, Some(4 << 64));
            }
            assert_eq!(t.load(0x5008, Size::B8), Some(4));
            assert_eq!(t.compare_exchange_128(0x5008, 3, 4 << 64), None);
        }
    }
}
