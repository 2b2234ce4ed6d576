//! Multiplication (IEEE 754-2019, 5.4.1).

use crate::env::Env;
use crate::format::{Fields, Format, infinity, is_nan, zero};
use crate::nan;
use crate::round::{TOP, round_pack};

/// `a * b`. NV for a signaling NaN and for infinity times zero.
#[inline]
pub fn mul<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (x, y) = (Fields::of::<F>(a), Fields::of::<F>(b));
    let sign = x.sign ^ y.sign;
    if x.is_special::<F>() || y.is_special::<F>() {
        return special::<F>(a, b, env);
    }
    if x.is_zero() || y.is_zero() {
        return zero::<F>(sign);
    }
    let (x_exp, x_sig) = x.normalised::<F>();
    let (y_exp, y_sig) = y.normalised::<F>();
    // Leading bits at 62 and 63 put the product's at 125 or 126, that is at
    // 61 or 62 of the upper half.
    let product = u128::from(x_sig) * u128::from(y_sig << 1);
    let mut sig = (product >> 64) as u64 | u64::from(product as u64 != 0);
    let mut exp = x_exp + y_exp - F::BIAS + 1;
    if sig < 1 << TOP {
        sig <<= 1;
        exp -= 1;
    }
    round_pack::<F>(sign, exp, sig, env)
}

/// Products with an infinity or a NaN.
#[cold]
fn special<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (x, y) = (Fields::of::<F>(a), Fields::of::<F>(b));
    if is_nan::<F>(a) || is_nan::<F>(b) {
        nan::propagate::<F>(&[a, b], env)
    } else if x.is_zero() || y.is_zero() {
        nan::invalid::<F>(env)
    } else {
        infinity::<F>(x.sign ^ y.sign)
    }
}
