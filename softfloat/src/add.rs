//! Addition and subtraction (IEEE 754-2019, 5.4.1; signs of zeros, 6.3).

use crate::env::{Env, Round};
use crate::format::{Fields, Format, infinity, is_nan, magnitude, zero};
use crate::nan;
use crate::round::{TOP, normalise_round_pack, shift_right_jam};

/// `a + b`. NV for a signaling NaN and for infinities of opposite sign.
#[inline]
pub fn add<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    sum::<F>(a, b, false, env)
}

/// `a - b`. NV for a signaling NaN and for infinities of the same sign.
#[inline]
pub fn sub<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    sum::<F>(a, b, true, env)
}

/// The sign of an exact zero sum of values of opposite sign.
#[inline]
pub(crate) fn cancelled_sign(env: &Env) -> bool {
    env.round == Round::Down
}

/// `a + b`, or `a - b` with `negate`: not done on `b`'s bits beforehand,
/// because a propagated NaN keeps its sign.
#[inline]
fn sum<F: Format>(a: u64, b: u64, negate: bool, env: &mut Env) -> u64 {
    let x = Fields::of::<F>(a);
    let mut y = Fields::of::<F>(b);
    y.sign ^= negate;
    if x.is_special::<F>() || y.is_special::<F>() {
        return special::<F>(a, b, x, y, env);
    }
    // One below TOP: room for the carry of the sum.
    let guard = TOP - 1 - F::MANT_BITS;
    let order = magnitude::<F>(a) >= magnitude::<F>(b);
    let (large, small) = if order { (x, y) } else { (y, x) };
    let (exp, large_sig) = large.plain::<F>();
    let (small_exp, small_sig) = small.plain::<F>();
    let aligned = shift_right_jam(small_sig << guard, (exp - small_exp) as u32);
    let large_sig = large_sig << guard;
    let sig = if large.sign == small.sign {
        large_sig + aligned
    } else {
        // Never negative: `large` has the greater magnitude, and jamming
        // keeps the order.
        let difference = large_sig - aligned;
        if difference == 0 {
            return zero::<F>(cancelled_sign(env));
        }
        difference
    };
    normalise_round_pack::<F>(large.sign, exp + 1, sig, env)
}

/// Sums with an infinity or a NaN; the signs are those of the addends.
#[cold]
fn special<F: Format>(a: u64, b: u64, x: Fields, y: Fields, env: &mut Env) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        nan::propagate::<F>(&[a, b], env)
    } else if x.is_special::<F>() && y.is_special::<F>() && x.sign != y.sign {
        nan::invalid::<F>(env)
    } else if x.is_special::<F>() {
        infinity::<F>(x.sign)
    } else {
        infinity::<F>(y.sign)
    }
}
