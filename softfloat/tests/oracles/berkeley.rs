//! Every operation it has against Berkeley SoftFloat, built with the RISC-V
//! rules for NaNs, integer conversions and tininess.

use isoform_softfloat as sf;
use isoform_softfloat::{Env, F16, F32, F64, Flags, Format, Round, Tininess};
use softfloat_wrapper as bk;
use softfloat_wrapper::{ExceptionFlags, Float, RoundingMode};

use crate::cases::{Cases, Outcome, check, run};

/// A format with its counterpart over there.
trait Oracle: Format {
    type Bk: Float;
    fn bk(a: u64) -> Self::Bk;
    fn bits(v: Self::Bk) -> u64;
}

impl Oracle for F16 {
    type Bk = bk::F16;
    fn bk(a: u64) -> bk::F16 {
        bk::F16::from_bits(a as u16)
    }
    fn bits(v: bk::F16) -> u64 {
        v.to_bits().into()
    }
}

impl Oracle for F32 {
    type Bk = bk::F32;
    fn bk(a: u64) -> bk::F32 {
        bk::F32::from_bits(a as u32)
    }
    fn bits(v: bk::F32) -> u64 {
        v.to_bits().into()
    }
}

impl Oracle for F64 {
    type Bk = bk::F64;
    fn bk(a: u64) -> bk::F64 {
        bk::F64::from_bits(a)
    }
    fn bits(v: bk::F64) -> u64 {
        v.to_bits()
    }
}

fn mode(round: Round) -> RoundingMode {
    match round {
        Round::NearestEven => RoundingMode::TiesToEven,
        Round::TowardZero => RoundingMode::TowardZero,
        Round::Down => RoundingMode::TowardNegative,
        Round::Up => RoundingMode::TowardPositive,
        Round::NearestMaxMagnitude => RoundingMode::TiesToAway,
    }
}

/// Runs `op` over there, with its (thread-local) flags cleared before.
fn theirs(op: impl FnOnce() -> u64) -> Outcome {
    ExceptionFlags::from_bits(0).set();
    let value = op();
    let mut raised = ExceptionFlags::default();
    raised.get();
    let mut flags = Flags::empty();
    flags.set(Flags::NX, raised.is_inexact());
    flags.set(Flags::UF, raised.is_underflow());
    flags.set(Flags::OF, raised.is_overflow());
    flags.set(Flags::DZ, raised.is_infinite());
    flags.set(Flags::NV, raised.is_invalid());
    (value, flags)
}

fn ours(round: Round, op: impl FnOnce(&mut Env) -> u64) -> Outcome {
    run(round, Tininess::AfterRounding, op)
}

type Op1 = fn(u64, &mut Env) -> u64;
type Op2<T> = fn(u64, u64, &mut Env) -> T;

fn arithmetic<F: Oracle>(cases: &mut Cases, round: Round) {
    let rm = mode(round);
    let (a, b, c) = cases.triple::<F>();
    let (x, y, z) = (F::bk(a), F::bk(b), F::bk(c));
    let binary: [(_, Op2<u64>, Outcome); 4] = [
        ("add", sf::add::<F>, theirs(|| F::bits(x.add(&y, rm)))),
        ("sub", sf::sub::<F>, theirs(|| F::bits(x.sub(&y, rm)))),
        ("mul", sf::mul::<F>, theirs(|| F::bits(x.mul(&y, rm)))),
        ("div", sf::div::<F>, theirs(|| F::bits(x.div(&y, rm)))),
    ];
    for (name, op, want) in binary {
        check::<F>(name, round, &[a, b], ours(round, |env| op(a, b, env)), want);
    }
    let compare: [(_, Op2<bool>, Outcome); 3] = [
        ("eq", sf::eq::<F>, theirs(|| x.eq(&y).into())),
        ("lt", sf::lt::<F>, theirs(|| x.lt(&y).into())),
        ("le", sf::le::<F>, theirs(|| x.le(&y).into())),
    ];
    for (name, op, want) in compare {
        let got = ours(round, |env| op(a, b, env).into());
        check::<F>(name, round, &[a, b], got, want);
    }
    let want = theirs(|| F::bits(x.sqrt(rm)));
    let got = ours(round, |env| sf::sqrt::<F>(a, env));
    check::<F>("sqrt", round, &[a], got, want);
    let want = theirs(|| F::bits(x.fused_mul_add(&y, &z, rm)));
    let got = ours(round, |env| sf::fma::<F>(a, b, c, env));
    check::<F>("fma", round, &[a, b, c], got, want);
}

fn conversions<F: Oracle>(cases: &mut Cases, round: Round) {
    let rm = mode(round);
    let v = cases.integer();
    let near = sf::from_i64::<F>(v as i64, &mut Env::default());
    for a in [cases.value::<F>(), near] {
        let x = F::bk(a);
        let unary: [(_, Op1, Outcome); 7] = [
            (
                "to_i32",
                |a, env| sf::to_i32::<F>(a, env) as u64,
                theirs(|| x.to_i32(rm, true) as u64),
            ),
            (
                "to_u32",
                |a, env| sf::to_u32::<F>(a, env).into(),
                theirs(|| x.to_u32(rm, true).into()),
            ),
            (
                "to_i64",
                |a, env| sf::to_i64::<F>(a, env) as u64,
                theirs(|| x.to_i64(rm, true) as u64),
            ),
            ("to_u64", sf::to_u64::<F>, theirs(|| x.to_u64(rm, true))),
            (
                "to F16",
                sf::convert::<F, F16>,
                theirs(|| x.to_f16(rm).to_bits().into()),
            ),
            (
                "to F32",
                sf::convert::<F, F32>,
                theirs(|| x.to_f32(rm).to_bits().into()),
            ),
            (
                "to F64",
                sf::convert::<F, F64>,
                theirs(|| x.to_f64(rm).to_bits()),
            ),
        ];
        for (name, op, want) in unary {
            // Over there a format converted to itself is just copied.
            if name != format!("to F{}", F::BITS) {
                check::<F>(name, round, &[a], ours(round, |env| op(a, env)), want);
            }
        }
    }
    let want = theirs(|| F::bits(F::Bk::from_i32(v as i32, rm)));
    let got = ours(round, |env| sf::from_i32::<F>(v as i32, env));
    check::<F>("from_i32", round, &[v], got, want);
    let want = theirs(|| F::bits(F::Bk::from_u32(v as u32, rm)));
    let got = ours(round, |env| sf::from_u32::<F>(v as u32, env));
    check::<F>("from_u32", round, &[v], got, want);
    let want = theirs(|| F::bits(F::Bk::from_i64(v as i64, rm)));
    let got = ours(round, |env| sf::from_i64::<F>(v as i64, env));
    check::<F>("from_i64", round, &[v], got, want);
    let want = theirs(|| F::bits(F::Bk::from_u64(v, rm)));
    let got = ours(round, |env| sf::from_u64::<F>(v, env));
    check::<F>("from_u64", round, &[v], got, want);
}

#[test]
fn everything_agrees() {
    fn all<F: Oracle>(cases: &mut Cases) {
        for _ in 0..20_000 {
            for round in Round::ALL {
                arithmetic::<F>(cases, round);
                conversions::<F>(cases, round);
            }
        }
    }
    let mut cases = Cases::new(8);
    all::<F16>(&mut cases);
    all::<F32>(&mut cases);
    all::<F64>(&mut cases);
}
