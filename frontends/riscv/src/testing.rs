//! What tests of this crate share: a hart with a little RAM, a device that refuses, a
//! clock that stands still, and timers that only remember.

use crate::ext::Cpu;
use crate::hart::{Hart, Wiring};
use crate::lines::{Lines, NS_PER_TICK, Timebase, TimerService};
use crate::mmu::pte;
use crate::state::Priv;
use isoform_core::{BusFault, Clock, Device, Requests, RestoreError, Size};
use isoform_memory::{Bus, PAGE, Ram, WriteEpoch};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where RAM starts.
pub(crate) const BASE: u64 = 0x8000_0000;
/// How much there is.
pub(crate) const SIZE: u64 = 4 << 20;
/// Where [`Rig::new`] has the program counter.
pub(crate) const PC: u64 = BASE + 0x10_0000;

/// Where a page of registers is, all of which refuse.
pub(crate) const IO: u64 = 0x1000_0000;

struct Refuses;

impl Device for Refuses {
    fn name(&self) -> &'static str {
        "refuses"
    }
    fn read(&mut self, _: u64, _: Size) -> Result<u64, BusFault> {
        Err(BusFault)
    }
    fn write(&mut self, _: u64, _: Size, _: u64) -> Result<(), BusFault> {
        Err(BusFault)
    }
    fn reset(&mut self) {}
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// A clock that the test sets.
#[derive(Default)]
pub(crate) struct StillClock(AtomicU64);

impl Clock for StillClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn epoch(&self) -> u64 {
        0
    }
}

/// The last deadline asked for.
#[derive(Default)]
pub(crate) struct LastDeadline(Mutex<Option<u64>>);

impl TimerService for LastDeadline {
    fn arm(&self, _: usize, deadline: Option<u64>) {
        *self.0.lock().expect("no test panics with the lock") = deadline;
    }
}

/// A hart and what it is wired to.
pub(crate) struct Rig {
    pub(crate) hart: Hart,
    clock: Arc<StillClock>,
    timers: Arc<LastDeadline>,
}

impl Rig {
    /// The default CPU, in M mode.
    pub(crate) fn new() -> Self {
        Self::with(&[], false)
    }

    /// A CPU with extensions switched off, and perhaps the built-in firmware.
    pub(crate) fn with(off: &[&str], firmware: bool) -> Self {
        let cpu = Cpu::with(off.iter().map(|e| (*e, false))).expect("known extensions");
        Self::of(cpu, Lines::new(Arc::default()), firmware)
    }

    /// A hart with an IMSIC.
    pub(crate) fn with_imsic() -> Self {
        let lines = Lines::with_imsic(Arc::default());
        Self::of(Cpu::default().with_imsic(), lines, false)
    }

    fn of(cpu: Cpu, lines: Lines, firmware: bool) -> Self {
        let ram = Arc::new(Ram::new(BASE, SIZE).expect("a little RAM"));
        let mut bus = Bus::new(ram);
        bus.map("refuses", IO, PAGE, Arc::new(Mutex::new(Refuses)))
            .expect("nothing else is there");
        let lines = Arc::new(lines);
        let (clock, timers) = (
            Arc::new(StillClock::default()),
            Arc::new(LastDeadline::default()),
        );
        let wiring = Wiring {
            bus: Arc::new(bus),
            epoch: Arc::new(WriteEpoch::new([lines.attention().clone()])),
            lines,
            timebase: Timebase::new(clock.clone(), Arc::default()),
            timers: timers.clone(),
            firmware,
        };
        Self {
            hart: Hart::new(0, cpu, PC, wiring),
            clock,
            timers,
        }
    }

    /// In a mode, with all of memory open to it.
    pub(crate) fn enter(&mut self, privilege: Priv) {
        crate::pmp::open(&mut self.hart.state);
        self.hart.state.privilege = privilege;
        self.hart.refresh();
    }

    /// Sets `time`, in ticks.
    pub(crate) fn set_time(&self, ticks: u64) {
        self.clock.0.store(ticks * NS_PER_TICK, Ordering::Relaxed);
    }

    /// The deadline armed, in ticks of `time`.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.timers
            .0
            .lock()
            .expect("no test panics with the lock")
            .map(|ns| ns / NS_PER_TICK)
    }

    /// Takes what was asked of the run loop.
    pub(crate) fn requests(&self) -> Requests {
        self.hart.lines.attention().take()
    }

    /// Reads a word of RAM.
    pub(crate) fn peek(&self, gpa: u64) -> u64 {
        self.hart.ram.load(gpa, Size::B8).expect("aligned, in RAM")
    }

    /// Writes a word of RAM.
    pub(crate) fn poke(&self, gpa: u64, value: u64) {
        self.hart
            .ram
            .store(gpa, Size::B8, value)
            .expect("aligned, in RAM");
    }

    /// Writes the entry of `va` at `level` (0 is the last), making the tables above it
    /// as needed: the root is the first page of RAM, the table of level `n` for all
    /// addresses the page `n + 1`.
    pub(crate) fn map(&self, levels: u32, va: u64, level: u32, entry: u64) -> u64 {
        let table = |n: u32| {
            if n + 1 == levels {
                BASE
            } else {
                BASE + (u64::from(n) + 1) * PAGE
            }
        };
        let slot = |n: u32| table(n) + (va >> (12 + 9 * n) & 511) * 8;
        for n in level + 1..levels {
            self.poke(slot(n), pointer(table(n - 1)));
        }
        self.poke(slot(level), entry);
        slot(level)
    }
}

/// A page-table entry that leads to the next table.
pub(crate) fn pointer(table: u64) -> u64 {
    leaf(table, pte::V)
}

/// A page-table entry with these bits.
pub(crate) fn leaf(gpa: u64, bits: u64) -> u64 {
    gpa >> 12 << pte::PPN_SHIFT | bits
}

/// A small generator for reproducible random tests (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ b >> 31
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
