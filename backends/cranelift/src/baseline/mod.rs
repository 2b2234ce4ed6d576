//! The baseline compiler: the first form of host code that code takes, made by the vCPU
//! itself in some microseconds, a hundredth of what Cranelift takes. It spares code that
//! is executed some hundreds of times the interpreter, and Cranelift the code that is
//! never executed more often.
//!
//! A *block* is straight code from its entry along what is executed most likely: past
//! branches, which leave it where they are taken, and along jumps within the page. It is
//! compiled an instruction at a time, from the semantics, into templates: a value is in a
//! register from where it is computed to the end of its instruction, guest registers
//! from one instruction to the next ([`registers`]). What Cranelift's code calls, this
//! calls, too; and both jump to each other.
//!
//! A block counts how often it is entered. Once that is worth it, it is left for the run
//! loop, which asks Cranelift for a region in its place.

mod emit;
mod memory;
mod ops;
mod registers;

use crate::code::PAGE;
use crate::host::assembler::Mark;
use crate::object::Object;
use crate::region::{self, Placed, Region};
use crate::scan::Flow;
use isoform_core::attention::CALM;
use isoform_core::{Guest, Translate};
use std::collections::{BTreeMap, BTreeSet};

/// Instructions of a block at most. (Measured on the real programs: from 16 to 64 none is
/// faster than the noise tells; longer ones take more memory.)
const LONGEST: usize = 24;

// The attention word stands for that many, and more.
const _: () = assert!(LONGEST <= CALM as usize);

/// Words in which a vCPU counts entries of blocks. Blocks that share one are found to be
/// hot together.
pub(crate) const COUNTS: usize = 1 << 14;

/// The block that is entered at offset `entry` of a page with this content, up to where
/// regions are entered at the offsets `others`. `None` where there is none.
pub(crate) fn find<G: Guest>(
    guest: &G,
    bytes: &[u8; PAGE],
    entry: u64,
    others: &BTreeSet<u64>,
) -> Option<Region> {
    let mut block: Vec<Placed> = Vec::new();
    let mut at = entry;
    while block.len() < LONGEST
        && (at == entry || !others.contains(&at))
        && block.iter().all(|p| p.at != at)
        && let Some(placed) = region::decode(guest, guest.mode(), bytes, at)
    {
        block.push(placed);
        at = match placed.facts.flow {
            Flow::Next | Flow::Branch(_) => at + placed.length,
            // A call comes back to what follows it: that is a block of its own.
            Flow::Jump(offset) if placed.facts.writes == 0 => at.wrapping_add(offset as u64),
            _ => break,
        };
    }
    (!block.is_empty()).then(|| Region {
        entry,
        blocks: BTreeMap::from([(entry, block)]),
        shares: false,
    })
}

/// Compiles a block that [`find`] gave. It counts its entries in the word `count` of the
/// vCPU's counts. With the code comes whose it is. `None` where it needs more than there is.
pub(crate) fn compile<G: Translate>(
    block: &Region,
    mode: G::Mode,
    count: usize,
) -> Option<(Object, Vec<Mark>)> {
    let insns = block.blocks.get(&block.entry)?;
    emit::block::<G>(insns, mode, count)
}
