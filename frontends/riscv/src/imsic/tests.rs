//! Interrupt files by the sentences of the Advanced Interrupt Architecture 1.0.

use super::*;
use crate::csr::{CsrOp, CsrWrite, csr_number, mstatus};
use crate::lines::irq;
use crate::state::Priv;
use crate::testing::Rig;
use crate::trap::Trap;
use isoform_core::Saved;

fn access(rig: &mut Rig, name: &str, op: CsrOp, value: u64) -> Result<u64, Trap> {
    let number = csr_number(name).expect("a CSR");
    rig.hart
        .csr_access(number, Some(CsrWrite { op, value }), true)
}

fn read(rig: &mut Rig, name: &str) -> u64 {
    let number = csr_number(name).expect("a CSR");
    rig.hart.csr_access(number, None, true).expect("readable")
}

fn write(rig: &mut Rig, name: &str, value: u64) {
    access(rig, name, CsrOp::Swap, value).expect("writable");
}

/// Writes a register of S mode's file.
fn set(rig: &mut Rig, select: u64, value: u64) {
    write(rig, "siselect", select);
    write(rig, "sireg", value);
}

fn get(rig: &mut Rig, select: u64) -> u64 {
    write(rig, "siselect", select);
    read(rig, "sireg")
}

/// In S mode, everything delegated, delivery on, all identities enabled.
fn listening() -> (Rig, FileSink) {
    let mut rig = Rig::with_imsic();
    rig.hart.state.mideleg = mip::SUPERVISOR;
    rig.hart.state.mie = mip::ALL;
    rig.enter(Priv::S);
    set(&mut rig, select::EIDELIVERY, 1);
    for register in select::EIE.step_by(2) {
        set(&mut rig, register, !0);
    }
    let sink = FileSink::new(rig.hart.lines.clone(), Level::Supervisor);
    (rig, sink)
}

#[test]
fn the_lowest_identity_counts_most_and_is_claimed() {
    let (mut rig, sink) = listening();
    for identity in [200, 63, 64, 0, 256, u32::MAX] {
        sink.set(identity, true);
        sink.set(identity, false);
    }
    assert_eq!(read(&mut rig, "sip") & mip::SEIP, mip::SEIP);
    assert_eq!(rig.hart.pending_interrupt(), None, "sstatus.SIE is off");
    rig.hart.state.mstatus |= mstatus::SIE;
    assert_eq!(rig.hart.pending_interrupt(), Some(irq::SEI));
    assert_eq!(read(&mut rig, "stopi"), 9 << 16 | 1);
    for identity in [63, 64, 200] {
        assert_eq!(read(&mut rig, "stopei"), identity << 16 | identity);
        let claimed = access(&mut rig, "stopei", CsrOp::Swap, 0);
        assert_eq!(claimed, Ok(identity << 16 | identity));
    }
    assert_eq!(access(&mut rig, "stopei", CsrOp::Swap, 0), Ok(0));
    assert_eq!(read(&mut rig, "sip") & mip::SEIP, 0);
    assert_eq!(read(&mut rig, "stopi"), 0);
}

/// The write alone claims as well, and what it writes does not count.
#[test]
fn a_claim_without_a_read_claims_the_top() {
    let (mut rig, sink) = listening();
    sink.set(7, true);
    sink.set(9, true);
    let write = CsrWrite {
        op: CsrOp::Swap,
        value: 9 << 16,
    };
    let number = csr_number("stopei").expect("a CSR");
    assert_eq!(rig.hart.csr_access(number, Some(write), false), Ok(0));
    assert_eq!(get(&mut rig, 0x80), 1 << 9);
}

#[test]
fn delivery_threshold_and_enables_decide_on_the_signal() {
    let (mut rig, sink) = listening();
    sink.set(100, true);
    let signal = |rig: &mut Rig| read(rig, "sip") & mip::SEIP != 0;
    assert!(signal(&mut rig));
    set(&mut rig, select::EIDELIVERY, 0);
    assert!(!signal(&mut rig));
    assert_eq!(
        read(&mut rig, "stopei") >> 16,
        100,
        "delivery has no say in it"
    );
    set(&mut rig, select::EIDELIVERY, 0x4000_0000);
    assert_eq!(get(&mut rig, select::EIDELIVERY), 0);
    set(&mut rig, select::EIDELIVERY, 1);
    for (threshold, on) in [(100, false), (101, true), (0, true), (1, false)] {
        set(&mut rig, select::EITHRESHOLD, threshold);
        assert_eq!(signal(&mut rig), on, "{threshold}");
    }
    set(&mut rig, select::EITHRESHOLD, 0);
    write(&mut rig, "siselect", 0xc2);
    access(&mut rig, "sireg", CsrOp::Clear, 1 << 36).expect("an enable");
    assert!(!signal(&mut rig));
    access(&mut rig, "sireg", CsrOp::Set, 1 << 36).expect("an enable");
    assert!(signal(&mut rig));
    set(&mut rig, 0x82, 0);
    assert!(!signal(&mut rig), "no longer pending");
}

#[test]
fn there_is_no_identity_zero_and_none_above_the_last() {
    let (mut rig, _) = listening();
    set(&mut rig, 0x80, !0);
    assert_eq!(get(&mut rig, 0x80), !1);
    assert_eq!(get(&mut rig, 0xc0), !1);
    for beyond in [0x88, 0xbe, 0xc8, 0xfe, 0x71, 0x73, 0x30, 0x3e] {
        set(&mut rig, beyond, !0);
        assert_eq!(get(&mut rig, beyond), 0, "{beyond:#x}");
    }
}

#[test]
fn odd_registers_and_unknown_selections_are_illegal() {
    let (mut rig, _) = listening();
    for select in [0, 0x2f, 0x31, 0x3f, 0x40, 0x6f, 0x81, 0xbf, 0xc1, 0xff] {
        write(&mut rig, "siselect", select);
        let found = access(&mut rig, "sireg", CsrOp::Set, 0);
        assert_eq!(found, Err(Trap::ILLEGAL), "{select:#x}");
    }
}

/// The levels have a file each, and neither shows in the other.
#[test]
fn machine_mode_has_its_own_file() {
    let mut rig = Rig::with_imsic();
    let sink = FileSink::new(rig.hart.lines.clone(), Level::Machine);
    rig.hart.state.mie = mip::ALL;
    write(&mut rig, "miselect", select::EIDELIVERY);
    write(&mut rig, "mireg", 1);
    write(&mut rig, "miselect", 0xc0);
    write(&mut rig, "mireg", 1 << 5);
    sink.set(5, true);
    assert_eq!(read(&mut rig, "mip"), mip::MEIP);
    assert_eq!(read(&mut rig, "mtopi"), 11 << 16 | 1);
    assert_eq!(read(&mut rig, "stopi"), 0);
    assert_eq!(access(&mut rig, "mtopei", CsrOp::Swap, 0), Ok(5 << 16 | 5));
    assert_eq!(read(&mut rig, "mip"), 0);
}

#[test]
fn mvip_shows_what_software_alone_sets() {
    let (mut rig, sink) = listening();
    rig.enter(Priv::M);
    sink.set(1, true);
    assert_eq!(read(&mut rig, "mip"), mip::SEIP);
    assert_eq!(read(&mut rig, "mvip"), 0);
    write(&mut rig, "mvip", !0);
    assert_eq!(read(&mut rig, "mvip"), mip::SUPERVISOR);
    rig.hart.lines.claim_external(Level::Supervisor, 1 << 16);
    assert_eq!(read(&mut rig, "mip") & mip::SEIP, mip::SEIP);
    write(&mut rig, "mvip", 0);
    assert_eq!(read(&mut rig, "mip"), 0);
    assert_eq!(access(&mut rig, "mvien", CsrOp::Swap, !0), Ok(0));
    assert_eq!(read(&mut rig, "mvien"), 0);
}

#[test]
fn files_are_saved_and_cleared_by_a_reset() {
    let (rig, sink) = listening();
    sink.set(42, true);
    let saved = rig.hart.save_bytes();
    let mut other = Rig::with_imsic();
    other.hart.restore_bytes(&saved).expect("what was saved");
    assert_eq!(read(&mut other, "stopei") >> 16, 42);
    assert_eq!(read(&mut other, "sip") & mip::SEIP, mip::SEIP);
    assert!(Rig::new().hart.restore_bytes(&saved).is_err());
    other.hart.reset(0);
    assert_eq!(other.hart.lines.pending(), 0);
    assert_eq!(read(&mut other, "stopei"), 0);
}
