//! What instructions mean, one small function each, a file per chapter.
//!
//! Read a function as the manual's pseudo-code: `o` is the machine that computes
//! (integers, or IR values), `i` the operands. See [`isoform_core::ops`] for the
//! rules that keep these functions translatable.

pub(crate) mod alu;
pub(crate) mod atomic;
pub(crate) mod bits;
pub(crate) mod control;
pub(crate) mod float;
pub(crate) mod mem;
pub(crate) mod mul;
pub(crate) mod system;

use crate::format::Operands;
use crate::hart::Hart;
use isoform_core::{Insn, Ops};

/// How a semantic ends.
pub(crate) type Done<O> = Result<(), <O as Ops>::Exit>;

/// Operands, read and written by name.
pub(crate) trait Rv: Ops<Guest = Hart> {
    /// `x[rs1]`
    #[inline(always)]
    fn rs1(&mut self, i: &Insn) -> Self::V {
        self.reg(i.rs1())
    }
    /// `x[rs2]`
    #[inline(always)]
    fn rs2(&mut self, i: &Insn) -> Self::V {
        self.reg(i.rs2())
    }
    /// `sext(imm)`
    #[inline(always)]
    fn simm(&mut self, i: &Insn) -> Self::V {
        self.imm(i.simm() as u64)
    }
    /// `x[rd] = v`
    #[inline(always)]
    fn rd(&mut self, i: &Insn, v: Self::V) -> Done<Self> {
        self.set_reg(i.rd(), v);
        Ok(())
    }
    /// `x[rs1] + sext(imm)`
    #[inline(always)]
    fn address(&mut self, i: &Insn) -> Self::V {
        let (base, offset) = (self.rs1(i), self.simm(i));
        self.add(isoform_core::Width::W64, base, offset)
    }
}

impl<O: Ops<Guest = Hart>> Rv for O {}

/// Instructions that compute `x[rd]` from `x[rs1]` and `x[rs2]`.
macro_rules! rr {
    ($( $name:ident = |$o:ident, $a:ident, $b:ident| $value:expr; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rd, rs1, rs2`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>($o: &mut O, i: &Insn) -> Done<O> {
            let ($a, $b) = ($o.rs1(i), $o.rs2(i));
            let value = $value;
            $o.rd(i, value)
        }
    )* };
}

/// Instructions that compute `x[rd]` from `x[rs1]` and the immediate.
macro_rules! ri {
    ($( $name:ident = |$o:ident, $a:ident, $b:ident| $value:expr; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rd, rs1, imm`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>($o: &mut O, i: &Insn) -> Done<O> {
            let ($a, $b) = ($o.rs1(i), $o.simm(i));
            let value = $value;
            $o.rd(i, value)
        }
    )* };
}

/// Instructions that compute `x[rd]` from `x[rs1]`.
macro_rules! r1 {
    ($( $name:ident = |$o:ident, $a:ident| $value:expr; )*) => { $(
        #[doc = concat!("`", stringify!($name), " rd, rs1`")]
        #[inline(always)]
        pub(crate) fn $name<O: Rv>($o: &mut O, i: &Insn) -> Done<O> {
            let $a = $o.rs1(i);
            let value = $value;
            $o.rd(i, value)
        }
    )* };
}

pub(crate) use {r1, ri, rr};
