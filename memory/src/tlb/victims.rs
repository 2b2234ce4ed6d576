//! Entries that made room for others.

use super::pages::spread;
use super::{Entry, PAGE, empty, gpa_of};

/// Entries for data that made room for others: pages that share a place in the table take
/// turns without a walk. Each page has one place here, which others share with it than in
/// the table.
#[derive(Debug)]
pub(super) struct Victims([Entry; VICTIMS]);

const VICTIMS: usize = 128;
/// The tag of what a victim does not permit: no page begins there.
pub(super) const NO_PAGE: u64 = 1;

impl Victims {
    pub(super) const NONE: Self = Self([Entry::NONE; VICTIMS]);

    fn place(&mut self, page: u64) -> &mut Entry {
        &mut self.0[spread(page) % VICTIMS]
    }

    /// Takes in an entry that was in place `at` of its table, if it is one.
    pub(super) fn take_in(&mut self, mut entry: Entry, at: usize) {
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
    pub(super) fn give_back(&mut self, page: u64, write: bool, at: usize) -> Option<Entry> {
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
    pub(super) fn drop_page(&mut self, page: u64) {
        let place = self.place(page);
        if place.is_for(page) {
            *place = Entry::NONE;
        }
    }

    /// The same of all that `gone` names.
    pub(super) fn drop_where(&mut self, gone: impl Fn(&Entry) -> bool) {
        for victim in self.0.iter_mut().filter(|victim| gone(victim)) {
            *victim = Entry::NONE;
        }
    }

    /// Drops write permission for the guest-physical pages that `which` names.
    pub(super) fn drop_writes(&mut self, which: impl Fn(u64) -> bool) {
        for victim in &mut self.0 {
            if victim.write != NO_PAGE && which(gpa_of(victim.page)) {
                victim.write = NO_PAGE;
            }
        }
    }
}
