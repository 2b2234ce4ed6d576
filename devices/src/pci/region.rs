//! What lies behind a base address register, and where the guest has put it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::spec::BAR_MIN;

/// No address: nothing begins there, since a region's start is aligned.
const NOWHERE: u64 = u64::MAX;

/// A region of a function's registers. The function moves it, while vCPUs look whether
/// an address is inside; neither waits for the other.
#[derive(Debug)]
pub struct Region {
    bar: u8,
    size: u64,
    base: AtomicU64,
}

impl Region {
    /// A region behind BAR `bar`, decoded nowhere yet. Its size is a power of two of at
    /// least 16.
    pub(super) fn new(bar: u8, size: u64) -> Self {
        let size = size.max(BAR_MIN).next_power_of_two();
        Self {
            bar,
            size,
            base: AtomicU64::new(NOWHERE),
        }
    }

    /// The BAR.
    pub fn bar(&self) -> u8 {
        self.bar
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The offset of an address that it answers now.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let base = self.base.load(Ordering::Acquire);
        address
            .checked_sub(base)
            .filter(|offset| *offset < self.size)
    }

    /// Moves it, or has it answer nowhere.
    pub(super) fn decode(&self, base: Option<u64>) {
        self.base.store(base.unwrap_or(NOWHERE), Ordering::Release);
    }
}
