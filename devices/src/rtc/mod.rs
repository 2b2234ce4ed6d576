//! Goldfish real-time clock with its alarm, as on QEMU's `virt` board.
//!
//! The time is the machine's epoch plus its clock plus an offset, which exists
//! because the guest may set the time. Reset keeps the offset, as a battery would.

pub mod spec;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use isoform_core::{BusFault, Clock, Device, IrqLine, RestoreError, Saved, Size};
use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The clock. See the [module documentation](self).
pub struct Rtc {
    // --- connections
    clock: Arc<dyn Clock>,
    irq: IrqLine,

    // --- guest-visible state
    /// What the guest added to the time by setting it, in nanoseconds, wrapping.
    offset: u64,
    /// The half latched by the last read of TIME_LOW.
    time_high: u32,
    alarm: u64,
    armed: bool,
    irq_enabled: bool,
    irq_pending: bool,

    // --- follows from that
    /// When the armed alarm fires, in clock nanoseconds; `None` where that is never.
    due: Option<u64>,
}

impl Rtc {
    /// A clock that shows the real time of `clock` and interrupts on `irq`.
    pub fn new(clock: Arc<dyn Clock>, irq: IrqLine) -> Self {
        Self {
            clock,
            irq,
            offset: 0,
            time_high: 0,
            alarm: 0,
            armed: false,
            irq_enabled: false,
            irq_pending: false,
            due: None,
        }
    }

    /// Nanoseconds since the Unix epoch when the clock shows `now`, without what the
    /// guest added.
    fn machine_time_at(&self, now: u64) -> u64 {
        self.clock
            .epoch()
            .wrapping_mul(NANOS_PER_SECOND)
            .wrapping_add(now)
    }

    fn time_at(&self, now: u64) -> u64 {
        self.machine_time_at(now).wrapping_add(self.offset)
    }

    fn time(&self) -> u64 {
        self.time_at(self.clock.now())
    }

    fn set_time(&mut self, time: u64) {
        self.offset = time.wrapping_sub(self.machine_time_at(self.clock.now()));
    }

    /// Fires the alarm if its time has come.
    fn sync(&mut self) {
        let now = self.clock.now();
        if self.armed && self.alarm <= self.time_at(now) {
            self.armed = false;
            self.irq_pending = true;
        }
        self.follow(now);
    }

    /// Computes the line from state, and when the alarm is to fire: at once, if its time
    /// has come.
    fn follow(&mut self, now: u64) {
        let wait = self.alarm.saturating_sub(self.time_at(now));
        self.due = now.checked_add(wait).filter(|_| self.armed);
        self.irq.set(self.irq_enabled && self.irq_pending);
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        match offset {
            spec::TIME_LOW => {
                let time = self.time();
                self.time_high = high(time);
                time as u32
            }
            spec::TIME_HIGH => self.time_high,
            spec::ALARM_LOW => self.alarm as u32,
            spec::ALARM_HIGH => high(self.alarm),
            spec::IRQ_ENABLED => u32::from(self.irq_enabled),
            spec::ALARM_STATUS => u32::from(self.armed),
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u64, value: u32) {
        match offset {
            spec::TIME_LOW => self.set_time(with_low(self.time(), value)),
            spec::TIME_HIGH => self.set_time(with_high(self.time(), value)),
            spec::ALARM_LOW => {
                self.alarm = with_low(self.alarm, value);
                self.armed = true;
            }
            spec::ALARM_HIGH => self.alarm = with_high(self.alarm, value),
            spec::IRQ_ENABLED => self.irq_enabled = value & 1 != 0,
            spec::CLEAR_ALARM => self.armed = false,
            spec::CLEAR_INTERRUPT => self.irq_pending = false,
            _ => {}
        }
    }
}

fn high(wide: u64) -> u32 {
    (wide >> 32) as u32
}

fn with_low(wide: u64, low: u32) -> u64 {
    wide & !u64::from(u32::MAX) | u64::from(low)
}

fn with_high(wide: u64, high: u32) -> u64 {
    wide & u64::from(u32::MAX) | u64::from(high) << 32
}

impl Device for Rtc {
    fn name(&self) -> &'static str {
        "rtc"
    }

    /// Only four-byte accesses are answered.
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        if size != Size::B4 {
            return Err(BusFault);
        }
        Ok(u64::from(self.read_register(offset)))
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        if size != Size::B4 {
            return Err(BusFault);
        }
        self.write_register(offset, value as u32);
        self.sync();
        Ok(())
    }

    fn reset(&mut self) {
        self.time_high = 0;
        self.alarm = 0;
        self.armed = false;
        self.irq_enabled = false;
        self.irq_pending = false;
        self.sync();
    }

    fn expire(&mut self) {
        self.sync();
    }

    fn deadline(&self) -> Option<u64> {
        self.due
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}

/// The guest-visible state of an [`Rtc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    offset: u64,
    time_high: u32,
    alarm: u64,
    armed: bool,
    irq_enabled: bool,
    irq_pending: bool,
}

impl Saved for Rtc {
    type State = RtcState;
    const NAME: &'static str = "rtc";
    const VERSION: u16 = 1;

    fn state(&self) -> RtcState {
        let &Self {
            clock: _,
            irq: _,
            offset,
            time_high,
            alarm,
            armed,
            irq_enabled,
            irq_pending,
            due: _,
        } = self;
        RtcState {
            offset,
            time_high,
            alarm,
            armed,
            irq_enabled,
            irq_pending,
        }
    }

    fn set_state(&mut self, state: RtcState) -> Result<(), RestoreError> {
        let RtcState {
            offset,
            time_high,
            alarm,
            armed,
            irq_enabled,
            irq_pending,
        } = state;
        self.offset = offset;
        self.time_high = time_high;
        self.alarm = alarm;
        self.armed = armed;
        self.irq_enabled = irq_enabled;
        self.irq_pending = irq_pending;
        // An alarm that came due meanwhile fires at its deadline: what was restored is
        // what was saved.
        self.follow(self.clock.now());
        Ok(())
    }
}
