//! The machine's two clocks.

use isoform_core::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The host's clock, from the start of the machine.
#[derive(Debug)]
pub(super) struct HostClock {
    start: Instant,
    epoch: u64,
}

impl HostClock {
    /// Starts now.
    pub(super) fn new() -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        Self {
            start: Instant::now(),
            epoch,
        }
    }
}

impl Clock for HostClock {
    fn now(&self) -> u64 {
        // 64 bits of nanoseconds are 584 years.
        self.start.elapsed().as_nanos() as u64
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Time that advances with instructions: a nanosecond each, whichever hart executes
/// it, and to the next deadline when all harts wait.
#[derive(Debug, Default)]
pub(super) struct InsnClock {
    now: AtomicU64,
}

/// 2026-01-01, when all machines under the instruction clock are started.
const INSN_EPOCH: u64 = 1_767_225_600;

impl InsnClock {
    /// Nothing happens before `time`.
    pub(super) fn skip_to(&self, time: u64) {
        self.now.fetch_max(time, Ordering::Relaxed);
    }
}

impl Clock for InsnClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn epoch(&self) -> u64 {
        INSN_EPOCH
    }

    fn advance(&self, instructions: u64) {
        self.now.fetch_add(instructions, Ordering::Relaxed);
    }
}
