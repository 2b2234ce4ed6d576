//! A vCPU's table of jump targets: virtual address to unit, looked up by generated
//! code itself.

use isoform_core::translate::STAMP_MODE_BITS;

/// Entries of a table, direct-mapped by address.
pub(crate) const ENTRIES: usize = 1 << 13;

/// A unit, and where it is valid: reached at `pc` while the stamp is the same; or, in the
/// same mode and with the same content of code, while the table for fetches has `page` for
/// that address. So it outlives changes of the address space, flushes and other mappings.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Entry {
    pub(crate) pc: u64,
    /// `Translate::code_stamp` when it was last found valid; 0 where there is no unit.
    pub(crate) stamp: u64,
    /// `Translate::fetch_word`.
    pub(crate) page: u64,
    pub(crate) code: usize,
}

/// The table of one vCPU. Its address stays the same.
pub(crate) struct Jumps(Box<[Entry]>);

impl Jumps {
    pub(crate) fn new() -> Self {
        Self(vec![Entry::default(); ENTRIES].into())
    }

    /// Generated code writes to it, too.
    pub(crate) fn address(&mut self) -> usize {
        self.0.as_mut_ptr() as usize
    }

    fn index(pc: u64) -> usize {
        (pc / 2) as usize % ENTRIES
    }

    /// The code of the unit for what `wanted` says, code pages having changed before the
    /// stamp `since`.
    pub(crate) fn find(&mut self, wanted: &Entry, since: u64) -> Option<usize> {
        let entry = self.0.get_mut(Self::index(wanted.pc))?;
        let mode = (1 << STAMP_MODE_BITS) - 1;
        let same = (entry.pc, entry.page) == (wanted.pc, wanted.page)
            && (entry.stamp ^ wanted.stamp) & mode == 0
            && entry.stamp >= since;
        if same {
            entry.stamp = wanted.stamp;
        }
        same.then_some(entry.code)
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        if let Some(place) = self.0.get_mut(Self::index(entry.pc)) {
            *place = entry;
        }
    }

    /// No unit is known at an address.
    pub(crate) fn forget(&mut self, pc: u64) {
        if let Some(place) = self.0.get_mut(Self::index(pc)) {
            *place = Entry::default();
        }
    }

    /// No unit is valid any more.
    pub(crate) fn clear(&mut self) {
        self.0.fill(Entry::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_valid_until_what_it_rests_on_has_changed() {
        let mut jumps = Jumps::new();
        let at = |stamp, page| Entry {
            pc: 0,
            stamp,
            page,
            code: 7,
        };
        let (now, later, other_mode) = (0x12, 0x32, 0x33);
        assert_eq!(jumps.find(&at(0, 0), 1), None, "an empty one is none");
        jumps.insert(at(now, 5));
        assert_eq!(jumps.find(&at(now, 5), 1), Some(7));
        assert_eq!(jumps.find(&at(later, 6), 1), None, "it leads elsewhere");
        assert_eq!(jumps.find(&at(other_mode, 5), 1), None);
        assert_eq!(jumps.find(&at(later, 5), 0x20), None, "code has changed");
        assert_eq!(jumps.find(&at(later, 5), 0x10), Some(7), "another epoch");
        assert_eq!(jumps.find(&at(later, 5), 0x20), Some(7), "that was noted");
        let elsewhere = Entry {
            pc: 2 * ENTRIES as u64,
            ..at(later, 5)
        };
        assert_eq!(jumps.find(&elsewhere, 1), None);
        jumps.clear();
        assert_eq!(jumps.find(&at(later, 5), 1), None);
    }
}
