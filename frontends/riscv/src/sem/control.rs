//! Jumps and branches (Unpriv. 2.5).

use super::{Done, Rv};
use crate::format::Operands;
use crate::intrinsics::CHECK_TARGET;
use isoform_core::{Cond, Insn};

/// Nothing at all: hints.
#[inline(always)]
pub(crate) fn nop<O: Rv>(_: &mut O, _: &Insn) -> Done<O> {
    Ok(())
}

/// Without C, a taken jump to an address that is not a multiple of 4 traps.
#[inline(always)]
fn check_target<O: Rv>(o: &mut O, target: O::V) -> Done<O> {
    if o.mode().ialign_32 {
        let none = o.imm(0);
        o.helper(&CHECK_TARGET, [target, none, none, none])?;
    }
    Ok(())
}

/// `jal rd, offset`
#[inline(always)]
pub(crate) fn jal<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    let target = o.pc_rel(i.simm());
    check_target(o, target)?;
    let link = o.next_pc();
    o.jump(i.simm());
    o.rd(i, link)
}

/// `jalr rd, offset(rs1)`
#[inline(always)]
pub(crate) fn jalr<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    let (address, even) = (o.address(i), o.imm(!1));
    let target = o.and(address, even);
    check_target(o, target)?;
    let link = o.next_pc();
    o.jump_to(target);
    o.rd(i, link)
}

#[inline(always)]
fn branch<O: Rv>(o: &mut O, i: &Insn, c: Cond) -> Done<O> {
    let (a, b) = (o.rs1(i), o.reg(i.rs2_s()));
    let taken = o.cmp(c, a, b);
    if o.mode().ialign_32 {
        let (target, zero) = (o.pc_rel(i.simm()), o.imm(0));
        let target = o.select(taken, target, zero);
        check_target(o, target)?;
    }
    o.branch(taken, i.simm());
    Ok(())
}

macro_rules! branches {
    ($( $name:ident $cond:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rs1, rs2, offset`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            branch(o, i, Cond::$cond)
        }
    )* };
}

branches! {
    beq Eq;
    bne Ne;
    blt Lt;
    bge Ge;
    bltu Ltu;
    bgeu Geu;
}
