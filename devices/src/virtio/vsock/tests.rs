//! The socket device, with a port that does what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoform_core::{Device, Size};
use proptest::prelude::*;

use super::super::PacketSlot;
use super::super::testing::{Kind, Rig, hostile, rig, started};
use super::*;
use Kind::Modern;

/// Not accepted where a test expects an interrupt for each buffer.
const EVENT_IDX: u64 = 1 << 29;

#[derive(Default)]
struct Ends {
    sent: Vec<Vec<u8>>,
    coming: VecDeque<Vec<u8>>,
    room: usize,
}

#[derive(Clone)]
struct Port(Arc<Mutex<Ends>>);

impl Port {
    fn with_room(room: usize) -> Self {
        let ends = Ends {
            room,
            ..Ends::default()
        };
        Self(Arc::new(Mutex::new(ends)))
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.ends().sent)
    }
}

impl PacketPort for Port {
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut ends = self.ends();
        if ends.sent.len() >= ends.room {
            return Err(packet);
        }
        ends.sent.push(packet);
        Ok(())
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.ends().coming.pop_front()
    }
}

fn device(port: &Port) -> Vsock {
    Vsock::new(3, Box::new(port.clone()))
}

/// A device that is set up, with a port that has heard of the reset.
fn ready(kind: Kind, room: usize) -> (Rig<Vsock>, Port) {
    let port = Port::with_room(room.max(16));
    let t = started(kind, device(&port), !EVENT_IDX);
    let told = port.take().len();
    let mut ends = port.ends();
    ends.coming.extend(vec![Vec::new(); told]);
    ends.room = room;
    drop(ends);
    (t, port)
}

/// A packet: an operation, what its header says of the payload, and that payload.
fn packet(op: u16, len: u32, payload: &[u8]) -> Vec<u8> {
    let mut header: Vec<u8> = (1..=HEADER_BYTES as u8).collect();
    header[24..28].copy_from_slice(&len.to_le_bytes());
    header[30..32].copy_from_slice(&op.to_le_bytes());
    [header, payload.to_vec()].concat()
}

fn whole(op: u16, payload: &[u8]) -> Vec<u8> {
    packet(op, payload.len() as u32, payload)
}

#[test]
fn the_configuration_tells_the_guests_number() {
    let mut t = rig(Modern, device(&Port::with_room(1)));
    assert_eq!(t.slot.read(0x100, Size::B4), Ok(3));
    assert_eq!(t.slot.read(0x104, Size::B4), Ok(0));
    assert_eq!(t.slot.read(8, Size::B4), Ok(19));
}

#[test]
fn packets_go_both_ways() {
    for kind in Kind::ALL {
        let (mut t, port) = ready(kind, 16);
        let sent = whole(5, b"to the host");
        let offer = t.offer(1, &[&sent[..7], &sent[7..50], &sent[50..]], &[]);
        t.kick(1);
        assert_eq!(t.used(1), [(offer.head, 0)]);
        assert!(t.take_interrupt());
        assert_eq!(port.take(), [sent]);

        let came = whole(5, b"to the guest");
        port.ends().coming.push_back(came.clone());
        t.slot.look();
        assert_eq!(t.used(0), [], "no buffer yet");
        let offer = t.offer(0, &[], &[3, 100]);
        t.kick(0);
        assert_eq!(t.used(0), [(offer.head, came.len() as u32)]);
        assert_eq!(t.written(&offer)[..came.len()], came);
    }
}

#[test]
fn data_is_cut_to_the_drivers_buffers() {
    let (mut t, port) = ready(Modern, 16);
    let data: Vec<u8> = (0..250).collect();
    port.ends().coming.push_back(whole(5, &data));
    port.ends().coming.push_back(whole(1, b""));
    let offers = [144, 144, 500, 44].map(|room| t.offer(0, &[], &[room]));
    t.slot.look();
    let used = t.used(0);
    let lens: Vec<u32> = used.iter().map(|u| u.1).collect();
    assert_eq!(lens, [144, 144, 94, 44]);
    let mut joined = Vec::new();
    for (offer, len) in offers.iter().zip([100, 100, 50]) {
        let bytes = t.written(offer);
        assert_eq!(bytes[..44], packet(5, len, b""));
        joined.extend_from_slice(&bytes[44..][..len as usize]);
    }
    assert_eq!(joined, data);
    assert_eq!(t.written(&offers[3])[..44], packet(1, 0, b""));
}

#[test]
fn a_port_without_room_stops_the_driver() {
    let (mut t, port) = ready(Modern, 1);
    let offers = [1u8, 2, 3].map(|n| t.offer(1, &[&whole(5, &[n])], &[]));
    t.kick(1);
    // One is with the port, one waits here.
    assert_eq!(t.used(1), [(offers[0].head, 0), (offers[1].head, 0)]);
    assert_eq!(port.take(), [whole(5, &[1])]);
    t.slot.look();
    assert_eq!(t.used(1), [(offers[2].head, 0)]);
    assert_eq!(port.take(), [whole(5, &[2])]);
    t.slot.look();
    assert_eq!(port.take(), [whole(5, &[3])]);
}

#[test]
fn what_is_no_packet_goes_nowhere() {
    let (mut t, port) = ready(Modern, 16);
    let short = t.offer(1, &[&[0; HEADER_BYTES - 1]], &[]);
    let cut = t.offer(1, &[&packet(5, 4, b"abc")], &[]);
    let empty = t.offer(1, &[], &[64]);
    let long = t.offer(1, &[&packet(5, 3, b"abcdef")], &[]);
    t.kick(1);
    let heads = [&short, &cut, &empty, &long].map(|o| (o.head, 0));
    assert_eq!(t.used(1), heads);
    assert_eq!(port.take(), [whole(5, b"abc")], "as long as it says");
    let max = vec![7; PAYLOAD_MAX];
    t.offer(1, &[&whole(5, &max)], &[]);
    t.kick(1);
    assert_eq!(port.take().len(), 1);
    assert!(!t.needs_reset());
    t.offer(1, &[&packet(5, PAYLOAD_MAX as u32 + 1, b"")], &[]);
    t.kick(1);
    assert!(t.needs_reset());
}

#[test]
fn buffers_without_room_need_a_reset() {
    for (room, op, payload) in [(43, 1, 0), (44, 5, 1), (50, 1, 20)] {
        let (mut t, port) = ready(Modern, 16);
        port.ends().coming.push_back(whole(op, &vec![1; payload]));
        t.offer(0, &[], &[room]);
        t.slot.look();
        assert!(t.needs_reset(), "{room} bytes for operation {op}");
    }
}

#[test]
fn a_reset_ends_connections() {
    let (mut t, port) = ready(Modern, 1);
    let before = || whole(5, b"before");
    for _ in 0..3 {
        t.offer(1, &[&before()], &[]);
    }
    t.kick(1);
    port.ends().coming.push_back(before());
    t.slot.reset();
    // The port is full: it hears of the reset as soon as it has room, before anything else.
    port.take();
    t.start(!EVENT_IDX);
    let hung_up = port.take();
    assert_eq!(hung_up, [Vec::<u8>::new()]);
    t.offer(1, &[&whole(1, b"")], &[]);
    t.kick(1);
    let told: usize = hung_up.len() + port.take().iter().filter(|p| p.is_empty()).count();
    let offer = t.offer(0, &[], &[100]);
    t.kick(0);
    assert_eq!(t.used(0), [], "what came before the answer is of old");
    {
        let mut ends = port.ends();
        ends.room = 8;
        ends.coming.push_back(before());
        ends.coming.extend(vec![Vec::new(); told]);
        ends.coming.push_back(whole(2, b""));
    }
    t.slot.look();
    assert_eq!(t.used(0), [(offer.head, 44)]);
    assert_eq!(t.written(&offer)[..44], whole(2, b""));
}

#[test]
fn a_restore_ends_connections_and_the_driver_hears_of_it() {
    for kind in Kind::ALL {
        let (mut t, _) = ready(kind, 16);
        let offer = t.offer(2, &[], &[4]);
        t.kick(2);
        assert_eq!(t.used(2), [], "nothing has happened");
        let port = Port::with_room(16);
        t.move_to(device(&port));
        // Damaged states were tried before the good one.
        let told = port.take();
        assert!(!told.is_empty() && told.iter().all(Vec::is_empty));
        t.serve();
        assert_eq!(t.used(2), [(offer.head, 4)]);
        assert_eq!(t.written(&offer), TRANSPORT_RESET);
        t.offer(2, &[], &[4]);
        t.kick(2);
        assert_eq!(t.used(2), [], "once");
    }
    let mut other = Vsock::new(4, Box::new(Port::with_room(1)));
    let state = device(&Port::with_room(1)).saved();
    assert!(other.put_back(state).is_err(), "another guest's");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hostile_driver_hurts_itself_only(
        kind in prop::sample::select(&Kind::ALL[..]),
        steps in hostile(),
    ) {
        let port = Port::with_room(4);
        let mut t = rig(kind, device(&port));
        for (n, step) in steps.iter().enumerate() {
            t.suffer(step, || device(&port));
            for sent in port.take() {
                let fits = sent.is_empty() || sent.len() >= HEADER_BYTES;
                prop_assert!(fits && sent.len() <= HEADER_BYTES + PAYLOAD_MAX);
                port.ends().coming.push_back(sent);
            }
            port.ends().coming.push_back(whole(n as u16 % 9, &vec![1; n]));
            port.ends().coming.truncate(16);
            t.slot.look();
        }
        t.start(!EVENT_IDX);
        port.take();
        t.offer(1, &[&whole(5, b"well")], &[]);
        t.kick(1);
        prop_assert_eq!(port.take().pop(), Some(whole(5, b"well")));
    }
}
