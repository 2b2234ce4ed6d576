//! The interpreter: instruction semantics on plain integers.
//!
//! A guest's semantics are generic over `Ops`; here the values are `u64`, so that
//! rustc compiles each semantic to native code inside one loop over pre-decoded
//! instructions. It is the reference that other forms are compared with, and the
//! form that cold code runs in.
//!
//! * [`Interp`]: one per vCPU: the run loop and its cache of decoded pages.
//! * `Machine` (in `ops`): the vocabulary itself.
//! * `Cache`: decoded pages by guest-physical address.
//!
//! It knows no guest by name, and contains no `unsafe`.

mod cache;
mod ops;

use cache::Cache;
use isoform_core::{Cold, Exit, Guest, Insn};
use ops::{Machine, Stop};

/// Instructions between two looks at the attention word: some microseconds.
const UNIT: u64 = 512;

/// The interpreter of one vCPU.
pub struct Interp {
    cache: Cache,
    bytes: Box<[u8; 4096]>,
}

/// What the interpreter did, for the exit ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Code pages decoded for the first time.
    pub pages: u64,
    /// Code pages compared with memory because they may have been written.
    pub revalidations: u64,
}

impl<G: Guest> Cold<G> for Interp {
    fn piece(&mut self, guest: &mut G, limit: u64) -> u64 {
        self.unit::<_, true>(guest, limit.min(UNIT))
    }
}

impl Interp {
    /// An interpreter that keeps at most `code_cache` bytes of decoded code (at least
    /// 1 MiB; a page takes 20 KiB once it is full).
    pub fn new(code_cache: usize) -> Self {
        Self {
            cache: Cache::new(code_cache),
            bytes: Box::new([0; 4096]),
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
            Err(trap) => {
                guest.advance(1);
                guest.deliver(trap);
                return 1;
            }
        };
        let index = self.cache.find(guest, id, &mut self.bytes);
        let slot = ((guest.pc() & 0xfff) / G::ALIGN) as usize;
        if self.cache.is_decoded(index, slot) || self.cache.decode(guest, index, slot) {
            return self.execute::<_, ROUNDS>(guest, index, limit);
        }
        // It goes on in the next page, which may be another the next time.
        match guest.fetch_straddling() {
            Ok(insn) => {
                self.cache.put(index, slot, insn);
                let done = self.execute::<_, ROUNDS>(guest, index, 1);
                self.cache.put(index, slot, Insn::default());
                done
            }
            Err(trap) => {
                guest.advance(1);
                guest.deliver(trap);
                1
            }
        }
    }

    /// The hot loop, in the page that the program counter lies in.
    fn execute<G: Guest, const ROUNDS: bool>(
        &mut self,
        guest: &mut G,
        index: usize,
        limit: u64,
    ) -> u64 {
        let Some(code) = self.cache.code(index) else {
            return 0;
        };
        let mut m = Machine::<_, ROUNDS>::new(guest, limit);
        // Leaving the page and reaching its end are one check.
        while let Some(insn) = code.get(m.slot()) {
            match m.step(insn) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Stop) => {
                    // What is not decoded yet traps as what is no instruction does.
                    if insn.op != 0 {
                        m.trapped();
                    }
                    break;
                }
            }
        }
        m.finish()
    }
}
