//! What a floating-point helper computes, in terms that no guest owns: enough for a
//! translator to do the common case of it inline.
//!
//! All operations are those of IEEE 754-2019 by name. What guests differ in (NaNs,
//! results out of range, which rounding modes there are) is never part of a common
//! case: there the helper itself is called.

use crate::ops::Size;

/// An operation on floating-point values of one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Float {
    /// What is computed.
    pub op: FloatOp,
    /// The format of the operands and of the result: [`Size::B2`] is binary16,
    /// [`Size::B4`] binary32, [`Size::B8`] binary64. For conversions, the
    /// floating-point format they convert from or, from an integer, to.
    pub format: Size,
}

/// What is computed from the first one, two or three operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The square root of `a`.
    Sqrt,
    /// `a * b + c`, rounded once.
    MulAdd {
        /// The product is negated.
        negate_product: bool,
        /// `c` is negated.
        negate_addend: bool,
    },
    /// `minimumNumber(a, b)`.
    Min,
    /// `maximumNumber(a, b)`.
    Max,
    /// `a` with a sign that comes from both.
    Sign(SignOp),
    /// 1 where `a == b`, else 0.
    Equal,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where `a <= b`, else 0.
    LessOrEqual,
    /// To an integer of 32 or 64 bits; one of 32 bits is sign-extended to 64.
    ToInt {
        /// [`Size::B4`] or [`Size::B8`].
        size: Size,
        /// Whether the integer is signed.
        signed: bool,
    },
    /// From an integer: the low bits of `a`.
    FromInt {
        /// [`Size::B4`] or [`Size::B8`].
        size: Size,
        /// Whether the integer is signed.
        signed: bool,
    },
    /// To another floating-point format.
    ToFormat(Size),
    /// A bit for the class of `a`: from bit 0 on negative infinity, negative normal,
    /// negative subnormal, -0, +0, positive subnormal, positive normal, positive infinity,
    /// signaling NaN, quiet NaN (RISC-V Unpriv. 20.9; IEEE 754-2019, 5.7.2).
    Classify,
}

/// Where the sign of a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOp {
    /// `b`'s sign.
    Copy,
    /// The opposite of `b`'s sign.
    Negate,
    /// Negative where just one of both is.
    Xor,
}

/// A rounding direction as an instruction names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    NearestEven,
    /// Toward zero.
    TowardZero,
    /// As [`FloatLayout::control`] says when the instruction is executed.
    Dynamic,
    /// Any other, or none that is valid.
    Other,
}

/// Where a vCPU keeps what floating-point operations depend on and leave behind.
#[derive(Clone, Copy, Debug)]
pub struct FloatLayout {
    /// Offset in bytes, from the vCPU's address, of a byte with flags and rounding mode.
    pub control: usize,
    /// The bit of it that is set once a result was inexact, and stays.
    pub inexact: u8,
    /// The bits of it that are all zero where [`Rounding::Dynamic`] is to nearest, ties
    /// to even.
    pub direction: u8,
    /// From this value of it on, [`Rounding::Dynamic`] names no rounding mode, and traps.
    pub reserved: u8,
    /// What the rounding mode of [`crate::Ops::float`] means.
    pub rounding: fn(u8) -> Rounding,
}
