//! The core every rounded result leaves through: normalise, round, pack.
//!
//! An unrounded result is a sign, a biased exponent and a significand whose
//! leading bit stands at [`TOP`]; it stands for `sig / 2^62 * 2^(exp - BIAS)`.
//! Bits too small to keep have been or-ed into bit 0 ("jammed"), which no
//! rounding can tell from the exact value: the narrowest guard field, binary64's,
//! is ten bits wide.

use crate::env::{Env, Flags, Round, Tininess};
use crate::format::{Format, infinity, zero};

/// Where an unrounded significand has its leading bit. Bit 63 stays free for
/// the carry out of rounding.
pub(crate) const TOP: u32 = 62;

/// Shifts right by `by`, or-ing every bit shifted out into bit 0. Without
/// branches: the distance is as good as random to a predictor.
#[inline]
pub(crate) fn shift_right_jam(sig: u64, by: u32) -> u64 {
    // Bit 63 alone is left at the limit, where jamming gives 1 as it should.
    let by = by.min(63);
    (sig >> by) | u64::from(sig & ((1 << by) - 1) != 0)
}

/// [`shift_right_jam`] for 128 bits; here, where a variable shift takes several
/// instructions, the branches measured faster.
#[inline]
pub(crate) fn shift_right_jam_wide(sig: u128, by: u32) -> u128 {
    if by == 0 {
        sig
    } else if by < 128 {
        (sig >> by) | u128::from(sig << (128 - by) != 0)
    } else {
        u128::from(sig != 0)
    }
}

/// Rounds and packs a result of any leading bit up to [`TOP`]. An exact zero
/// takes `sign`; callers for whom that is not the rule handle it before.
#[inline]
pub(crate) fn normalise_round_pack<F: Format>(
    sign: bool,
    exp: i32,
    sig: u64,
    env: &mut Env,
) -> u64 {
    if sig == 0 {
        return zero::<F>(sign);
    }
    let shift = sig.leading_zeros() - (63 - TOP);
    round_pack::<F>(sign, exp - shift as i32, sig << shift, env)
}

/// Rounds and packs a non-zero result whose leading bit is at [`TOP`].
#[inline]
pub(crate) fn round_pack<F: Format>(sign: bool, exp: i32, sig: u64, env: &mut Env) -> u64 {
    debug_assert_eq!(sig.leading_zeros(), 63 - TOP);
    if exp >= 1 && exp <= F::EXP_MAX - 2 {
        // Even with a carry the result is normal and finite.
        round_in_range::<F>(sign, exp, sig, env)
    } else if exp < 1 {
        round_subnormal::<F>(sign, exp, sig, env)
    } else {
        round_large::<F>(sign, exp, sig, env)
    }
}

/// What is added to a significand so that truncating the guard bits rounds
/// it. Nearest-even takes its ties back afterwards.
#[inline]
fn increment<F: Format>(sign: bool, round: Round) -> u64 {
    let guard = guard_mask::<F>();
    match round {
        Round::NearestEven | Round::NearestMaxMagnitude => half::<F>(),
        Round::Up if !sign => guard,
        Round::Down if sign => guard,
        Round::TowardZero | Round::Up | Round::Down => 0,
    }
}

/// The bits below the last one the format keeps.
#[inline]
const fn guard_mask<F: Format>() -> u64 {
    (1 << (TOP - F::MANT_BITS)) - 1
}

/// Half a unit in the last place the format keeps.
#[inline]
const fn half<F: Format>() -> u64 {
    1 << (TOP - F::MANT_BITS - 1)
}

/// Rounds where neither overflow nor underflow is in question. For a
/// subnormal, `exp` is 1 and the leading bit below [`TOP`].
#[inline]
fn round_in_range<F: Format>(sign: bool, exp: i32, sig: u64, env: &mut Env) -> u64 {
    let lost = sig & guard_mask::<F>();
    let mut kept = (sig + increment::<F>(sign, env.round)) >> (TOP - F::MANT_BITS);
    if lost != 0 {
        env.raise(Flags::NX);
        if lost == half::<F>() && env.round == Round::NearestEven {
            kept &= !1;
        }
    }
    // Added, not or-ed: the leading bit makes up for the 1 taken off the
    // exponent, and a carry moves on to the next exponent, or from the
    // subnormals to the smallest normal value, all by itself.
    zero::<F>(sign) | ((((exp - 1) as u64) << F::MANT_BITS) + kept)
}

/// Results below the smallest normal value before rounding.
#[cold]
fn round_subnormal<F: Format>(sign: bool, exp: i32, sig: u64, env: &mut Env) -> u64 {
    let tiny = match env.tininess {
        Tininess::BeforeRounding => true,
        // Tiny unless rounding at full precision reaches the normal range.
        Tininess::AfterRounding => exp < 0 || (sig + increment::<F>(sign, env.round)) >> 63 == 0,
    };
    let sig = shift_right_jam(sig, (1 - exp) as u32);
    if tiny && sig & guard_mask::<F>() != 0 {
        env.raise(Flags::UF);
    }
    round_in_range::<F>(sign, 1, sig, env)
}

/// Results in the topmost binade or beyond it (IEEE 754-2019, 7.4).
#[cold]
fn round_large<F: Format>(sign: bool, exp: i32, sig: u64, env: &mut Env) -> u64 {
    let increment = increment::<F>(sign, env.round);
    if exp < F::EXP_MAX && (sig + increment) >> 63 == 0 {
        return round_in_range::<F>(sign, exp, sig, env);
    }
    env.raise(Flags::OF | Flags::NX);
    if increment == 0 {
        zero::<F>(sign) | F::MAX_FINITE
    } else {
        infinity::<F>(sign)
    }
}
