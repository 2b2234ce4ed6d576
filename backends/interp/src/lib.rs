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
use isoform_core::{Exit, Guest};
use ops::Machine;

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
            left -= self.unit(guest, left.min(UNIT));
            if let Some(exit) = guest.take_exit() {
                return exit;
            }
        }
    }

    /// Runs instructions of one page until it is left, a trap is taken, the unit ends
    /// or `limit` were attempted; gives how many were.
    fn unit<G: Guest>(&mut self, guest: &mut G, limit: u64) -> u64 {
        let id = match guest.fetch_page() {
            Ok(id) => id,
            Err(trap) => {
                guest.advance(1);
                guest.deliver(trap);
                return 1;
            }
        };
        let index = self.cache.find(guest, id, &mut self.bytes);
        let page = guest.pc() & !0xfff;
        let mut m = Machine::new(guest, limit);
        let Some(code) = self.cache.code(index) else {
            return 0;
        };
        loop {
            let slot = ((m.pc & 0xfff) / G::ALIGN) as usize;
            let Some(mut insn) = code.get(slot).copied() else {
                break;
            };
            if insn.op == 0 {
                m.sync();
                match self.cache.decode(m.guest, index, slot) {
                    Some(decoded) => insn = decoded,
                    // It goes on in the next page.
                    None => match m.guest.fetch_straddling() {
                        Ok(decoded) => insn = decoded,
                        Err(trap) => {
                            m.trapped(trap);
                            break;
                        }
                    },
                }
                m.step(insn);
                break;
            }
            if m.step(insn) || (m.pc ^ page) > 0xfff {
                break;
            }
        }
        m.finish()
    }
}
