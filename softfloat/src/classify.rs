//! Classification (IEEE 754-2019, 5.7.2 `class`).

use crate::format::{Fields, Format};

/// The class of `a` as the one-hot mask of RISC-V's `fclass`: from bit 0,
/// -infinity, negative normal, negative subnormal, -0, +0, positive
/// subnormal, positive normal, +infinity, signaling NaN, quiet NaN. Raises
/// nothing.
#[inline]
pub fn classify<F: Format>(a: u64) -> u16 {
    let x = Fields::of::<F>(a);
    let bit = if x.is_special::<F>() {
        match x.fraction {
            0 if x.sign => 0,
            0 => 7,
            quiet if quiet & F::QUIET != 0 => 9,
            _ => 8,
        }
    } else {
        let positive = match (x.exp, x.fraction) {
            (0, 0) => 4,
            (0, _) => 5,
            _ => 6,
        };
        if x.sign { 7 - positive } else { positive }
    };
    1 << bit
}
