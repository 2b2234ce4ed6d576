//! Every operation against LLVM's APFloat.
//!
//! APFloat takes the rounding mode and reports exceptions, but its underflow
//! follows neither rule of the standard where a result rounds up to the
//! smallest normal value, and it reports no overflow where the result rounds
//! to the largest finite value. So both are derived: the operation is repeated
//! in a format of the same precision with a wider exponent, where nothing is
//! out of range, and that result is held against the bounds (IEEE 754-2019,
//! 7.4 and 7.5 define both that way).

use isoform_softfloat as sf;
use isoform_softfloat::{Env, F16, F32, F64, Flags, Format, Round, Tininess};
use rustc_apfloat::ieee::{Double, Half, IeeeFloat, Semantics, Single};
use rustc_apfloat::{Float, FloatConvert, Round as ApRound, Status, StatusAnd};

use crate::cases::{Cases, Outcome, check, run};
use crate::reference;

/// Precision `P` (with the leading bit) and a 15-bit exponent.
pub(crate) struct WideExponent<const P: usize>;

impl<const P: usize> Semantics for WideExponent<P> {
    const BITS: usize = 15 + P;
    const EXP_BITS: usize = 15;
}

/// A format with its counterparts over there.
pub(crate) trait Oracle: Format {
    type Ap: Float
        + FloatConvert<Self::Wide>
        + FloatConvert<Half>
        + FloatConvert<Single>
        + FloatConvert<Double>
        + FloatConvert<IeeeFloat<WideExponent<11>>>
        + FloatConvert<IeeeFloat<WideExponent<24>>>
        + FloatConvert<IeeeFloat<WideExponent<53>>>;
    type Wide: Float;
}

impl Oracle for F16 {
    type Ap = Half;
    type Wide = IeeeFloat<WideExponent<11>>;
}

impl Oracle for F32 {
    type Ap = Single;
    type Wide = IeeeFloat<WideExponent<24>>;
}

impl Oracle for F64 {
    type Ap = Double;
    type Wide = IeeeFloat<WideExponent<53>>;
}

fn ap<F: Oracle>(a: u64) -> F::Ap {
    F::Ap::from_bits(u128::from(a))
}

fn wide<F: Oracle>(a: u64) -> F::Wide {
    FloatConvert::<F::Wide>::convert(ap::<F>(a), &mut false).value
}

fn ap_round(round: Round) -> ApRound {
    match round {
        Round::NearestEven => ApRound::NearestTiesToEven,
        Round::TowardZero => ApRound::TowardZero,
        Round::Down => ApRound::TowardNegative,
        Round::Up => ApRound::TowardPositive,
        Round::NearestMaxMagnitude => ApRound::NearestTiesToAway,
    }
}

/// All flags but overflow and underflow, which see above.
fn flags(status: Status) -> Flags {
    let mut flags = Flags::empty();
    flags.set(Flags::NV, status.contains(Status::INVALID_OP));
    flags.set(Flags::DZ, status.contains(Status::DIV_BY_ZERO));
    flags.set(Flags::NX, status.contains(Status::INEXACT));
    flags
}

/// The expected outcome from APFloat's and from the wide result, the latter
/// as a function of the rounding mode.
fn expected<F: Oracle>(
    narrow: StatusAnd<F::Ap>,
    round: Round,
    tininess: Tininess,
    wide_result: impl Fn(ApRound) -> F::Wide,
) -> Outcome {
    let mut flags = flags(narrow.status);
    if narrow.value.is_nan() {
        return (F::CANONICAL_NAN, flags);
    }
    if !flags.contains(Flags::NX) {
        return (narrow.value.to_bits() as u64, flags);
    }
    let rounded = wide_result(ap_round(round));
    let measured = match tininess {
        Tininess::AfterRounding => rounded,
        // Truncated, a value is below a bound exactly when it was before.
        Tininess::BeforeRounding => wide_result(ApRound::TowardZero),
    };
    let tiny = !measured.is_zero() && measured.abs() < wide::<F>(F::MIN_NORMAL);
    flags.set(Flags::UF, tiny);
    flags.set(Flags::OF, rounded.abs() > wide::<F>(F::MAX_FINITE));
    (narrow.value.to_bits() as u64, flags)
}

/// The modes and rules an operation is tried under.
pub(crate) fn environments() -> impl Iterator<Item = (Round, Tininess)> {
    Round::ALL.into_iter().flat_map(|round| {
        [Tininess::AfterRounding, Tininess::BeforeRounding].map(|tininess| (round, tininess))
    })
}

type Binary = fn(u64, u64, &mut Env) -> u64;
type ApBinary<T> = fn(T, T, ApRound) -> StatusAnd<T>;

/// One binary operation in all environments; returns the number of cases.
fn binary<F: Oracle>(
    name: &str,
    (a, b): (u64, u64),
    op: Binary,
    narrow: ApBinary<F::Ap>,
    wide_op: ApBinary<F::Wide>,
) -> usize {
    for (round, tininess) in environments() {
        let got = run(round, tininess, |env| op(a, b, env));
        let result = narrow(ap::<F>(a), ap::<F>(b), ap_round(round));
        let want = expected::<F>(result, round, tininess, |round| {
            wide_op(wide::<F>(a), wide::<F>(b), round).value
        });
        check::<F>(name, round, &[a, b], got, want);
    }
    environments().count()
}

fn arithmetic<F: Oracle>(cases: &mut Cases, rounds: usize) -> usize {
    let mut count = 0;
    for _ in 0..rounds {
        let pair = cases.pair::<F>();
        count += binary::<F>("add", pair, sf::add::<F>, F::Ap::add_r, F::Wide::add_r);
        count += binary::<F>("sub", pair, sf::sub::<F>, F::Ap::sub_r, F::Wide::sub_r);
        count += binary::<F>("mul", pair, sf::mul::<F>, F::Ap::mul_r, F::Wide::mul_r);
        count += binary::<F>("div", pair, sf::div::<F>, F::Ap::div_r, F::Wide::div_r);
        count += fused::<F>(cases.triple::<F>());
    }
    count
}

fn fused<F: Oracle>((a, b, c): (u64, u64, u64)) -> usize {
    let zero_times_infinity = |x: F::Ap, y: F::Ap| x.is_zero() && y.is_infinite();
    for (round, tininess) in environments() {
        let got = run(round, tininess, |env| sf::fma::<F>(a, b, c, env));
        let (x, y, z) = (ap::<F>(a), ap::<F>(b), ap::<F>(c));
        let result = x.mul_add_r(y, z, ap_round(round));
        let mut want = expected::<F>(result, round, tininess, |round| {
            let (x, y, z) = (wide::<F>(a), wide::<F>(b), wide::<F>(c));
            x.mul_add_r(y, z, round).value
        });
        if zero_times_infinity(x, y) || zero_times_infinity(y, x) {
            // The standard leaves it open whether this is invalid when the
            // addend is a quiet NaN; RISC-V says yes.
            want.1 |= Flags::NV;
        }
        check::<F>("fma", round, &[a, b, c], got, want);
    }
    environments().count()
}

#[test]
fn arithmetic_agrees() {
    let mut cases = Cases::new(1);
    let count = arithmetic::<F16>(&mut cases, 10_000)
        + arithmetic::<F32>(&mut cases, 10_000)
        + arithmetic::<F64>(&mut cases, 10_000);
    assert!(count >= 1_500_000, "{count} cases");
}

#[test]
fn roots_minima_and_maxima_agree() {
    fn all<F: Format>(cases: &mut Cases) {
        for _ in 0..4000 {
            let (a, b) = cases.pair::<F>();
            for (round, tininess) in environments() {
                let got = run(round, tininess, |env| sf::sqrt::<F>(a, env));
                check::<F>("sqrt", round, &[a], got, reference::sqrt::<F>(a, round));
                let got = run(round, tininess, |env| sf::min::<F>(a, b, env));
                check::<F>("min", round, &[a, b], got, reference::min::<F>(a, b));
                let got = run(round, tininess, |env| sf::max::<F>(a, b, env));
                check::<F>("max", round, &[a, b], got, reference::max::<F>(a, b));
            }
        }
    }
    let mut cases = Cases::new(2);
    all::<F16>(&mut cases);
    all::<F32>(&mut cases);
    all::<F64>(&mut cases);
}

#[test]
fn comparisons_agree() {
    fn all<F: Oracle>(cases: &mut Cases) {
        for _ in 0..10_000 {
            let (a, b) = cases.pair::<F>();
            let (x, y) = (ap::<F>(a), ap::<F>(b));
            let signaling = x.is_signaling() || y.is_signaling();
            let any_nan = x.is_nan() || y.is_nan();
            let flag = |invalid: bool| if invalid { Flags::NV } else { Flags::empty() };
            for (round, tininess) in environments() {
                let compare = |op: fn(u64, u64, &mut Env) -> bool| {
                    run(round, tininess, |env| u64::from(op(a, b, env)))
                };
                let want = (u64::from(x == y), flag(signaling));
                check::<F>("eq", round, &[a, b], compare(sf::eq::<F>), want);
                let want = (u64::from(x < y), flag(any_nan));
                check::<F>("lt", round, &[a, b], compare(sf::lt::<F>), want);
                let want = (u64::from(x <= y), flag(any_nan));
                check::<F>("le", round, &[a, b], compare(sf::le::<F>), want);
            }
        }
    }
    let mut cases = Cases::new(3);
    all::<F16>(&mut cases);
    all::<F32>(&mut cases);
    all::<F64>(&mut cases);
}

/// The conversion of `a` between formats in all environments.
pub(crate) fn check_convert<From, To>(a: u64)
where
    From: Oracle,
    To: Oracle,
    From::Ap: FloatConvert<To::Ap> + FloatConvert<To::Wide>,
{
    for (round, tininess) in environments() {
        let got = run(round, tininess, |env| sf::convert::<From, To>(a, env));
        let source = ap::<From>(a);
        let mut result: StatusAnd<To::Ap> = source.convert_r(ap_round(round), &mut false);
        if source.is_signaling() {
            result.status = Status::INVALID_OP;
        }
        let want = expected::<To>(result, round, tininess, |round| {
            let wide: StatusAnd<To::Wide> = source.convert_r(round, &mut false);
            wide.value
        });
        check::<To>("convert to", round, &[a], got, want);
    }
}

#[test]
fn format_conversions_agree() {
    let mut cases = Cases::new(4);
    for _ in 0..10_000 {
        let (half, single, double) = (
            cases.value::<F16>(),
            cases.value::<F32>(),
            cases.value::<F64>(),
        );
        check_convert::<F16, F32>(half);
        check_convert::<F16, F64>(half);
        check_convert::<F32, F64>(single);
        check_convert::<F32, F16>(single);
        check_convert::<F64, F16>(double);
        check_convert::<F64, F32>(double);
        // Narrowing near the narrow format's edges and halfway points.
        let (half, single) = (cases.value::<F16>(), cases.value::<F32>());
        let env = &mut Env::default();
        let nudge = u64::from(cases.below(5)).wrapping_sub(2) << cases.below(30);
        check_convert::<F32, F16>(
            sf::convert::<F16, F32>(half, env).wrapping_add(nudge) & F32::MASK,
        );
        check_convert::<F64, F32>(sf::convert::<F32, F64>(single, env).wrapping_add(nudge));
    }
}

/// The conversion of `a` to all integer types in all rounding modes.
pub(crate) fn check_to_integers<F: Oracle>(a: u64) {
    let x = ap::<F>(a);
    for round in Round::ALL {
        let convert = |op: &dyn Fn(&mut Env) -> u64| run(round, Tininess::AfterRounding, op);
        let signed = |width: u32| {
            let result = x.to_i128_r(width as usize, ap_round(round), &mut false);
            // APFloat turns a NaN into zero.
            let value = if x.is_nan() {
                (1 << (width - 1)) - 1
            } else {
                result.value
            };
            (value as u64, flags(result.status))
        };
        let unsigned = |width: u32| {
            let result = x.to_u128_r(width as usize, ap_round(round), &mut false);
            let value = if x.is_nan() {
                u128::MAX >> (128 - width)
            } else {
                result.value
            };
            (value as u64, flags(result.status))
        };
        let got = convert(&|env| i64::from(sf::to_i32::<F>(a, env)) as u64);
        check::<F>("to_i32", round, &[a], got, signed(32));
        let got = convert(&|env| sf::to_i64::<F>(a, env) as u64);
        check::<F>("to_i64", round, &[a], got, signed(64));
        let got = convert(&|env| u64::from(sf::to_u32::<F>(a, env)));
        check::<F>("to_u32", round, &[a], got, unsigned(32));
        let got = convert(&|env| sf::to_u64::<F>(a, env));
        check::<F>("to_u64", round, &[a], got, unsigned(64));
    }
}

/// The conversions of `v`, as each integer type, in all rounding modes.
pub(crate) fn check_from_integers<F: Oracle>(v: u64) {
    for round in Round::ALL {
        let convert = |op: &dyn Fn(&mut Env) -> u64| run(round, Tininess::AfterRounding, op);
        let signed = |value: i64| {
            let narrow = F::Ap::from_i128_r(value.into(), ap_round(round));
            expected::<F>(narrow, round, Tininess::AfterRounding, |round| {
                F::Wide::from_i128_r(value.into(), round).value
            })
        };
        let unsigned = |value: u64| {
            let narrow = F::Ap::from_u128_r(value.into(), ap_round(round));
            expected::<F>(narrow, round, Tininess::AfterRounding, |round| {
                F::Wide::from_u128_r(value.into(), round).value
            })
        };
        let got = convert(&|env| sf::from_i32::<F>(v as i32, env));
        check::<F>("from_i32", round, &[v], got, signed((v as i32).into()));
        let got = convert(&|env| sf::from_i64::<F>(v as i64, env));
        check::<F>("from_i64", round, &[v], got, signed(v as i64));
        let got = convert(&|env| sf::from_u32::<F>(v as u32, env));
        check::<F>("from_u32", round, &[v], got, unsigned((v as u32).into()));
        let got = convert(&|env| sf::from_u64::<F>(v, env));
        check::<F>("from_u64", round, &[v], got, unsigned(v));
    }
}

#[test]
fn integer_conversions_agree() {
    fn all<F: Oracle>(cases: &mut Cases) {
        for _ in 0..10_000 {
            check_to_integers::<F>(cases.value::<F>());
            let v = cases.integer();
            check_from_integers::<F>(v);
            // Values at and around integers, the limits of types among them.
            let near = sf::from_i64::<F>(v as i64, &mut Env::default());
            let nudge = u64::from(cases.below(5)).wrapping_sub(2);
            check_to_integers::<F>(near.wrapping_add(nudge) & F::MASK);
        }
    }
    let mut cases = Cases::new(5);
    all::<F16>(&mut cases);
    all::<F32>(&mut cases);
    all::<F64>(&mut cases);
}
