//! The interpreter: instruction semantics on plain integers.
//!
//! A guest's semantics are generic over `Ops`; here the values are `u64`, so that
//! rustc compiles each semantic to native code inside one loop over pre-decoded
//! instructions. It is the reference that other forms are compared with, and the
//! form that cold code runs in.
//!
//! * [`Interp`]: one per vCPU: the run loop and its cache of decoded code.
//! * `Machine` (in `ops`): the vocabulary itself.
//! * `Cache`: decoded lines by guest-physical address.
//!
//! It knows no guest by name, and contains no `unsafe`.

mod cache;
mod ops;

use cache::{Cache, LINE, PAGE};
use isoform_core::{Cold, Exit, Guest, Insn, PageId};
use ops::{Machine, SHORTEST, Stop};

/// Instructions between two looks at the attention word: some microseconds.
const UNIT: u64 = 512;

/// The interpreter of one vCPU.
pub struct Interp {
    cache: Cache,
}

/// What the interpreter did, for the exit ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines of code decoded anew.
    pub lines: u64,
    /// Lines of code compared with memory because they may have been written.
    pub revalidations: u64,
}

impl<G: Guest> Cold<G> for Interp {
    fn piece(&mut self, guest: &mut G, limit: u64) -> u64 {
        self.unit::<_, true>(guest, limit.min(UNIT))
    }
}

impl Interp {
    /// An interpreter that keeps at most `code_cache` bytes of decoded code, and at least half
    /// of that; a line of 512 bytes takes five times as much once it is full.
    pub fn new(code_cache: usize) -> Self {
        Self {
            cache: Cache::new(code_cache),
        }
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        self.cache.counts
    }

    /// Runs at most `budget` instructions, trapping ones counted.
    ///
    /// Exact: where it returns [`Exit::Budget`], `budget` instructions were attempted.
    pub fn run<G: Guest>(&mut self, guest: &mut G, budget: u64) -> Exit {
        let mut left = budget;
        loop {
            if guest.attention().is_set()
                && let Some(exit) = guest.serve_attention()
            {
                return exit;
            }
            if left == 0 {
                return Exit::Budget;
            }
            left -= self.unit::<_, false>(guest, left.min(UNIT));
            if let Some(exit) = guest.take_exit() {
                return exit;
            }
        }
    }

    /// Runs instructions of one page until it is left, a trap is taken, the unit ends
    /// or `limit` were attempted; gives how many were.
    ///
    /// `ROUNDS`: it also ends where the code may have come round ([`Cold::piece`]).
    fn unit<G: Guest, const ROUNDS: bool>(&mut self, guest: &mut G, limit: u64) -> u64 {
        let id = match guest.fetch_page() {
            Ok(id) => id,
            Err(trap) => return trapped(guest, trap),
        };
        let page = guest.pc() / PAGE as u64;
        let mut left = limit;
        loop {
            let (done, goes_on) = self.line::<_, ROUNDS>(guest, id, left);
            left -= done;
            let within = guest.pc() / PAGE as u64 == page;
            // Whoever leaves a line may have come round.
            let round = ROUNDS && limit - left >= SHORTEST;
            if !goes_on || left == 0 || !within || round {
                return limit - left;
            }
        }
    }

    /// Runs instructions of one line, in the page that the program counter lies in; gives
    /// how many were attempted, and whether the unit goes on in another line or page.
    fn line<G: Guest, const ROUNDS: bool>(
        &mut self,
        guest: &mut G,
        id: PageId,
        limit: u64,
    ) -> (u64, bool) {
        let offset = guest.pc() % PAGE as u64;
        let index = self.cache.find(guest, id, offset);
        let slot = (offset as usize % LINE) / G::ALIGN as usize;
        if self.cache.is_decoded(index, slot) || self.cache.decode(guest, index, slot) {
            return self.execute::<_, ROUNDS>(guest, index, limit);
        }
        // It goes on in the next page, which may be another the next time.
        match guest.fetch_straddling() {
            Ok(insn) => {
                self.cache.put(index, slot, insn);
                let (done, _) = self.execute::<_, ROUNDS>(guest, index, 1);
                self.cache.put(index, slot, Insn::default());
                (done, false)
            }
            Err(trap) => (trapped(guest, trap), false),
        }
    }

    /// The hot loop, in the line that the program counter lies in.
    fn execute<G: Guest, const ROUNDS: bool>(
        &mut self,
        guest: &mut G,
        index: usize,
        limit: u64,
    ) -> (u64, bool) {
        let Some(code) = self.cache.code(index) else {
            return (0, false);
        };
        let mut m = Machine::<_, ROUNDS>::new(guest, limit);
        // Leaving the line and reaching its end are one check.
        while let Some(insn) = code.get(m.slot()) {
            match m.step(insn) {
                Ok(true) => {}
                Ok(false) => return (m.finish(), false),
                Err(Stop) => {
                    // What is not decoded yet traps as what is no instruction does.
                    if insn.op != 0 {
                        m.trapped();
                    }
                    return (m.finish(), false);
                }
            }
        }
        (m.finish(), true)
    }
}

/// The instruction could not be fetched, and was attempted.
fn trapped<G: Guest>(guest: &mut G, trap: G::Trap) -> u64 {
    guest.advance(1);
    guest.deliver(trap);
    1
}
