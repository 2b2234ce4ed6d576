//! Instructions that act on the machine rather than on values: CSRs, traps and their
//! return, fences of code and of translations, cache blocks (Unpriv. 6, "CMO",
//! "Zawrs"; Priv. 3.3, 12.2). What they do lies in [`crate::system`].

use super::{Done, Rv};
use crate::format::Operands;
use crate::system::{self as sys, CsrOp};
use isoform_core::{Helper, Insn};

/// What is no instruction.
#[inline(always)]
pub(crate) fn illegal<O: Rv>(o: &mut O, _: &Insn) -> Done<O> {
    o.trap(crate::Trap::ILLEGAL)
}

/// Calls a helper that takes no operands and gives nothing.
#[inline(always)]
fn call<O: Rv>(o: &mut O, helper: &'static Helper<crate::Hart>) -> Done<O> {
    let none = o.imm(0);
    o.helper(helper, [none; 4]).map(|_| ())
}

macro_rules! calls {
    ($( $name:ident $helper:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, _: &Insn) -> Done<O> {
            call(o, &sys::$helper)
        }
    )* };
}

calls! {
    fence_i FENCE_I;
    ecall ECALL;
    ebreak EBREAK;
    wfi WFI;
    wrs_nto WRS_NTO;
    wrs_sto WRS_STO;
    sfence_w_inval SFENCE_W_INVAL;
    sfence_inval_ir SFENCE_INVAL_IR;
}

/// `pause`
#[inline(always)]
pub(crate) fn pause<O: Rv>(o: &mut O, _: &Insn) -> Done<O> {
    call(o, &crate::intrinsics::PAUSE)
}

macro_rules! returns {
    ($( $name:ident $helper:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, _: &Insn) -> Done<O> {
            let none = o.imm(0);
            let pc = o.helper(&sys::$helper, [none; 4])?;
            o.jump_to(pc);
            Ok(())
        }
    )* };
}

returns! {
    mret MRET;
    sret SRET;
}

/// The arguments say which of address and ASID are given: x0 means all.
#[inline(always)]
fn translation_fence<O: Rv>(o: &mut O, i: &Insn, helper: &'static Helper<crate::Hart>) -> Done<O> {
    let (address, asid) = (o.rs1(i), o.rs2(i));
    let (one, all) = (
        o.imm((i.rs1().0 != 0).into()),
        o.imm((i.rs2().0 != 0).into()),
    );
    o.helper(helper, [address, asid, one, all]).map(|_| ())
}

/// `sfence.vma rs1, rs2`
#[inline(always)]
pub(crate) fn sfence_vma<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    translation_fence(o, i, &sys::SFENCE_VMA)
}

/// `sinval.vma rs1, rs2`
#[inline(always)]
pub(crate) fn sinval_vma<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    translation_fence(o, i, &sys::SINVAL_VMA)
}

macro_rules! cache_blocks {
    ($( $name:ident $helper:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), " (rs1)`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let (address, none) = (o.rs1(i), o.imm(0));
            o.helper(&sys::$helper, [address, none, none, none]).map(|_| ())
        }
    )* };
}

cache_blocks! {
    cbo_inval CBO_INVAL;
    cbo_clean CBO_CLEAN;
    cbo_flush CBO_FLUSH;
}

/// `cbo.zero (rs1)`
#[inline(always)]
pub(crate) fn cbo_zero<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    let address = o.rs1(i);
    if o.mode().zeroes {
        return o.zero_block(&sys::CBO_ZERO, address, sys::CACHE_BLOCK);
    }
    let none = o.imm(0);
    let args = [address, none, none, none];
    o.helper(&sys::CBO_ZERO, args).map(|_| ())
}

/// A CSR is not read where rd is x0 (`csrrw`), not written where rs1 is x0 or the
/// immediate 0 (set, clear): Unpriv. table "Conditions determining whether a CSR
/// instruction reads or writes".
#[inline(always)]
fn csr<O: Rv>(o: &mut O, i: &Insn, op: CsrOp, immediate: bool) -> Done<O> {
    let operand = if immediate {
        o.imm(i.rs1().0.into())
    } else {
        o.rs1(i)
    };
    let reads = op != CsrOp::Swap || i.rd().0 != 0;
    let writes = op == CsrOp::Swap || i.rs1().0 != 0;
    let (number, how) = (o.imm(i.csr().into()), o.imm(op.encode(reads, writes)));
    let none = o.imm(0);
    let helper = sys::csr_helper(i.csr(), writes, op == CsrOp::Clear && immediate);
    let old = o.helper(helper, [number, operand, how, none])?;
    if reads { o.rd(i, old) } else { Ok(()) }
}

macro_rules! csrs {
    ($( $name:ident $op:ident $immediate:literal; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rd, csr, operand`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            csr(o, i, CsrOp::$op, $immediate)
        }
    )* };
}

csrs! {
    csrrw Swap false;
    csrrs Set false;
    csrrc Clear false;
    csrrwi Swap true;
    csrrsi Set true;
    csrrci Clear true;
}
