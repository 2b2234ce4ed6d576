//! The vocabulary in which instruction semantics are written.
//!
//! A semantic is a function generic over [`Ops`] (final tagless style): the
//! interpreter implements the trait on plain integers, a translator on values of
//! its compiler's IR, and the test-only `Record` writes the calls down.
//!
//! Rules for whoever writes a semantic:
//! * A Rust `if` may look only at decode-time facts (operand numbers, immediates,
//!   [`Ops::mode`]). A choice made at run time is [`Ops::select`], or a helper.
//! * Every access that can fault comes before the first register write, so that a
//!   trap leaves the state of before the instruction.
//! * What is long or rare is a [`Helper`]: a plain Rust function on the vCPU.

use crate::float::Float;
use crate::guest::Guest;

/// An integer register of the guest, by its architectural number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(pub u8);

/// A floating-point register of the guest, by its architectural number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FReg(pub u8);

/// The width an integer operation works at.
///
/// [`Width::W32`] operations read the low 32 bits of their inputs; the upper half
/// of their result is the sign extension of bit 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32 bits, result sign-extended to 64.
    W32,
    /// 64 bits.
    W64,
}

/// The size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Size {
    /// 1 byte.
    B1 = 0,
    /// 2 bytes.
    B2 = 1,
    /// 4 bytes.
    B4 = 2,
    /// 8 bytes.
    B8 = 3,
}

impl Size {
    /// The size in bytes: 1, 2, 4 or 8.
    #[inline]
    pub const fn bytes(self) -> u64 {
        1 << self as u8
    }

    /// The size in bits: 8, 16, 32 or 64.
    #[inline]
    pub const fn bits(self) -> u32 {
        8 << self as u8
    }

    /// Keeps the low bits that an access of this size carries.
    #[inline]
    pub const fn truncate(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - self.bits()))
    }

    /// Sign-extends the low bits that an access of this size carries.
    #[inline]
    pub const fn sign_extend(self, value: u64) -> u64 {
        let shift = 64 - self.bits();
        ((value << shift) as i64 >> shift) as u64
    }
}

/// What a load reads and how it is extended to 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemTy {
    /// How many bytes are read.
    pub size: Size,
    /// Whether the value is sign-extended (else zero-extended).
    pub signed: bool,
}

impl MemTy {
    /// A zero-extended access.
    pub const fn unsigned(size: Size) -> Self {
        Self {
            size,
            signed: false,
        }
    }

    /// A sign-extended access.
    pub const fn signed(size: Size) -> Self {
        Self { size, signed: true }
    }

    /// Extends a value of this type to 64 bits.
    #[inline]
    pub const fn extend(self, value: u64) -> u64 {
        if self.signed {
            self.size.sign_extend(value)
        } else {
            self.size.truncate(value)
        }
    }
}

/// The memory ordering that an access carries beyond single-copy atomicity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No ordering with other addresses.
    Relaxed,
    /// Later accesses stay after this one.
    Acquire,
    /// Earlier accesses stay before this one.
    Release,
    /// Both.
    AcqRel,
}

/// A two-operand integer comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cond {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Signed less than.
    Lt,
    /// Signed greater than or equal.
    Ge,
    /// Unsigned less than.
    Ltu,
    /// Unsigned greater than or equal.
    Geu,
}

impl Cond {
    /// The comparison itself: the meaning that every backend must give it.
    #[inline]
    pub const fn holds(self, a: u64, b: u64) -> bool {
        match self {
            Cond::Eq => a == b,
            Cond::Ne => a != b,
            Cond::Lt => (a as i64) < (b as i64),
            Cond::Ge => (a as i64) >= (b as i64),
            Cond::Ltu => a < b,
            Cond::Geu => a >= b,
        }
    }
}

/// The operation of an atomic read-modify-write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmoOp {
    /// Store the operand.
    Swap,
    /// Store the sum.
    Add,
    /// Store the exclusive or.
    Xor,
    /// Store the conjunction.
    And,
    /// Store the disjunction.
    Or,
    /// Store the signed minimum.
    Min,
    /// Store the signed maximum.
    Max,
    /// Store the unsigned minimum.
    Minu,
    /// Store the unsigned maximum.
    Maxu,
}

impl AmoOp {
    /// The value stored, given the value loaded and the operand, both of `size`.
    #[inline]
    pub const fn apply(self, size: Size, old: u64, operand: u64) -> u64 {
        let (so, sv) = (
            size.sign_extend(old) as i64,
            size.sign_extend(operand) as i64,
        );
        let (uo, uv) = (size.truncate(old), size.truncate(operand));
        let value = match self {
            AmoOp::Swap => operand,
            AmoOp::Add => old.wrapping_add(operand),
            AmoOp::Xor => old ^ operand,
            AmoOp::And => old & operand,
            AmoOp::Or => old | operand,
            AmoOp::Min => (if so < sv { so } else { sv }) as u64,
            AmoOp::Max => (if so > sv { so } else { sv }) as u64,
            AmoOp::Minu => {
                if uo < uv {
                    uo
                } else {
                    uv
                }
            }
            AmoOp::Maxu => {
                if uo > uv {
                    uo
                } else {
                    uv
                }
            }
        };
        size.truncate(value)
    }
}

/// A decoded instruction: what both forms execute, eight bytes long.
///
/// The meaning of the fields is the guest's. All-zero means "not decoded yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C)]
pub struct Insn {
    /// The operation, the length of its encoding included; 0 is reserved for "not
    /// decoded yet".
    pub op: u16,
    /// Destination register, or a source where there is no destination.
    pub a: u8,
    /// First source register.
    pub b: u8,
    /// Immediate, or further register numbers.
    pub imm: i32,
}

/// What a helper may do besides computing its result, for a translator that keeps
/// guest state in host registers. An effect not declared must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Effects {
    /// May read or write integer or floating-point registers in the state struct.
    pub registers: bool,
    /// May return a trap.
    pub traps: bool,
    /// May change the mode, the address translation or the interrupt state: the
    /// unit of translation ends after the instruction.
    pub ends_unit: bool,
    /// May set the program counter (a return from a trap, say).
    pub jumps: bool,
}

impl Effects {
    /// Computes a value (it may accumulate floating-point flags in the state).
    pub const NONE: Effects = Effects {
        registers: false,
        traps: false,
        ends_unit: false,
        jumps: false,
    };
    /// May trap and nothing else.
    pub const TRAPS: Effects = Effects {
        traps: true,
        ..Self::NONE
    };
    /// May trap, and may change what later instructions mean.
    pub const SYSTEM: Effects = Effects {
        traps: true,
        ends_unit: true,
        ..Self::NONE
    };
    /// As [`Effects::SYSTEM`], and sets the program counter.
    pub const JUMPS: Effects = Effects {
        jumps: true,
        ..Self::SYSTEM
    };
}

/// A plain function on the vCPU that both forms call, with its declared effects.
///
/// When it runs, the state's program counter and instruction count are those of
/// the instruction that calls it.
pub struct Helper<G: Guest> {
    /// Its name, for golden dumps and profiles.
    pub name: &'static str,
    /// The function. Unused arguments are zero.
    pub call: fn(&mut G, [u64; 4]) -> Result<u64, G::Trap>,
    /// What it may do.
    pub effects: Effects,
    /// What it computes, where that is a floating-point operation of IEEE 754. The
    /// fourth argument is then the rounding mode of [`Ops::float`].
    pub float: Option<Float>,
}

/// The vocabulary. See the [module documentation](self) for the rules.
pub trait Ops {
    /// The guest whose instructions are given meaning.
    type Guest: Guest;
    /// A 64-bit integer.
    type V: Copy;
    /// A 64-bit floating-point register value, kept apart so that a translator can
    /// keep it in a floating-point register.
    type F: Copy;
    /// How an instruction ends early. Uninhabited in a translator.
    type Exit;

    // --- facts known when the instruction is decoded

    /// The mode that the code runs in.
    fn mode(&self) -> <Self::Guest as Guest>::Mode;

    /// The instruction has so many bytes, and unless it jumps, the one after them
    /// follows. Said first, by all but what always traps.
    fn length(&mut self, bytes: u64);

    // --- constants and registers

    /// A constant.
    fn imm(&mut self, value: u64) -> Self::V;
    /// The address of the instruction plus `offset`.
    fn pc_rel(&mut self, offset: i64) -> Self::V;
    /// The address of the instruction that follows.
    fn next_pc(&mut self) -> Self::V;
    /// Reads an integer register.
    fn reg(&mut self, r: Reg) -> Self::V;
    /// Writes an integer register.
    fn set_reg(&mut self, r: Reg, v: Self::V);
    /// Reads a floating-point register.
    fn freg(&mut self, r: FReg) -> Self::F;
    /// Writes a floating-point register.
    fn set_freg(&mut self, r: FReg, v: Self::F);
    /// The bits of a floating-point value.
    fn bits(&mut self, f: Self::F) -> Self::V;
    /// A floating-point value with these bits.
    #[expect(
        clippy::wrong_self_convention,
        reason = "`self` is the form of execution, not the value converted"
    )]
    fn from_bits(&mut self, v: Self::V) -> Self::F;
    /// The low bits of `v`, a value of a narrower format, as it stands in a register of
    /// a guest that sets all bits above it (NaN boxing).
    fn boxed(&mut self, size: Size, v: Self::V) -> Self::F {
        let above = self.imm(!size.truncate(!0));
        let low = self.zext(size, v);
        let boxed = self.or(low, above);
        self.from_bits(boxed)
    }

    // --- integer arithmetic

    /// `a + b`, wrapping.
    fn add(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`, wrapping.
    fn sub(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`, wrapping.
    fn mul(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// The upper 64 bits of the signed product.
    fn mulh(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// The upper 64 bits of the unsigned product.
    fn mulhu(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Signed quotient. The caller guards: `b` is neither 0 nor the -1 that overflows.
    fn div(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Unsigned quotient. The caller guards: `b` is not 0.
    fn divu(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Signed remainder, guarded as [`Ops::div`].
    fn rem(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Unsigned remainder, guarded as [`Ops::divu`].
    fn remu(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise and.
    fn and(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise or.
    fn or(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise exclusive or.
    fn xor(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise complement.
    fn not(&mut self, a: Self::V) -> Self::V;
    /// Shift left; the amount is taken modulo the width, as for all shifts.
    fn shl(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Logical shift right.
    fn shr(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Arithmetic shift right.
    fn sar(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Rotate right.
    fn rotr(&mut self, w: Width, a: Self::V, b: Self::V) -> Self::V;
    /// Count of leading zeros; the width itself for zero.
    fn clz(&mut self, w: Width, a: Self::V) -> Self::V;
    /// Count of trailing zeros; the width itself for zero.
    fn ctz(&mut self, w: Width, a: Self::V) -> Self::V;
    /// Count of ones.
    fn popcnt(&mut self, w: Width, a: Self::V) -> Self::V;
    /// Bytes reversed (64 bits).
    fn bswap(&mut self, a: Self::V) -> Self::V;
    /// Sign extension of the low bits.
    fn sext(&mut self, size: Size, a: Self::V) -> Self::V;
    /// Zero extension of the low bits.
    fn zext(&mut self, size: Size, a: Self::V) -> Self::V;
    /// 1 where the comparison holds, else 0 (64 bits).
    fn cmp(&mut self, c: Cond, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where `c` is not 0, else `b`.
    fn select(&mut self, c: Self::V, a: Self::V, b: Self::V) -> Self::V;

    // --- memory

    /// Loads from a virtual address.
    fn load(&mut self, addr: Self::V, ty: MemTy) -> Result<Self::V, Self::Exit>;
    /// Stores the low bytes of `v`.
    fn store(&mut self, addr: Self::V, size: Size, v: Self::V) -> Result<(), Self::Exit>;
    /// Loads a floating-point value, a narrower one as by [`Ops::boxed`].
    fn load_float(&mut self, addr: Self::V, size: Size) -> Result<Self::F, Self::Exit> {
        let value = self.load(addr, MemTy::unsigned(size))?;
        Ok(self.boxed(size, value))
    }
    /// Stores the low bytes of a floating-point value.
    fn store_float(&mut self, addr: Self::V, size: Size, f: Self::F) -> Result<(), Self::Exit> {
        let bits = self.bits(f);
        self.store(addr, size, bits)
    }
    /// Atomic read-modify-write of 4 or 8 bytes; the old value, sign-extended.
    fn amo(
        &mut self,
        op: AmoOp,
        addr: Self::V,
        size: Size,
        v: Self::V,
        order: Order,
    ) -> Result<Self::V, Self::Exit>;
    /// Atomic compare-and-swap; the old value, sign-extended.
    fn cas(
        &mut self,
        addr: Self::V,
        size: Size,
        expected: Self::V,
        new: Self::V,
        order: Order,
    ) -> Result<Self::V, Self::Exit>;
    /// Loads (sign-extended) and makes a reservation.
    fn load_reserved(
        &mut self,
        addr: Self::V,
        size: Size,
        order: Order,
    ) -> Result<Self::V, Self::Exit>;
    /// Stores if the reservation holds: 0 when it did, 1 when not.
    ///
    /// It holds when address and size match the last [`Ops::load_reserved`], no
    /// store-conditional came between, and memory still has the value loaded.
    fn store_conditional(
        &mut self,
        addr: Self::V,
        size: Size,
        v: Self::V,
        order: Order,
    ) -> Result<Self::V, Self::Exit>;
    /// Zeroes the block of so many bytes, a power of two of 8 or more, in which an address
    /// lies. `h`, given the address, does it, and traps where that is to; a translator may
    /// do by itself what is RAM that can be stored to.
    fn zero_block(
        &mut self,
        h: &'static Helper<Self::Guest>,
        addr: Self::V,
        bytes: u64,
    ) -> Result<(), Self::Exit> {
        let _ = bytes;
        let none = self.imm(0);
        self.helper(h, [addr, none, none, none]).map(|_| ())
    }
    /// Orders earlier accesses before later ones.
    fn fence(&mut self, order: Order);

    // --- control

    /// Goes to the instruction's address plus `offset` where `c` is not 0.
    fn branch(&mut self, c: Self::V, offset: i64);
    /// Goes to the instruction's address plus `offset`.
    fn jump(&mut self, offset: i64);
    /// Goes to a computed address.
    fn jump_to(&mut self, target: Self::V);
    /// Traps, always.
    fn trap(&mut self, trap: <Self::Guest as Guest>::Trap) -> Result<(), Self::Exit>;
    /// Calls a helper.
    fn helper(
        &mut self,
        h: &'static Helper<Self::Guest>,
        args: [Self::V; 4],
    ) -> Result<Self::V, Self::Exit>;
    /// Calls a helper that computes on floating-point values. `fp` names the
    /// operation, so that a translator may do the common case inline.
    fn float(
        &mut self,
        fp: &'static Helper<Self::Guest>,
        args: [Self::F; 3],
        rm: u8,
    ) -> Result<Self::F, Self::Exit>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amo_results_are_of_the_size_asked() {
        assert_eq!(AmoOp::Add.apply(Size::B4, 0xffff_ffff, 1), 0);
        assert_eq!(AmoOp::Min.apply(Size::B4, 0x8000_0000, 1), 0x8000_0000);
        assert_eq!(AmoOp::Minu.apply(Size::B4, 0x8000_0000, 1), 1);
        assert_eq!(AmoOp::Max.apply(Size::B8, u64::MAX, 1), 1);
        assert_eq!(AmoOp::Maxu.apply(Size::B8, u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn extension_follows_the_type() {
        assert_eq!(MemTy::signed(Size::B1).extend(0x180), 0xffff_ffff_ffff_ff80);
        assert_eq!(MemTy::unsigned(Size::B2).extend(0x1_8000), 0x8000);
        assert_eq!(MemTy::signed(Size::B8).extend(u64::MAX), u64::MAX);
    }
}
