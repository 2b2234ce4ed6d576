//! The 9P transport, with a server that answers when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_mmio as vm;

use super::super::QueueSlot;
use super::super::testing::{Kind, Offer, Rig, hostile, rig, started};
use super::*;
use Kind::Modern;

/// Not accepted where a test expects an interrupt for each buffer.
const EVENT_IDX: u64 = 1 << 29;

/// Requests as they arrived.
#[derive(Clone, Default)]
struct Port(Arc<Mutex<VecDeque<P9Request>>>);

impl Port {
    fn requests(&self) -> MutexGuard<'_, VecDeque<P9Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> P9Request {
        self.requests()
            .pop_front()
            .expect("a request was passed on")
    }
}

impl P9Port for Port {
    fn submit(&mut self, request: P9Request) {
        self.requests().push_back(request);
    }
}

fn device(port: &Port) -> P9 {
    P9::new("home", Box::new(port.clone()))
}

/// A message with this tag and `len` bytes in all.
fn message(tag: u16, len: usize) -> Vec<u8> {
    let mut message = (len as u32).to_le_bytes().to_vec();
    message.push(100);
    message.extend(tag.to_le_bytes());
    message.resize(len, 0x5a);
    message
}

/// `Rlerror`.
fn error(tag: u16, errno: u32) -> Vec<u8> {
    let mut answer = vec![11, 0, 0, 0, 7];
    answer.extend(tag.to_le_bytes());
    answer.extend(errno.to_le_bytes());
    answer
}

fn starts_with(t: &Rig<P9>, offer: &Offer, answer: &[u8]) {
    let written = t.written(offer);
    assert_eq!(&written[..answer.len()], answer);
}

#[test]
fn the_configuration_tells_the_tag() {
    let mut t = rig(Modern, device(&Port::default()));
    let mut field = |at: u64, size| t.slot.read(0x100 + at, size);
    assert_eq!(field(0, Size::B2), Ok(4));
    assert_eq!(
        field(2, Size::B4),
        Ok(u64::from(u32::from_le_bytes(*b"home")))
    );
    assert_eq!(field(6, Size::B1), Ok(0));
    assert_eq!(t.slot.read(8, Size::B4), Ok(9));
    let long = P9::new(&"t".repeat(300), Box::new(Port::default()));
    assert_eq!(long.config().len(), 2 + TAG_MAX);
    assert_eq!(long.features(), 1);
}

#[test]
fn messages_go_to_the_server_and_answers_come_back() {
    let both = |kind| [(kind, false), (kind, true)];
    for (kind, indirect) in Kind::ALL.into_iter().flat_map(both) {
        let port = Port::default();
        let mut t = started(kind, device(&port), !EVENT_IDX);
        t.indirect = indirect;
        let request = message(7, 100);
        let offer = t.offer(0, &[&request[..3], &request[3..]], &[11, 4085]);
        t.kick(0);
        assert_eq!(t.used(0), [], "not before the server answered");
        let passed = port.next();
        assert_eq!(passed.message, request);
        assert_eq!(passed.room, 4096);
        let answer = message(7, 23);
        t.slot.complete(passed.id, &answer);
        assert_eq!(t.used(0), [(offer.head, 23)]);
        assert!(t.take_interrupt());
        starts_with(&t, &offer, &answer);
        t.slot.complete(passed.id, &answer);
        t.slot.complete(99, &answer);
        assert_eq!(t.used(0), [], "each request is answered once");
    }
}

#[test]
fn answers_may_come_in_any_order() {
    let port = Port::default();
    let mut t = started(Modern, device(&port), !EVENT_IDX);
    let offers = [1, 2, 3].map(|tag| t.offer(0, &[&message(tag, 20)], &[64]));
    t.kick(0);
    let requests = [port.next(), port.next(), port.next()];
    for n in [2, 0, 1] {
        let answer = message(n as u16 + 1, 30);
        t.slot.complete(requests[n].id, &answer);
        assert_eq!(t.used(0), [(offers[n].head, 30)]);
        starts_with(&t, &offers[n], &answer);
    }
}

#[test]
fn what_cannot_be_a_message_needs_a_reset() {
    for (readable, writable) in [(6, 64), (7, 10), (0, 64)] {
        let port = Port::default();
        let mut t = started(Modern, device(&port), 0);
        let bytes = message(1, 20);
        let read: &[&[u8]] = if readable > 0 {
            &[&bytes[..readable]]
        } else {
            &[]
        };
        t.offer(0, read, &[writable]);
        t.kick(0);
        assert!(t.needs_reset(), "{readable} and {writable} bytes");
        assert!(port.requests().is_empty());
    }
}

#[test]
fn long_requests_and_answers_become_errors() {
    let port = Port::default();
    let mut t = started(Modern, device(&port), !EVENT_IDX);
    let long = t.offer(0, &[&message(5, REQUEST_MAX + 1)], &[64]);
    let whole = t.offer(0, &[&message(6, REQUEST_MAX)], &[64]);
    t.kick(0);
    assert_eq!(t.used(0), [(long.head, 11)]);
    starts_with(&t, &long, &error(5, 90));
    let request = port.next();
    assert_eq!((request.message.len(), request.room), (REQUEST_MAX, 64));
    t.slot.complete(request.id, &[0; 65]);
    assert_eq!(t.used(0), [(whole.head, 11)]);
    starts_with(&t, &whole, &error(6, 90));
    // More room than any answer needs is not told.
    t.offer(0, &[&message(7, 20)], &[ANSWER_MAX, ANSWER_MAX]);
    t.kick(0);
    assert_eq!(port.next().room, ANSWER_MAX);
}

#[test]
fn what_is_in_flight_is_bounded_across_resets() {
    let port = Port::default();
    let mut t = started(Modern, device(&port), !EVENT_IDX);
    t.indirect = true;
    let offer_all = |t: &mut Rig<P9>| {
        for n in 0..IN_FLIGHT_MAX {
            t.offer(0, &[&message(n as u16, 20)], &[64]);
        }
        t.kick(0);
    };
    offer_all(&mut t);
    assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(t.slot.device().in_flight(), 0);
    t.start(!EVENT_IDX);
    offer_all(&mut t);
    assert_eq!(
        port.requests().len(),
        IN_FLIGHT_MAX,
        "the old ones take the room"
    );
    let old = port.next();
    t.slot.complete(old.id, &message(0, 20));
    assert_eq!(t.used(0), [], "what was forgotten is not answered");
    assert_eq!(port.requests().len(), IN_FLIGHT_MAX, "but makes room");
}

#[test]
fn requests_in_flight_fail_after_a_restore() {
    let port = Port::default();
    let mut t = started(Modern, device(&port), !EVENT_IDX);
    let offers = [1, 2].map(|tag| t.offer(0, &[&message(tag, 20)], &[64]));
    t.kick(0);
    let before = [port.next(), port.next()];
    t.move_to(device(&port));
    t.move_to(device(&port));
    assert_eq!(t.slot.device().in_flight(), 2);
    t.serve();
    assert_eq!(t.used(0), [(offers[0].head, 11), (offers[1].head, 11)]);
    starts_with(&t, &offers[1], &error(2, 5));
    assert!(port.requests().is_empty(), "nothing is done twice");
    t.slot.complete(before[0].id, &message(1, 20));
    assert_eq!(t.used(0), []);
}

#[test]
fn a_state_that_no_device_left_is_refused() {
    let port = Port::default();
    let mut t = started(Modern, device(&port), !EVENT_IDX);
    t.offer(0, &[&message(1, 20)], &[64]);
    t.kick(0);
    let state = t.slot.device().saved();
    let chain = t.slot.device().in_flight[&0].clone();
    let ram = t.ram.clone();
    let mut fresh = device(&port);
    assert!(fresh.restore(state, &ram).is_ok());
    let short = Chain {
        writable: chain.readable.clone(),
        readable: Default::default(),
        ..chain.clone()
    };
    for in_flight in [vec![short], vec![chain; IN_FLIGHT_MAX + 1]] {
        assert!(fresh.restore(P9State { in_flight }, &ram).is_err());
    }
    // The state as a whole goes through its bytes.
    let saved = t.slot.save();
    assert!(t.slot.restore(&saved).is_ok());
    t.slot.process(0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hostile_driver_hurts_itself_only(
        kind in prop::sample::select(&Kind::ALL[..]),
        steps in hostile(),
    ) {
        let port = Port::default();
        let mut t = rig(kind, device(&port));
        for (n, step) in steps.iter().enumerate() {
            t.suffer(step, || device(&port));
            prop_assert!(t.slot.device().in_flight() <= IN_FLIGHT_MAX);
            let request = { port.requests().pop_front() };
            if let Some(request) = request {
                prop_assert!(request.message.len() <= REQUEST_MAX && request.room <= ANSWER_MAX);
                t.slot.complete(request.id, &message(0, n * 7 + 7));
            }
        }
        loop {
            let request = { port.requests().pop_front() };
            let Some(request) = request else { break };
            t.slot.complete(request.id, &message(0, 7));
        }
        t.start(!EVENT_IDX);
        let offer = t.offer(0, &[&message(3, 20)], &[64]);
        t.kick(0);
        t.slot.complete(port.next().id, &message(3, 9));
        prop_assert_eq!(t.used(0), [(offer.head, 9)]);
    }
}
