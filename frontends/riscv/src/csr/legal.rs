//! What the CSRs can hold: each function maps any value to one the register can
//! have. CSR writes and restored states both go through here.

use super::fields::{counters, envcfg, medeleg, mip, mseccfg, mstatus, satp};
use crate::ext::{Ext, ExtSet};
use crate::state::Priv;

fn when(cond: bool, bits: u64) -> u64 {
    if cond { bits } else { 0 }
}

/// `mstatus`: `old` keeps MPP where `new` names a mode that does not exist. SD sums up
/// FS, the only context with a status here (Priv. 3.1.6.6).
pub(crate) fn mstatus(ext: ExtSet, old: u64, new: u64) -> u64 {
    use mstatus as m;
    // Without translation these have nothing to act on (Priv. 3.1.6.3, 3.1.6.5).
    let paged = when(ext.has(Ext::Sv39), m::SUM | m::MXR | m::TVM);
    let float = when(ext.has(Ext::F), m::FS);
    let plain = m::SIE | m::MIE | m::SPIE | m::MPIE | m::SPP | m::MPRV | m::TW | m::TSR;
    let dirty = float != 0 && new & m::FS == m::FS_DIRTY;
    let mpp = if Priv::from_bits(new >> m::MPP_SHIFT).is_some() {
        new
    } else {
        old
    };
    m::RESET | new & (plain | paged | float) | mpp & m::MPP | when(dirty, m::SD)
}

/// `mideleg`: S mode's interrupts can be delegated.
pub(crate) fn mideleg(new: u64) -> u64 {
    new & mip::SUPERVISOR
}

/// `mie`
pub(crate) fn mie(new: u64) -> u64 {
    new & mip::ALL
}

/// `medeleg`
pub(crate) fn medeleg(new: u64) -> u64 {
    new & medeleg::MASK
}

/// `mtvec`, `stvec`: direct or vectored; the reserved modes lose their upper bit.
pub(crate) fn tvec(new: u64) -> u64 {
    new & !2
}

/// `mepc`, `sepc`: an address where an instruction can start (Priv. 3.1.14).
pub(crate) fn epc(ext: ExtSet, new: u64) -> u64 {
    new & if ext.has(Ext::Zca) { !1 } else { !3 }
}

/// `mcounteren`, `scounteren`
pub(crate) fn counteren(ext: ExtSet, new: u64) -> u64 {
    let zicntr = when(
        ext.has(Ext::Zicntr),
        counters::CY | counters::TM | counters::IR,
    );
    new & (zicntr | when(ext.has(Ext::Zihpm), counters::HPM))
}

/// `mcountinhibit`: counters that never count need no inhibition.
pub(crate) fn mcountinhibit(new: u64) -> u64 {
    new & (counters::CY | counters::IR)
}

/// What `menvcfg` and `senvcfg` share; the reserved CBIE keeps the old one.
fn envcfg(ext: ExtSet, old: u64, new: u64) -> u64 {
    let cbie = if new & envcfg::CBIE == envcfg::CBIE_RESERVED {
        old
    } else {
        new
    } & envcfg::CBIE;
    let plain = envcfg::FIOM
        | when(ext.has(Ext::Zicbom), envcfg::CBCFE)
        | when(ext.has(Ext::Zicboz), envcfg::CBZE);
    new & plain | when(ext.has(Ext::Zicbom), cbie)
}

/// `menvcfg`
pub(crate) fn menvcfg(ext: ExtSet, old: u64, new: u64) -> u64 {
    let mask = when(ext.has(Ext::Svadu), envcfg::ADUE)
        | when(ext.has(Ext::Svpbmt), envcfg::PBMTE)
        | when(ext.has(Ext::Sstc), envcfg::STCE);
    envcfg(ext, old, new) | new & mask
}

/// `senvcfg`
pub(crate) fn senvcfg(ext: ExtSet, old: u64, new: u64) -> u64 {
    envcfg(ext, old, new)
}

/// `mseccfg`: MML and MMWP stay once set; RLB cannot be set while a rule is locked
/// (Priv. 3.1.19).
pub(crate) fn mseccfg(ext: ExtSet, old: u64, new: u64, locked: bool) -> u64 {
    if !ext.has(Ext::Smepmp) {
        return 0;
    }
    let sticky = (old | new) & (mseccfg::MML | mseccfg::MMWP);
    let rlb = if locked { old & new } else { new } & mseccfg::RLB;
    sticky | rlb
}

/// `satp`: an unknown mode changes nothing; Bare has no other fields.
pub(crate) fn satp(ext: ExtSet, old: u64, new: u64) -> u64 {
    let known = |e| if ext.has(e) { new } else { old };
    match satp::mode(new) {
        satp::BARE => 0,
        satp::SV39 => known(Ext::Sv39),
        satp::SV48 => known(Ext::Sv48),
        satp::SV57 => known(Ext::Sv57),
        _ => old,
    }
}

/// `miselect`, `siselect`: eight bits, as far as anything stands behind them (AIA 2.1).
pub(crate) fn iselect(new: u64) -> u64 {
    new & 0xff
}
