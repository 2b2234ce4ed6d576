//! Floating-point helpers: softfloat with RISC-V's rounding modes, flags and NaN
//! boxing. One static per instruction, so that a translator can know it by address.

use crate::hart::Hart;
use crate::trap::Trap;
use isoform_core::Helper;
use isoform_core::ops::Effects;
use isoform_softfloat::{self as soft, Env, F16, F32, F64, Format, Round};

/// The value in a register: a narrower one must be NaN-boxed, else it counts as the
/// canonical NaN (Unpriv. 21.2).
fn unbox<F: Format>(v: u64) -> u64 {
    if v | F::MASK == u64::MAX || F::MASK == u64::MAX {
        v & F::MASK
    } else {
        F::CANONICAL_NAN
    }
}

/// A value as it stands in a register.
fn nan_box<F: Format>(v: u64) -> u64 {
    v | !F::MASK
}

/// The rounding mode named in an encoding; 7 is `frm`. Reserved ones are illegal.
fn rounding(h: &Hart, rm: u64) -> Result<Round, Trap> {
    let rm = if rm == 7 { h.state.fcsr >> 5 } else { rm as u8 };
    Round::from_rm(rm).ok_or(Trap::ILLEGAL)
}

/// Computes with the rounding mode asked for and accrues the flags.
fn compute<T>(h: &mut Hart, rm: u64, f: impl FnOnce(&mut Env) -> T) -> Result<T, Trap> {
    let round = rounding(h, rm)?;
    Ok(accrue(h, round, f))
}

/// Computes what is exact: no rounding mode matters, reserved ones neither.
fn exact<T>(h: &mut Hart, f: impl FnOnce(&mut Env) -> T) -> T {
    accrue(h, Round::NearestEven, f)
}

fn accrue<T>(h: &mut Hart, round: Round, f: impl FnOnce(&mut Env) -> T) -> T {
    let mut env = Env::riscv(round);
    let value = f(&mut env);
    if !env.flags.is_empty() {
        h.state.fcsr |= env.flags.bits();
        h.set_fp_dirty();
    }
    value
}

/// A helper that takes up to three values and the rounding mode, which may be reserved
/// and then traps.
macro_rules! helper {
    ($name:ident, |$h:ident, $args:pat_param, $rm:ident| $body:expr) => {
        pub(crate) static $name: Helper<Hart> = Helper {
            name: stringify!($name),
            call: |$h, [a, b, c, $rm]| {
                let $args = [a, b, c];
                $body
            },
            effects: Effects::TRAPS,
        };
    };
}

/// A helper that takes up to two values, and cannot trap.
macro_rules! exact_helper {
    ($name:ident, |$h:ident, $args:pat_param| $body:expr) => {
        pub(crate) static $name: Helper<Hart> = Helper {
            name: stringify!($name),
            call: |$h, [a, b, _, _]| {
                let $args = [a, b];
                Ok($body)
            },
            effects: Effects::NONE,
        };
    };
}

/// All instructions of one format.
macro_rules! format {
    ($F:ty: $( $kind:ident $name:ident $($op:path)?; )*) => {
        $( format!(@$kind $F, $name $(, $op)?); )*
    };
    (@one $F:ty, $name:ident, $op:path) => {
        helper!($name, |h, [a, _, _], rm| compute(h, rm, |e| nan_box::<$F>($op(unbox::<$F>(a), e))));
    };
    (@two $F:ty, $name:ident, $op:path) => {
        helper!($name, |h, [a, b, _], rm| {
            compute(h, rm, |e| nan_box::<$F>($op(unbox::<$F>(a), unbox::<$F>(b), e)))
        });
    };
    (@choose $F:ty, $name:ident, $op:path) => {
        exact_helper!($name, |h, [a, b]| {
            exact(h, |e| nan_box::<$F>($op(unbox::<$F>(a), unbox::<$F>(b), e)))
        });
    };
    (@compare $F:ty, $name:ident, $op:path) => {
        exact_helper!($name, |h, [a, b]| {
            exact(h, |e| $op(unbox::<$F>(a), unbox::<$F>(b), e).into())
        });
    };
    (@fused $F:ty, $name:ident, $op:path) => {
        helper!($name, |h, [a, b, c], rm| {
            let (a, b, c) = (unbox::<$F>(a), unbox::<$F>(b), unbox::<$F>(c));
            let (a, c) = $op(a, c, <$F>::SIGN);
            compute(h, rm, |e| nan_box::<$F>(soft::fma::<$F>(a, b, c, e)))
        });
    };
    (@sign $F:ty, $name:ident, $op:path) => {
        exact_helper!($name, |_h, [a, b]| {
            let (a, b) = (unbox::<$F>(a), unbox::<$F>(b));
            nan_box::<$F>(a & !<$F>::SIGN | $op(a, b) & <$F>::SIGN)
        });
    };
    (@to_int $F:ty, $name:ident, $op:path) => {
        helper!($name, |h, [a, _, _], rm| compute(h, rm, |e| $op(unbox::<$F>(a), e) as i64 as u64));
    };
    // Unsigned words are sign-extended, too (Unpriv. 20.7).
    (@to_uint $F:ty, $name:ident, $op:path) => {
        helper!($name, |h, [a, _, _], rm| {
            compute(h, rm, |e| $op(unbox::<$F>(a), e) as i32 as i64 as u64)
        });
    };
    (@from_i32 $F:ty, $name:ident) => {
        helper!($name, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_i64::<$F>(a as i32 as i64, e)))
        });
    };
    (@from_u32 $F:ty, $name:ident) => {
        helper!($name, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_u64::<$F>(a as u32 as u64, e)))
        });
    };
    (@from_i64 $F:ty, $name:ident) => {
        helper!($name, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_i64::<$F>(a as i64, e)))
        });
    };
    (@from_u64 $F:ty, $name:ident) => {
        helper!($name, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_u64::<$F>(a, e)))
        });
    };
    (@classify $F:ty, $name:ident) => {
        exact_helper!($name, |_h, [a, _]| soft::classify::<$F>(unbox::<$F>(a)).into());
    };
}

/// The signs of `a * b + c` in the four fused instructions (Unpriv. 20.6).
mod fused {
    pub(super) fn madd(a: u64, c: u64, _: u64) -> (u64, u64) {
        (a, c)
    }
    pub(super) fn msub(a: u64, c: u64, sign: u64) -> (u64, u64) {
        (a, c ^ sign)
    }
    pub(super) fn nmsub(a: u64, c: u64, sign: u64) -> (u64, u64) {
        (a ^ sign, c)
    }
    pub(super) fn nmadd(a: u64, c: u64, sign: u64) -> (u64, u64) {
        (a ^ sign, c ^ sign)
    }
}

/// Where the sign comes from in the three sign-injection instructions.
mod sign {
    pub(super) fn same(_: u64, b: u64) -> u64 {
        b
    }
    pub(super) fn negated(_: u64, b: u64) -> u64 {
        !b
    }
    pub(super) fn product(a: u64, b: u64) -> u64 {
        a ^ b
    }
}

format! { F32:
    two FADD_S soft::add::<F32>;
    two FSUB_S soft::sub::<F32>;
    two FMUL_S soft::mul::<F32>;
    two FDIV_S soft::div::<F32>;
    choose FMIN_S soft::min::<F32>;
    choose FMAX_S soft::max::<F32>;
    one FSQRT_S soft::sqrt::<F32>;
    fused FMADD_S fused::madd;
    fused FMSUB_S fused::msub;
    fused FNMSUB_S fused::nmsub;
    fused FNMADD_S fused::nmadd;
    sign FSGNJ_S sign::same;
    sign FSGNJN_S sign::negated;
    sign FSGNJX_S sign::product;
    compare FEQ_S soft::eq::<F32>;
    compare FLT_S soft::lt::<F32>;
    compare FLE_S soft::le::<F32>;
    to_int FCVT_W_S soft::to_i32::<F32>;
    to_uint FCVT_WU_S soft::to_u32::<F32>;
    to_int FCVT_L_S soft::to_i64::<F32>;
    to_int FCVT_LU_S soft::to_u64::<F32>;
    from_i32 FCVT_S_W;
    from_u32 FCVT_S_WU;
    from_i64 FCVT_S_L;
    from_u64 FCVT_S_LU;
    classify FCLASS_S;
}

format! { F64:
    two FADD_D soft::add::<F64>;
    two FSUB_D soft::sub::<F64>;
    two FMUL_D soft::mul::<F64>;
    two FDIV_D soft::div::<F64>;
    choose FMIN_D soft::min::<F64>;
    choose FMAX_D soft::max::<F64>;
    one FSQRT_D soft::sqrt::<F64>;
    fused FMADD_D fused::madd;
    fused FMSUB_D fused::msub;
    fused FNMSUB_D fused::nmsub;
    fused FNMADD_D fused::nmadd;
    sign FSGNJ_D sign::same;
    sign FSGNJN_D sign::negated;
    sign FSGNJX_D sign::product;
    compare FEQ_D soft::eq::<F64>;
    compare FLT_D soft::lt::<F64>;
    compare FLE_D soft::le::<F64>;
    to_int FCVT_W_D soft::to_i32::<F64>;
    to_uint FCVT_WU_D soft::to_u32::<F64>;
    to_int FCVT_L_D soft::to_i64::<F64>;
    to_int FCVT_LU_D soft::to_u64::<F64>;
    from_i32 FCVT_D_W;
    from_u32 FCVT_D_WU;
    from_i64 FCVT_D_L;
    from_u64 FCVT_D_LU;
    classify FCLASS_D;
}

format! { F16:
    two FADD_H soft::add::<F16>;
    two FSUB_H soft::sub::<F16>;
    two FMUL_H soft::mul::<F16>;
    two FDIV_H soft::div::<F16>;
    choose FMIN_H soft::min::<F16>;
    choose FMAX_H soft::max::<F16>;
    one FSQRT_H soft::sqrt::<F16>;
    fused FMADD_H fused::madd;
    fused FMSUB_H fused::msub;
    fused FNMSUB_H fused::nmsub;
    fused FNMADD_H fused::nmadd;
    sign FSGNJ_H sign::same;
    sign FSGNJN_H sign::negated;
    sign FSGNJX_H sign::product;
    compare FEQ_H soft::eq::<F16>;
    compare FLT_H soft::lt::<F16>;
    compare FLE_H soft::le::<F16>;
    to_int FCVT_W_H soft::to_i32::<F16>;
    to_uint FCVT_WU_H soft::to_u32::<F16>;
    to_int FCVT_L_H soft::to_i64::<F16>;
    to_int FCVT_LU_H soft::to_u64::<F16>;
    from_i32 FCVT_H_W;
    from_u32 FCVT_H_WU;
    from_i64 FCVT_H_L;
    from_u64 FCVT_H_LU;
    classify FCLASS_H;
}

/// Conversions between formats.
macro_rules! conversions {
    ($( $name:ident $To:ident $From:ident; )*) => { $(
        helper!($name, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$To>(soft::convert::<$From, $To>(unbox::<$From>(a), e)))
        });
    )* };
}

conversions! {
    FCVT_S_D F32 F64;
    FCVT_S_H F32 F16;
    FCVT_D_S F64 F32;
    FCVT_D_H F64 F16;
    FCVT_H_S F16 F32;
    FCVT_H_D F16 F64;
}
