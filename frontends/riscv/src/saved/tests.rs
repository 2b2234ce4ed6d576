//! Saved states: what goes in comes out, and nothing that no hart could be in.

use super::*;
use crate::csr::{CsrOp, CsrWrite, csr_name};
use crate::state::{PMP_ENTRIES, Reservation};
use crate::testing::{PC, Random, Rig};

/// Any bits at all, in every field.
fn wild(r: &mut Random) -> State {
    let words = |r: &mut Random| std::array::from_fn(|_| r.next());
    State {
        x: words(r),
        f: words(r),
        pc: r.next(),
        icount: r.next() >> 1,
        privilege: [Priv::U, Priv::S, Priv::M][r.below(3) as usize],
        fcsr: r.next() as u8,
        reservation: Reservation {
            valid: r.below(2) != 0,
            size: r.next() as u8 & 15,
            addr: r.next() & !3,
            value: r.next(),
        },
        mstatus: r.next(),
        medeleg: r.next(),
        mideleg: r.next(),
        mie: r.next(),
        mtvec: r.next(),
        mcounteren: r.next(),
        menvcfg: r.next(),
        mcountinhibit: r.next(),
        mscratch: r.next(),
        mepc: r.next(),
        mcause: r.next(),
        mtval: r.next(),
        mseccfg: r.next(),
        pmpcfg: std::array::from_fn::<u8, PMP_ENTRIES, _>(|_| r.next() as u8),
        pmpaddr: std::array::from_fn(|_| r.next()),
        stvec: r.next(),
        scounteren: r.next(),
        senvcfg: r.next(),
        sscratch: r.next(),
        sepc: r.next(),
        scause: r.next(),
        stval: r.next(),
        stimecmp: r.next(),
        satp: r.next(),
        mcycle_offset: r.next(),
        minstret_offset: r.next(),
        miselect: r.next(),
        siselect: r.next(),
    }
}

const CPUS: [&[&str]; 4] = [
    &[],
    &["f", "c", "zca"],
    &["sv39", "smepmp", "sstc"],
    &["zicbom", "zicboz", "svadu", "zihpm"],
];

#[test]
fn what_was_restored_is_what_is_saved() {
    let mut random = Random(1);
    for off in CPUS {
        for _ in 0..50 {
            let mut rig = Rig::with(off, false);
            let mut saved = rig.hart.state();
            (saved.state, saved.pending) = (wild(&mut random), random.next());
            rig.hart.set_state(saved).expect("of this hart");
            let (first, bytes) = (rig.hart.state(), rig.hart.save_bytes());
            // Time stands still, so not even STIP differs.
            let mut other = Rig::with(off, false);
            other.hart.restore_bytes(&bytes).expect("just written");
            assert_eq!(other.hart.state(), first);
            assert_eq!(other.hart.mode, rig.hart.mode);
            assert_eq!(other.hart.mode.privilege, first.state.privilege);
            assert_eq!(other.hart.pmp, crate::pmp::Rules::new(&first.state));
            assert_eq!(other.hart.save_bytes(), bytes);
        }
    }
}

#[test]
fn a_restored_state_is_one_that_the_registers_can_hold() {
    let mut random = Random(2);
    for off in CPUS {
        for _ in 0..50 {
            let mut rig = Rig::with(off, false);
            let mut saved = rig.hart.state();
            (saved.state, saved.pending) = (wild(&mut random), random.next());
            rig.hart.set_state(saved).expect("of this hart");
            assert_eq!(rig.hart.state.x[0], 0);
            assert!(Priv::from_bits(rig.hart.state.mstatus >> 11).is_some());
            // Writing to each register what it reads changes nothing.
            rig.hart.state.privilege = Priv::M;
            rig.hart.state.mcountinhibit = 5;
            rig.hart.refresh();
            let before = rig.hart.state();
            for number in 0..0x1000 {
                let Some(value) = rig.hart.peek_csr(number) else {
                    continue;
                };
                // Reads of addresses below the grain differ from what is stored, and
                // writing the float's registers marks them dirty.
                if matches!(number, 1..=3 | 0x3b0..=0x3bf) || number >> 10 == 3 {
                    continue;
                }
                let write = Some(CsrWrite {
                    op: CsrOp::Swap,
                    value,
                });
                rig.hart.csr_access(number, write, true).expect("in M mode");
                let mut after = rig.hart.state();
                // Writing `mip` makes the line's SEIP software's as well.
                after.pending = before.pending;
                assert_eq!(after, before, "{:?} {value:#x} {off:?}", csr_name(number));
            }
        }
    }
}

#[test]
fn another_hart_s_state_is_refused() {
    let rig = Rig::new();
    let good = rig.hart.state();
    let restore = |change: fn(&mut SavedHart)| {
        let (mut saved, mut rig) = (good.clone(), Rig::new());
        change(&mut saved);
        let found = rig.hart.set_state(saved);
        if found.is_err() {
            assert_eq!(rig.hart.state(), good, "an error changes nothing");
        }
        found
    };
    assert_eq!(restore(|_| ()), Ok(()));
    assert!(matches!(
        restore(|s| s.id = 1),
        Err(RestoreError::Mismatch { .. })
    ));
    assert!(matches!(
        restore(|s| s.extensions.truncate(3)),
        Err(RestoreError::Mismatch { .. })
    ));
    assert!(matches!(
        restore(|s| s.state.icount = u64::MAX),
        Err(RestoreError::Damaged { .. })
    ));
    let mut rig = Rig::new();
    let bytes = rig.hart.save_bytes();
    for cut in 0..bytes.len() {
        assert!(
            rig.hart.restore_bytes(&bytes[..cut]).is_err(),
            "cut at {cut}"
        );
    }
}

#[test]
fn firmware_keeps_its_timer_without_sstc() {
    for (firmware, kept) in [(true, crate::csr::envcfg::STCE), (false, 0)] {
        let mut rig = Rig::with(&["sstc"], firmware);
        let mut saved = rig.hart.state();
        saved.state.menvcfg = crate::csr::envcfg::STCE;
        rig.hart.set_state(saved).expect("of this hart");
        assert_eq!(rig.hart.state.menvcfg, kept);
    }
}

#[test]
fn a_supervisor_starts_as_firmware_leaves_it() {
    let mut rig = Rig::with(&[], true);
    rig.hart.state = wild(&mut Random(3));
    (rig.hart.state.icount, rig.hart.state.mcycle_offset) = (1000, 7);
    rig.hart.lines.change(u64::MAX, 0);
    rig.hart.setup_supervisor(PC, 3, 0x1234);
    let s = &rig.hart.state;
    assert_eq!(
        (s.pc, s.x[10], s.x[11], s.privilege),
        (PC, 3, 0x1234, Priv::S)
    );
    assert_eq!((s.satp, s.icount, s.mcycle_offset), (0, 1000, 7));
    assert_eq!(
        rig.hart.mip(),
        mip::MSIP | mip::MTIP | mip::SEIP | mip::MEIP,
        "lines stay"
    );
    assert_eq!(*s, sanitise(s.clone(), rig.hart.cpu.ext, true));
    for name in [
        "time",
        "cycle",
        "instret",
        "hpmcounter3",
        "stimecmp",
        "satp",
    ] {
        let number = crate::csr::csr_number(name).expect("known");
        assert!(rig.hart.csr_access(number, None, true).is_ok(), "{name}");
    }
    // A program reads the time without its kernel's help.
    rig.hart.state.privilege = Priv::U;
    for name in ["time", "cycle", "instret"] {
        let number = crate::csr::csr_number(name).expect("known");
        assert!(rig.hart.csr_access(number, None, true).is_ok(), "{name}");
    }
    rig.hart.state.privilege = Priv::S;
    let access = rig.hart.translate(PC, 8, crate::mmu::Access::Store);
    assert!(access.is_ok_and(|t| t.gpa == PC && t.read && t.write));

    // Told of Svadu alone, S mode does not ask for it.
    let mut rig = Rig::with(&["svade"], true);
    rig.hart.setup_supervisor(PC, 0, 0);
    assert_ne!(rig.hart.state.menvcfg & crate::csr::envcfg::ADUE, 0);
}

#[test]
fn reset_leaves_lines_of_devices_alone() {
    let mut rig = Rig::new();
    rig.hart.state = wild(&mut Random(4));
    rig.hart.lines.change(u64::MAX, 0);
    rig.hart.reset(0x1000);
    let mut expected = State::reset(0x1000);
    expected.menvcfg = crate::csr::envcfg::ADUE;
    assert_eq!(rig.hart.state, expected);
    assert_eq!(
        rig.hart.lines.pending() & mip::ALL,
        mip::ALL & !(mip::SSIP | mip::STIP)
    );
    assert_eq!(rig.hart.mode.privilege, Priv::M);
}
