//! What an operation needs besides its operands, and what it leaves behind:
//! rounding mode, exception flags, and the choices IEEE 754 leaves to the
//! implementation (which NaN results, when a result counts as tiny).

use bitflags::bitflags;

/// Rounding direction (IEEE 754-2019, 4.3). The discriminants are RISC-V's
/// `rm`/`frm` encodings (Unprivileged ISA, "F" chapter, table of rounding modes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Round {
    /// To the nearest value, ties to the one with an even significand (RNE).
    #[default]
    NearestEven = 0,
    /// Toward zero (RTZ).
    TowardZero = 1,
    /// Toward negative infinity (RDN).
    Down = 2,
    /// Toward positive infinity (RUP).
    Up = 3,
    /// To the nearest value, ties away from zero (RMM).
    NearestMaxMagnitude = 4,
}

impl Round {
    /// Every mode, in the order of its encoding.
    pub const ALL: [Self; 5] = [
        Self::NearestEven,
        Self::TowardZero,
        Self::Down,
        Self::Up,
        Self::NearestMaxMagnitude,
    ];

    /// The mode with RISC-V encoding `rm`; `None` for 5 to 255, which are
    /// reserved or, for 7 in an instruction, mean "look in `frm`".
    #[inline]
    #[must_use]
    pub const fn from_rm(rm: u8) -> Option<Self> {
        match rm {
            0 => Some(Self::NearestEven),
            1 => Some(Self::TowardZero),
            2 => Some(Self::Down),
            3 => Some(Self::Up),
            4 => Some(Self::NearestMaxMagnitude),
            _ => None,
        }
    }
}

bitflags! {
    /// Exception flags (IEEE 754-2019, 7), laid out as RISC-V's `fflags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u8 {
        /// Inexact: the result was rounded.
        const NX = 1;
        /// Underflow: the result was tiny and inexact.
        const UF = 2;
        /// Overflow: the rounded result exceeds the largest finite value.
        const OF = 4;
        /// Division of a finite non-zero value by zero.
        const DZ = 8;
        /// Invalid operation.
        const NV = 16;
    }
}

/// Which NaN an operation with a NaN result returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NanRule {
    /// Always the positive quiet NaN without payload, as RISC-V requires
    /// (Unprivileged ISA, "NaN Generation and Propagation").
    #[default]
    Canonical,
}

/// When a non-zero result counts as tiny, so that underflow is raised if it
/// is inexact too (IEEE 754-2019, 7.5 leaves the choice to the architecture).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tininess {
    /// When the result rounded with an unbounded exponent is below the
    /// smallest normal value: RISC-V, x86.
    #[default]
    AfterRounding,
    /// When the exact result is below the smallest normal value: AArch64.
    BeforeRounding,
}

/// The floating-point environment of one operation or of many in a row.
///
/// The default is RISC-V's at reset: nearest-even, no flags, canonical NaNs,
/// tininess after rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// The direction inexact results are rounded in.
    pub round: Round,
    /// Exceptions raised so far; operations only ever add to it.
    pub flags: Flags,
    /// Which NaN is returned.
    pub nan: NanRule,
    /// When underflow is detected.
    pub tininess: Tininess,
}

impl Env {
    /// RISC-V's environment with the given rounding mode and no flags raised.
    #[inline]
    #[must_use]
    pub const fn riscv(round: Round) -> Self {
        Self {
            round,
            flags: Flags::empty(),
            nan: NanRule::Canonical,
            tininess: Tininess::AfterRounding,
        }
    }

    /// Adds `flags` to those raised so far.
    #[inline]
    pub(crate) fn raise(&mut self, flags: Flags) {
        self.flags |= flags;
    }
}
