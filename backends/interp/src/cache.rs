//! Decoded code, by guest-physical lines: small pieces of pages, since most of the code
//! that is interpreted is run for some instructions here and some there.
//!
//! A line is decoded as far as it is run. It keeps a copy of the bytes that it was
//! decoded from: when its page's version says that it may have been written, the
//! copy is compared, and only what differs is forgotten. A page that mixes code and
//! data so costs a comparison a change, not a decoding.

use crate::Counts;
use isoform_core::{Guest, Insn, PageId};

pub(crate) const PAGE: usize = 4096;
/// Bytes of code in a line.
pub(crate) const LINE: usize = 512;
/// Slots are two bytes apart, the smallest alignment of instructions.
const SLOTS: usize = LINE / 2;
/// Bytes of the longest instruction of any guest.
const LONGEST: usize = 16;
/// Bytes of a line's copy: its last instruction goes on in the next line, at most.
const COPY: usize = LINE + LONGEST;
/// Instructions decoded at once, along the way that they would run.
const AHEAD: usize = 16;
/// Lines that one address may be kept in.
const WAYS: usize = 4;

/// What a line holds.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Where it begins; [`NOWHERE`] where it is free.
    gpa: u64,
    version: u32,
    /// When it was last looked up.
    used: u32,
}

/// Bytes that there are of a line and behind it in its page.
fn length(gpa: u64) -> usize {
    COPY.min(PAGE - gpa as usize % PAGE)
}

/// No line begins here.
const NOWHERE: u64 = 1;

/// Lines of which some bits of the address are the same.
type Set = [Line; WAYS];

pub(crate) struct Cache {
    /// As many as a power of two.
    sets: Box<[Set]>,
    /// `SLOTS` instructions a line; untouched parts cost no memory.
    code: Box<[Insn]>,
    /// The bytes that each line was decoded from.
    bytes: Box<[u8]>,
    /// Look-ups so far, wrapping.
    clock: u32,
    pub(crate) counts: Counts,
}

impl Cache {
    /// At most `size` bytes of decoded code, but a set of lines at least.
    pub(crate) fn new(size: usize) -> Self {
        let set = WAYS * (SLOTS * size_of::<Insn>() + COPY + size_of::<Line>());
        let sets = 1 << (size / set).max(1).ilog2();
        let free = Line {
            gpa: NOWHERE,
            version: 0,
            used: 0,
        };
        Self {
            sets: vec![[free; WAYS]; sets].into(),
            code: bytemuck::zeroed_slice_box(sets * WAYS * SLOTS),
            bytes: bytemuck::zeroed_slice_box(sets * WAYS * COPY),
            clock: 0,
            counts: Counts::default(),
        }
    }

    /// The decoded instructions of a line, by half of their offset.
    #[inline]
    pub(crate) fn code(&self, index: usize) -> Option<&[Insn; SLOTS]> {
        self.code.as_chunks().0.get(index)
    }

    /// The place of the line that holds an offset of a page, whose content is up to date
    /// with `id.version`.
    #[inline]
    pub(crate) fn find<G: Guest>(&mut self, guest: &mut G, id: PageId, offset: u64) -> usize {
        let gpa = id.gpa + offset / LINE as u64 * LINE as u64;
        let set = (gpa / LINE as u64) as usize & (self.sets.len() - 1);
        self.clock = self.clock.wrapping_add(1);
        for (way, line) in self.sets[set].iter_mut().enumerate() {
            if line.gpa == gpa && line.version == id.version {
                line.used = self.clock;
                return set * WAYS + way;
            }
        }
        self.read(guest, PageId { gpa, ..id }, set)
    }

    /// Reads a line that is not there, or may have changed.
    #[cold]
    #[inline(never)]
    fn read<G: Guest>(
        &mut self,
        guest: &mut G,
        PageId { gpa, version }: PageId,
        set: usize,
    ) -> usize {
        let offset = gpa % PAGE as u64;
        let page = PageId {
            gpa: gpa - offset,
            version,
        };
        let bytes = &mut [0; COPY][..length(gpa)];
        let version = guest.read_code(page, offset, bytes);
        let lines = &self.sets[set];
        let way = match lines.iter().position(|line| line.gpa == gpa) {
            Some(way) => {
                self.counts.revalidations += 1;
                self.forget_changed(set * WAYS + way, bytes);
                way
            }
            None => {
                self.counts.lines += 1;
                let unused = |line: &Line| self.clock.wrapping_sub(line.used);
                let oldest = (0..WAYS).max_by_key(|way| unused(&lines[*way]));
                let way = oldest.unwrap_or(0);
                let first = (set * WAYS + way) * SLOTS;
                self.code[first..][..SLOTS].fill(Insn::default());
                way
            }
        };
        self.sets[set][way] = Line {
            gpa,
            version,
            used: self.clock,
        };
        let index = set * WAYS + way;
        self.bytes[index * COPY..][..bytes.len()].copy_from_slice(bytes);
        index
    }

    /// Forgets the instructions of which a byte differs from the new content.
    fn forget_changed(&mut self, index: usize, new: &[u8]) {
        let old = &self.bytes[index * COPY..][..new.len()];
        if old == new {
            return;
        }
        let code = &mut self.code[index * SLOTS..][..SLOTS];
        let halves = old.as_chunks::<2>().0.iter().zip(new.as_chunks::<2>().0);
        for (slot, _) in halves.enumerate().filter(|(_, (a, b))| a != b) {
            // An instruction that starts before may reach into the halfword.
            let first = (slot + 1).saturating_sub(LONGEST / 2);
            code[first..SLOTS.min(slot + 1)].fill(Insn::default());
        }
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
        let gpa = self.sets[index / WAYS][index % WAYS].gpa;
        let bytes = &self.bytes[index * COPY..][..length(gpa)];
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
