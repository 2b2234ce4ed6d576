//! Floating point: F, D, Zfh (Unpriv. 20, 21, "Zfh"). The arithmetic lies in
//! [`crate::fp`].

use super::{Done, Rv};
use crate::format::Operands;
use crate::fp;
use isoform_core::{Helper, Insn, Size};

/// With `mstatus.FS` Off every floating-point instruction is illegal (Priv. 3.1.6.6).
macro_rules! require_fp {
    ($o:ident) => {
        if $o.mode().fp_off {
            return $o.trap(crate::Trap::ILLEGAL);
        }
    };
}

macro_rules! memory {
    ($( $load:ident $store:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($load), " frd, offset(rs1)`")]
        #[inline(always)]
        pub(crate) fn $load<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            require_fp!(o);
            let address = o.address(i);
            let value = o.load_float(address, Size::$size)?;
            o.set_freg(i.frd(), value);
            Ok(())
        }

        #[doc = concat!("`", stringify!($store), " frs2, offset(rs1)`")]
        #[inline(always)]
        pub(crate) fn $store<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            require_fp!(o);
            let (address, value) = (o.address(i), o.freg(i.frs2_s()));
            o.store_float(address, Size::$size, value)
        }
    )* };
}

memory! {
    flh fsh B2;
    flw fsw B4;
    fld fsd B8;
}

/// The first `count` floating-point operands. Registers that are none must not be
/// read: a translator would wait for them. The helper does not look at their places.
#[inline(always)]
fn operands<O: Rv>(o: &mut O, i: &Insn, count: u8) -> [O::F; 3] {
    let a = o.freg(i.frs1());
    let b = if count > 1 { o.freg(i.frs2()) } else { a };
    let c = if count > 2 { o.freg(i.frs3()) } else { a };
    [a, b, c]
}

/// `f[rd] = op(f[rs1], …)`
#[inline(always)]
fn to_f<O: Rv>(o: &mut O, i: &Insn, op: &'static Helper<crate::Hart>, rm: u8, n: u8) -> Done<O> {
    require_fp!(o);
    let args = operands(o, i, n);
    let value = o.float(op, args, rm)?;
    o.set_freg(i.frd(), value);
    Ok(())
}

/// `x[rd] = op(f[rs1], …)`
#[inline(always)]
fn to_x<O: Rv>(o: &mut O, i: &Insn, op: &'static Helper<crate::Hart>, rm: u8, n: u8) -> Done<O> {
    require_fp!(o);
    let args = operands(o, i, n);
    let value = o.float(op, args, rm)?;
    let bits = o.bits(value);
    o.rd(i, bits)
}

/// `f[rd] = op(x[rs1])`
#[inline(always)]
fn from_x<O: Rv>(o: &mut O, i: &Insn, op: &'static Helper<crate::Hart>, rm: u8, _: u8) -> Done<O> {
    require_fp!(o);
    let operand = o.rs1(i);
    let operand = o.from_bits(operand);
    let value = o.float(op, [operand; 3], rm)?;
    o.set_freg(i.frd(), value);
    Ok(())
}

/// Instructions of one shape, each with the helper that computes it and the number of
/// its operands. `rounded` ones take the rounding mode from the encoding.
macro_rules! computes {
    ($shape:ident rounded: $( $name:ident $helper:ident $operands:literal; )*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            $shape(o, i, &fp::$helper, i.rm(), $operands)
        }
    )* };
    ($shape:ident exact: $( $name:ident $helper:ident $operands:literal; )*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            $shape(o, i, &fp::$helper, 0, $operands)
        }
    )* };
}

computes! { to_f rounded:
    fadd_s FADD_S 2;
    fsub_s FSUB_S 2;
    fmul_s FMUL_S 2;
    fdiv_s FDIV_S 2;
    fsqrt_s FSQRT_S 1;
    fmadd_s FMADD_S 3;
    fmsub_s FMSUB_S 3;
    fnmsub_s FNMSUB_S 3;
    fnmadd_s FNMADD_S 3;
    fcvt_s_d FCVT_S_D 1;
    fcvt_s_h FCVT_S_H 1;
}

computes! { to_f exact:
    fsgnj_s FSGNJ_S 2;
    fsgnjn_s FSGNJN_S 2;
    fsgnjx_s FSGNJX_S 2;
    fmin_s FMIN_S 2;
    fmax_s FMAX_S 2;
}

computes! { to_x rounded:
    fcvt_w_s FCVT_W_S 1;
    fcvt_wu_s FCVT_WU_S 1;
    fcvt_l_s FCVT_L_S 1;
    fcvt_lu_s FCVT_LU_S 1;
}

computes! { to_x exact:
    feq_s FEQ_S 2;
    flt_s FLT_S 2;
    fle_s FLE_S 2;
    fclass_s FCLASS_S 1;
}

computes! { from_x rounded:
    fcvt_s_w FCVT_S_W 1;
    fcvt_s_wu FCVT_S_WU 1;
    fcvt_s_l FCVT_S_L 1;
    fcvt_s_lu FCVT_S_LU 1;
}

computes! { to_f rounded:
    fadd_d FADD_D 2;
    fsub_d FSUB_D 2;
    fmul_d FMUL_D 2;
    fdiv_d FDIV_D 2;
    fsqrt_d FSQRT_D 1;
    fmadd_d FMADD_D 3;
    fmsub_d FMSUB_D 3;
    fnmsub_d FNMSUB_D 3;
    fnmadd_d FNMADD_D 3;
    fcvt_d_s FCVT_D_S 1;
    fcvt_d_h FCVT_D_H 1;
}

computes! { to_f exact:
    fsgnj_d FSGNJ_D 2;
    fsgnjn_d FSGNJN_D 2;
    fsgnjx_d FSGNJX_D 2;
    fmin_d FMIN_D 2;
    fmax_d FMAX_D 2;
}

computes! { to_x rounded:
    fcvt_w_d FCVT_W_D 1;
    fcvt_wu_d FCVT_WU_D 1;
    fcvt_l_d FCVT_L_D 1;
    fcvt_lu_d FCVT_LU_D 1;
}

computes! { to_x exact:
    feq_d FEQ_D 2;
    flt_d FLT_D 2;
    fle_d FLE_D 2;
    fclass_d FCLASS_D 1;
}

computes! { from_x rounded:
    fcvt_d_w FCVT_D_W 1;
    fcvt_d_wu FCVT_D_WU 1;
    fcvt_d_l FCVT_D_L 1;
    fcvt_d_lu FCVT_D_LU 1;
}

computes! { to_f rounded:
    fadd_h FADD_H 2;
    fsub_h FSUB_H 2;
    fmul_h FMUL_H 2;
    fdiv_h FDIV_H 2;
    fsqrt_h FSQRT_H 1;
    fmadd_h FMADD_H 3;
    fmsub_h FMSUB_H 3;
    fnmsub_h FNMSUB_H 3;
    fnmadd_h FNMADD_H 3;
    fcvt_h_s FCVT_H_S 1;
    fcvt_h_d FCVT_H_D 1;
}

computes! { to_f exact:
    fsgnj_h FSGNJ_H 2;
    fsgnjn_h FSGNJN_H 2;
    fsgnjx_h FSGNJX_H 2;
    fmin_h FMIN_H 2;
    fmax_h FMAX_H 2;
}

computes! { to_x rounded:
    fcvt_w_h FCVT_W_H 1;
    fcvt_wu_h FCVT_WU_H 1;
    fcvt_l_h FCVT_L_H 1;
    fcvt_lu_h FCVT_LU_H 1;
}

computes! { to_x exact:
    feq_h FEQ_H 2;
    flt_h FLT_H 2;
    fle_h FLE_H 2;
    fclass_h FCLASS_H 1;
}

computes! { from_x rounded:
    fcvt_h_w FCVT_H_W 1;
    fcvt_h_wu FCVT_H_WU 1;
    fcvt_h_l FCVT_H_L 1;
    fcvt_h_lu FCVT_H_LU 1;
}

macro_rules! moves {
    ($( $to_x:ident $to_f:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($to_x), " rd, frs1`: the bits as they are, NaN-boxed or not.")]
        #[inline(always)]
        pub(crate) fn $to_x<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            require_fp!(o);
            let value = o.freg(i.frs1());
            let bits = o.bits(value);
            let extended = o.sext(Size::$size, bits);
            o.rd(i, extended)
        }

        #[doc = concat!("`", stringify!($to_f), " frd, rs1`")]
        #[inline(always)]
        pub(crate) fn $to_f<O: Rv>(o: &mut O, i: &Insn) -> Done<O> {
            require_fp!(o);
            let bits = o.rs1(i);
            let boxed = o.boxed(Size::$size, bits);
            o.set_freg(i.frd(), boxed);
            Ok(())
        }
    )* };
}

moves! {
    fmv_x_h fmv_h_x B2;
    fmv_x_w fmv_w_x B4;
    fmv_x_d fmv_d_x B8;
}
