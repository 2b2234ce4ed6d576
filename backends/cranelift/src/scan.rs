//! What an instruction does, told by its own semantics: they are run on no values at
//! all, and what they ask for is written down.

use isoform_core::ops::Effects;
use isoform_core::{AmoOp, Cond, Helper, Insn, MemTy, Ops, Order, Reg, Size, Width};
use isoform_core::{FReg, Guest};
use std::convert::Infallible;

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To the next one.
    #[default]
    Next,
    /// By this offset, or to the next one.
    Branch(i64),
    /// By this offset.
    Jump(i64),
    /// To a computed address.
    Indirect,
    /// Out of translated code: to what the state says.
    Leave,
    /// The interpreter is to execute the instruction.
    Interpret,
}

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    Nothing,
    Constant(u64),
    /// A register as it is before the instruction, and what is added.
    Register(u8, i64),
}

/// Where an ordinary access goes: to an address off a register as it is before the
/// instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) base: u8,
    pub(crate) offset: i64,
    pub(crate) size: Size,
    pub(crate) stores: bool,
}

/// What an instruction does, as far as a translator plans by it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Integer registers read, a bit each.
    pub(crate) reads: u32,
    /// Integer registers written, a bit each. Never bit 0.
    pub(crate) writes: u32,
    /// Floating-point registers read, a bit each.
    pub(crate) float_reads: u32,
    /// Floating-point registers written, a bit each.
    pub(crate) float_writes: u32,
    /// Whether it computes on floating-point values.
    pub(crate) computes: bool,
    /// Whether it calls what may change more than registers, and goes on.
    pub(crate) calls: bool,
    /// Whether it loads, once, and not atomically.
    pub(crate) loads: bool,
    /// Where its only access goes, as far as that is known.
    pub(crate) reach: Option<Reach>,
    /// The register that it copies to another, with something added at most.
    pub(crate) copies: Option<u8>,
    /// Where control goes.
    pub(crate) flow: Flow,
}

/// Runs an instruction's semantics for what they ask.
pub(crate) fn scan<G: Guest>(mode: G::Mode, insn: Insn) -> Facts {
    let mut scan = Scan::<G> {
        mode,
        accesses: 0,
        facts: Facts::default(),
    };
    let Ok(()) = G::execute(&mut scan, &insn);
    scan.facts
}

/// The vocabulary, on nothing.
struct Scan<G: Guest> {
    mode: G::Mode,
    /// Ordinary accesses so far.
    accesses: u8,
    facts: Facts,
}

impl<G: Guest> Scan<G> {
    fn reach(&mut self, addr: Known, size: Size, stores: bool) {
        self.accesses += 1;
        self.facts.reach = match addr {
            Known::Register(base, offset) if self.accesses == 1 => Some(Reach {
                base,
                offset,
                size,
                stores,
            }),
            _ => None,
        };
    }
}

/// What a helper's effects mean for the flow of control.
pub(crate) fn ends(effects: &Effects) -> bool {
    effects.ends_unit || effects.jumps || effects.registers
}

/// Operations of whose results nothing is known.
macro_rules! unknown {
    ($out:ty = $unknown:expr; $( $name:ident($($arg:ident: $ty:ty),*); )*) => { $(
        fn $name(&mut self, $($arg: $ty),*) -> $out {
            $( let _ = $arg; )*
            $unknown
        }
    )* };
}

impl<G: Guest> Ops for Scan<G> {
    type Guest = G;
    type V = Known;
    type F = ();
    type Exit = Infallible;

    fn mode(&self) -> G::Mode {
        self.mode
    }

    fn reg(&mut self, r: Reg) -> Known {
        self.facts.reads |= 1 << (r.0 & 31);
        match r.0 & 31 {
            0 => Known::Constant(0),
            r => Known::Register(r, 0),
        }
    }

    fn set_reg(&mut self, r: Reg, v: Known) {
        self.facts.copies = match v {
            Known::Register(from, _) => Some(from),
            _ => None,
        };
        self.facts.writes |= 1 << (r.0 & 31) & !1;
    }

    fn freg(&mut self, r: FReg) {
        self.facts.float_reads |= 1 << (r.0 & 31);
    }

    fn set_freg(&mut self, r: FReg, (): ()) {
        self.facts.float_writes |= 1 << (r.0 & 31);
    }

    fn length(&mut self, _: u64) {}
    fn bits(&mut self, (): ()) -> Known {
        Known::Nothing
    }
    fn from_bits(&mut self, _: Known) {}
    fn fence(&mut self, _: Order) {}

    unknown! { Known = Known::Nothing;
        pc_rel(offset: i64);
        next_pc();
        sub(w: Width, a: Known, b: Known);
        mul(w: Width, a: Known, b: Known);
        mulh(a: Known, b: Known);
        mulhu(a: Known, b: Known);
        div(w: Width, a: Known, b: Known);
        divu(w: Width, a: Known, b: Known);
        rem(w: Width, a: Known, b: Known);
        remu(w: Width, a: Known, b: Known);
        and(a: Known, b: Known);
        or(a: Known, b: Known);
        xor(a: Known, b: Known);
        not(a: Known);
        shl(w: Width, a: Known, b: Known);
        shr(w: Width, a: Known, b: Known);
        sar(w: Width, a: Known, b: Known);
        rotr(w: Width, a: Known, b: Known);
        clz(w: Width, a: Known);
        ctz(w: Width, a: Known);
        popcnt(w: Width, a: Known);
        bswap(a: Known);
        sext(size: Size, a: Known);
        zext(size: Size, a: Known);
        cmp(c: Cond, a: Known, b: Known);
        select(c: Known, a: Known, b: Known);
    }

    unknown! { Result<Known, Infallible> = Ok(Known::Nothing);
        amo(op: AmoOp, addr: Known, size: Size, v: Known, order: Order);
        cas(addr: Known, size: Size, expected: Known, new: Known, order: Order);
        load_reserved(addr: Known, size: Size, order: Order);
        store_conditional(addr: Known, size: Size, v: Known, order: Order);
    }

    fn imm(&mut self, value: u64) -> Known {
        Known::Constant(value)
    }

    fn add(&mut self, w: Width, a: Known, b: Known) -> Known {
        match (w, a, b) {
            (Width::W64, Known::Register(r, by), Known::Constant(c))
            | (Width::W64, Known::Constant(c), Known::Register(r, by)) => {
                Known::Register(r, by.wrapping_add(c as i64))
            }
            _ => Known::Nothing,
        }
    }

    fn load(&mut self, addr: Known, ty: MemTy) -> Result<Known, Infallible> {
        self.facts.loads = true;
        self.reach(addr, ty.size, false);
        Ok(Known::Nothing)
    }

    fn store(&mut self, addr: Known, size: Size, _: Known) -> Result<(), Infallible> {
        self.reach(addr, size, true);
        Ok(())
    }

    fn branch(&mut self, _: Known, offset: i64) {
        self.facts.flow = Flow::Branch(offset);
    }

    fn jump(&mut self, offset: i64) {
        self.facts.flow = Flow::Jump(offset);
    }

    fn jump_to(&mut self, _: Known) {
        if self.facts.flow != Flow::Leave {
            self.facts.flow = Flow::Indirect;
        }
    }

    fn trap(&mut self, _: G::Trap) -> Result<(), Infallible> {
        self.facts.flow = Flow::Interpret;
        Ok(())
    }

    fn helper(&mut self, h: &'static Helper<G>, _: [Known; 4]) -> Result<Known, Infallible> {
        if ends(&h.effects) {
            self.facts.flow = Flow::Leave;
        }
        self.facts.calls |= h.effects != Effects::NONE;
        Ok(Known::Nothing)
    }

    fn float(&mut self, _: &'static Helper<G>, _: [(); 3], _: u8) -> Result<(), Infallible> {
        self.facts.computes = true;
        Ok(())
    }
}
