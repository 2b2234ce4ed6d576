//! A hart without a machine: it decodes, and says in which mode it would run.

use isoform_core::Guest;
use isoform_memory::{Bus, PAGE, Ram};
use isoform_riscv::{Cpu, Hart, Wiring, csr};
use std::sync::Arc;

/// In M mode, floating point on.
pub(super) fn bare() -> Hart {
    let base = super::ADDRESS;
    let ram = Ram::new(base, PAGE).expect("the host has a page");
    let wiring = Wiring::alone(Bus::new(Arc::new(ram)));
    let mut hart = Hart::new(0, Cpu::default(), base, wiring);
    hart.state.mstatus |= csr::mstatus::FS;
    hart.refresh();
    debug_assert!(!hart.mode().fp_off);
    hart
}
