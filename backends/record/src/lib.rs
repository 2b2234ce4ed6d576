//! The third form of the vocabulary: semantics written down, for tests.
//!
//! [`record`] runs an instruction's semantic once and gives the list of what it
//! asked for, in order, with numbered values. Tests print the list (golden dumps) and
//! check it (which accesses can fault, and whether anything was written before). The
//! list is an IR: a pass over whole blocks, should one be needed, starts here.
//!
//! As in a translator, an instruction never ends early here: what follows a trap is
//! recorded, too, and is for the checks to find.
//!
//! It knows no guest by name, and contains no `unsafe`.

use isoform_core::{AmoOp, Cond, FReg, Guest, Helper, Insn, MemTy, Ops, Order, Reg, Size, Width};
use std::convert::Infallible;
use std::fmt;

/// An integer value: the result of the operation with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

/// A floating-point value: the result of the operation with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Float(pub u32);

/// An integer operation of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the method of `Ops` of its name")]
pub enum Unary {
    Not,
    Clz(Width),
    Ctz(Width),
    Popcnt(Width),
    Bswap,
    Sext(Size),
    Zext(Size),
}

/// An integer operation of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the method of `Ops` of its name")]
pub enum Binary {
    Add(Width),
    Sub(Width),
    Mul(Width),
    Mulh,
    Mulhu,
    Div(Width),
    Divu(Width),
    Rem(Width),
    Remu(Width),
    And,
    Or,
    Xor,
    Shl(Width),
    Shr(Width),
    Sar(Width),
    Rotr(Width),
    Cmp(Cond),
}

/// An operation. Its index in the list names its result, where it has one.
pub enum Op<G: Guest> {
    /// A constant.
    Imm(u64),
    /// The instruction's address plus an offset.
    PcRel(i64),
    /// The address of the next instruction.
    NextPc,
    /// Reads an integer register.
    Reg(Reg),
    /// Reads a floating-point register.
    FReg(FReg),
    /// The bits of a floating-point value.
    Bits(Float),
    /// A floating-point value from bits.
    FromBits(Value),
    /// Computes from one value.
    Unary(Unary, Value),
    /// Computes from two values.
    Binary(Binary, Value, Value),
    /// The second where the first is not 0, else the third.
    Select(Value, Value, Value),
    /// Writes an integer register.
    SetReg(Reg, Value),
    /// Writes a floating-point register.
    SetFreg(FReg, Float),
    /// Loads from an address.
    Load(Value, MemTy),
    /// Stores to an address: the value last.
    Store(Value, Size, Value),
    /// Atomic read-modify-write: address, operand.
    Amo(AmoOp, Value, Size, Value, Order),
    /// Compare-and-swap: address, expected, new.
    Cas(Value, Size, [Value; 2], Order),
    /// Loads and reserves.
    LoadReserved(Value, Size, Order),
    /// Stores where reserved.
    StoreConditional(Value, Size, Value, Order),
    /// Orders accesses.
    Fence(Order),
    /// Goes to an offset from the instruction where the value is not 0.
    Branch(Value, i64),
    /// Goes to an offset from the instruction.
    Jump(i64),
    /// Goes to an address.
    JumpTo(Value),
    /// Traps.
    Trap(G::Trap),
    /// Calls a helper.
    Helper(&'static Helper<G>, [Value; 4]),
    /// Calls a helper on floating-point values, with a rounding mode.
    Float(&'static Helper<G>, [Float; 3], u8),
}

impl<G: Guest> Op<G> {
    /// Whether the instruction may end here with a trap, the state being what it was
    /// before.
    pub fn may_trap(&self) -> bool {
        match self {
            Op::Helper(h, _) | Op::Float(h, ..) => h.effects.traps,
            Op::Trap(_) => true,
            _ => self.accesses_memory(),
        }
    }

    /// Whether it is an access to memory that the semantic itself makes.
    pub fn accesses_memory(&self) -> bool {
        matches!(
            self,
            Op::Load(..)
                | Op::Store(..)
                | Op::Amo(..)
                | Op::Cas(..)
                | Op::LoadReserved(..)
                | Op::StoreConditional(..)
        )
    }

    /// Whether it writes memory.
    pub fn writes_memory(&self) -> bool {
        self.accesses_memory() && !matches!(self, Op::Load(..) | Op::LoadReserved(..))
    }

    /// Whether it writes a register of the guest, or may.
    pub fn writes_register(&self) -> bool {
        match self {
            Op::SetReg(..) | Op::SetFreg(..) => true,
            Op::Helper(h, _) | Op::Float(h, ..) => h.effects.registers,
            _ => false,
        }
    }

    /// Whether it decides where the instruction goes.
    pub fn goes(&self) -> bool {
        matches!(self, Op::Branch(..) | Op::Jump(_) | Op::JumpTo(_))
    }

    /// The helper called, if it is a call.
    pub fn helper(&self) -> Option<&'static Helper<G>> {
        match self {
            Op::Helper(h, _) | Op::Float(h, ..) => Some(h),
            _ => None,
        }
    }

    /// Whether the operation has a result that others may name.
    fn has_result(&self) -> bool {
        let none = matches!(
            self,
            Op::SetReg(..) | Op::SetFreg(..) | Op::Store(..) | Op::Fence(_) | Op::Trap(_)
        );
        !none && !self.goes()
    }
}

/// Records what an instruction means in a mode.
pub fn record<G: Guest>(mode: G::Mode, insn: Insn) -> Recording<G> {
    let mut recorder = Record {
        mode,
        length: None,
        ops: Vec::new(),
    };
    let Ok(()) = G::execute(&mut recorder, &insn);
    let Record { length, ops, .. } = recorder;
    Recording { length, ops }
}

/// An instruction's operations, in order.
pub struct Recording<G: Guest> {
    /// How many bytes it said that it has.
    pub length: Option<u64>,
    /// The operations.
    pub ops: Vec<Op<G>>,
}

/// The vocabulary, written down.
pub struct Record<G: Guest> {
    mode: G::Mode,
    length: Option<u64>,
    ops: Vec<Op<G>>,
}

impl<G: Guest> Record<G> {
    fn push(&mut self, op: Op<G>) -> u32 {
        self.ops.push(op);
        self.ops.len() as u32 - 1
    }

    fn value(&mut self, op: Op<G>) -> Value {
        Value(self.push(op))
    }

    fn unary(&mut self, op: Unary, a: Value) -> Value {
        self.value(Op::Unary(op, a))
    }

    fn binary(&mut self, op: Binary, a: Value, b: Value) -> Value {
        self.value(Op::Binary(op, a, b))
    }
}

impl<G: Guest> Ops for Record<G> {
    type Guest = G;
    type V = Value;
    type F = Float;
    type Exit = Infallible;

    fn mode(&self) -> G::Mode {
        self.mode
    }
    fn length(&mut self, bytes: u64) {
        self.length = Some(bytes);
    }

    fn imm(&mut self, value: u64) -> Value {
        self.value(Op::Imm(value))
    }
    fn pc_rel(&mut self, offset: i64) -> Value {
        self.value(Op::PcRel(offset))
    }
    fn next_pc(&mut self) -> Value {
        self.value(Op::NextPc)
    }
    fn reg(&mut self, r: Reg) -> Value {
        self.value(Op::Reg(r))
    }
    fn set_reg(&mut self, r: Reg, v: Value) {
        self.push(Op::SetReg(r, v));
    }
    fn freg(&mut self, r: FReg) -> Float {
        Float(self.push(Op::FReg(r)))
    }
    fn set_freg(&mut self, r: FReg, v: Float) {
        self.push(Op::SetFreg(r, v));
    }
    fn bits(&mut self, f: Float) -> Value {
        self.value(Op::Bits(f))
    }
    fn from_bits(&mut self, v: Value) -> Float {
        Float(self.push(Op::FromBits(v)))
    }

    fn add(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Add(w), a, b)
    }
    fn sub(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Sub(w), a, b)
    }
    fn mul(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Mul(w), a, b)
    }
    fn mulh(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Mulh, a, b)
    }
    fn mulhu(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Mulhu, a, b)
    }
    fn div(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Div(w), a, b)
    }
    fn divu(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Divu(w), a, b)
    }
    fn rem(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Rem(w), a, b)
    }
    fn remu(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Remu(w), a, b)
    }
    fn and(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::And, a, b)
    }
    fn or(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Or, a, b)
    }
    fn xor(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Xor, a, b)
    }
    fn not(&mut self, a: Value) -> Value {
        self.unary(Unary::Not, a)
    }
    fn shl(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Shl(w), a, b)
    }
    fn shr(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Shr(w), a, b)
    }
    fn sar(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Sar(w), a, b)
    }
    fn rotr(&mut self, w: Width, a: Value, b: Value) -> Value {
        self.binary(Binary::Rotr(w), a, b)
    }
    fn clz(&mut self, w: Width, a: Value) -> Value {
        self.unary(Unary::Clz(w), a)
    }
    fn ctz(&mut self, w: Width, a: Value) -> Value {
        self.unary(Unary::Ctz(w), a)
    }
    fn popcnt(&mut self, w: Width, a: Value) -> Value {
        self.unary(Unary::Popcnt(w), a)
    }
    fn bswap(&mut self, a: Value) -> Value {
        self.unary(Unary::Bswap, a)
    }
    fn sext(&mut self, size: Size, a: Value) -> Value {
        self.unary(Unary::Sext(size), a)
    }
    fn zext(&mut self, size: Size, a: Value) -> Value {
        self.unary(Unary::Zext(size), a)
    }
    fn cmp(&mut self, c: Cond, a: Value, b: Value) -> Value {
        self.binary(Binary::Cmp(c), a, b)
    }
    fn select(&mut self, c: Value, a: Value, b: Value) -> Value {
        self.value(Op::Select(c, a, b))
    }

    fn load(&mut self, addr: Value, ty: MemTy) -> Result<Value, Infallible> {
        Ok(self.value(Op::Load(addr, ty)))
    }
    fn store(&mut self, addr: Value, size: Size, v: Value) -> Result<(), Infallible> {
        self.push(Op::Store(addr, size, v));
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
        Ok(self.value(Op::Amo(op, addr, size, v, order)))
    }
    fn cas(
        &mut self,
        addr: Value,
        size: Size,
        expected: Value,
        new: Value,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.value(Op::Cas(addr, size, [expected, new], order)))
    }
    fn load_reserved(
        &mut self,
        addr: Value,
        size: Size,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.value(Op::LoadReserved(addr, size, order)))
    }
    fn store_conditional(
        &mut self,
        addr: Value,
        size: Size,
        v: Value,
        order: Order,
    ) -> Result<Value, Infallible> {
        Ok(self.value(Op::StoreConditional(addr, size, v, order)))
    }
    fn fence(&mut self, order: Order) {
        self.push(Op::Fence(order));
    }

    fn branch(&mut self, c: Value, offset: i64) {
        self.push(Op::Branch(c, offset));
    }
    fn jump(&mut self, offset: i64) {
        self.push(Op::Jump(offset));
    }
    fn jump_to(&mut self, target: Value) {
        self.push(Op::JumpTo(target));
    }
    fn trap(&mut self, trap: G::Trap) -> Result<(), Infallible> {
        self.push(Op::Trap(trap));
        Ok(())
    }
    fn helper(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Result<Value, Infallible> {
        Ok(self.value(Op::Helper(h, args)))
    }
    fn float(
        &mut self,
        fp: &'static Helper<G>,
        args: [Float; 3],
        rm: u8,
    ) -> Result<Float, Infallible> {
        Ok(Float(self.push(Op::Float(fp, args, rm))))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}

/// `.w` or `.d`: the width at which something is computed.
fn width(w: Width) -> &'static str {
    match w {
        Width::W32 => ".32",
        Width::W64 => ".64",
    }
}

impl fmt::Display for Unary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unary::Not => write!(f, "not"),
            Unary::Clz(w) => write!(f, "clz{}", width(w)),
            Unary::Ctz(w) => write!(f, "ctz{}", width(w)),
            Unary::Popcnt(w) => write!(f, "popcnt{}", width(w)),
            Unary::Bswap => write!(f, "bswap"),
            Unary::Sext(size) => write!(f, "sext.{}", size.bits()),
            Unary::Zext(size) => write!(f, "zext.{}", size.bits()),
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, w) = match *self {
            Binary::Add(w) => ("add", width(w)),
            Binary::Sub(w) => ("sub", width(w)),
            Binary::Mul(w) => ("mul", width(w)),
            Binary::Mulh => ("mulh", ""),
            Binary::Mulhu => ("mulhu", ""),
            Binary::Div(w) => ("div", width(w)),
            Binary::Divu(w) => ("divu", width(w)),
            Binary::Rem(w) => ("rem", width(w)),
            Binary::Remu(w) => ("remu", width(w)),
            Binary::And => ("and", ""),
            Binary::Or => ("or", ""),
            Binary::Xor => ("xor", ""),
            Binary::Shl(w) => ("shl", width(w)),
            Binary::Shr(w) => ("shr", width(w)),
            Binary::Sar(w) => ("sar", width(w)),
            Binary::Rotr(w) => ("rotr", width(w)),
            Binary::Cmp(c) => return write!(f, "cmp.{c:?}"),
        };
        write!(f, "{name}{w}")
    }
}

impl<G: Guest> fmt::Display for Op<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Imm(v) => write!(f, "imm {:#x}", v),
            Op::PcRel(offset) => write!(f, "pc {offset:+}"),
            Op::NextPc => write!(f, "next_pc"),
            Op::Reg(r) => write!(f, "reg x{}", r.0),
            Op::FReg(r) => write!(f, "freg f{}", r.0),
            Op::Bits(v) => write!(f, "bits {v}"),
            Op::FromBits(v) => write!(f, "from_bits {v}"),
            Op::Unary(op, a) => write!(f, "{op} {a}"),
            Op::Binary(op, a, b) => write!(f, "{op} {a}, {b}"),
            Op::Select(c, a, b) => write!(f, "select {c}, {a}, {b}"),
            Op::SetReg(r, v) => write!(f, "set x{} = {v}", r.0),
            Op::SetFreg(r, v) => write!(f, "set f{} = {v}", r.0),
            Op::Load(a, ty) => {
                let sign = if ty.signed { "s" } else { "u" };
                write!(f, "load.{sign}{} [{a}]", ty.size.bits())
            }
            Op::Store(a, size, v) => write!(f, "store.{} [{a}] = {v}", size.bits()),
            Op::Amo(op, a, size, v, order) => {
                write!(f, "amo.{op:?}.{} [{a}], {v} {order:?}", size.bits())
            }
            Op::Cas(a, size, [old, new], order) => {
                write!(f, "cas.{} [{a}], {old} -> {new} {order:?}", size.bits())
            }
            Op::LoadReserved(a, size, order) => {
                write!(f, "load_reserved.{} [{a}] {order:?}", size.bits())
            }
            Op::StoreConditional(a, size, v, order) => {
                write!(f, "store_conditional.{} [{a}] = {v} {order:?}", size.bits())
            }
            Op::Fence(order) => write!(f, "fence {order:?}"),
            Op::Branch(c, offset) => write!(f, "branch {c}, pc {offset:+}"),
            Op::Jump(offset) => write!(f, "jump pc {offset:+}"),
            Op::JumpTo(v) => write!(f, "jump {v}"),
            Op::Trap(trap) => write!(f, "trap {trap:?}"),
            Op::Helper(h, [a, b, c, d]) => write!(f, "{}({a}, {b}, {c}, {d})", h.name),
            Op::Float(h, [a, b, c], rm) => write!(f, "{}({a}, {b}, {c}) rm {rm}", h.name),
        }
    }
}

/// One operation a line, results named by it.
impl<G: Guest> fmt::Display for Recording<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, op) in self.ops.iter().enumerate() {
            let float = matches!(op, Op::FReg(_) | Op::FromBits(_) | Op::Float(..));
            match (op.has_result(), float) {
                (true, true) => writeln!(f, "    {} = {op}", Float(n as u32))?,
                (true, false) => writeln!(f, "    {} = {op}", Value(n as u32))?,
                (false, _) => writeln!(f, "    {op}")?,
            }
        }
        Ok(())
    }
}
