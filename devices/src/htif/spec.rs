//! Words of the host-target interface, as bare-metal RISC-V programs and the proxy
//! kernel speak it. There is no normative document; the fields are those that the
//! programs agree on.

/// Device 0: system calls and exit.
pub const DEVICE_SYSCALL: u8 = 0;
/// Device 1: the console.
pub const DEVICE_CONSOLE: u8 = 1;

/// Console command: read a character.
pub const CONSOLE_READ: u8 = 0;
/// In the answer to [`CONSOLE_READ`]: bits 7:0 are a character.
pub const CONSOLE_HAS_INPUT: u64 = 1 << 8;
/// Console command: write a character.
pub const CONSOLE_WRITE: u8 = 1;

/// System call `write(fd, buffer, length)`, by its number on RISC-V Linux.
pub const SYS_WRITE: u64 = 64;
/// System call `exit(code)`.
pub const SYS_EXIT: u64 = 93;
/// What a system call not known here gives: minus ENOSYS.
pub const ENOSYS: u64 = (-38i64) as u64;
/// Minus EBADF.
pub const EBADF: u64 = (-9i64) as u64;
/// Minus EFAULT.
pub const EFAULT: u64 = (-14i64) as u64;

/// A word in `tohost`, or an answer in `fromhost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    /// An answer to `self`, with the low 48 bits of `payload`.
    pub fn answer(self, payload: u64) -> Self {
        Self(self.0 & !Self::PAYLOAD | payload & Self::PAYLOAD)
    }

    /// Bits 47:0.
    pub const PAYLOAD: u64 = (1 << 48) - 1;

    /// Bits 63:56: whom the word is for.
    pub fn device(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Bits 55:48: what is asked.
    pub fn command(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// Bits 47:0.
    pub fn payload(self) -> u64 {
        self.0 & Self::PAYLOAD
    }
}
