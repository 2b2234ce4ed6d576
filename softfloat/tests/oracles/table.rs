//! Hand-picked cases with value and flags, worked out from the standard and
//! the RISC-V manual rather than from any implementation.

use isoform_softfloat as sf;
use isoform_softfloat::{Env, F16, F32, F64, Flags, Round, Tininess};

use crate::cases::{check, run};

const RNE: Round = Round::NearestEven;
const RTZ: Round = Round::TowardZero;
const RDN: Round = Round::Down;
const RUP: Round = Round::Up;
const RMM: Round = Round::NearestMaxMagnitude;

const NONE: Flags = Flags::empty();
const NX: Flags = Flags::NX;
const NV: Flags = Flags::NV;
const DZ: Flags = Flags::DZ;
const UF_NX: Flags = Flags::UF.union(Flags::NX);
const OF_NX: Flags = Flags::OF.union(Flags::NX);

/// binary32 values by name.
const ONE: u64 = 0x3f80_0000;
const TWO: u64 = 0x4000_0000;
const INF: u64 = 0x7f80_0000;
const MAX: u64 = 0x7f7f_ffff;
const MIN: u64 = 0x0080_0000;
const NEG: u64 = 0x8000_0000;
const QNAN: u64 = 0x7fc0_0000;
const QNAN_PAYLOAD: u64 = 0xffc1_2345;
const SNAN: u64 = 0x7f80_0001;

type Binary = fn(u64, u64, &mut Env) -> u64;

#[test]
fn sums() {
    let add: Binary = sf::add::<F32>;
    let sub: Binary = sf::sub::<F32>;
    // Half a unit in the last place of one, and of the largest value.
    let half_ulp = 0x3380_0000;
    let half_ulp_of_max = 0x7300_0000;
    let cases = [
        (add, RNE, ONE, ONE, TWO, NONE),
        (sub, RNE, ONE, ONE, 0, NONE),
        (sub, RDN, ONE, ONE, NEG, NONE),
        (add, RUP, 0, NEG, 0, NONE),
        (add, RDN, 0, NEG, NEG, NONE),
        (add, RUP, NEG, NEG, NEG, NONE),
        (sub, RDN, 0, NEG, 0, NONE),
        // Ties: one is even, one plus a unit is odd.
        (add, RNE, ONE, half_ulp, ONE, NX),
        (add, RMM, ONE, half_ulp, ONE + 1, NX),
        (add, RUP, ONE, half_ulp, ONE + 1, NX),
        (add, RTZ, ONE, half_ulp, ONE, NX),
        (add, RNE, ONE + 1, half_ulp, ONE + 2, NX),
        (add, RMM, ONE | NEG, half_ulp | NEG, (ONE + 1) | NEG, NX),
        (add, RDN, ONE | NEG, half_ulp | NEG, (ONE + 1) | NEG, NX),
        // The smallest value far below still decides directed rounding.
        (add, RUP, ONE, 1, ONE + 1, NX),
        (add, RDN, ONE, 1, ONE, NX),
        (sub, RDN, ONE, 1, ONE - 1, NX),
        (sub, RTZ, ONE, 1, ONE - 1, NX),
        (sub, RNE, ONE, 1, ONE, NX),
        // Overflow by rounding alone; toward zero it is no overflow.
        (add, RNE, MAX, half_ulp_of_max, INF, OF_NX),
        (add, RMM, MAX, half_ulp_of_max, INF, OF_NX),
        (add, RNE, MAX, half_ulp_of_max - 1, MAX, NX),
        (add, RTZ, MAX, half_ulp_of_max, MAX, NX),
        (add, RTZ, MAX, MAX, MAX, OF_NX),
        (add, RDN, MAX, MAX, MAX, OF_NX),
        (add, RUP, MAX | NEG, MAX | NEG, MAX | NEG, OF_NX),
        (add, RDN, MAX | NEG, MAX | NEG, INF | NEG, OF_NX),
        // Subnormal sums are exact.
        (add, RNE, MIN - 1, 1, MIN, NONE),
        (sub, RNE, MIN, 1, MIN - 1, NONE),
        (add, RNE, INF, MAX | NEG, INF, NONE),
        (add, RNE, INF, INF | NEG, QNAN, NV),
        (sub, RNE, INF, INF, QNAN, NV),
        (sub, RNE, INF, INF | NEG, INF, NONE),
        (add, RNE, QNAN_PAYLOAD, ONE, QNAN, NONE),
        (add, RNE, ONE, SNAN, QNAN, NV),
    ];
    for (op, round, a, b, want, flags) in cases {
        let got = run(round, Tininess::AfterRounding, |env| op(a, b, env));
        check::<F32>("add or sub", round, &[a, b], got, (want, flags));
    }
}

#[test]
fn products_and_quotients() {
    let mul: Binary = sf::mul::<F32>;
    let div: Binary = sf::div::<F32>;
    let half = 0x3f00_0000;
    let three = 0x4040_0000;
    let cases = [
        (mul, RNE, TWO, three, 0x40c0_0000, NONE),
        (mul, RNE, 0, ONE | NEG, NEG, NONE),
        (mul, RNE, 0, INF, QNAN, NV),
        (mul, RNE, INF | NEG, TWO, INF | NEG, NONE),
        (mul, RNE, MAX, TWO, INF, OF_NX),
        (mul, RTZ, MAX, TWO, MAX, OF_NX),
        // Exact subnormal results do not underflow.
        (mul, RNE, MIN, half, MIN >> 1, NONE),
        // Half the smallest value: a tie with zero.
        (mul, RNE, 1, half, 0, UF_NX),
        (mul, RMM, 1, half, 1, UF_NX),
        (mul, RUP, 1, half, 1, UF_NX),
        (mul, RDN, 1 | NEG, half, 1 | NEG, UF_NX),
        (mul, RNE, 3, half, 2, UF_NX),
        (mul, RUP, 1, 1, 1, UF_NX),
        (mul, RNE, 1, 1, 0, UF_NX),
        (div, RNE, ONE, three, 0x3eaa_aaab, NX),
        (div, RTZ, ONE, three, 0x3eaa_aaaa, NX),
        (div, RNE, ONE, 0, INF, DZ),
        (div, RNE, ONE, NEG, INF | NEG, DZ),
        (div, RNE, 0, 0, QNAN, NV),
        (div, RNE, INF, INF, QNAN, NV),
        (div, RNE, INF, 0, INF, NONE),
        (div, RNE, ONE | NEG, INF, NEG, NONE),
        (div, RNE, QNAN, 0, QNAN, NONE),
        (div, RNE, 1, TWO, 0, UF_NX),
        (div, RNE, MAX, half, INF, OF_NX),
        (div, RNE, 1, 1, ONE, NONE),
    ];
    for (op, round, a, b, want, flags) in cases {
        let got = run(round, Tininess::AfterRounding, |env| op(a, b, env));
        check::<F32>("mul or div", round, &[a, b], got, (want, flags));
    }
}

/// Products around the smallest normal value, `2^-126`, by both rules.
#[test]
fn tininess() {
    let before = Tininess::BeforeRounding;
    let after = Tininess::AfterRounding;
    let below_one = ONE - 1;
    let above_one = ONE + 1;
    let cases = [
        // 1 - 2^-24 is exact at 24 digits and tiny either way, though the
        // subnormal tie rounds up to the smallest normal value.
        (RNE, MIN, below_one, MIN, before, UF_NX),
        (RNE, MIN, below_one, MIN, after, UF_NX),
        (RDN, MIN, below_one, MIN - 1, after, UF_NX),
        // (1 + 2^-23)(1 - 2^-24) is above one: not tiny.
        (RTZ, MIN + 1, below_one, MIN, before, NX),
        // (1 - 2^-23)(1 + 2^-23) = 1 - 2^-46: tiny before rounding only,
        // as 24 digits round it up to one.
        (RNE, MIN - 1, above_one, MIN, before, UF_NX),
        (RNE, MIN - 1, above_one, MIN, after, NX),
        (RUP, MIN - 1, above_one, MIN, after, NX),
        (RMM, MIN - 1, above_one, MIN, after, NX),
        (RTZ, MIN - 1, above_one, MIN - 1, after, UF_NX),
    ];
    for (round, a, b, want, tininess, flags) in cases {
        let got = run(round, tininess, |env| sf::mul::<F32>(a, b, env));
        check::<F32>("mul", round, &[a, b], got, (want, flags));
    }
}

#[test]
fn fused() {
    let cases = [
        (RNE, TWO, TWO, ONE, 0x40a0_0000, NONE),
        // (1 + e)^2 - (1 + 2e) leaves e^2, which two roundings would lose.
        (RNE, ONE + 1, ONE + 1, (ONE + 2) | NEG, 0x2880_0000, NONE),
        (RNE, ONE, ONE, ONE | NEG, 0, NONE),
        (RDN, ONE, ONE, ONE | NEG, NEG, NONE),
        (RNE, 0, ONE | NEG, NEG, NEG, NONE),
        (RDN, 0, ONE, NEG, NEG, NONE),
        (RNE, 0, ONE, NEG, 0, NONE),
        (RNE, 0, ONE, 1, 1, NONE),
        // The product alone would overflow.
        (RNE, MAX, TWO, MAX | NEG, MAX, NONE),
        (RNE, MAX, TWO, MAX, INF, OF_NX),
        // Infinity times zero is invalid whatever is added.
        (RNE, INF, 0, ONE, QNAN, NV),
        (RNE, 0, INF, QNAN_PAYLOAD, QNAN, NV),
        (RNE, INF, ONE, INF | NEG, QNAN, NV),
        (RNE, INF, ONE, INF, INF, NONE),
        (RNE, ONE, ONE, INF | NEG, INF | NEG, NONE),
        (RNE, QNAN, 0, ONE, QNAN, NONE),
        (RNE, QNAN, SNAN, ONE, QNAN, NV),
        (RNE, ONE, ONE, SNAN, QNAN, NV),
        // A product far below the addend still makes it inexact.
        (RUP, 1, 1, ONE, ONE + 1, NX),
        (RTZ, 1, 1 | NEG, ONE, ONE - 1, NX),
    ];
    for (round, a, b, c, want, flags) in cases {
        let got = run(round, Tininess::AfterRounding, |env| {
            sf::fma::<F32>(a, b, c, env)
        });
        check::<F32>("fma", round, &[a, b, c], got, (want, flags));
    }
}

#[test]
fn square_roots() {
    let cases = [
        (RNE, 0x4080_0000, TWO, NONE),
        (RNE, TWO, 0x3fb5_04f3, NX),
        (RUP, TWO, 0x3fb5_04f4, NX),
        (RNE, NEG, NEG, NONE),
        (RNE, ONE | NEG, QNAN, NV),
        (RNE, 1 | NEG, QNAN, NV),
        (RNE, INF, INF, NONE),
        (RNE, INF | NEG, QNAN, NV),
        (RNE, QNAN_PAYLOAD, QNAN, NONE),
        (RNE, SNAN, QNAN, NV),
        // 2^-149 is an odd power of two; 2^-148 an even one.
        (RNE, 2, 0x1a80_0000, NONE),
        (RNE, 1, 0x1a35_04f3, NX),
    ];
    for (round, a, want, flags) in cases {
        let got = run(round, Tininess::AfterRounding, |env| {
            sf::sqrt::<F32>(a, env)
        });
        check::<F32>("sqrt", round, &[a], got, (want, flags));
    }
}

#[test]
fn comparisons_minima_and_maxima() {
    let bit = |op: fn(u64, u64, &mut Env) -> bool, a, b| {
        run(RNE, Tininess::AfterRounding, |env| op(a, b, env).into())
    };
    let comparisons = [
        (0, NEG, (1, 0, 1), (NONE, NONE)),
        (ONE | NEG, ONE, (0, 1, 1), (NONE, NONE)),
        (TWO | NEG, ONE | NEG, (0, 1, 1), (NONE, NONE)),
        (INF, MAX, (0, 0, 0), (NONE, NONE)),
        (INF, INF, (1, 0, 1), (NONE, NONE)),
        (QNAN, QNAN, (0, 0, 0), (NONE, NV)),
        (ONE, SNAN, (0, 0, 0), (NV, NV)),
    ];
    for (a, b, (eq, lt, le), (quiet, signaling)) in comparisons {
        check::<F32>("eq", RNE, &[a, b], bit(sf::eq::<F32>, a, b), (eq, quiet));
        check::<F32>(
            "lt",
            RNE,
            &[a, b],
            bit(sf::lt::<F32>, a, b),
            (lt, signaling),
        );
        check::<F32>(
            "le",
            RNE,
            &[a, b],
            bit(sf::le::<F32>, a, b),
            (le, signaling),
        );
    }
    let extremes = [
        (0, NEG, NEG, 0, NONE),
        (NEG, 0, NEG, 0, NONE),
        (ONE, TWO | NEG, TWO | NEG, ONE, NONE),
        (INF | NEG, MAX, INF | NEG, MAX, NONE),
        (QNAN, ONE, ONE, ONE, NONE),
        (ONE, SNAN, ONE, ONE, NV),
        (SNAN, QNAN, QNAN, QNAN, NV),
        (QNAN_PAYLOAD, QNAN_PAYLOAD, QNAN, QNAN, NONE),
    ];
    for (a, b, min, max, flags) in extremes {
        let got = run(RNE, Tininess::AfterRounding, |env| {
            sf::min::<F32>(a, b, env)
        });
        check::<F32>("min", RNE, &[a, b], got, (min, flags));
        let got = run(RNE, Tininess::AfterRounding, |env| {
            sf::max::<F32>(a, b, env)
        });
        check::<F32>("max", RNE, &[a, b], got, (max, flags));
    }
}

/// The limits and halves, from binary64, which has all of them exactly.
#[test]
#[rustfmt::skip]
fn doubles_to_integers() {
    let cases = [
        (RNE, 0.5, (0, NX), (0, NX), (0, NX), (0, NX)),
        (RMM, 0.5, (1, NX), (1, NX), (1, NX), (1, NX)),
        (RNE, 1.5, (2, NX), (2, NX), (2, NX), (2, NX)),
        (RNE, 2.5, (2, NX), (2, NX), (2, NX), (2, NX)),
        (RUP, 5e-324, (1, NX), (1, NX), (1, NX), (1, NX)),
        (RNE, -0.0, (0, NONE), (0, NONE), (0, NONE), (0, NONE)),
        (RTZ, -0.9, (0, NX), (0, NX), (0, NX), (0, NX)),
        (RDN, -0.1, (-1, NX), (0, NV), (-1, NX), (0, NV)),
        (RNE, -1.0, (-1, NONE), (0, NV), (-1, NONE), (0, NV)),
        (RTZ, 2147483647.5, (i32::MAX, NX), (0x7fff_ffff, NX), (0x7fff_ffff, NX), (0x7fff_ffff, NX)),
        (RNE, 2147483647.5, (i32::MAX, NV), (1 << 31, NX), (1 << 31, NX), (1 << 31, NX)),
        (RTZ, -2147483648.5, (i32::MIN, NX), (0, NV), (-(1 << 31), NX), (0, NV)),
        (RNE, 4294967296.0, (i32::MAX, NV), (u32::MAX, NV), (1 << 32, NONE), (1 << 32, NONE)),
        (RNE, 9223372036854775808.0, (i32::MAX, NV), (u32::MAX, NV), (i64::MAX, NV), (1 << 63, NONE)),
        (RNE, -9223372036854775808.0, (i32::MIN, NV), (0, NV), (i64::MIN, NONE), (0, NV)),
        (RNE, f64::INFINITY, (i32::MAX, NV), (u32::MAX, NV), (i64::MAX, NV), (u64::MAX, NV)),
    ];
    for (round, v, i32_want, u32_want, i64_want, u64_want) in cases {
        let mut envs = [Env::riscv(round); 4];
        let [e0, e1, e2, e3] = &mut envs;
        let a = v.to_bits();
        assert_eq!((sf::to_i32::<F64>(a, e0), e0.flags), i32_want, "to_i32 {v} {round:?}");
        assert_eq!((sf::to_u32::<F64>(a, e1), e1.flags), u32_want, "to_u32 {v} {round:?}");
        assert_eq!((sf::to_i64::<F64>(a, e2), e2.flags), i64_want, "to_i64 {v} {round:?}");
        assert_eq!((sf::to_u64::<F64>(a, e3), e3.flags), u64_want, "to_u64 {v} {round:?}");
    }
}

/// NaNs of either sign and kind count as above the range.
#[test]
fn nans_to_integers() {
    for a in [QNAN, SNAN, QNAN | NEG, SNAN | NEG] {
        let env = &mut Env::default();
        assert_eq!(sf::to_i32::<F32>(a, env), i32::MAX);
        assert_eq!(sf::to_u32::<F32>(a, env), u32::MAX);
        assert_eq!(sf::to_i64::<F32>(a, env), i64::MAX);
        assert_eq!(sf::to_u64::<F32>(a, env), u64::MAX);
        assert_eq!(env.flags, NV);
    }
}

#[test]
fn integers_to_floats() {
    let cases = [
        (RNE, 0, 0, NONE),
        (RNE, 1, 0x3c00, NONE),
        (RNE, -3, 0xc200, NONE),
        (RNE, 2049, 0x6800, NX),
        (RMM, 2049, 0x6801, NX),
        (RNE, 65_504, 0x7bff, NONE),
        (RNE, 65_519, 0x7bff, NX),
        (RNE, 65_520, 0x7c00, OF_NX),
        (RTZ, 65_520, 0x7bff, NX),
        (RTZ, 65_536, 0x7bff, OF_NX),
        (RUP, i64::MIN, 0xfbff, OF_NX),
        (RDN, i64::MIN, 0xfc00, OF_NX),
    ];
    for (round, v, want, flags) in cases {
        let got = run(round, Tininess::AfterRounding, |env| {
            sf::from_i64::<F16>(v, env)
        });
        check::<F16>("from_i64", round, &[v as u64], got, (want, flags));
    }
    let env = &mut Env::default();
    assert_eq!(sf::from_i64::<F64>(i64::MIN, env), 0xc3e0_0000_0000_0000);
    assert_eq!(sf::from_i32::<F64>(i32::MIN, env), 0xc1e0_0000_0000_0000);
    assert_eq!(sf::from_u32::<F64>(u32::MAX, env), 0x41ef_ffff_ffe0_0000);
    assert_eq!(env.flags, NONE);
    assert_eq!(sf::from_u64::<F64>(u64::MAX, env), 0x43f0_0000_0000_0000);
    assert_eq!(env.flags, NX);
}

#[test]
fn classes() {
    let singles = [
        INF | NEG,
        MAX | NEG,
        1 | NEG,
        NEG,
        0,
        MIN - 1,
        MIN,
        INF,
        SNAN,
        QNAN,
    ];
    for (bit, a) in singles.into_iter().enumerate() {
        assert_eq!(sf::classify::<F32>(a), 1 << bit, "{a:#x}");
    }
    assert_eq!(sf::classify::<F32>(SNAN | NEG), 1 << 8);
    assert_eq!(sf::classify::<F16>(0xfe00), 1 << 9);
    assert_eq!(sf::classify::<F64>(0x000f_ffff_ffff_ffff), 1 << 5);
}

#[test]
fn flags_accumulate_and_match_fflags() {
    let env = &mut Env::default();
    sf::div::<F32>(ONE, 0, env);
    sf::mul::<F32>(MAX, MAX, env);
    sf::add::<F32>(ONE, ONE, env);
    assert_eq!(env.flags, Flags::DZ | Flags::OF | Flags::NX);
    assert_eq!(env.flags.bits(), 0b01101);
    sf::mul::<F32>(1, 1, env);
    sf::sqrt::<F32>(ONE | NEG, env);
    assert_eq!(env.flags.bits(), 0b11111);
}

#[test]
fn rounding_modes_have_their_encodings() {
    for (rm, round) in Round::ALL.into_iter().enumerate() {
        assert_eq!(round as usize, rm);
        assert_eq!(Round::from_rm(rm as u8), Some(round));
    }
    assert_eq!((5..=u8::MAX).find_map(Round::from_rm), None);
}

/// What lies above the format's width is ignored and not handed on.
#[test]
fn high_bits_are_ignored() {
    let high = 0xdead_beef_0000_0000;
    for (a, b) in [
        (ONE, TWO),
        (0, NEG),
        (INF, ONE),
        (NEG, NEG),
        (1, MAX),
        (QNAN, ONE),
    ] {
        for op in [
            sf::add::<F32>,
            sf::sub::<F32>,
            sf::mul::<F32>,
            sf::div::<F32>,
            sf::min::<F32>,
            sf::max::<F32>,
            |a, b, env| sf::fma::<F32>(0, a, b, env),
            |a, _, env| sf::sqrt::<F32>(a, env),
            |a, b, env| sf::eq::<F32>(a, b, env).into(),
            |a, b, env| sf::lt::<F32>(a, b, env).into(),
            |a, b, env| sf::le::<F32>(a, b, env).into(),
            |a, _, env| sf::to_u64::<F32>(a, env),
            |a, _, env| sf::convert::<F32, F16>(a, env),
            |a, _, _| sf::classify::<F32>(a).into(),
        ] as [Binary; 14]
        {
            let clean = op(a, b, &mut Env::default());
            assert_eq!(op(a | high, b | high, &mut Env::default()), clean);
        }
    }
}
