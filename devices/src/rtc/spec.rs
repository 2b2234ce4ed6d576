//! Registers of the Goldfish real-time clock (the Goldfish virtual hardware guide,
//! "Goldfish RTC"), all 32 bits wide.

/// Low half of the time in nanoseconds since the epoch; reading latches the high half.
pub const TIME_LOW: u64 = 0x00;
/// High half of the time, as latched.
pub const TIME_HIGH: u64 = 0x04;
/// Low half of the alarm; writing arms it.
pub const ALARM_LOW: u64 = 0x08;
/// High half of the alarm, written first.
pub const ALARM_HIGH: u64 = 0x0c;
/// Bit 0: the alarm interrupts.
pub const IRQ_ENABLED: u64 = 0x10;
/// Writing disarms the alarm.
pub const CLEAR_ALARM: u64 = 0x14;
/// Bit 0: the alarm is armed.
pub const ALARM_STATUS: u64 = 0x18;
/// Writing ends the interrupt.
pub const CLEAR_INTERRUPT: u64 = 0x1c;
