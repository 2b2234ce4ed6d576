//! Which host register has which guest register, from one instruction of a block to the
//! next: loaded when they are first read, written to the state where the block may be
//! left.

use crate::host::assembler::{Assembler, Gpr, Operand, Place, VALUES};

/// No guest register, or no host register.
const NONE: u8 = u8::MAX;
const REGS: usize = 32;

/// Guest registers that the state does not have yet, and where they are.
#[derive(Clone, Copy)]
pub(super) struct Dirty {
    /// A bit for each guest register.
    registers: u32,
    /// By guest register, the place in [`VALUES`].
    at: [u8; REGS],
}

impl Dirty {
    /// Writes them to the state, in which register 0 lies at `base`.
    pub(super) fn write(&self, asm: &mut Assembler, base: usize) {
        for r in (1..REGS).filter(|r| self.registers >> r & 1 != 0) {
            if let Some(from) = VALUES.get(usize::from(self.at[r])) {
                asm.store_word(Place::of_guest(base + 8 * r), Operand::Reg(*from));
            }
        }
    }
}

/// The registers of a block in the making. Host registers are named by their places in
/// [`VALUES`].
pub(super) struct Registers {
    dirty: Dirty,
    /// By host register, the guest register that it has.
    holds: [u8; VALUES.len()],
    /// Host registers that the current instruction needs, a bit each.
    taken: u16,
    /// Where the next look for a register to give up begins.
    turn: usize,
    /// Offset of register 0 from the vCPU.
    base: usize,
}

impl Registers {
    pub(super) fn new(base: usize) -> Self {
        Self {
            dirty: Dirty {
                registers: 0,
                at: [NONE; REGS],
            },
            holds: [NONE; VALUES.len()],
            taken: 0,
            turn: 0,
            base,
        }
    }

    /// Another instruction begins: the values of the one before are not needed any more.
    pub(super) fn next_instruction(&mut self) {
        self.taken = 0;
    }

    /// What the state does not have yet.
    pub(super) fn dirty(&self) -> Dirty {
        self.dirty
    }

    /// The state has all.
    pub(super) fn write(&mut self, asm: &mut Assembler) {
        self.dirty.write(asm, self.base);
        self.dirty.registers = 0;
    }

    /// A host register for a value of the current instruction; `None` where it has too
    /// many.
    pub(super) fn take(&mut self, asm: &mut Assembler) -> Option<Gpr> {
        let free = |n: &usize| self.taken >> n & 1 == 0;
        let empty = (0..VALUES.len()).find(|n| free(n) && self.holds[*n] == NONE);
        let in_turn = || (0..VALUES.len()).map(|n| (self.turn + n) % VALUES.len());
        let n = empty.or_else(|| in_turn().find(free))?;
        self.give_up(n, asm);
        self.taken |= 1 << n;
        Some(VALUES[n])
    }

    /// A host register is to have no guest register.
    fn give_up(&mut self, n: usize, asm: &mut Assembler) {
        let r = usize::from(std::mem::replace(&mut self.holds[n], NONE));
        if r >= REGS {
            return;
        }
        self.turn = n + 1;
        self.dirty.at[r] = NONE;
        if self.dirty.registers >> r & 1 != 0 {
            self.dirty.registers &= !(1 << r);
            asm.store_word(Place::of_guest(self.base + 8 * r), Operand::Reg(VALUES[n]));
        }
    }

    /// A guest register other than 0.
    pub(super) fn read(&mut self, r: u8, asm: &mut Assembler) -> Option<Gpr> {
        let known = usize::from(self.dirty.at[usize::from(r)]);
        if let Some(reg) = VALUES.get(known) {
            self.taken |= 1 << known;
            return Some(*reg);
        }
        let reg = self.take(asm)?;
        asm.load_word(reg, Place::of_guest(self.base + 8 * usize::from(r)));
        self.bind(r, reg);
        Some(reg)
    }

    /// A guest register other than 0 is what a value is that [`Registers::take`] made room
    /// for.
    pub(super) fn write_to(&mut self, r: u8, reg: Gpr) {
        self.bind(r, reg);
        self.dirty.registers |= 1 << r;
    }

    /// Whether a host register has a guest register.
    pub(super) fn is_bound(&self, reg: Gpr) -> bool {
        let n = VALUES.iter().position(|v| *v == reg);
        n.is_none_or(|n| self.holds[n] != NONE)
    }

    fn bind(&mut self, r: u8, reg: Gpr) {
        let before = usize::from(self.dirty.at[usize::from(r)]);
        if let Some(holds) = self.holds.get_mut(before) {
            *holds = NONE;
        }
        if let Some(n) = VALUES.iter().position(|v| *v == reg) {
            self.holds[n] = r;
            self.dirty.at[usize::from(r)] = n as u8;
        }
    }
}
