//! Conversion between formats (IEEE 754-2019, 5.4.2).

use crate::env::{Env, Flags, NanRule};
use crate::format::{Fields, Format, infinity, is_nan, is_signaling, zero};
use crate::round::round_pack;

/// `a`, a value of format `From`, in format `To`. NV for a signaling NaN;
/// narrowing may raise NX, OF and UF, widening is exact. A format converted
/// to itself has its NaNs quieted.
#[inline]
pub fn convert<From: Format, To: Format>(a: u64, env: &mut Env) -> u64 {
    let x = Fields::of::<From>(a);
    if is_nan::<From>(a) {
        return convert_nan::<From, To>(a, env);
    }
    if x.is_special::<From>() {
        return infinity::<To>(x.sign);
    }
    if x.is_zero() {
        return zero::<To>(x.sign);
    }
    let (exp, sig) = x.normalised::<From>();
    round_pack::<To>(x.sign, exp - From::BIAS + To::BIAS, sig, env)
}

/// Apart from `nan::propagate`, because the payload changes its width.
#[cold]
fn convert_nan<From: Format, To: Format>(a: u64, env: &mut Env) -> u64 {
    if is_signaling::<From>(a) {
        env.raise(Flags::NV);
    }
    match env.nan {
        NanRule::Canonical => To::CANONICAL_NAN,
    }
}
