//! Control and status registers (Priv. 2; Unpriv. "Zicsr").
//!
//! * `table`: one line a register: number, name, what it needs, what it does.
//! * `fields`: their fields, by the manual's names.
//! * `legal`: what each can hold (WARL), for writes and for restored states.
//!
//! This module has the rules that hold for all of them: which exist, who may access
//! them, what is read and written.

mod fields;
pub(crate) mod legal;
mod table;
#[cfg(test)]
mod tests;

pub use fields::{counters, envcfg, fcsr, medeleg, mip, mseccfg, mstatus, satp};

use crate::hart::Hart;
use crate::imsic;
use crate::state::Priv;
use crate::trap::Trap;
use table::{Csr, Guard, Write};

/// What a CSR instruction does with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CsrOp {
    /// The operand is the new value.
    Swap,
    /// The operand's ones become ones.
    Set,
    /// The operand's ones become zeros.
    Clear,
}

const READS: u64 = 1 << 2;
const WRITES: u64 = 1 << 3;

impl CsrOp {
    /// The operation, and whether it reads and writes, as a helper's argument.
    pub(crate) const fn encode(self, reads: bool, writes: bool) -> u64 {
        self as u64 | if reads { READS } else { 0 } | if writes { WRITES } else { 0 }
    }

    /// The operation, whether it reads, whether it writes.
    pub(crate) const fn decode(how: u64) -> (CsrOp, bool, bool) {
        let op = match how & 3 {
            0 => CsrOp::Swap,
            1 => CsrOp::Set,
            _ => CsrOp::Clear,
        };
        (op, how & READS != 0, how & WRITES != 0)
    }
}

/// A write to a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CsrWrite {
    pub(crate) op: CsrOp,
    pub(crate) value: u64,
}

impl CsrWrite {
    /// The value to write where the register reads as `old`.
    const fn apply(self, old: u64) -> u64 {
        match self.op {
            CsrOp::Swap => self.value,
            CsrOp::Set => old | self.value,
            CsrOp::Clear => old & !self.value,
        }
    }

    /// The bits that become one, and those that become zero.
    const fn bits(self) -> (u64, u64) {
        match self.op {
            CsrOp::Swap => (self.value, !self.value),
            CsrOp::Set => (self.value, 0),
            CsrOp::Clear => (0, self.value),
        }
    }
}

/// The name of a CSR that this frontend knows.
pub fn csr_name(number: u16) -> Option<&'static str> {
    let csr = table::find(number)?;
    csr.names.get(usize::from(number - csr.first)).copied()
}

/// The number of a CSR, by its name.
pub fn csr_number(name: &str) -> Option<u16> {
    table::TABLE.iter().find_map(|csr| {
        let at = csr.names.iter().position(|n| *n == name)?;
        Some(csr.first + at as u16)
    })
}

/// Whether a CSR instruction leaves mode, translation and interrupts as they are, so
/// that the unit of translation can go on behind it.
pub(crate) fn csr_is_quiet(number: u16, writes: bool) -> bool {
    !writes || table::find(number).is_none_or(|csr| matches!(csr.write, Write::Plain(_)))
}

/// The interrupt enables that a register has in bits 4:0, in which it has nothing else
/// (Priv. 3.1.6, 12.1.1).
pub(crate) fn low_enables(number: u16) -> Option<u64> {
    match number {
        0x100 => Some(mstatus::SIE),
        0x300 => Some(mstatus::SIE | mstatus::MIE),
        _ => None,
    }
}

impl Hart {
    /// What the CSR instructions do: reads the old value where `read` says so (else
    /// gives 0), then writes. Illegal where the register is absent, of a higher mode,
    /// read-only, or disabled.
    pub(crate) fn csr_access(
        &mut self,
        number: u16,
        write: Option<CsrWrite>,
        read: bool,
    ) -> Result<u64, Trap> {
        let csr = self
            .accessible(number, write.is_some())
            .ok_or(Trap::ILLEGAL)?;
        let index = usize::from(number - csr.first);
        let claims = matches!(csr.write, Write::Claim(_));
        let reads = read || write.is_some_and(|w| w.op != CsrOp::Swap || claims);
        let old = if reads { (csr.read)(self, index) } else { 0 };
        if let Some(write) = write {
            match csr.write {
                Write::Ignored => {}
                Write::Plain(set) => set(self, index, write.apply(old)),
                Write::System(set) => {
                    set(self, index, write.apply(old));
                    self.sync_mode();
                }
                Write::Bits(change) => {
                    let (ones, zeros) = write.bits();
                    change(self, ones, zeros);
                    self.sync_mode();
                }
                Write::Claim(claim) => {
                    claim(self, old);
                    self.sync_mode();
                }
            }
        }
        Ok(if read { old } else { 0 })
    }

    /// The register, where the hart has it and the current mode may access it so.
    fn accessible(&self, number: u16, writes: bool) -> Option<&'static Csr> {
        // Priv. 2.1: bits 9:8 are the lowest mode, bits 11:10 all ones mean read-only.
        let lowest = number >> 8 & 3;
        let read_only = number >> 10 & 3 == 3;
        if (self.state.privilege as u16) < lowest || writes && read_only {
            return None;
        }
        let csr = table::find(number)?;
        let present = csr.ext.is_none_or(|ext| self.cpu.ext.has(ext));
        (present && self.enabled(csr.guard, number)).then_some(csr)
    }

    /// Whether what other registers say allows the access.
    fn enabled(&self, guard: Guard, number: u16) -> bool {
        let (state, mode) = (&self.state, self.state.privilege);
        match guard {
            Guard::None => true,
            Guard::Float => state.mstatus & mstatus::FS != 0,
            Guard::Counter => {
                let bit = number & 31;
                (mode == Priv::M || state.mcounteren >> bit & 1 != 0)
                    && (mode != Priv::U || state.scounteren >> bit & 1 != 0)
            }
            Guard::Satp => mode == Priv::M || state.mstatus & mstatus::TVM == 0,
            Guard::Stimecmp => {
                mode == Priv::M
                    || state.menvcfg & envcfg::STCE != 0 && state.mcounteren & counters::TM != 0
            }
            Guard::Iselect => imsic::is_selectable(match number >> 8 & 3 {
                1 => state.siselect,
                _ => state.miselect,
            }),
        }
    }

    /// Reads a CSR as M mode would, without an effect on anything; `None` where the
    /// hart does not have it. For the debugger.
    pub fn peek_csr(&self, number: u16) -> Option<u64> {
        let csr = table::find(number)?;
        let present = csr.ext.is_none_or(|ext| self.cpu.ext.has(ext));
        present.then(|| (csr.read)(self, usize::from(number - csr.first)))
    }
}
