//! The transport, by the sentences of Virtio 1.2, 4.1, with the entropy device behind it.
//! What it has in common with MMIO is tested there.

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_mmio as vm;

use super::super::console::{Console, ConsoleSlot, PortConfig};
use super::super::rng::Rng;
use super::super::testing::{Face, Kind, Rig, hostile, place, rig, started};
use super::super::{QueueSlot, VirtioDevice};
use super::spec;
use crate::pci::Function;
use crate::testing::TapeSink;
use Kind::{Modern, Pci};

fn device() -> Rng {
    Rng::new(Box::new(|bytes: &mut [u8]| bytes.fill(0xa5)))
}

fn console() -> Console {
    Console::new(vec![PortConfig {
        name: String::new(),
        is_console: true,
        sink: Box::new(TapeSink::default()),
    }])
}

/// Accesses to the configuration space and to BARs.
impl<D: VirtioDevice> Rig<D> {
    fn config(&mut self, offset: u64, size: Size) -> u64 {
        self.slot.read(offset, size).expect("it answers")
    }

    fn set_config(&mut self, offset: u64, size: Size, value: u64) {
        self.slot.write(offset, size, value).expect("it answers");
    }

    fn bar(&mut self, offset: u64, size: Size) -> u64 {
        self.slot.read(place(4, offset), size).expect("it answers")
    }

    fn set_bar(&mut self, offset: u64, size: Size, value: u64) {
        let at = place(4, offset);
        self.slot.write(at, size, value).expect("it answers");
    }

    /// Offset of the capability for a structure, or of MSI-X with `kind` 0x11.
    fn structure(&mut self, kind: u8) -> u64 {
        let mut at = self.config(0x34, Size::B1);
        while at != 0 {
            let id = self.config(at, Size::B1) as u8;
            if id == kind && id == 0x11 {
                return at;
            }
            if id == 9 && self.config(at + 3, Size::B1) as u8 == kind {
                return at;
            }
            at = self.config(at + 1, Size::B1);
        }
        panic!("there is no structure {kind}");
    }

    /// Switches to messages, with vector `n` sending `n` to address 0x1000.
    fn use_messages(&mut self, vectors: u64) {
        for n in 0..vectors {
            let at = place(1, 16 * n);
            self.slot.write(at, Size::B8, 0x1000).expect("it answers");
            self.slot.write(at + 8, Size::B8, n).expect("it answers");
        }
        let at = self.structure(0x11);
        self.set_config(at + 2, Size::B2, 0x8000);
    }
}

#[test]
fn a_function_says_who_it_is() {
    let mut t = rig(Pci, device());
    assert_eq!(t.config(0, Size::B4), 0x1044_1af4);
    assert_eq!(t.config(8, Size::B4), 0x00ff_0001);
    assert_eq!(t.config(0x2c, Size::B4), 0x1100_1af4);
    assert_eq!(rig(Pci, console()).config(0, Size::B4), 0x1043_1af4);
    assert_eq!(rig(Pci, console()).config(8, Size::B4), 0x0780_0001);
    for id in 0..64 {
        assert!(spec::class_of(id) < 1 << 24);
    }
    let Face::Pci(function) = &t.slot else {
        panic!("it is on PCI");
    };
    let regions = function.regions();
    let regions: Vec<_> = regions.iter().map(|r| (r.bar(), r.size())).collect();
    assert_eq!(regions, [(4, 0x4000), (1, 0x1000)]);
}

#[test]
fn structures_are_where_the_capabilities_say() {
    let mut t = rig(Pci, device());
    for (kind, length, at) in [
        (1, 16, 0),
        (2, 20, 0x3000),
        (3, 16, 0x1000),
        (4, 16, 0x2000),
    ] {
        let cap = t.structure(kind);
        assert_eq!(t.config(cap + 2, Size::B1), length);
        assert_eq!(t.config(cap + 4, Size::B1), 4, "the BAR");
        assert_eq!(t.config(cap + 8, Size::B4), at);
        assert_eq!(t.config(cap + 12, Size::B4), 0x1000);
    }
    let cap = t.structure(2);
    assert_eq!(t.config(cap + 16, Size::B4), 4, "the multiplier");
    let cap = t.structure(5);
    assert_eq!(t.config(cap + 2, Size::B1), 20);
}

#[test]
fn the_common_configuration_is_laid_out_by_the_specification() {
    let mut t = rig(Pci, console());
    t.slot.write(4, Size::B2, 6).expect("it answers");
    t.set_bar(0x00, Size::B4, 1);
    assert_eq!(t.bar(0x04, Size::B4), 1, "VERSION_1");
    t.set_bar(0x08, Size::B4, 1);
    t.set_bar(0x0c, Size::B4, 1);
    assert_eq!(t.bar(0x0c, Size::B4), 1);
    t.set_bar(0x14, Size::B1, 11);
    assert_eq!(t.bar(0x14, Size::B1), 11);
    assert_eq!(t.bar(0x12, Size::B2), 2, "queues");
    t.set_bar(0x16, Size::B2, 1);
    assert_eq!(t.bar(0x18, Size::B2), 128);
    t.set_bar(0x18, Size::B2, 64);
    t.set_bar(0x20, Size::B4, 0x8000_1000);
    t.set_bar(0x28, Size::B8, 0x8000_2000);
    t.set_bar(0x30, Size::B4, 0x8000_3000);
    t.set_bar(0x34, Size::B4, 1);
    assert_eq!(t.bar(0x1c, Size::B8), 0x8000_1000 << 32 | 1 << 16);
    assert_eq!(t.bar(0x28, Size::B8), 0x8000_2000);
    assert_eq!(t.bar(0x30, Size::B8), 0x1_8000_3000);
    t.set_bar(0x34, Size::B4, 0);
    t.set_bar(0x1c, Size::B2, 1);
    // Any size of read shows the same bytes.
    assert_eq!(t.bar(0x16, Size::B2), 1);
    assert_eq!(t.bar(0x14, Size::B4), 0x0001_000b);
    assert_eq!(t.bar(0x1c, Size::B1), 1);
    // A queue that does not exist.
    t.set_bar(0x16, Size::B2, 2);
    assert_eq!(t.bar(0x18, Size::B2), 0);
    assert_eq!(t.bar(0x38, Size::B8), 0);
    assert_eq!(t.bar(0xff8, Size::B8), 0);
}

#[test]
fn a_queue_in_use_cannot_be_changed() {
    let mut t = started(Pci, device(), 0);
    t.set_bar(0x16, Size::B2, 0);
    for (at, size) in [
        (0x18, Size::B2),
        (0x20, Size::B8),
        (0x28, Size::B4),
        (0x34, Size::B4),
    ] {
        let before = t.bar(at, size);
        t.set_bar(at, size, 2);
        assert_eq!(t.bar(at, size), before, "{at:#x}");
    }
    t.set_bar(0x1c, Size::B2, 0);
    assert_eq!(t.bar(0x1c, Size::B2), 1, "only a reset takes it out of use");
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 8)]);
}

#[test]
fn reading_the_isr_acknowledges() {
    let mut t = started(Pci, device(), 0);
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert!(t.irq.high());
    assert_eq!(t.bar(0x1004, Size::B4), 0);
    assert_eq!(t.config(6, Size::B2) & 8, 8);
    assert_eq!(t.bar(0x1000, Size::B1), 1);
    assert!(!t.irq.high());
    assert_eq!(t.bar(0x1000, Size::B1), 0);
    assert_eq!(t.config(6, Size::B2) & 8, 0);
}

#[test]
fn the_pin_can_be_silenced() {
    let mut t = started(Pci, device(), 0);
    t.set_config(4, Size::B2, 0x406);
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert!(!t.irq.high());
    t.set_config(4, Size::B2, 6);
    assert!(t.irq.high());
}

#[test]
fn without_bus_mastering_memory_is_left_alone() {
    let mut t = started(Pci, device(), 0);
    t.set_config(4, Size::B2, 2);
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    t.slot.process(0);
    assert_eq!(t.used(0), []);
    assert!(!t.irq.high());
    t.set_config(4, Size::B2, 6);
    t.serve();
    assert_eq!(t.used(0), [(offer.head, 8)], "what waited is served");
}

#[test]
fn messages_come_by_queue_and_by_configuration() {
    let mut t = started(Pci, console(), 0);
    t.use_messages(3);
    let table = t.structure(0x11);
    assert_eq!(t.config(table + 2, Size::B2), 0x8002, "two queues and one");
    t.set_bar(0x10, Size::B2, 2);
    for queue in 0..2 {
        t.set_bar(0x16, Size::B2, queue);
        t.set_bar(0x1a, Size::B2, queue);
        assert_eq!(t.bar(0x1a, Size::B2), queue);
    }
    t.offer(1, &[b"out"], &[]);
    t.kick(1);
    assert_eq!(t.mail.take(), [(0x1000, 1)]);
    t.offer(0, &[], &[8]);
    assert_eq!(t.slot.receive(0, b"in"), 2);
    assert_eq!(t.mail.take(), [(0x1000, 0)]);
    t.slot.resize(100, 50);
    assert_eq!(t.mail.take(), [(0x1000, 2)]);
    assert_eq!(t.bar(0x1000, Size::B1), 2, "configuration only (4.1.4.5.1)");
    assert_eq!(t.irq.rises(), 0);
}

#[test]
fn a_vector_that_does_not_exist_cannot_be_had() {
    let mut t = started(Pci, device(), 0);
    t.use_messages(2);
    t.set_bar(0x16, Size::B2, 0);
    for at in [0x10, 0x1a] {
        assert_eq!(t.bar(at, Size::B2), 0xffff, "none at first");
        t.set_bar(at, Size::B2, 1);
        assert_eq!(t.bar(at, Size::B2), 1);
        t.set_bar(at, Size::B2, 2);
        assert_eq!(t.bar(at, Size::B2), 0xffff);
    }
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0).len(), 1);
    assert_eq!(t.mail.take(), [], "no vector, no message");
    t.set_bar(0x1a, Size::B2, 1);
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(t.bar(0x1a, Size::B2), 0xffff, "a reset forgets it");
}

#[test]
fn a_reset_by_the_driver_leaves_the_function_as_it_is() {
    let mut t = started(Pci, device(), 0);
    t.set_config(0x20, Size::B4, 0x4000_0000);
    t.use_messages(2);
    t.offer(0, &[], &[8]);
    t.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    t.serve();
    assert_eq!(t.used(0), []);
    assert_eq!(t.config(4, Size::B2), 6);
    assert_eq!(t.config(0x20, Size::B4), 0x4000_000c);
    let at = t.structure(0x11);
    assert_eq!(t.config(at + 2, Size::B2), 0x8001);
}

#[test]
fn a_reset_of_the_function_in_mid_flight_forgets_everything() {
    let mut t = started(Pci, device(), 0);
    t.offer(0, &[], &[8]);
    t.kick(0);
    assert!(t.irq.high());
    t.offer(0, &[], &[8]);
    t.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    t.used(0);
    let flr = {
        let mut at = t.config(0x34, Size::B1);
        while t.config(at, Size::B1) != 0x13 {
            at = t.config(at + 1, Size::B1);
        }
        at + 4
    };
    t.set_config(flr, Size::B1, 1);
    t.serve();
    assert_eq!(t.used(0), []);
    assert!(!t.irq.high());
    assert_eq!(t.config(4, Size::B2), 0);
    assert_eq!(t.bar(0x14, Size::B1), 0);
    t.start(0);
    let offer = t.offer(0, &[], &[8]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 8)]);
}

/// Points the access capability at `offset` in `bar`.
fn aim(t: &mut Rig<Rng>, bar: u64, offset: u64, length: u64) -> u64 {
    let cap = t.structure(5);
    t.set_config(cap + 4, Size::B1, bar);
    t.set_config(cap + 8, Size::B4, offset);
    t.set_config(cap + 12, Size::B4, length);
    cap + 16
}

#[test]
fn the_bar_can_be_reached_through_the_configuration_space() {
    let mut t = rig(Pci, device());
    let data = aim(&mut t, 4, 0x14, 1);
    t.set_config(data, Size::B1, 3);
    assert_eq!(t.bar(0x14, Size::B1), 3);
    assert_eq!(t.config(data, Size::B4), 3);
    aim(&mut t, 4, 0x12, 2);
    assert_eq!(t.config(data, Size::B2), 1, "one queue");
    aim(&mut t, 4, 0, 4);
    t.set_config(data, Size::B4, 1);
    aim(&mut t, 4, 4, 4);
    assert_eq!(t.config(data, Size::B4), 1, "VERSION_1");
    assert_eq!(t.config(data + 1, Size::B1), 0);
}

#[test]
fn the_access_capability_reaches_nothing_outside_of_its_bar() {
    let mut t = started(Pci, device(), 0);
    t.use_messages(2);
    let before = t.slot.save();
    for (bar, offset, length) in [
        (4, 0x4000, 1),
        (4, 0x3ffe, 4),
        (4, 0xffff_fffc, 4),
        (4, 1, 2),
        (4, 0, 0),
        (4, 0, 3),
        (4, 0, 8),
        (4, 0, 0xffff_ffff),
        (1, 0, 4),
        (0, 0, 4),
        (6, 0, 4),
        (0xff, 0, 4),
    ] {
        let data = aim(&mut t, bar, offset, length);
        t.set_config(data, Size::B4, 0xffff_ffff);
        assert_eq!(t.config(data, Size::B4), 0xffff_ffff, "what was written");
    }
    let data = aim(&mut t, 0, 0, 0);
    t.set_config(data, Size::B4, 0);
    assert_eq!(t.slot.save(), before);
}

#[test]
fn state_of_another_transport_is_refused() {
    let mmio = started(Modern, device(), 0).slot.save();
    let pci = started(Pci, device(), 0).slot.save();
    assert!(rig(Pci, device()).slot.restore(&mmio).is_err());
    assert!(rig(Modern, device()).slot.restore(&pci).is_err());
    let mut t = rig(Pci, console());
    assert!(t.slot.restore(&pci).is_err());
    assert_eq!(t.config(4, Size::B2), 0, "as after reset");
}

#[test]
fn messages_survive_a_move() {
    let mut t = started(Pci, device(), 0);
    t.use_messages(2);
    t.set_bar(0x16, Size::B2, 0);
    t.set_bar(0x1a, Size::B2, 1);
    for _ in 0..3 {
        t.offer(0, &[], &[8]);
        t.kick(0);
        assert_eq!(t.mail.take(), [(0x1000, 1)]);
        t.move_to(device());
        t.serve();
        assert_eq!(t.mail.take(), [], "none is repeated");
    }
}

/// Something that a hostile guest does to a function, beyond what any driver does.
fn odd() -> impl Strategy<Value = (u64, Size, Option<u64>)> {
    let spaces = prop_oneof![
        3 => (0..0x100u64).prop_map(|at| at),
        4 => (0..0x40u64, 0..4u64).prop_map(|(at, page)| place(4, page * 0x1000 + at)),
        2 => (0..0x60u64, any::<bool>()).prop_map(|(at, high)| {
            place(1, at + if high { 0x800 } else { 0 })
        }),
        1 => (any::<u64>()).prop_map(|at| at),
    ];
    let value = prop_oneof![3 => 0..16u64, 1 => any::<u64>(), 1 => Just(0x8000_8000)];
    (spaces, 0..4usize, prop::option::of(value)).prop_map(|(at, size, value)| {
        let size = [Size::B1, Size::B2, Size::B4, Size::B8][size];
        (at & !(size.bytes() - 1), size, value)
    })
}

proptest! {
    #[test]
    fn a_hostile_driver_hurts_itself_only(
        steps in hostile(),
        odd in prop::collection::vec(odd(), 120),
    ) {
        let mut t = rig(Pci, device());
        for (step, (at, size, value)) in steps.iter().zip(odd) {
            t.suffer(step, device);
            match value {
                Some(value) => t.set_config(at, size, value),
                None => drop(t.config(at, size)),
            }
            t.serve();
        }
        t.slot.reset();
        prop_assert!(!t.irq.high());
        t.start(0);
        let offer = t.offer(0, &[], &[8]);
        t.kick(0);
        prop_assert_eq!(t.used(0), [(offer.head, 8)]);
    }

    #[test]
    fn damaged_state_is_refused_or_harmless(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut t = started(Pci, device(), 0);
        t.use_messages(2);
        t.offer(0, &[], &[8]);
        let mut saved = t.slot.save();
        *at.get_mut(&mut saved) = value;
        let _ = t.slot.restore(&saved);
        t.serve();
        t.slot.reset();
        t.start(0);
        let offer = t.offer(0, &[], &[8]);
        t.kick(0);
        prop_assert_eq!(t.used(0), [(offer.head, 8)]);
    }
}
