//! Fused multiply-add (IEEE 754-2019, 5.4.1).

use crate::add::cancelled_sign;
use crate::env::{Env, Flags};
use crate::format::{Fields, Format, infinity, is_nan, zero};
use crate::nan;
use crate::round::{TOP, round_pack, shift_right_jam_wide};

/// Where the 128-bit sums here have their leading bit at most, before the
/// carry.
const WIDE_TOP: u32 = 126;

/// `a * b + c`, rounded once. NV for a signaling NaN, for infinity times zero
/// (even when `c` is a quiet NaN, as RISC-V and AArch64 do), and for an
/// infinite product with an infinite `c` of opposite sign. The negated forms
/// are had by flipping the sign bits of `a` and `c`.
#[inline]
pub fn fma<F: Format>(a: u64, b: u64, c: u64, env: &mut Env) -> u64 {
    let (x, y, z) = (Fields::of::<F>(a), Fields::of::<F>(b), Fields::of::<F>(c));
    let sign = x.sign ^ y.sign;
    if x.is_special::<F>() || y.is_special::<F>() || z.is_special::<F>() {
        return special::<F>(a, b, c, env);
    }
    let product = product::<F>(x, y);
    let addend = if z.is_zero() {
        None
    } else {
        let (exp, sig) = z.normalised::<F>();
        Some((exp, u128::from(sig) << (WIDE_TOP - TOP)))
    };
    match (product, addend) {
        (None, None) if sign == z.sign => zero::<F>(sign),
        (None, None) => zero::<F>(cancelled_sign(env)),
        (None, Some(_)) => c & F::MASK,
        (Some((exp, sig)), None) => pack_wide::<F>(sign, exp, sig, env),
        (Some(product), Some(addend)) => sum::<F>((sign, product), (z.sign, addend), env),
    }
}

/// The exact product: biased exponent and significand with its leading bit at
/// [`WIDE_TOP`] or one below; `None` for zero. Its at most 106 bits leave the
/// lowest 20 clear.
#[inline]
fn product<F: Format>(x: Fields, y: Fields) -> Option<(i32, u128)> {
    if x.is_zero() || y.is_zero() {
        return None;
    }
    let (x_exp, x_sig) = x.normalised::<F>();
    let (y_exp, y_sig) = y.normalised::<F>();
    let sig = u128::from(x_sig) * u128::from(y_sig << 1);
    Some((x_exp + y_exp - F::BIAS + 1, sig))
}

/// Adds two non-zero values given as sign, exponent and wide significand.
#[inline]
fn sum<F: Format>(
    (p_sign, (p_exp, p)): (bool, (i32, u128)),
    (c_sign, (c_exp, c)): (bool, (i32, u128)),
    env: &mut Env,
) -> u64 {
    let exp = p_exp.max(c_exp);
    // Bits are jammed only when the other operand is so much larger that at
    // most one leading bit can cancel.
    let p = shift_right_jam_wide(p, (exp - p_exp) as u32);
    let c = shift_right_jam_wide(c, (exp - c_exp) as u32);
    if p_sign == c_sign {
        pack_wide::<F>(p_sign, exp, p + c, env)
    } else if p == c {
        zero::<F>(cancelled_sign(env))
    } else if p > c {
        pack_wide::<F>(p_sign, exp, p - c, env)
    } else {
        pack_wide::<F>(c_sign, exp, c - p, env)
    }
}

/// Rounds and packs a non-zero wide significand; `exp` is that of a leading
/// bit at [`WIDE_TOP`].
#[inline]
fn pack_wide<F: Format>(sign: bool, exp: i32, sig: u128, env: &mut Env) -> u64 {
    let shift = sig.leading_zeros();
    let jammed = shift_right_jam_wide(sig << shift, 127 - TOP) as u64;
    let exp = exp + (127 - WIDE_TOP) as i32 - shift as i32;
    round_pack::<F>(sign, exp, jammed, env)
}

/// Results with an infinity or a NaN among the operands.
#[cold]
fn special<F: Format>(a: u64, b: u64, c: u64, env: &mut Env) -> u64 {
    let (x, y, z) = (Fields::of::<F>(a), Fields::of::<F>(b), Fields::of::<F>(c));
    let infinite = |v: Fields| v.is_special::<F>() && v.fraction == 0;
    let infinite_product = infinite(x) || infinite(y);
    let invalid_product = infinite(x) && y.is_zero() || x.is_zero() && infinite(y);
    let sign = x.sign ^ y.sign;
    if is_nan::<F>(a) || is_nan::<F>(b) || is_nan::<F>(c) {
        if invalid_product {
            env.raise(Flags::NV);
        }
        nan::propagate::<F>(&[a, b, c], env)
    } else if invalid_product || infinite_product && infinite(z) && sign != z.sign {
        nan::invalid::<F>(env)
    } else if infinite_product {
        infinity::<F>(sign)
    } else {
        infinity::<F>(z.sign)
    }
}
