//! The vocabulary of semantics, on integers.

use crate::cache::LINE;
use isoform_core::{AmoOp, Cond, Guest, Helper, Insn, MemTy, Ops, Order, Reg, Size, Width};
use isoform_core::{FReg, ops::Effects};

/// Instructions after which a unit may end where a loop may have come round: looking
/// for another form of the code costs as much as some instructions.
pub(crate) const SHORTEST: u64 = 16;

/// An instruction ended early; the trap lies in [`Machine::trap`].
pub(crate) struct Stop;

/// A guest in the middle of a unit.
///
/// The program counter and the count of instructions live here while the unit runs,
/// and are written to the state whenever somebody may look at it.
///
/// `ROUNDS`: the unit ends where a loop may have come round.
pub(crate) struct Machine<'a, G: Guest, const ROUNDS: bool> {
    guest: &'a mut G,
    /// A copy for the unit: whatever changes the mode ends it.
    mode: G::Mode,
    /// Address of the line.
    line: u64,
    /// Where the current instruction is in the line, in units of `G::ALIGN`.
    slot: u64,
    /// Where the one that follows is.
    next: u64,
    /// Instructions left in the unit, the current one included.
    left: u64,
    /// Instructions in the unit. `limit - left` were done.
    limit: u64,
    /// How many of those done the guest knows of.
    told: u64,
    trap: Option<G::Trap>,
}

impl<'a, G: Guest, const ROUNDS: bool> Machine<'a, G, ROUNDS> {
    /// At the guest's program counter, for at most `limit` instructions (1 or more).
    #[inline(always)]
    pub(crate) fn new(guest: &'a mut G, limit: u64) -> Self {
        let offset = guest.pc() % LINE as u64;
        let (line, slot) = (guest.pc() - offset, offset / G::ALIGN);
        Self {
            mode: guest.mode(),
            guest,
            line,
            slot,
            next: slot,
            left: limit,
            limit,
            told: 0,
            trap: None,
        }
    }

    /// Where the current instruction is in the line, in units of `G::ALIGN`; outside
    /// of the line once it has been left.
    #[inline(always)]
    pub(crate) fn slot(&self) -> usize {
        self.slot as usize
    }

    /// Executes one instruction. False where the unit ends after it.
    #[inline(always)]
    pub(crate) fn step(&mut self, insn: &Insn) -> Result<bool, Stop> {
        G::execute(self, insn)?;
        self.slot = self.next;
        self.left -= 1;
        Ok(self.left != 0)
    }

    /// The current instruction has stopped with a trap: delivers it.
    #[inline(always)]
    pub(crate) fn trapped(&mut self) {
        if let Some(trap) = self.trap.take() {
            self.left -= 1;
            let at = self.at();
            deliver(self.guest, at, trap);
            self.slot = self.guest.pc().wrapping_sub(self.line) / G::ALIGN;
        }
    }

    /// The address of a slot. Slots before the line are wrapped around, and this
    /// unwraps them.
    #[inline(always)]
    fn address(&self, slot: u64) -> u64 {
        self.line.wrapping_add(slot.wrapping_mul(G::ALIGN))
    }

    /// The unit ends after the current instruction.
    #[inline(always)]
    fn end_unit(&mut self) {
        self.limit -= self.left - 1;
        self.left = 1;
    }

    /// A loop may have come round.
    #[inline(always)]
    fn round(&mut self) {
        if self.limit - self.left >= SHORTEST {
            self.end_unit();
        }
    }

    /// Where the unit stands, for somebody who writes it to the state.
    #[inline(always)]
    fn at(&mut self) -> At {
        let done = self.limit - self.left;
        let new = done - self.told;
        self.told = done;
        At {
            pc: self.address(self.slot),
            new,
        }
    }

    /// Ends the unit; how many instructions were attempted.
    #[inline(always)]
    pub(crate) fn finish(mut self) -> u64 {
        let at = self.at();
        at.write(self.guest);
        self.limit - self.left
    }

    /// An access that is more than a hit in the soft TLB. `access` owns what it needs:
    /// what it borrowed would be put on the stack before each access, for it to point to.
    #[inline(always)]
    fn slow<T>(&mut self, access: impl FnOnce(&mut G) -> Result<T, G::Trap>) -> Result<T, Stop> {
        let at = self.at();
        let result = call(self.guest, at, access);
        if self.guest.take_unit_end() {
            self.end_unit();
        }
        result.map_err(|trap| self.stop(trap))
    }

    #[inline(always)]
    fn stop(&mut self, trap: G::Trap) -> Stop {
        self.trap = Some(trap);
        Stop
    }
}

/// A program counter, and how many instructions the guest does not know of yet.
///
/// What is not inlined gets this by value: were a reference to the [`Machine`] to
/// leave the loop, the compiler could not keep its fields in registers, and each
/// instruction would wait for the one before to pass through memory.
#[derive(Clone, Copy)]
struct At {
    pc: u64,
    new: u64,
}

impl At {
    #[inline(always)]
    fn write<G: Guest>(self, guest: &mut G) {
        guest.set_pc(self.pc);
        guest.advance(self.new);
    }
}

#[cold]
#[inline(never)]
fn deliver<G: Guest>(guest: &mut G, at: At, trap: G::Trap) {
    at.write(guest);
    guest.deliver(trap);
}

#[inline(never)]
fn call<G: Guest, T>(guest: &mut G, at: At, f: impl FnOnce(&mut G) -> T) -> T {
    at.write(guest);
    f(guest)
}

#[inline(always)]
fn word(v: u32) -> u64 {
    v as i32 as i64 as u64
}

/// Picks the computation for the width.
macro_rules! by_width {
    ($w:expr, |$($v:ident),*| $narrow:expr, $wide:expr) => {
        match $w {
            Width::W32 => word({ $( let $v = $v as u32; )* $narrow }),
            Width::W64 => $wide,
        }
    };
}

impl<G: Guest, const ROUNDS: bool> Ops for Machine<'_, G, ROUNDS> {
    type Guest = G;
    type V = u64;
    type F = u64;
    type Exit = Stop;

    #[inline(always)]
    fn mode(&self) -> G::Mode {
        self.mode
    }

    #[inline(always)]
    fn length(&mut self, bytes: u64) {
        self.next = self.slot.wrapping_add(bytes / G::ALIGN);
    }

    #[inline(always)]
    fn imm(&mut self, value: u64) -> u64 {
        value
    }
    #[inline(always)]
    fn pc_rel(&mut self, offset: i64) -> u64 {
        self.address(self.slot).wrapping_add(offset as u64)
    }
    #[inline(always)]
    fn next_pc(&mut self) -> u64 {
        self.address(self.next)
    }
    #[inline(always)]
    fn reg(&mut self, r: Reg) -> u64 {
        self.guest.reg(r)
    }
    #[inline(always)]
    fn set_reg(&mut self, r: Reg, v: u64) {
        self.guest.set_reg(r, v);
    }
    #[inline(always)]
    fn freg(&mut self, r: FReg) -> u64 {
        self.guest.freg(r)
    }
    #[inline(always)]
    fn set_freg(&mut self, r: FReg, v: u64) {
        self.guest.set_freg(r, v);
    }
    #[inline(always)]
    fn bits(&mut self, f: u64) -> u64 {
        f
    }
    #[inline(always)]
    fn from_bits(&mut self, v: u64) -> u64 {
        v
    }

    #[inline(always)]
    fn add(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(w, |a, b| a.wrapping_add(b), a.wrapping_add(b))
    }
    #[inline(always)]
    fn sub(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(w, |a, b| a.wrapping_sub(b), a.wrapping_sub(b))
    }
    #[inline(always)]
    fn mul(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(w, |a, b| a.wrapping_mul(b), a.wrapping_mul(b))
    }
    #[inline(always)]
    fn mulh(&mut self, a: u64, b: u64) -> u64 {
        ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64
    }
    #[inline(always)]
    fn mulhu(&mut self, a: u64, b: u64) -> u64 {
        ((u128::from(a) * u128::from(b)) >> 64) as u64
    }
    // The callers guard against 0 and overflow; what `unwrap_or` gives is never seen.
    #[inline(always)]
    fn div(&mut self, w: Width, a: u64, b: u64) -> u64 {
        match w {
            Width::W32 => word((a as i32).checked_div(b as i32).unwrap_or(0) as u32),
            Width::W64 => (a as i64).checked_div(b as i64).unwrap_or(0) as u64,
        }
    }
    #[inline(always)]
    fn divu(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(
            w,
            |a, b| a.checked_div(b).unwrap_or(0),
            a.checked_div(b).unwrap_or(0)
        )
    }
    #[inline(always)]
    fn rem(&mut self, w: Width, a: u64, b: u64) -> u64 {
        match w {
            Width::W32 => word((a as i32).checked_rem(b as i32).unwrap_or(0) as u32),
            Width::W64 => (a as i64).checked_rem(b as i64).unwrap_or(0) as u64,
        }
    }
    #[inline(always)]
    fn remu(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(
            w,
            |a, b| a.checked_rem(b).unwrap_or(0),
            a.checked_rem(b).unwrap_or(0)
        )
    }
    #[inline(always)]
    fn and(&mut self, a: u64, b: u64) -> u64 {
        a & b
    }
    #[inline(always)]
    fn or(&mut self, a: u64, b: u64) -> u64 {
        a | b
    }
    #[inline(always)]
    fn xor(&mut self, a: u64, b: u64) -> u64 {
        a ^ b
    }
    #[inline(always)]
    fn not(&mut self, a: u64) -> u64 {
        !a
    }
    #[inline(always)]
    fn shl(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(w, |a, b| a.wrapping_shl(b), a.wrapping_shl(b as u32))
    }
    #[inline(always)]
    fn shr(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(w, |a, b| a.wrapping_shr(b), a.wrapping_shr(b as u32))
    }
    #[inline(always)]
    fn sar(&mut self, w: Width, a: u64, b: u64) -> u64 {
        match w {
            Width::W32 => word((a as i32).wrapping_shr(b as u32) as u32),
            Width::W64 => (a as i64).wrapping_shr(b as u32) as u64,
        }
    }
    #[inline(always)]
    fn rotr(&mut self, w: Width, a: u64, b: u64) -> u64 {
        by_width!(
            w,
            |a, b| a.rotate_right(b & 31),
            a.rotate_right(b as u32 & 63)
        )
    }
    #[inline(always)]
    fn clz(&mut self, w: Width, a: u64) -> u64 {
        by_width!(w, |a| a.leading_zeros(), a.leading_zeros().into())
    }
    #[inline(always)]
    fn ctz(&mut self, w: Width, a: u64) -> u64 {
        by_width!(w, |a| a.trailing_zeros(), a.trailing_zeros().into())
    }
    #[inline(always)]
    fn popcnt(&mut self, w: Width, a: u64) -> u64 {
        by_width!(w, |a| a.count_ones(), a.count_ones().into())
    }
    #[inline(always)]
    fn bswap(&mut self, a: u64) -> u64 {
        a.swap_bytes()
    }
    #[inline(always)]
    fn sext(&mut self, size: Size, a: u64) -> u64 {
        size.sign_extend(a)
    }
    #[inline(always)]
    fn zext(&mut self, size: Size, a: u64) -> u64 {
        size.truncate(a)
    }
    #[inline(always)]
    fn cmp(&mut self, c: Cond, a: u64, b: u64) -> u64 {
        c.holds(a, b).into()
    }
    #[inline(always)]
    fn select(&mut self, c: u64, a: u64, b: u64) -> u64 {
        if c != 0 { a } else { b }
    }

    #[inline(always)]
    fn load(&mut self, addr: u64, ty: MemTy) -> Result<u64, Stop> {
        match self.guest.load_fast(addr, ty) {
            Some(value) => Ok(value),
            None => self.slow(move |g| g.load(addr, ty)),
        }
    }
    #[inline(always)]
    fn store(&mut self, addr: u64, size: Size, v: u64) -> Result<(), Stop> {
        match self.guest.store_fast(addr, size, v) {
            Some(()) => Ok(()),
            None => self.slow(move |g| g.store(addr, size, v)),
        }
    }
    #[inline(always)]
    fn amo(&mut self, op: AmoOp, addr: u64, size: Size, v: u64, order: Order) -> Result<u64, Stop> {
        self.slow(move |g| g.amo(op, addr, size, v, order))
    }
    #[inline(always)]
    fn cas(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
        order: Order,
    ) -> Result<u64, Stop> {
        self.slow(move |g| g.cas(addr, size, expected, new, order))
    }
    #[inline(always)]
    fn load_reserved(&mut self, addr: u64, size: Size, order: Order) -> Result<u64, Stop> {
        self.slow(move |g| g.load_reserved(addr, size, order))
    }
    #[inline(always)]
    fn store_conditional(
        &mut self,
        addr: u64,
        size: Size,
        v: u64,
        order: Order,
    ) -> Result<u64, Stop> {
        self.slow(move |g| g.store_conditional(addr, size, v, order))
    }
    fn fence(&mut self, _: Order) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    #[inline(always)]
    fn branch(&mut self, c: u64, offset: i64) {
        // A branch of the host's, which is predicted: were the target selected, the next
        // instruction would wait for the condition.
        if c != 0 {
            self.jump(offset);
        }
    }
    #[inline(always)]
    fn jump(&mut self, offset: i64) {
        let slots = offset >> G::ALIGN.trailing_zeros();
        self.next = self.slot.wrapping_add(slots as u64);
        if ROUNDS && offset <= 0 {
            self.round();
        }
    }
    #[inline(always)]
    fn jump_to(&mut self, target: u64) {
        self.next = target.wrapping_sub(self.line) / G::ALIGN;
        if ROUNDS {
            self.round();
        }
    }
    #[inline(always)]
    fn trap(&mut self, trap: G::Trap) -> Result<(), Stop> {
        Err(self.stop(trap))
    }
    #[inline(always)]
    fn helper(&mut self, h: &'static Helper<G>, args: [u64; 4]) -> Result<u64, Stop> {
        let result = if h.effects == Effects::NONE {
            (h.call)(self.guest, args)
        } else {
            let at = self.at();
            call(self.guest, at, |g| (h.call)(g, args))
        };
        if h.effects.ends_unit {
            self.end_unit();
        }
        result.map_err(|trap| self.stop(trap))
    }
    #[inline(always)]
    fn float(&mut self, fp: &'static Helper<G>, [a, b, c]: [u64; 3], rm: u8) -> Result<u64, Stop> {
        (fp.call)(self.guest, [a, b, c, rm.into()]).map_err(|trap| self.stop(trap))
    }
}
