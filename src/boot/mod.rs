//! Booting: what goes into memory before the first instruction, and who answers
//! the calls a kernel makes to the firmware below it.

pub mod disk;
pub mod load;
pub mod sbi;
pub mod semihosting;
