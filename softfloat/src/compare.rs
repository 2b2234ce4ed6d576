//! Comparisons (IEEE 754-2019, 5.11) and minimum and maximum (9.6).

use crate::env::{Env, Flags};
use crate::format::{Format, is_nan, is_signaling, magnitude};
use crate::nan;

/// `a == b`, quietly: NV only for a signaling NaN. False for NaNs; -0 == +0.
#[inline]
pub fn eq<F: Format>(a: u64, b: u64, env: &mut Env) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        raise_if_signaling::<F>(a, b, env);
        return false;
    }
    key::<F>(a) == key::<F>(b)
}

/// `a < b`, signaling: NV, and false, for any NaN. -0 is not below +0.
#[inline]
pub fn lt<F: Format>(a: u64, b: u64, env: &mut Env) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        env.raise(Flags::NV);
        return false;
    }
    key::<F>(a) < key::<F>(b)
}

/// `a <= b`, signaling: NV, and false, for any NaN.
#[inline]
pub fn le<F: Format>(a: u64, b: u64, env: &mut Env) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        env.raise(Flags::NV);
        return false;
    }
    key::<F>(a) <= key::<F>(b)
}

/// `minimumNumber` (IEEE 754-2019, 9.6; RISC-V `fmin` since "F" 2.2): the
/// smaller operand, -0 below +0; a number wins over a NaN; NV for a signaling
/// NaN; two NaNs give one by the environment's rule.
#[inline]
pub fn min<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    number::<F>(a, b, env, |a, b| {
        (key::<F>(a), !negative::<F>(a)) <= (key::<F>(b), !negative::<F>(b))
    })
}

/// `maximumNumber`: the larger operand, and otherwise as [`min`].
#[inline]
pub fn max<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    number::<F>(a, b, env, |a, b| {
        (key::<F>(a), !negative::<F>(a)) >= (key::<F>(b), !negative::<F>(b))
    })
}

/// The operand `first` chooses, once NaNs are out of the way.
#[inline]
fn number<F: Format>(a: u64, b: u64, env: &mut Env, first: impl Fn(u64, u64) -> bool) -> u64 {
    let chosen = match (is_nan::<F>(a), is_nan::<F>(b)) {
        (false, false) if first(a, b) => a,
        (false, false) => b,
        (true, true) => return nan::propagate::<F>(&[a, b], env),
        (a_nan, _) => {
            raise_if_signaling::<F>(a, b, env);
            if a_nan { b } else { a }
        }
    };
    chosen & F::MASK
}

#[cold]
fn raise_if_signaling<F: Format>(a: u64, b: u64, env: &mut Env) {
    if is_signaling::<F>(a) || is_signaling::<F>(b) {
        env.raise(Flags::NV);
    }
}

#[inline]
fn negative<F: Format>(a: u64) -> bool {
    a & F::SIGN != 0
}

/// An integer in the order of the values, equal for both zeros; for anything
/// but NaNs.
#[inline]
fn key<F: Format>(a: u64) -> i64 {
    // At most 63 bits, so neither the cast nor the negation can overflow.
    let magnitude = magnitude::<F>(a) as i64;
    if negative::<F>(a) {
        -magnitude
    } else {
        magnitude
    }
}
