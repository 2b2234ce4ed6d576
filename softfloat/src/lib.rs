//! IEEE 754 arithmetic in integers, bit-exact on every host.
//!
//! Values are raw bits in the low end of a `u64`; the bits above the format's
//! width are ignored on the way in and zero on the way out. NaN boxing,
//! register files and the accrued-flags CSR belong to the guest's frontend.
//! Every operation takes an [`Env`]: the rounding mode and the NaN and
//! tininess rules go in, exception flags accumulate in it.
//!
//! How it is built: operands are split ([`format`]), worked on with exact or
//! sticky-bit integer arithmetic (one file an operation), and every rounded
//! result leaves through one normalise-round-pack core (`round.rs`), the only
//! place that knows about subnormals, overflow and tininess.
//!
//! What it deliberately does not do: use the host's floating point (its
//! flags, NaN payloads and tininess rule differ between hosts), allocate, or
//! know any guest by name beyond the rules selectable in [`Env`].
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

mod add;
mod classify;
mod compare;
mod convert;
mod div;
pub mod env;
mod fma;
pub mod format;
mod integer;
mod mul;
mod nan;
mod round;
mod sqrt;

pub use add::{add, sub};
pub use classify::classify;
pub use compare::{eq, le, lt, max, min};
pub use convert::convert;
pub use div::div;
pub use env::{Env, Flags, NanRule, Round, Tininess};
pub use fma::fma;
pub use format::{F16, F32, F64, Format};
pub use integer::{from_i32, from_i64, from_u32, from_u64, to_i32, to_i64, to_u32, to_u64};
pub use mul::mul;
pub use sqrt::sqrt;
