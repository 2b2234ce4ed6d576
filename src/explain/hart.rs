//! A hart without a machine: it decodes, and says in which mode it would run.

use isoform_core::{Attention, Clock, Guest};
use isoform_memory::{Bus, PAGE, Ram, WriteEpoch};
use isoform_riscv::{Cpu, Hart, Lines, Timebase, TimerService, Wiring, csr};
use std::sync::Arc;

struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
    fn epoch(&self) -> u64 {
        0
    }
}

struct NoTimer;

impl TimerService for NoTimer {
    fn arm(&self, _: usize, _: Option<u64>) {}
}

/// In M mode, floating point on.
pub(super) fn bare() -> Hart {
    let base = super::ADDRESS;
    let ram = Ram::new(base, PAGE).expect("the host has a page");
    let lines = Arc::new(Lines::new(Arc::new(Attention::new())));
    let wiring = Wiring {
        bus: Arc::new(Bus::new(Arc::new(ram))),
        epoch: Arc::new(WriteEpoch::new([lines.attention().clone()])),
        lines,
        timebase: Timebase::new(Arc::new(Still), Arc::default()),
        timers: Arc::new(NoTimer),
        firmware: false,
    };
    let mut hart = Hart::new(0, Cpu::default(), base, wiring);
    hart.state.mstatus |= csr::mstatus::FS;
    hart.refresh();
    debug_assert!(!hart.mode().fp_off);
    hart
}
