//! The SiFive test finisher's one register, as on QEMU's `virt` board.

/// The command register.
pub const FINISH: u64 = 0;

/// Low half of a command: the test failed, its code is the upper half.
pub const FAIL: u16 = 0x3333;
/// Low half of a command: the test passed; power off.
pub const PASS: u16 = 0x5555;
/// Low half of a command: reset the machine.
pub const RESET: u16 = 0x7777;
