//! Conversions from and to integers (IEEE 754-2019, 5.4.1 and 5.8).
//!
//! Results out of range saturate as RISC-V's `fcvt.{w,wu,l,lu}.*` do
//! (Unprivileged ISA, "Single-Precision Floating-Point Conversion and Move"):
//! a NaN counts as above the range. NV comes alone then, without NX.
//! Architectures with another answer see NV and put theirs in place.

use crate::env::{Env, Flags, Round};
use crate::format::{Fields, Format, is_nan, zero};
use crate::round::{TOP, round_pack, shift_right_jam};

/// `a` rounded to an `i32`; saturates, NV when out of range or NaN.
#[inline]
pub fn to_i32<F: Format>(a: u64, env: &mut Env) -> i32 {
    to_signed::<F>(a, 1 << 31, env) as i32
}

/// `a` rounded to a `u32`; saturates, NV when out of range or NaN. Negative
/// values that round to zero are in range.
#[inline]
pub fn to_u32<F: Format>(a: u64, env: &mut Env) -> u32 {
    to_unsigned::<F>(a, u64::from(u32::MAX), env) as u32
}

/// `a` rounded to an `i64`; saturates, NV when out of range or NaN.
#[inline]
pub fn to_i64<F: Format>(a: u64, env: &mut Env) -> i64 {
    to_signed::<F>(a, 1 << 63, env)
}

/// `a` rounded to a `u64`; saturates, NV when out of range or NaN. Negative
/// values that round to zero are in range.
#[inline]
pub fn to_u64<F: Format>(a: u64, env: &mut Env) -> u64 {
    to_unsigned::<F>(a, u64::MAX, env)
}

/// `v` as a floating-point value; rounded where it has more digits than `F`.
#[inline]
pub fn from_i32<F: Format>(v: i32, env: &mut Env) -> u64 {
    from_i64::<F>(i64::from(v), env)
}

/// `v` as a floating-point value; rounded where it has more digits than `F`.
#[inline]
pub fn from_u32<F: Format>(v: u32, env: &mut Env) -> u64 {
    from_u64::<F>(u64::from(v), env)
}

/// `v` as a floating-point value; rounded where it has more digits than `F`,
/// and binary16 may overflow.
#[inline]
pub fn from_i64<F: Format>(v: i64, env: &mut Env) -> u64 {
    from_magnitude::<F>(v < 0, v.unsigned_abs(), env)
}

/// `v` as a floating-point value; rounded where it has more digits than `F`,
/// and binary16 may overflow.
#[inline]
pub fn from_u64<F: Format>(v: u64, env: &mut Env) -> u64 {
    from_magnitude::<F>(false, v, env)
}

#[inline]
fn from_magnitude<F: Format>(sign: bool, magnitude: u64, env: &mut Env) -> u64 {
    if magnitude == 0 {
        return zero::<F>(sign);
    }
    // Normalised to bit 63 first, so that the bit jammed is a guard bit.
    let shift = magnitude.leading_zeros();
    let sig = shift_right_jam(magnitude << shift, 63 - TOP);
    round_pack::<F>(sign, F::BIAS + 63 - shift as i32, sig, env)
}

/// Rounds to a signed integer; `limit` is the magnitude of the least one.
#[inline]
fn to_signed<F: Format>(a: u64, limit: u64, env: &mut Env) -> i64 {
    let x = Fields::of::<F>(a);
    match round_magnitude::<F>(a, env.round) {
        Some((magnitude, inexact)) if magnitude < limit || x.sign && magnitude == limit => {
            if inexact {
                env.raise(Flags::NX);
            }
            let value = magnitude as i64;
            if x.sign { value.wrapping_neg() } else { value }
        }
        _ => {
            env.raise(Flags::NV);
            if x.sign && !is_nan::<F>(a) {
                (limit as i64).wrapping_neg()
            } else {
                (limit - 1) as i64
            }
        }
    }
}

/// Rounds to an unsigned integer of at most `max`.
#[inline]
fn to_unsigned<F: Format>(a: u64, max: u64, env: &mut Env) -> u64 {
    let x = Fields::of::<F>(a);
    match round_magnitude::<F>(a, env.round) {
        Some((magnitude, inexact)) if magnitude <= max && (!x.sign || magnitude == 0) => {
            if inexact {
                env.raise(Flags::NX);
            }
            magnitude
        }
        _ => {
            env.raise(Flags::NV);
            if x.sign && !is_nan::<F>(a) { 0 } else { max }
        }
    }
}

/// The magnitude of `a` rounded to an integer, and whether that was inexact;
/// `None` from 2^64 on, for infinities and for NaNs.
#[inline]
fn round_magnitude<F: Format>(a: u64, round: Round) -> Option<(u64, bool)> {
    let x = Fields::of::<F>(a);
    // First, because binary16's exponent of specials is small.
    if x.is_special::<F>() {
        return None;
    }
    let (exp, sig) = x.plain::<F>();
    let shift = exp - F::BIAS - F::MANT_BITS as i32;
    if shift >= 0 {
        let fits = shift as u32 <= 63 - F::MANT_BITS;
        return fits.then(|| (sig << shift, false));
    }
    // Further than this, even the greatest significand is below a half.
    let shift = shift.unsigned_abs().min(F::MANT_BITS + 2);
    let whole = sig >> shift;
    let lost = sig & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    let up = match round {
        Round::NearestEven => lost > half || lost == half && whole & 1 != 0,
        Round::NearestMaxMagnitude => lost >= half,
        Round::TowardZero => false,
        Round::Down => x.sign && lost != 0,
        Round::Up => !x.sign && lost != 0,
    };
    Some((whole + u64::from(up), lost != 0))
}
