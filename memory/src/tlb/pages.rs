//! Sets of pages, as small as may be.

use super::{ENTRIES, PAGE};

/// The number of an address's page, mixed: of pages that share an entry of a table, most
/// differ in its low bits.
pub(super) fn spread(address: u64) -> usize {
    let page = address / PAGE;
    (page ^ (page / ENTRIES as u64)) as usize
}

/// A set of pages that may hold more than was put in. Behind a pointer: spaces are
/// exchanged at each trap.
#[derive(Debug, Default)]
pub(super) struct Pages(Box<[u64; Pages::BITS / 64]>);

impl Pages {
    const BITS: usize = 1 << 10;

    fn bit(address: u64) -> (usize, u64) {
        let n = spread(address) % Self::BITS;
        (n / 64, 1 << (n % 64))
    }

    pub(super) fn add(&mut self, address: u64) {
        let (word, bit) = Self::bit(address);
        self.0[word] |= bit;
    }

    pub(super) fn may_hold(&self, address: u64) -> bool {
        let (word, bit) = Self::bit(address);
        self.0[word] & bit != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }
}
