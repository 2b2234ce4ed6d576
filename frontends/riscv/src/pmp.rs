//! Physical memory protection (Priv. 3.7) and Smepmp.
//!
//! The CSRs hold the raw values; [`Rules`] is what they mean, derived again after
//! each change. The grain is 4 KiB (G = 10), so that a page always is of one
//! permission and the soft TLB can hold it.

use crate::csr::mseccfg;
use crate::mmu::Access;
use crate::state::{PMP_ENTRIES, Priv, State};

/// `pmpcfg`: reading is allowed.
pub(crate) const R: u8 = 1 << 0;
/// `pmpcfg`: writing is allowed.
pub(crate) const W: u8 = 1 << 1;
/// `pmpcfg`: execution is allowed.
pub(crate) const X: u8 = 1 << 2;
/// `pmpcfg`: how the address register names a region.
pub(crate) const A: u8 = 3 << 3;
/// [`A`]: up to the address, from that of the entry before.
pub(crate) const A_TOR: u8 = 1 << 3;
/// [`A`]: four bytes, which the grain excludes.
pub(crate) const A_NA4: u8 = 2 << 3;
/// [`A`]: a naturally aligned power of two.
pub(crate) const A_NAPOT: u8 = 3 << 3;
/// `pmpcfg`: locked, and enforced in M mode.
pub(crate) const L: u8 = 1 << 7;

/// The grain is 2^(G+2) bytes.
const G: u32 = 10;
/// `pmpaddr` holds bits 55:2 of an address.
const ADDR_MASK: u64 = (1 << 54) - 1;
/// An address that begins a grain.
const GRAIN_MASK: u64 = !((1 << (G + 2)) - 1);

/// A region, and what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Rule {
    first: u64,
    last: u64,
    /// R, W and X of M mode.
    machine: u8,
    /// R, W and X of S and U mode.
    user: u8,
}

/// What the PMP registers say, in the order of their priority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    rules: [Rule; PMP_ENTRIES],
    len: usize,
    /// What M mode may do where no rule matches.
    machine: u8,
}

impl Rules {
    /// The meaning of the registers.
    pub(crate) fn new(state: &State) -> Self {
        let mml = state.mseccfg & mseccfg::MML != 0;
        let machine = match (state.mseccfg & mseccfg::MMWP != 0, mml) {
            (true, _) => 0,
            (false, true) => R | W,
            (false, false) => R | W | X,
        };
        let mut this = Self {
            machine,
            ..Self::default()
        };
        for (i, &cfg) in state.pmpcfg.iter().enumerate() {
            if let Some((first, last)) = region(state, i) {
                let (machine, user) = if mml { lockdown(cfg) } else { classic(cfg) };
                this.rules[this.len] = Rule {
                    first,
                    last,
                    machine,
                    user,
                };
                this.len += 1;
            }
        }
        this
    }

    /// What a mode may do with all of `len` bytes (1 or more) at once: R, W and X.
    /// The first rule that matches any byte decides, and must match all.
    #[inline]
    pub(crate) fn permissions(&self, gpa: u64, len: u64, mode: Priv) -> u8 {
        let last = gpa.saturating_add(len - 1);
        for rule in &self.rules[..self.len] {
            if gpa <= rule.last && last >= rule.first {
                let whole = gpa >= rule.first && last <= rule.last;
                let granted = if mode == Priv::M {
                    rule.machine
                } else {
                    rule.user
                };
                return if whole { granted } else { 0 };
            }
        }
        if mode == Priv::M { self.machine } else { 0 }
    }

    /// Whether an access may be made.
    #[inline]
    pub(crate) fn check(&self, gpa: u64, len: u64, access: Access, mode: Priv) -> bool {
        self.permissions(gpa, len, mode) & needed(access) != 0
    }
}

/// The permission that an access needs.
pub(crate) const fn needed(access: Access) -> u8 {
    match access {
        Access::Fetch => X,
        Access::Load => R,
        Access::Store => W,
    }
}

/// First and last address of an entry's region; none where it is off or empty.
fn region(state: &State, i: usize) -> Option<(u64, u64)> {
    let (cfg, addr) = (*state.pmpcfg.get(i)?, *state.pmpaddr.get(i)?);
    match cfg & A {
        A_TOR => {
            let below = i
                .checked_sub(1)
                .and_then(|i| state.pmpaddr.get(i))
                .copied()
                .unwrap_or(0);
            let (first, end) = (below << 2 & GRAIN_MASK, addr << 2 & GRAIN_MASK);
            (first < end).then(|| (first, end - 1))
        }
        A_NAPOT => {
            // The grain makes the low bits ones, whatever is stored.
            let addr = addr | ((1 << (G - 1)) - 1);
            let size = 8u64 << addr.trailing_ones();
            let first = (addr << 2) & !(size - 1);
            Some((first, first + (size - 1)))
        }
        _ => None,
    }
}

/// M's and S/U's permissions without `mseccfg.MML`: a rule binds M mode where it is
/// locked.
fn classic(cfg: u8) -> (u8, u8) {
    let user = cfg & (R | W | X);
    (if cfg & L != 0 { user } else { R | W | X }, user)
}

/// M's and S/U's permissions with `mseccfg.MML` (the truth table of "Smepmp").
fn lockdown(cfg: u8) -> (u8, u8) {
    const WX: u8 = W | X;
    const RWX: u8 = R | W | X;
    let own = cfg & RWX;
    match (cfg & L != 0, own) {
        (false, W) => (R | W, R),
        (false, WX) => (R | W, R | W),
        (false, _) => (0, own),
        (true, W) => (X, X),
        (true, WX) => (R | X, X),
        (true, RWX) => (R, R),
        (true, _) => (own, 0),
    }
}

/// Whether M mode or, shared and locked, any mode could execute from it: what
/// `mseccfg.MML` forbids to add.
fn grants_machine_execution(cfg: u8) -> bool {
    cfg & L != 0 && lockdown(cfg).0 & X != 0
}

fn bypass(state: &State) -> bool {
    state.mseccfg & mseccfg::RLB != 0
}

/// Whether any rule is locked, those that are off included.
pub(crate) fn any_locked(state: &State) -> bool {
    state.pmpcfg.iter().any(|cfg| cfg & L != 0)
}

/// What an entry's configuration becomes when `new` is written to it.
fn legal_cfg(old: u8, new: u8, mml: bool) -> u8 {
    let mut cfg = new & (R | W | X | A | L);
    if cfg & A == A_NA4 {
        cfg = cfg & !A | old & A;
    }
    if !mml && cfg & (R | W) == W {
        cfg &= !W;
    }
    cfg
}

/// Reads `pmpcfg0` (`first` = 0) or `pmpcfg2` (8).
pub(crate) fn read_cfg(state: &State, first: usize) -> u64 {
    let entries = state.pmpcfg.iter().skip(first).take(8);
    entries
        .enumerate()
        .map(|(i, cfg)| u64::from(*cfg) << (8 * i))
        .sum()
}

/// Writes `pmpcfg0` (`first` = 0) or `pmpcfg2` (8).
pub(crate) fn write_cfg(state: &mut State, first: usize, value: u64) {
    let (mml, bypass) = (state.mseccfg & mseccfg::MML != 0, bypass(state));
    for (cfg, new) in state.pmpcfg.iter_mut().skip(first).zip(value.to_le_bytes()) {
        let new = legal_cfg(*cfg, new, mml);
        let refused = *cfg & L != 0 || mml && grants_machine_execution(new);
        if bypass || !refused {
            *cfg = new;
        }
    }
}

/// Reads `pmpaddr<i>`: the bits below the grain read as the mode says (Priv. 3.7.1.1).
pub(crate) fn read_addr(state: &State, i: usize) -> u64 {
    let (Some(addr), Some(cfg)) = (state.pmpaddr.get(i), state.pmpcfg.get(i)) else {
        return 0;
    };
    if cfg & A_NA4 != 0 {
        addr | ((1 << (G - 1)) - 1)
    } else {
        addr & !((1 << G) - 1)
    }
}

/// Writes `pmpaddr<i>`, unless it or the TOR entry above is locked.
pub(crate) fn write_addr(state: &mut State, i: usize, value: u64) {
    let locked = |i: usize| state.pmpcfg.get(i).is_some_and(|cfg| cfg & L != 0);
    let bounds_above = state.pmpcfg.get(i + 1).is_some_and(|cfg| cfg & A == A_TOR);
    let refused = locked(i) || bounds_above && locked(i + 1);
    if (bypass(state) || !refused)
        && let Some(addr) = state.pmpaddr.get_mut(i)
    {
        *addr = value & ADDR_MASK;
    }
}

/// Makes restored registers such as could have been written.
pub(crate) fn sanitise(state: &mut State) {
    let mml = state.mseccfg & mseccfg::MML != 0;
    state
        .pmpcfg
        .iter_mut()
        .for_each(|cfg| *cfg = legal_cfg(0, *cfg, mml));
    state.pmpaddr.iter_mut().for_each(|addr| *addr &= ADDR_MASK);
}

/// Opens all of memory to S and U mode, as firmware does before it leaves M mode.
pub(crate) fn open(state: &mut State) {
    state.pmpcfg[0] = A_NAPOT | R | W | X;
    state.pmpaddr[0] = ADDR_MASK;
}

#[cfg(test)]
mod tests;
