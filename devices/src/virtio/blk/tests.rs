//! The block device, by the sentences of Virtio 1.2, 5.2, with a disk in memory that
//! answers when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_blk as vb;
use virtio_bindings::bindings::virtio_mmio as vm;

use super::super::QueueSlot;
use super::super::testing::{Kind, Offer, Rig, hostile, rig, started};
use super::*;
use Kind::{Legacy, Modern, Pci};

const FLUSH: u64 = 1 << vb::VIRTIO_BLK_F_FLUSH;
/// Not accepted where a test expects an interrupt for each buffer.
const EVENT_IDX: u64 = 1 << 29;
const CAPACITY: u64 = 8192;

/// Requests as they arrived.
#[derive(Clone, Default)]
struct Port(Arc<Mutex<VecDeque<BlockRequest>>>);

impl Port {
    fn requests(&self) -> MutexGuard<'_, VecDeque<BlockRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> BlockRequest {
        self.requests()
            .pop_front()
            .expect("a request was passed on")
    }
}

impl BlockPort for Port {
    fn submit(&mut self, request: BlockRequest) {
        self.requests().push_back(request);
    }
}

fn config(read_only: bool) -> BlkConfig {
    BlkConfig {
        capacity: CAPACITY,
        read_only,
        block_size: 4096,
        serial: "isoform-0123456789-beyond".to_owned(),
        discard: true,
        preferred: 65536,
        queues: 2,
    }
}

fn disk(port: &Port) -> Blk {
    Blk::new(config(false), Box::new(port.clone()))
}

fn header(kind: u32, sector: u64) -> [u8; 16] {
    let mut header = [0; 16];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[8..].copy_from_slice(&sector.to_le_bytes());
    header
}

/// Content of a sector that no other has.
fn pattern(sector: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| ((sector + i / SECTOR) * 7 + i % SECTOR % 251) as u8)
        .collect()
}

/// Answers a request as a good disk would.
fn answer(t: &mut Rig<Blk>, request: BlockRequest, store: &mut [u8]) {
    let at = |sector: u64| (sector * SECTOR) as usize;
    let result = match request.op {
        BlockOp::Read { sector, len } => store[at(sector)..at(sector) + len].to_vec(),
        BlockOp::Write { sector, data, .. } => {
            store[at(sector)..at(sector) + data.len()].copy_from_slice(&data);
            Vec::new()
        }
        BlockOp::WriteZeroes {
            sector, sectors, ..
        } => {
            store[at(sector)..at(sector + sectors)].fill(0);
            Vec::new()
        }
        BlockOp::Flush | BlockOp::Discard { .. } => Vec::new(),
    };
    t.slot.complete(request.id, Ok(result));
}

fn read(t: &mut Rig<Blk>, sector: u64, len: usize) -> Offer {
    t.offer(0, &[&header(vb::VIRTIO_BLK_T_IN, sector)], &[len, 1])
}

fn write(t: &mut Rig<Blk>, sector: u64, data: &[u8]) -> Offer {
    t.offer(0, &[&header(vb::VIRTIO_BLK_T_OUT, sector), data], &[1])
}

fn status(t: &Rig<Blk>, offer: &Offer) -> u32 {
    u32::from(*t.written(offer).last().expect("a status byte"))
}

#[test]
fn constants_are_those_of_the_linux_headers() {
    for (ours, theirs) in [
        (Features::SEG_MAX, vb::VIRTIO_BLK_F_SEG_MAX),
        (Features::RO, vb::VIRTIO_BLK_F_RO),
        (Features::BLK_SIZE, vb::VIRTIO_BLK_F_BLK_SIZE),
        (Features::FLUSH, vb::VIRTIO_BLK_F_FLUSH),
        (Features::TOPOLOGY, vb::VIRTIO_BLK_F_TOPOLOGY),
        (Features::MQ, vb::VIRTIO_BLK_F_MQ),
        (Features::DISCARD, vb::VIRTIO_BLK_F_DISCARD),
        (Features::WRITE_ZEROES, vb::VIRTIO_BLK_F_WRITE_ZEROES),
    ] {
        assert_eq!(ours.bits(), 1 << theirs);
    }
    assert_eq!(kind::IN, vb::VIRTIO_BLK_T_IN);
    assert_eq!(kind::OUT, vb::VIRTIO_BLK_T_OUT);
    assert_eq!(kind::FLUSH, vb::VIRTIO_BLK_T_FLUSH);
    assert_eq!(kind::GET_ID, vb::VIRTIO_BLK_T_GET_ID);
    assert_eq!(kind::DISCARD, vb::VIRTIO_BLK_T_DISCARD);
    assert_eq!(kind::WRITE_ZEROES, vb::VIRTIO_BLK_T_WRITE_ZEROES);
    assert_eq!(RANGE_UNMAP, vb::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    assert_eq!(
        RANGE_BYTES as usize,
        size_of::<vb::virtio_blk_discard_write_zeroes>()
    );
    assert_eq!(ID_BYTES as u32, vb::VIRTIO_BLK_ID_BYTES);
    assert_eq!(RequestStatus::IoErr as u32, vb::VIRTIO_BLK_S_IOERR);
    assert_eq!(RequestStatus::Unsupp as u32, vb::VIRTIO_BLK_S_UNSUPP);
}

const RANGES: u64 = FLUSH | 1 << vb::VIRTIO_BLK_F_DISCARD | 1 << vb::VIRTIO_BLK_F_WRITE_ZEROES;

fn range(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    let mut range = sector.to_le_bytes().to_vec();
    range.extend(sectors.to_le_bytes());
    range.extend(flags.to_le_bytes());
    range
}

fn with_range(t: &mut Rig<Blk>, kind: u32, data: &[u8]) -> Offer {
    let offer = t.offer(0, &[&header(kind, 0), data], &[1]);
    t.kick(0);
    offer
}

#[test]
fn ranges_are_discarded_and_made_zeros() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), RANGES);
    let asked = [
        (
            kind::DISCARD,
            range(8, 16, 0),
            BlockOp::Discard {
                sector: 8,
                sectors: 16,
            },
        ),
        (
            kind::WRITE_ZEROES,
            range(CAPACITY - 1, 1, RANGE_UNMAP),
            BlockOp::WriteZeroes {
                sector: CAPACITY - 1,
                sectors: 1,
                unmap: true,
                through: false,
            },
        ),
        (
            kind::WRITE_ZEROES,
            range(0, CAPACITY as u32, 0),
            BlockOp::WriteZeroes {
                sector: 0,
                sectors: CAPACITY,
                unmap: false,
                through: false,
            },
        ),
    ];
    for (kind, data, op) in asked {
        let offer = with_range(&mut t, kind, &data);
        let request = port.next();
        assert_eq!(request.op, op);
        t.slot.complete(request.id, Ok(Vec::new()));
        assert_eq!(t.used(0), [(offer.head, 1)]);
        assert_eq!(status(&t, &offer), vb::VIRTIO_BLK_S_OK);
        let offer = with_range(&mut t, kind, &data);
        t.slot.complete(port.next().id, Err(IoError));
        assert_eq!(status(&t, &offer), vb::VIRTIO_BLK_S_IOERR);
        t.used(0);
    }
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), RANGES);
    let (ok, failed) = (vb::VIRTIO_BLK_S_OK, vb::VIRTIO_BLK_S_IOERR);
    let unknown = vb::VIRTIO_BLK_S_UNSUPP;
    let two = [range(0, 1, 0), range(0, 1, 0)].concat();
    let cases = [
        (kind::DISCARD, range(0, 0, 0), ok),
        (kind::DISCARD, range(CAPACITY, 1, 0), failed),
        (kind::DISCARD, range(CAPACITY - 1, 2, 0), failed),
        (kind::DISCARD, range(u64::MAX, 1, 0), failed),
        (kind::DISCARD, range(0, u32::MAX, 0), failed),
        (kind::DISCARD, range(0, 1, RANGE_UNMAP), unknown),
        (kind::WRITE_ZEROES, range(0, 1, 2), unknown),
        (kind::WRITE_ZEROES, range(0, u32::MAX, 0), failed),
        (kind::WRITE_ZEROES, range(0, ZEROES_MAX + 1, 0), failed),
        (kind::WRITE_ZEROES, range(0, 1, 0)[..8].to_vec(), failed),
        (kind::WRITE_ZEROES, Vec::new(), failed),
        (kind::DISCARD, two, failed),
    ];
    for (kind, data, expected) in cases {
        let offer = with_range(&mut t, kind, &data);
        assert_eq!(status(&t, &offer), expected, "{kind} {data:?}");
        t.used(0);
    }
    assert!(port.requests().is_empty());
    assert!(!t.needs_reset());
    let mut t = started(Modern, disk(&port), FLUSH);
    let offer = with_range(&mut t, kind::DISCARD, &range(0, 1, 0));
    assert_eq!(status(&t, &offer), unknown, "not negotiated");
}

#[test]
fn a_driver_without_flush_gets_durable_zeros() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), RANGES & !FLUSH);
    with_range(&mut t, kind::WRITE_ZEROES, &range(0, 1, 0));
    let durable = matches!(port.next().op, BlockOp::WriteZeroes { through: true, .. });
    assert!(durable);
}

#[test]
fn the_configuration_tells_size_and_blocks() {
    let mut t = rig(Modern, disk(&Port::default()));
    let mut field = |at: u64, size| t.slot.read(0x100 + at, size);
    assert_eq!(field(0, Size::B8), Ok(CAPACITY));
    assert_eq!(field(0, Size::B4), Ok(CAPACITY));
    assert_eq!(field(4, Size::B4), Ok(0));
    assert_eq!(field(12, Size::B4), Ok(510));
    assert_eq!(field(20, Size::B4), Ok(4096));
    // Topology: blocks of a physical one (as a power of two), offset, sizes in blocks.
    assert_eq!([field(24, Size::B1), field(25, Size::B1)], [Ok(0); 2]);
    assert_eq!(field(26, Size::B2), Ok(1));
    assert_eq!(field(28, Size::B4), Ok(16));
    assert_eq!(field(34, Size::B2), Ok(2), "queues");
    // Discards: sectors and ranges at most, alignment; zeros: the same, and unmapping.
    let limits = [36, 40, 44, 48, 52, 56].map(|at| field(at, Size::B4));
    let expected = [DISCARD_MAX, 1, 128, ZEROES_MAX, 1, 1];
    assert_eq!(limits, expected.map(|n| Ok(n.into())));
    assert_eq!(field(60, Size::B4), Ok(0));
    assert_eq!(field(0xef8, Size::B8), Ok(0));
}

#[test]
fn what_was_written_is_read_back() {
    for (interface, features, indirect) in [
        (Modern, FLUSH, false),
        (Modern, !EVENT_IDX, true),
        (Legacy, 0, false),
        (Legacy, !EVENT_IDX, true),
        (Pci, FLUSH, false),
        (Pci, !EVENT_IDX, true),
    ] {
        let port = Port::default();
        let mut t = started(interface, disk(&port), features);
        t.indirect = indirect;
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        let data = pattern(8, 3 * 512);
        let (first, rest) = data.split_at(700);
        let w = t.offer(
            0,
            &[&header(1, 8)[..3], &header(1, 8)[3..], first, rest],
            &[1],
        );
        t.kick(0);
        assert_eq!(t.used(0), [], "not before the disk answered");
        let request = port.next();
        let through = features & FLUSH == 0;
        let op = BlockOp::Write {
            sector: 8,
            data: data.clone(),
            through,
        };
        assert_eq!(request.op, op);
        answer(&mut t, request, &mut store);
        assert_eq!(t.used(0), [(w.head, 1)]);
        assert_eq!(status(&t, &w), vb::VIRTIO_BLK_S_OK);
        assert!(t.take_interrupt());

        let r = t.offer(0, &[&header(0, 8)], &[1000, 536, 1]);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        assert_eq!(t.used(0), [(r.head, 1537)]);
        assert_eq!(t.written(&r), [&data[..], &[0]].concat());
    }
}

#[test]
fn large_requests_go_in_pieces() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let len = 2 * PIECE as usize + 512;
    let r = read(&mut t, 16, len);
    t.kick(0);
    for piece in [PIECE, PIECE, 512] {
        assert_eq!(t.used(0), []);
        let request = port.next();
        assert!(matches!(request.op, BlockOp::Read { len, .. } if len as u64 == piece));
        assert!(port.requests().is_empty(), "one piece at a time");
        answer(&mut t, request, &mut store);
    }
    assert_eq!(t.used(0), [(r.head, len as u32 + 1)]);
    assert!(t.written(&r) == [pattern(16, len), vec![0]].concat());

    let data = pattern(99, len);
    let w = write(&mut t, 5, &data);
    t.kick(0);
    for _ in 0..3 {
        answer(&mut t, port.next(), &mut store);
    }
    assert_eq!(t.used(0), [(w.head, 1)]);
    assert!(store[5 * 512..].starts_with(&data));
}

#[test]
fn requests_outside_of_the_disk_or_in_part_sectors_fail() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    for (sector, len) in [
        (CAPACITY, 512),
        (CAPACITY - 1, 1024),
        (u64::MAX, 512),
        (u64::MAX / 512, 512),
        (0, 511),
        (0, 513),
    ] {
        let r = read(&mut t, sector, len);
        let w = write(&mut t, sector, &vec![1; len]);
        t.kick(0);
        assert_eq!(t.used(0), [(r.head, 0), (w.head, 1)]);
        assert_eq!(status(&t, &r), vb::VIRTIO_BLK_S_IOERR);
        assert_eq!(status(&t, &w), vb::VIRTIO_BLK_S_IOERR);
    }
    assert!(port.requests().is_empty());
    let last = read(&mut t, CAPACITY - 1, 512);
    t.kick(0);
    answer(
        &mut t,
        port.next(),
        &mut vec![3; (CAPACITY * SECTOR) as usize],
    );
    assert_eq!(t.used(0), [(last.head, 513)]);
}

#[test]
fn a_read_only_disk_refuses_writes() {
    let port = Port::default();
    let device = Blk::new(config(true), Box::new(port.clone()));
    let mut t = started(Modern, device, FLUSH);
    t.w(vm::VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    assert_ne!(
        t.r(vm::VIRTIO_MMIO_DEVICE_FEATURES) & 1 << vb::VIRTIO_BLK_F_RO,
        0
    );
    let w = write(&mut t, 0, &[1; 512]);
    t.kick(0);
    assert_eq!(t.used(0), [(w.head, 1)]);
    assert_eq!(status(&t, &w), vb::VIRTIO_BLK_S_IOERR);
    assert!(port.requests().is_empty());
}

#[test]
fn flush_identifier_and_the_unknown() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let f = t.offer(0, &[&header(4, 0)], &[1]);
    let id = t.offer(0, &[&header(8, 0)], &[20, 1]);
    let short = t.offer(0, &[&header(8, 0)], &[4, 1]);
    let odd = t.offer(0, &[&header(11, 0)], &[16, 1]);
    t.kick(0);
    assert_eq!(t.used(0), [(id.head, 21), (short.head, 5), (odd.head, 0)]);
    assert_eq!(t.written(&id), b"isoform-0123456789-b\0");
    assert_eq!(t.written(&short), b"isof\0");
    assert_eq!(status(&t, &odd), vb::VIRTIO_BLK_S_UNSUPP);
    let request = port.next();
    assert_eq!(request.op, BlockOp::Flush);
    t.slot.complete(request.id, Ok(Vec::new()));
    assert_eq!(t.used(0), [(f.head, 1)]);
    assert_eq!(status(&t, &f), 0);
}

#[test]
fn errors_of_the_disk_reach_the_driver() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let w = write(&mut t, 0, &[1; 512]);
    let r = read(&mut t, 0, PIECE as usize + 512);
    let f = t.offer(0, &[&header(4, 0)], &[1]);
    let short = read(&mut t, 0, 1024);
    t.kick(0);
    let requests: Vec<_> = port.requests().drain(..).collect();
    t.slot.complete(requests[0].id, Err(IoError));
    t.slot.complete(requests[1].id, Ok(vec![9; PIECE as usize]));
    t.slot.complete(port.next().id, Err(IoError));
    t.slot.complete(requests[2].id, Err(IoError));
    t.slot.complete(requests[3].id, Ok(vec![9; 512]));
    assert_eq!(
        t.used(0),
        [
            (w.head, 1),
            (r.head, PIECE as u32),
            (f.head, 1),
            (short.head, 0)
        ]
    );
    for offer in [&w, &r, &f, &short] {
        assert_eq!(status(&t, offer), vb::VIRTIO_BLK_S_IOERR);
    }
    assert_eq!(t.slot.device().in_flight(), 0);
}

#[test]
fn a_request_without_header_or_status_needs_a_reset() {
    for (readable, writable) in [(15, 1), (16, 0)] {
        let mut t = started(Modern, disk(&Port::default()), FLUSH);
        let writable: &[usize] = if writable == 0 { &[] } else { &[1] };
        t.offer(0, &[&[0; 16][..readable]], writable);
        t.kick(0);
        assert!(t.needs_reset());
    }
}

#[test]
fn requests_in_flight_are_capped_and_none_is_lost() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let offers: Vec<Offer> = (0..80).map(|s| read(&mut t, s, 512)).collect();
    t.kick(0);
    assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
    let mut done = Vec::new();
    while let Some(request) = { port.requests().pop_back() } {
        answer(&mut t, request, &mut store);
        assert!(t.slot.device().in_flight() <= IN_FLIGHT_MAX);
        done.extend(t.used(0));
    }
    done.sort();
    assert_eq!(
        done,
        offers.iter().map(|o| (o.head, 513)).collect::<Vec<_>>()
    );
    for (sector, offer) in offers.iter().enumerate() {
        assert!(t.written(offer).starts_with(&pattern(sector as u64, 512)));
    }
}

#[test]
fn bytes_in_flight_are_capped_and_no_request_is_lost() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let offers: Vec<Offer> = (0..20).map(|_| read(&mut t, 0, PIECE as usize)).collect();
    t.kick(0);
    let mut done = Vec::new();
    while let Some(request) = { port.requests().pop_front() } {
        let waiting = port.requests().len() as u64 + 1;
        assert!(waiting * PIECE <= HELD_MAX);
        answer(&mut t, request, &mut store);
        done.extend(t.used(0));
    }
    let expected: Vec<_> = offers.iter().map(|o| (o.head, PIECE as u32 + 1)).collect();
    assert_eq!(done, expected);
}

#[test]
fn each_queue_gets_its_own_back_and_they_take_turns() {
    for kind in [Modern, Pci, Legacy] {
        let port = Port::default();
        let mut t = started(kind, disk(&port), !EVENT_IDX);
        let offer = |t: &mut Rig<Blk>, queue, sector| {
            t.offer(queue, &[&header(vb::VIRTIO_BLK_T_IN, sector)], &[512, 1])
        };
        let first: Vec<Offer> = (0..3).map(|s| offer(&mut t, 0, s)).collect();
        let second: Vec<Offer> = (10..13).map(|s| offer(&mut t, 1, s)).collect();
        t.kick(1);
        let requests: Vec<_> = port.requests().drain(..).collect();
        let sectors: Vec<_> = requests
            .iter()
            .map(|r| match r.op {
                BlockOp::Read { sector, .. } => sector,
                _ => u64::MAX,
            })
            .collect();
        assert_eq!(sectors, [0, 10, 1, 11, 2, 12]);
        let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
        for request in requests.into_iter().rev() {
            answer(&mut t, request, &mut store);
        }
        for (queue, offers, sector) in [(0, first, 0), (1, second, 10)] {
            let back: Vec<_> = offers.iter().rev().map(|o| (o.head, 513)).collect();
            assert_eq!(t.used(queue), back);
            for (offer, sector) in offers.iter().zip(sector..) {
                assert!(t.written(offer).starts_with(&pattern(sector, 512)));
            }
        }
    }
}

#[test]
fn a_queue_that_stops_takes_nothing_of_another_and_both_move() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), !EVENT_IDX);
    let header = header(vb::VIRTIO_BLK_T_IN, 5);
    let stopped = t.offer(0, &[&header], &[512, 1]);
    let kept = t.offer(1, &[&header], &[512, 1]);
    t.kick(0);
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(t.slot.device().in_flight(), 1);
    let port = Port::default();
    t.move_to(disk(&port));
    t.serve();
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    answer(&mut t, port.next(), &mut store);
    assert!(port.requests().is_empty());
    assert_eq!(t.used(1), [(kept.head, 513)]);
    assert_eq!(t.written(&stopped), [0; 513]);
}

#[test]
fn state_of_more_queues_is_refused() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    t.offer(1, &[&header(vb::VIRTIO_BLK_T_IN, 5)], &[512, 1]);
    t.kick(1);
    let state = t.slot.device().state();
    let one = BlkConfig {
        queues: 1,
        ..config(false)
    };
    let mut one = Blk::new(one, Box::new(Port::default()));
    assert!(one.set_state(state, &t.ram).is_err());
}

#[test]
fn what_a_reset_forgot_is_not_given_back() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let old = read(&mut t, 0, 512);
    t.kick(0);
    let late = port.next();
    t.start(FLUSH);
    let new = read(&mut t, 1, 512);
    t.kick(0);
    t.slot.complete(late.id, Ok(vec![1; 512]));
    t.slot.complete(late.id + 1000, Ok(vec![1; 512]));
    assert_eq!(t.used(0), []);
    assert_eq!(t.written(&old), [0; 513]);
    t.slot.complete(port.next().id, Ok(vec![2; 512]));
    assert_eq!(t.used(0), [(new.head, 513)]);
}

/// Answers the oldest request with an error.
fn fail_next(t: &mut Rig<Blk>, port: &Port) {
    let id = port.next().id;
    t.slot.complete(id, Err(IoError));
}

#[test]
fn a_driver_that_resets_again_and_again_does_not_pile_up_work() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut offers = Vec::new();
    for round in 0..5 {
        t.start(FLUSH);
        offers = (0..IN_FLIGHT_MAX as u64)
            .map(|s| write(&mut t, s, &[round; 512]))
            .collect();
        t.kick(0);
        assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
    }
    assert_eq!(
        t.slot.device().in_flight(),
        0,
        "all of it is of the first round"
    );
    let first = port.requests()[0].id;
    for answered in 1..=IN_FLIGHT_MAX {
        fail_next(&mut t, &port);
        // Said twice, it makes no more room.
        t.slot.complete(first, Err(IoError));
        assert_eq!(t.slot.device().in_flight(), answered);
        assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
    }
    let mut store = vec![0; (CAPACITY * SECTOR) as usize];
    for offer in &offers {
        answer(&mut t, port.next(), &mut store);
        assert_eq!(t.used(0), [(offer.head, 1)]);
        assert_eq!(status(&t, offer), vb::VIRTIO_BLK_S_OK);
    }
    assert!(store.starts_with(&[4; 64 * 512]));
}

#[test]
fn answers_to_the_forgotten_make_room_while_nothing_is_set_up() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    for s in 0..IN_FLIGHT_MAX as u64 {
        read(&mut t, s, 512);
    }
    t.kick(0);
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    fail_next(&mut t, &port);
    t.start(FLUSH);
    read(&mut t, 0, 512);
    read(&mut t, 1, 512);
    t.kick(0);
    assert_eq!(t.slot.device().in_flight(), 1);
    assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
}

#[test]
fn stopping_the_queue_again_and_again_does_not_pile_up_work() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), !EVENT_IDX);
    // A descriptor each, so that what was offered before stays whole.
    t.indirect = true;
    for _ in 0..3 {
        for s in 0..IN_FLIGHT_MAX as u64 {
            read(&mut t, s, 512);
        }
        t.kick(0);
        assert!(!t.needs_reset());
        assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
        t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    }
}

#[test]
fn a_restore_in_place_waits_for_room_at_the_disk() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let offers: Vec<Offer> = (0..80).map(|s| read(&mut t, s, 512)).collect();
    t.kick(0);
    let saved = t.slot.save();
    t.slot.restore(&saved).expect("own state");
    t.serve();
    let mut given = Vec::new();
    while !port.requests().is_empty() {
        assert!(port.requests().len() <= IN_FLIGHT_MAX);
        assert!(t.slot.device().in_flight() <= IN_FLIGHT_MAX);
        answer(&mut t, port.next(), &mut store);
        given.extend(t.used(0));
    }
    given.sort();
    let expected: Vec<_> = offers.iter().map(|o| (o.head, 513)).collect();
    assert_eq!(given, expected);
}

#[test]
fn a_queue_taken_out_of_use_forgets_its_requests() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    read(&mut t, 0, 512);
    t.kick(0);
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
    t.slot.complete(port.next().id, Ok(vec![1; 512]));
    assert_eq!(t.used(0), []);
    assert!(!t.needs_reset());
}

#[test]
fn requests_in_flight_survive_a_move_in_the_middle_of_a_piece() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let len = PIECE as usize + 1024;
    let r = read(&mut t, 3, len);
    let w = write(&mut t, 3000, &pattern(77, 1024));
    let f = t.offer(0, &[&header(4, 0)], &[1]);
    t.kick(0);
    answer(&mut t, port.next(), &mut store);
    let lost: Vec<_> = port.requests().drain(..).collect();
    assert_eq!(lost.len(), 3, "write, flush, and the read's second piece");

    let other = Port::default();
    t.move_to(disk(&other));
    assert!(other.requests().is_empty(), "RAM may not be there yet");
    t.serve();
    t.slot.complete(lost[0].id + 1000, Err(IoError));
    let again: Vec<_> = other.requests().drain(..).collect();
    assert_eq!(
        again.iter().map(|r| &r.op).collect::<Vec<_>>(),
        lost.iter().map(|r| &r.op).collect::<Vec<_>>()
    );
    for request in again {
        answer(&mut t, request, &mut store);
    }
    let mut used = t.used(0);
    used.sort();
    let mut expected = vec![(r.head, len as u32 + 1), (w.head, 1), (f.head, 1)];
    expected.sort();
    assert_eq!(used, expected);
    assert!(t.written(&r) == [pattern(3, len), vec![0]].concat());
    assert!(store[3000 * 512..].starts_with(&pattern(77, 1024)));
}

#[test]
fn a_completion_from_before_a_restore_is_ignored() {
    let port = Port::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let r = read(&mut t, 0, 512);
    t.kick(0);
    let early = port.next();
    let saved = t.slot.save();
    t.slot.restore(&saved).expect("own state");
    t.serve();
    t.slot.complete(early.id, Ok(vec![1; 512]));
    assert_eq!(t.used(0), []);
    t.slot.complete(port.next().id, Ok(vec![2; 512]));
    assert_eq!(t.used(0), [(r.head, 513)]);
    assert_eq!(t.written(&r)[0], 2);
}

#[test]
fn state_of_another_disk_is_refused() {
    let mut t = started(Modern, disk(&Port::default()), FLUSH);
    read(&mut t, CAPACITY - 1, 512);
    t.kick(0);
    let saved = t.slot.save();
    let mut small = config(false);
    small.capacity = 8;
    let mut other = rig(Modern, Blk::new(small, Box::new(Port::default())));
    assert!(other.slot.restore(&saved).is_err());
    assert_eq!(other.r(vm::VIRTIO_MMIO_STATUS), 0, "as after reset");
    t.slot.process(0);
}

/// One thing that happens to a disk in use.
#[derive(Clone, Debug)]
enum Step {
    Read(u64, usize),
    Write(u64, usize, u8),
    Flush,
    /// Answers the request at this place in the line.
    Answer(prop::sample::Index),
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sectors = prop_oneof![3 => 1..8usize, 1 => 400..2500usize];
    let step = prop_oneof![
        3 => (0..64u64, sectors.clone()).prop_map(|(s, n)| Step::Read(s, n)),
        3 => (0..64u64, sectors, any::<u8>()).prop_map(|(s, n, b)| Step::Write(s, n, b)),
        1 => Just(Step::Flush),
        6 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => Just(Step::Move),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Moving the device at random points, in mid-request, changes nothing that the
    /// driver or the disk can see in the end.
    #[test]
    fn every_request_is_answered_once_whatever_moves(
        steps in steps(),
        indirect in any::<bool>(),
        kind in prop::sample::select(&[Modern, Pci][..]),
    ) {
        let mut port = Port::default();
        let mut t = started(kind, disk(&port), FLUSH);
        t.indirect = indirect;
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        let mut open = std::collections::BTreeSet::new();
        for step in &steps {
            let offer = match *step {
                Step::Read(s, n) => Some(read(&mut t, s, n * 512)),
                Step::Write(s, n, b) => Some(write(&mut t, s, &vec![b; n * 512])),
                Step::Flush => Some(t.offer(0, &[&header(4, 0)], &[1])),
                Step::Answer(at) => {
                    let request = {
                        let mut line = port.requests();
                        let len = line.len();
                        if len == 0 { None } else { line.remove(at.index(len)) }
                    };
                    if let Some(request) = request {
                        answer(&mut t, request, &mut store);
                    }
                    None
                }
                Step::Move => {
                    port = Port::default();
                    t.move_to(disk(&port));
                    t.serve();
                    None
                }
            };
            if let Some(offer) = offer {
                open.insert(offer.head);
                t.kick(0);
            }
            for (head, _) in t.used(0) {
                prop_assert!(open.remove(&head), "{head} was given back twice");
            }
        }
        while let Some(request) = { port.requests().pop_front() } {
            answer(&mut t, request, &mut store);
        }
        for (head, _) in t.used(0) {
            prop_assert!(open.remove(&head));
        }
        prop_assert!(open.is_empty());
        prop_assert!(!t.needs_reset());
    }

    /// Also in mid-request: what is restored from a damaged file may be wrong, but
    /// stays within disk, RAM and bounds.
    #[test]
    fn damaged_state_is_refused_or_harmless(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        kind in prop::sample::select(&[Modern, Pci][..]),
    ) {
        let port = Port::default();
        let mut t = started(kind, disk(&port), FLUSH);
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        read(&mut t, 3, PIECE as usize + 512);
        write(&mut t, 9, &[5; 1024]);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        let mut saved = t.slot.save();
        *at.get_mut(&mut saved) = value;
        port.requests().clear();
        let _ = t.slot.restore(&saved);
        t.serve();
        while let Some(request) = { port.requests().pop_front() } {
            answer(&mut t, request, &mut store);
        }
        t.start(FLUSH);
        let r = read(&mut t, 0, 512);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        prop_assert_eq!(t.used(0), [(r.head, 513)]);
    }

    #[test]
    fn a_hostile_driver_hurts_itself_only(kind in prop::sample::select(&Kind::ALL[..]), steps in hostile()) {
        let port = Port::default();
        let mut t = rig(kind, disk(&port));
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        for (n, step) in steps.iter().enumerate() {
            t.suffer(step, || disk(&port));
            prop_assert!(t.slot.device().in_flight() <= IN_FLIGHT_MAX);
            let request = { port.requests().pop_front() };
            if let Some(request) = request {
                match n % 5 {
                    0 => t.slot.complete(request.id, Err(IoError)),
                    1 => t.slot.complete(request.id, Ok(Vec::new())),
                    _ => answer(&mut t, request, &mut store),
                }
            }
        }
        while !port.requests().is_empty() {
            fail_next(&mut t, &port);
        }
        t.start(0);
        let r = read(&mut t, 0, 512);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        prop_assert_eq!(t.used(0), [(r.head, 513)]);
    }
}
