//! Floating point: F, D, Zfh (Unpriv. 20, 21, "Zfh"). The arithmetic lies in
//! [`crate::fp`].

use super::{Done, Rv};
use crate::format::Operands;
use crate::fp;
use isoform_core::{Helper, Insn, MemTy, Size};

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
        pub(crate) fn $load<O: Rv>(o: &mut O, i: Insn) -> Done<O> {
            require_fp!(o);
            let address = o.address(i);
            let value = o.load(address, MemTy::unsigned(Size::$size))?;
            let boxed = nan_box(o, Size::$size, value);
            o.set_freg(i.frd(), boxed);
            Ok(())
        }

        #[doc = concat!("`", stringify!($store), " frs2, offset(rs1)`")]
        #[inline(always)]
        pub(crate) fn $store<O: Rv>(o: &mut O, i: Insn) -> Done<O> {
            require_fp!(o);
            let (address, value) = (o.address(i), o.freg(i.frs2_s()));
            let bits = o.bits(value);
            o.store(address, Size::$size, bits)
        }
    )* };
}

memory! {
    flh fsh B2;
    flw fsw B4;
    fld fsd B8;
}

/// A narrower value stands in a register with all upper bits set (Unpriv. 21.2).
#[inline(always)]
fn nan_box<O: Rv>(o: &mut O, size: Size, v: O::V) -> O::F {
    let upper = o.imm(!size.truncate(!0));
    let low = o.zext(size, v);
    let boxed = o.or(low, upper);
    o.from_bits(boxed)
}

/// `f[rd] = op(f[rs1], f[rs2], f[rs3])`
#[inline(always)]
fn to_f<O: Rv>(o: &mut O, i: Insn, op: &'static Helper<crate::Hart>, rm: u8) -> Done<O> {
    require_fp!(o);
    let args = [o.freg(i.frs1()), o.freg(i.frs2()), o.freg(i.frs3())];
    let value = o.float(op, args, rm)?;
    o.set_freg(i.frd(), value);
    Ok(())
}

/// `x[rd] = op(f[rs1], f[rs2])`
#[inline(always)]
fn to_x<O: Rv>(o: &mut O, i: Insn, op: &'static Helper<crate::Hart>, rm: u8) -> Done<O> {
    require_fp!(o);
    let args = [o.freg(i.frs1()), o.freg(i.frs2()), o.freg(i.frs2())];
    let value = o.float(op, args, rm)?;
    let bits = o.bits(value);
    o.rd(i, bits)
}

/// `f[rd] = op(x[rs1])`
#[inline(always)]
fn from_x<O: Rv>(o: &mut O, i: Insn, op: &'static Helper<crate::Hart>, rm: u8) -> Done<O> {
    require_fp!(o);
    let operand = o.rs1(i);
    let operand = o.from_bits(operand);
    let value = o.float(op, [operand; 3], rm)?;
    o.set_freg(i.frd(), value);
    Ok(())
}

/// Instructions of one shape, each with the helper that computes it. `rounded` ones
/// take the rounding mode from the encoding.
macro_rules! computes {
    ($shape:ident rounded: $( $name:ident $helper:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: Insn) -> Done<O> {
            $shape(o, i, &fp::$helper, i.rm())
        }
    )* };
    ($shape:ident exact: $( $name:ident $helper:ident; )*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>(o: &mut O, i: Insn) -> Done<O> {
            $shape(o, i, &fp::$helper, 0)
        }
    )* };
}

computes! { to_f rounded:
    fadd_s FADD_S;
    fsub_s FSUB_S;
    fmul_s FMUL_S;
    fdiv_s FDIV_S;
    fsqrt_s FSQRT_S;
    fmadd_s FMADD_S;
    fmsub_s FMSUB_S;
    fnmsub_s FNMSUB_S;
    fnmadd_s FNMADD_S;
    fcvt_s_d FCVT_S_D;
    fcvt_s_h FCVT_S_H;
}

computes! { to_f exact:
    fsgnj_s FSGNJ_S;
    fsgnjn_s FSGNJN_S;
    fsgnjx_s FSGNJX_S;
    fmin_s FMIN_S;
    fmax_s FMAX_S;
}

computes! { to_x rounded:
    fcvt_w_s FCVT_W_S;
    fcvt_wu_s FCVT_WU_S;
    fcvt_l_s FCVT_L_S;
    fcvt_lu_s FCVT_LU_S;
}

computes! { to_x exact:
    feq_s FEQ_S;
    flt_s FLT_S;
    fle_s FLE_S;
    fclass_s FCLASS_S;
}

computes! { from_x rounded:
    fcvt_s_w FCVT_S_W;
    fcvt_s_wu FCVT_S_WU;
    fcvt_s_l FCVT_S_L;
    fcvt_s_lu FCVT_S_LU;
}

computes! { to_f rounded:
    fadd_d FADD_D;
    fsub_d FSUB_D;
    fmul_d FMUL_D;
    fdiv_d FDIV_D;
    fsqrt_d FSQRT_D;
    fmadd_d FMADD_D;
    fmsub_d FMSUB_D;
    fnmsub_d FNMSUB_D;
    fnmadd_d FNMADD_D;
    fcvt_d_s FCVT_D_S;
    fcvt_d_h FCVT_D_H;
}

computes! { to_f exact:
    fsgnj_d FSGNJ_D;
    fsgnjn_d FSGNJN_D;
    fsgnjx_d FSGNJX_D;
    fmin_d FMIN_D;
    fmax_d FMAX_D;
}

computes! { to_x rounded:
    fcvt_w_d FCVT_W_D;
    fcvt_wu_d FCVT_WU_D;
    fcvt_l_d FCVT_L_D;
    fcvt_lu_d FCVT_LU_D;
}

computes! { to_x exact:
    feq_d FEQ_D;
    flt_d FLT_D;
    fle_d FLE_D;
    fclass_d FCLASS_D;
}

computes! { from_x rounded:
    fcvt_d_w FCVT_D_W;
    fcvt_d_wu FCVT_D_WU;
    fcvt_d_l FCVT_D_L;
    fcvt_d_lu FCVT_D_LU;
}

computes! { to_f rounded:
    fadd_h FADD_H;
    fsub_h FSUB_H;
    fmul_h FMUL_H;
    fdiv_h FDIV_H;
    fsqrt_h FSQRT_H;
    fmadd_h FMADD_H;
    fmsub_h FMSUB_H;
    fnmsub_h FNMSUB_H;
    fnmadd_h FNMADD_H;
    fcvt_h_s FCVT_H_S;
    fcvt_h_d FCVT_H_D;
}

computes! { to_f exact:
    fsgnj_h FSGNJ_H;
    fsgnjn_h FSGNJN_H;
    fsgnjx_h FSGNJX_H;
    fmin_h FMIN_H;
    fmax_h FMAX_H;
}

computes! { to_x rounded:
    fcvt_w_h FCVT_W_H;
    fcvt_wu_h FCVT_WU_H;
    fcvt_l_h FCVT_L_H;
    fcvt_lu_h FCVT_LU_H;
}

computes! { to_x exact:
    feq_h FEQ_H;
    flt_h FLT_H;
    fle_h FLE_H;
    fclass_h FCLASS_H;
}

computes! { from_x rounded:
    fcvt_h_w FCVT_H_W;
    fcvt_h_wu FCVT_H_WU;
    fcvt_h_l FCVT_H_L;
    fcvt_h_lu FCVT_H_LU;
}

macro_rules! moves {
    ($( $to_x:ident $to_f:ident $size:ident; )*) => { $(
        #[doc = concat!("`", stringify!($to_x), " rd, frs1`: the bits as they are, NaN-boxed or not.")]
        #[inline(always)]
        pub(crate) fn $to_x<O: Rv>(o: &mut O, i: Insn) -> Done<O> {
            require_fp!(o);
            let value = o.freg(i.frs1());
            let bits = o.bits(value);
            let extended = o.sext(Size::$size, bits);
            o.rd(i, extended)
        }

        #[doc = concat!("`", stringify!($to_f), " frd, rs1`")]
        #[inline(always)]
        pub(crate) fn $to_f<O: Rv>(o: &mut O, i: Insn) -> Done<O> {
            require_fp!(o);
            let bits = o.rs1(i);
            let boxed = nan_box(o, Size::$size, bits);
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
