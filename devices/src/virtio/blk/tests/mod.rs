//! The block device, by the sentences of Virtio 1.2, 5.2, with a disk in memory that
//! answers when told to.

use isoform_core::{Device, Size};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_blk as vb;
use virtio_bindings::bindings::virtio_mmio as vm;

use super::super::QueueSlot;
use super::super::testing::{Kind, Offer, Rig, hostile, rig, started};
use super::*;
use crate::block::HELD_MAX;
use crate::testing::DiskPort;
use Kind::{Legacy, Modern, Pci};

mod life;
mod state;

const FLUSH: u64 = 1 << vb::VIRTIO_BLK_F_FLUSH;
/// Not accepted where a test expects an interrupt for each buffer.
const EVENT_IDX: u64 = 1 << 29;
const CAPACITY: u64 = 8192;

fn config(read_only: bool) -> BlkConfig {
    BlkConfig {
        disk: DiskConfig {
            capacity: CAPACITY,
            read_only,
            serial: "isoform-0123456789-beyond".to_owned(),
            discard: true,
            preferred: 65536,
        },
        block_size: 4096,
        queues: 2,
    }
}

fn disk(port: &DiskPort) -> Blk {
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

/// Answers the oldest request with an error.
fn fail_next(t: &mut Rig<Blk>, port: &DiskPort) {
    let id = port.next().id;
    t.slot.complete(id, Err(IoError));
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
    let port = DiskPort::default();
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
    let port = DiskPort::default();
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
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), RANGES & !FLUSH);
    with_range(&mut t, kind::WRITE_ZEROES, &range(0, 1, 0));
    let durable = matches!(port.next().op, BlockOp::WriteZeroes { through: true, .. });
    assert!(durable);
}

#[test]
fn the_configuration_tells_size_and_blocks() {
    let mut t = rig(Modern, disk(&DiskPort::default()));
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
        let port = DiskPort::default();
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
    let port = DiskPort::default();
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
    let port = DiskPort::default();
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
    let port = DiskPort::default();
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
    let port = DiskPort::default();
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
    let port = DiskPort::default();
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
        let mut t = started(Modern, disk(&DiskPort::default()), FLUSH);
        let writable: &[usize] = if writable == 0 { &[] } else { &[1] };
        t.offer(0, &[&[0; 16][..readable]], writable);
        t.kick(0);
        assert!(t.needs_reset());
    }
}

#[test]
fn requests_in_flight_are_capped_and_none_is_lost() {
    let port = DiskPort::default();
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
    let port = DiskPort::default();
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
        let port = DiskPort::default();
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
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), !EVENT_IDX);
    let header = header(vb::VIRTIO_BLK_T_IN, 5);
    let stopped = t.offer(0, &[&header], &[512, 1]);
    let kept = t.offer(1, &[&header], &[512, 1]);
    t.kick(0);
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(t.slot.device().in_flight(), 1);
    let port = DiskPort::default();
    t.move_to(disk(&port));
    t.serve();
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    answer(&mut t, port.next(), &mut store);
    assert!(port.requests().is_empty());
    assert_eq!(t.used(1), [(kept.head, 513)]);
    assert_eq!(t.written(&stopped), [0; 513]);
}
