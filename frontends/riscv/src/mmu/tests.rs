//! Page walks on tables made by hand.

use super::pte::{A, D, N, R, U, V, W, X};
use super::*;
use crate::testing::{BASE, Rig, SIZE, leaf, pointer};

/// A page of RAM that tables do not use.
const PAGE_AT: u64 = BASE + 0x20_0000;
const PBMT_BAD: u64 = 3 << 61;
const ALL: u64 = V | R | W | X | A | D;

const SCHEMES: [(u64, u32); 3] = [(satp::SV39, 3), (satp::SV48, 4), (satp::SV57, 5)];
const ACCESSES: [Access; 3] = [Access::Fetch, Access::Load, Access::Store];

/// In a mode, with the root table in the first page of RAM.
fn rig(mode: u64, privilege: Priv) -> Rig {
    rig_without(&[], mode, privilege)
}

fn rig_without(off: &[&str], mode: u64, privilege: Priv) -> Rig {
    let mut rig = Rig::with(off, false);
    rig.hart.state.satp = mode << satp::MODE_SHIFT | BASE >> 12;
    rig.enter(privilege);
    rig
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Ok,
    Page,
    Access,
}
use Seen::{Access as Denied, Ok as Fine, Page as Faults};

/// The outcome of an access, having checked that a fault is of its kind and names the
/// address.
fn see(rig: &mut Rig, va: u64, access: Access) -> Seen {
    match rig.hart.translate(va, 1, access) {
        Ok(_) => Fine,
        Err(trap) if trap == access.page_fault(va) => Faults,
        Err(trap) if trap == access.access_fault(va) => Denied,
        Err(trap) => panic!("{access:?} of {va:#x}: {trap:?}"),
    }
}

#[test]
fn every_scheme_maps_pages_of_every_level() {
    for (mode, levels) in SCHEMES {
        for level in 0..levels {
            let mut rig = rig(mode, Priv::S);
            let log_size = 12 + 9 * level;
            // The highest address of each half, so that all index bits matter.
            for top in [(1u64 << (11 + 9 * levels)) - 1, u64::MAX] {
                let va = top - 0x987;
                let gpa = if level == 0 { PAGE_AT } else { 0 };
                rig.map(levels, va, level, leaf(gpa, ALL));
                let inside = va & ((1 << log_size) - 1);
                let expected = Translation {
                    gpa: gpa + inside,
                    log_size: log_size as u8,
                    read: true,
                    write: true,
                };
                assert_eq!(rig.hart.debug_translate(va), Some(expected.gpa));
                for access in ACCESSES {
                    assert_eq!(
                        rig.hart.translate(va, 1, access),
                        Ok(expected),
                        "{mode} {level}"
                    );
                }
            }
        }
    }
}

#[test]
fn addresses_must_be_sign_extended() {
    for (mode, levels) in SCHEMES {
        let mut rig = rig(mode, Priv::U);
        let top = 1u64 << (11 + 9 * levels);
        for va in [top, u64::MAX - top, 1 << 63, u64::MAX >> 1] {
            for access in ACCESSES {
                assert_eq!(see(&mut rig, va, access), Faults, "{va:#x} in mode {mode}");
            }
            assert_eq!(rig.hart.debug_translate(va), None);
        }
    }
}

#[test]
fn entries_that_are_no_translation_fault() {
    // The level, the entry, what switches it; always a page fault.
    let cases: &[(u32, u64, &str)] = &[
        (0, 0, "not valid"),
        (0, leaf(PAGE_AT, ALL & !V), "not valid, though all else is"),
        (0, leaf(PAGE_AT, V | W | A | D), "writable, not readable"),
        (
            0,
            leaf(PAGE_AT, V | W | X | A | D),
            "writable and executable, not readable",
        ),
        (0, pointer(PAGE_AT), "a pointer at the last level"),
        (
            1,
            leaf(PAGE_AT + 0x1000, ALL),
            "a superpage that is not aligned",
        ),
        (2, leaf(PAGE_AT, ALL), "a gigapage that is not aligned"),
        (0, leaf(PAGE_AT, ALL) | PBMT_BAD, "the reserved memory type"),
        (0, leaf(PAGE_AT, ALL) | N, "NAPOT with low bits 0000"),
        (
            0,
            leaf(PAGE_AT + 0x4000, ALL) | N,
            "NAPOT with low bits 0100",
        ),
        (
            0,
            leaf(PAGE_AT + 0x9000, ALL) | N,
            "NAPOT with low bits 1001",
        ),
        (1, leaf(0, ALL) | N, "NAPOT of a superpage"),
    ];
    for (level, entry, why) in cases {
        let mut rig = rig(satp::SV39, Priv::S);
        rig.hart.state.menvcfg = envcfg::PBMTE | envcfg::ADUE;
        rig.map(3, 0x1234, *level, *entry);
        for access in ACCESSES {
            assert_eq!(see(&mut rig, 0x1234, access), Faults, "{why}");
        }
        assert_eq!(rig.hart.debug_translate(0x1234), None, "{why}");
    }
}

#[test]
fn reserved_bits_fault_in_pointers_and_leaves() {
    let everywhere = (54..61).flat_map(|bit| [(0, bit), (1, bit)]);
    // U, A, D, the memory type and N mean something in leaves only.
    let in_pointers = [4, 6, 7, 61, 62, 63].map(|bit| (1, bit));
    for (level, bit) in everywhere.chain(in_pointers) {
        let mut rig = rig(satp::SV39, Priv::S);
        rig.hart.state.menvcfg = envcfg::PBMTE | envcfg::ADUE;
        let slot = rig.map(3, 0x1234, 0, leaf(PAGE_AT, ALL));
        assert_eq!(see(&mut rig, 0x1234, Access::Load), Fine);
        // The table above is the page behind, and the address' entry its first.
        let slot = if level == 0 { slot } else { BASE + 2 * PAGE };
        rig.poke(slot, rig.peek(slot) | 1 << bit);
        for access in ACCESSES {
            assert_eq!(
                see(&mut rig, 0x1234, access),
                Faults,
                "bit {bit} at level {level}"
            );
        }
    }
}

#[test]
fn rights_follow_mode_sum_and_mxr() {
    let sum = mstatus::SUM;
    let mxr = mstatus::MXR;
    // Mode, mstatus, entry; fetch, load, store.
    let cases: &[(Priv, u64, u64, [Seen; 3])] = &[
        (Priv::S, 0, R | W | X, [Fine, Fine, Fine]),
        (Priv::S, 0, R, [Faults, Fine, Faults]),
        (Priv::S, 0, R | W, [Faults, Fine, Fine]),
        (Priv::S, 0, X, [Fine, Faults, Faults]),
        (Priv::S, mxr, X, [Fine, Fine, Faults]),
        (Priv::S, 0, R | X, [Fine, Fine, Faults]),
        (Priv::S, 0, U | R | W | X, [Faults, Faults, Faults]),
        (Priv::S, sum, U | R | W | X, [Faults, Fine, Fine]),
        (Priv::S, sum, U | X, [Faults, Faults, Faults]),
        (Priv::S, sum | mxr, U | X, [Faults, Fine, Faults]),
        (Priv::U, 0, R | W | X, [Faults, Faults, Faults]),
        (Priv::U, sum, R | W | X, [Faults, Faults, Faults]),
        (Priv::U, 0, U | R | W | X, [Fine, Fine, Fine]),
        (Priv::U, mxr, U | X, [Fine, Fine, Faults]),
        (Priv::U, 0, U | X, [Fine, Faults, Faults]),
    ];
    for (at, (mode, status, entry, expected)) in cases.iter().enumerate() {
        let mut rig = rig(satp::SV39, *mode);
        rig.hart.state.mstatus |= status;
        rig.hart.refresh();
        rig.map(3, 0x5000, 0, leaf(PAGE_AT, *entry | V | A | D));
        for (access, expected) in ACCESSES.into_iter().zip(expected) {
            assert_eq!(
                see(&mut rig, 0x5000, access),
                *expected,
                "case {at}, {access:?}"
            );
        }
    }
}

#[test]
fn accessed_and_dirty_are_software_s_or_the_hart_s() {
    for (access, marks, needs) in [
        (Access::Load, 0, A),
        (Access::Fetch, 0, A),
        (Access::Store, 0, A | D),
        (Access::Store, A, D),
        (Access::Store, D, A),
        (Access::Load, A, 0),
        (Access::Store, A | D, 0),
    ] {
        let entry = leaf(PAGE_AT, V | R | W | X | marks);
        for (off, adue, updates) in [
            (&[][..], false, false),
            (&[], true, true),
            (&["svadu"], false, false),
            (&["svade"], false, false),
            (&["svade", "svadu"], false, true),
        ] {
            let mut rig = rig_without(off, satp::SV39, Priv::S);
            rig.hart.state.menvcfg = if adue { envcfg::ADUE } else { 0 };
            let slot = rig.map(3, 0, 0, entry);
            let expected = if updates || needs == 0 { Fine } else { Faults };
            assert_eq!(
                see(&mut rig, 0, access),
                expected,
                "{access:?} {marks:#x} {off:?}"
            );
            let set = if updates { needs } else { 0 };
            assert_eq!(rig.peek(slot), entry | set, "{access:?} {marks:#x} {off:?}");
        }
    }
}

#[test]
fn a_refused_access_marks_nothing() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.hart.state.menvcfg = envcfg::ADUE;
    let entry = leaf(PAGE_AT, V | R);
    let slot = rig.map(3, 0, 0, entry);
    assert_eq!(see(&mut rig, 0, Access::Store), Faults);
    assert_eq!(rig.peek(slot), entry);
}

#[test]
fn a_clean_page_is_not_writable_in_the_tlb() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.hart.state.menvcfg = envcfg::ADUE;
    let slot = rig.map(3, 0, 0, leaf(PAGE_AT, V | R | W));
    let found = rig.hart.translate(0, 8, Access::Load).expect("mapped");
    assert!(found.read && !found.write);
    assert_eq!(rig.hart.tlb.load(0, Size::B8), Some(0));
    assert_eq!(rig.hart.tlb.store(0, Size::B8, 1), None);
    rig.hart.translate(0, 8, Access::Store).expect("mapped");
    assert_eq!(rig.peek(slot) & D, D);
    assert_eq!(rig.hart.tlb.store(0, Size::B8, 1), Some(()));
    assert_eq!(rig.peek(PAGE_AT), 1);
}

#[test]
fn napot_maps_64_kib() {
    let mut rig = rig(satp::SV48, Priv::S);
    let va = 0x7_0000;
    for page in 0..16 {
        rig.map(4, va + page * PAGE, 0, leaf(PAGE_AT + 0x8000, ALL) | N);
    }
    for inside in [0, 0x1234, 0x8000, 0xffff] {
        let found = rig
            .hart
            .translate(va + inside, 1, Access::Load)
            .expect("mapped");
        assert_eq!((found.gpa, found.log_size), (PAGE_AT + inside, 16));
    }
    let mut rig = rig_without(&["svnapot"], satp::SV48, Priv::S);
    rig.map(4, va, 0, leaf(PAGE_AT + 0x8000, ALL) | N);
    assert_eq!(see(&mut rig, va, Access::Load), Faults);
}

#[test]
fn memory_types_need_pbmte() {
    for (pbmte, expected) in [(0, Faults), (envcfg::PBMTE, Fine)] {
        let mut rig = rig(satp::SV39, Priv::U);
        rig.hart.state.menvcfg = pbmte;
        for (va, kind) in [(0x1000, 1), (0x2000, 2)] {
            rig.map(3, va, 0, leaf(PAGE_AT, ALL | U) | kind << 61);
            assert_eq!(see(&mut rig, va, Access::Load), expected, "{pbmte:#x}");
        }
    }
}

#[test]
fn tables_must_be_memory_that_s_mode_may_read() {
    for access in ACCESSES {
        // The root, then a pointer, leads out of RAM.
        let mut rig = rig(satp::SV39, Priv::U);
        rig.hart.state.satp = satp::SV39 << satp::MODE_SHIFT | (BASE + SIZE) >> 12;
        assert_eq!(see(&mut rig, 0, access), Denied);
        rig.hart.state.satp = satp::SV39 << satp::MODE_SHIFT | satp::PPN;
        assert_eq!(see(&mut rig, 0, access), Denied);

        let mut rig = self::rig(satp::SV39, Priv::U);
        rig.map(3, 0, 2, pointer(BASE - PAGE));
        assert_eq!(see(&mut rig, 0, access), Denied);

        // PMP hides one table.
        let mut rig = self::rig(satp::SV39, Priv::U);
        rig.map(3, 0, 0, leaf(PAGE_AT, ALL | U));
        assert_eq!(see(&mut rig, 0, access), Fine);
        hide(&mut rig, BASE + PAGE, pmp::W | pmp::X);
        assert_eq!(see(&mut rig, 0, access), Denied);
    }
}

/// Leaves S and U mode only these rights to one page.
fn hide(rig: &mut Rig, gpa: u64, rights: u8) {
    let state = &mut rig.hart.state;
    (state.pmpcfg[1], state.pmpaddr[1]) = (state.pmpcfg[0], state.pmpaddr[0]);
    state.pmpcfg[0] = pmp::A_NAPOT | rights;
    state.pmpaddr[0] = gpa >> 2 | 0x1ff;
    rig.hart.refresh();
}

#[test]
fn a_table_that_cannot_be_written_cannot_be_marked() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.hart.state.menvcfg = envcfg::ADUE;
    rig.map(3, 0, 0, leaf(PAGE_AT, V | R));
    hide(&mut rig, BASE + PAGE, pmp::R);
    assert_eq!(see(&mut rig, 0, Access::Load), Denied);
}

#[test]
fn protection_holds_behind_the_translation() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.map(3, 0, 0, leaf(PAGE_AT, ALL));
    hide(&mut rig, PAGE_AT, pmp::R);
    assert_eq!(
        ACCESSES.map(|a| see(&mut rig, 0, a)),
        [Denied, Fine, Denied]
    );
    assert_eq!(rig.hart.tlb.load(0, Size::B1), Some(0));
    assert_eq!(rig.hart.tlb.store(0, Size::B1, 0), None);
    assert_eq!(rig.hart.tlb.fetch(0), None);
    // A change of the rules takes back what the TLB holds.
    hide(&mut rig, PAGE_AT, 0);
    assert_eq!(rig.hart.tlb.load(0, Size::B1), None);
}

#[test]
fn without_translation_addresses_are_physical() {
    for (mode, privilege) in [
        (satp::BARE, Priv::S),
        (satp::BARE, Priv::U),
        (satp::SV39, Priv::M),
    ] {
        let mut rig = rig(mode, privilege);
        rig.hart.state.satp = mode << satp::MODE_SHIFT;
        rig.hart.refresh();
        for access in ACCESSES {
            let found = rig
                .hart
                .translate(PAGE_AT + 8, 8, access)
                .expect("physical");
            assert_eq!((found.gpa, found.log_size), (PAGE_AT + 8, 12));
        }
        assert_eq!(rig.hart.debug_translate(5), Some(5));
        // What is not there is the bus' to refuse; what no rule reaches is not.
        assert_eq!(see(&mut rig, 0x1000, Access::Load), Fine);
        let far = if privilege == Priv::M { Fine } else { Denied };
        assert_eq!(see(&mut rig, 1 << 60, Access::Load), far);
    }
}

#[test]
fn mprv_moves_loads_and_stores_but_not_fetches() {
    let mut rig = rig(satp::SV39, Priv::M);
    rig.map(3, 0x1000, 0, leaf(PAGE_AT, ALL | U));
    rig.poke(PAGE_AT, 77);
    let mprv = |mpp: Priv, more: u64| mstatus::RESET | mstatus::MPRV | (mpp as u64) << 11 | more;
    for (status, expected) in [
        (mprv(Priv::U, 0), [Fine, Fine, Fine]),
        (mprv(Priv::S, 0), [Fine, Faults, Faults]),
        (mprv(Priv::S, mstatus::SUM), [Fine, Fine, Fine]),
        (mprv(Priv::M, 0), [Fine, Fine, Fine]),
    ] {
        rig.hart.state.mstatus = status;
        rig.hart.sync_mode();
        assert_eq!(
            ACCESSES.map(|a| see(&mut rig, 0x1000, a)),
            expected,
            "{status:#x}"
        );
        let gpa = rig
            .hart
            .translate(0x1000, 4, Access::Fetch)
            .expect("bare")
            .gpa;
        assert_eq!(gpa, 0x1000);
    }
    rig.hart.state.mstatus = mprv(Priv::U, 0);
    rig.hart.sync_mode();
    rig.hart.translate(0x1000, 8, Access::Load).expect("mapped");
    assert_eq!(rig.hart.tlb.load(0x1000, Size::B8), Some(77));
    rig.hart.state.mstatus = mprv(Priv::M, 0);
    rig.hart.sync_mode();
    assert_eq!(rig.hart.tlb.load(0x1000, Size::B8), None, "another space");
}

#[test]
fn sum_and_mxr_take_effect_at_once() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.map(3, 0x1000, 0, leaf(PAGE_AT, V | U | R | A));
    rig.map(3, 0x2000, 0, leaf(PAGE_AT, V | X | A));
    for (bit, va) in [(mstatus::SUM, 0x1000), (mstatus::MXR, 0x2000)] {
        rig.hart.state.mstatus |= bit;
        rig.hart.sync_mode();
        rig.hart.translate(va, 1, Access::Load).expect("allowed");
        assert!(rig.hart.tlb.load(va, Size::B1).is_some());
        rig.hart.state.mstatus &= !bit;
        rig.hart.sync_mode();
        assert_eq!(rig.hart.tlb.load(va, Size::B1), None);
        rig.hart.state.mstatus |= bit;
        rig.hart.sync_mode();
        assert!(rig.hart.tlb.load(va, Size::B1).is_some(), "kept meanwhile");
    }
}

#[test]
fn fences_drop_what_they_name() {
    let fence: &[(Option<u64>, Option<u64>, [bool; 3])] = &[
        // Address, ASID; what stays of: (5, 0x1000), (5, 0x2000), (6, 0x1000).
        (None, None, [false, false, false]),
        (Some(0x1000), None, [false, true, false]),
        (None, Some(5), [false, false, true]),
        (Some(0x1000), Some(5), [false, true, true]),
        (Some(0x1000), Some(5 | 1 << 16), [false, true, true]),
        (None, Some(7), [true, true, true]),
    ];
    for (va, asid, stays) in fence {
        let mut rig = rig(satp::SV39, Priv::S);
        let root = rig.hart.state.satp;
        rig.map(3, 0x1000, 0, leaf(PAGE_AT, ALL));
        rig.map(3, 0x2000, 0, leaf(PAGE_AT, ALL));
        let kept = [(5u64, 0x1000), (5, 0x2000), (6, 0x1000)];
        let visit = |rig: &mut Rig, asid: u64| {
            rig.hart.state.satp = root | asid << 44;
            rig.hart.sync_mode();
        };
        for (asid, va) in kept {
            visit(&mut rig, asid);
            rig.hart.translate(va, 1, Access::Load).expect("mapped");
            rig.hart.translate(va, 1, Access::Fetch).expect("mapped");
        }
        rig.hart.sfence_vma(*va, *asid);
        for ((space, page), stays) in kept.into_iter().zip(stays) {
            visit(&mut rig, space);
            let found = rig.hart.tlb.load(page, Size::B1).is_some();
            assert_eq!(found, *stays, "{va:x?} {asid:x?}: {page:#x} of {space}");
            assert_eq!(rig.hart.tlb.fetch(page).is_some(), *stays);
        }
    }
}

#[test]
fn a_fence_for_one_address_drops_all_of_a_superpage() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.map(3, 0x20_0000, 1, leaf(PAGE_AT, ALL));
    rig.hart
        .translate(0x20_0000, 1, Access::Load)
        .expect("mapped");
    rig.hart
        .translate(0x3f_f000, 1, Access::Load)
        .expect("mapped");
    rig.hart.sfence_vma(Some(0x30_0000), None);
    assert_eq!(rig.hart.tlb.load(0x20_0000, Size::B1), None);
    assert_eq!(rig.hart.tlb.load(0x3f_f000, Size::B1), None);
}

#[test]
fn a_mark_is_of_the_entry_that_was_read() {
    // Another thread replaces the entry again and again, each time by one with another
    // page number. Whatever a store was allowed by must have been marked dirty before
    // it was replaced, and a mark never brings a replaced entry back.
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut rig = rig(satp::SV39, Priv::S);
    rig.hart.state.menvcfg = envcfg::ADUE;
    let entry = |n: u64| leaf(n * PAGE, V | R | W);
    let slot = rig.map(3, 0, 0, entry(0));
    let (ram, stop) = (rig.hart.ram.clone(), AtomicBool::new(false));
    // Which entries were dirty when they were replaced; which allowed a store.
    let (mut dirty, mut allowed) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let n = dirty.len() as u64;
                let mut old = entry(n);
                loop {
                    let found = ram.compare_exchange(slot, Size::B8, old, entry(n + 1));
                    let found = found.expect("in RAM");
                    if found == old {
                        break;
                    }
                    assert_eq!(found, entry(n) | A | D, "nothing but a mark may come");
                    old = found;
                }
                dirty.push(old & D != 0);
            }
        });
        while allowed.len() < 100 {
            let found = rig.hart.translate(0, 1, Access::Store);
            let n = found.expect("always valid").gpa / PAGE;
            if allowed.last() != Some(&n) {
                allowed.push(n);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    for n in allowed {
        // The last one was not replaced.
        let marked = dirty.get(n as usize).is_none_or(|dirty| *dirty);
        assert!(marked, "entry {n} allowed a store and was not marked");
    }
}

#[test]
fn a_refresh_forgets_translations() {
    let mut rig = rig(satp::SV39, Priv::S);
    rig.map(3, 0, 0, leaf(PAGE_AT, ALL));
    rig.hart.translate(0, 1, Access::Load).expect("mapped");
    rig.hart.refresh();
    assert_eq!(rig.hart.tlb.load(0, Size::B1), None);
}

/// Run by hand: `cargo test --release -p isoform-riscv -- --ignored --nocapture miss`.
#[test]
#[ignore = "a measurement, not a check"]
fn the_price_of_a_miss() {
    let mut rig = rig(satp::SV39, Priv::S);
    for page in 0..256 {
        rig.map(3, page * PAGE, 0, leaf(PAGE_AT + page * PAGE, ALL));
    }
    // The quickest round, since other programs may run beside it.
    let round = |rig: &mut Rig| {
        let start = std::time::Instant::now();
        for _ in 0..100 {
            for page in 0..256 {
                let found = rig.hart.translate(page * PAGE, 8, Access::Load);
                assert!(std::hint::black_box(found).is_ok());
            }
        }
        start.elapsed().as_nanos() as f64 / 25_600.0
    };
    let ns = (0..200).map(|_| round(&mut rig)).fold(f64::MAX, f64::min);
    println!("{ns:.1} ns a walk with insertion");
}
