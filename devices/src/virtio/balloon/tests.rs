//! The memory balloon, and what becomes of the memory.

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_ring::VRING_DESC_F_WRITE;

use super::super::testing::{BASE, Kind, Rig, hostile, rig, started};
use super::*;
use Kind::Modern;

/// Not accepted where a test expects an interrupt for each buffer.
const EVENT_IDX: u64 = 1 << 29;
/// Memory that no ring and no buffer is in.
const FREE: u64 = BASE + (24 << 20);

fn fill(t: &Rig<Balloon>, at: u64, bytes: usize) {
    t.ram.write(at, &vec![0x5a; bytes]).expect("in RAM");
}

fn byte(t: &Rig<Balloon>, at: u64) -> u64 {
    t.load(at, Size::B1)
}

/// Pages from `at` on that the host holds memory for.
fn held(t: &Rig<Balloon>, at: u64) -> usize {
    let mut count = 0;
    let each = |gpa, _: &[u8]| count += usize::from(gpa >= at);
    t.ram.for_each_page(each).expect("the memfd can be read");
    count
}

/// A list of pages.
fn pfns(pages: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let pages = pages.into_iter();
    pages
        .flat_map(|p| ((p / 4096) as u32).to_le_bytes())
        .collect()
}

/// Reports buffers on a queue.
fn report(t: &mut Rig<Balloon>, queue: u16, buffers: &[(u64, u32)]) {
    let table = t.table(queue);
    for (n, &(addr, len)) in buffers.iter().enumerate() {
        let more = u32::from(n + 1 < buffers.len());
        t.descriptor(
            table,
            n as u16,
            addr,
            len,
            VRING_DESC_F_WRITE | more,
            n as u16 + 1,
        );
    }
    t.make_available(queue, 0);
    t.kick(queue);
}

#[test]
fn inflated_pages_go_back_to_the_host() {
    for kind in Kind::ALL {
        let mut t = started(kind, Balloon::default(), !EVENT_IDX);
        fill(&t, FREE, 8 * 4096);
        assert_eq!(held(&t, FREE), 8);
        // In any order, one of them twice.
        let list = pfns([3, 1, 2, 7, 3].map(|n| FREE + n * 4096));
        let offer = t.offer(0, &[&list[..5], &list[5..]], &[]);
        t.kick(0);
        assert_eq!(t.used(0), [(offer.head, 0)]);
        assert!(t.take_interrupt());
        assert_eq!(held(&t, FREE), 4);
        let bytes = [0, 1, 2, 3, 4, 7].map(|n| byte(&t, FREE + n * 4096 + 4095));
        assert_eq!(bytes, [0x5a, 0, 0, 0, 0x5a, 0]);
        // Deflated, they are as others are.
        let offer = t.offer(1, &[&list], &[]);
        t.kick(1);
        assert_eq!(t.used(1), [(offer.head, 0)]);
        fill(&t, FREE, 8 * 4096);
        assert_eq!(held(&t, FREE), 8);
    }
}

#[test]
fn reported_pages_go_back_to_the_host() {
    for (kind, queue) in Kind::ALL.into_iter().flat_map(|k| [(k, 2), (k, 4)]) {
        let mut t = started(kind, Balloon::default(), !EVENT_IDX);
        fill(&t, FREE, 8 * 4096);
        report(
            &mut t,
            queue,
            &[(FREE, 8192), (FREE + 5 * 4096 - 1, 2 * 4096)],
        );
        assert_eq!(t.used(queue), [(0, 0)]);
        assert_eq!(
            held(&t, FREE),
            5,
            "two pages, and the whole one of the other buffer"
        );
        let bytes = [0, 2, 4, 5, 6].map(|n| byte(&t, FREE + n * 4096));
        assert_eq!(bytes, [0, 0x5a, 0x5a, 0, 0x5a]);
    }
}

#[test]
fn pages_in_use_read_as_zero_and_pages_elsewhere_are_ignored() {
    let mut t = started(Modern, Balloon::default(), !EVENT_IDX);
    fill(&t, FREE, 4096);
    // Before RAM, behind it, the last number, and one that there is.
    let list = pfns([
        0,
        BASE - 4096,
        BASE + (32 << 20),
        u64::from(u32::MAX) << 12,
        FREE,
    ]);
    let offer = t.offer(0, &[&list], &[]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 0)]);
    assert_eq!(byte(&t, FREE), 0);
    // The queue's own rings: there is nothing on offer in them any more.
    let list = pfns([t.table(2)]);
    t.offer(0, &[&list], &[]);
    t.kick(0);
    assert_eq!(t.load(t.table(2), Size::B8), 0);
    assert!(!t.needs_reset());
    // Buffers outside of RAM are no chain.
    report(&mut t, 2, &[(BASE + (32 << 20) - 4096, 8192)]);
    assert!(t.needs_reset());
}

#[test]
fn a_long_list_is_taken_in_part() {
    let mut t = started(Modern, Balloon::default(), !EVENT_IDX);
    fill(&t, FREE, (PFNS_MAX + 4) * 4096);
    let list = pfns((0..PFNS_MAX as u64 + 4).map(|n| FREE + n * 4096));
    // A number that is cut short is none.
    let offer = t.offer(0, &[&list, &[1, 2, 3]], &[]);
    let empty = t.offer(0, &[], &[16]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 0), (empty.head, 0)]);
    assert_eq!(held(&t, FREE), 4);
}

#[test]
fn poisoned_pages_keep_what_they_were_filled_with() {
    for (features, kept) in [(!EVENT_IDX, 0x5a), (!(EVENT_IDX | 1 << 4), 0)] {
        let mut t = started(Modern, Balloon::default(), features);
        t.w(0x100 + 12, 0xaaaa_aaaa);
        assert_eq!(t.r(0x100 + 12), 0xaaaa_aaaa);
        fill(&t, FREE, 4096);
        report(&mut t, 2, &[(FREE, 4096)]);
        assert_eq!(t.used(2), [(0, 0)]);
        assert_eq!(byte(&t, FREE), kept);
    }
}

#[test]
fn the_driver_hears_what_the_host_asks_for() {
    let mut t = started(Modern, Balloon::default(), !EVENT_IDX);
    assert_eq!(t.r(8), 5);
    assert_eq!([t.r(0x100), t.r(0x104), t.r(0x108)], [0; 3]);
    t.slot.ask(77);
    assert!(t.irq.high(), "the configuration changed");
    assert_eq!(t.r(0x100), 77);
    // What is not the driver's to write stays.
    for (register, value) in [(0x100, 1), (0x104, 70), (0x108, 2), (0x110, 3)] {
        t.w(register, value);
    }
    assert_eq!(
        [t.r(0x100), t.r(0x104), t.r(0x108), t.r(0x110)],
        [77, 70, 0, 0]
    );
    assert_eq!(t.slot.device().actual(), 70);
    t.move_to(Balloon::default());
    assert_eq!([t.r(0x100), t.r(0x104)], [77, 70]);
    t.slot.reset();
    assert_eq!([t.r(0x100), t.r(0x104)], [77, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hostile_driver_hurts_itself_only(
        kind in prop::sample::select(&Kind::ALL[..]),
        steps in hostile(),
    ) {
        let mut t = rig(kind, Balloon::default());
        for (n, step) in steps.iter().enumerate() {
            t.suffer(step, Balloon::default);
            t.slot.ask(n as u32);
        }
        t.start(!EVENT_IDX);
        fill(&t, FREE, 4096);
        report(&mut t, 2, &[(FREE, 4096)]);
        prop_assert_eq!(t.used(2), [(0, 0)]);
        prop_assert_eq!(byte(&t, FREE), 0);
    }
}
