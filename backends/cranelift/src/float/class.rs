//! The class of a value, as [`FloatOp::Classify`](isoform_core::FloatOp) numbers them.

use super::{Emitter, values};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use isoform_core::Translate;

impl<G: Translate> Emitter<'_, '_, G> {
    /// A bit for the class of a single or a double: integer arithmetic on its bits, which
    /// raises nothing.
    pub(super) fn class(&mut self, value: Value) -> Value {
        let (bits, width, fraction) = match self.type_of(value) {
            F32 => {
                let bits = self.b.ins().bitcast(I32, values::raw(), value);
                (self.b.ins().uextend(I64, bits), 32, 23)
            }
            _ => (self.as_bits(value), 64, 52),
        };
        let sign = self.b.ins().ushr_imm_u(bits, width - 1);
        let magnitude = self.b.ins().band_imm_u(bits, i64::MAX >> (64 - width));
        // Zero is the first of the positive ones; then come subnormal values, normal ones,
        // infinity.
        let infinity = (i64::MAX >> (64 - width)) >> fraction << fraction;
        let mut class = self.b.ins().iconst(I64, 4);
        for least in [1, 1 << fraction, infinity] {
            let cc = IntCC::UnsignedGreaterThanOrEqual;
            let more = self.b.ins().icmp_imm_u(cc, magnitude, least);
            let more = self.b.ins().uextend(I64, more);
            class = self.b.ins().iadd(class, more);
        }
        // The negative ones lie before, in the opposite order.
        let flip = self.b.ins().ineg(sign);
        let flip = self.b.ins().band_imm_u(flip, 7);
        let class = self.b.ins().bxor(class, flip);
        let quiet = self.b.ins().ushr_imm_u(bits, fraction - 1);
        let quiet = self.b.ins().band_imm_u(quiet, 1);
        let nan = self.b.ins().iadd_imm_s(quiet, 8);
        let cc = IntCC::UnsignedGreaterThan;
        let is_nan = self.b.ins().icmp_imm_u(cc, magnitude, infinity);
        let class = self.b.ins().select(is_nan, nan, class);
        let one = self.b.ins().iconst(I64, 1);
        self.b.ins().ishl(one, class)
    }
}
