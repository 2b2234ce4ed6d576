//! How warm code is that has no unit: a vCPU's table, by guest-physical address.

use crate::code::Key;
use isoform_core::Guest;
use std::time::{Duration, Instant};

/// How long it takes warmth to halve: code that runs so seldom that it never gets warm
/// would repay its compilation only after a minute. An idle guest compiles nothing.
const COOLING: Duration = Duration::from_millis(250);
/// Entries of the table.
const PLACES: usize = 1 << 15;

/// A place where code begins: 16 bytes, in the interpreter's way as they are.
struct Place<G: Guest> {
    /// What the place in the table does not say of the address, of 48 bits of it; and the
    /// mode, where anything begins here.
    above: u32,
    mode: Option<G::Mode>,
    /// Instructions interpreted from here on, or more.
    warmth: u16,
    /// Low bits of [`crate::code::CodeCache::published`] when there was no unit.
    asked: u16,
    /// One is on its way, or will never come.
    awaited: bool,
    /// Whether code kept from another run was asked for.
    tried: bool,
    /// The baseline compiler makes nothing of it.
    plain: bool,
}

/// The table.
pub(crate) struct Places<G: Guest> {
    places: Box<[Place<G>]>,
    /// When all places were last made cooler.
    cooled: Instant,
}

impl<G: Guest> Places<G> {
    pub(crate) fn new() -> Self {
        let cold = || Place {
            above: 0,
            mode: None,
            warmth: 0,
            asked: 0,
            awaited: false,
            tried: false,
            plain: false,
        };
        Self {
            places: (0..PLACES).map(|_| cold()).collect(),
            cooled: Instant::now(),
        }
    }

    /// Halves the warmth of all places for each period that has passed, and says how many
    /// there were.
    pub(crate) fn cool(&mut self) -> u32 {
        let periods = self.cooled.elapsed().as_millis() / COOLING.as_millis();
        let halvings = periods.min(u128::from(u16::BITS) - 1) as u32;
        if halvings > 0 {
            self.cooled = Instant::now();
            self.places.iter_mut().for_each(|p| p.warmth >>= halvings);
        }
        halvings
    }

    fn place(&mut self, key: Key<G>) -> &mut Place<G> {
        &mut self.places[(key.0 / 2) as usize % PLACES]
    }

    /// What tells a place from others that share it.
    fn tag((gpa, mode): Key<G>) -> (u32, Option<G::Mode>) {
        ((gpa / 2 / PLACES as u64) as u32, Some(mode))
    }

    /// Whether there was no unit when so many had been published, and if so whether one
    /// was awaited.
    pub(crate) fn is_known(&mut self, key: Key<G>, published: u64) -> Option<bool> {
        let place = self.place(key);
        let known = (place.above, place.mode) == Self::tag(key) && place.asked == published as u16;
        known.then_some(place.awaited)
    }

    /// There is no unit while so many are published.
    pub(crate) fn note(&mut self, key: Key<G>, published: u64, awaited: bool) {
        let place = self.place(key);
        let (above, mode) = Self::tag(key);
        if (place.above, place.mode) != (above, mode) {
            (place.above, place.mode, place.warmth, place.tried) = (above, mode, 0, false);
        }
        (place.asked, place.awaited, place.plain) = (published as u16, awaited, false);
    }

    /// Whether it is time for the baseline compiler.
    pub(crate) fn is_tepid(&mut self, key: Key<G>, tepid: u32) -> bool {
        let place = self.place(key);
        u32::from(place.warmth) >= tepid && !place.plain
    }

    /// The baseline compiler makes nothing of it.
    pub(crate) fn note_plain(&mut self, key: Key<G>) {
        self.place(key).plain = true;
    }

    /// Whether code kept from another run is to be asked for, which is done once.
    pub(crate) fn tries_kept(&mut self, key: Key<G>) -> bool {
        let place = self.place(key);
        (place.above, place.mode) == Self::tag(key) && !std::mem::replace(&mut place.tried, true)
    }

    /// Whether it is time to ask for a unit, and if so whether only for one that is kept:
    /// `early` for those, once, and `warm` for any are how many instructions are
    /// interpreted from here before. Afterwards it is cold again.
    pub(crate) fn is_warm(&mut self, key: Key<G>, early: u32, warm: u32) -> Option<bool> {
        let place = self.place(key);
        let only_kept = !place.tried && early < warm;
        let is_warm = u32::from(place.warmth) >= if only_kept { early } else { warm };
        if is_warm {
            (place.warmth, place.tried) = (0, true);
            // Whoever comes next is to look.
            place.asked = place.asked.wrapping_sub(1);
        }
        is_warm.then_some(only_kept)
    }

    /// Whether so many instructions were interpreted from here while a unit is awaited; it
    /// then is cold again.
    pub(crate) fn is_hot(&mut self, key: Key<G>, warm: u32) -> bool {
        let place = self.place(key);
        let is_hot = u32::from(place.warmth) >= warm.max(1);
        if is_hot {
            place.warmth = 0;
        }
        is_hot
    }

    /// So many instructions were interpreted from here.
    pub(crate) fn warm_up(&mut self, key: Key<G>, instructions: u64) {
        let place = self.place(key);
        let more = u16::try_from(instructions).unwrap_or(u16::MAX);
        place.warmth = place.warmth.saturating_add(more);
    }
}
