//! All 65,536 values of binary16.

use isoform_softfloat as sf;
use isoform_softfloat::{Env, F16, F32, F64, Round, Tininess};

use crate::apfloat::{check_convert, check_from_integers, check_to_integers};
use crate::cases::{check, run};
use crate::reference;

#[test]
fn every_half_square_root() {
    for a in 0..=u64::from(u16::MAX) {
        for round in Round::ALL {
            let got = run(round, Tininess::AfterRounding, |env| {
                sf::sqrt::<F16>(a, env)
            });
            check::<F16>("sqrt", round, &[a], got, reference::sqrt::<F16>(a, round));
        }
    }
}

#[test]
fn every_half_conversion() {
    for a in 0..=u64::from(u16::MAX) {
        check_convert::<F16, F32>(a);
        check_convert::<F16, F64>(a);
        check_to_integers::<F16>(a);
        let widened = sf::convert::<F16, F32>(a, &mut Env::default());
        let env = &mut Env::default();
        let back = sf::convert::<F32, F16>(widened, env);
        assert!(env.flags.is_empty());
        let nan = sf::classify::<F16>(a) >= 1 << 8;
        assert_eq!(back, if nan { 0x7e00 } else { a });
    }
}

/// Past the largest half in both directions, so overflow included.
#[test]
fn every_integer_to_half() {
    for v in -66_000..=66_000_i64 {
        check_from_integers::<F16>(v as u64);
    }
}
