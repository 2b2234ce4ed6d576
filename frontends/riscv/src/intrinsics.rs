//! Helpers that compute what `Ops` has no words for.

use crate::hart::Hart;
use crate::trap::{Cause, Trap};
use isoform_core::ops::Effects;
use isoform_core::{Exit, Helper};

/// The full 128-bit carry-less product (Unpriv. "Zbc").
fn carry_less(a: u64, b: u64) -> u128 {
    (0..64)
        .filter(|i| b >> i & 1 != 0)
        .fold(0, |sum, i| sum ^ u128::from(a) << i)
}

macro_rules! pure {
    ($( $(#[$doc:meta])* $name:ident = |$a:ident, $b:ident| $value:expr; )*) => { $(
        $(#[$doc])*
        pub(crate) static $name: Helper<Hart> = Helper {
            name: stringify!($name),
            call: |_, [$a, $b, _, _]| Ok($value),
            effects: Effects::NONE,
            float: None,
        };
    )* };
}

pure! {
    /// The lower half of the carry-less product.
    CLMUL = |a, b| carry_less(a, b) as u64;
    /// The upper half.
    CLMULH = |a, b| (carry_less(a, b) >> 64) as u64;
    /// Bits 126:63.
    CLMULR = |a, b| (carry_less(a, b) >> 63) as u64;
}

/// Traps where a jump target is no multiple of 4 (harts without C).
pub(crate) static CHECK_TARGET: Helper<Hart> = Helper {
    name: "CHECK_TARGET",
    call: |_, [target, ..]| match target & 3 {
        0 => Ok(0),
        _ => Err(Trap::new(Cause::InstructionMisaligned, target)),
    },
    effects: Effects::TRAPS,
    float: None,
};

/// `amocas.q`: address, number of rd, number of rs2 (Unpriv. "Zacas"). A pair that
/// starts at x0 reads as zero and is not written.
pub(crate) static AMOCAS_Q: Helper<Hart> = Helper {
    name: "AMOCAS_Q",
    call: |h, [addr, rd, rs2, _]| {
        let (rd, rs2) = (rd as usize & 30, rs2 as usize & 30);
        let pair = |h: &Hart, r: usize| match r {
            0 => 0,
            _ => u128::from(h.state.x[r + 1]) << 64 | u128::from(h.state.x[r]),
        };
        let old = h.compare_exchange_128(addr, pair(h, rd), pair(h, rs2))?;
        if rd != 0 {
            h.state.x[rd] = old as u64;
            h.state.x[rd + 1] = (old >> 64) as u64;
        }
        Ok(0)
    },
    effects: Effects {
        registers: true,
        ..Effects::TRAPS
    },
    float: None,
};

/// `pause`: a hart that spins lets others run (Unpriv. "Zihintpause"). How is the run
/// loop's to say: harts may share a thread.
pub(crate) static PAUSE: Helper<Hart> = Helper {
    name: "PAUSE",
    call: |h, _| {
        h.exit = Some(Exit::Wait { spurious_ok: true });
        Ok(0)
    },
    effects: Effects {
        ends_unit: true,
        ..Effects::NONE
    },
    float: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carry_less_products() {
        assert_eq!(carry_less(0b11, 0b11), 0b101);
        assert_eq!(carry_less(u64::MAX, 2), u128::from(u64::MAX) << 1);
        assert_eq!(carry_less(1 << 63, 1 << 63), 1 << 126);
    }
}
