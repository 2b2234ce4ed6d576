//! The transport, by the sentences of Virtio 1.2, with the entropy device behind it.

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::{virtio_config as vc, virtio_mmio as vm, virtio_ring as vr};

use super::super::rng::Rng;
use super::super::testing::{BASE, Kind, Rig, hostile, rig, started};
use super::super::{EmptySlot, Interface, QueueSlot, spec as common};
use super::spec;
use Kind::{Legacy, Modern};

fn device() -> Rng {
    Rng::new(Box::new(|bytes: &mut [u8]| bytes.fill(0xa5)))
}

const EVENT_IDX: u64 = 1 << vr::VIRTIO_RING_F_EVENT_IDX;

#[test]
fn constants_are_those_of_the_linux_headers() {
    let pairs = [
        (spec::MAGIC_VALUE, vm::VIRTIO_MMIO_MAGIC_VALUE),
        (spec::VERSION, vm::VIRTIO_MMIO_VERSION),
        (spec::DEVICE_ID, vm::VIRTIO_MMIO_DEVICE_ID),
        (spec::VENDOR_ID, vm::VIRTIO_MMIO_VENDOR_ID),
        (spec::GUEST_PAGE_SIZE, vm::VIRTIO_MMIO_GUEST_PAGE_SIZE),
        (spec::QUEUE_ALIGN, vm::VIRTIO_MMIO_QUEUE_ALIGN),
        (spec::QUEUE_PFN, vm::VIRTIO_MMIO_QUEUE_PFN),
        (spec::SHM_LEN_LOW, vm::VIRTIO_MMIO_SHM_LEN_LOW),
        (spec::SHM_BASE_HIGH, vm::VIRTIO_MMIO_SHM_BASE_HIGH),
        (spec::CONFIG_GENERATION, vm::VIRTIO_MMIO_CONFIG_GENERATION),
        (spec::CONFIG, vm::VIRTIO_MMIO_CONFIG),
    ];
    for (ours, theirs) in pairs {
        assert_eq!(ours, u64::from(theirs));
    }
    assert_eq!(spec::Interrupt::USED.bits(), vm::VIRTIO_MMIO_INT_VRING);
    assert_eq!(spec::Interrupt::CONFIG.bits(), vm::VIRTIO_MMIO_INT_CONFIG);
    assert_eq!(
        common::Features::VERSION_1.bits(),
        1 << vc::VIRTIO_F_VERSION_1
    );
    assert_eq!(
        common::Features::ANY_LAYOUT.bits(),
        1 << vc::VIRTIO_F_ANY_LAYOUT
    );
    assert_eq!(
        common::Features::INDIRECT_DESC.bits(),
        1 << vr::VIRTIO_RING_F_INDIRECT_DESC
    );
    assert_eq!(common::Features::EVENT_IDX.bits(), EVENT_IDX);
    assert_eq!(
        u32::from(common::VIRTQ_AVAIL_F_NO_INTERRUPT),
        vr::VRING_AVAIL_F_NO_INTERRUPT
    );
}

#[test]
fn a_slot_says_who_it_is() {
    for (kind, interface, version) in [
        (Modern, Interface::Modern, 2),
        (Legacy, Interface::Legacy, 1),
    ] {
        let mut t = rig(kind, device());
        assert_eq!(t.r(0), u32::from_le_bytes(*b"virt"));
        assert_eq!(t.r(vm::VIRTIO_MMIO_VERSION), version);
        assert_eq!(t.r(vm::VIRTIO_MMIO_DEVICE_ID), 4);
        let mut empty = EmptySlot::new(interface);
        let mut read = |at: u32| empty.read(u64::from(at), Size::B4);
        assert_eq!(read(0), Ok(u64::from(u32::from_le_bytes(*b"virt"))));
        assert_eq!(read(vm::VIRTIO_MMIO_VERSION), Ok(u64::from(version)));
        assert_eq!(read(vm::VIRTIO_MMIO_DEVICE_ID), Ok(0));
    }
}

#[test]
fn buffers_travel_both_ways_with_every_combination() {
    for kind in Kind::ALL {
        for indirect in [false, true] {
            for features in [0, EVENT_IDX] {
                let mut t = started(kind, device(), features);
                t.indirect = indirect;
                for _ in 0..20 {
                    let offer = t.offer(0, &[], &[5, 1, 10]);
                    if features != 0 {
                        let (head, at) = (offer.head, t.avail_event(0));
                        t.set_used_event(0, at);
                        assert!(head < 8);
                    }
                    t.kick(0);
                    assert_eq!(t.used(0), [(offer.head, 16)]);
                    assert_eq!(t.written(&offer), [0xa5; 16]);
                    assert!(t.take_interrupt());
                    assert!(!t.needs_reset());
                }
            }
        }
    }
}

#[test]
fn features_ok_is_refused_for_what_was_not_offered() {
    let acknowledged = vc::VIRTIO_CONFIG_S_ACKNOWLEDGE | vc::VIRTIO_CONFIG_S_DRIVER;
    let ok = acknowledged | vc::VIRTIO_CONFIG_S_FEATURES_OK;
    for (low, high, accepted) in [
        (0, 1, true),
        (0, 0, true),
        (1 << 5, 1, false),
        (0, 3, false),
    ] {
        let mut t = rig(Modern, device());
        t.w(vm::VIRTIO_MMIO_STATUS, acknowledged);
        for (sel, half) in [(0, low), (1, high), (2, u32::MAX)] {
            t.w(vm::VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
            t.w(vm::VIRTIO_MMIO_DRIVER_FEATURES, half);
        }
        t.w(vm::VIRTIO_MMIO_STATUS, ok);
        let expected = if accepted { ok } else { acknowledged };
        assert_eq!(t.r(vm::VIRTIO_MMIO_STATUS), expected);
        t.w(vm::VIRTIO_MMIO_STATUS, ok | vc::VIRTIO_CONFIG_S_DRIVER_OK);
        let ready = t.r(vm::VIRTIO_MMIO_STATUS) & vc::VIRTIO_CONFIG_S_DRIVER_OK != 0;
        assert_eq!(ready, accepted, "no DRIVER_OK without FEATURES_OK");
    }
}

#[test]
fn status_bits_are_cleared_by_reset_only() {
    let mut t = started(Modern, device(), 0);
    t.w(vm::VIRTIO_MMIO_STATUS, 1);
    assert_eq!(t.r(vm::VIRTIO_MMIO_STATUS), 15);
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert!(t.irq.high());
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(t.r(vm::VIRTIO_MMIO_STATUS), 0);
    assert!(!t.irq.high());
    assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_READY), 0);
    t.start(0);
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 8)]);
}

#[test]
fn nothing_is_consumed_before_driver_ok_and_what_waits_is_afterwards() {
    let mut t = rig(Modern, device());
    let status = t.prepare(0);
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    t.slot.process(0);
    assert_eq!(t.used(0), []);
    t.w(
        vm::VIRTIO_MMIO_STATUS,
        status | vc::VIRTIO_CONFIG_S_DRIVER_OK,
    );
    t.serve();
    assert_eq!(t.used(0), [(offer.head, 8)]);
}

#[test]
fn features_are_agreed_on_before_queues() {
    let mut t = rig(Modern, device());
    t.w(vm::VIRTIO_MMIO_STATUS, 3);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_READY), 0);
    assert!(!t.needs_reset());
}

#[test]
fn queue_setup_freezes_while_in_use() {
    let mut t = started(Modern, device(), 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_NUM, 2);
    t.w(vm::VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_USED_HIGH, 77);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    for _ in 0..9 {
        let offer = t.offer(0, &[], &[8]);
        t.kick(0);
        assert_eq!(t.used(0), [(offer.head, 8)]);
    }
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_READY), 0);
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0), []);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!(
        t.r(vm::VIRTIO_MMIO_QUEUE_READY),
        1,
        "what was written meanwhile left no trace"
    );
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_NUM, 3);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    assert!(t.needs_reset());
}

#[test]
fn a_queue_of_nonsense_needs_a_reset() {
    let bad: [(u32, u32); 5] = [
        (vm::VIRTIO_MMIO_QUEUE_NUM, 3),
        (vm::VIRTIO_MMIO_QUEUE_NUM, 16),
        (vm::VIRTIO_MMIO_QUEUE_NUM, 0x1_0008),
        (vm::VIRTIO_MMIO_QUEUE_DESC_LOW, 0x8001_0008),
        (vm::VIRTIO_MMIO_QUEUE_USED_HIGH, 1),
    ];
    for (register, value) in bad {
        let mut t = started(Modern, device(), 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
        t.w(register, value);
        t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
        assert!(t.needs_reset(), "{register:#x} {value:#x}");
        assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_READY), 0);
        assert_eq!(
            t.r(vm::VIRTIO_MMIO_INTERRUPT_STATUS),
            vm::VIRTIO_MMIO_INT_CONFIG
        );
        t.start(0);
        assert!(!t.needs_reset());
    }
}

fn breaks(offer: impl FnOnce(&mut Rig<Rng>)) {
    let mut t = started(Modern, device(), 0);
    offer(&mut t);
    t.kick(0);
    assert!(t.needs_reset());
    assert_eq!(t.used(0), []);
    assert_eq!(
        t.r(vm::VIRTIO_MMIO_INTERRUPT_STATUS),
        vm::VIRTIO_MMIO_INT_CONFIG
    );
    // It stays that way, and a reset heals it.
    t.kick(0);
    assert_eq!(t.used(0), []);
    t.start(0);
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 8)]);
}

const WRITE: u32 = vr::VRING_DESC_F_WRITE;
const NEXT: u32 = vr::VRING_DESC_F_NEXT;
const INDIRECT: u32 = vr::VRING_DESC_F_INDIRECT;

#[test]
fn chains_that_break_the_rules_need_a_reset() {
    let buffer = BASE + 0x20_0000;
    // A loop.
    breaks(|t| {
        t.descriptor(t.table(0), 0, buffer, 8, WRITE | NEXT, 1);
        t.descriptor(t.table(0), 1, buffer, 8, WRITE | NEXT, 0);
        t.make_available(0, 0);
    });
    // Next beyond the table; head beyond the table.
    breaks(|t| {
        t.descriptor(t.table(0), 0, buffer, 8, WRITE | NEXT, 8);
        t.make_available(0, 0);
    });
    breaks(|t| t.make_available(0, 8));
    // Outside of RAM, before, after, across, around.
    for (addr, len) in [
        (0, 8),
        (BASE + (32 << 20) - 4, 8),
        (u64::MAX - 3, 8),
        (BASE, u32::MAX),
    ] {
        breaks(|t| {
            t.descriptor(t.table(0), 0, addr, len, WRITE, 0);
            t.make_available(0, 0);
        });
    }
    // Readable after writable.
    breaks(|t| {
        t.descriptor(t.table(0), 0, buffer, 8, WRITE | NEXT, 1);
        t.descriptor(t.table(0), 1, buffer, 8, 0, 0);
        t.make_available(0, 0);
    });
    // An indirect table of an odd size, within another, outside of RAM, empty.
    for (table, len) in [(buffer, 24), (3, 16), (buffer, 0)] {
        breaks(|t| {
            t.descriptor(buffer, 0, buffer, 8, WRITE, 0);
            t.descriptor(t.table(0), 0, table, len, INDIRECT, 0);
            t.make_available(0, 0);
        });
    }
    breaks(|t| {
        t.descriptor(buffer, 0, buffer, 16, INDIRECT, 0);
        t.descriptor(t.table(0), 0, buffer, 16, INDIRECT, 0);
        t.make_available(0, 0);
    });
    // More available than the queue has entries.
    breaks(|t| (0..9).for_each(|_| t.make_available(0, 0)));
}

#[test]
fn a_chain_may_end_in_an_indirect_table() {
    let mut t = started(Modern, device(), 0);
    let buffer = BASE + 0x20_0000;
    t.descriptor(t.table(0), 0, buffer, 8, WRITE | NEXT, 1);
    t.descriptor(t.table(0), 1, buffer + 0x100, 16, INDIRECT, 0);
    t.descriptor(buffer + 0x100, 0, buffer + 8, 8, WRITE, 0);
    t.make_available(0, 0);
    t.kick(0);
    assert_eq!(t.used(0), [(0, 16)]);
}

#[test]
fn an_endless_indirect_table_is_cut() {
    let mut t = started(Modern, device(), 0);
    let table = BASE + 0x20_0000;
    for i in 0..2000 {
        t.descriptor(table, i, BASE, 1, WRITE | NEXT, i + 1);
    }
    t.descriptor(table, 2000, BASE, 1, WRITE, 0);
    t.descriptor(t.table(0), 0, table, 16 * 2001, INDIRECT, 0);
    t.make_available(0, 0);
    t.kick(0);
    assert!(t.needs_reset());
}

#[test]
fn the_driver_can_ask_for_silence() {
    let mut t = started(Modern, device(), 0);
    t.ram
        .store(t.avail(0), Size::B2, 1)
        .expect("the ring is in RAM");
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0).len(), 1);
    assert!(!t.take_interrupt());
}

#[test]
fn used_event_holds_interrupts_back_until_it_is_crossed() {
    let mut t = started(Modern, device(), EVENT_IDX);
    t.set_used_event(0, 2);
    let mut seen = Vec::new();
    for _ in 0..4 {
        t.offer(0, &[], &[8]);
        t.kick(0);
        seen.push(t.take_interrupt());
    }
    assert_eq!(seen, [false, false, true, false]);
    assert_eq!(
        t.avail_event(0),
        4,
        "and the device wants to hear of the next"
    );
}

#[test]
fn a_legacy_driver_may_be_ready_before_its_queue() {
    // The order of an early teaching kernel: DRIVER_OK, then the queue, no QueueAlign.
    let mut t = rig(Legacy, device());
    for status in [1, 3, 11, 15] {
        t.w(vm::VIRTIO_MMIO_STATUS, status);
    }
    t.w(vm::VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_NUM, 8);
    t.w(vm::VIRTIO_MMIO_QUEUE_PFN, ((BASE + 0x8000) / 4096) as u32);
    t.descriptor(BASE + 0x8000, 0, BASE + 0x5000, 32, WRITE, 0);
    t.ram.store(BASE + 0x8082, Size::B2, 1).expect("in RAM");
    t.kick(0);
    assert_eq!(t.load(BASE + 0x9002, Size::B2), 1, "used on the next page");
    assert_eq!(t.load(BASE + 0x9008, Size::B4), 32);
    assert_eq!(t.load(BASE + 0x5018, Size::B8), 0xa5a5_a5a5_a5a5_a5a5);
    assert!(t.take_interrupt());
    t.w(vm::VIRTIO_MMIO_QUEUE_PFN, 0);
    assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_PFN), 0);
}

#[test]
fn a_legacy_driver_names_its_page_size_once_and_before_it_resets() {
    // The order of Linux: when it finds the slot, and when it has a driver for it.
    let mut t = rig(Legacy, device());
    t.w(vm::VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    for status in [1, 3] {
        t.w(vm::VIRTIO_MMIO_STATUS, status);
    }
    t.w(vm::VIRTIO_MMIO_QUEUE_NUM, 8);
    t.w(vm::VIRTIO_MMIO_QUEUE_PFN, ((BASE + 0x8000) / 4096) as u32);
    assert!(!t.needs_reset());
    // The machine's own reset forgets it.
    t.slot.reset();
    t.w(vm::VIRTIO_MMIO_STATUS, 1);
    t.w(vm::VIRTIO_MMIO_QUEUE_PFN, ((BASE + 0x8000) / 4096) as u32);
    assert!(t.needs_reset());
}

#[test]
fn a_legacy_driver_may_use_its_queue_before_it_is_ready() {
    let mut t = rig(Legacy, device());
    t.prepare(0);
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 8)]);
}

#[test]
fn a_legacy_driver_gets_no_feature_that_was_not_offered() {
    let mut t = rig(Legacy, device());
    t.w(vm::VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_eq!(t.r(vm::VIRTIO_MMIO_DEVICE_FEATURES), 0, "no VERSION_1");
    t.start(u64::MAX);
    assert!(!t.needs_reset());
}

#[test]
fn a_legacy_queue_of_nonsense_needs_a_reset() {
    for (register, value) in [
        (vm::VIRTIO_MMIO_GUEST_PAGE_SIZE, 0),
        (vm::VIRTIO_MMIO_GUEST_PAGE_SIZE, u32::MAX),
        (vm::VIRTIO_MMIO_QUEUE_ALIGN, 0),
        (vm::VIRTIO_MMIO_QUEUE_ALIGN, 24),
        (vm::VIRTIO_MMIO_QUEUE_ALIGN, 1 << 31),
        (vm::VIRTIO_MMIO_QUEUE_NUM, 0),
    ] {
        let mut t = started(Legacy, device(), 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_PFN, 0);
        t.w(register, value);
        t.w(vm::VIRTIO_MMIO_QUEUE_PFN, 0x8_0010);
        assert!(t.needs_reset(), "{register:#x} {value:#x}");
        assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_PFN), 0);
    }
}

#[test]
fn odd_sizes_and_holes_are_harmless() {
    let mut t = started(Modern, device(), 0);
    for size in [Size::B1, Size::B2, Size::B8] {
        assert_eq!(t.slot.read(0, size), Ok(0));
        assert_eq!(t.slot.write(0x70, size, 0), Ok(()));
    }
    assert_eq!(t.r(vm::VIRTIO_MMIO_STATUS), 15);
    assert_eq!(t.r(0xb0), u32::MAX, "no shared memory");
    assert_eq!(t.r(0x100), 0, "no configuration");
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 70_000);
    assert_eq!(t.r(vm::VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    t.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, 70_000);
    assert!(t.bell.take().is_empty());
}

#[test]
fn state_moves_between_slots_with_a_chain_waiting() {
    for kind in Kind::ALL {
        let mut t = started(kind, device(), EVENT_IDX);
        for round in 0..20 {
            let offer = t.offer(0, &[], &[8]);
            t.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, 0);
            if round % 3 == 0 {
                // The notification is not saved; the restored slot rings by itself.
                t.move_to(device());
            }
            t.serve();
            assert_eq!(t.used(0), [(offer.head, 8)]);
            t.move_to(device());
            t.serve();
        }
    }
}

#[test]
fn state_of_the_other_interface_is_refused() {
    let saved = started(Legacy, device(), 0).slot.save();
    let mut t = rig(Modern, device());
    let error = t.slot.restore(&saved).expect_err("the interfaces differ");
    assert!(error.to_string().contains("interface"), "{error}");
}

proptest! {
    #[test]
    fn a_hostile_driver_hurts_itself_only(kind in prop::sample::select(&Kind::ALL[..]), steps in hostile()) {
        let mut t = rig(kind, device());
        for step in &steps {
            t.suffer(step, device);
        }
        // And is forgiven after a reset.
        t.start(0);
        let offer = t.offer(0, &[], &[8]);
        t.kick(0);
        prop_assert_eq!(t.used(0), [(offer.head, 8)]);
    }

    #[test]
    fn damaged_state_is_refused_or_harmless(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut t = started(Modern, device(), EVENT_IDX);
        t.offer(0, &[], &[8]);
        let mut saved = t.slot.save();
        *at.get_mut(&mut saved) = value;
        let _ = t.slot.restore(&saved);
        t.serve();
        t.start(0);
        let offer = t.offer(0, &[], &[8]);
        t.kick(0);
        prop_assert_eq!(t.used(0), [(offer.head, 8)]);
    }
}
