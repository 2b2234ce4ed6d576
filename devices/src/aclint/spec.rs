//! Registers of the RISC-V ACLINT (Advanced Core Local Interruptor specification
//! 1.0-rc4), laid out as the SiFive CLINT for MTIMER and MSWI (its section 1.1).

/// MSIP of hart `n`, at `4 * n`: bit 0 is the machine software interrupt.
pub const MSIP: u64 = 0x0;
/// MTIMECMP of hart `n`, at `8 * n` from here.
pub const MTIMECMP: u64 = 0x4000;
/// The 64-bit timer.
pub const MTIME: u64 = 0xbff8;
/// First offset after MTIME.
pub const MTIME_END: u64 = 0xc000;
/// SETSSIP of hart `n`, at `4 * n` in the SSWI window.
pub const SETSSIP: u64 = 0x0;

/// Harts that one CLINT window has room for.
pub const MAX_HARTS: usize = 4095;

/// MTIME ticks a second on `virt`.
pub const TIMEBASE_HZ: u64 = 10_000_000;
/// Nanoseconds a tick.
pub const NANOS_PER_TICK: u64 = 1_000_000_000 / TIMEBASE_HZ;
