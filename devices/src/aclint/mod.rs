//! Timers and inter-processor interrupts: ACLINT in two windows.
//!
//! * [`Aclint`]: MSWI and MTIMER in the layout of the older CLINT.
//! * [`Sswi`]: supervisor software interrupts.
//!
//! MTIME is the machine's clock plus an offset, which exists because the guest may
//! write MTIME. Harts read the same sum for their `time` CSR, so the offset is shared.

mod saved;
pub mod spec;
mod sswi;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use isoform_core::{BusFault, Clock, Device, IrqLine, RestoreError, Saved, Size};

use spec::{MSIP, MTIME, MTIME_END, MTIMECMP, NANOS_PER_TICK};

pub use saved::{AclintState, HartState};
pub use sswi::Sswi;

/// What leads to one hart.
pub struct HartLines {
    /// Its machine software interrupt (MSIP).
    pub software: IrqLine,
    /// Its machine timer interrupt (MTIP).
    pub timer: IrqLine,
}

/// MSWI and MTIMER. See the [module documentation](self).
pub struct Aclint {
    // --- connections
    clock: Arc<dyn Clock>,
    /// Called after MTIME was written: other comparators on it must look again.
    time_written: Box<dyn Fn() + Send>,
    lines: Vec<HartLines>,

    // --- guest-visible state
    /// What is added to the clock's ticks to give MTIME.
    offset: Arc<AtomicU64>,
    harts: Vec<Hart>,
}

#[derive(Clone, Copy, Debug)]
struct Hart {
    msip: bool,
    mtimecmp: u64,
    /// When MTIME reaches MTIMECMP, in clock nanoseconds; `None` where that is never,
    /// and while the timer line is high. `sync()` computes it along with the line: what
    /// comes due later stays due until the line has been driven.
    due: Option<u64>,
}

impl Hart {
    /// The largest comparand: no timer interrupt until the guest asks for one. (The
    /// specification leaves the reset value open.)
    const RESET: Self = Self {
        msip: false,
        mtimecmp: u64::MAX,
        due: None,
    };
}

impl Aclint {
    /// An ACLINT for the harts that `lines` lead to, hart 0 first (at most 4095).
    ///
    /// `offset`, in ticks, is shared with the harts' `time` CSR; the ACLINT is the
    /// only one to write it. `time_written` is called, with the device's lock held,
    /// after the guest wrote MTIME.
    pub fn new(
        clock: Arc<dyn Clock>,
        offset: Arc<AtomicU64>,
        time_written: Box<dyn Fn() + Send>,
        mut lines: Vec<HartLines>,
    ) -> Self {
        lines.truncate(spec::MAX_HARTS);
        Self {
            clock,
            time_written,
            offset,
            harts: vec![Hart::RESET; lines.len()],
            lines,
        }
    }

    fn ticks(&self) -> u64 {
        self.clock.now() / NANOS_PER_TICK
    }

    fn mtime(&self) -> u64 {
        self.ticks()
            .wrapping_add(self.offset.load(Ordering::SeqCst))
    }

    fn set_mtime(&mut self, value: u64) {
        self.offset
            .store(value.wrapping_sub(self.ticks()), Ordering::SeqCst);
        (self.time_written)();
    }

    /// Computes the lines, and when to look again, from state and time.
    fn sync(&mut self) {
        let ticks = self.ticks();
        let mtime = ticks.wrapping_add(self.offset.load(Ordering::SeqCst));
        for (hart, lines) in self.harts.iter_mut().zip(&self.lines) {
            let left = hart.mtimecmp.checked_sub(mtime).filter(|&left| left > 0);
            // Beyond the end of the clock is never.
            let due = left.and_then(|left| ticks.checked_add(left));
            hart.due = due.and_then(|due| due.checked_mul(NANOS_PER_TICK));
            lines.software.set(hart.msip);
            lines.timer.set(left.is_none());
        }
    }

    /// Reads the 64-bit register that `offset` lies in; `None` where there is none.
    fn read_wide(&self, offset: u64) -> Option<u64> {
        match offset {
            MTIMECMP..MTIME => self
                .harts
                .get(index(offset, MTIMECMP, 8))
                .map(|h| h.mtimecmp),
            MTIME..MTIME_END => Some(self.mtime()),
            _ => None,
        }
    }

    fn write_wide(&mut self, offset: u64, value: u64) {
        match offset {
            MTIMECMP..MTIME => {
                if let Some(hart) = self.harts.get_mut(index(offset, MTIMECMP, 8)) {
                    hart.mtimecmp = value;
                }
            }
            MTIME..MTIME_END => self.set_mtime(value),
            _ => {}
        }
    }
}

/// The number of the register at `offset`, in an array of `width`-byte registers.
fn index(offset: u64, base: u64, width: u64) -> usize {
    ((offset - base) / width) as usize
}

impl Device for Aclint {
    fn name(&self) -> &'static str {
        "aclint"
    }

    /// Four bytes anywhere, eight for the 64-bit registers. What is not there reads
    /// as zero.
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        match (offset, size) {
            (MSIP..MTIMECMP, Size::B4) => Ok(self
                .harts
                .get(index(offset, MSIP, 4))
                .map_or(0, |h| u64::from(h.msip))),
            (MTIMECMP.., Size::B8) => Ok(self.read_wide(offset).unwrap_or(0)),
            (MTIMECMP.., Size::B4) => {
                let wide = self.read_wide(offset).unwrap_or(0);
                Ok(size.truncate(wide >> (8 * (offset & 4))))
            }
            _ => Err(BusFault),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match (offset, size) {
            (MSIP..MTIMECMP, Size::B4) => {
                if let Some(hart) = self.harts.get_mut(index(offset, MSIP, 4)) {
                    hart.msip = value & 1 != 0;
                }
            }
            (MTIMECMP.., Size::B8) => self.write_wide(offset, value),
            (MTIMECMP.., Size::B4) => {
                let wide = self.read_wide(offset).unwrap_or(0);
                let shift = 8 * (offset & 4);
                let kept = wide & !(u64::from(u32::MAX) << shift);
                self.write_wide(offset, kept | size.truncate(value) << shift);
            }
            _ => return Err(BusFault),
        }
        self.sync();
        Ok(())
    }

    /// MTIME starts again at zero (ACLINT 2.1).
    fn reset(&mut self) {
        self.harts.fill(Hart::RESET);
        self.set_mtime(0);
        self.sync();
    }

    fn expire(&mut self) {
        self.sync();
    }

    /// The earliest time at which a timer line is to rise. It may have passed: the line
    /// rises when the device next looks at the clock.
    fn deadline(&self) -> Option<u64> {
        self.harts.iter().filter_map(|hart| hart.due).min()
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}
