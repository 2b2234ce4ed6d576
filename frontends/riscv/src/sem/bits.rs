//! Bit manipulation and conditional zeroing (Unpriv. "B", "Zicond").

use super::{Done, Rv, r1, ri, rr};
use crate::intrinsics::{CLMUL, CLMULH, CLMULR};
use isoform_core::{Cond, Helper, Insn, Size, Width, Width::*};

#[inline(always)]
fn shift_add<O: Rv>(o: &mut O, by: u64, a: O::V, b: O::V) -> O::V {
    let by = o.imm(by);
    let shifted = o.shl(W64, a, by);
    o.add(W64, shifted, b)
}

#[inline(always)]
fn shift_add_uw<O: Rv>(o: &mut O, by: u64, a: O::V, b: O::V) -> O::V {
    let a = o.zext(Size::B4, a);
    shift_add(o, by, a, b)
}

/// `1 << (b mod 64)`
#[inline(always)]
fn bit<O: Rv>(o: &mut O, b: O::V) -> O::V {
    let one = o.imm(1);
    o.shl(W64, one, b)
}

#[inline(always)]
fn rotate_left<O: Rv>(o: &mut O, w: Width, a: O::V, b: O::V) -> O::V {
    let zero = o.imm(0);
    let right = o.sub(W64, zero, b);
    o.rotr(w, a, right)
}

#[inline(always)]
fn choose<O: Rv>(o: &mut O, c: Cond, a: O::V, b: O::V) -> O::V {
    let first = o.cmp(c, a, b);
    o.select(first, a, b)
}

#[inline(always)]
fn clear_bit<O: Rv>(o: &mut O, a: O::V, b: O::V) -> O::V {
    let bit = bit(o, b);
    let others = o.not(bit);
    o.and(a, others)
}

#[inline(always)]
fn extract_bit<O: Rv>(o: &mut O, a: O::V, b: O::V) -> O::V {
    let (shifted, one) = (o.shr(W64, a, b), o.imm(1));
    o.and(shifted, one)
}

#[inline(always)]
fn invert_bit<O: Rv>(o: &mut O, a: O::V, b: O::V) -> O::V {
    let bit = bit(o, b);
    o.xor(a, bit)
}

#[inline(always)]
fn set_bit<O: Rv>(o: &mut O, a: O::V, b: O::V) -> O::V {
    let bit = bit(o, b);
    o.or(a, bit)
}

#[inline(always)]
fn zero_if<O: Rv>(o: &mut O, c: Cond, a: O::V, b: O::V) -> O::V {
    let zero = o.imm(0);
    let zeroed = o.cmp(c, b, zero);
    o.select(zeroed, zero, a)
}

/// 0xff in each byte of `a` that is not zero: bit 7 of a byte collects whether any of
/// its bits is set, then spreads.
#[inline(always)]
fn or_combine<O: Rv>(o: &mut O, a: O::V) -> O::V {
    let (low7, high) = (o.imm(0x7f7f_7f7f_7f7f_7f7f), o.imm(0x8080_8080_8080_8080));
    let (seven, bits) = (o.imm(7), o.and(a, low7));
    let carried = o.add(W64, bits, low7);
    let any = o.or(carried, a);
    let any = o.and(any, high);
    let unit = o.shr(W64, any, seven);
    let spread = o.sub(W64, any, unit);
    o.or(spread, any)
}

rr! {
    sh1add = |o, a, b| shift_add(o, 1, a, b);
    sh2add = |o, a, b| shift_add(o, 2, a, b);
    sh3add = |o, a, b| shift_add(o, 3, a, b);
    sh1add_uw = |o, a, b| shift_add_uw(o, 1, a, b);
    sh2add_uw = |o, a, b| shift_add_uw(o, 2, a, b);
    sh3add_uw = |o, a, b| shift_add_uw(o, 3, a, b);
    add_uw = |o, a, b| shift_add_uw(o, 0, a, b);
    andn = |o, a, b| { let b = o.not(b); o.and(a, b) };
    orn = |o, a, b| { let b = o.not(b); o.or(a, b) };
    xnor = |o, a, b| { let b = o.not(b); o.xor(a, b) };
    min = |o, a, b| choose(o, Cond::Lt, a, b);
    minu = |o, a, b| choose(o, Cond::Ltu, a, b);
    max = |o, a, b| choose(o, Cond::Ge, a, b);
    maxu = |o, a, b| choose(o, Cond::Geu, a, b);
    rol = |o, a, b| rotate_left(o, W64, a, b);
    rolw = |o, a, b| rotate_left(o, W32, a, b);
    ror = |o, a, b| o.rotr(W64, a, b);
    rorw = |o, a, b| o.rotr(W32, a, b);
    bclr = |o, a, b| clear_bit(o, a, b);
    bext = |o, a, b| extract_bit(o, a, b);
    binv = |o, a, b| invert_bit(o, a, b);
    bset = |o, a, b| set_bit(o, a, b);
    czero_eqz = |o, a, b| zero_if(o, Cond::Eq, a, b);
    czero_nez = |o, a, b| zero_if(o, Cond::Ne, a, b);
}

ri! {
    slli_uw = |o, a, imm| { let a = o.zext(Size::B4, a); o.shl(W64, a, imm) };
    rori = |o, a, imm| o.rotr(W64, a, imm);
    roriw = |o, a, imm| o.rotr(W32, a, imm);
    bclri = |o, a, imm| clear_bit(o, a, imm);
    bexti = |o, a, imm| extract_bit(o, a, imm);
    binvi = |o, a, imm| invert_bit(o, a, imm);
    bseti = |o, a, imm| set_bit(o, a, imm);
}

r1! {
    clz = |o, a| o.clz(W64, a);
    ctz = |o, a| o.ctz(W64, a);
    cpop = |o, a| o.popcnt(W64, a);
    clzw = |o, a| o.clz(W32, a);
    ctzw = |o, a| o.ctz(W32, a);
    cpopw = |o, a| o.popcnt(W32, a);
    sext_b = |o, a| o.sext(Size::B1, a);
    sext_h = |o, a| o.sext(Size::B2, a);
    zext_h = |o, a| o.zext(Size::B2, a);
    orc_b = |o, a| or_combine(o, a);
    rev8 = |o, a| o.bswap(a);
}

#[inline(always)]
fn carry_less<O: Rv>(o: &mut O, i: &Insn, helper: &'static Helper<crate::Hart>) -> Done<O> {
    let (a, b, none) = (o.rs1(i), o.rs2(i), o.imm(0));
    let product = o.helper(helper, [a, b, none, none])?;
    o.rd(i, product)
}

/// `clmul rd, rs1, rs2`
#[inline(always)]
pub(crate) fn clmul<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    carry_less(o, i, &CLMUL)
}

/// `clmulh rd, rs1, rs2`
#[inline(always)]
pub(crate) fn clmulh<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    carry_less(o, i, &CLMULH)
}

/// `clmulr rd, rs1, rs2`
#[inline(always)]
pub(crate) fn clmulr<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    carry_less(o, i, &CLMULR)
}
