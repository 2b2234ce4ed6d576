//! Seeded random operands with a heavy bias to where rounding goes wrong.

use isoform_softfloat::{Env, Flags, Format, Round, Tininess, div, mul};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of operands; the same seed gives the same ones.
pub(crate) struct Cases(ChaCha8Rng);

impl Cases {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in `0..n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One operand of format `F`.
    pub(crate) fn value<F: Format>(&mut self) -> u64 {
        let sign = self.bits() & F::SIGN;
        let exp = match self.below(8) {
            0 | 1 => return sign | self.landmark::<F>(),
            2 => return self.bits() & F::MASK,
            // Around one: sums and products that interact.
            3 | 4 => F::BIAS + self.below(2 * F::MANT_BITS + 8) as i32 - F::MANT_BITS as i32 - 4,
            // Around the ends of the range.
            5 => self.below(F::MANT_BITS + 4) as i32,
            6 => F::EXP_MAX - 1 - self.below(4) as i32,
            _ => self.below(F::EXP_MAX as u32) as i32,
        };
        let exp = exp.clamp(0, F::EXP_MAX - 1) as u64;
        sign | exp << F::MANT_BITS | self.fraction::<F>()
    }

    /// Two operands, often related: cancelling, neighbouring, or with a
    /// quotient or product near an end of the range.
    pub(crate) fn pair<F: Format>(&mut self) -> (u64, u64) {
        let a = self.value::<F>();
        let b = match self.below(8) {
            0 => a,
            1 => a ^ F::SIGN,
            2 => {
                (a ^ F::SIGN)
                    .wrapping_add(u64::from(self.below(5)))
                    .wrapping_sub(2)
                    & F::MASK
            }
            3 => a & !F::FRACTION | self.fraction::<F>(),
            // a / b and a * b near the smallest normal value.
            4 => div::<F>(a, F::MIN_NORMAL, &mut Env::default()) ^ u64::from(self.below(4)),
            5 => div::<F>(F::MIN_NORMAL, a, &mut Env::default()) ^ u64::from(self.below(4)),
            _ => self.value::<F>(),
        };
        (a, b)
    }

    /// Three operands; the third often nearly cancels the product of the
    /// first two, or sits at a halfway distance from it.
    pub(crate) fn triple<F: Format>(&mut self) -> (u64, u64, u64) {
        let (a, b) = self.pair::<F>();
        let product = mul::<F>(a, b, &mut Env::default());
        let c = match self.below(4) {
            0 => (product ^ F::SIGN)
                .wrapping_add(u64::from(self.below(5)))
                .wrapping_sub(2),
            1 => {
                let steps = u64::from(self.below(2 * F::MANT_BITS + 6));
                let step = steps.wrapping_sub(u64::from(F::MANT_BITS) + 3) << F::MANT_BITS;
                product.wrapping_add(step) & !F::FRACTION | self.fraction::<F>()
            }
            _ => self.value::<F>(),
        };
        (a, b, c & F::MASK)
    }

    /// An integer whose magnitude is anywhere on the logarithmic scale,
    /// mostly near a power of two or a halfway case.
    pub(crate) fn integer(&mut self) -> u64 {
        let base = match self.below(4) {
            0 => self.bits(),
            1 => 1 << self.below(64),
            2 => (1 << self.below(64)) | (1 << self.below(64)),
            _ => u64::MAX << self.below(64),
        };
        let near = base.wrapping_add(u64::from(self.below(5))).wrapping_sub(2);
        near >> self.below(64)
    }

    /// A value without its sign that means something in the standard.
    fn landmark<F: Format>(&mut self) -> u64 {
        let one = (F::BIAS as u64) << F::MANT_BITS;
        let payload = self.bits() & (F::QUIET - 1);
        let all = [
            0,
            1,
            2,
            F::QUIET,
            F::MIN_NORMAL - 1,
            F::MIN_NORMAL,
            F::MIN_NORMAL + 1,
            one - 1,
            one,
            one + 1,
            one + F::QUIET,
            F::MAX_FINITE - 1,
            F::MAX_FINITE,
            F::INFINITY,
            F::CANONICAL_NAN,
            F::CANONICAL_NAN | payload,
            F::INFINITY | 1,
            F::INFINITY | payload | 1,
        ];
        all[self.below(all.len() as u32) as usize]
    }

    /// A fraction field: few bits, runs of ones, or anything.
    fn fraction<F: Format>(&mut self) -> u64 {
        let bit = 1 << self.below(F::MANT_BITS);
        let raw = match self.below(6) {
            0 => 0,
            1 => F::FRACTION,
            2 => bit,
            3 => u64::MAX << self.below(F::MANT_BITS),
            4 => bit - 1 + u64::from(self.below(2)),
            _ => self.bits(),
        };
        raw & F::FRACTION
    }
}

/// What an operation gave: the bits of the value (or the integer, widened)
/// and the flags it raised.
pub(crate) type Outcome = (u64, Flags);

/// Runs `op` in a fresh environment.
pub(crate) fn run(round: Round, tininess: Tininess, op: impl FnOnce(&mut Env) -> u64) -> Outcome {
    let mut env = Env {
        tininess,
        ..Env::riscv(round)
    };
    let value = op(&mut env);
    (value, env.flags)
}

/// Compares, and says everything needed to repeat the case.
#[track_caller]
pub(crate) fn check<F: Format>(
    op: &str,
    round: Round,
    operands: &[u64],
    got: Outcome,
    want: Outcome,
) {
    assert!(
        got == want,
        "{op}, {} bits, {round:?}, operands {operands:#x?}:\n got {:#x} {:?}\nwant {:#x} {:?}",
        F::BITS,
        got.0,
        got.1,
        want.0,
        want.1,
    );
}
