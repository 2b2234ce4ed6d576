//! Whether a result to nearest even is exact, told by arithmetic that is.
//!
//! In binary64: the error of a sum is itself a value, which six operations give (Knuth,
//! "TwoSum"; Boldo, Graillat and Muller 2017: exact in the subnormal range as well, and
//! where a step overflows it comes out as a NaN). A product's error, and the remainder of
//! a quotient or a root, are one fused operation each, and come out as zero only if they
//! are zero, provided that they cannot lie below the subnormals: [`LEAST`] sees to that.
//! Binary32 is computed once more in binary64, where products are exact.
//!
//! A NaN or an infinity never passes, but for what is exact in binary32 and raises
//! nothing (infinity times two).

use super::{Emitter, Paths};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I8, I32};
use cranelift_codegen::ir::{InstBuilder, Value};
use isoform_core::Translate;

/// An exponent field of binary64 from which on a product, a dividend or a radicand has
/// an error or remainder that is zero or a value: 2 * 53 digits above the least
/// subnormal's exponent, and some to spare.
const LEAST: i64 = 128;

/// What a result was computed from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Exact {
    /// `a + b`
    Sum { a: Value, b: Value },
    /// `a - b`
    Difference { a: Value, b: Value },
    /// `a * b`
    Product { a: Value, b: Value },
    /// `a / b`
    Quotient { a: Value, b: Value },
    /// The root of `a`.
    Root { a: Value },
    /// `a * b + c`
    Fused { a: Value, b: Value, c: Value },
    /// A narrower format's `a`.
    Narrowed { a: Value },
    /// An integer of 64 bits, in a format with so many digits.
    Whole { a: Value, digits: u32 },
    /// Nothing that is ever inexact.
    Always,
}

impl<G: Translate> Emitter<'_, '_, G> {
    /// Goes to the helper unless `value` is exact and, where that is `dynamic`, rounding
    /// is to nearest even.
    pub(super) fn require_exact(
        &mut self,
        exact: Exact,
        value: Value,
        dynamic: bool,
        paths: &mut Paths,
    ) {
        if dynamic {
            let direction = self.direction();
            self.or_helper(direction, paths);
        }
        if let Some(holds) = self.is_exact(exact, value) {
            let inexact = self.b.ins().icmp_imm_u(IntCC::Equal, holds, 0);
            self.or_helper(inexact, paths);
        }
    }

    fn is_exact(&mut self, exact: Exact, value: Value) -> Option<Value> {
        let holds = match exact {
            Exact::Always => return None,
            Exact::Whole { a, digits } => {
                // -2^digits to 2^digits.
                let reach = 1i64 << digits;
                let shifted = self.b.ins().iadd_imm_s(a, reach);
                let cc = IntCC::UnsignedLessThanOrEqual;
                self.b.ins().icmp_imm_s(cc, shifted, 2 * reach)
            }
            Exact::Narrowed { a } => {
                let widened = self.b.ins().fpromote(F64, value);
                self.equal(widened, a)
            }
            Exact::Sum { a, b } => self.exact_sum(a, b, value),
            Exact::Difference { a, b } => {
                let b = self.b.ins().fneg(b);
                self.exact_sum(a, b, value)
            }
            _ if self.type_of(value) == F32 => self.exact_single(exact, value),
            _ if !self.host.fma => self.b.ins().iconst(I8, 0),
            Exact::Product { a, b } => self.exact_product(a, b, value),
            Exact::Quotient { a, b } => {
                let a_negated = self.b.ins().fneg(a);
                let remainder = self.b.ins().fma(value, b, a_negated);
                self.exact_if_zero(remainder, a, [a, a], value)
            }
            Exact::Root { a } => {
                let a_negated = self.b.ins().fneg(a);
                let remainder = self.b.ins().fma(value, value, a_negated);
                self.exact_if_zero(remainder, a, [a, a], value)
            }
            Exact::Fused { a, b, c } => {
                let product = self.b.ins().fmul(a, b);
                let first = self.exact_product(a, b, product);
                let sum = self.b.ins().fadd(product, c);
                let second = self.exact_sum(product, c, sum);
                self.b.ins().band(first, second)
            }
        };
        Some(holds)
    }

    fn equal(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fcmp(FloatCC::Equal, a, b)
    }

    fn is_zero(&mut self, a: Value) -> Value {
        let zero = match self.type_of(a) {
            F32 => self.b.ins().f32const(0.0),
            _ => self.b.ins().f64const(0.0),
        };
        self.equal(a, zero)
    }

    /// In either format.
    fn exact_sum(&mut self, a: Value, b: Value, sum: Value) -> Value {
        let b_part = self.b.ins().fsub(sum, a);
        let a_part = self.b.ins().fsub(sum, b_part);
        let a_error = self.b.ins().fsub(a, a_part);
        let b_error = self.b.ins().fsub(b, b_part);
        let error = self.b.ins().fadd(a_error, b_error);
        self.is_zero(error)
    }

    fn exact_product(&mut self, a: Value, b: Value, product: Value) -> Value {
        let negated = self.b.ins().fneg(product);
        let error = self.b.ins().fma(a, b, negated);
        self.exact_if_zero(error, product, [a, b], product)
    }

    /// Exact where the error is zero and `scale` large enough to tell by it; or where the
    /// result is zero and one of the operands, too.
    fn exact_if_zero(
        &mut self,
        error: Value,
        scale: Value,
        operands: [Value; 2],
        value: Value,
    ) -> Value {
        let none = self.is_zero(error);
        let (exponent, _) = self.exponent(scale);
        let cc = IntCC::UnsignedGreaterThanOrEqual;
        let told = self.b.ins().icmp_imm_u(cc, exponent, LEAST);
        let exact = self.b.ins().band(none, told);
        let [a, b] = operands.map(|v| self.is_zero(v));
        let zero = self.b.ins().bor(a, b);
        let result = self.is_zero(value);
        let zero = self.b.ins().band(zero, result);
        self.b.ins().bor(exact, zero)
    }

    /// Products and quotients of binary32, in binary64.
    fn exact_single(&mut self, exact: Exact, value: Value) -> Value {
        let wide = |this: &mut Self, v| this.b.ins().fpromote(F64, v);
        let value = wide(self, value);
        match exact {
            Exact::Product { a, b } => {
                let (a, b) = (wide(self, a), wide(self, b));
                let product = self.b.ins().fmul(a, b);
                self.equal(product, value)
            }
            Exact::Quotient { a, b } => {
                let (a, b) = (wide(self, a), wide(self, b));
                let product = self.b.ins().fmul(value, b);
                self.equal(product, a)
            }
            Exact::Root { a } => {
                let a = wide(self, a);
                let square = self.b.ins().fmul(value, value);
                self.equal(square, a)
            }
            Exact::Fused { a, b, c } => {
                let (a, b, c) = (wide(self, a), wide(self, b), wide(self, c));
                let product = self.b.ins().fmul(a, b);
                let sum = self.b.ins().fadd(product, c);
                let exact = self.exact_sum(product, c, sum);
                let same = self.equal(sum, value);
                self.b.ins().band(exact, same)
            }
            _ => self.b.ins().iconst(I8, 0),
        }
    }

    /// Not 0 where dynamic rounding is other than to nearest even.
    fn direction(&mut self) -> Value {
        let float = G::LAYOUT.float;
        let (own, guest) = (self.kinds.own, self.guest);
        let control = self.b.ins().uload8(I32, own, guest, float.control as i32);
        self.b.ins().band_imm_u(control, i64::from(float.direction))
    }
}
