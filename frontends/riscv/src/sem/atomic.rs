//! Atomics: A and Zacas (Unpriv. 13, "Zacas").

use super::{Done, Rv};
use crate::format::Operands;
use crate::intrinsics::AMOCAS_Q;
use isoform_core::{AmoOp, Insn, Order, Size};

/// The ordering that aq and rl ask for.
fn order(i: &Insn) -> Order {
    match (i.aq(), i.rl()) {
        (false, false) => Order::Relaxed,
        (true, false) => Order::Acquire,
        (false, true) => Order::Release,
        (true, true) => Order::AcqRel,
    }
}

macro_rules! amos {
    ($( $name:ident $op:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rd, rs2, (rs1)`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let (address, operand) = (o.rs1(i), o.rs2(i));
            let old = o.amo(AmoOp::$op, address, Size::$size, operand, order(i))?;
            o.rd(i, old)
        }
    )* };
}

amos! {
    amoswap_w Swap B4;
    amoadd_w Add B4;
    amoxor_w Xor B4;
    amoand_w And B4;
    amoor_w Or B4;
    amomin_w Min B4;
    amomax_w Max B4;
    amominu_w Minu B4;
    amomaxu_w Maxu B4;
    amoswap_d Swap B8;
    amoadd_d Add B8;
    amoxor_d Xor B8;
    amoand_d And B8;
    amoor_d Or B8;
    amomin_d Min B8;
    amomax_d Max B8;
    amominu_d Minu B8;
    amomaxu_d Maxu B8;
}

macro_rules! reservations {
    ($( $lr:ident $sc:ident $cas:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($lr), " rd, (rs1)`")]
        #[inline(always)]
        pub(crate) fn $lr<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let address = o.rs1(i);
            let value = o.load_reserved(address, Size::$size, order(i))?;
            o.rd(i, value)
        }

        #[doc = concat!("`", stringify!($sc), " rd, rs2, (rs1)`")]
        #[inline(always)]
        pub(crate) fn $sc<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let (address, value) = (o.rs1(i), o.rs2(i));
            let failed = o.store_conditional(address, Size::$size, value, order(i))?;
            o.rd(i, failed)
        }

        #[doc = concat!("`", stringify!($cas), " rd, rs2, (rs1)`")]
        #[inline(always)]
        pub(crate) fn $cas<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            let (address, expected, new) = (o.rs1(i), o.reg(i.rd()), o.rs2(i));
            let old = o.cas(address, Size::$size, expected, new, order(i))?;
            o.rd(i, old)
        }
    )* };
}

reservations! {
    lr_w sc_w amocas_w B4;
    lr_d sc_d amocas_d B8;
}

/// `amocas.q rd, rs2, (rs1)`: register pairs; odd register numbers are reserved.
#[inline(always)]
pub(crate) fn amocas_q<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
    let (address, rd, rs2) = (o.rs1(i), i.rd().0, i.rs2().0);
    if (rd | rs2) & 1 != 0 {
        return o.trap(crate::Trap::ILLEGAL);
    }
    let (rd, rs2, none) = (o.imm(rd.into()), o.imm(rs2.into()), o.imm(0));
    o.helper(&AMOCAS_Q, [address, rd, rs2, none]).map(|_| ())
}
