//! The vocabulary of semantics, on CLIF values.

use crate::emit::Emitter;
use crate::scan::{Flow, ends};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Type, Value};
use isoform_core::{AmoOp, Cond, FReg, Helper, MemTy, Ops, Order, Reg, Size, Translate};
use isoform_core::{Guest, Width};
use std::convert::Infallible;

pub(crate) fn int(size: Size) -> Type {
    match size {
        Size::B1 => I8,
        Size::B2 => I16,
        Size::B4 => I32,
        Size::B8 => I64,
    }
}

fn condition(c: Cond) -> IntCC {
    match c {
        Cond::Eq => IntCC::Equal,
        Cond::Ne => IntCC::NotEqual,
        Cond::Lt => IntCC::SignedLessThan,
        Cond::Ge => IntCC::SignedGreaterThanOrEqual,
        Cond::Ltu => IntCC::UnsignedLessThan,
        Cond::Geu => IntCC::UnsignedGreaterThanOrEqual,
    }
}

impl<G: Translate> Emitter<'_, '_, G> {
    /// The value as wide as the operation.
    fn narrow(&mut self, w: Width, v: Value) -> Value {
        match w {
            Width::W32 => self.b.ins().ireduce(I32, v),
            Width::W64 => v,
        }
    }

    /// The low bytes of a value.
    pub(crate) fn low(&mut self, size: Size, v: Value) -> Value {
        match size {
            Size::B8 => v,
            _ => self.b.ins().ireduce(int(size), v),
        }
    }

    /// What [`Emitter::low`] gives, as 64 bits again.
    pub(crate) fn sign_extended(&mut self, size: Size, v: Value) -> Value {
        match size {
            Size::B8 => v,
            _ => self.b.ins().sextend(I64, v),
        }
    }

    /// What [`Emitter::low`] gives, as 64 bits again.
    pub(crate) fn zero_extended(&mut self, size: Size, v: Value) -> Value {
        match size {
            Size::B8 => v,
            _ => self.b.ins().uextend(I64, v),
        }
    }

    /// Whether a value is the constant 0.
    fn is_constant_zero(&self, v: Value) -> bool {
        let inst = self.b.func.dfg.value_def(v).inst();
        inst.is_some_and(|inst| {
            let data = self.b.func.dfg.insts[inst];
            matches!(data, InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } if imm.bits() == 0)
        })
    }

    /// The result of an operation as 64 bits: words are sign-extended.
    fn widen(&mut self, w: Width, v: Value) -> Value {
        match w {
            Width::W32 => self.b.ins().sextend(I64, v),
            Width::W64 => v,
        }
    }
}

/// Operations of one CLIF instruction on two operands, by width.
macro_rules! binary {
    ($( $name:ident $op:ident; )*) => { $(
        #[inline(never)]
        fn $name(&mut self, w: Width, a: Value, b: Value) -> Value {
            let (a, b) = (self.narrow(w, a), self.narrow(w, b));
            let value = self.b.ins().$op(a, b);
            self.widen(w, value)
        }
    )* };
}

/// Operations of one CLIF instruction on 64-bit operands.
macro_rules! wide {
    ($( $name:ident($($arg:ident),*) $op:ident; )*) => { $(
        #[inline(never)]
        fn $name(&mut self, $($arg: Value),*) -> Value {
            self.b.ins().$op($($arg),*)
        }
    )* };
}

/// Counts, which are never negative.
macro_rules! counts {
    ($( $name:ident $op:ident; )*) => { $(
        #[inline(never)]
        fn $name(&mut self, w: Width, a: Value) -> Value {
            let a = self.narrow(w, a);
            let value = self.b.ins().$op(a);
            self.widen(w, value)
        }
    )* };
}

impl<G: Translate> Ops for Emitter<'_, '_, G> {
    type Guest = G;
    type V = Value;
    /// In one of the types that `float::values` names.
    type F = Value;
    type Exit = Infallible;

    fn mode(&self) -> <G as Guest>::Mode {
        self.mode
    }

    fn length(&mut self, bytes: u64) {
        self.next = self.at + bytes;
    }

    fn imm(&mut self, value: u64) -> Value {
        self.b.ins().iconst(I64, value as i64)
    }

    fn pc_rel(&mut self, offset: i64) -> Value {
        let at = self.at.wrapping_add(offset as u64);
        self.address(at)
    }

    fn next_pc(&mut self) -> Value {
        self.address(self.next)
    }

    fn reg(&mut self, r: Reg) -> Value {
        self.read(r.0)
    }

    fn set_reg(&mut self, r: Reg, v: Value) {
        self.write(r.0, v);
    }

    fn freg(&mut self, r: FReg) -> Value {
        self.read_float(r.0)
    }

    fn set_freg(&mut self, r: FReg, v: Value) {
        self.write_float(r.0, v);
    }

    fn bits(&mut self, f: Value) -> Value {
        self.as_bits(f)
    }

    fn boxed(&mut self, size: Size, v: Value) -> Value {
        self.box_float(size, v)
    }

    fn load_float(&mut self, addr: Value, size: Size) -> Result<Value, Infallible> {
        Ok(self.load_float_inline(addr, size))
    }

    fn store_float(&mut self, addr: Value, size: Size, f: Value) -> Result<(), Infallible> {
        self.store_float_inline(addr, size, f);
        Ok(())
    }

    fn from_bits(&mut self, v: Value) -> Value {
        v
    }

    #[inline(never)]
    fn add(&mut self, w: Width, a: Value, b: Value) -> Value {
        // How registers are copied, and constants made.
        if w == Width::W64 && self.is_constant_zero(a) {
            return b;
        }
        if w == Width::W64 && self.is_constant_zero(b) {
            return a;
        }
        let (a, b) = (self.narrow(w, a), self.narrow(w, b));
        let sum = self.b.ins().iadd(a, b);
        self.widen(w, sum)
    }

    binary! {
        sub isub;
        mul imul;
        div sdiv;
        divu udiv;
        rem srem;
        remu urem;
        shl ishl;
        shr ushr;
        sar sshr;
        rotr rotr;
    }

    wide! {
        mulh(a, b) smulhi;
        mulhu(a, b) umulhi;
        and(a, b) band;
        or(a, b) bor;
        xor(a, b) bxor;
        not(a) bnot;
        bswap(a) bswap;
        select(c, a, b) select;
    }

    counts! {
        clz clz;
        ctz ctz;
        popcnt popcnt;
    }

    fn sext(&mut self, size: Size, a: Value) -> Value {
        let low = self.low(size, a);
        self.sign_extended(size, low)
    }

    fn zext(&mut self, size: Size, a: Value) -> Value {
        let low = self.low(size, a);
        self.zero_extended(size, low)
    }

    fn cmp(&mut self, c: Cond, a: Value, b: Value) -> Value {
        let holds = self.b.ins().icmp(condition(c), a, b);
        self.b.ins().uextend(I64, holds)
    }

    fn load(&mut self, addr: Value, ty: MemTy) -> Result<Value, Infallible> {
        Ok(self.load_inline(addr, ty))
    }

    fn store(&mut self, addr: Value, size: Size, v: Value) -> Result<(), Infallible> {
        self.store_inline(addr, size, v);
        Ok(())
    }

    fn amo(
        &mut self,
        op: AmoOp,
        addr: Value,
        size: Size,
        v: Value,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.amo_inline(op, addr, size, v, order))
    }

    fn cas(
        &mut self,
        addr: Value,
        size: Size,
        expected: Value,
        new: Value,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.cas_inline(addr, size, expected, new, order))
    }

    fn load_reserved(
        &mut self,
        addr: Value,
        size: Size,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.load_reserved_inline(addr, size, order))
    }

    fn store_conditional(
        &mut self,
        addr: Value,
        size: Size,
        v: Value,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.store_conditional_inline(addr, size, v, order))
    }

    fn zero_block(
        &mut self,
        h: &'static Helper<G>,
        addr: Value,
        bytes: u64,
    ) -> Result<(), Infallible> {
        self.zero_inline(h, addr, bytes);
        Ok(())
    }

    fn fence(&mut self, _: Order) {
        self.b.ins().fence();
    }

    fn branch(&mut self, c: Value, offset: i64) {
        self.flow = Flow::Branch(offset);
        self.operand = Some(c);
    }

    fn jump(&mut self, offset: i64) {
        self.flow = Flow::Jump(offset);
    }

    fn jump_to(&mut self, target: Value) {
        if self.flow != Flow::Leave {
            self.flow = Flow::Indirect;
        }
        self.operand = Some(target);
    }

    fn trap(&mut self, _: G::Trap) -> Result<(), Infallible> {
        // Regions end before an instruction that always traps.
        self.flow = Flow::Interpret;
        Ok(())
    }

    fn helper(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Result<Value, Infallible> {
        if ends(&h.effects) {
            self.flow = Flow::Leave;
            return Ok(self.call_last(h, args));
        }
        Ok(self.call_within(h, args))
    }

    fn float(
        &mut self,
        fp: &'static Helper<G>,
        args: [Value; 3],
        rm: u8,
    ) -> Result<Value, Infallible> {
        Ok(self.compute(fp, args, rm))
    }
}
