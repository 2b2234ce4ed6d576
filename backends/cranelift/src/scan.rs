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
    /// Where control goes.
    pub(crate) flow: Flow,
}

/// Runs an instruction's semantics for what they ask.
pub(crate) fn scan<G: Guest>(mode: G::Mode, insn: Insn) -> Facts {
    let mut scan = Scan::<G> {
        mode,
        facts: Facts::default(),
    };
    let Ok(()) = G::execute(&mut scan, &insn);
    scan.facts
}

/// The vocabulary, on nothing.
struct Scan<G: Guest> {
    mode: G::Mode,
    facts: Facts,
}

/// What a helper's effects mean for the flow of control.
pub(crate) fn ends(effects: &Effects) -> bool {
    effects.ends_unit || effects.jumps || effects.registers
}

/// Operations of which nothing is to be noted.
macro_rules! silent {
    ($( $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $value:expr; )*) => { $(
        fn $name(&mut self, $($arg: $ty),*) -> $out {
            $( let _ = $arg; )*
            $value
        }
    )* };
}

impl<G: Guest> Ops for Scan<G> {
    type Guest = G;
    type V = ();
    type F = ();
    type Exit = Infallible;

    fn mode(&self) -> G::Mode {
        self.mode
    }

    fn reg(&mut self, r: Reg) {
        self.facts.reads |= 1 << (r.0 & 31);
    }

    fn set_reg(&mut self, r: Reg, (): ()) {
        self.facts.writes |= 1 << (r.0 & 31) & !1;
    }

    fn freg(&mut self, r: FReg) {
        self.facts.float_reads |= 1 << (r.0 & 31);
    }

    fn set_freg(&mut self, r: FReg, (): ()) {
        self.facts.float_writes |= 1 << (r.0 & 31);
    }

    silent! {
        length(bytes: u64) -> () = ();
        imm(value: u64) -> () = ();
        pc_rel(offset: i64) -> () = ();
        next_pc() -> () = ();
        bits(f: ()) -> () = ();
        from_bits(v: ()) -> () = ();
        add(w: Width, a: (), b: ()) -> () = ();
        sub(w: Width, a: (), b: ()) -> () = ();
        mul(w: Width, a: (), b: ()) -> () = ();
        mulh(a: (), b: ()) -> () = ();
        mulhu(a: (), b: ()) -> () = ();
        div(w: Width, a: (), b: ()) -> () = ();
        divu(w: Width, a: (), b: ()) -> () = ();
        rem(w: Width, a: (), b: ()) -> () = ();
        remu(w: Width, a: (), b: ()) -> () = ();
        and(a: (), b: ()) -> () = ();
        or(a: (), b: ()) -> () = ();
        xor(a: (), b: ()) -> () = ();
        not(a: ()) -> () = ();
        shl(w: Width, a: (), b: ()) -> () = ();
        shr(w: Width, a: (), b: ()) -> () = ();
        sar(w: Width, a: (), b: ()) -> () = ();
        rotr(w: Width, a: (), b: ()) -> () = ();
        clz(w: Width, a: ()) -> () = ();
        ctz(w: Width, a: ()) -> () = ();
        popcnt(w: Width, a: ()) -> () = ();
        bswap(a: ()) -> () = ();
        sext(size: Size, a: ()) -> () = ();
        zext(size: Size, a: ()) -> () = ();
        cmp(c: Cond, a: (), b: ()) -> () = ();
        select(c: (), a: (), b: ()) -> () = ();
        store(addr: (), size: Size, v: ()) -> Result<(), Infallible> = Ok(());
        amo(op: AmoOp, addr: (), size: Size, v: (), order: Order) -> Result<(), Infallible> = Ok(());
        cas(addr: (), size: Size, expected: (), new: (), order: Order) -> Result<(), Infallible> = Ok(());
        load_reserved(addr: (), size: Size, order: Order) -> Result<(), Infallible> = Ok(());
        store_conditional(addr: (), size: Size, v: (), order: Order) -> Result<(), Infallible> = Ok(());
        fence(order: Order) -> () = ();
    }

    fn load(&mut self, (): (), _: MemTy) -> Result<(), Infallible> {
        self.facts.loads = true;
        Ok(())
    }

    fn branch(&mut self, (): (), offset: i64) {
        self.facts.flow = Flow::Branch(offset);
    }

    fn jump(&mut self, offset: i64) {
        self.facts.flow = Flow::Jump(offset);
    }

    fn jump_to(&mut self, (): ()) {
        if self.facts.flow != Flow::Leave {
            self.facts.flow = Flow::Indirect;
        }
    }

    fn trap(&mut self, _: G::Trap) -> Result<(), Infallible> {
        self.facts.flow = Flow::Interpret;
        Ok(())
    }

    fn helper(&mut self, h: &'static Helper<G>, _: [(); 4]) -> Result<(), Infallible> {
        if ends(&h.effects) {
            self.facts.flow = Flow::Leave;
        }
        self.facts.calls |= h.effects != Effects::NONE;
        Ok(())
    }

    fn float(&mut self, _: &'static Helper<G>, _: [(); 3], _: u8) -> Result<(), Infallible> {
        self.facts.computes = true;
        Ok(())
    }
}
