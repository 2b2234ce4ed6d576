//! Conversions between formats, and from and to integers.

use super::exact::Exact;
use super::{Emitter, Paths};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use isoform_core::{Rounding, Size, Translate};

/// The least integer, and what is above the greatest that is converted inline: all of
/// the type's, but for unsigned ones of 64 bits.
fn range(size: Size, signed: bool) -> (f64, f64) {
    let two = |exponent: i32| 2f64.powi(exponent);
    match (size, signed) {
        (Size::B8, true) => (-two(63), two(63)),
        (Size::B8, false) => (0.0, two(63)),
        (_, true) => (-two(31), two(31)),
        (_, false) => (0.0, two(32)),
    }
}

impl<G: Translate> Emitter<'_, '_, G> {
    pub(super) fn convert_format(
        &mut self,
        to: Size,
        a: Value,
        rounding: Rounding,
        paths: &mut Paths,
    ) -> Value {
        if to != Size::B8 {
            let value = self.b.ins().fdemote(F32, a);
            return self.rounded(value, Exact::Narrowed { a }, paths);
        }
        // Exact; but a signaling NaN raises a flag.
        let value = self.b.ins().fpromote(F64, a);
        self.or_nan(value, value, paths);
        self.in_valid_mode(rounding, Exact::Always, paths);
        value
    }

    /// From the low bits of an integer.
    pub(super) fn convert_from_int(
        &mut self,
        format: Size,
        size: Size,
        signed: bool,
        a: Value,
        rounding: Rounding,
        paths: &mut Paths,
    ) -> Value {
        let a = self.as_bits(a);
        let a = match (size, signed) {
            (Size::B8, true) => a,
            (Size::B8, false) => {
                let large = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, a, 0);
                self.or_helper(large, paths);
                a
            }
            (_, signed) => {
                let low = self.b.ins().ireduce(I32, a);
                match signed {
                    true => self.b.ins().sextend(I64, low),
                    false => self.b.ins().uextend(I64, low),
                }
            }
        };
        let (ty, digits) = match format {
            Size::B4 => (F32, 24),
            _ => (F64, 53),
        };
        let value = self.b.ins().fcvt_from_sint(ty, a);
        if size == Size::B4 && ty == F64 {
            self.in_valid_mode(rounding, Exact::Always, paths);
        } else {
            let unready = self.unready();
            self.or_check(unready, Exact::Whole { a, digits }, paths);
        }
        value
    }

    /// What is exact depends on the rounding mode only in that it must be a valid one.
    fn in_valid_mode(&mut self, rounding: Rounding, exact: Exact, paths: &mut Paths) {
        if rounding == Rounding::Dynamic {
            let unready = self.unready();
            self.or_check(unready, exact, paths);
        }
    }

    /// To an integer that is in range. Inexact where it is not the same value.
    pub(super) fn convert_to_int(
        &mut self,
        size: Size,
        signed: bool,
        a: Value,
        rounding: Rounding,
        paths: &mut Paths,
    ) -> Value {
        let whole = match rounding {
            Rounding::TowardZero => self.b.ins().trunc(a),
            _ => self.b.ins().nearest(a),
        };
        let (least, beyond) = range(size, signed);
        let ty = self.type_of(a);
        let (least, beyond) = (self.constant(ty, least), self.constant(ty, beyond));
        let cc = FloatCC::UnorderedOrLessThan;
        let below = self.b.ins().fcmp(cc, whole, least);
        self.or_helper(below, paths);
        let cc = FloatCC::UnorderedOrGreaterThanOrEqual;
        let above = self.b.ins().fcmp(cc, whole, beyond);
        self.or_helper(above, paths);
        let value = self.b.ins().fcvt_to_sint_sat(I64, whole);
        let value = match (size, signed) {
            (Size::B8, _) | (_, true) => value,
            (_, false) => {
                let low = self.b.ins().ireduce(I32, value);
                self.b.ins().sextend(I64, low)
            }
        };
        let unready = self.unready();
        let doubtful = match rounding {
            Rounding::Dynamic => unready,
            _ => {
                let inexact = self.b.ins().fcmp(FloatCC::NotEqual, whole, a);
                let inexact = self.b.ins().uextend(I32, inexact);
                self.b.ins().band(inexact, unready)
            }
        };
        self.or_helper(doubtful, paths);
        value
    }

    fn constant(&mut self, ty: Type, value: f64) -> Value {
        match ty {
            F32 => self.b.ins().f32const(value as f32),
            _ => self.b.ins().f64const(value),
        }
    }
}
