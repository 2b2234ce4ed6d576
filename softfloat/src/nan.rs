//! NaN results (IEEE 754-2019, 6.2 and 7.2), by the environment's rule.

use crate::env::{Env, Flags, NanRule};
use crate::format::{Format, is_signaling};

/// The result of an operation with at least one NaN among its `operands`
/// (given in the instruction's order: rules that propagate look at it).
/// Raises NV for signaling ones.
#[cold]
pub(crate) fn propagate<F: Format>(operands: &[u64], env: &mut Env) -> u64 {
    if operands.iter().any(|&a| is_signaling::<F>(a)) {
        env.raise(Flags::NV);
    }
    match env.nan {
        NanRule::Canonical => F::CANONICAL_NAN,
    }
}

/// The result of an invalid operation on operands that are not NaNs.
#[cold]
pub(crate) fn invalid<F: Format>(env: &mut Env) -> u64 {
    env.raise(Flags::NV);
    match env.nan {
        NanRule::Canonical => F::CANONICAL_NAN,
    }
}
