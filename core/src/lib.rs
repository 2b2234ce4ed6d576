//! Contracts between guests, backends and devices.
//!
//! An instruction's meaning is written once, by a guest, in the vocabulary of
//! [`Ops`]; each backend is one way to speak that vocabulary. This crate holds
//! the words and nothing that runs: no guest, no memory, no host access.
//!
//! * [`ops`]: the vocabulary of semantics.
//! * [`guest`]: what a backend needs to know about a guest's vCPU.
//! * [`float`]: what floating-point helpers compute.
//! * [`exit`]: why a vCPU returned to its run loop.
//! * [`attention`]: how other threads get a running vCPU to stop.
//! * [`device`], [`irq`], [`clock`]: the machine's side.
//! * [`saved`]: versioned state, from the day it is written.
//! * [`translate`]: where generated code finds a vCPU's state.
//!
//! Invariant: no `unsafe`, and no dependency on any other crate of the project.

pub mod attention;
pub mod clock;
pub mod device;
pub mod exit;
pub mod float;
pub mod guest;
pub mod irq;
pub mod ops;
pub mod saved;
pub mod translate;

pub use attention::{Attention, Requests};
pub use clock::Clock;
pub use device::{BusFault, Device};
pub use exit::Exit;
pub use float::{Float, FloatLayout, FloatOp, Rounding, SignOp};
pub use guest::{Guest, PageId};
pub use irq::{IrqLine, IrqSink, MsiSink};
pub use ops::{AmoOp, Cond, FReg, Helper, Insn, MemTy, Ops, Order, Reg, Size, Width};
pub use saved::{RestoreError, Saved};
pub use translate::{
    Cold, FetchLayout, Layout, MemOp, ReservationLayout, Scratch, TlbLayout, Translate,
};
