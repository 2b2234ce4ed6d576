//! The console, by the sentences of Virtio 1.2, 5.3.

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_mmio as vm;

use super::super::QueueSlot;
use super::super::testing::{Kind, Rig, hostile, rig, started};
use super::spec::event;
use super::*;
use crate::testing::TapeSink;
use Kind::Modern;

const MULTIPORT: u64 = Features::MULTIPORT.bits();
/// Not accepted where a test expects an interrupt for each buffer.
const EVENT_IDX: u64 = 1 << 29;

/// One console and nothing else.
fn plain(sink: &TapeSink) -> Console {
    Console::new(vec![PortConfig {
        name: String::new(),
        is_console: true,
        sink: Box::new(sink.clone()),
    }])
}

/// A console and two channels.
fn multi(sinks: &[TapeSink; 3]) -> Console {
    let names = ["", "org.isoform.exec", "b"];
    let ports = names.iter().zip(sinks).enumerate();
    Console::new(
        ports
            .map(|(n, (name, sink))| PortConfig {
                name: (*name).to_owned(),
                is_console: n == 0,
                sink: Box::new(sink.clone()),
            })
            .collect(),
    )
}

/// The driver says something.
fn say(t: &mut Rig<Console>, port: u32, event: u16, value: u16) {
    let mut message = port.to_le_bytes().to_vec();
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    t.offer(CONTROL_TX, &[&message], &[]);
    t.kick(CONTROL_TX);
}

/// The driver listens: the messages so far, as (port, event, value, rest).
fn listen(t: &mut Rig<Console>) -> Vec<(u32, u16, u16, Vec<u8>)> {
    t.used(CONTROL_RX);
    let mut heard = Vec::new();
    loop {
        let offer = t.offer(CONTROL_RX, &[], &[64]);
        t.kick(CONTROL_RX);
        let used = t.used(CONTROL_RX);
        let Some(&(_, len)) = used.first() else {
            // The unanswered offer stays; it takes the next message.
            t.forget(CONTROL_RX, offer);
            return heard;
        };
        let bytes = &t.written(&offer)[..len as usize];
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let port = u32::from(half(0)) | u32::from(half(2)) << 16;
        heard.push((port, half(4), half(6), bytes[8..].to_vec()));
    }
}

/// A multiport console whose driver has opened all ports.
fn opened(sinks: &[TapeSink; 3]) -> Rig<Console> {
    let mut t = started(Modern, multi(sinks), MULTIPORT);
    say(&mut t, 0, event::DEVICE_READY, 1);
    for port in 0..3 {
        say(&mut t, port, event::PORT_READY, 1);
        say(&mut t, port, event::PORT_OPEN, 1);
    }
    listen(&mut t);
    t
}

#[test]
fn queues_are_where_the_specification_has_them() {
    let queues: Vec<_> = (0..3).map(|p| (rx_queue(p), tx_queue(p))).collect();
    assert_eq!(queues, [(0, 1), (4, 5), (6, 7)]);
    let sinks = Default::default();
    let t = rig(Modern, multi(&sinks));
    assert_eq!(t.slot.device().queue_sizes().len(), 8);
    let t = rig(Modern, plain(&TapeSink::default()));
    assert_eq!(t.slot.device().queue_sizes().len(), 2);
}

#[test]
fn a_plain_console_prints_and_reads() {
    for kind in Kind::ALL {
        let sink = TapeSink::default();
        let mut t = started(kind, plain(&sink), !EVENT_IDX);
        let out = t.offer(1, &[b"hello ", b"world"], &[]);
        t.kick(1);
        assert_eq!(t.used(1), [(out.head, 0)]);
        assert_eq!(sink.take(), b"hello world");
        assert!(t.take_interrupt());

        assert_eq!(t.slot.receive(0, b"early"), 0, "no buffer yet");
        assert_eq!(sink.tape().input_rooms, 0);
        let a = t.offer(0, &[], &[2, 2]);
        let b = t.offer(0, &[], &[16]);
        t.kick(0);
        assert_eq!(sink.tape().input_rooms, 1, "now there is room");
        assert_eq!(t.slot.receive(0, b"typed"), 5);
        assert_eq!(t.used(0), [(a.head, 4), (b.head, 1)]);
        assert_eq!(t.written(&a), b"type");
        assert_eq!(&t.written(&b)[..1], b"d");
        assert!(t.take_interrupt());
        assert_eq!(t.slot.receive(1, b"no such port"), 0);
    }
}

#[test]
fn what_the_sink_does_not_take_waits_in_the_guest() {
    let sink = TapeSink::default();
    let mut t = started(Modern, plain(&sink), 0);
    sink.tape().room = Some(7);
    let data: Vec<u8> = (0..20).collect();
    let first = t.offer(1, &[&data], &[]);
    let second = t.offer(1, &[b"later"], &[]);
    t.kick(1);
    assert_eq!(t.used(1), []);
    assert_eq!(sink.take(), &data[..7]);
    sink.tape().room = Some(3);
    t.slot.output_room(0);
    assert_eq!(sink.take(), &data[7..10]);
    assert_eq!(t.used(1), []);
    sink.tape().room = None;
    t.slot.output_room(0);
    assert_eq!(sink.take(), [&data[10..], b"later"].concat());
    assert_eq!(t.used(1), [(first.head, 0), (second.head, 0)]);
    assert!(t.take_interrupt());
}

#[test]
fn a_large_buffer_is_sent_in_turns() {
    let sink = TapeSink::default();
    let mut t = started(Modern, plain(&sink), 0);
    let data: Vec<u8> = (0..5 << 19).map(|i| (i / 3) as u8).collect();
    let out = t.offer(1, &[&data], &[]);
    t.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_eq!(t.bell.take(), [1]);
    t.slot.process(1);
    assert_eq!(sink.tape().bytes.len() as u64, TURN);
    assert_eq!(t.bell.take(), [1], "it asks for another turn");
    t.slot.process(1);
    t.serve();
    assert_eq!(t.used(1), [(out.head, 0)]);
    assert!(sink.take() == data);
}

#[test]
fn ports_are_introduced_as_the_driver_asks() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = started(Modern, multi(&sinks), MULTIPORT);
    assert_eq!(t.slot.read(0x104, Size::B4), Ok(3));
    assert_eq!(listen(&mut t), []);
    say(&mut t, 0, event::DEVICE_READY, 1);
    let added: Vec<_> = (0..3)
        .map(|p| (p, event::PORT_ADD, 1, Vec::new()))
        .collect();
    assert_eq!(listen(&mut t), added);
    for port in 0..3 {
        say(&mut t, port, event::PORT_READY, 1);
    }
    let name = b"org.isoform.exec".to_vec();
    assert_eq!(
        listen(&mut t),
        [
            (0, event::CONSOLE_PORT, 1, Vec::new()),
            (0, event::PORT_OPEN, 1, Vec::new()),
            (1, event::PORT_NAME, 1, name),
            (1, event::PORT_OPEN, 1, Vec::new()),
            (2, event::PORT_NAME, 1, b"b".to_vec()),
            (2, event::PORT_OPEN, 1, Vec::new()),
        ]
    );
}

#[test]
fn channels_are_apart_from_each_other() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = opened(&sinks);
    for (port, bytes) in [(0, b"zero"), (1, b"one!"), (2, b"two!")] {
        t.offer(tx_queue(port), &[bytes], &[]);
        t.kick(tx_queue(port));
    }
    let taken: Vec<_> = sinks.iter().map(TapeSink::take).collect();
    assert_eq!(taken, [b"zero", b"one!", b"two!"]);
    let offers: Vec<_> = (0..3).map(|p| t.offer(rx_queue(p), &[], &[8])).collect();
    assert_eq!(t.slot.receive(1, b"in"), 2);
    assert_eq!(t.used(rx_queue(1)), [(offers[1].head, 2)]);
    assert_eq!(t.used(rx_queue(0)), []);
    assert_eq!(t.slot.receive(3, b"in"), 0);
}

#[test]
fn input_waits_until_the_guest_opens_the_port() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = started(Modern, multi(&sinks), MULTIPORT);
    let offer = t.offer(rx_queue(1), &[], &[8]);
    t.kick(rx_queue(1));
    assert_eq!(t.slot.receive(1, b"x"), 0);
    assert_eq!(sinks[1].tape().input_rooms, 0);
    say(&mut t, 1, event::PORT_OPEN, 1);
    assert_eq!(sinks[1].tape().open, Some(true));
    assert_eq!(sinks[1].tape().input_rooms, 1);
    assert_eq!(t.slot.receive(1, b"x"), 1);
    assert_eq!(t.used(rx_queue(1)), [(offer.head, 1)]);
    say(&mut t, 1, event::PORT_OPEN, 0);
    assert_eq!(sinks[1].tape().open, Some(false));
    assert_eq!(t.slot.receive(1, b"x"), 0);
}

#[test]
fn the_host_can_end_a_stream() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = opened(&sinks);
    t.slot.set_host_open(1, false);
    t.slot.set_host_open(1, false);
    assert_eq!(listen(&mut t), [(1, event::PORT_OPEN, 0, Vec::new())]);
    t.slot.set_host_open(1, true);
    assert_eq!(listen(&mut t), [(1, event::PORT_OPEN, 1, Vec::new())]);
    t.slot.set_host_open(9, true);
    assert_eq!(listen(&mut t), []);
}

#[test]
fn a_driver_without_multiport_gets_the_console_alone() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = started(Modern, multi(&sinks), 0);
    t.offer(1, &[b"hi"], &[]);
    t.kick(1);
    assert_eq!(sinks[0].take(), b"hi");
    t.offer(0, &[], &[8]);
    assert_eq!(t.slot.receive(0, b"x"), 1);
    assert_eq!(t.slot.receive(1, b"x"), 0);
}

#[test]
fn a_driver_that_does_not_listen_is_not_heard_for_ever() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = started(Modern, multi(&sinks), MULTIPORT);
    for _ in 0..120 {
        say(&mut t, 0, event::DEVICE_READY, 1);
    }
    let kept = t.slot.device().messages.len();
    assert!(kept < 8 * PORTS_MAX, "{kept} messages");
    let unheard = 120 - t.used(CONTROL_TX).len();
    assert!(unheard > 0);
    // Once it listens, everything it said is answered.
    assert_eq!(listen(&mut t).len(), 360);
}

#[test]
fn odd_control_messages_are_ignored() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = opened(&sinks);
    say(&mut t, 77, event::PORT_READY, 1);
    say(&mut t, 0x1_0001, event::PORT_OPEN, 0);
    say(&mut t, 1, 99, 1);
    say(&mut t, 1, event::PORT_READY, 0);
    t.used(CONTROL_TX);
    t.offer(CONTROL_TX, &[b"short"], &[]);
    t.kick(CONTROL_TX);
    assert_eq!(t.used(CONTROL_TX).len(), 1);
    assert_eq!(listen(&mut t), []);
    assert!(!t.needs_reset());
    assert_eq!(sinks[1].tape().open, Some(true));
}

#[test]
fn the_size_is_configuration_and_its_change_an_interrupt() {
    let sink = TapeSink::default();
    let mut t = started(Modern, plain(&sink), Features::SIZE.bits());
    let generation = t.r(vm::VIRTIO_MMIO_CONFIG_GENERATION);
    t.slot.resize(132, 43);
    assert_eq!(t.slot.read(0x100, Size::B2), Ok(132));
    assert_eq!(t.slot.read(0x102, Size::B2), Ok(43));
    assert_ne!(t.r(vm::VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_eq!(
        t.r(vm::VIRTIO_MMIO_INTERRUPT_STATUS),
        vm::VIRTIO_MMIO_INT_CONFIG
    );
    assert!(!t.take_interrupt());
    t.slot.resize(132, 43);
    assert!(!t.irq.high());
}

#[test]
fn the_emergency_register_prints_before_there_is_a_driver() {
    let sink = TapeSink::default();
    let mut t = rig(Modern, plain(&sink));
    for byte in *b"ouch" {
        t.slot
            .write(0x108, Size::B4, u64::from(byte))
            .expect("the slot answers");
    }
    assert_eq!(sink.take(), b"ouch");
}

#[test]
fn a_reset_closes_ports_and_forgets_what_was_being_sent() {
    let sinks: [TapeSink; 3] = Default::default();
    let mut t = opened(&sinks);
    sinks[1].tape().room = Some(1);
    t.offer(tx_queue(1), &[b"abc"], &[]);
    t.kick(tx_queue(1));
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(sinks[1].tape().open, Some(false));
    sinks[1].tape().room = None;
    t.slot.output_room(1);
    assert_eq!(sinks[1].take(), b"a");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both streams arrive whole and in order, whatever the sink takes at a time,
    /// however buffers are cut, and wherever the device is moved.
    #[test]
    fn streams_are_exact_whatever_moves(
        steps in prop::collection::vec((0..5u8, 1..300usize), 1..60),
        indirect in any::<bool>(),
    ) {
        let mut sinks: [TapeSink; 3] = Default::default();
        let mut t = opened(&sinks);
        t.indirect = indirect;
        let (mut sent, mut heard) = (Vec::new(), Vec::new());
        let (mut typed, mut read) = (Vec::new(), Vec::new());
        let mut offers = std::collections::VecDeque::new();
        let mut next = 0u8;
        let mut bytes = |n: usize| -> Vec<u8> {
            (0..n).map(|_| { next = next.wrapping_mul(5).wrapping_add(3); next }).collect()
        };
        for (kind, n) in steps {
            match kind {
                0 => {
                    let data = bytes(n);
                    let cut = n / 3;
                    t.offer(5, &[&data[..cut], &data[cut..]], &[]);
                    t.kick(5);
                    sent.extend(data);
                }
                1 => {
                    sinks[1].tape().room = Some(n);
                    t.slot.output_room(1);
                }
                2 => {
                    offers.push_back(t.offer(4, &[], &[n / 2, n - n / 2]));
                    t.kick(4);
                }
                3 => {
                    let data = bytes(n);
                    let taken = t.slot.receive(1, &data);
                    prop_assert!(taken <= n);
                    typed.extend_from_slice(&data[..taken]);
                }
                _ => {
                    let room = sinks[1].tape().room;
                    heard.extend(sinks[1].take());
                    sinks = Default::default();
                    sinks[1].tape().room = room;
                    t.move_to(multi(&sinks));
                    t.serve();
                }
            }
            for (head, len) in t.used(4) {
                let offer = offers.pop_front().expect("buffers come back in order");
                prop_assert_eq!(offer.head, head);
                read.extend_from_slice(&t.written(&offer)[..len as usize]);
            }
        }
        sinks[1].tape().room = None;
        t.slot.output_room(1);
        heard.extend(sinks[1].take());
        prop_assert!(sent == heard, "output: {} bytes of {}", heard.len(), sent.len());
        prop_assert!(typed == read, "input");
    }

    #[test]
    fn damaged_state_is_refused_or_harmless(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let sinks: [TapeSink; 3] = Default::default();
        let mut t = opened(&sinks);
        sinks[1].tape().room = Some(3);
        t.offer(5, &[b"half sent"], &[]);
        t.kick(5);
        t.slot.set_host_open(2, false);
        say(&mut t, 0, event::DEVICE_READY, 1);
        let mut saved = t.slot.save();
        *at.get_mut(&mut saved) = value;
        sinks[1].tape().room = None;
        let _ = t.slot.restore(&saved);
        t.serve();
        prop_assert!(sinks[1].take().len() <= 4096 + 9);
        t.start(0);
        t.offer(1, &[b"alive"], &[]);
        t.kick(1);
        prop_assert!(sinks[0].take().ends_with(b"alive"));
    }

    #[test]
    fn a_hostile_driver_hurts_itself_only(
        kind in prop::sample::select(&Kind::ALL[..]),
        steps in hostile(),
        rooms in prop::collection::vec(prop::option::of(0..100usize), 3),
    ) {
        let sinks: [TapeSink; 3] = Default::default();
        for (sink, room) in sinks.iter().zip(rooms) {
            sink.tape().room = room;
        }
        let mut t = rig(kind, multi(&sinks));
        for step in &steps {
            t.suffer(step, || multi(&sinks));
            t.slot.receive(0, b"zero");
            t.slot.receive(1, b"one");
            t.slot.set_host_open(2, sinks[2].tape().bytes.len().is_multiple_of(2));
            t.serve();
            prop_assert!(t.slot.device().messages.len() <= 8 * PORTS_MAX);
        }
        for sink in &sinks {
            sink.tape().room = None;
            sink.take();
        }
        t.start(0);
        t.offer(1, &[b"alive"], &[]);
        t.kick(1);
        prop_assert_eq!(sinks[0].take(), b"alive");
    }
}
