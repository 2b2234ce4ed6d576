//! Traps, their return, and interrupts.

use super::*;
use crate::csr::{envcfg, mip, satp};
use crate::lines::irq;
use crate::mmu::pte;
use crate::testing::{BASE, PC, Rig, leaf};
use isoform_core::{Exit, Guest, Requests, Size};

const MTVEC: u64 = BASE + 0x100;
const STVEC: u64 = BASE + 0x200;

fn rig(mode: Priv) -> Rig {
    let mut rig = Rig::new();
    (rig.hart.state.mtvec, rig.hart.state.stvec) = (MTVEC, STVEC);
    rig.enter(mode);
    rig
}

const CAUSES: [Cause; 14] = [
    Cause::InstructionMisaligned,
    Cause::InstructionAccess,
    Cause::IllegalInstruction,
    Cause::Breakpoint,
    Cause::LoadMisaligned,
    Cause::LoadAccess,
    Cause::StoreMisaligned,
    Cause::StoreAccess,
    Cause::EcallU,
    Cause::EcallS,
    Cause::EcallM,
    Cause::InstructionPage,
    Cause::LoadPage,
    Cause::StorePage,
];

#[test]
fn exceptions_go_where_medeleg_says_and_never_down() {
    for cause in CAUSES {
        for mode in [Priv::U, Priv::S, Priv::M] {
            for delegated in [false, true] {
                let mut rig = rig(mode);
                // With the bits set that the trap replaces, and without.
                let stack = mstatus::SPP | mstatus::SPIE | mstatus::MPP | mstatus::MPIE;
                let stack = if cause as u8 & 1 == 0 { stack } else { 0 };
                let before = rig.hart.state.mstatus | mstatus::SIE | mstatus::MIE | stack;
                rig.hart.state.mstatus = before;
                rig.hart.state.medeleg = if delegated { 1 << cause as u8 } else { 0 };
                rig.hart.deliver(Trap::new(cause, 0xabc));
                let s = &rig.hart.state;
                let here = (cause as u64, PC, 0xabc);
                if delegated && mode != Priv::M {
                    let spp = if mode == Priv::S { mstatus::SPP } else { 0 };
                    assert_eq!((s.scause, s.sepc, s.stval), here);
                    assert_eq!((s.pc, s.privilege), (STVEC, Priv::S));
                    let kept = before & !(mstatus::SIE | mstatus::SPP);
                    assert_eq!(s.mstatus, kept | mstatus::SPIE | spp);
                    assert_eq!((s.mcause, s.mepc, s.mtval), (0, 0, 0));
                } else {
                    assert_eq!((s.mcause, s.mepc, s.mtval), here);
                    assert_eq!((s.pc, s.privilege), (MTVEC, Priv::M));
                    let mpp = (mode as u64) << mstatus::MPP_SHIFT;
                    let kept = before & !(mstatus::MIE | mstatus::MPP);
                    assert_eq!(s.mstatus, kept | mstatus::MPIE | mpp);
                    assert_eq!((s.scause, s.sepc, s.stval), (0, 0, 0));
                }
                assert_eq!(rig.hart.mode.privilege, rig.hart.state.privilege);
                assert_eq!(rig.hart.trap_counts()[cause as usize], 1);
            }
        }
    }
}

#[test]
fn only_interrupts_are_vectored() {
    let mut rig = rig(Priv::U);
    (rig.hart.state.mtvec, rig.hart.state.stvec) = (MTVEC | 1, STVEC | 1);
    rig.hart.state.mideleg = mip::SEIP;
    rig.hart.take_interrupt(irq::SEI);
    assert_eq!(rig.hart.state.pc, STVEC + 4 * 9);
    assert_eq!(rig.hart.state.scause, INTERRUPT | 9);
    rig.hart.take_interrupt(irq::MTI);
    assert_eq!(rig.hart.state.pc, MTVEC + 4 * 7);
    assert_eq!(rig.hart.state.mepc, STVEC + 4 * 9);
    rig.hart.deliver(Trap::new(Cause::Breakpoint, 0));
    assert_eq!(rig.hart.state.pc, MTVEC);
    assert_eq!(
        (
            rig.hart.trap_counts()[32 + 9],
            rig.hart.trap_counts()[32 + 7]
        ),
        (1, 1)
    );
}

#[test]
fn an_illegal_instruction_shows_its_bits() {
    // Where it lies, its parcels, what tval gets.
    for (pc, parcels, tval) in [
        (PC, [0xfff1, 0xeeee], 0xfff1),
        (PC, [0xfff3, 0xeeee], 0xeeee_fff3),
        (PC + 0xffe, [0xfff3, 0xeeee], 0xeeee_fff3),
        (PC, [0, 0], 0),
    ] {
        let mut rig = rig(Priv::M);
        rig.hart.state.pc = pc;
        rig.hart
            .ram
            .store(pc, Size::B2, parcels[0])
            .expect("in RAM");
        rig.hart
            .ram
            .store(pc + 2, Size::B2, parcels[1])
            .expect("in RAM");
        rig.hart.deliver(Trap::ILLEGAL);
        assert_eq!(rig.hart.state.mtval, tval, "{pc:#x}");
    }
    let mut rig = rig(Priv::M);
    rig.hart.state.pc = 0x100;
    rig.hart.deliver(Trap::ILLEGAL);
    assert_eq!(rig.hart.state.mtval, 0, "it cannot be fetched");
}

#[test]
fn mret_restores_what_the_trap_saved() {
    for to in [Priv::U, Priv::S, Priv::M] {
        for mpie in [0, mstatus::MPIE] {
            let mut rig = rig(Priv::M);
            rig.hart.state.mepc = 0x4000;
            let mpp = (to as u64) << mstatus::MPP_SHIFT;
            rig.hart.state.mstatus |= mpp | mpie | mstatus::MPRV | mstatus::SIE;
            assert_eq!(rig.hart.mret(), Ok(0x4000));
            let mie = if mpie != 0 { mstatus::MIE } else { 0 };
            let mprv = if to == Priv::M { mstatus::MPRV } else { 0 };
            let expected = mstatus::RESET | mie | mprv | mstatus::MPIE | mstatus::SIE;
            assert_eq!(rig.hart.state.mstatus, expected, "to {to:?}");
            assert_eq!(
                (rig.hart.state.privilege, rig.hart.mode.privilege),
                (to, to)
            );
        }
    }
    for mode in [Priv::U, Priv::S] {
        assert_eq!(rig(mode).hart.mret(), Err(Trap::ILLEGAL));
    }
}

#[test]
fn sret_restores_what_the_trap_saved() {
    for (from, status, to) in [
        (Priv::S, mstatus::SPP | mstatus::SPIE, Some(Priv::S)),
        (Priv::S, 0, Some(Priv::U)),
        (Priv::M, mstatus::SPP | mstatus::MPRV, Some(Priv::S)),
        (Priv::M, mstatus::TSR, Some(Priv::U)),
        (Priv::S, mstatus::TSR, None),
        (Priv::U, 0, None),
    ] {
        let mut rig = rig(from);
        rig.hart.state.sepc = 0x4002;
        rig.hart.state.mstatus |= status | mstatus::SIE;
        let before = rig.hart.state.clone();
        let Some(to) = to else {
            assert_eq!(rig.hart.sret(), Err(Trap::ILLEGAL));
            assert_eq!(rig.hart.state, before);
            continue;
        };
        assert_eq!(rig.hart.sret(), Ok(0x4002));
        assert_eq!(rig.hart.state.privilege, to);
        let sie = if status & mstatus::SPIE != 0 {
            mstatus::SIE
        } else {
            0
        };
        let tsr = status & mstatus::TSR;
        assert_eq!(
            rig.hart.state.mstatus,
            mstatus::RESET | sie | mstatus::SPIE | tsr
        );
    }
}

#[test]
fn interrupts_come_by_priority_and_destination() {
    let order = [irq::MEI, irq::MSI, irq::MTI, irq::SEI, irq::SSI, irq::STI];
    for delegated in [0, mip::SUPERVISOR] {
        let mut rig = rig(Priv::U);
        (rig.hart.state.mie, rig.hart.state.mideleg) = (mip::ALL, delegated);
        rig.hart.lines.change(mip::ALL, 0);
        for expected in order {
            assert_eq!(rig.hart.pending_interrupt(), Some(expected));
            rig.hart.lines.change(0, 1 << expected);
        }
        assert_eq!(rig.hart.pending_interrupt(), None);
    }
}

/// Mode, mstatus, mideleg, pending, mie, taken.
type Interrupted = (Priv, u64, u64, u64, u64, Option<u32>);

#[test]
fn modes_and_enables_decide_who_is_interrupted() {
    let cases: &[Interrupted] = &[
        (Priv::M, 0, 0, mip::MTIP, mip::MTIP, None),
        (
            Priv::M,
            mstatus::MIE,
            0,
            mip::MTIP,
            mip::MTIP,
            Some(irq::MTI),
        ),
        (Priv::M, mstatus::MIE, 0, mip::MTIP, mip::MEIP, None),
        (Priv::S, 0, 0, mip::MTIP, mip::MTIP, Some(irq::MTI)),
        (Priv::S, 0, 0, mip::STIP, mip::STIP, Some(irq::STI)),
        (
            Priv::M,
            mstatus::MIE | mstatus::SIE,
            mip::STIP,
            mip::STIP,
            mip::STIP,
            None,
        ),
        (Priv::S, mstatus::MIE, mip::STIP, mip::STIP, mip::STIP, None),
        (
            Priv::S,
            mstatus::SIE,
            mip::STIP,
            mip::STIP,
            mip::STIP,
            Some(irq::STI),
        ),
        (Priv::U, 0, mip::STIP, mip::STIP, mip::STIP, Some(irq::STI)),
        // One for M mode comes before any that is delegated.
        (
            Priv::U,
            0,
            mip::SEIP,
            mip::SEIP | mip::STIP,
            mip::ALL,
            Some(irq::STI),
        ),
        (
            Priv::S,
            0,
            mip::SEIP,
            mip::SEIP | mip::MSIP,
            mip::ALL,
            Some(irq::MSI),
        ),
        (
            Priv::S,
            mstatus::SIE,
            mip::SUPERVISOR,
            crate::SEIP_SOFTWARE,
            mip::ALL,
            Some(irq::SEI),
        ),
    ];
    for (at, (mode, status, mideleg, pending, mie, taken)) in cases.iter().enumerate() {
        let mut rig = rig(*mode);
        rig.hart.state.mstatus |= status;
        (rig.hart.state.mideleg, rig.hart.state.mie) = (*mideleg, *mie);
        rig.hart.lines.change(*pending, 0);
        assert_eq!(rig.hart.pending_interrupt(), *taken, "case {at}");
        rig.requests();
        rig.hart.sync_mode();
        assert_eq!(
            rig.requests().contains(Requests::INTERRUPT),
            taken.is_some(),
            "case {at}"
        );
    }
}

#[test]
fn a_return_to_a_mode_that_can_be_interrupted_asks_for_attention() {
    let mut rig = rig(Priv::M);
    (rig.hart.state.mie, rig.hart.state.mideleg) = (mip::SSIP, mip::SSIP);
    rig.hart.lines.change(mip::SSIP, 0);
    rig.requests();
    rig.hart.mret().expect("in M mode");
    assert_eq!(rig.requests(), Requests::INTERRUPT);
    rig.hart.serve_attention();
    assert_eq!(
        (rig.hart.state.pc, rig.hart.state.scause),
        (STVEC, INTERRUPT | 1)
    );
}

/// Mode, mstatus, pending, mie; illegal, or the exit asked for.
type Waiting = (Priv, u64, u64, u64, Result<Option<Exit>, Trap>);

#[test]
fn waiting_ends_with_what_mie_enables() {
    let wait = Some(Exit::Wait { spurious_ok: false });
    let cases: &[Waiting] = &[
        (Priv::M, 0, 0, mip::ALL, Ok(wait)),
        (Priv::M, 0, mip::MTIP, mip::MEIP, Ok(wait)),
        (Priv::M, mstatus::TW, mip::MTIP, mip::MTIP, Ok(None)),
        (Priv::S, 0, mip::STIP, mip::STIP, Ok(None)),
        (Priv::S, 0, 0, mip::STIP, Ok(wait)),
        (Priv::S, mstatus::TW, 0, 0, Err(Trap::ILLEGAL)),
        (Priv::U, 0, 0, 0, Err(Trap::ILLEGAL)),
    ];
    for (at, (mode, status, pending, mie, expected)) in cases.iter().enumerate() {
        let mut rig = rig(*mode);
        rig.hart.state.mstatus |= status;
        rig.hart.state.mie = *mie;
        rig.hart.lines.change(*pending, 0);
        let found = rig.hart.wait_for_interrupt().map(|()| rig.hart.take_exit());
        assert_eq!(found, *expected, "case {at}");
    }
}

#[test]
fn a_timer_that_is_due_ends_the_wait() {
    let mut rig = rig(Priv::S);
    rig.hart.state.menvcfg = envcfg::STCE;
    rig.hart.state.mie = mip::STIP;
    rig.hart.set_stimecmp(10);
    assert_eq!(rig.deadline(), Some(10));
    rig.set_time(10);
    assert_eq!(rig.hart.wait_for_interrupt(), Ok(()));
    assert_eq!(rig.hart.take_exit(), None);
}

#[test]
fn tval_of_a_straddling_instruction_needs_both_pages() {
    let mut rig = rig(Priv::S);
    let va = 0x1ffe;
    rig.hart.state.satp = satp::SV39 << satp::MODE_SHIFT | BASE >> 12;
    rig.hart.refresh();
    let bits = pte::V | pte::X | pte::A;
    rig.map(3, 0x1000, 0, leaf(PC, bits));
    rig.hart
        .ram
        .store(PC + 0xffe, Size::B2, 0xffff)
        .expect("in RAM");
    for (second, tval) in [(false, 0), (true, 0x1234_ffff)] {
        if second {
            rig.map(3, 0x2000, 0, leaf(PC + 0x2000, bits));
            rig.hart
                .ram
                .store(PC + 0x2000, Size::B2, 0x1234)
                .expect("in RAM");
            rig.hart.sfence_vma(None, None);
        }
        (rig.hart.state.pc, rig.hart.state.privilege) = (va, Priv::S);
        rig.hart.sync_mode();
        rig.hart.deliver(Trap::ILLEGAL);
        assert_eq!(rig.hart.state.mtval, tval);
    }
}
