//! The ways in which guests have got out of other machines, each by its name. What is
//! here is tried on devices by themselves; ARCHITECTURE.md says where the others are.

use std::collections::VecDeque;

use isoform_core::{Device, Size};
use virtio_bindings::bindings::{virtio_mmio as vm, virtio_ring as vr};

use crate::block::{BlockSlot, DiskConfig, IoError};
use crate::testing::{DiskPort, TapeSink, Wire};
use crate::uart::{Uart, spec as register};
use crate::virtio::blk::{Blk, BlkConfig};
use crate::virtio::net::{Net, NetConfig, NetPort};
use crate::virtio::testing::{BASE, Kind, Rig, started};
use crate::virtio::{PacketPort, PacketSlot};

const WRITE: u32 = vr::VRING_DESC_F_WRITE;
const NEXT: u32 = vr::VRING_DESC_F_NEXT;
const INDIRECT: u32 = vr::VRING_DESC_F_INDIRECT;
/// RAM that no ring is in.
const BUFFER: u64 = BASE + 0x20_0000;

fn disk(port: &DiskPort) -> Blk {
    let config = BlkConfig {
        disk: DiskConfig {
            capacity: 1 << 20,
            read_only: false,
            serial: "attacked".into(),
            discard: true,
            preferred: 4096,
        },
        block_size: 512,
        queues: 2,
    };
    Blk::new(config, Box::new(port.clone()))
}

/// A disk that an honest driver still gets an answer from.
fn is_well(t: &mut Rig<Blk>, port: &DiskPort) {
    while let Some(request) = { port.requests().pop_front() } {
        t.slot.complete(request.id, Err(IoError));
    }
    t.start(0);
    let offer = t.offer(0, &[&[0; 16]], &[512, 1]);
    t.kick(0);
    let request = port.next();
    t.slot.complete(request.id, Ok(vec![7; 512]));
    assert_eq!(t.used(0), [(offer.head, 513)]);
}

/// VENOM (CVE-2015-3456): a FIFO takes more than it holds. The port's own loop lets a
/// guest fill both of its FIFOs; the flash's buffer is tried in `pflash`.
#[test]
fn venom_fifo_overflow() {
    let (_irq, line) = Wire::pair();
    let mut uart = Uart::new(line, Box::new(TapeSink::default()));
    let write = |uart: &mut Uart, at, value: u64| {
        uart.write(at, Size::B1, value).expect("a register");
    };
    let empty = uart.save().len();
    write(&mut uart, register::IIR_FCR, 0x01);
    write(&mut uart, register::MCR, 0x10);
    for value in 0..100_000u64 {
        write(&mut uart, register::RBR_THR_DLL, value & 0xff);
    }
    assert!(uart.save().len() <= empty + 2 * 16 + 8, "both FIFOs");
    let mut read = 0;
    while uart.read(register::LSR, Size::B1).expect("a register") & 1 != 0 {
        uart.read(register::RBR_THR_DLL, Size::B1)
            .expect("a register");
        read += 1;
    }
    assert_eq!(read, 16);
}

/// Something that a driver writes into a queue's memory.
type Attack<'a> = &'a dyn Fn(&Rig<Blk>);

/// Chains and tables that lead back to themselves (CVE-2016-6490, CVE-2016-6834).
#[test]
fn descriptor_loops() {
    for kind in Kind::ALL {
        let port = DiskPort::default();
        let mut t = started(kind, disk(&port), 1 << vr::VIRTIO_RING_F_INDIRECT_DESC);
        let table = t.table(0);
        let attacks: [Attack<'_>; 4] = [
            &|t| t.descriptor(table, 0, BUFFER, 16, NEXT, 0),
            &|t| {
                t.descriptor(table, 0, BUFFER, 16, NEXT, 1);
                t.descriptor(table, 1, BUFFER, 512, WRITE | NEXT, 2);
                t.descriptor(table, 2, BUFFER, 512, WRITE | NEXT, 1);
            },
            &|t| {
                t.descriptor(table, 0, BUFFER, 32, INDIRECT, 0);
                t.descriptor(BUFFER, 0, BUFFER, 16, NEXT, 1);
                t.descriptor(BUFFER, 1, BUFFER, 16, NEXT, 0);
            },
            // A table that is its own entry.
            &|t| {
                t.descriptor(table, 0, BUFFER, 16, INDIRECT, 0);
                t.descriptor(BUFFER, 0, BUFFER, 16, INDIRECT, 0);
            },
        ];
        for attack in attacks {
            attack(&t);
            t.make_available(0, 0);
            t.kick(0);
            assert!(t.needs_reset());
            assert_eq!(port.requests().len(), 0);
            is_well(&mut t, &port);
            t.start(1 << vr::VIRTIO_RING_F_INDIRECT_DESC);
        }
    }
}

/// A device made to write to registers, its own among them, while it is at work
/// (CVE-2021-3929, CVE-2023-0330).
#[test]
fn dma_reentrancy() {
    // Registers of the slots, of functions on the bus, of the controllers.
    let registers = [
        0x1000_1000u64,
        0x1000_1050,
        0x4000_0000,
        0x4_0000_3000,
        0xc00_0000,
        0x3000_8004,
    ];
    for kind in Kind::ALL {
        let port = DiskPort::default();
        let mut t = started(kind, disk(&port), 0);
        for at in registers {
            let table = t.table(0);
            t.descriptor(table, 0, BUFFER, 16, NEXT, 1);
            t.descriptor(table, 1, at, 512, WRITE | NEXT, 2);
            t.descriptor(table, 2, BUFFER + 512, 1, WRITE, 0);
            t.make_available(0, 0);
            t.kick(0);
            assert!(t.needs_reset(), "{at:#x} is no memory");
            assert_eq!(port.requests().len(), 0);
            is_well(&mut t, &port);
            t.start(0);
        }
    }
}

/// The size or place of a queue changes while it is used (CVE-2017-17381 and its like):
/// accesses beyond what was checked when it was set up.
#[test]
fn queue_reconfiguration() {
    for kind in Kind::ALL {
        let port = DiskPort::default();
        let mut t = started(kind, disk(&port), 0);
        for value in [0, 1, 3, 0x8000, 0xffff, u32::MAX] {
            for register in [
                vm::VIRTIO_MMIO_QUEUE_NUM,
                vm::VIRTIO_MMIO_QUEUE_DESC_LOW,
                vm::VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
                vm::VIRTIO_MMIO_QUEUE_USED_HIGH,
                vm::VIRTIO_MMIO_QUEUE_ALIGN,
            ] {
                t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
                t.w(register, value);
                let offer = t.offer(0, &[&[0; 16]], &[512, 1]);
                t.kick(0);
                let request = { port.requests().pop_front() };
                if let Some(request) = request {
                    t.slot.complete(request.id, Ok(vec![1; 512]));
                    assert_eq!(t.used(0), [(offer.head, 513)]);
                } else {
                    assert!(t.needs_reset(), "{kind:?} {register:#x} {value:#x}");
                }
                is_well(&mut t, &port);
                t.start(0);
            }
        }
    }
}

/// More requests than anybody answers: what waits at the host has a bound, whatever the
/// guest offers and however often it starts anew (CVE-2016-5403).
#[test]
fn request_flood() {
    for kind in Kind::ALL {
        let port = DiskPort::default();
        let mut t = started(kind, disk(&port), 0);
        let mut most = 0;
        for _ in 0..50 {
            let table = t.table(0);
            t.descriptor(table, 0, BUFFER, 16, NEXT, 1);
            t.descriptor(table, 1, BUFFER, 1 << 20, WRITE | NEXT, 2);
            t.descriptor(table, 2, BUFFER + (1 << 20), 1, WRITE, 0);
            for _ in 0..256 {
                t.make_available(0, 0);
                t.kick(0);
            }
            most = most.max(port.requests().len());
            t.start(0);
        }
        assert!((1..=256).contains(&most), "{most} requests wait");
        is_well(&mut t, &port);
    }
}

/// A wire whose other end sends everything back.
#[derive(Default)]
struct Mirror(VecDeque<Vec<u8>>);

impl NetPort for Mirror {}

impl PacketPort for Mirror {
    fn send(&mut self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.0.len() < 64 {
            true => self.0.push_back(frame),
            false => return Err(frame),
        }
        Ok(())
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.pop_front()
    }
}

/// A frame that comes back to the card that sends it, whose receiving then sends the next
/// (CVE-2021-3416): sending and receiving are two turns, and neither calls the other.
#[test]
fn nic_loopback_recursion() {
    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
    let (receive, transmit) = (0, 1);
    for kind in Kind::ALL {
        let config = NetConfig {
            mac: MAC,
            mtu: None,
            local: false,
        };
        let mut t = started(kind, Net::new(config, Box::<Mirror>::default()), 0);
        let mut frame = vec![0; 64];
        frame[..6].copy_from_slice(&MAC);
        let header = vec![0; if kind.is_legacy() { 10 } else { 12 }];
        // Received frames land where those to send are taken from.
        let mut came_back = 0;
        for _ in 0..2000 {
            t.offer(receive, &[], &[128]);
            t.offer(transmit, &[&header, &frame], &[]);
            t.kick(transmit);
            t.kick(receive);
            t.slot.look();
            t.serve();
            assert!(t.used(transmit).len() <= 1);
            came_back += t.used(receive).len();
        }
        assert_eq!(came_back, 2000);
        assert!(!t.needs_reset());
    }
}
