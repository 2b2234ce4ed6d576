//! x86-64 instructions for the baseline compiler, in a few kinds that other hosts have,
//! too: three operands, of which x86 makes two and a copy.
//!
//! Encodings are those of Cranelift's assembler. `rax`, `rcx` and, within one operation,
//! `rdx` are what an operation computes in; values are never kept there.

use crate::abi::Name;
use crate::host::Distance;
use crate::object::{Object, Relocation};
use cranelift_assembler_x64::{self as x64, Amode, NonRspGpr, Registers, Scale, gpr::enc, inst};
use isoform_core::{Cond, MemTy, Size, Width};
use std::num::NonZeroU8;

/// A general-purpose register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gpr(u8);

/// Where units have the vCPU, the program counter and the instructions left: the
/// parameters of Cranelift's `tail` convention, as those of System V.
pub(crate) const GUEST: Gpr = Gpr(enc::RDI);
pub(crate) const PC: Gpr = Gpr(enc::RSI);
pub(crate) const LEFT: Gpr = Gpr(enc::RDX);
/// Where a unit has what it returns.
pub(crate) const RETURNED: Gpr = Gpr(enc::RAX);
/// For what is needed from one instruction to the next.
pub(crate) const SCRATCH: [Gpr; 2] = [Gpr(enc::RAX), Gpr(enc::RCX)];
/// For values. A unit may change all registers but the stack's and the frame's.
pub(crate) const VALUES: [Gpr; 9] = [
    Gpr(enc::RBX),
    Gpr(enc::R8),
    Gpr(enc::R9),
    Gpr(enc::R10),
    Gpr(enc::R11),
    Gpr(enc::R12),
    Gpr(enc::R13),
    Gpr(enc::R14),
    Gpr(enc::R15),
];

/// A register or a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Reg(Gpr),
    Imm(u64),
}

/// An address: a register and an offset, and another register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) base: Gpr,
    pub(crate) index: Option<Gpr>,
    pub(crate) offset: i32,
}

impl Place {
    /// In the vCPU.
    pub(crate) fn of_guest(offset: usize) -> Self {
        Self::off(GUEST, offset as i32)
    }

    pub(crate) fn off(base: Gpr, offset: i32) -> Self {
        Self {
            base,
            index: None,
            offset,
        }
    }

    pub(crate) fn sum(base: Gpr, index: Gpr) -> Self {
        Self {
            base,
            index: Some(index),
            offset: 0,
        }
    }

    fn mode(self) -> Amode<u8> {
        let simm32 = self.offset.into();
        match self.index {
            Some(index) => Amode::ImmRegRegShift {
                base: self.base.0,
                index: NonRspGpr::new(index.0),
                scale: Scale::One,
                simm32,
                trap: None,
            },
            None => Amode::ImmReg {
                base: self.base.0,
                simm32: x64::AmodeOffsetPlusKnownOffset {
                    simm32,
                    offset: None,
                },
                trap: None,
            },
        }
    }
}

/// Operations on two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alu {
    Add,
    Sub,
    And,
    Or,
    Xor,
}

/// Shifts and rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    Left,
    Right,
    Arithmetic,
    RotateRight,
}

/// Counts of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    LeadingZeros,
    TrailingZeros,
    Ones,
}

/// A place in the code that is jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// Registers by their numbers.
struct Numbers;

impl Registers for Numbers {
    type ReadGpr = u8;
    type ReadWriteGpr = u8;
    type WriteGpr = u8;
    type ReadXmm = u8;
    type ReadWriteXmm = u8;
    type WriteXmm = u8;
}

/// Bytes of a distance, which jumps end with.
const DISTANCE: usize = 4;

/// Code in the making.
#[derive(Default)]
pub(crate) struct Assembler {
    code: Vec<u8>,
    /// Where each label is, once it is known.
    labels: Vec<Option<usize>>,
    /// Distances to labels, by where they are.
    jumps: Vec<(usize, Label)>,
    relocations: Vec<Relocation>,
    /// Whose code begins where.
    marks: Vec<Mark>,
}

/// What code belongs to, from an offset on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    /// The guest instruction that it is for, by its offset in the page, if for one.
    pub(crate) guest: Option<u64>,
    /// It is seldom executed.
    pub(crate) cold: bool,
}

/// Writes an instruction by its name in the assembler.
macro_rules! put {
    ($this:ident, $name:ident $(, $operand:expr)*) => {
        inst::$name::<Numbers>::new($($operand),*).encode(&mut $this.code)
    };
}

/// The same, of instructions that have no registers among their operands.
macro_rules! put_plain {
    ($this:ident, $name:ident $(, $operand:expr)*) => {
        inst::$name::new($($operand),*).encode(&mut $this.code)
    };
}

/// An instruction that has a name for each width.
macro_rules! by_width {
    ($this:ident, $w:expr, $long:ident | $quad:ident $(, $operand:expr)*) => {
        match $w {
            Width::W32 => put!($this, $long $(, $operand)*),
            Width::W64 => put!($this, $quad $(, $operand)*),
        }
    };
}

/// An instruction that has a name for each condition.
macro_rules! by_condition {
    ($this:ident, $c:expr, $put:ident, $eq:ident $ne:ident $lt:ident $ge:ident $ltu:ident $geu:ident $(, $operand:expr)*) => {
        match $c {
            Cond::Eq => $put!($this, $eq $(, $operand)*),
            Cond::Ne => $put!($this, $ne $(, $operand)*),
            Cond::Lt => $put!($this, $lt $(, $operand)*),
            Cond::Ge => $put!($this, $ge $(, $operand)*),
            Cond::Ltu => $put!($this, $ltu $(, $operand)*),
            Cond::Geu => $put!($this, $geu $(, $operand)*),
        }
    };
}

/// The constant as instructions and addresses can have it, extended by the processor.
pub(crate) fn short(value: u64) -> Option<i32> {
    i32::try_from(value as i64).ok()
}

impl Assembler {
    // --- copies and constants

    pub(crate) fn copy(&mut self, to: Gpr, from: Gpr) {
        if to != from {
            put!(self, movq_rm, to.0, from.0);
        }
    }

    pub(crate) fn constant(&mut self, to: Gpr, value: u64) {
        if value == 0 {
            // Does change flags: nobody keeps any across this.
            put!(self, xorl_rm, to.0, to.0);
        } else if let Ok(value) = u32::try_from(value) {
            put!(self, movl_oi, to.0, value);
        } else if let Some(value) = short(value) {
            put!(self, movq_mi_sxl, to.0, value);
        } else {
            put!(self, movabsq_oi, to.0, value);
        }
    }

    /// A register that has the operand, `room` where it is a constant.
    fn in_register(&mut self, operand: Operand, room: Gpr) -> Gpr {
        match operand {
            Operand::Reg(reg) => reg,
            Operand::Imm(value) => {
                self.constant(room, value);
                room
            }
        }
    }

    pub(crate) fn put_operand(&mut self, to: Gpr, operand: Operand) {
        match operand {
            Operand::Reg(from) => self.copy(to, from),
            Operand::Imm(value) => self.constant(to, value),
        }
    }

    /// The address of a place.
    pub(crate) fn address(&mut self, to: Gpr, place: Place) {
        put!(self, leaq_rm, to.0, place.mode());
    }

    /// The low bits of a register, extended.
    pub(crate) fn extend(&mut self, to: Gpr, from: Gpr, ty: MemTy) {
        match (ty.size, ty.signed) {
            (Size::B1, true) => put!(self, movsbq_rm, to.0, from.0),
            (Size::B1, false) => put!(self, movzbl_rm, to.0, from.0),
            (Size::B2, true) => put!(self, movswq_rm, to.0, from.0),
            (Size::B2, false) => put!(self, movzwl_rm, to.0, from.0),
            (Size::B4, true) => put!(self, movslq_rm, to.0, from.0),
            (Size::B4, false) => put!(self, movl_rm, to.0, from.0),
            (Size::B8, _) => self.copy(to, from),
        }
    }

    /// Words of 32 bits are sign-extended.
    fn widen(&mut self, w: Width, reg: Gpr) {
        if w == Width::W32 {
            put!(self, movslq_rm, reg.0, reg.0);
        }
    }

    // --- memory

    pub(crate) fn load(&mut self, to: Gpr, place: Place, ty: MemTy) {
        let place = place.mode();
        match (ty.size, ty.signed) {
            (Size::B1, true) => put!(self, movsbq_rm, to.0, place),
            (Size::B1, false) => put!(self, movzbl_rm, to.0, place),
            (Size::B2, true) => put!(self, movswq_rm, to.0, place),
            (Size::B2, false) => put!(self, movzwl_rm, to.0, place),
            (Size::B4, true) => put!(self, movslq_rm, to.0, place),
            (Size::B4, false) => put!(self, movl_rm, to.0, place),
            (Size::B8, _) => put!(self, movq_rm, to.0, place),
        }
    }

    pub(crate) fn load_word(&mut self, to: Gpr, place: Place) {
        self.load(to, place, MemTy::unsigned(Size::B8));
    }

    pub(crate) fn store(&mut self, place: Place, size: Size, from: Gpr) {
        let place = place.mode();
        match size {
            Size::B1 => put!(self, movb_mr, place, from.0),
            Size::B2 => put!(self, movw_mr, place, from.0),
            Size::B4 => put!(self, movl_mr, place, from.0),
            Size::B8 => put!(self, movq_mr, place, from.0),
        }
    }

    /// A word of 64 bits; a constant may be put into the first scratch register.
    pub(crate) fn store_word(&mut self, place: Place, value: Operand) {
        match value {
            Operand::Imm(value) if short(value).is_some() => {
                put!(self, movq_mi_sxl, place.mode(), value as i32);
            }
            value => {
                let from = self.in_register(value, SCRATCH[0]);
                self.store(place, Size::B8, from);
            }
        }
    }

    /// Takes 1 off a word of 32 bits; the next jump is [`Assembler::jump_if_negative`].
    pub(crate) fn count_down(&mut self, place: Place) {
        put!(self, subl_mi, place.mode(), 1);
    }

    /// Sets bits of a word of 64 bits.
    pub(crate) fn set_bits(&mut self, place: Place, bits: u64) {
        self.constant(SCRATCH[0], bits);
        put!(self, orq_mr, place.mode(), SCRATCH[0].0);
    }

    /// Orders all accesses before it before all behind it.
    pub(crate) fn fence(&mut self) {
        put_plain!(self, mfence_zo);
    }

    // --- arithmetic

    /// `to = a op b`. `to` is neither, but may be `a`.
    pub(crate) fn alu(&mut self, op: Alu, w: Width, to: Gpr, a: Gpr, b: Operand) {
        self.copy(to, a);
        match b {
            Operand::Imm(value) if let Ok(value) = i8::try_from(value as i64) => match op {
                Alu::Add => by_width!(self, w, addl_mi_sxb | addq_mi_sxb, to.0, value),
                Alu::Sub => by_width!(self, w, subl_mi_sxb | subq_mi_sxb, to.0, value),
                Alu::And => by_width!(self, w, andl_mi_sxb | andq_mi_sxb, to.0, value),
                Alu::Or => by_width!(self, w, orl_mi_sxb | orq_mi_sxb, to.0, value),
                Alu::Xor => by_width!(self, w, xorl_mi_sxb | xorq_mi_sxb, to.0, value),
            },
            Operand::Imm(value) if w == Width::W32 || short(value).is_some() => {
                let value = value as i32;
                match op {
                    Alu::Add => by_width!(self, w, addl_mi | addq_mi_sxl, to.0, value),
                    Alu::Sub => by_width!(self, w, subl_mi | subq_mi_sxl, to.0, value),
                    Alu::And => by_width!(self, w, andl_mi | andq_mi_sxl, to.0, value),
                    Alu::Or => by_width!(self, w, orl_mi | orq_mi_sxl, to.0, value),
                    Alu::Xor => by_width!(self, w, xorl_mi | xorq_mi_sxl, to.0, value),
                }
            }
            b => {
                let b = self.in_register(b, SCRATCH[0]).0;
                self.alu_rm(op, w, to, b);
            }
        }
        self.widen(w, to);
    }

    fn alu_rm(&mut self, op: Alu, w: Width, to: Gpr, b: impl Into<x64::GprMem<u8, u8>>) {
        let b = b.into();
        match op {
            Alu::Add => by_width!(self, w, addl_rm | addq_rm, to.0, b),
            Alu::Sub => by_width!(self, w, subl_rm | subq_rm, to.0, b),
            Alu::And => by_width!(self, w, andl_rm | andq_rm, to.0, b),
            Alu::Or => by_width!(self, w, orl_rm | orq_rm, to.0, b),
            Alu::Xor => by_width!(self, w, xorl_rm | xorq_rm, to.0, b),
        }
    }

    /// `to = to op b`, with a word of 64 bits in memory.
    pub(crate) fn alu_place(&mut self, op: Alu, to: Gpr, b: Place) {
        self.alu_rm(op, Width::W64, to, b.mode());
    }

    /// The amount is taken modulo the width.
    pub(crate) fn shift(&mut self, op: Shift, w: Width, to: Gpr, a: Gpr, by: Operand) {
        match by {
            Operand::Imm(by) => {
                self.copy(to, a);
                let by = by as u8 & if w == Width::W32 { 31 } else { 63 };
                match op {
                    Shift::Left => by_width!(self, w, shll_mi | shlq_mi, to.0, by),
                    Shift::Right => by_width!(self, w, shrl_mi | shrq_mi, to.0, by),
                    Shift::Arithmetic => by_width!(self, w, sarl_mi | sarq_mi, to.0, by),
                    Shift::RotateRight => by_width!(self, w, rorl_mi | rorq_mi, to.0, by),
                }
            }
            Operand::Reg(by) => {
                let cl = enc::RCX;
                self.copy(Gpr(cl), by);
                self.copy(to, a);
                match op {
                    Shift::Left => by_width!(self, w, shll_mc | shlq_mc, to.0, cl),
                    Shift::Right => by_width!(self, w, shrl_mc | shrq_mc, to.0, cl),
                    Shift::Arithmetic => by_width!(self, w, sarl_mc | sarq_mc, to.0, cl),
                    Shift::RotateRight => by_width!(self, w, rorl_mc | rorq_mc, to.0, cl),
                }
            }
        }
        self.widen(w, to);
    }

    pub(crate) fn multiply(&mut self, w: Width, to: Gpr, a: Gpr, b: Operand) {
        let b = self.in_register(b, SCRATCH[0]);
        self.copy(to, a);
        by_width!(self, w, imull_rm | imulq_rm, to.0, b.0);
        self.widen(w, to);
    }

    /// Computes in `rax` and `rdx`, and restores the latter.
    fn in_pair(&mut self, a: Gpr, compute: impl FnOnce(&mut Self), result: u8, to: Gpr) {
        self.copy(Gpr(enc::RCX), LEFT);
        self.copy(Gpr(enc::RAX), a);
        compute(self);
        self.copy(to, Gpr(result));
        self.copy(LEFT, Gpr(enc::RCX));
    }

    /// The upper 64 bits of a product.
    pub(crate) fn multiply_high(&mut self, signed: bool, to: Gpr, a: Gpr, b: Gpr) {
        let (rax, rdx) = (enc::RAX, enc::RDX);
        let product = |this: &mut Self| match signed {
            true => put!(this, imulq_m, rax, rdx, b.0),
            false => put!(this, mulq_m, rax, rdx, b.0),
        };
        self.in_pair(a, product, rdx, to);
    }

    /// The quotient, or the remainder. `b` is neither 0 nor the -1 that overflows.
    pub(crate) fn divide(&mut self, (w, signed, rest): (Width, bool, bool), to: Gpr, ab: [Gpr; 2]) {
        let (rax, rdx) = (enc::RAX, enc::RDX);
        let [a, b] = ab;
        // What the assembler asks for, and no guest can bring about.
        let trap = x64::TrapCode(NonZeroU8::MIN);
        let quotient = |this: &mut Self| match signed {
            true => {
                by_width!(this, w, cltd_zo | cqto_zo, rdx, rax);
                by_width!(this, w, idivl_m | idivq_m, rax, rdx, b.0, trap);
            }
            false => {
                put!(this, xorl_rm, rdx, rdx);
                by_width!(this, w, divl_m | divq_m, rax, rdx, b.0, trap);
            }
        };
        self.in_pair(a, quotient, if rest { rdx } else { rax }, to);
        self.widen(w, to);
    }

    /// The processor has what [`super::COUNTS`] names.
    pub(crate) fn count(&mut self, what: Count, w: Width, to: Gpr, a: Gpr) {
        match what {
            Count::LeadingZeros => by_width!(self, w, lzcntl_rm | lzcntq_rm, to.0, a.0),
            Count::TrailingZeros => by_width!(self, w, tzcntl_a | tzcntq_a, to.0, a.0),
            Count::Ones => by_width!(self, w, popcntl_rm | popcntq_rm, to.0, a.0),
        }
    }

    pub(crate) fn swap_bytes(&mut self, to: Gpr, a: Gpr) {
        self.copy(to, a);
        put!(self, bswapq_o, to.0);
    }

    // --- conditions

    fn compare(&mut self, w: Width, a: Gpr, b: Operand) {
        match b {
            Operand::Imm(0) => by_width!(self, w, testl_mr | testq_mr, a.0, a.0),
            Operand::Imm(value) if let Ok(value) = i8::try_from(value as i64) => {
                by_width!(self, w, cmpl_mi_sxb | cmpq_mi_sxb, a.0, value);
            }
            Operand::Imm(value) if w == Width::W32 || short(value).is_some() => {
                by_width!(self, w, cmpl_mi | cmpq_mi, a.0, value as i32);
            }
            b => {
                let b = self.in_register(b, SCRATCH[0]);
                by_width!(self, w, cmpl_rm | cmpq_rm, a.0, b.0);
            }
        }
    }

    /// 1 where the comparison holds, else 0. `to` is none of the operands.
    pub(crate) fn set_if(&mut self, c: Cond, w: Width, to: Gpr, a: Gpr, b: Operand) {
        self.compare(w, a, b);
        by_condition!(self, c, put, sete_m setne_m setl_m setge_m setb_m setae_m, to.0);
        put!(self, movzbl_rm, to.0, to.0);
    }

    /// `to = x` where the comparison holds. `to` is none of the operands.
    pub(crate) fn move_if(
        &mut self,
        c: Cond,
        w: Width,
        (a, b): (Gpr, Operand),
        to: Gpr,
        x: Operand,
    ) {
        let x = self.in_register(x, SCRATCH[1]);
        self.compare(w, a, b);
        by_condition!(
            self, c, put,
            cmoveq_rm cmovneq_rm cmovlq_rm cmovgeq_rm cmovbq_rm cmovaeq_rm, to.0, x.0
        );
    }

    // --- control

    /// What follows is for a guest instruction, or for none.
    pub(crate) fn mark(&mut self, guest: Option<u64>, cold: bool) {
        let start = self.code.len();
        self.marks.push(Mark { start, guest, cold });
    }

    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub(crate) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    fn jumped(&mut self, to: Label) {
        self.jumps.push((self.code.len() - DISTANCE, to));
    }

    pub(crate) fn jump(&mut self, to: Label) {
        put_plain!(self, jmp_d32, 0);
        self.jumped(to);
    }

    pub(crate) fn jump_if(&mut self, c: Cond, w: Width, a: Gpr, b: Operand, to: Label) {
        self.compare(w, a, b);
        by_condition!(self, c, put_plain, je_d32 jne_d32 jl_d32 jge_d32 jb_d32 jae_d32, 0);
        self.jumped(to);
    }

    /// Jumps where `a` is less than a word of 64 bits in memory, signed.
    pub(crate) fn jump_if_less(&mut self, a: Gpr, b: Place, to: Label) {
        put!(self, cmpq_rm, a.0, b.mode());
        put_plain!(self, jl_d32, 0);
        self.jumped(to);
    }

    /// Jumps where a word of 64 bits in memory is not 0.
    pub(crate) fn jump_unless_zero(&mut self, place: Place, to: Label) {
        put!(self, cmpq_mi_sxb, place.mode(), 0);
        put_plain!(self, jne_d32, 0);
        self.jumped(to);
    }

    /// Jumps where what was counted down became negative.
    pub(crate) fn jump_if_negative(&mut self, to: Label) {
        put_plain!(self, js_d32, 0);
        self.jumped(to);
    }

    fn named(&mut self, to: Name) {
        self.relocations.push(Relocation {
            offset: (self.code.len() - DISTANCE) as u32,
            distance: Distance::Bytes4,
            // From the end of the instruction.
            addend: -(DISTANCE as i32),
            to,
        });
    }

    /// Goes to a stub or a unit.
    pub(crate) fn jump_to(&mut self, to: Name) {
        put_plain!(self, jmp_d32, 0);
        self.named(to);
    }

    /// Calls a stub, which preserves all registers, with the stack aligned for it.
    pub(crate) fn call(&mut self, to: Name) {
        let rax = enc::RAX;
        put!(self, pushq_o, rax);
        put_plain!(self, callq_d, 0);
        self.named(to);
        put!(self, popq_o, rax);
    }

    /// Calls code of the block's own, which goes on in such a stub.
    pub(crate) fn call_label(&mut self, to: Label) {
        let rax = enc::RAX;
        put!(self, pushq_o, rax);
        put_plain!(self, callq_d, 0);
        self.jumped(to);
        put!(self, popq_o, rax);
    }

    /// Returns to the run loop.
    pub(crate) fn ret(&mut self) {
        put_plain!(self, retq_zo);
    }

    /// The code, and whose it is. All labels that are jumped to are bound.
    pub(crate) fn finish(mut self) -> Option<(Object, Vec<Mark>)> {
        for (at, to) in self.jumps {
            let target = self.labels.get(to.0).copied().flatten()?;
            let distance = target as i64 - (at + DISTANCE) as i64;
            Distance::Bytes4.write(&mut self.code, at, distance)?;
        }
        let object = Object {
            code: self.code,
            relocations: self.relocations,
        };
        Some((object, self.marks))
    }
}
