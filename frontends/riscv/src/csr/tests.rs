//! CSRs from the outside: what reads back, what traps, what follows.

use super::*;
use crate::ext::Ext;
use crate::lines::SEIP_SOFTWARE;
use crate::testing::Rig;
use isoform_core::Requests;

fn number(name: &str) -> u16 {
    csr_number(name).unwrap_or_else(|| panic!("no CSR {name}"))
}

fn read(rig: &mut Rig, name: &str) -> u64 {
    rig.hart
        .csr_access(number(name), None, true)
        .unwrap_or_else(|t| panic!("{name}: {t:?}"))
}

fn access(rig: &mut Rig, name: &str, op: CsrOp, value: u64) -> Result<u64, Trap> {
    rig.hart
        .csr_access(number(name), Some(CsrWrite { op, value }), true)
}

fn write(rig: &mut Rig, name: &str, value: u64) {
    access(rig, name, CsrOp::Swap, value).unwrap_or_else(|t| panic!("{name}: {t:?}"));
}

/// Numbers and modes as the manual's tables list them, written down by hand.
const EXPECTED: &[(std::ops::RangeInclusive<u16>, Priv)] = &[
    (0x001..=0x003, Priv::U),
    (0xc00..=0xc1f, Priv::U),
    (0x100..=0x100, Priv::S),
    (0x104..=0x106, Priv::S),
    (0x10a..=0x10a, Priv::S),
    (0x140..=0x144, Priv::S),
    (0x14d..=0x14d, Priv::S),
    (0x180..=0x180, Priv::S),
    (0x300..=0x306, Priv::M),
    (0x30a..=0x30a, Priv::M),
    (0x320..=0x320, Priv::M),
    (0x323..=0x33f, Priv::M),
    (0x340..=0x344, Priv::M),
    (0x3a0..=0x3a0, Priv::M),
    (0x3a2..=0x3a2, Priv::M),
    (0x3b0..=0x3bf, Priv::M),
    (0x747..=0x747, Priv::M),
    (0xb00..=0xb00, Priv::M),
    (0xb02..=0xb1f, Priv::M),
    (0xf11..=0xf15, Priv::M),
];

/// What an IMSIC brings besides (AIA, tables 2 and 3).
const WITH_IMSIC: &[(std::ops::RangeInclusive<u16>, Priv)] = &[
    (0x150..=0x151, Priv::S),
    (0x15c..=0x15c, Priv::S),
    (0xdb0..=0xdb0, Priv::S),
    (0x308..=0x309, Priv::M),
    (0x350..=0x351, Priv::M),
    (0x35c..=0x35c, Priv::M),
    (0xfb0..=0xfb0, Priv::M),
];

#[test]
fn exactly_the_registers_of_the_manual_exist_for_exactly_their_modes() {
    let modes = [Priv::U, Priv::S, Priv::M];
    for (mode, imsic) in modes.into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let mut rig = if imsic { Rig::with_imsic() } else { Rig::new() };
        (rig.hart.state.siselect, rig.hart.state.miselect) = (0x70, 0x70);
        rig.hart.state.mstatus |= mstatus::FS_INITIAL;
        rig.hart.state.menvcfg = envcfg::STCE;
        rig.hart.state.mcounteren = 0xffff_ffff;
        rig.hart.state.scounteren = 0xffff_ffff;
        rig.enter(mode);
        for n in 0..0x1000 {
            let in_table = |table: &[(std::ops::RangeInclusive<u16>, Priv)]| {
                let line = table.iter().find(|(range, _)| range.contains(&n));
                line.map(|(_, lowest)| *lowest)
            };
            let (always, besides) = (in_table(EXPECTED), in_table(WITH_IMSIC));
            let lowest = always.or(besides.filter(|_| imsic));
            let expected = lowest.is_some_and(|lowest| mode >= lowest);
            let found = rig.hart.csr_access(n, None, true).is_ok();
            assert_eq!(found, expected, "reading {n:#x} in {mode:?}");
            let write = Some(CsrWrite {
                op: CsrOp::Set,
                value: 0,
            });
            let found = rig.hart.csr_access(n, write, true).is_ok();
            assert_eq!(
                found,
                expected && n >> 10 != 3,
                "writing {n:#x} in {mode:?}"
            );
            assert_eq!(csr_name(n).is_some(), always.or(besides).is_some());
            assert_eq!(csr_name(n).map(number).unwrap_or(n), n);
        }
    }
    assert_eq!(csr_name(0xc1f), Some("hpmcounter31"));
    assert_eq!(csr_name(0x323), Some("mhpmevent3"));
    assert_eq!(csr_number("mcause"), Some(0x342));
    assert_eq!(csr_number("vstart"), None);
    assert_eq!(csr_name(0xffff), None);
}

#[test]
fn what_an_absent_extension_brings_is_absent() {
    for (ext, names) in [
        ("f", &["fflags", "frm", "fcsr"][..]),
        ("sstc", &["stimecmp"]),
        ("smepmp", &["mseccfg"]),
        ("zihpm", &["hpmcounter3", "hpmcounter31"]),
    ] {
        let mut rig = Rig::with(&[ext], false);
        rig.hart.state.mstatus |= mstatus::FS_DIRTY;
        for name in names {
            assert!(
                rig.hart.csr_access(number(name), None, true).is_err(),
                "{name} without {ext}"
            );
            assert_eq!(rig.hart.peek_csr(number(name)), None);
        }
    }
}

#[test]
fn registers_hold_what_the_manual_lets_them() {
    const ONES: u64 = u64::MAX;
    let fixed = 0xa_0000_0000;
    // Switched off, register, written, read.
    let cases: &[(&[&str], &str, u64, u64)] = &[
        (&[], "mstatus", ONES, 1 << 63 | fixed | 0x7e_79aa),
        (&[], "mstatus", 0, fixed),
        (&["sv39"], "mstatus", ONES, 1 << 63 | fixed | 0x62_79aa),
        (&["f"], "mstatus", ONES, fixed | 0x7e_19aa),
        (&[], "mstatus", 2 << 11, fixed),
        (&[], "sstatus", ONES, 1 << 63 | 2 << 32 | 0xc_6122),
        (&[], "misa", 0, 2 << 62 | 0x14_112f),
        (&["c"], "misa", ONES, 2 << 62 | 0x14_112b),
        (&["zba", "d"], "misa", ONES, 2 << 62 | 0x14_1125),
        (&[], "medeleg", ONES, 0xb3ff),
        (&[], "mideleg", ONES, 0x222),
        (&[], "mie", ONES, 0xaaa),
        (&[], "mtvec", ONES, !2),
        (&[], "stvec", 0x1235, 0x1235),
        (&[], "mepc", ONES, !1),
        (&["c", "zca"], "sepc", ONES, !3),
        (&[], "mcause", ONES, ONES),
        (&[], "mcounteren", ONES, 0xffff_ffff),
        (&["zihpm"], "scounteren", ONES, 7),
        (&[], "mcountinhibit", ONES, 5),
        (&[], "menvcfg", ONES, 0xe000_0000_0000_00f1),
        (&[], "menvcfg", 0x20, 0),
        (&["svadu", "sstc"], "menvcfg", ONES, 0x4000_0000_0000_00f1),
        (
            &["svpbmt", "zicbom", "zicboz"],
            "menvcfg",
            ONES,
            0xa000_0000_0000_0001,
        ),
        (&[], "senvcfg", ONES, 0xf1),
        (&[], "mseccfg", ONES, 7),
        (
            &[],
            "satp",
            8 << 60 | 0xffff << 44 | 0x1234,
            8 << 60 | 0xffff << 44 | 0x1234,
        ),
        (&[], "satp", 10 << 60 | 5, 10 << 60 | 5),
        (&[], "satp", 0x1234, 0),
        (&[], "satp", 11 << 60 | 5, 0),
        (&["sv57"], "satp", 10 << 60 | 5, 0),
        (&["sv39"], "satp", 8 << 60 | 5, 0),
        (&[], "fcsr", ONES, 0xff),
        (&[], "frm", 0xfe, 6),
        (&[], "fflags", ONES, 0x1f),
        (&[], "mhpmevent3", ONES, 0),
        (&[], "mhpmcounter31", ONES, 0),
        (&[], "mscratch", ONES, ONES),
    ];
    for (off, name, written, expected) in cases {
        let mut rig = Rig::with(off, false);
        if *name == "fcsr" || *name == "frm" || *name == "fflags" {
            write(&mut rig, "mstatus", mstatus::FS_CLEAN);
        }
        write(&mut rig, name, *written);
        assert_eq!(
            read(&mut rig, name),
            *expected,
            "{name} without {off:?}: {:#x}",
            read(&mut rig, name)
        );
    }
}

#[test]
fn fields_that_cannot_take_a_value_keep_theirs() {
    let mut rig = Rig::new();
    write(&mut rig, "mstatus", 3 << 11);
    write(&mut rig, "mstatus", 2 << 11);
    assert_eq!(read(&mut rig, "mstatus") >> 11 & 3, 3, "MPP");
    write(&mut rig, "menvcfg", 0x10);
    write(&mut rig, "menvcfg", 0x20);
    assert_eq!(read(&mut rig, "menvcfg"), 0x10, "CBIE");
    write(&mut rig, "satp", 9 << 60 | 7);
    write(&mut rig, "satp", 1 << 60);
    assert_eq!(read(&mut rig, "satp"), 9 << 60 | 7);
}

#[test]
fn the_three_operations_read_the_old_value_and_write_the_new() {
    for (op, expected) in [
        (CsrOp::Swap, 0b0011),
        (CsrOp::Set, 0b0111),
        (CsrOp::Clear, 0b0100),
    ] {
        let mut rig = Rig::new();
        rig.hart.state.mscratch = 0b0101;
        assert_eq!(access(&mut rig, "mscratch", op, 0b0011), Ok(0b0101));
        assert_eq!(rig.hart.state.mscratch, expected, "{op:?}");
        rig.hart.state.mscratch = 0b0101;
        let write = Some(CsrWrite { op, value: 0b0011 });
        let unread = rig.hart.csr_access(number("mscratch"), write, false);
        assert_eq!(unread, Ok(0));
        assert_eq!(rig.hart.state.mscratch, expected, "{op:?}, not read");
    }
    for (reads, writes) in [(false, true), (true, false), (true, true)] {
        for op in [CsrOp::Swap, CsrOp::Set, CsrOp::Clear] {
            assert_eq!(CsrOp::decode(op.encode(reads, writes)), (op, reads, writes));
        }
    }
}

#[test]
fn guards_hold() {
    type Setup = fn(&mut Rig);
    // Mode, what is set before, register, whether it may be accessed.
    let cases: &[(Priv, Setup, &str, bool)] = &[
        (Priv::M, |_| (), "fcsr", false),
        (
            Priv::U,
            |r| r.hart.state.mstatus |= mstatus::FS_INITIAL,
            "frm",
            true,
        ),
        (Priv::M, |_| (), "cycle", true),
        (Priv::S, |_| (), "cycle", false),
        (Priv::S, |r| r.hart.state.mcounteren = 1, "cycle", true),
        (Priv::S, |r| r.hart.state.mcounteren = 1, "time", false),
        (Priv::U, |r| r.hart.state.mcounteren = 4, "instret", false),
        (Priv::U, |r| r.hart.state.scounteren = 4, "instret", false),
        (
            Priv::U,
            |r| (r.hart.state.mcounteren, r.hart.state.scounteren) = (4, 4),
            "instret",
            true,
        ),
        (
            Priv::S,
            |r| r.hart.state.mcounteren = 1 << 31,
            "hpmcounter31",
            true,
        ),
        (
            Priv::S,
            |r| r.hart.state.mcounteren = 1 << 31,
            "hpmcounter30",
            false,
        ),
        (Priv::S, |_| (), "satp", true),
        (
            Priv::S,
            |r| r.hart.state.mstatus |= mstatus::TVM,
            "satp",
            false,
        ),
        (
            Priv::M,
            |r| r.hart.state.mstatus |= mstatus::TVM,
            "satp",
            true,
        ),
        (Priv::M, |_| (), "stimecmp", true),
        (
            Priv::S,
            |r| r.hart.state.menvcfg = envcfg::STCE,
            "stimecmp",
            false,
        ),
        (Priv::S, |r| r.hart.state.mcounteren = 2, "stimecmp", false),
        (
            Priv::S,
            |r| (r.hart.state.menvcfg, r.hart.state.mcounteren) = (envcfg::STCE, 2),
            "stimecmp",
            true,
        ),
    ];
    for (at, (mode, setup, name, expected)) in cases.iter().enumerate() {
        let mut rig = Rig::new();
        setup(&mut rig);
        rig.enter(*mode);
        let found = rig.hart.csr_access(number(name), None, true);
        assert_eq!(found.is_ok(), *expected, "case {at}: {name} in {mode:?}");
        if !expected {
            assert_eq!(found, Err(Trap::ILLEGAL));
        }
    }
}

#[test]
fn floating_point_registers_become_dirty_by_writes_only() {
    let mut rig = Rig::new();
    write(&mut rig, "mstatus", mstatus::FS_INITIAL);
    assert!(!rig.hart.mode.fp_off);
    read(&mut rig, "fcsr");
    assert_eq!(
        read(&mut rig, "mstatus") & (mstatus::FS | mstatus::SD),
        mstatus::FS_INITIAL
    );
    write(&mut rig, "frm", 1);
    let dirty = mstatus::FS_DIRTY | mstatus::SD;
    assert_eq!(
        read(&mut rig, "mstatus") & (mstatus::FS | mstatus::SD),
        dirty
    );
    assert_eq!(
        read(&mut rig, "sstatus") & (mstatus::FS | mstatus::SD),
        dirty
    );
    write(&mut rig, "mstatus", mstatus::FS_CLEAN);
    assert_eq!(
        read(&mut rig, "sstatus") & (mstatus::FS | mstatus::SD),
        mstatus::FS_CLEAN
    );
    write(&mut rig, "mstatus", 0);
    assert!(rig.hart.mode.fp_off);
    assert_eq!(rig.hart.state.fcsr, 1 << 5);
}

#[test]
fn supervisor_registers_show_part_of_the_machine_s() {
    let mut rig = Rig::new();
    write(
        &mut rig,
        "mstatus",
        mstatus::MIE | mstatus::MPP | mstatus::TW,
    );
    write(&mut rig, "sstatus", u64::MAX);
    let kept = mstatus::MIE | mstatus::MPP | mstatus::TW;
    assert_eq!(rig.hart.state.mstatus & (kept | mstatus::MPRV), kept);
    write(&mut rig, "sstatus", 0);
    assert_eq!(rig.hart.state.mstatus, mstatus::RESET | kept);

    write(&mut rig, "mie", mip::MEIP | mip::STIP);
    assert_eq!(read(&mut rig, "sie"), 0);
    write(&mut rig, "mideleg", mip::SSIP | mip::STIP);
    assert_eq!(read(&mut rig, "sie"), mip::STIP);
    write(&mut rig, "sie", u64::MAX);
    assert_eq!(read(&mut rig, "mie"), mip::MEIP | mip::STIP | mip::SSIP);
    write(&mut rig, "sie", 0);
    assert_eq!(read(&mut rig, "mie"), mip::MEIP);
}

#[test]
fn pending_bits_are_software_s_or_the_lines() {
    let mut rig = Rig::new();
    write(&mut rig, "mip", u64::MAX);
    assert_eq!(read(&mut rig, "mip"), mip::SUPERVISOR, "M's are read-only");
    write(&mut rig, "mip", 0);
    assert_eq!(read(&mut rig, "mip"), 0);

    // The line reads as SEIP, and does not become software's bit (Priv. 3.1.9).
    rig.hart.lines.change(mip::SEIP | mip::MTIP, 0);
    assert_eq!(
        access(&mut rig, "mip", CsrOp::Set, mip::SSIP),
        Ok(mip::SEIP | mip::MTIP)
    );
    assert_eq!(rig.hart.lines.pending() & SEIP_SOFTWARE, 0);
    write(&mut rig, "mip", mip::SEIP);
    rig.hart.lines.change(0, mip::SEIP | mip::MTIP);
    assert_eq!(read(&mut rig, "mip"), mip::SEIP);
    assert_eq!(
        access(&mut rig, "mip", CsrOp::Clear, mip::SEIP),
        Ok(mip::SEIP)
    );
    assert_eq!(read(&mut rig, "mip"), 0);

    rig.hart.lines.change(mip::SUPERVISOR, 0);
    assert_eq!(read(&mut rig, "sip"), 0, "nothing is delegated");
    write(&mut rig, "sip", 0);
    assert_eq!(read(&mut rig, "mip"), mip::SUPERVISOR);
    write(&mut rig, "mideleg", mip::SUPERVISOR);
    write(&mut rig, "sip", 0);
    assert_eq!(read(&mut rig, "sip"), mip::STIP | mip::SEIP);
}

#[test]
fn stip_follows_stimecmp_where_enabled() {
    let mut rig = Rig::new();
    rig.set_time(1000);
    write(&mut rig, "stimecmp", 5);
    assert_eq!(
        (read(&mut rig, "mip"), rig.deadline()),
        (0, None),
        "STCE is off"
    );
    write(&mut rig, "menvcfg", envcfg::STCE);
    assert_eq!((read(&mut rig, "mip"), rig.deadline()), (mip::STIP, None));
    write(&mut rig, "stimecmp", 1500);
    assert_eq!((read(&mut rig, "mip"), rig.deadline()), (0, Some(1500)));
    write(&mut rig, "mip", mip::STIP);
    assert_eq!(read(&mut rig, "mip"), 0, "STIP is read-only");
    rig.set_time(1500);
    assert_eq!(read(&mut rig, "mip"), mip::STIP, "what reads is never late");
    rig.hart.update_timer();
    assert_eq!(rig.hart.lines.pending(), mip::STIP);
    write(&mut rig, "stimecmp", u64::MAX);
    assert_eq!((rig.hart.lines.pending(), rig.deadline()), (0, None));
    write(&mut rig, "stimecmp", 1600);
    write(&mut rig, "menvcfg", 0);
    assert_eq!((read(&mut rig, "mip"), rig.deadline()), (0, None));
    write(&mut rig, "mip", mip::STIP);
    assert_eq!(read(&mut rig, "mip"), mip::STIP, "STIP is software's again");
    assert_eq!(read(&mut rig, "time"), 1500);
}

#[test]
fn counters_count_instructions_and_take_writes_after_their_instruction() {
    for (counter, inhibit) in [("mcycle", counters::CY), ("minstret", counters::IR)] {
        let mut rig = Rig::new();
        let step = |rig: &mut Rig| rig.hart.state.icount += 1;
        rig.hart.state.icount = 100;
        assert_eq!(read(&mut rig, counter), 100);
        write(&mut rig, counter, 7);
        step(&mut rig);
        assert_eq!(
            read(&mut rig, counter),
            7,
            "{counter}: the next instruction reads what was written"
        );
        step(&mut rig);
        assert_eq!(read(&mut rig, &counter[1..]), 8);
        // This instruction still counts, later ones do not.
        write(&mut rig, "mcountinhibit", inhibit);
        step(&mut rig);
        assert_eq!(read(&mut rig, counter), 9);
        step(&mut rig);
        assert_eq!(read(&mut rig, counter), 9);
        write(&mut rig, counter, 50);
        step(&mut rig);
        assert_eq!(read(&mut rig, counter), 50);
        write(&mut rig, "mcountinhibit", 0);
        step(&mut rig);
        assert_eq!(read(&mut rig, counter), 50);
        step(&mut rig);
        assert_eq!(read(&mut rig, counter), 51);
    }
}

#[test]
fn a_trapping_instruction_retires_nothing() {
    let mut rig = Rig::new();
    rig.hart.state.icount = 10;
    rig.hart
        .deliver_trap(Trap::new(crate::trap::Cause::Breakpoint, 0));
    rig.hart.state.icount += 1;
    assert_eq!(
        (read(&mut rig, "minstret"), read(&mut rig, "mcycle")),
        (10, 11)
    );
    write(&mut rig, "mcountinhibit", counters::IR);
    rig.hart.state.icount += 1;
    rig.hart
        .deliver_trap(Trap::new(crate::trap::Cause::Breakpoint, 0));
    rig.hart.state.icount += 1;
    assert_eq!(read(&mut rig, "minstret"), 11);
}

#[test]
fn enabling_a_pending_interrupt_asks_for_attention() {
    let mut rig = Rig::new();
    write(&mut rig, "mip", mip::SSIP);
    rig.requests();
    write(&mut rig, "mie", mip::SSIP);
    assert_eq!(rig.requests(), Requests::empty());
    write(&mut rig, "mstatus", mstatus::MIE);
    assert_eq!(rig.requests(), Requests::INTERRUPT);
    write(&mut rig, "mideleg", mip::SSIP);
    assert_eq!(
        rig.requests(),
        Requests::empty(),
        "M mode is not interrupted for S mode"
    );
}

#[test]
fn quiet_accesses_end_no_unit() {
    for name in [
        "mstatus", "sstatus", "satp", "mie", "sip", "menvcfg", "pmpaddr3", "mseccfg", "stimecmp",
        "senvcfg",
    ] {
        assert!(!csr_is_quiet(number(name), true), "{name}");
        assert!(csr_is_quiet(number(name), false), "{name}");
    }
    for name in ["fcsr", "sscratch", "minstret", "mepc"] {
        assert!(csr_is_quiet(number(name), true), "{name}");
    }
}

#[test]
fn smepmp_bits_stick() {
    let mut rig = Rig::new();
    write(&mut rig, "mseccfg", mseccfg::RLB);
    write(&mut rig, "pmpcfg0", u64::from(crate::pmp::L));
    write(&mut rig, "mseccfg", mseccfg::RLB | mseccfg::MMWP);
    assert_eq!(read(&mut rig, "mseccfg"), mseccfg::RLB | mseccfg::MMWP);
    write(&mut rig, "mseccfg", mseccfg::MML);
    assert_eq!(read(&mut rig, "mseccfg"), mseccfg::MML | mseccfg::MMWP);
    write(&mut rig, "mseccfg", mseccfg::RLB);
    assert_eq!(
        read(&mut rig, "mseccfg"),
        mseccfg::MML | mseccfg::MMWP,
        "a rule is locked"
    );
    assert!(rig.hart.cpu.ext.has(Ext::Smepmp));
}
