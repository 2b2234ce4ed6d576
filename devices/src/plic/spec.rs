//! Registers of the RISC-V PLIC (Platform-Level Interrupt Controller specification
//! 1.0, "Memory Map"), and the sizes of the instance on QEMU's `virt` board.

/// Priority of source `n`, at `4 * n`.
pub const PRIORITY: u64 = 0x0;
/// Pending bits, 32 sources a word.
pub const PENDING: u64 = 0x1000;
/// Enable bits of context 0, 32 sources a word.
pub const ENABLE: u64 = 0x2000;
/// Bytes from one context's enable bits to the next one's.
pub const ENABLE_STRIDE: u64 = 0x80;
/// Threshold of context 0.
pub const CONTEXT: u64 = 0x20_0000;
/// Bytes from one context's threshold to the next one's.
pub const CONTEXT_STRIDE: u64 = 0x1000;
/// Within a context: the priority threshold.
pub const THRESHOLD: u64 = 0;
/// Within a context: claim (read), complete (write).
pub const CLAIM_COMPLETE: u64 = 4;
/// End of the register map.
pub const END: u64 = 0x400_0000;

/// Implemented bits of priorities and thresholds: seven levels and "never".
pub const PRIORITY_MASK: u32 = 7;
/// Interrupt sources on `virt`, source 0 ("no interrupt") not counted.
pub const VIRT_SOURCES: u32 = 95;
/// Sources the register map has room for, source 0 counted.
pub const MAX_SOURCES: u32 = 1024;
/// Contexts the register map has room for.
pub const MAX_CONTEXTS: u64 = 15872;
