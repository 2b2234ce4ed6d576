//! Multiplication and division (Unpriv. 12). Division never traps: by zero and on
//! overflow it gives the values of table "Semantics for division".

use super::{Done, Rv, rr};
use isoform_core::{Cond, Insn, Size, Width, Width::*};

rr! {
    mul = |o, a, b| o.mul(W64, a, b);
    mulh = |o, a, b| o.mulh(a, b);
    mulhu = |o, a, b| o.mulhu(a, b);
    // The signed operand counts 2^64 too much where it is negative.
    mulhsu = |o, a, b| {
        let (high, sixty_three) = (o.mulhu(a, b), o.imm(63));
        let negative = o.sar(W64, a, sixty_three);
        let excess = o.and(negative, b);
        o.sub(W64, high, excess)
    };
    mulw = |o, a, b| o.mul(W32, a, b);
    div = |o, a, b| signed(o, W64, a, b, false);
    divu = |o, a, b| unsigned(o, W64, a, b, false);
    rem = |o, a, b| signed(o, W64, a, b, true);
    remu = |o, a, b| unsigned(o, W64, a, b, true);
    divw = |o, a, b| { let (a, b) = (o.sext(Size::B4, a), o.sext(Size::B4, b)); signed(o, W32, a, b, false) };
    divuw = |o, a, b| { let (a, b) = (o.zext(Size::B4, a), o.zext(Size::B4, b)); unsigned(o, W32, a, b, false) };
    remw = |o, a, b| { let (a, b) = (o.sext(Size::B4, a), o.sext(Size::B4, b)); signed(o, W32, a, b, true) };
    remuw = |o, a, b| { let (a, b) = (o.zext(Size::B4, a), o.zext(Size::B4, b)); unsigned(o, W32, a, b, true) };
}

/// Operands as wide as `w` and sign-extended.
#[inline(always)]
fn signed<O: Rv>(o: &mut O, w: Width, a: O::V, b: O::V, remainder: bool) -> O::V {
    let (zero, one, minus_one) = (o.imm(0), o.imm(1), o.imm(!0));
    let by_zero = o.cmp(Cond::Eq, b, zero);
    // Dividing by -1 is negation, which cannot overflow here: the guard divides by 1.
    let by_minus_one = o.cmp(Cond::Eq, b, minus_one);
    let odd = o.or(by_zero, by_minus_one);
    let divisor = o.select(odd, one, b);
    if remainder {
        let r = o.rem(w, a, divisor);
        let dividend = o.sext(if w == W32 { Size::B4 } else { Size::B8 }, a);
        o.select(by_zero, dividend, r)
    } else {
        let q = o.div(w, a, divisor);
        let negated = o.sub(w, zero, a);
        let q = o.select(by_minus_one, negated, q);
        o.select(by_zero, minus_one, q)
    }
}

/// Operands as wide as `w` and zero-extended.
#[inline(always)]
fn unsigned<O: Rv>(o: &mut O, w: Width, a: O::V, b: O::V, remainder: bool) -> O::V {
    let (zero, one, all) = (o.imm(0), o.imm(1), o.imm(!0));
    let by_zero = o.cmp(Cond::Eq, b, zero);
    let divisor = o.select(by_zero, one, b);
    if remainder {
        let r = o.remu(w, a, divisor);
        let dividend = o.sext(if w == W32 { Size::B4 } else { Size::B8 }, a);
        o.select(by_zero, dividend, r)
    } else {
        let q = o.divu(w, a, divisor);
        o.select(by_zero, all, q)
    }
}
