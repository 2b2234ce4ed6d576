//! Loads, stores and fences (Unpriv. 2.6, 2.7, 4.3).

use super::{Done, Rv};
use crate::format::Operands;
use isoform_core::{Insn, MemTy, Order, Size};

macro_rules! loads {
    ($( $name:ident $sign:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rd, offset(rs1)`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let address = o.address(i);
            let value = o.load(address, MemTy::$sign(Size::$size))?;
            o.rd(i, value)
        }
    )* };
}

loads! {
    lb signed B1;
    lh signed B2;
    lw signed B4;
    ld unsigned B8;
    lbu unsigned B1;
    lhu unsigned B2;
    lwu unsigned B4;
}

macro_rules! stores {
    ($( $name:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rs2, offset(rs1)`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let (address, value) = (o.address(i), o.reg(i.rs2_s()));
            o.store(address, Size::$size, value)
        }
    )* };
}

stores! {
    sb B1;
    sh B2;
    sw B4;
    sd B8;
}

/// `fence pred, succ`
///
/// Only a fence that orders earlier writes before later reads needs more than
/// acquire and release; all are given the full strength.
#[inline(always)]
pub(crate) fn fence<O: Rv>(o: &mut O, _: &Insn) -> Done<O> {
    o.fence(Order::AcqRel);
    Ok(())
}
