//! The card, by the sentences of Virtio 1.2, 5.1.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::{virtio_mmio as vm, virtio_net as vn};

use super::super::PacketSlot;
use super::super::testing::{Kind, Rig, hostile, started};
use super::*;
use Kind::{Legacy, Modern, Pci};

const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const OTHER: Mac = [0x52, 0x54, 0, 1, 2, 3];
const MERGE: u64 = Features::MRG_RXBUF.bits();
const CHOOSE: u64 = Features::CTRL_VQ.bits() | Features::CTRL_RX.bits();

/// A wire, with a hand on its other end.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    sent: Vec<Vec<u8>>,
    to_guest: VecDeque<Vec<u8>>,
    /// Frames that are refused.
    refuse: usize,
}

impl Wire {
    fn with<R>(&self, f: impl FnOnce(&mut Ends) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.with(|ends| std::mem::take(&mut ends.sent))
    }
}

impl NetPort for Wire {}

impl PacketPort for Wire {
    fn send(&mut self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        self.with(|ends| match ends.refuse.checked_sub(1) {
            Some(left) => {
                ends.refuse = left;
                Err(frame)
            }
            None => {
                ends.sent.push(frame);
                Ok(())
            }
        })
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.with(|ends| ends.to_guest.pop_front())
    }
}

fn card(wire: &Wire, local: bool) -> Net {
    let config = NetConfig {
        mac: MAC,
        mtu: local.then_some(65520),
        local,
    };
    Net::new(config, Box::new(wire.clone()))
}

/// A frame of `length` bytes to `to`.
fn frame(to: Mac, length: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..length).map(|n| n as u8).collect();
    frame[..6].copy_from_slice(&to);
    frame
}

fn arrive(t: &mut Rig<Net>, wire: &Wire, frame: Vec<u8>) {
    wire.with(|ends| ends.to_guest.push_back(frame));
    t.slot.look();
    t.serve();
}

fn command(t: &mut Rig<Net>, bytes: &[u8]) -> u8 {
    let offer = t.offer(CONTROL, &[bytes], &[1]);
    t.kick(CONTROL);
    assert_eq!(t.used(CONTROL), [(offer.head, 1)]);
    t.written(&offer)[0]
}

#[test]
fn constants_are_those_of_the_linux_headers() {
    let features = [
        (Features::CSUM, vn::VIRTIO_NET_F_CSUM),
        (Features::GUEST_CSUM, vn::VIRTIO_NET_F_GUEST_CSUM),
        (Features::MTU, vn::VIRTIO_NET_F_MTU),
        (Features::MAC, vn::VIRTIO_NET_F_MAC),
        (Features::HOST_TSO4, vn::VIRTIO_NET_F_HOST_TSO4),
        (Features::MRG_RXBUF, vn::VIRTIO_NET_F_MRG_RXBUF),
        (Features::STATUS, vn::VIRTIO_NET_F_STATUS),
        (Features::CTRL_VQ, vn::VIRTIO_NET_F_CTRL_VQ),
        (Features::CTRL_RX, vn::VIRTIO_NET_F_CTRL_RX),
        (Features::CTRL_RX_EXTRA, vn::VIRTIO_NET_F_CTRL_RX_EXTRA),
        (Features::CTRL_MAC_ADDR, vn::VIRTIO_NET_F_CTRL_MAC_ADDR),
    ];
    for (ours, theirs) in features {
        assert_eq!(ours.bits(), 1 << theirs);
    }
    let commands = [
        (command::RX, vn::VIRTIO_NET_CTRL_RX),
        (command::RX_PROMISC, vn::VIRTIO_NET_CTRL_RX_PROMISC),
        (command::RX_ALLMULTI, vn::VIRTIO_NET_CTRL_RX_ALLMULTI),
        (command::RX_ALLUNI, vn::VIRTIO_NET_CTRL_RX_ALLUNI),
        (command::RX_NOMULTI, vn::VIRTIO_NET_CTRL_RX_NOMULTI),
        (command::RX_NOUNI, vn::VIRTIO_NET_CTRL_RX_NOUNI),
        (command::RX_NOBCAST, vn::VIRTIO_NET_CTRL_RX_NOBCAST),
        (command::MAC, vn::VIRTIO_NET_CTRL_MAC),
        (command::MAC_TABLE_SET, vn::VIRTIO_NET_CTRL_MAC_TABLE_SET),
        (command::MAC_ADDR_SET, vn::VIRTIO_NET_CTRL_MAC_ADDR_SET),
        (command::OK, vn::VIRTIO_NET_OK),
        (command::ERR, vn::VIRTIO_NET_ERR),
        (spec::GSO_NONE, vn::VIRTIO_NET_HDR_GSO_NONE),
        (spec::GSO_TCPV4, vn::VIRTIO_NET_HDR_GSO_TCPV4),
        (spec::GSO_ECN, vn::VIRTIO_NET_HDR_GSO_ECN),
        (LINK_UP as u8, vn::VIRTIO_NET_S_LINK_UP),
    ];
    for (ours, theirs) in commands {
        assert_eq!(u32::from(ours), theirs);
    }
    let header = size_of::<vn::virtio_net_hdr_v1>();
    assert_eq!(spec::HEADER_BYTES, header);
    assert_eq!(spec::LEGACY_HEADER_BYTES, size_of::<vn::virtio_net_hdr>());
}

#[test]
fn frames_travel_both_ways() {
    for (kind, features, header) in [
        (Modern, 0, 12),
        (Modern, MERGE, 12),
        (Pci, MERGE, 12),
        (Legacy, MERGE, 12),
        (Legacy, 0, 10),
    ] {
        let wire = Wire::default();
        let mut t = started(kind, card(&wire, false), features);
        let out = frame(OTHER, 60);
        let offer = t.offer(TX, &[&[0; 12][..header], &out], &[]);
        t.kick(TX);
        assert_eq!(t.used(TX), [(offer.head, 0)]);
        assert_eq!(wire.sent(), [out]);
        assert!(t.take_interrupt());

        let come = frame(MAC, 99);
        arrive(&mut t, &wire, come.clone());
        assert_eq!(t.used(RX), [], "no buffer yet");
        let offer = t.offer(RX, &[], &[7, 1600]);
        t.kick(RX);
        assert_eq!(t.used(RX), [(offer.head, header as u32 + 99)]);
        let written = t.written(&offer);
        assert_eq!(written[header..header + 99], come);
        if header == 12 {
            assert_eq!(written[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        }
    }
}

#[test]
fn a_long_frame_takes_several_buffers() {
    let wire = Wire::default();
    let mut t = started(
        Modern,
        card(&wire, true),
        MERGE | Features::GUEST_CSUM.bits(),
    );
    let come = frame(MAC, 300);
    let first = t.offer(RX, &[], &[100]);
    let second = t.offer(RX, &[], &[100]);
    arrive(&mut t, &wire, come.clone());
    assert_eq!(t.used(RX), [], "two are too few");
    t.move_to(card(&wire, true));
    // The frame was lost in the move, the buffers were not.
    arrive(&mut t, &wire, come.clone());
    let third = t.offer(RX, &[], &[100]);
    let fourth = t.offer(RX, &[], &[100]);
    t.kick(RX);
    let heads = [
        (first.head, 100),
        (second.head, 100),
        (third.head, 100),
        (fourth.head, 12),
    ];
    assert_eq!(t.used(RX), heads);
    let all = [first, second, third, fourth]
        .map(|o| t.written(&o))
        .concat();
    assert_eq!(all[..12], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
    assert_eq!(all[12..312], come);
}

#[test]
fn a_frame_too_long_for_its_only_buffer_is_lost() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), 0);
    let offer = t.offer(RX, &[], &[100]);
    arrive(&mut t, &wire, frame(MAC, 300));
    assert_eq!(t.used(RX), []);
    arrive(&mut t, &wire, frame(MAC, 88));
    assert_eq!(t.used(RX), [(offer.head, 100)]);
}

#[test]
fn a_frame_that_finds_no_room_waits() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), 0);
    wire.with(|ends| ends.refuse = 1);
    let frames = [frame(OTHER, 60), frame(OTHER, 61)];
    for frame in &frames {
        t.offer(TX, &[&[0; 12], frame], &[]);
    }
    t.kick(TX);
    assert_eq!(t.used(TX).len(), 1);
    assert_eq!(wire.sent().len(), 0);
    t.slot.look();
    assert_eq!(wire.sent(), frames);
    assert_eq!(t.used(TX).len(), 1);
}

#[test]
fn what_can_be_no_frame_is_not_sent() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), !0);
    let long = vec![0; FRAME_MAX + 1];
    let gso = [0, spec::GSO_TCPV4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let beyond = [1, 0, 0, 0, 0, 0, 14, 0, 0xff, 0, 0, 0];
    let outside = [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    let chains: [&[&[u8]]; 6] = [
        &[&[0; 5]],
        &[&[0; 12], &[1; 13]],
        &[&[0; 12], &long],
        &[&gso, &[0; 60]],
        &[&beyond, &[0; 60]],
        &[&outside, &[0; 60]],
    ];
    for chain in chains {
        let offer = t.offer(TX, chain, &[]);
        t.kick(TX);
        assert_eq!(t.used(TX), [(offer.head, 0)]);
        assert_eq!(wire.sent().len(), 0, "{}", chain[0].len());
        assert!(!t.needs_reset());
    }
}

/// An UDP datagram's checksum: by RFC 768 with what is in the header as its
/// pseudo header's sum, computed here by hand.
#[test]
fn partial_checksums_are_completed_unless_the_link_is_local() {
    let partial = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];
    for local in [false, true] {
        let wire = Wire::default();
        let mut t = started(Modern, card(&wire, local), !0);
        let mut out = vec![0; 34];
        // Ports 1 and 2, length 11, pseudo header's sum 0xfff0, three bytes of data.
        out.extend([0, 1, 0, 2, 0, 11, 0xff, 0xf0, 0x12, 0x34, 0x56]);
        t.offer(TX, &[&partial, &out], &[]);
        t.kick(TX);
        // 1 + 2 + 11 + 0xfff0 + 0x1234 + 0x5600 = 0x16832, folded 0x6833.
        let checksum = if local { 0xfff0u16 } else { !0x6833 };
        let sent = wire.sent();
        assert_eq!(sent[0][40..42], checksum.to_be_bytes());
        assert_eq!(sent[0].len(), out.len());
    }
}

#[test]
fn a_checksum_of_zero_is_sent_as_ones() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), !0);
    let partial = [1, 0, 0, 0, 0, 0, 14, 0, 0, 0, 0, 0];
    let mut out = vec![0; 14];
    out.extend([0xff, 0xfe, 0, 1]);
    t.offer(TX, &[&partial, &out], &[]);
    t.kick(TX);
    assert_eq!(wire.sent()[0][14..16], [0xff, 0xff]);
}

#[test]
fn the_driver_chooses_what_it_receives() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), CHOOSE);
    let multicast = [1, 0, 0x5e, 0, 0, 1];
    let broadcast = [0xff; 6];
    let mut arrives = |t: &mut Rig<Net>, to| {
        t.offer(RX, &[], &[200]);
        arrive(t, &wire, frame(to, 60));
        t.used(RX).len() == 1
    };
    assert!(arrives(&mut t, OTHER), "everything, until told");
    assert_eq!(command(&mut t, &[0, 0, 0]), command::OK);
    let seen = |t: &mut Rig<Net>, arrives: &mut dyn FnMut(&mut Rig<Net>, Mac) -> bool| {
        [MAC, OTHER, multicast, broadcast].map(|to| arrives(t, to))
    };
    assert_eq!(seen(&mut t, &mut arrives), [true, false, false, true]);
    assert_eq!(command(&mut t, &[0, 1, 1]), command::OK);
    assert_eq!(seen(&mut t, &mut arrives), [true, false, true, true]);
    assert_eq!(command(&mut t, &[0, 5, 1]), command::OK);
    assert_eq!(command(&mut t, &[0, 1, 0]), command::OK);
    let mut tables = vec![1, 0, 1, 0, 0, 0];
    tables.extend(OTHER);
    tables.extend([1, 0, 0, 0]);
    tables.extend(multicast);
    assert_eq!(command(&mut t, &tables), command::OK);
    t.move_to(card(&wire, false));
    assert_eq!(seen(&mut t, &mut arrives), [true, true, true, false]);
    for bad in [&[0, 6, 1][..], &[0, 0], &[0, 0, 1, 1], &[2, 0, 0], &[]] {
        assert_eq!(command(&mut t, bad), command::ERR, "{bad:?}");
    }
    assert_eq!(command(&mut t, &tables[..9]), command::ERR);
    let many = [&[1, 0, 100, 0, 0, 0][..], &[0; 600], &[0; 4]].concat();
    assert_eq!(command(&mut t, &many), command::OK);
    assert_eq!(seen(&mut t, &mut arrives), [true, true, false, false]);
}

#[test]
fn the_address_can_be_set() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, true), !0);
    let config = |t: &mut Rig<Net>| -> Vec<u8> {
        let at = u64::from(vm::VIRTIO_MMIO_CONFIG);
        (0..12)
            .map(|n| t.slot.read(at + n, Size::B1).expect("config") as u8)
            .collect()
    };
    let expected = [&MAC[..], &[1, 0, 0, 0], &65520u16.to_le_bytes()].concat();
    assert_eq!(config(&mut t), expected);
    let set = [&[1, 1][..], &OTHER].concat();
    assert_eq!(command(&mut t, &set), command::OK);
    assert_eq!(config(&mut t)[..6], OTHER);
    t.start(0);
    assert_eq!(config(&mut t)[..6], MAC, "a reset gives the card its own");
}

/// CVE-2015-7504 and its kind: lengths that count what a buffer cannot hold.
#[test]
fn buffers_without_room_break_nothing() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), MERGE);
    for _ in 0..3 {
        t.offer(RX, &[], &[0]);
    }
    let last = t.offer(RX, &[], &[500]);
    arrive(&mut t, &wire, frame(MAC, 100));
    let used = t.used(RX);
    assert_eq!(used.len(), 4);
    assert_eq!(used[3], (last.head, 112));
}

/// A driver that offers one buffer again and again while the card wants more of them.
#[test]
fn buffers_offered_twice_are_bounded() {
    let wire = Wire::default();
    let mut t = started(Modern, card(&wire, false), MERGE);
    let offer = t.offer(RX, &[], &[1]);
    for _ in 0..1000 {
        t.make_available(RX, offer.head);
        arrive(&mut t, &wire, frame(MAC, 1500));
        if t.needs_reset() {
            return;
        }
    }
    panic!("a thousand buffers were taken");
}

proptest! {
    #[test]
    fn a_hostile_driver_meets_an_unharmed_card(steps in hostile(), refuse in 0..40usize) {
        for kind in Kind::ALL {
            let wire = Wire::default();
            wire.with(|ends| ends.refuse = refuse);
            let mut t = started(kind, card(&wire, refuse % 2 == 0), !0);
            for step in &steps {
                wire.with(|ends| {
                    ends.to_guest.truncate(4);
                    ends.to_guest.push_back(frame(MAC, 14 + refuse * 100));
                });
                t.suffer(step, || card(&wire, refuse % 2 == 0));
                t.slot.look();
                t.serve();
            }
            t.move_to(card(&wire, refuse % 2 == 0));
            wire.with(|ends| ends.refuse = 0);
            t.start(0);
            wire.sent();
            let header = [0; 12];
            let (header, _) = header.split_at(if kind.is_legacy() { 10 } else { 12 });
            t.offer(TX, &[header, &frame(OTHER, 77)], &[]);
            t.kick(TX);
            prop_assert_eq!(wire.sent(), [frame(OTHER, 77)]);
        }
    }
}
