//! Nearest-even results against this machine's FPU, values only: flags and
//! NaN payloads of the host are out of Rust's reach.

use isoform_softfloat as sf;
use isoform_softfloat::{Env, F32, F64};

use crate::cases::Cases;

/// The value as the FPU gave it. The optimiser may take any NaN for any other, and then
/// finds that to replace one by the canonical NaN changes nothing.
fn computed<T>(v: T) -> T {
    std::hint::black_box(v)
}

#[test]
fn double_agrees_with_the_host() {
    let mut cases = Cases::new(6);
    let canonical = |v: f64| {
        let v = computed(v);
        if v.is_nan() {
            0x7ff8_0000_0000_0000
        } else {
            v.to_bits()
        }
    };
    for _ in 0..50_000 {
        let (a, b, c) = cases.triple::<F64>();
        let (x, y, z) = (f64::from_bits(a), f64::from_bits(b), f64::from_bits(c));
        let env = &mut Env::default();
        assert_eq!(sf::add::<F64>(a, b, env), canonical(x + y), "{x:e} + {y:e}");
        assert_eq!(sf::sub::<F64>(a, b, env), canonical(x - y), "{x:e} - {y:e}");
        assert_eq!(sf::mul::<F64>(a, b, env), canonical(x * y), "{x:e} * {y:e}");
        assert_eq!(sf::div::<F64>(a, b, env), canonical(x / y), "{x:e} / {y:e}");
        assert_eq!(sf::sqrt::<F64>(a, env), canonical(x.sqrt()), "sqrt {x:e}");
        let fused = canonical(x.mul_add(y, z));
        assert_eq!(sf::fma::<F64>(a, b, c, env), fused, "{x:e} * {y:e} + {z:e}");
    }
}

#[test]
fn single_agrees_with_the_host() {
    let mut cases = Cases::new(7);
    let canonical = |v: f32| {
        let v = computed(v);
        u64::from(if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() })
    };
    for _ in 0..50_000 {
        let (a, b, c) = cases.triple::<F32>();
        let [x, y, z] = [a, b, c].map(|v| f32::from_bits(v as u32));
        let env = &mut Env::default();
        assert_eq!(sf::add::<F32>(a, b, env), canonical(x + y), "{x:e} + {y:e}");
        assert_eq!(sf::sub::<F32>(a, b, env), canonical(x - y), "{x:e} - {y:e}");
        assert_eq!(sf::mul::<F32>(a, b, env), canonical(x * y), "{x:e} * {y:e}");
        assert_eq!(sf::div::<F32>(a, b, env), canonical(x / y), "{x:e} / {y:e}");
        assert_eq!(sf::sqrt::<F32>(a, env), canonical(x.sqrt()), "sqrt {x:e}");
        let fused = canonical(x.mul_add(y, z));
        assert_eq!(sf::fma::<F32>(a, b, c, env), fused, "{x:e} * {y:e} + {z:e}");
    }
}
