//! Square root (IEEE 754-2019, 5.4.1).

use crate::env::Env;
use crate::format::{Fields, Format, is_nan};
use crate::nan;
use crate::round::{TOP, round_pack};

/// The square root of `a`. The root of -0 is -0; NV for a signaling NaN and
/// for every other negative value.
#[inline]
pub fn sqrt<F: Format>(a: u64, env: &mut Env) -> u64 {
    let x = Fields::of::<F>(a);
    if is_nan::<F>(a) {
        return nan::propagate::<F>(&[a], env);
    }
    if x.is_zero() {
        return a & F::MASK;
    }
    if x.sign {
        return nan::invalid::<F>(env);
    }
    if x.is_special::<F>() {
        return F::INFINITY;
    }
    let (exp, sig) = x.normalised::<F>();
    let exp = exp - F::BIAS;
    // An even exponent halves exactly; the significand takes the odd bit and
    // is then in [1, 4), its root in [1, 2).
    let sig = sig << (exp & 1);
    round_pack::<F>(false, (exp >> 1) + F::BIAS, root::<F>(sig), env)
}

/// `sqrt(sig * 2^62)`, jammed, for a `sig` with its leading bit at 62 or 63.
#[inline]
fn root<F: Format>(sig: u64) -> u64 {
    if F::MANT_BITS < 30 {
        // 32 bits of the root are enough for 24 and the guard bits.
        let root = sig.isqrt();
        root << 31 | u64::from(root * root != sig)
    } else {
        let radicand = u128::from(sig) << TOP;
        let root = radicand.isqrt();
        root as u64 | u64::from(root * root != radicand)
    }
}
