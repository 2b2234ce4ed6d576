//! Helpers as semantics call them.

use super::*;
use crate::csr::satp;
use crate::mmu::pte::{A, D, R, U, V, W, X};
use crate::pmp;
use crate::state::Reservation;
use crate::testing::{BASE, IO, PC, Rig, leaf};
use isoform_core::Guest;

fn call(rig: &mut Rig, helper: &Helper<Hart>, args: Args) -> Outcome {
    (helper.call)(&mut rig.hart, args)
}

fn rig(mode: Priv) -> Rig {
    let mut rig = Rig::new();
    rig.enter(mode);
    rig
}

#[test]
fn calls_trap_by_mode_and_go_to_the_firmware_from_s_mode() {
    for (mode, cause) in [
        (Priv::U, Cause::EcallU),
        (Priv::S, Cause::EcallS),
        (Priv::M, Cause::EcallM),
    ] {
        let mut rig = rig(mode);
        assert_eq!(call(&mut rig, &ECALL, [0; 4]), Err(Trap::new(cause, 0)));
        assert_eq!(
            call(&mut rig, &EBREAK, [0; 4]),
            Err(Trap::new(Cause::Breakpoint, PC))
        );
        let mut rig = Rig::with(&[], true);
        rig.enter(mode);
        let found = call(&mut rig, &ECALL, [0; 4]);
        if mode == Priv::S {
            assert_eq!((found, rig.hart.take_exit()), (Ok(0), Some(Exit::Firmware)));
        } else {
            assert_eq!(
                (found, rig.hart.take_exit()),
                (Err(Trap::new(cause, 0)), None)
            );
        }
    }
}

#[test]
fn translation_fences_are_s_mode_s() {
    for (mode, status, fence, order) in [
        (Priv::U, 0, false, false),
        (Priv::S, 0, true, true),
        (Priv::S, mstatus::TVM, false, true),
        (Priv::M, mstatus::TVM, true, true),
    ] {
        let mut rig = rig(mode);
        rig.hart.state.mstatus |= status;
        for (helper, allowed) in [
            (&SFENCE_VMA, fence),
            (&SINVAL_VMA, fence),
            (&SFENCE_W_INVAL, order),
            (&SFENCE_INVAL_IR, order),
        ] {
            let expected = if allowed { Ok(0) } else { Err(Trap::ILLEGAL) };
            assert_eq!(
                call(&mut rig, helper, [0; 4]),
                expected,
                "{} in {mode:?}",
                helper.name
            );
        }
    }
}

#[test]
fn cache_block_operations_need_to_be_enabled() {
    let all = envcfg::CBIE_INVAL | envcfg::CBCFE | envcfg::CBZE;
    for (helper, field) in [
        (&CBO_INVAL, envcfg::CBIE),
        (&CBO_CLEAN, envcfg::CBCFE),
        (&CBO_FLUSH, envcfg::CBCFE),
        (&CBO_ZERO, envcfg::CBZE),
    ] {
        for (mode, menvcfg, senvcfg, allowed) in [
            (Priv::M, 0, 0, true),
            (Priv::S, 0, all, false),
            (Priv::S, all & !field, all, false),
            (Priv::S, all & field, 0, true),
            (Priv::U, all, 0, false),
            (Priv::U, 0, all, false),
            (Priv::U, all & field, all & field, true),
        ] {
            let mut rig = rig(mode);
            (rig.hart.state.menvcfg, rig.hart.state.senvcfg) = (menvcfg, senvcfg);
            let expected = if allowed { Ok(0) } else { Err(Trap::ILLEGAL) };
            assert_eq!(
                call(&mut rig, helper, [PC, 0, 0, 0]),
                expected,
                "{}",
                helper.name
            );
        }
    }
}

#[test]
fn zeroing_clears_the_block_around_the_address() {
    let mut rig = rig(Priv::M);
    for at in (0..256).step_by(8) {
        rig.poke(PC + at, u64::MAX);
    }
    rig.hart.epoch.track(1, rig.hart.ram.code(), 0x100);
    assert_eq!(call(&mut rig, &CBO_ZERO, [PC + 64 + 13, 0, 0, 0]), Ok(0));
    for at in (0..256).step_by(8) {
        let expected = if (64..128).contains(&at) { 0 } else { u64::MAX };
        assert_eq!(rig.peek(PC + at), expected, "{at}");
    }
    assert_eq!(rig.hart.ram.code().version(0x100), 1, "the page holds code");
}

#[test]
fn cache_block_faults_are_those_of_stores() {
    let va = 0x1033;
    // The entry; what management and zeroing give.
    let page = Err(Access::Store.page_fault(va));
    let access = Err(Access::Store.access_fault(va));
    for (entry, manage, zero) in [
        (0, page, page),
        (leaf(PC, V | U | R | A), Ok(0), page),
        (leaf(PC, V | U | R | W | A), Ok(0), page),
        (leaf(PC, V | U | R | W | A | D), Ok(0), Ok(0)),
        (leaf(PC, V | U | R | W), page, page),
        (leaf(PC, V | U | X | A), page, page),
        (leaf(PC, V | R | W | A | D), page, page),
        (leaf(0x1000, V | U | R | W | A | D), access, access),
        (leaf(IO, V | U | R | W | A | D), Ok(0), access),
        (leaf(IO, V | U | R | A), Ok(0), page),
        (leaf(IO, V | U | R | W), page, page),
        (leaf(IO, V | U | X | A), page, page),
    ] {
        let mut rig = rig(Priv::U);
        let all = envcfg::CBIE_FLUSH | envcfg::CBCFE | envcfg::CBZE;
        (rig.hart.state.menvcfg, rig.hart.state.senvcfg) = (all, all);
        rig.hart.state.satp = satp::SV39 << satp::MODE_SHIFT | BASE >> 12;
        rig.hart.refresh();
        rig.map(3, va, 0, entry);
        for helper in [&CBO_INVAL, &CBO_CLEAN, &CBO_FLUSH] {
            assert_eq!(
                call(&mut rig, helper, [va, 0, 0, 0]),
                manage,
                "{} {entry:#x}",
                helper.name
            );
        }
        assert_eq!(call(&mut rig, &CBO_ZERO, [va, 0, 0, 0]), zero, "{entry:#x}");
    }
}

/// Where PMP denies loads, or there is nothing, translation is not to blame.
#[test]
fn cache_block_management_needs_memory_protection_and_something_there() {
    let access = |va: u64| Err(Access::Store.access_fault(va));
    for (va, pmpcfg, expected) in [
        (IO + 0xfc1, 0, access(IO + 0xfc1)),
        (IO + 0xfc1, pmp::A_NAPOT | pmp::R, Ok(0)),
        (IO + 0xfc1, pmp::A_NAPOT | pmp::X, access(IO + 0xfc1)),
        (PC, pmp::A_NAPOT | pmp::R, Ok(0)),
        (PC, 0, access(PC)),
        (IO - 1, pmp::A_NAPOT | pmp::R, access(IO - 1)),
        (IO + 0x1000, pmp::A_NAPOT | pmp::R, access(IO + 0x1000)),
    ] {
        let mut rig = rig(Priv::S);
        rig.hart.state.menvcfg = envcfg::CBIE_FLUSH | envcfg::CBCFE;
        rig.hart.state.pmpcfg[0] = pmpcfg;
        rig.hart.refresh();
        for helper in [&CBO_INVAL, &CBO_CLEAN, &CBO_FLUSH] {
            let found = call(&mut rig, helper, [va, 0, 0, 0]);
            assert_eq!(found, expected, "{} {va:#x} {pmpcfg:#x}", helper.name);
        }
    }
}

#[test]
fn waiting_on_a_reservation_is_bounded_and_needs_one() {
    let wait = Some(Exit::Wait { spurious_ok: true });
    let held = Reservation {
        valid: true,
        size: 8,
        addr: PC,
        value: 5,
    };
    for helper in [&WRS_NTO, &WRS_STO] {
        for (reservation, now, mie, expected) in [
            (held, 5, 0, wait),
            (held, 6, 0, None),
            (held, 5, 2, None),
            (
                Reservation {
                    valid: false,
                    ..held
                },
                5,
                0,
                None,
            ),
            (Reservation { size: 4, ..held }, 1 << 32 | 5, 0, wait),
        ] {
            let mut rig = rig(Priv::U);
            rig.hart.state.mstatus |= mstatus::TW;
            (rig.hart.state.reservation, rig.hart.state.mie) = (reservation, mie);
            rig.hart.lines.change(2, 0);
            rig.poke(PC, now);
            rig.hart.translate(PC, 8, Access::Load).expect("open");
            assert_eq!(call(&mut rig, helper, [0; 4]), Ok(0));
            assert_eq!(rig.hart.take_exit(), expected, "{now} {mie}");
        }
    }
}

#[test]
fn a_csr_access_goes_by_its_arguments() {
    let mut rig = rig(Priv::M);
    let how = CsrOp::Set.encode(true, true);
    assert_eq!(call(&mut rig, &CSR, [0x340, 6, how, 0]), Ok(0));
    assert_eq!(
        call(
            &mut rig,
            &CSR_QUIET,
            [0x340, 0, CsrOp::Set.encode(true, false), 0]
        ),
        Ok(6)
    );
    assert_eq!(call(&mut rig, &CSR, [0xf14, 0, how, 0]), Err(Trap::ILLEGAL));
    assert_eq!(csr_helper(0x340, true, false).name, "CSR_QUIET");
    assert_eq!(csr_helper(0x300, true, false).name, "CSR");
    // `csrci` of what holds interrupt enables in its low bits, and nothing else there.
    assert_eq!(csr_helper(0x100, true, true).name, "CSR_DISABLE");
    assert_eq!(csr_helper(0x304, true, true).name, "CSR");
    assert!(CSR.effects.ends_unit && !CSR_QUIET.effects.ends_unit);
}
