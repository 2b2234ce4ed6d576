//! Floating-point values by their types.
//!
//! * `F64`: 64 bits, a binary64 or what else was put into a register.
//! * `F32`: a binary32 that stands in a register as [`isoform_core::Ops::boxed`] has it.
//! * `I64`: bits on their way to or from integers.

use super::{Emitter, Paths};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I32, I64};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData as MemFlags, Type, Value};
use isoform_core::{Size, Translate};

/// What stands above a narrower value.
const ABOVE: u64 = !0 << 32;

/// Bits as they are.
pub(super) fn raw() -> MemFlags {
    MemFlags::new().with_endianness(Endianness::Little)
}

impl<G: Translate> Emitter<'_, '_, G> {
    pub(super) fn type_of(&self, value: Value) -> Type {
        self.b.func.dfg.value_type(value)
    }

    /// The bits of a value as a register holds them.
    pub(crate) fn as_bits(&mut self, value: Value) -> Value {
        match self.type_of(value) {
            F64 => self.b.ins().bitcast(I64, raw(), value),
            F32 => {
                let low = self.b.ins().bitcast(I32, raw(), value);
                let low = self.b.ins().uextend(I64, low);
                self.b.ins().bor_imm_s(low, ABOVE as i64)
            }
            _ => value,
        }
    }

    /// The value of a type from its bits, narrower ones boxed or not.
    pub(super) fn typed(&mut self, ty: Type, bits: Value) -> Value {
        match ty {
            F64 => self.b.ins().bitcast(F64, raw(), bits),
            F32 => {
                let low = self.b.ins().ireduce(I32, bits);
                self.b.ins().bitcast(F32, raw(), low)
            }
            _ => bits,
        }
    }

    /// A value as a register's variable holds it.
    pub(super) fn as_double(&mut self, value: Value) -> Value {
        match self.type_of(value) {
            F32 => {
                let vector = self.b.ins().scalar_to_vector(F32X4, value);
                let vector = self.b.ins().bitcast(F64X2, raw(), vector);
                let low = self.b.ins().extractlane(vector, 0);
                let above = self.b.ins().f64const(f64::from_bits(ABOVE));
                self.b.ins().bor(low, above)
            }
            I64 => self.b.ins().bitcast(F64, raw(), value),
            _ => value,
        }
    }

    /// An operand of a format; to the helper with a narrower one that is not boxed.
    pub(super) fn operand(&mut self, format: Size, value: Value, paths: &mut Paths) -> Value {
        let ty = self.type_of(value);
        if format != Size::B4 {
            return self.as_double(value);
        }
        if ty == F32 {
            return value;
        }
        let bits = self.as_bits(value);
        let above = self.b.ins().sshr_imm_u(bits, 32);
        let unboxed = self.b.ins().icmp_imm_s(IntCC::NotEqual, above, -1);
        let single = match ty {
            F64 => {
                let vector = self.b.ins().scalar_to_vector(F64X2, value);
                let vector = self.b.ins().bitcast(F32X4, raw(), vector);
                self.b.ins().extractlane(vector, 0)
            }
            _ => self.typed(F32, bits),
        };
        self.or_helper(unboxed, paths);
        single
    }
}
