//! The binary interchange formats (IEEE 754-2019, 3.4) and how a value is
//! split into its fields.

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::F16 {}
    impl Sealed for super::F32 {}
    impl Sealed for super::F64 {}
}

/// A binary interchange format. Sealed: the arithmetic relies on at most 52
/// fraction bits, so that a significand with its guard bits fits a `u64` and
/// an exact product a `u128`.
pub trait Format: sealed::Sealed + Copy + 'static {
    /// Width of the exponent field, in bits.
    const EXP_BITS: u32;
    /// Width of the fraction field (the significand without its leading
    /// bit), in bits.
    const MANT_BITS: u32;

    /// Width of the whole format, in bits.
    const BITS: u32 = 1 + Self::EXP_BITS + Self::MANT_BITS;
    /// The biased exponent of infinities and NaNs: all ones.
    const EXP_MAX: i32 = (1 << Self::EXP_BITS) - 1;
    /// What is added to an exponent before it is stored.
    const BIAS: i32 = Self::EXP_MAX >> 1;
    /// Mask of the bits the format uses.
    const MASK: u64 = u64::MAX >> (64 - Self::BITS);
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The leading significand bit, which normal values do not store.
    const HIDDEN: u64 = 1 << Self::MANT_BITS;
    /// Mask of the fraction field.
    const FRACTION: u64 = Self::HIDDEN - 1;
    /// The fraction bit that tells quiet NaNs from signaling ones.
    const QUIET: u64 = Self::HIDDEN >> 1;
    /// Positive infinity.
    const INFINITY: u64 = Self::MASK & !Self::SIGN & !Self::FRACTION;
    /// The largest positive finite value.
    const MAX_FINITE: u64 = Self::INFINITY - 1;
    /// The smallest positive normal value.
    const MIN_NORMAL: u64 = Self::HIDDEN;
    /// The positive quiet NaN without payload.
    const CANONICAL_NAN: u64 = Self::INFINITY | Self::QUIET;
}

/// binary16, half precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct F16;

/// binary32, single precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct F32;

/// binary64, double precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct F64;

impl Format for F16 {
    const EXP_BITS: u32 = 5;
    const MANT_BITS: u32 = 10;
}

impl Format for F32 {
    const EXP_BITS: u32 = 8;
    const MANT_BITS: u32 = 23;
}

impl Format for F64 {
    const EXP_BITS: u32 = 11;
    const MANT_BITS: u32 = 52;
}

/// A zero with the given sign.
#[inline]
pub(crate) fn zero<F: Format>(sign: bool) -> u64 {
    if sign { F::SIGN } else { 0 }
}

/// An infinity with the given sign.
#[inline]
pub(crate) fn infinity<F: Format>(sign: bool) -> u64 {
    zero::<F>(sign) | F::INFINITY
}

/// The value without its sign.
#[inline]
pub(crate) fn magnitude<F: Format>(a: u64) -> u64 {
    a & (F::MASK >> 1)
}

/// Whether `a` is a NaN of either kind.
#[inline]
pub(crate) fn is_nan<F: Format>(a: u64) -> bool {
    magnitude::<F>(a) > F::INFINITY
}

/// Whether `a` is a signaling NaN (IEEE 754-2019, 6.2.1: quiet bit clear).
#[inline]
pub(crate) fn is_signaling<F: Format>(a: u64) -> bool {
    is_nan::<F>(a) && a & F::QUIET == 0
}

/// The three fields of a value.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    /// Set for negative values.
    pub(crate) sign: bool,
    /// The exponent as stored: 0 for zeros and subnormals.
    pub(crate) exp: i32,
    /// The fraction, without the leading bit.
    pub(crate) fraction: u64,
}

impl Fields {
    #[inline]
    pub(crate) fn of<F: Format>(a: u64) -> Self {
        Self {
            sign: a & F::SIGN != 0,
            exp: ((a & F::INFINITY) >> F::MANT_BITS) as i32,
            fraction: a & F::FRACTION,
        }
    }

    /// An infinity or a NaN.
    #[inline]
    pub(crate) fn is_special<F: Format>(self) -> bool {
        self.exp == F::EXP_MAX
    }

    #[inline]
    pub(crate) fn is_zero(self) -> bool {
        self.exp == 0 && self.fraction == 0
    }

    /// Biased exponent and significand with its leading bit at
    /// [`Format::MANT_BITS`]; subnormals keep theirs where it is, with the
    /// exponent of the smallest normal value.
    #[inline]
    pub(crate) fn plain<F: Format>(self) -> (i32, u64) {
        if self.exp == 0 {
            (1, self.fraction)
        } else {
            (self.exp, self.fraction | F::HIDDEN)
        }
    }

    /// Biased exponent, below 1 for subnormals, and significand with its
    /// leading bit at [`crate::round::TOP`]. The value must be finite and
    /// non-zero.
    #[inline]
    pub(crate) fn normalised<F: Format>(self) -> (i32, u64) {
        let up = crate::round::TOP - F::MANT_BITS;
        if self.exp == 0 {
            let shift = self.fraction.leading_zeros() - 1;
            (1 + up as i32 - shift as i32, self.fraction << shift)
        } else {
            (self.exp, (self.fraction | F::HIDDEN) << up)
        }
    }
}
