//! Loads and stores of floating-point values, without a way through integer registers.

use super::{Emitter, float_type};
use crate::access::Hit;
use cranelift_codegen::ir::{InstBuilder, Value};
use isoform_core::{MemOp, MemTy, Ops, Size, Translate};

impl<G: Translate> Emitter<'_, '_, G> {
    /// A narrower value as it stands in a register.
    pub(crate) fn box_float(&mut self, size: Size, v: Value) -> Value {
        match float_type(size) {
            Some(ty) => self.typed(ty, v),
            None => {
                let low = self.zext(size, v);
                self.b.ins().bor_imm_s(low, !size.truncate(!0) as i64)
            }
        }
    }

    pub(crate) fn load_float_inline(&mut self, addr: Value, size: Size) -> Value {
        let Some(ty) = float_type(size) else {
            let value = self.load_inline(addr, MemTy::unsigned(size));
            return self.box_float(size, value);
        };
        let Hit { host, offset, slow } = self.hit(addr, size, G::LAYOUT.tlb.read);
        let value = self.b.ins().load(ty, self.kinds.ram, host, offset);
        let Some(slow) = slow else {
            return value;
        };
        let done = self.b.create_block();
        let result = self.b.append_block_param(done, ty);
        self.b.ins().jump(done, &[value.into()]);
        self.b.switch_to_block(slow);
        let bits = self.access(MemOp::Load(MemTy::unsigned(size)), addr, addr, addr);
        let value = self.typed(ty, bits);
        self.b.ins().jump(done, &[value.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        result
    }

    pub(crate) fn store_float_inline(&mut self, addr: Value, size: Size, v: Value) {
        if float_type(size) != Some(self.type_of(v)) {
            let bits = self.as_bits(v);
            return self.store_inline(addr, size, bits);
        }
        let Hit { host, offset, slow } = self.hit(addr, size, G::LAYOUT.tlb.write);
        self.b.ins().store(self.kinds.ram, v, host, offset);
        let Some(slow) = slow else {
            return;
        };
        let done = self.b.create_block();
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(slow);
        let bits = self.as_bits(v);
        self.access(MemOp::Store(size), addr, bits, bits);
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }
}
