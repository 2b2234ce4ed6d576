//! A vCPU's table of jump targets: virtual address to unit, looked up by generated
//! code itself.

/// Entries of a table, direct-mapped by address.
pub(crate) const ENTRIES: usize = 1 << 14;

/// A unit, and where it is valid: reached at `pc` while the table for fetches has `page`
/// for that address, and in this context.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Entry {
    pub(crate) pc: u64,
    /// `Translate::code_context`; 0 where there is no unit.
    pub(crate) context: u64,
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

    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    fn index(pc: u64) -> usize {
        (pc / 2) as usize % ENTRIES
    }

    /// The code of the unit at an address.
    pub(crate) fn find(&self, pc: u64, context: u64, page: u64) -> Option<usize> {
        let entry = self.0.get(Self::index(pc))?;
        let same = entry.pc == pc && entry.context == context && entry.page == page;
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
    fn an_empty_entry_is_no_unit() {
        let mut jumps = Jumps::new();
        assert_eq!(jumps.find(0, 1, 0), None);
        jumps.insert(Entry {
            pc: 0,
            context: 1,
            page: 5,
            code: 7,
        });
        assert_eq!(jumps.find(0, 1, 5), Some(7));
        assert_eq!(jumps.find(0, 2, 5), None);
        assert_eq!(jumps.find(0, 1, 6), None);
        assert_eq!(jumps.find(2 * ENTRIES as u64, 1, 5), None);
        jumps.clear();
        assert_eq!(jumps.find(0, 1, 5), None);
    }
}
