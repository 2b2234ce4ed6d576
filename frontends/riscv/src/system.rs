//! The helpers of the system instructions: what [`crate::sem`] calls by name.

use crate::csr::{CsrWrite, csr_is_quiet, envcfg, low_enables, mstatus};
use crate::hart::Hart;
use crate::mmu::Access;
use crate::state::Priv;
use crate::trap::{Cause, Trap};
use isoform_core::ops::Effects;
use isoform_core::{Exit, Helper, Size};

pub(crate) use crate::csr::CsrOp;

/// Bytes in a cache block, for `cbo` and the device tree.
pub const CACHE_BLOCK: u64 = 64;

type Args = [u64; 4];
type Outcome = Result<u64, Trap>;

macro_rules! helpers {
    ($( $(#[$doc:meta])* $name:ident = $function:path, $effects:expr; )*) => { $(
        $(#[$doc])*
        pub(crate) static $name: Helper<Hart> =
            Helper { name: stringify!($name), call: $function, effects: $effects, float: None };
    )* };
}

helpers! {
    /// The CSR instructions: number, operand, [`CsrOp::encode`].
    CSR = csr, Effects::SYSTEM;
    /// As [`CSR`], for the accesses that [`csr_is_quiet`] names.
    CSR_QUIET = csr, Effects::TRAPS;
    /// As [`CSR`], where it clears bits 4:0 of `sstatus` or `mstatus`: after that no interrupt
    /// can come that could not come before, so the unit goes on.
    CSR_DISABLE = csr_disable, Effects::TRAPS;
    /// `mret`; gives the new program counter.
    MRET = mret, Effects::JUMPS;
    /// `sret`; gives the new program counter.
    SRET = sret, Effects::JUMPS;
    /// `ecall`; goes on behind it where the run loop answers the call.
    ECALL = ecall, Effects::SYSTEM;
    /// `ebreak`; goes on behind it where it is a semihosting call.
    EBREAK = ebreak, Effects::SYSTEM;
    /// `wfi`
    WFI = wfi, Effects::SYSTEM;
    /// `wrs.nto`
    WRS_NTO = wrs, Effects::SYSTEM;
    /// `wrs.sto`
    WRS_STO = wrs, Effects::SYSTEM;
    /// `fence.i`
    FENCE_I = fence_i, Effects::SYSTEM;
    /// `sfence.vma`: address, ASID, whether each is given.
    SFENCE_VMA = sfence_vma, Effects::SYSTEM;
    /// `sinval.vma`: as [`SFENCE_VMA`], which the manual allows.
    SINVAL_VMA = sfence_vma, Effects::SYSTEM;
    /// `sfence.w.inval`
    SFENCE_W_INVAL = sinval_order, Effects::TRAPS;
    /// `sfence.inval.ir`
    SFENCE_INVAL_IR = sinval_order, Effects::TRAPS;
    /// `cbo.inval`: address.
    CBO_INVAL = cbo_inval, Effects::TRAPS;
    /// `cbo.clean`: address.
    CBO_CLEAN = cbo_clean, Effects::TRAPS;
    /// `cbo.flush`: address.
    CBO_FLUSH = cbo_clean, Effects::TRAPS;
    /// `cbo.zero`: address.
    CBO_ZERO = cbo_zero, Effects::TRAPS;
}

/// The helper for an access to a CSR, by what is known when it is decoded.
pub(crate) fn csr_helper(number: u16, writes: bool, clears_low: bool) -> &'static Helper<Hart> {
    if csr_is_quiet(number, writes) {
        &CSR_QUIET
    } else if clears_low && low_enables(number).is_some() {
        &CSR_DISABLE
    } else {
        &CSR
    }
}

fn csr(hart: &mut Hart, [number, value, how, _]: Args) -> Outcome {
    let (op, reads, writes) = CsrOp::decode(how);
    hart.csr_access(
        number as u16,
        writes.then_some(CsrWrite { op, value }),
        reads,
    )
}

fn csr_disable(hart: &mut Hart, [number, value, how, _]: Args) -> Outcome {
    let (_, reads, _) = CsrOp::decode(how);
    let number = number as u16;
    let old = hart.csr_access(number, None, reads)?;
    hart.state.mstatus &= !(value & low_enables(number).unwrap_or(0));
    Ok(old)
}

fn mret(hart: &mut Hart, _: Args) -> Outcome {
    hart.mret()
}

fn sret(hart: &mut Hart, _: Args) -> Outcome {
    hart.sret()
}

/// Priv. 3.3.1; the call from S mode is the firmware's, where Isoform is that.
fn ecall(hart: &mut Hart, _: Args) -> Outcome {
    let cause = match hart.state.privilege {
        Priv::U => Cause::EcallU,
        Priv::S if hart.firmware => {
            hart.exit = Some(Exit::Firmware);
            return Ok(0);
        }
        Priv::S => Cause::EcallS,
        Priv::M => Cause::EcallM,
    };
    Err(Trap::new(cause, 0))
}

fn ebreak(hart: &mut Hart, _: Args) -> Outcome {
    if hart.semihosting && is_semihosting_call(hart) {
        hart.exit = Some(Exit::Breakpoint);
        return Ok(0);
    }
    Err(Trap::new(Cause::Breakpoint, hart.state.pc))
}

/// A call is an `ebreak` between two instructions that do nothing and that no compiler
/// emits: `slli x0, x0, 0x1f` and `srai x0, x0, 7` (RISC-V "Semihosting").
fn is_semihosting_call(hart: &Hart) -> bool {
    const CALL: [u32; 3] = [0x01f0_1013, 0x0010_0073, 0x4070_5013];
    let start = hart.state.pc.wrapping_sub(4);
    // They may start at any even address.
    let half = |n: u64| {
        let gpa = hart.debug_translate(start.wrapping_add(2 * n))?;
        hart.bus.fetch_half(gpa)
    };
    let halves = CALL.iter().flat_map(|word| [word & 0xffff, word >> 16]);
    (0..)
        .zip(halves)
        .all(|(n, expected)| half(n) == Some(expected.into()))
}

fn wfi(hart: &mut Hart, _: Args) -> Outcome {
    hart.wait_for_interrupt().map(|()| 0)
}

fn wrs(hart: &mut Hart, _: Args) -> Outcome {
    hart.wait_for_reservation();
    Ok(0)
}

/// From here on fetches see all stores that the hart has seen ("Zifencei").
fn fence_i(hart: &mut Hart, _: Args) -> Outcome {
    hart.settle_code();
    Ok(0)
}

/// Priv. 12.2.1; `mstatus.TVM` keeps S mode from it (Priv. 3.1.6.5).
fn sfence_vma(hart: &mut Hart, [va, asid, has_va, has_asid]: Args) -> Outcome {
    let allowed = match hart.state.privilege {
        Priv::M => true,
        Priv::S => hart.state.mstatus & mstatus::TVM == 0,
        Priv::U => false,
    };
    if !allowed {
        return Err(Trap::ILLEGAL);
    }
    hart.sfence_vma((has_va != 0).then_some(va), (has_asid != 0).then_some(asid));
    Ok(0)
}

/// "Svinval": orders what here happens in order anyway. TVM does not matter.
fn sinval_order(hart: &mut Hart, _: Args) -> Outcome {
    if hart.state.privilege == Priv::U {
        Err(Trap::ILLEGAL)
    } else {
        Ok(0)
    }
}

/// Whether `menvcfg` and `senvcfg` enable what `field` controls ("CMO", CSR controls).
pub(crate) fn block_enabled(hart: &Hart, field: u64) -> Result<(), Trap> {
    let (state, mode) = (&hart.state, hart.state.privilege);
    let enabled = (mode == Priv::M || state.menvcfg & field != 0)
        && (mode != Priv::U || state.senvcfg & field != 0);
    if enabled { Ok(()) } else { Err(Trap::ILLEGAL) }
}

/// Invalidation may always be done as a flush, of which no cache is left to see.
fn cbo_inval(hart: &mut Hart, [va, ..]: Args) -> Outcome {
    block_enabled(hart, envcfg::CBIE)?;
    manage_block(hart, va)
}

fn cbo_clean(hart: &mut Hart, [va, ..]: Args) -> Outcome {
    block_enabled(hart, envcfg::CBCFE)?;
    manage_block(hart, va)
}

/// Permitted wherever a load or a store is ("CMO", Page Fault, Guest-Page Fault, and
/// Access Fault Exceptions), devices included: nothing here is cached, so there is
/// nothing to do for any of them. Whoever may store may load, which the same section
/// asks of PMP and PMAs; so the right to load decides. Execution alone, which is left
/// open there, does not count. The accessed bit is checked, the dirty bit is not.
///
/// Faults are those of a store: a page fault where translation permits nothing, an
/// access fault where PMP does not, or nothing is there. A block that lies in a window
/// in part has no PMA of its own, which is left open, too: the address decides.
fn manage_block(hart: &mut Hart, va: u64) -> Outcome {
    let as_store = |trap: Trap| match trap.cause {
        Cause::LoadPage => Access::Store.page_fault(va),
        _ => Access::Store.access_fault(va),
    };
    let found = hart.translate(va, 1, Access::Load).map_err(as_store)?;
    if hart.bus.is_mapped(found.gpa) {
        Ok(0)
    } else {
        Err(Access::Store.access_fault(va))
    }
}

/// Zeroes the block that holds the address. Only main memory supports it, as PMAs may
/// say ("CMO", as above).
fn cbo_zero(hart: &mut Hart, [va, ..]: Args) -> Outcome {
    block_enabled(hart, envcfg::CBZE)?;
    if hart
        .tlb
        .zero(va & !(CACHE_BLOCK - 1), CACHE_BLOCK)
        .is_some()
    {
        return Ok(0);
    }
    let found = hart.translate(va, 1, Access::Store)?;
    let block = found.gpa & !(CACHE_BLOCK - 1);
    for at in (0..CACHE_BLOCK).step_by(8) {
        // The last block of all cannot carry: its offsets fill the low bits.
        hart.ram
            .store(block | at, Size::B8, 0)
            .ok_or(Access::Store.access_fault(va))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
