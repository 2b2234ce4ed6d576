//! The RISC-V guest: RV64GC with M, S and U modes.
//!
//! * [`table`]: one line an instruction form; decoder, executor, disassembler and
//!   test generator come from it. What an instruction means is in `sem`.
//! * [`Hart`]: the canonical [`State`] with its view of the machine; `guest` is how
//!   backends see it, `translate` how generated code does, `access` its loads and stores.
//! * [`csr`], `system`: control and status registers, and instructions that act on
//!   the machine. [`trap`]: exceptions and interrupts. `mmu`, `pmp`: who may access
//!   what.
//! * [`generate`]: random instructions and programs, for tests. `alone`: what a hart is
//!   connected to where there is no machine.
//! * [`ext`]: which extensions a hart has, and how they are announced.
//!
//! Neighbours: `isoform-core` for the contracts, `isoform-memory` for RAM and TLB,
//! `isoform-softfloat` for arithmetic. It knows no backend and no device.
//!
//! Spec references: "Unpriv." and "Priv." are the two volumes of the RISC-V
//! Instruction Set Manual, version 20240411 and later, by chapter number or name.

mod access;
mod alone;
pub mod csr;
pub mod decode;
pub mod disasm;
pub mod ext;
pub mod format;
mod fp;
pub mod generate;
mod guest;
mod hart;
mod helpers;
mod imsic;
mod interrupts;
mod intrinsics;
mod lines;
mod mmu;
mod pmp;
mod saved;
mod sem;
mod start;
mod state;
mod system;
pub mod table;
#[cfg(test)]
mod testing;
mod translate;
pub mod trap;

pub use ext::{Cpu, CpuError, Ext, ExtSet};
pub use hart::{Hart, Mode, Wiring};
pub use imsic::{FileSink, InterruptFile, Level, MAX_IDENTITY};
pub use lines::{Lines, NS_PER_TICK, SEIP_SOFTWARE, Timebase, TimerService, irq};
pub use saved::SavedHart;
pub use state::{PMP_ENTRIES, Priv, Reservation, State};
pub use system::CACHE_BLOCK;
pub use trap::{Cause, Trap};
