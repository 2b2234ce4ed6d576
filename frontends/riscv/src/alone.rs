//! A hart that is connected to a bus and nothing else: for whoever looks at what one does
//! without a machine around it.

use crate::hart::Wiring;
use crate::lines::{Lines, Timebase, TimerService};
use isoform_core::{Attention, Clock};
use isoform_memory::{Bus, WriteEpoch};
use std::sync::Arc;

/// Time stands still at 0, and no timer runs.
struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
    fn epoch(&self) -> u64 {
        0
    }
}

impl TimerService for Still {
    fn arm(&self, _: usize, _: Option<u64>) {}
}

impl Wiring {
    /// For hart 0, the only one: time stands still at 0, nobody wakes it, and calls from S
    /// mode trap.
    pub fn alone(bus: Bus) -> Self {
        let lines = Arc::new(Lines::new(Arc::new(Attention::new())));
        Self {
            bus: Arc::new(bus),
            epoch: Arc::new(WriteEpoch::new([lines.attention().clone()])),
            lines,
            timebase: Timebase::new(Arc::new(Still), Arc::default()),
            timers: Arc::new(Still),
            firmware: false,
        }
    }
}
