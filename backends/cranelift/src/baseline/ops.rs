//! The vocabulary of semantics, on values in host registers.

use super::emit::{Block, Val};
use crate::host::assembler::{Alu, Count, Gpr, Operand, Place, Shift, short};
use crate::scan::{Flow, ends};
use isoform_core::{AmoOp, Cond, FReg, Guest, Helper, MemOp, MemTy, Ops, Order, Reg, Size};
use isoform_core::{Translate, Width};
use std::convert::Infallible;

impl<G: Translate> Block<G> {
    /// What an operation reads that looks at so many bits.
    fn narrow(&mut self, w: Width, v: Val) -> Operand {
        match (w, v) {
            (Width::W32, Val::Word(reg)) => Operand::Reg(reg),
            _ => self.operand_of(v),
        }
    }

    /// The same in a register.
    fn narrow_register(&mut self, w: Width, v: Val) -> Gpr {
        let operand = self.narrow(w, v);
        self.register_of(Val::Is(operand))
    }

    fn alu(&mut self, op: Alu, w: Width, a: Val, b: Val) -> Val {
        let (first, b) = (self.narrow_register(w, a), self.narrow(w, b));
        let to = match a {
            Val::Is(Operand::Reg(_)) => self.take(),
            Val::Word(_) if w == Width::W32 => self.take(),
            // It was computed for this alone.
            _ => first,
        };
        self.asm.alu(op, w, to, first, b);
        Val::Is(Operand::Reg(to))
    }

    fn shift(&mut self, op: Shift, w: Width, a: Val, by: Val) -> Val {
        let (a, by) = (self.narrow_register(w, a), self.narrow(w, by));
        let to = self.take();
        self.asm.shift(op, w, to, a, by);
        Val::Is(Operand::Reg(to))
    }

    fn divide(&mut self, how: (Width, bool, bool), a: Val, b: Val) -> Val {
        let ab = [a, b].map(|v| self.narrow_register(how.0, v));
        let to = self.take();
        self.asm.divide(how, to, ab);
        Val::Is(Operand::Reg(to))
    }

    fn high(&mut self, signed: bool, a: Val, b: Val) -> Val {
        let (a, b) = (self.register_of(a), self.register_of(b));
        let to = self.take();
        self.asm.multiply_high(signed, to, a, b);
        Val::Is(Operand::Reg(to))
    }

    fn count(&mut self, what: Count, w: Width, a: Val) -> Val {
        let a = self.narrow_register(w, a);
        let to = self.take();
        self.asm.count(what, w, to, a);
        Val::Is(Operand::Reg(to))
    }

    fn extend(&mut self, ty: MemTy, a: Val) -> Val {
        match a {
            Val::Is(Operand::Imm(value)) => self.imm(ty.extend(value)),
            a if ty.size == Size::B8 => a,
            a => {
                let from = match a {
                    Val::Word(low) => low,
                    a => self.register_of(a),
                };
                if ty == MemTy::signed(Size::B4) {
                    return Val::Word(from);
                }
                let to = self.take();
                self.asm.extend(to, from, ty);
                Val::Is(Operand::Reg(to))
            }
        }
    }

    fn float_place(r: FReg) -> Place {
        Place::of_guest(G::LAYOUT.fregs + 8 * usize::from(r.0 & 31))
    }
}

/// Operations on two operands that [`Block::alu`] or the like does.
macro_rules! binary {
    ($( $name:ident = $do:ident($($how:expr),*); )*) => { $(
        #[inline(never)]
        fn $name(&mut self, w: Width, a: Val, b: Val) -> Val {
            self.$do($($how,)* w, a, b)
        }
    )* };
}

macro_rules! wide {
    ($( $name:ident = $alu:ident; )*) => { $(
        #[inline(never)]
        fn $name(&mut self, a: Val, b: Val) -> Val {
            self.alu(Alu::$alu, Width::W64, a, b)
        }
    )* };
}

macro_rules! divisions {
    ($( $name:ident signed $signed:literal rest $rest:literal; )*) => { $(
        #[inline(never)]
        fn $name(&mut self, w: Width, a: Val, b: Val) -> Val {
            self.divide((w, $signed, $rest), a, b)
        }
    )* };
}

macro_rules! counts {
    ($( $name:ident = $count:ident; )*) => { $(
        #[inline(never)]
        fn $name(&mut self, w: Width, a: Val) -> Val {
            self.count(Count::$count, w, a)
        }
    )* };
}

impl<G: Translate> Ops for Block<G> {
    type Guest = G;
    type V = Val;
    /// The bits.
    type F = Val;
    type Exit = Infallible;

    fn mode(&self) -> <G as Guest>::Mode {
        self.mode
    }

    fn length(&mut self, bytes: u64) {
        self.next = self.at + bytes;
    }

    fn imm(&mut self, value: u64) -> Val {
        Val::Is(Operand::Imm(value))
    }

    fn pc_rel(&mut self, offset: i64) -> Val {
        self.address(self.at.wrapping_add(offset as u64))
    }

    fn next_pc(&mut self) -> Val {
        self.address(self.next)
    }

    fn reg(&mut self, r: Reg) -> Val {
        self.read(r.0)
    }

    fn set_reg(&mut self, r: Reg, v: Val) {
        self.write(r.0, v);
    }

    fn freg(&mut self, r: FReg) -> Val {
        let to = self.take();
        self.asm.load_word(to, Self::float_place(r));
        Val::Is(Operand::Reg(to))
    }

    fn set_freg(&mut self, r: FReg, v: Val) {
        let from = self.register_of(v);
        self.asm
            .store_word(Self::float_place(r), Operand::Reg(from));
        if !std::mem::replace(&mut self.floats_marked, true) {
            let (place, bits) = G::LAYOUT.fregs_written;
            self.asm.set_bits(Place::of_guest(place), bits);
        }
    }

    fn bits(&mut self, f: Val) -> Val {
        f
    }

    fn from_bits(&mut self, v: Val) -> Val {
        v
    }

    #[inline(never)]
    fn add(&mut self, w: Width, a: Val, b: Val) -> Val {
        let Val::Is(Operand::Imm(by)) = b else {
            return self.alu(Alu::Add, w, a, b);
        };
        match (w, a) {
            (_, Val::Is(Operand::Imm(a))) => {
                let sum = a.wrapping_add(by);
                let ty = MemTy::signed(if w == Width::W32 { Size::B4 } else { Size::B8 });
                self.imm(ty.extend(sum))
            }
            (Width::W64, a) if by == 0 => a,
            (Width::W32, Val::Is(Operand::Reg(reg))) if by == 0 => Val::Word(reg),
            (Width::W64, Val::Is(Operand::Reg(reg))) if let Some(by) = short(by) => {
                Val::Sum(reg, by)
            }
            _ => self.alu(Alu::Add, w, a, b),
        }
    }

    binary! {
        sub = alu(Alu::Sub);
        shl = shift(Shift::Left);
        shr = shift(Shift::Right);
        sar = shift(Shift::Arithmetic);
        rotr = shift(Shift::RotateRight);
    }

    #[inline(never)]
    fn mul(&mut self, w: Width, a: Val, b: Val) -> Val {
        let (a, b) = (self.narrow_register(w, a), self.narrow(w, b));
        let to = self.take();
        self.asm.multiply(w, to, a, b);
        Val::Is(Operand::Reg(to))
    }

    fn mulh(&mut self, a: Val, b: Val) -> Val {
        self.high(true, a, b)
    }

    fn mulhu(&mut self, a: Val, b: Val) -> Val {
        self.high(false, a, b)
    }

    divisions! {
        div signed true rest false;
        divu signed false rest false;
        rem signed true rest true;
        remu signed false rest true;
    }

    wide! {
        and = And;
        xor = Xor;
    }

    #[inline(never)]
    fn or(&mut self, a: Val, b: Val) -> Val {
        // What `boxed` makes of values that have all bits.
        match b {
            Val::Is(Operand::Imm(0)) => a,
            b => self.alu(Alu::Or, Width::W64, a, b),
        }
    }

    fn not(&mut self, a: Val) -> Val {
        let ones = self.imm(!0);
        self.xor(a, ones)
    }

    counts! {
        clz = LeadingZeros;
        ctz = TrailingZeros;
        popcnt = Ones;
    }

    fn bswap(&mut self, a: Val) -> Val {
        let a = self.register_of(a);
        let to = self.take();
        self.asm.swap_bytes(to, a);
        Val::Is(Operand::Reg(to))
    }

    fn sext(&mut self, size: Size, a: Val) -> Val {
        self.extend(MemTy::signed(size), a)
    }

    fn zext(&mut self, size: Size, a: Val) -> Val {
        self.extend(MemTy::unsigned(size), a)
    }

    fn cmp(&mut self, c: Cond, a: Val, b: Val) -> Val {
        match (a, b) {
            (Val::Is(Operand::Imm(a)), Val::Is(Operand::Imm(b))) => self.imm(c.holds(a, b).into()),
            // To extend both keeps their order, signed or not.
            (Val::Word(low), Val::Is(Operand::Imm(value))) if short(value).is_some() => {
                Val::Holds(c, Width::W32, low, Operand::Imm(value))
            }
            (a, b) => {
                let (a, b) = (self.register_of(a), self.operand_of(b));
                Val::Holds(c, Width::W64, a, b)
            }
        }
    }

    fn select(&mut self, c: Val, a: Val, b: Val) -> Val {
        let (c, w, x, y) = match c {
            Val::Holds(c, w, x, y) => (c, w, x, y),
            Val::Is(Operand::Imm(c)) => return if c != 0 { a } else { b },
            c => {
                let c = self.register_of(c);
                (Cond::Ne, Width::W64, c, Operand::Imm(0))
            }
        };
        let a = self.operand_of(a);
        let to = match b {
            Val::Word(from) => {
                let to = self.take();
                self.asm.extend(to, from, MemTy::signed(Size::B4));
                to
            }
            b => {
                let b = self.operand_of(b);
                let to = self.take();
                self.asm.put_operand(to, b);
                to
            }
        };
        self.asm.move_if(c, w, (x, y), to, a);
        Val::Is(Operand::Reg(to))
    }

    fn load(&mut self, addr: Val, ty: MemTy) -> Result<Val, Infallible> {
        Ok(self.load_inline(addr, ty))
    }

    fn store(&mut self, addr: Val, size: Size, v: Val) -> Result<(), Infallible> {
        self.store_inline(addr, size, v);
        Ok(())
    }

    fn amo(
        &mut self,
        op: AmoOp,
        addr: Val,
        size: Size,
        v: Val,
        order: Order,
    ) -> Result<Val, Infallible> {
        Ok(self.access(MemOp::Amo(op, size, order), addr, &[v]))
    }

    fn cas(
        &mut self,
        addr: Val,
        size: Size,
        expected: Val,
        new: Val,
        order: Order,
    ) -> Result<Val, Infallible> {
        Ok(self.access(MemOp::Cas(size, order), addr, &[expected, new]))
    }

    fn load_reserved(&mut self, addr: Val, size: Size, order: Order) -> Result<Val, Infallible> {
        Ok(self.access(MemOp::LoadReserved(size, order), addr, &[]))
    }

    fn store_conditional(
        &mut self,
        addr: Val,
        size: Size,
        v: Val,
        order: Order,
    ) -> Result<Val, Infallible> {
        Ok(self.access(MemOp::StoreConditional(size, order), addr, &[v]))
    }

    fn fence(&mut self, _: Order) {
        self.asm.fence();
    }

    fn branch(&mut self, c: Val, offset: i64) {
        self.flow = Flow::Branch(offset);
        self.operand = Some(c);
    }

    fn jump(&mut self, offset: i64) {
        self.flow = Flow::Jump(offset);
    }

    fn jump_to(&mut self, target: Val) {
        if self.flow != Flow::Leave {
            self.flow = Flow::Indirect;
        }
        self.operand = Some(target);
    }

    fn trap(&mut self, _: G::Trap) -> Result<(), Infallible> {
        // Blocks end before an instruction that always traps.
        self.failed = true;
        Ok(())
    }

    fn helper(&mut self, h: &'static Helper<G>, args: [Val; 4]) -> Result<Val, Infallible> {
        if ends(&h.effects) {
            self.flow = Flow::Leave;
            return Ok(self.call_helper(h, args, true));
        }
        if h.effects == isoform_core::ops::Effects::NONE {
            return Ok(self.call_pure(h, args));
        }
        Ok(self.call_helper(h, args, false))
    }

    fn float(
        &mut self,
        fp: &'static Helper<G>,
        [a, b, c]: [Val; 3],
        rm: u8,
    ) -> Result<Val, Infallible> {
        let rm = self.imm(rm.into());
        Ok(self.call_pure(fp, [a, b, c, rm]))
    }
}
