//! What other threads change of a hart: its pending interrupts and its attention.

use crate::imsic::Files;
use isoform_core::{Attention, Clock, IrqSink, Requests};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Interrupt numbers, which are also bit numbers in `mip` and `mie` (Priv. 3.1.9).
pub mod irq {
    /// Supervisor software.
    pub const SSI: u32 = 1;
    /// Machine software.
    pub const MSI: u32 = 3;
    /// Supervisor timer.
    pub const STI: u32 = 5;
    /// Machine timer.
    pub const MTI: u32 = 7;
    /// Supervisor external.
    pub const SEI: u32 = 9;
    /// Machine external.
    pub const MEI: u32 = 11;
}

/// Software's own copy of `mip.SEIP`: what reads is the disjunction with the line
/// (Priv. 3.1.9).
pub const SEIP_SOFTWARE: u64 = 1 << 32;

/// The pending interrupts of one hart. Devices set bits from any thread; the hart's
/// own CSR writes go through here as well, so that none is lost.
#[derive(Debug, Default)]
pub struct Lines {
    pending: AtomicU64,
    attention: Arc<Attention>,
    /// Where messages arrive, if the hart has an IMSIC.
    files: Option<Files>,
}

impl Lines {
    /// No interrupt pending.
    pub fn new(attention: Arc<Attention>) -> Self {
        Self {
            pending: AtomicU64::new(0),
            attention,
            files: None,
        }
    }

    /// No interrupt pending, and an IMSIC with a file for M mode and one for S mode.
    pub fn with_imsic(attention: Arc<Attention>) -> Self {
        Self {
            files: Some(Files::default()),
            ..Self::new(attention)
        }
    }

    pub(crate) fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// The raw word: `mip` bits and [`SEIP_SOFTWARE`].
    #[inline]
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::SeqCst)
    }

    /// Sets and clears bits of the raw word.
    pub fn change(&self, set: u64, clear: u64) {
        if clear != 0 {
            self.pending.fetch_and(!clear, Ordering::SeqCst);
        }
        if set != 0 && self.pending.fetch_or(set, Ordering::SeqCst) & set != set {
            self.attention.raise(Requests::INTERRUPT);
        }
    }

    /// The hart's attention word.
    pub fn attention(&self) -> &Arc<Attention> {
        &self.attention
    }
}

/// The input number is the interrupt number. The supervisor software interrupt is a
/// bit that software clears: a device sets it, and a falling line changes nothing
/// (ACLINT, "SSWI").
impl IrqSink for Lines {
    fn set(&self, input: u32, level: bool) {
        let bit = 1u64 << (input & 31);
        match level {
            true => self.change(bit, 0),
            false if input == irq::SSI => {}
            false => self.change(0, bit),
        }
    }
}

/// The machine's `time`: ticks of 100 ns (10 MHz, as QEMU's `virt` board).
#[derive(Clone)]
pub struct Timebase {
    clock: Arc<dyn Clock>,
    /// What writes to the memory-mapped `mtime` added, in ticks.
    offset: Arc<AtomicU64>,
}

/// Nanoseconds in a tick of `time`.
pub const NS_PER_TICK: u64 = 100;

impl Timebase {
    /// Time from a clock; `offset` is shared with the memory-mapped `mtime`.
    pub fn new(clock: Arc<dyn Clock>, offset: Arc<AtomicU64>) -> Self {
        Self { clock, offset }
    }

    /// `time`, in ticks.
    pub fn ticks(&self) -> u64 {
        (self.clock.now() / NS_PER_TICK).wrapping_add(self.offset.load(Ordering::Relaxed))
    }

    /// A hart has executed instructions (see [`Clock::advance`]).
    pub fn advance(&self, instructions: u64) {
        self.clock.advance(instructions);
    }

    /// The clock time at which `time` reaches `ticks`: 0 where it has, `None` where it
    /// never will. The same at each call before.
    pub fn deadline(&self, ticks: u64) -> Option<u64> {
        if self.ticks() >= ticks {
            return Some(0);
        }
        ticks
            .wrapping_sub(self.offset.load(Ordering::Relaxed))
            .checked_mul(NS_PER_TICK)
    }
}

/// Where a hart says when it wants to be woken for its timer.
pub trait TimerService: Send + Sync {
    /// Raise [`Requests::INTERRUPT`] on hart `hart` when the clock reaches `deadline`
    /// nanoseconds; replaces what was asked before, `None` asks for nothing.
    fn arm(&self, hart: usize, deadline: Option<u64>);
}
