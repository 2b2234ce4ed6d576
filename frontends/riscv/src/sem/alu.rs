//! Integer computation: RV64I (Unpriv. 2.4 and 4.2).

use super::{Done, Rv, ri, rr};
use crate::format::Operands;
use isoform_core::{Cond, Insn, Width::*};

/// `lui rd, imm`
#[inline(always)]
pub(crate) fn lui<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    let value = o.simm(i);
    o.rd(i, value)
}

/// `auipc rd, imm`
#[inline(always)]
pub(crate) fn auipc<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    let value = o.pc_rel(i.simm());
    o.rd(i, value)
}

ri! {
    addi = |o, a, imm| o.add(W64, a, imm);
    slti = |o, a, imm| o.cmp(Cond::Lt, a, imm);
    sltiu = |o, a, imm| o.cmp(Cond::Ltu, a, imm);
    xori = |o, a, imm| o.xor(a, imm);
    ori = |o, a, imm| o.or(a, imm);
    andi = |o, a, imm| o.and(a, imm);
    slli = |o, a, imm| o.shl(W64, a, imm);
    srli = |o, a, imm| o.shr(W64, a, imm);
    srai = |o, a, imm| o.sar(W64, a, imm);
    addiw = |o, a, imm| o.add(W32, a, imm);
    slliw = |o, a, imm| o.shl(W32, a, imm);
    srliw = |o, a, imm| o.shr(W32, a, imm);
    sraiw = |o, a, imm| o.sar(W32, a, imm);
}

rr! {
    add = |o, a, b| o.add(W64, a, b);
    sub = |o, a, b| o.sub(W64, a, b);
    sll = |o, a, b| o.shl(W64, a, b);
    slt = |o, a, b| o.cmp(Cond::Lt, a, b);
    sltu = |o, a, b| o.cmp(Cond::Ltu, a, b);
    xor = |o, a, b| o.xor(a, b);
    srl = |o, a, b| o.shr(W64, a, b);
    sra = |o, a, b| o.sar(W64, a, b);
    or = |o, a, b| o.or(a, b);
    and = |o, a, b| o.and(a, b);
    addw = |o, a, b| o.add(W32, a, b);
    subw = |o, a, b| o.sub(W32, a, b);
    sllw = |o, a, b| o.shl(W32, a, b);
    srlw = |o, a, b| o.shr(W32, a, b);
    sraw = |o, a, b| o.sar(W32, a, b);
}
