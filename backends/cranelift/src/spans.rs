//! Accesses of a block that one look into the soft TLB serves: those off one register
//! while it stays the same, if they lie close together. Functions that save and restore
//! registers, and fields of a structure, are most of what programs access.
//!
//! The first access of a span *opens* it: it looks whether the whole span lies in one
//! page that the table has. If so the others need nothing but the host's address. If not
//! even after the access was done slowly, the interpreter executes the rest of the span.

use crate::region::Placed;
use crate::scan::Reach;
use cranelift_frontend::Variable;
use std::collections::BTreeMap;

/// Bytes of a span at most: the longer it is, the more often it crosses pages.
const LONGEST: i64 = 128;

/// Accesses off one register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// The first access, and the lowest and the end of what they access, from where the
    /// register leads.
    first: Reach,
    low: i64,
    end: i64,
    /// Places in the block of the first access and the last.
    opened: u64,
    closed: u64,
    /// The host's address of the lowest byte.
    pub(crate) host: Option<Variable>,
}

impl Span {
    fn new(place: u64, reach: Reach) -> Self {
        Self {
            first: reach,
            low: reach.offset,
            end: end(reach),
            opened: place,
            closed: place,
            host: None,
        }
    }

    /// Takes in another access, if it is near enough.
    fn take(&mut self, place: u64, reach: Reach) -> bool {
        let (low, end) = (self.low.min(reach.offset), self.end.max(end(reach)));
        let near = end.checked_sub(low).is_some_and(|bytes| bytes <= LONGEST);
        if near {
            (self.low, self.end, self.closed) = (low, end, place);
        }
        near
    }

    /// The register, and what to add to it for the lowest address.
    pub(crate) fn start(&self) -> (u8, i64) {
        (self.first.base, self.low)
    }

    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> i64 {
        self.end - self.low
    }

    /// Where in it an access off its register lies, in bytes.
    pub(crate) fn within(&self, reach: Reach) -> i32 {
        (reach.offset - self.low) as i32
    }

    /// Instructions behind the first access, up to the last.
    pub(crate) fn behind(&self) -> u64 {
        self.closed - self.opened
    }

    pub(crate) fn stores(&self) -> bool {
        self.first.stores
    }
}

fn end(reach: Reach) -> i64 {
    reach.offset.saturating_add(reach.size.bytes() as i64)
}

/// The spans of a block.
#[derive(Default)]
pub(crate) struct Spans {
    pub(crate) all: Vec<Span>,
    /// That of an access, by its place in the block.
    of: BTreeMap<u64, usize>,
}

impl Spans {
    pub(crate) fn of_block(block: &[Placed]) -> Self {
        let mut spans = Self::default();
        let mut open: Vec<usize> = Vec::new();
        for (place, placed) in (0..).zip(block) {
            if let Some(reach) = placed.facts.reach {
                spans.add(&mut open, place, reach);
            }
            // What is called may change what an address leads to.
            let closed = if placed.facts.calls {
                !0
            } else {
                placed.facts.writes
            };
            open.retain(|n| closed >> spans.all[*n].first.base & 1 == 0);
        }
        // A single access looks for itself.
        spans.of.retain(|_, n| spans.all[*n].behind() > 0);
        spans
    }

    fn add(&mut self, open: &mut Vec<usize>, place: u64, reach: Reach) {
        let same = |span: &Span| (span.first.base, span.first.stores) == (reach.base, reach.stores);
        let known = open.iter().copied().find(|n| same(&self.all[*n]));
        if let Some(n) = known
            && self.all[n].take(place, reach)
        {
            self.of.insert(place, n);
            return;
        }
        open.retain(|n| Some(*n) != known);
        open.push(self.all.len());
        self.of.insert(place, self.all.len());
        self.all.push(Span::new(place, reach));
    }

    /// The number of the span that the access at a place belongs to.
    pub(crate) fn at(&self, place: u64) -> Option<usize> {
        self.of.get(&place).copied()
    }
}
