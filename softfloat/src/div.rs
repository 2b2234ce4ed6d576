//! Division (IEEE 754-2019, 5.4.1; division by zero, 7.3).

use crate::env::{Env, Flags};
use crate::format::{Fields, Format, infinity, is_nan, zero};
use crate::nan;
use crate::round::{TOP, round_pack};

/// `a / b`. NV for a signaling NaN, 0/0 and infinity/infinity; DZ for a
/// finite non-zero value divided by zero.
#[inline]
pub fn div<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (x, y) = (Fields::of::<F>(a), Fields::of::<F>(b));
    let sign = x.sign ^ y.sign;
    if x.is_special::<F>() || y.is_special::<F>() || x.is_zero() || y.is_zero() {
        return special::<F>(a, b, env);
    }
    let (x_exp, x_sig) = x.normalised::<F>();
    let (y_exp, y_sig) = y.normalised::<F>();
    let mut sig = quotient::<F>(x_sig, y_sig);
    let mut exp = x_exp - y_exp + F::BIAS;
    if sig < 1 << TOP {
        sig <<= 1;
        exp -= 1;
    }
    round_pack::<F>(sign, exp, sig, env)
}

/// `x / y * 2^62`, jammed, for significands with their leading bit at
/// [`TOP`]: the result's is there or one below.
#[inline]
fn quotient<F: Format>(x: u64, y: u64) -> u64 {
    if F::MANT_BITS < 32 {
        // Both have at most 24 significant bits: a 64-bit division gives all
        // the bits needed, and is several times faster than the wide one.
        // The divisor goes down to bit 31, dropping only zeros, and the
        // quotient's leading bit is at 31 or 30.
        let y = y >> 31;
        (x / y) << 31 | u64::from(!x.is_multiple_of(y))
    } else {
        let (x, y) = (u128::from(x) << TOP, u128::from(y));
        let quotient = x / y;
        quotient as u64 | u64::from(quotient * y != x)
    }
}

/// Quotients with a zero, an infinity or a NaN.
#[cold]
fn special<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (x, y) = (Fields::of::<F>(a), Fields::of::<F>(b));
    let sign = x.sign ^ y.sign;
    if is_nan::<F>(a) || is_nan::<F>(b) {
        nan::propagate::<F>(&[a, b], env)
    } else if x.is_special::<F>() && y.is_special::<F>() || x.is_zero() && y.is_zero() {
        nan::invalid::<F>(env)
    } else if x.is_special::<F>() {
        infinity::<F>(sign)
    } else if y.is_zero() {
        env.raise(Flags::DZ);
        infinity::<F>(sign)
    } else {
        zero::<F>(sign)
    }
}
