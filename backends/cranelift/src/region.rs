//! Which code is translated together: a small region of one page, from its entry
//! along branches and jumps that stay in the page.

use crate::code::PAGE;
use crate::scan::{Facts, Flow, scan};
use isoform_core::attention::CALM;
use isoform_core::{Guest, Insn};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How large a region may be.
#[derive(Clone, Copy)]
struct Limits {
    insns: usize,
    blocks: usize,
}

/// Code without loops is run seldom for what it costs to compile: less of it is compiled
/// that never runs, and more of it is there sooner. (Measured as the boot of a kernel.)
const STRAIGHT: Limits = Limits {
    insns: 40,
    blocks: 6,
};
/// Loops; still larger regions have long live ranges, and lose.
const LOOP: Limits = Limits {
    insns: 80,
    blocks: 12,
};

// A way ahead is never longer than what a way round asks to be left.
const _: () = assert!(LOOP.insns <= CALM as usize && STRAIGHT.insns <= LOOP.insns);

/// Registers that loops in each other use together at most, where the inner one's unit has
/// them all: with more it would have its own in memory, and is a unit by itself. (Measured
/// on integer loops: with 13 some take a third longer; with 7 others do, a tenth.)
const LIGHT: u32 = 10;

/// An instruction in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// Offset in the page.
    pub(crate) at: u64,
    pub(crate) insn: Insn,
    pub(crate) length: u64,
    pub(crate) facts: Facts,
}

impl Placed {
    /// Offsets at which control may go on, those beyond the page among them.
    pub(crate) fn successors(&self) -> impl Iterator<Item = u64> + use<> {
        let next = self.at + self.length;
        let by = |offset: i64| self.at.wrapping_add(offset as u64);
        let (first, second) = match self.facts.flow {
            Flow::Next => (Some(next), None),
            Flow::Branch(offset) => (Some(by(offset)), Some(next)),
            Flow::Jump(offset) => (Some(by(offset)), None),
            Flow::Indirect | Flow::Leave | Flow::Interpret => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// Whether it begins a block elsewhere in the region. A call leads out of it.
    fn branches(&self) -> bool {
        match self.facts.flow {
            Flow::Branch(_) => true,
            Flow::Jump(_) => self.facts.writes == 0,
            _ => false,
        }
    }
}

/// Instructions that are executed one after the other. Only the last may go elsewhere.
pub(crate) type Block = Vec<Placed>;

/// A region.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Offset in the page at which it is entered.
    pub(crate) entry: u64,
    /// Its blocks by their offsets. None is empty.
    pub(crate) blocks: BTreeMap<u64, Block>,
    /// Accesses may share a look into the soft TLB ([`crate::spans`]).
    pub(crate) shares: bool,
}

impl Region {
    /// The blocks that are gone back to.
    fn heads(&self) -> BTreeSet<u64> {
        let last = self.blocks.values().filter_map(|block| block.last());
        let back = last.flat_map(|p| targets(p).filter(|to| *to <= p.at));
        back.filter(|to| self.blocks.contains_key(to)).collect()
    }

    /// Whether control can come back to a block of it within it.
    pub(crate) fn loops(&self) -> bool {
        !self.heads().is_empty()
    }

    /// What control goes round in: of the blocks at `start` and beyond, those from which it
    /// comes back to the entry through such blocks. Empty where the entry is none of them.
    fn loop_from(&self, start: u64) -> Region {
        let mut back = BTreeSet::new();
        let mut grown = true;
        while std::mem::take(&mut grown) {
            for (at, block) in self.blocks.range(start..) {
                let comes_back = |to: &u64| *to == self.entry || back.contains(to);
                let last = block.last().into_iter();
                if last.flat_map(Placed::successors).any(|to| comes_back(&to)) {
                    grown |= back.insert(*at);
                }
            }
        }
        let mut blocks = BTreeMap::new();
        let mut ahead = vec![self.entry];
        while let Some(at) = ahead.pop() {
            if let Some(block) = self.blocks.get(&at).filter(|_| back.contains(&at))
                && blocks.insert(at, block.clone()).is_none()
            {
                ahead.extend(block.last().into_iter().flat_map(Placed::successors));
            }
        }
        Region {
            entry: self.entry,
            blocks,
            shares: self.shares,
        }
    }

    /// Integer registers that it reads or writes, a bit each. Never bit 0.
    pub(crate) fn registers(&self) -> u32 {
        let all = self.blocks.values().flatten();
        all.fold(0, |used, p| used | p.facts.reads | p.facts.writes) & !1
    }

    /// Whether the host has registers enough for all that are used.
    fn is_light(&self) -> bool {
        self.registers().count_ones() <= LIGHT
    }

    /// Integer registers whose values at the entry are read in it, a bit each.
    pub(crate) fn needs(&self) -> u32 {
        let mut needs: BTreeMap<u64, u32> = BTreeMap::new();
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for (at, block) in self.blocks.iter().rev() {
                let next = block.last().into_iter().flat_map(Placed::successors);
                let behind = next
                    .filter_map(|to| needs.get(&to))
                    .fold(0, |all, n| all | n);
                let facts = block.iter().rev().map(|p| p.facts);
                let here = facts.fold(behind, |after, f| after & !f.writes | f.reads);
                changed |= needs.insert(*at, here) != Some(here);
            }
        }
        needs.get(&self.entry).copied().unwrap_or(0)
    }

    /// For each block, how many instructions there are on the longest way from its start
    /// to where the region is left, or goes back to a block that lies before.
    pub(crate) fn ahead(&self) -> BTreeMap<u64, i64> {
        let mut ahead = BTreeMap::new();
        for (at, block) in self.blocks.iter().rev() {
            // What comes later is known already.
            let next = block.last().into_iter().flat_map(Placed::successors);
            let longest = next.filter_map(|to| ahead.get(&to).copied()).max();
            ahead.insert(*at, block.len() as i64 + longest.unwrap_or(0));
        }
        ahead
    }

    /// How many instructions it has.
    pub(crate) fn instructions(&self) -> usize {
        self.blocks.values().map(Vec::len).sum()
    }

    /// The bytes of the page that it was made from.
    pub(crate) fn extent(&self) -> (usize, usize) {
        let placed = || self.blocks.values().flatten();
        let start = placed().map(|p| p.at).min().unwrap_or(0);
        let end = placed().map(|p| p.at + p.length).max().unwrap_or(0);
        (start as usize, (end as usize).min(PAGE))
    }
}

/// Finds the region that is entered at offset `entry` of a page with this content, in
/// which units are entered at the offsets `others`, with accesses that share looks if it
/// `shares`. `None` where there is nothing to translate.
pub(crate) fn find<G: Guest>(
    guest: &G,
    bytes: &[u8; PAGE],
    entry: u64,
    others: &BTreeSet<u64>,
    shares: bool,
) -> Option<Region> {
    let region = choose(guest, bytes, entry, others)?;
    Some(Region { shares, ..region })
}

/// The blocks of the region that [`find`] gives.
fn choose<G: Guest>(
    guest: &G,
    bytes: &[u8; PAGE],
    entry: u64,
    others: &BTreeSet<u64>,
) -> Option<Region> {
    let around = collect(guest, bytes, entry, LOOP, &BTreeSet::new())?;
    let mut heads = around.heads();
    if heads.remove(&entry) {
        let (nest, own) = (around.loop_from(0), around.loop_from(entry));
        return Some(match nest.is_light() || own.blocks.is_empty() {
            true => nest,
            false => own,
        });
    }
    // What has a unit is jumped to, which costs little; in a loop it would cost each time.
    heads.extend(others);
    collect(guest, bytes, entry, STRAIGHT, &heads)
}

/// The region that is entered at offset `entry`, but for what is at the offsets `without`.
fn collect<G: Guest>(
    guest: &G,
    bytes: &[u8; PAGE],
    entry: u64,
    limits: Limits,
    without: &BTreeSet<u64>,
) -> Option<Region> {
    let mode = guest.mode();
    let mut decoded: BTreeMap<u64, Placed> = BTreeMap::new();
    let mut leaders = BTreeSet::new();
    let mut ahead = VecDeque::from([entry]);
    let is_left = |at| at != entry && without.contains(&at);
    while let Some(leader) = ahead.pop_front() {
        let full = leaders.len() >= limits.blocks || decoded.len() >= limits.insns;
        if full || is_left(leader) || !leaders.insert(leader) {
            continue;
        }
        let mut at = leader;
        while decoded.len() < limits.insns && !decoded.contains_key(&at) && !is_left(at) {
            let Some(placed) = decode(guest, mode, bytes, at) else {
                break;
            };
            decoded.insert(at, placed);
            ahead.extend(targets(&placed));
            at += placed.length;
            if placed.facts.flow != Flow::Next {
                break;
            }
        }
        // Where one way runs into another a block begins, or it would be there twice.
        if decoded.contains_key(&at) && at != leader {
            leaders.insert(at);
        }
    }
    let blocks = cut(&decoded, &leaders);
    blocks.contains_key(&entry).then_some(Region {
        entry,
        blocks,
        shares: true,
    })
}

/// The instruction at an offset of a page; `None` where the interpreter is to execute it.
pub(crate) fn decode<G: Guest>(guest: &G, mode: G::Mode, bytes: &[u8], at: u64) -> Option<Placed> {
    let insn = guest.decode(bytes.get(at as usize..)?)?;
    let facts = scan::<G>(mode, insn);
    (facts.flow != Flow::Interpret).then(|| Placed {
        at,
        insn,
        length: G::length(insn),
        facts,
    })
}

/// Where an instruction leads in the region.
fn targets(placed: &Placed) -> impl Iterator<Item = u64> + use<> {
    let branches = placed.branches();
    placed
        .successors()
        .filter(move |to| branches && *to < PAGE as u64)
}

/// Cuts what was decoded into blocks at the leaders.
fn cut(decoded: &BTreeMap<u64, Placed>, leaders: &BTreeSet<u64>) -> BTreeMap<u64, Block> {
    let block = |leader: &u64| {
        let mut block = Block::new();
        let mut at = *leader;
        while let Some(placed) = decoded.get(&at) {
            block.push(*placed);
            at += placed.length;
            if placed.facts.flow != Flow::Next || leaders.contains(&at) {
                break;
            }
        }
        (!block.is_empty()).then_some((*leader, block))
    };
    leaders.iter().filter_map(block).collect()
}
