//! Accesses of a block that one look into the soft TLB serves: those off one register
//! while it stays the same, if they lie close together. Functions that save and restore
//! registers, and fields of a structure, are most of what programs access.
//!
//! The first access of a span *opens* it: it looks whether the whole span lies in one
//! page that the table has. If so the others need nothing but the host's address. If not
//! even after the access was done slowly, the interpreter executes the rest of the span.
//!
//! No two accesses of a span overlap. The compiler may take the second of two equal stores
//! for needless, or the second of two equal loads for the first, which the memory model
//! forbids where another hart stores in between (RVWMO's preserved program order, rules 1
//! and 2). It can tell that two are equal only within a span: elsewhere each has a call
//! beside it, after which memory may be another.

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

fn are_apart(a: Reach, b: Reach) -> bool {
    end(a) <= b.offset || end(b) <= a.offset
}

/// A span that further accesses may be taken into, and those that were. Never none.
struct Open {
    span: usize,
    taken: Vec<Reach>,
}

impl Open {
    fn is_like(&self, reach: Reach) -> bool {
        let first = self.taken[0];
        (first.base, first.stores) == (reach.base, reach.stores)
    }
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
        let mut open: Vec<Open> = Vec::new();
        for (place, placed) in (0..).zip(block) {
            let facts = &placed.facts;
            // Behind a store that opens a span the next instruction follows: it must have
            // done all that it does.
            let whole = |reach: &Reach| !reach.stores || facts.writes == 0;
            if let Some(reach) = facts.reach.filter(whole) {
                spans.add(&mut open, place, reach);
            }
            // What is called may change what an address leads to.
            let closed = if facts.calls { !0 } else { facts.writes };
            open.retain(|open| closed >> open.taken[0].base & 1 == 0);
        }
        // A single access looks for itself.
        spans.of.retain(|_, n| spans.all[*n].behind() > 0);
        spans
    }

    fn add(&mut self, open: &mut Vec<Open>, place: u64, reach: Reach) {
        let known = open.iter_mut().find(|open| open.is_like(reach));
        if let Some(known) = known
            && known.taken.iter().all(|taken| are_apart(*taken, reach))
            && self.all[known.span].take(place, reach)
        {
            known.taken.push(reach);
            self.of.insert(place, known.span);
            return;
        }
        open.retain(|open| !open.is_like(reach));
        open.push(Open {
            span: self.all.len(),
            taken: vec![reach],
        });
        self.of.insert(place, self.all.len());
        self.all.push(Span::new(place, reach));
    }

    /// The number of the span that the access at a place belongs to.
    pub(crate) fn at(&self, place: u64) -> Option<usize> {
        self.of.get(&place).copied()
    }

    /// Whether the access at a place relies on another's look.
    pub(crate) fn follows(&self, place: u64) -> bool {
        self.at(place).is_some_and(|n| self.all[n].opened != place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Facts;
    use isoform_core::{Insn, Size};

    fn access(base: u8, offset: i64, stores: bool) -> Facts {
        Facts {
            reach: Some(Reach {
                base,
                offset,
                size: Size::B8,
                stores,
            }),
            ..Facts::default()
        }
    }

    fn spans(block: &[Facts]) -> Spans {
        let placed = |(n, facts): (u64, &Facts)| Placed {
            at: 4 * n,
            insn: Insn::default(),
            length: 4,
            facts: *facts,
        };
        let block: Vec<_> = (0..).zip(block).map(placed).collect();
        Spans::of_block(&block)
    }

    /// Which accesses rely on another's look.
    fn following(block: &[Facts]) -> Vec<bool> {
        let spans = spans(block);
        (0..block.len() as u64).map(|n| spans.follows(n)).collect()
    }

    #[test]
    fn a_span_is_what_lies_close_together_off_one_register() {
        let far = LONGEST - 7;
        let cases = [
            ("close", [access(2, 8, true), access(2, -8, true)], true),
            (
                "as far as it may be",
                [access(2, 0, false), access(2, far - 1, false)],
                true,
            ),
            (
                "too far",
                [access(2, 0, false), access(2, far, false)],
                false,
            ),
            (
                "another register",
                [access(2, 0, true), access(3, 8, true)],
                false,
            ),
            (
                "a load and a store",
                [access(2, 0, true), access(2, 8, false)],
                false,
            ),
            (
                "the same place",
                [access(2, 0, true), access(2, 0, true)],
                false,
            ),
            (
                "overlapping",
                [access(2, 0, false), access(2, 7, false)],
                false,
            ),
            (
                "the end of all",
                [access(2, i64::MAX, false), access(2, i64::MIN, false)],
                false,
            ),
        ];
        for (name, block, follows) in cases {
            assert_eq!(following(&block), [false, follows], "{name}");
        }
    }

    #[test]
    fn a_span_ends_where_its_register_changes_or_something_is_called() {
        let writes = |r: u8| Facts {
            writes: 1 << r,
            ..Facts::default()
        };
        let calls = Facts {
            calls: true,
            ..Facts::default()
        };
        for (between, follows) in [(writes(2), false), (writes(3), true), (calls, false)] {
            let block = [access(2, 0, true), between, access(2, 8, true)];
            assert_eq!(following(&block), [false, false, follows]);
        }
        // A load of its own base is the last of its span.
        let last = Facts {
            writes: 1 << 2,
            ..access(2, 8, false)
        };
        let block = [access(2, 0, false), last, access(2, 16, false)];
        assert_eq!(following(&block), [false, true, false]);
        assert_eq!(spans(&block).all[0].bytes(), 16);
    }
}
