//! Exceptions and interrupts: their codes, and how they are delivered.
//!
//! Which interrupt is pending is `interrupts`' business.

use crate::csr::{counters, mstatus};
use crate::hart::Hart;
use crate::mmu::Access;
use crate::state::Priv;

/// An exception to be delivered (Priv. 3.1.15, `mcause`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The exception code.
    pub cause: Cause,
    /// What `mtval`/`stval` receives.
    pub tval: u64,
}

/// Exception codes (Priv. table "mcause values").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the manual's")]
pub enum Cause {
    InstructionMisaligned = 0,
    InstructionAccess = 1,
    /// `tval` is filled with the instruction's bits when the trap is delivered.
    IllegalInstruction = 2,
    Breakpoint = 3,
    LoadMisaligned = 4,
    LoadAccess = 5,
    StoreMisaligned = 6,
    StoreAccess = 7,
    EcallU = 8,
    EcallS = 9,
    EcallM = 11,
    InstructionPage = 12,
    LoadPage = 13,
    StorePage = 15,
}

impl Trap {
    /// A trap with its value.
    pub const fn new(cause: Cause, tval: u64) -> Self {
        Self { cause, tval }
    }

    /// The instruction is illegal, here and now.
    pub const ILLEGAL: Trap = Trap {
        cause: Cause::IllegalInstruction,
        tval: 0,
    };
}

/// Set in `mcause` and `scause` for interrupts.
pub const INTERRUPT: u64 = 1 << 63;

impl Hart {
    /// Takes an exception: the state becomes that of the handler's first instruction.
    pub(crate) fn deliver_trap(&mut self, trap: Trap) {
        let code = trap.cause as u64;
        let illegal = trap.cause == Cause::IllegalInstruction && trap.tval == 0;
        let tval = if illegal {
            self.instruction_bits().unwrap_or(0)
        } else {
            trap.tval
        };
        // `icount` counts the attempt, `minstret` must not (Priv. 3.3.1).
        if self.state.mcountinhibit & counters::IR == 0 {
            self.state.minstret_offset = self.state.minstret_offset.wrapping_sub(1);
        }
        self.count_trap(code);
        let delegated = self.state.medeleg >> code & 1 != 0;
        self.enter(delegated, code, tval);
    }

    /// Takes an interrupt, which [`Hart::pending_interrupt`] gave.
    pub(crate) fn take_interrupt(&mut self, number: u32) {
        let code = u64::from(number);
        self.count_trap(32 + code);
        let delegated = self.state.mideleg >> code & 1 != 0;
        self.enter(delegated, INTERRUPT | code, 0);
    }

    fn count_trap(&mut self, at: u64) {
        if let Some(count) = self.trap_counts.get_mut(at as usize) {
            *count += 1;
        }
    }

    /// Enters the handler (Priv. 3.1.6.1, 3.1.7, 12.1.2). Traps never lead to a less
    /// privileged mode, so delegation counts below M mode only.
    fn enter(&mut self, delegated: bool, cause: u64, tval: u64) {
        let state = &mut self.state;
        let (status, from) = (state.mstatus, state.privilege);
        if delegated && from != Priv::M {
            (state.scause, state.sepc, state.stval) = (cause, state.pc, tval);
            let spie = if status & mstatus::SIE != 0 {
                mstatus::SPIE
            } else {
                0
            };
            let spp = if from == Priv::S { mstatus::SPP } else { 0 };
            let kept = status & !(mstatus::SIE | mstatus::SPIE | mstatus::SPP);
            state.mstatus = kept | spie | spp;
            state.privilege = Priv::S;
            state.pc = vector(state.stvec, cause);
        } else {
            (state.mcause, state.mepc, state.mtval) = (cause, state.pc, tval);
            let mpie = if status & mstatus::MIE != 0 {
                mstatus::MPIE
            } else {
                0
            };
            let mpp = (from as u64) << mstatus::MPP_SHIFT;
            let kept = status & !(mstatus::MIE | mstatus::MPIE | mstatus::MPP);
            state.mstatus = kept | mpie | mpp;
            state.privilege = Priv::M;
            state.pc = vector(state.mtvec, cause);
        }
        self.sync_mode();
    }

    /// `mret`: gives the address to go on at (Priv. 3.1.6.1, 3.3.2). The reservation
    /// stays, as the manual allows.
    pub(crate) fn mret(&mut self) -> Result<u64, Trap> {
        if self.state.privilege != Priv::M {
            return Err(Trap::ILLEGAL);
        }
        let status = self.state.mstatus;
        let to = Priv::from_bits(status >> mstatus::MPP_SHIFT).unwrap_or(Priv::U);
        let mie = if status & mstatus::MPIE != 0 {
            mstatus::MIE
        } else {
            0
        };
        let mprv = if to == Priv::M {
            status & mstatus::MPRV
        } else {
            0
        };
        let kept = status & !(mstatus::MIE | mstatus::MPP | mstatus::MPRV);
        self.state.mstatus = kept | mie | mprv | mstatus::MPIE;
        self.state.privilege = to;
        self.sync_mode();
        Ok(self.state.mepc)
    }

    /// `sret`: gives the address to go on at.
    pub(crate) fn sret(&mut self) -> Result<u64, Trap> {
        let status = self.state.mstatus;
        match self.state.privilege {
            Priv::M => {}
            Priv::S if status & mstatus::TSR == 0 => {}
            _ => return Err(Trap::ILLEGAL),
        }
        let sie = if status & mstatus::SPIE != 0 {
            mstatus::SIE
        } else {
            0
        };
        let kept = status & !(mstatus::SIE | mstatus::SPP | mstatus::MPRV);
        self.state.mstatus = kept | sie | mstatus::SPIE;
        self.state.privilege = if status & mstatus::SPP != 0 {
            Priv::S
        } else {
            Priv::U
        };
        self.sync_mode();
        Ok(self.state.sepc)
    }

    /// The bits of the instruction at the program counter, where they can be fetched.
    fn instruction_bits(&mut self) -> Option<u64> {
        let pc = self.state.pc;
        let low = self.fetch_parcel(pc)?;
        if low & 3 != 3 {
            return Some(low);
        }
        let high = self.fetch_parcel(pc.wrapping_add(2))?;
        Some(high << 16 | low)
    }

    fn fetch_parcel(&mut self, va: u64) -> Option<u64> {
        let found = self.translate(va, 2, Access::Fetch).ok()?;
        self.bus.fetch_half(found.gpa)
    }
}

/// Where a trap goes: vectored mode spreads interrupts only (Priv. 3.1.7).
fn vector(tvec: u64, cause: u64) -> u64 {
    let base = tvec & !3;
    if tvec & 1 != 0 && cause & INTERRUPT != 0 {
        base.wrapping_add(4 * (cause & !INTERRUPT))
    } else {
        base
    }
}

#[cfg(test)]
mod tests;
