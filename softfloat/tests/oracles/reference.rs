//! Answers derived from the standard's definitions, slow and plain, for what
//! the other oracles lack: square roots, minima and maxima.

use isoform_softfloat::{Flags, Format, Round};

use crate::cases::Outcome;

/// Sign, integer significand and its exponent: the value is
/// `significand * 2^exponent`. For finite values.
fn decode<F: Format>(a: u64) -> (bool, u64, i32) {
    let field = (a >> F::MANT_BITS) as i32 & F::EXP_MAX;
    let fraction = a & F::FRACTION;
    let lowest = 1 - F::BIAS - F::MANT_BITS as i32;
    if field == 0 {
        (a & F::SIGN != 0, fraction, lowest)
    } else {
        (a & F::SIGN != 0, fraction | F::HIDDEN, lowest + field - 1)
    }
}

fn is_nan<F: Format>(a: u64) -> bool {
    a & (F::MASK >> 1) > F::INFINITY
}

fn signaling_flag<F: Format>(a: u64) -> Flags {
    if is_nan::<F>(a) && a & F::QUIET == 0 {
        Flags::NV
    } else {
        Flags::empty()
    }
}

/// The greatest integer whose square is at most `n`, found bit by bit.
fn floor_sqrt(n: u128) -> u128 {
    (0..64).rev().fold(0, |root: u128, bit| {
        let candidate = root | 1 << bit;
        if candidate
            .checked_mul(candidate)
            .is_some_and(|square| square <= n)
        {
            candidate
        } else {
            root
        }
    })
}

/// The square root by way of an integer root with one bit to spare.
pub(crate) fn sqrt<F: Format>(a: u64, round: Round) -> Outcome {
    if is_nan::<F>(a) {
        return (F::CANONICAL_NAN, signaling_flag::<F>(a));
    }
    if a & !F::SIGN == 0 {
        return (a, Flags::empty());
    }
    if a & F::SIGN != 0 {
        return (F::CANONICAL_NAN, Flags::NV);
    }
    if a == F::INFINITY {
        return (a, Flags::empty());
    }
    let (_, significand, exponent) = decode::<F>(a);
    // Scaled by a power of four until the root has one bit too many.
    let precision = F::MANT_BITS + 1;
    let mut scaled = u128::from(significand);
    let mut exponent = exponent;
    if exponent & 1 != 0 {
        scaled <<= 1;
        exponent -= 1;
    }
    while scaled >> (2 * precision) == 0 {
        scaled <<= 2;
        exponent -= 2;
    }
    let root = floor_sqrt(scaled);
    assert_eq!(128 - root.leading_zeros(), precision + 1);
    let (kept, half, rest) = (root >> 1, root & 1 != 0, root * root != scaled);
    let up = match round {
        Round::NearestEven => half && (rest || kept & 1 != 0),
        Round::NearestMaxMagnitude => half,
        Round::Up => half || rest,
        Round::Down | Round::TowardZero => false,
    };
    let kept = kept as u64 + u64::from(up);
    // The root of anything finite is a normal value: no range to check.
    let field = (exponent / 2 + 1 + F::BIAS + F::MANT_BITS as i32) as u64;
    let flags = if half || rest {
        Flags::NX
    } else {
        Flags::empty()
    };
    (((field - 1) << F::MANT_BITS) + kept, flags)
}

/// Whether `a` comes before `b`, -0 before +0. For anything but NaNs.
fn before<F: Format>(a: u64, b: u64) -> bool {
    let negative = |v: u64| v & F::SIGN != 0;
    let size = |v: u64| v & !F::SIGN;
    match (negative(a), negative(b)) {
        (true, false) => true,
        (false, true) => false,
        (false, false) => size(a) < size(b),
        (true, true) => size(a) > size(b),
    }
}

fn number<F: Format>(a: u64, b: u64, choose_a: bool) -> Outcome {
    let flags = signaling_flag::<F>(a) | signaling_flag::<F>(b);
    let value = match (is_nan::<F>(a), is_nan::<F>(b)) {
        (true, true) => F::CANONICAL_NAN,
        (true, false) => b,
        (false, true) => a,
        (false, false) if choose_a => a,
        (false, false) => b,
    };
    (value, flags)
}

/// `minimumNumber`.
pub(crate) fn min<F: Format>(a: u64, b: u64) -> Outcome {
    number::<F>(a, b, before::<F>(a, b))
}

/// `maximumNumber`.
pub(crate) fn max<F: Format>(a: u64, b: u64) -> Outcome {
    number::<F>(a, b, before::<F>(b, a))
}
