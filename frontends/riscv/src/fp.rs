//! Floating-point helpers: softfloat with RISC-V's rounding modes, flags and NaN
//! boxing. One static per instruction, which says what it computes, so that a translator
//! can do the common case by itself.

use crate::hart::Hart;
use crate::trap::Trap;
use isoform_core::FloatOp::{self, Add, Classify, Div, Equal, Less, LessOrEqual};
use isoform_core::FloatOp::{Max, Min, Mul, Sqrt, Sub};
use isoform_core::ops::Effects;
use isoform_core::{Float, Helper, SignOp, Size};
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
    // Flags that are set already change nothing, so that FS stays (Priv. 3.1.6.6).
    let fcsr = h.state.fcsr | env.flags.bits();
    if fcsr != h.state.fcsr {
        h.state.fcsr = fcsr;
        h.set_fp_dirty();
    }
    value
}

/// A format by its size.
const fn size<F: Format>() -> Size {
    match F::BITS {
        16 => Size::B2,
        32 => Size::B4,
        _ => Size::B8,
    }
}

/// What a helper computes.
const fn float<F: Format>(op: FloatOp) -> Float {
    let format = size::<F>();
    Float { op, format }
}

/// The operations that RISC-V has several of a kind of, by their names.
macro_rules! operations {
    ($( $name:ident $op:ident($($value:expr),*); )*) => { $(
        const $name: FloatOp = $op($($value),*);
    )* };
}

/// Conversions to and from integers of a size.
const fn to(size: Size, signed: bool) -> FloatOp {
    FloatOp::ToInt { size, signed }
}

const fn from(size: Size, signed: bool) -> FloatOp {
    FloatOp::FromInt { size, signed }
}

/// `a * b + c` with signs.
const fn mul_add(negate_product: bool, negate_addend: bool) -> FloatOp {
    FloatOp::MulAdd {
        negate_product,
        negate_addend,
    }
}

const fn sign(op: SignOp) -> FloatOp {
    FloatOp::Sign(op)
}

operations! {
    MADD mul_add(false, false);
    MSUB mul_add(false, true);
    NMSUB mul_add(true, false);
    NMADD mul_add(true, true);
    COPY sign(SignOp::Copy);
    NEGATE sign(SignOp::Negate);
    XOR sign(SignOp::Xor);
    TO_W to(Size::B4, true);
    TO_WU to(Size::B4, false);
    TO_L to(Size::B8, true);
    TO_LU to(Size::B8, false);
    FROM_W from(Size::B4, true);
    FROM_WU from(Size::B4, false);
    FROM_L from(Size::B8, true);
    FROM_LU from(Size::B8, false);
}

/// A helper that takes up to three values and the rounding mode, which may be reserved
/// and then traps.
macro_rules! helper {
    ($F:ty, $name:ident, $what:expr, |$h:ident, $args:pat_param, $rm:ident| $body:expr) => {
        pub(crate) static $name: Helper<Hart> = Helper {
            name: stringify!($name),
            call: |$h, [a, b, c, $rm]| {
                let $args = [a, b, c];
                $body
            },
            effects: Effects::TRAPS,
            float: Some(float::<$F>($what)),
        };
    };
}

/// A helper that takes up to two values, and cannot trap.
macro_rules! exact_helper {
    ($F:ty, $name:ident, $what:expr, |$h:ident, $args:pat_param| $body:expr) => {
        pub(crate) static $name: Helper<Hart> = Helper {
            name: stringify!($name),
            call: |$h, [a, b, _, _]| {
                let $args = [a, b];
                Ok($body)
            },
            effects: Effects::NONE,
            float: Some(float::<$F>($what)),
        };
    };
}

/// All instructions of one format.
macro_rules! format {
    ($F:ty: $( $kind:ident $name:ident $($what:ident $($op:path)?)?; )*) => {
        $( format!(@$kind $F, $name $(, $what $(, $op)?)?); )*
    };
    (@one $F:ty, $name:ident, $what:ident, $op:path) => {
        helper!($F, $name, $what, |h, [a, _, _], rm| compute(h, rm, |e| nan_box::<$F>($op(unbox::<$F>(a), e))));
    };
    (@two $F:ty, $name:ident, $what:ident, $op:path) => {
        helper!($F, $name, $what, |h, [a, b, _], rm| {
            compute(h, rm, |e| nan_box::<$F>($op(unbox::<$F>(a), unbox::<$F>(b), e)))
        });
    };
    (@choose $F:ty, $name:ident, $what:ident, $op:path) => {
        exact_helper!($F, $name, $what, |h, [a, b]| {
            exact(h, |e| nan_box::<$F>($op(unbox::<$F>(a), unbox::<$F>(b), e)))
        });
    };
    (@compare $F:ty, $name:ident, $what:ident, $op:path) => {
        exact_helper!($F, $name, $what, |h, [a, b]| {
            exact(h, |e| $op(unbox::<$F>(a), unbox::<$F>(b), e).into())
        });
    };
    (@fused $F:ty, $name:ident, $what:ident, $op:path) => {
        helper!($F, $name, $what, |h, [a, b, c], rm| {
            let (a, b, c) = (unbox::<$F>(a), unbox::<$F>(b), unbox::<$F>(c));
            let (a, c) = $op(a, c, <$F>::SIGN);
            compute(h, rm, |e| nan_box::<$F>(soft::fma::<$F>(a, b, c, e)))
        });
    };
    (@sign $F:ty, $name:ident, $what:ident, $op:path) => {
        exact_helper!($F, $name, $what, |_h, [a, b]| {
            let (a, b) = (unbox::<$F>(a), unbox::<$F>(b));
            nan_box::<$F>(a & !<$F>::SIGN | $op(a, b) & <$F>::SIGN)
        });
    };
    (@to_int $F:ty, $name:ident, $what:ident, $op:path) => {
        helper!($F, $name, $what, |h, [a, _, _], rm| compute(h, rm, |e| $op(unbox::<$F>(a), e) as i64 as u64));
    };
    // Unsigned words are sign-extended, too (Unpriv. 20.7).
    (@to_uint $F:ty, $name:ident, $what:ident, $op:path) => {
        helper!($F, $name, $what, |h, [a, _, _], rm| {
            compute(h, rm, |e| $op(unbox::<$F>(a), e) as i32 as i64 as u64)
        });
    };
    (@from_i32 $F:ty, $name:ident) => {
        helper!($F, $name, FROM_W, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_i64::<$F>(a as i32 as i64, e)))
        });
    };
    (@from_u32 $F:ty, $name:ident) => {
        helper!($F, $name, FROM_WU, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_u64::<$F>(a as u32 as u64, e)))
        });
    };
    (@from_i64 $F:ty, $name:ident) => {
        helper!($F, $name, FROM_L, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_i64::<$F>(a as i64, e)))
        });
    };
    (@from_u64 $F:ty, $name:ident) => {
        helper!($F, $name, FROM_LU, |h, [a, _, _], rm| {
            compute(h, rm, |e| nan_box::<$F>(soft::from_u64::<$F>(a, e)))
        });
    };
    (@classify $F:ty, $name:ident, $what:ident) => {
        exact_helper!($F, $name, $what, |_h, [a, _]| soft::classify::<$F>(unbox::<$F>(a)).into());
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
    two FADD_S Add soft::add::<F32>;
    two FSUB_S Sub soft::sub::<F32>;
    two FMUL_S Mul soft::mul::<F32>;
    two FDIV_S Div soft::div::<F32>;
    choose FMIN_S Min soft::min::<F32>;
    choose FMAX_S Max soft::max::<F32>;
    one FSQRT_S Sqrt soft::sqrt::<F32>;
    fused FMADD_S MADD fused::madd;
    fused FMSUB_S MSUB fused::msub;
    fused FNMSUB_S NMSUB fused::nmsub;
    fused FNMADD_S NMADD fused::nmadd;
    sign FSGNJ_S COPY sign::same;
    sign FSGNJN_S NEGATE sign::negated;
    sign FSGNJX_S XOR sign::product;
    compare FEQ_S Equal soft::eq::<F32>;
    compare FLT_S Less soft::lt::<F32>;
    compare FLE_S LessOrEqual soft::le::<F32>;
    to_int FCVT_W_S TO_W soft::to_i32::<F32>;
    to_uint FCVT_WU_S TO_WU soft::to_u32::<F32>;
    to_int FCVT_L_S TO_L soft::to_i64::<F32>;
    to_int FCVT_LU_S TO_LU soft::to_u64::<F32>;
    from_i32 FCVT_S_W;
    from_u32 FCVT_S_WU;
    from_i64 FCVT_S_L;
    from_u64 FCVT_S_LU;
    classify FCLASS_S Classify;
}

format! { F64:
    two FADD_D Add soft::add::<F64>;
    two FSUB_D Sub soft::sub::<F64>;
    two FMUL_D Mul soft::mul::<F64>;
    two FDIV_D Div soft::div::<F64>;
    choose FMIN_D Min soft::min::<F64>;
    choose FMAX_D Max soft::max::<F64>;
    one FSQRT_D Sqrt soft::sqrt::<F64>;
    fused FMADD_D MADD fused::madd;
    fused FMSUB_D MSUB fused::msub;
    fused FNMSUB_D NMSUB fused::nmsub;
    fused FNMADD_D NMADD fused::nmadd;
    sign FSGNJ_D COPY sign::same;
    sign FSGNJN_D NEGATE sign::negated;
    sign FSGNJX_D XOR sign::product;
    compare FEQ_D Equal soft::eq::<F64>;
    compare FLT_D Less soft::lt::<F64>;
    compare FLE_D LessOrEqual soft::le::<F64>;
    to_int FCVT_W_D TO_W soft::to_i32::<F64>;
    to_uint FCVT_WU_D TO_WU soft::to_u32::<F64>;
    to_int FCVT_L_D TO_L soft::to_i64::<F64>;
    to_int FCVT_LU_D TO_LU soft::to_u64::<F64>;
    from_i32 FCVT_D_W;
    from_u32 FCVT_D_WU;
    from_i64 FCVT_D_L;
    from_u64 FCVT_D_LU;
    classify FCLASS_D Classify;
}

format! { F16:
    two FADD_H Add soft::add::<F16>;
    two FSUB_H Sub soft::sub::<F16>;
    two FMUL_H Mul soft::mul::<F16>;
    two FDIV_H Div soft::div::<F16>;
    choose FMIN_H Min soft::min::<F16>;
    choose FMAX_H Max soft::max::<F16>;
    one FSQRT_H Sqrt soft::sqrt::<F16>;
    fused FMADD_H MADD fused::madd;
    fused FMSUB_H MSUB fused::msub;
    fused FNMSUB_H NMSUB fused::nmsub;
    fused FNMADD_H NMADD fused::nmadd;
    sign FSGNJ_H COPY sign::same;
    sign FSGNJN_H NEGATE sign::negated;
    sign FSGNJX_H XOR sign::product;
    compare FEQ_H Equal soft::eq::<F16>;
    compare FLT_H Less soft::lt::<F16>;
    compare FLE_H LessOrEqual soft::le::<F16>;
    to_int FCVT_W_H TO_W soft::to_i32::<F16>;
    to_uint FCVT_WU_H TO_WU soft::to_u32::<F16>;
    to_int FCVT_L_H TO_L soft::to_i64::<F16>;
    to_int FCVT_LU_H TO_LU soft::to_u64::<F16>;
    from_i32 FCVT_H_W;
    from_u32 FCVT_H_WU;
    from_i64 FCVT_H_L;
    from_u64 FCVT_H_LU;
    classify FCLASS_H Classify;
}

/// Conversions between formats.
macro_rules! conversions {
    ($( $name:ident $To:ident $From:ident; )*) => { $(
        helper!($From, $name, FloatOp::ToFormat(size::<$To>()), |h, [a, _, _], rm| {
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
