//! The soft TLB on a megabyte of RAM.

use super::*;

const BASE: u64 = 0x8000_0000;

fn tlb() -> Tlb {
    Tlb::new(Arc::new(Ram::new(BASE, 0x10_0000).expect("1 MiB")))
}

fn map(va: u64, gpa: u64, log_size: u8) -> Mapping {
    Mapping {
        va,
        gpa,
        log_size,
        read: true,
        write: true,
    }
}

/// Every tag value in use, and addresses around them.
fn probes() -> impl Iterator<Item = u64> {
    let interesting = [
        0,
        1,
        PAGE,
        u64::MAX,
        empty(0),
        empty(ENTRIES - 1),
        1 << 38,
        1 << 63,
        !(PAGE - 1),
        BASE,
    ];
    interesting.into_iter().flat_map(|a| {
        (0..16).flat_map(move |i| [a.wrapping_add(i), a.wrapping_sub(i), a ^ (PAGE - 1 - i)])
    })
}

#[test]
fn an_empty_tlb_misses_everywhere() {
    let mut t = tlb();
    let check = |t: &Tlb| {
        for va in probes() {
            for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
                assert_eq!(t.load(va, size), None, "{va:#x}");
                assert_eq!(t.store(va, size, 0), None, "{va:#x}");
            }
            assert_eq!(t.fetch(va), None, "{va:#x}");
        }
    };
    check(&t);
    probes().for_each(|va| t.insert(map(va, BASE, 12)));
    t.flush_all();
    check(&t);
    probes().for_each(|va| {
        t.insert(map(va, BASE, 12));
        t.flush_page(va, |_| true);
    });
    check(&t);
}

#[test]
fn no_address_is_near_the_tag_of_its_own_empty_entry() {
    for va in probes().chain((0..ENTRIES as u64).map(|n| n * PAGE)) {
        assert!(va ^ EMPTY_DATA[index(va)].read >= PAGE, "{va:#x}");
        assert!(va ^ EMPTY_DATA[index(va)].write >= PAGE, "{va:#x}");
        assert!(va ^ EMPTY_FETCH[fetch_index(va)].tag >= PAGE, "{va:#x}");
    }
}

#[test]
fn misaligned_and_crossing_accesses_miss() {
    let mut t = tlb();
    t.insert(map(0x5000, BASE, 12));
    t.insert(map(0x6000, BASE + PAGE, 12));
    assert_eq!(t.load(0x5ff8, Size::B8), Some(0));
    assert_eq!(t.load(0x5ffc, Size::B8), None);
    assert_eq!(t.load(0x5001, Size::B2), None);
    assert_eq!(t.load(0x5fff, Size::B1), Some(0));
}

#[test]
fn what_is_not_ram_never_hits() {
    let mut t = tlb();
    t.insert(map(0x5000, BASE - PAGE, 12));
    t.insert(map(0x6000, BASE + 0x10_0000, 12));
    assert_eq!(t.load(0x5000, Size::B1), None);
    assert_eq!(t.load(0x6000, Size::B1), None);
}

#[test]
fn a_superpage_is_dropped_whole() {
    let mut t = tlb();
    t.insert(map(0x20_0000, BASE, 21));
    t.insert(map(0x3f_f000, BASE + PAGE, 21));
    t.insert(map(0x40_0000, BASE + PAGE, 12));
    t.flush_page(0x30_0000, |_| true);
    assert_eq!(t.load(0x20_0000, Size::B1), None);
    assert_eq!(t.load(0x3f_f000, Size::B1), None);
    assert_eq!(t.load(0x40_0000, Size::B1), Some(0));
}

#[test]
fn spaces_are_apart_and_kept() {
    let mut t = tlb();
    let id = |n| SpaceId { root: n, class: 0 };
    for n in 1..6 {
        t.switch(id(n));
        assert_eq!(t.load(0x5000, Size::B1), None);
        t.insert(map(0x5000, BASE + n * PAGE, 12));
        t.store(0x5000, Size::B1, n).expect("mapped");
    }
    for n in 1..6 {
        t.switch(id(n));
        assert_eq!(t.load(0x5000, Size::B1), Some(n));
    }
    for n in 6..40 {
        t.switch(id(n));
        assert_eq!(t.load(0x5000, Size::B1), None, "space {n} starts empty");
        t.insert(map(0x5000, BASE, 12));
    }
    t.flush_spaces(|s| s.root == 39);
    assert_eq!(t.load(0x5000, Size::B1), None);
}

#[test]
fn pages_that_share_a_place_take_turns() {
    let mut t = tlb();
    let far = 0x5000 + ENTRIES as u64 * PAGE;
    t.insert(map(0x5000, BASE, 12));
    t.store(0x5000, Size::B1, 7).expect("mapped");
    t.insert(map(far, BASE + PAGE, 12));
    assert_eq!(t.load(0x5000, Size::B1), None);
    assert_eq!(t.recall(0x5008, true), Some(BASE + 8));
    assert_eq!(t.load(0x5000, Size::B1), Some(7));
    assert_eq!(t.load(far, Size::B1), None);
    // Rights are taken from those that made room, too, and so are the pages.
    t.ram.clone().code().track(1);
    t.drop_page_writes(BASE + PAGE, 0);
    assert_eq!(t.recall(far, true), None);
    assert_eq!(t.recall(far, false), Some(BASE + PAGE));
    t.flush_page(0x5000, |_| true);
    assert_eq!(t.recall(0x5000, false), None);
    t.insert(map(0x5000, BASE, 12));
    t.flush_spaces(|_| true);
    assert_eq!(t.recall(far, false), None);
    for va in [0, 1, 0x1000, u64::MAX] {
        assert_eq!(t.recall(va, false), None, "none is for no page");
    }
}

#[test]
fn an_epoch_ends_where_a_known_fetch_may_lead_elsewhere() {
    let mut t = tlb();
    let here = SpaceId { root: 1, class: 1 };
    t.switch(here);
    let first = t.epoch();
    t.insert_fetch(0x5000, BASE, 12);
    t.flush_page(0x6000, |_| true);
    assert_eq!(t.epoch(), first, "nobody knew that page");
    t.switch(SpaceId { root: 2, class: 1 });
    assert!(t.epoch() > first);
    t.flush_page(0x5000, |space| space.root == 2);
    t.switch(here);
    assert_eq!(t.epoch(), first, "it comes back with the space");
    // The entry makes room for another.
    t.insert_fetch(0x5000 + FETCH_ENTRIES as u64 * PAGE, BASE, 12);
    t.flush_page(0x5000, |_| true);
    let second = t.epoch();
    assert!(second > first, "whoever knew that page may know it still");
    t.flush_page(0x5000, |_| true);
    assert_eq!(t.epoch(), second, "nobody does any more");
    t.insert_fetch(0x4000_0000, BASE, 30);
    t.flush_page(0x4020_0000, |_| true);
    let third = t.epoch();
    assert!(third > second, "a large page goes whole");
    t.flush_spaces(|_| true);
    let fourth = t.epoch();
    assert!(fourth > third);
    assert!(t.begin_epochs() > fourth && t.epoch() > fourth);
}

#[test]
fn tracked_pages_are_not_writable() {
    let mut t = tlb();
    let ram = t.ram.clone();
    t.insert(map(0x5000, BASE, 12));
    t.insert(map(0x6000, BASE + PAGE, 12));
    ram.code().track(0);
    t.drop_page_writes(BASE + 0x2000, 0);
    assert_eq!(t.store(0x5000, Size::B1, 1), Some(()), "another page");
    t.drop_page_writes(BASE, 0);
    assert_eq!(t.store(0x5000, Size::B1, 1), None);
    ram.code().bump(0);
    t.insert(map(0x5000, BASE, 12));
    assert_eq!(t.store(0x5000, Size::B1, 0), Some(()));
    ram.code().track(0);
    t.drop_code_writes();
    assert_eq!(t.store(0x5000, Size::B1, 1), None);
    assert_eq!(t.load(0x5000, Size::B1), Some(0));
    assert_eq!(t.store(0x6000, Size::B1, 1), Some(()));
    t.insert(map(0x5000, BASE, 12));
    assert_eq!(t.store(0x5000, Size::B1, 1), None);
}

#[test]
fn atomics_hit_ram() {
    let mut t = tlb();
    t.insert(map(0x5000, BASE, 12));
    assert_eq!(t.amo(AmoOp::Add, 0x5000, Size::B4, 5), Some(0));
    assert_eq!(t.amo(AmoOp::Min, 0x5000, Size::B4, u64::MAX), Some(5));
    assert_eq!(t.amo(AmoOp::Maxu, 0x5000, Size::B4, 0), Some(0xffff_ffff));
    assert_eq!(
        t.compare_exchange(0x5000, Size::B4, 0xffff_ffff, 3),
        Some(0xffff_ffff)
    );
    assert_eq!(t.load(0x5000, Size::B8), Some(3));
    if has_cas128() {
        assert_eq!(t.compare_exchange_128(0x5000, 3, 4 << 64), Some(3));
        assert_eq!(t.load(0x5008, Size::B8), Some(4));
        // Where either half differs, nothing is stored.
        for other in [1, 5 << 64] {
            let found = t.compare_exchange_128(0x5000, other, u128::MAX);
            assert_eq!(found, Some(4 << 64));
        }
        assert_eq!(t.load(0x5008, Size::B8), Some(4));
        assert_eq!(t.compare_exchange_128(0x5008, 3, 4 << 64), None);
    }
}
