//! A small virtio driver for tests, written from the specification's driver side: it
//! knows the ring layout by itself and shares no code with the devices.

mod face;

use std::sync::{Arc, Mutex, PoisonError};

use isoform_core::{Device, Size};
use isoform_memory::Ram;
use proptest::prelude::*;
use virtio_bindings::bindings::{virtio_config as vc, virtio_mmio as vm, virtio_ring as vr};

use super::{Doorbell, QueueSlot, VirtioDevice};
use crate::testing::{Mail, Wire, transfer};
use face::Ends;

pub(crate) use face::{Face, Kind, place};

pub(crate) const BASE: u64 = 0x8000_0000;
const RAM_SIZE: u64 = 32 << 20;
/// Each queue has its rings here, one behind the other.
const RINGS: u64 = BASE + 0x1_0000;
const RING_BYTES: u64 = 0x8000;
/// Buffers, handed out once each.
const BUFFERS: u64 = BASE + (1 << 20);

/// Remembers which queues were rung.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Vec<u16>>);

impl Bell {
    pub(crate) fn take(&self) -> Vec<u16> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Doorbell for Bell {
    fn ring(&self, queue: u16) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue);
    }
}

#[derive(Clone, Copy, Debug)]
struct Ring {
    size: u16,
    desc: u64,
    avail: u64,
    used: u64,
    next_desc: u16,
    avail_idx: u16,
    used_idx: u16,
}

/// A chain as the driver offered it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) head: u16,
    writable: Vec<(u64, u32)>,
}

/// A device in a slot, with its driver.
pub(crate) struct Rig<D: VirtioDevice> {
    pub(crate) slot: Face<D>,
    pub(crate) kind: Kind,
    pub(crate) ram: Arc<Ram>,
    pub(crate) irq: Arc<Wire>,
    pub(crate) mail: Arc<Mail>,
    pub(crate) bell: Arc<Bell>,
    /// Chains go through a table of their own.
    pub(crate) indirect: bool,
    event_idx: bool,
    rings: Vec<Ring>,
    next_buffer: u64,
}

/// A slot, not set up, with RAM, wire and bell of its own.
pub(crate) fn rig<D: VirtioDevice>(kind: Kind, device: D) -> Rig<D> {
    let ram = Arc::new(Ram::new(BASE, RAM_SIZE).expect("a little RAM"));
    let bell = Arc::new(Bell::default());
    let Ends { slot, irq, mail } = Ends::new(kind, device, ram.clone(), bell.clone());
    Rig {
        slot,
        kind,
        ram,
        irq,
        mail,
        bell,
        indirect: false,
        event_idx: false,
        rings: Vec::new(),
        next_buffer: BUFFERS,
    }
}

/// A slot whose driver accepted `features` (where offered) and set up all queues.
pub(crate) fn started<D: VirtioDevice>(kind: Kind, device: D, features: u64) -> Rig<D> {
    let mut rig = rig(kind, device);
    rig.start(features);
    rig
}

impl<D: VirtioDevice> Rig<D> {
    pub(crate) fn r(&mut self, register: u32) -> u32 {
        self.slot.register(register)
    }

    pub(crate) fn w(&mut self, register: u32, value: u32) {
        self.slot.set_register(register, value);
    }

    /// Initialisation in the order of 3.1.1.
    pub(crate) fn start(&mut self, features: u64) {
        let status = self.prepare(features) | vc::VIRTIO_CONFIG_S_DRIVER_OK;
        self.w(vm::VIRTIO_MMIO_STATUS, status);
        assert_eq!(self.r(vm::VIRTIO_MMIO_STATUS), status);
        self.bell.take();
    }

    /// Initialisation up to before DRIVER_OK; the status then.
    pub(crate) fn prepare(&mut self, features: u64) -> u32 {
        self.slot.enable();
        self.w(vm::VIRTIO_MMIO_STATUS, 0);
        self.w(vm::VIRTIO_MMIO_STATUS, vc::VIRTIO_CONFIG_S_ACKNOWLEDGE);
        self.w(
            vm::VIRTIO_MMIO_STATUS,
            vc::VIRTIO_CONFIG_S_ACKNOWLEDGE | vc::VIRTIO_CONFIG_S_DRIVER,
        );
        let version_1 = match self.kind.is_legacy() {
            false => 1 << vc::VIRTIO_F_VERSION_1,
            true => 0,
        };
        let accepted = self.accept(features | version_1);
        self.event_idx = accepted >> vr::VIRTIO_RING_F_EVENT_IDX & 1 != 0;
        let mut status = vc::VIRTIO_CONFIG_S_ACKNOWLEDGE | vc::VIRTIO_CONFIG_S_DRIVER;
        if !self.kind.is_legacy() {
            status |= vc::VIRTIO_CONFIG_S_FEATURES_OK;
            self.w(vm::VIRTIO_MMIO_STATUS, status);
            assert_eq!(self.r(vm::VIRTIO_MMIO_STATUS), status);
        }
        self.set_up_queues();
        status
    }

    fn accept(&mut self, features: u64) -> u64 {
        let mut accepted = 0;
        for sel in 0..2 {
            self.w(vm::VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
            let offered = self.r(vm::VIRTIO_MMIO_DEVICE_FEATURES);
            let half = offered & (features >> (32 * sel)) as u32;
            self.w(vm::VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
            self.w(vm::VIRTIO_MMIO_DRIVER_FEATURES, half);
            accepted |= u64::from(half) << (32 * sel);
        }
        accepted
    }

    fn set_up_queues(&mut self) {
        self.rings.clear();
        if self.kind.is_legacy() {
            self.w(vm::VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
        }
        for number in 0.. {
            self.w(vm::VIRTIO_MMIO_QUEUE_SEL, number);
            let max = self.r(vm::VIRTIO_MMIO_QUEUE_NUM_MAX);
            if max == 0 {
                break;
            }
            let base = RINGS + u64::from(number) * RING_BYTES;
            self.ram
                .write(base, &vec![0; RING_BYTES as usize])
                .expect("in RAM");
            self.set_up_queue(base, max as u16);
        }
    }

    fn set_up_queue(&mut self, base: u64, size: u16) {
        let n = u64::from(size);
        let (desc, avail) = (base, base + 16 * n);
        let used = (avail + 2 * n + 6).next_multiple_of(4096);
        self.w(vm::VIRTIO_MMIO_QUEUE_NUM, u32::from(size));
        match self.kind.is_legacy() {
            false => {
                assert_eq!(self.r(vm::VIRTIO_MMIO_QUEUE_READY), 0);
                for (low, high, addr) in [
                    (
                        vm::VIRTIO_MMIO_QUEUE_DESC_LOW,
                        vm::VIRTIO_MMIO_QUEUE_DESC_HIGH,
                        desc,
                    ),
                    (
                        vm::VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                        vm::VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
                        avail,
                    ),
                    (
                        vm::VIRTIO_MMIO_QUEUE_USED_LOW,
                        vm::VIRTIO_MMIO_QUEUE_USED_HIGH,
                        used,
                    ),
                ] {
                    self.w(low, addr as u32);
                    self.w(high, (addr >> 32) as u32);
                }
                self.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
                assert_eq!(self.r(vm::VIRTIO_MMIO_QUEUE_READY), 1);
            }
            true => {
                assert_eq!(self.r(vm::VIRTIO_MMIO_QUEUE_PFN), 0);
                self.w(vm::VIRTIO_MMIO_QUEUE_PFN, (base / 4096) as u32);
                assert_eq!(self.r(vm::VIRTIO_MMIO_QUEUE_PFN), (base / 4096) as u32);
            }
        }
        self.rings.push(Ring {
            size,
            desc,
            avail,
            used,
            next_desc: 0,
            avail_idx: 0,
            used_idx: 0,
        });
    }

    fn put<const N: usize>(&self, addr: u64, bytes: [u8; N]) {
        self.ram.write(addr, &bytes).expect("in RAM");
    }

    pub(crate) fn load(&self, addr: u64, size: Size) -> u64 {
        self.ram.load(addr, size).expect("in RAM")
    }

    /// Fresh RAM for a buffer, at an odd address.
    fn buffer(&mut self, len: usize) -> u64 {
        let at = self.next_buffer + 1;
        self.next_buffer = (at + len as u64).next_multiple_of(16);
        assert!(
            self.next_buffer < BASE + RAM_SIZE,
            "the test wants more RAM"
        );
        at
    }

    /// Writes one descriptor into a table.
    pub(crate) fn descriptor(
        &self,
        table: u64,
        index: u16,
        addr: u64,
        len: u32,
        flags: u32,
        next: u16,
    ) {
        let at = table + 16 * u64::from(index);
        self.put(at, addr.to_le_bytes());
        self.put(at + 8, len.to_le_bytes());
        self.put(at + 12, (flags as u16).to_le_bytes());
        self.put(at + 14, next.to_le_bytes());
    }

    /// Address of a queue's descriptor table.
    pub(crate) fn table(&self, queue: u16) -> u64 {
        self.rings[usize::from(queue)].desc
    }

    /// Offers a chain with this content to read and these sizes to write; does not
    /// notify.
    pub(crate) fn offer(&mut self, queue: u16, readable: &[&[u8]], writable: &[usize]) -> Offer {
        let mut parts = Vec::new();
        for bytes in readable {
            let addr = self.buffer(bytes.len());
            self.ram.write(addr, bytes).expect("in RAM");
            parts.push((addr, bytes.len() as u32, 0));
        }
        for &len in writable {
            parts.push((self.buffer(len), len as u32, vr::VRING_DESC_F_WRITE));
        }
        let head = self.link(queue, &parts);
        self.make_available(queue, head);
        Offer {
            head,
            writable: parts
                .iter()
                .filter(|p| p.2 != 0)
                .map(|&(addr, len, _)| (addr, len))
                .collect(),
        }
    }

    fn link(&mut self, queue: u16, parts: &[(u64, u32, u32)]) -> u16 {
        let ring = self.rings[usize::from(queue)];
        let last = parts.len() - 1;
        let (table, size, first) = match self.indirect {
            true => (self.buffer(16 * parts.len()), u16::MAX, 0),
            false => (ring.desc, ring.size, ring.next_desc),
        };
        for (i, &(addr, len, flags)) in parts.iter().enumerate() {
            let index = (first + i as u16) % size;
            let more = if i < last { vr::VRING_DESC_F_NEXT } else { 0 };
            self.descriptor(table, index, addr, len, flags | more, (index + 1) % size);
        }
        let taken = match self.indirect {
            true => {
                let len = 16 * parts.len() as u32;
                self.descriptor(
                    ring.desc,
                    ring.next_desc,
                    table,
                    len,
                    vr::VRING_DESC_F_INDIRECT,
                    0,
                );
                1
            }
            false => parts.len() as u16,
        };
        self.rings[usize::from(queue)].next_desc = (ring.next_desc + taken) % ring.size;
        ring.next_desc
    }

    /// Puts a head into the available ring.
    pub(crate) fn make_available(&mut self, queue: u16, head: u16) {
        let ring = &mut self.rings[usize::from(queue)];
        let slot = ring.avail + 4 + 2 * u64::from(ring.avail_idx % ring.size);
        ring.avail_idx = ring.avail_idx.wrapping_add(1);
        let (avail, idx) = (ring.avail, ring.avail_idx);
        self.put(slot, head.to_le_bytes());
        self.put(avail + 2, idx.to_le_bytes());
    }

    /// Takes the newest offer back, which no real driver may do: only where the device
    /// is known not to have taken it.
    pub(crate) fn forget(&mut self, queue: u16, offer: Offer) {
        let ring = &mut self.rings[usize::from(queue)];
        ring.avail_idx = ring.avail_idx.wrapping_sub(1);
        ring.next_desc = offer.head;
        let (avail, idx) = (ring.avail, ring.avail_idx);
        self.put(avail + 2, idx.to_le_bytes());
    }

    /// Notifies as the rules ask for, and has the rung queues processed.
    pub(crate) fn kick(&mut self, queue: u16) {
        self.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, u32::from(queue));
        self.serve();
    }

    /// Does what the run loop does when the bell rings.
    pub(crate) fn serve(&mut self) {
        for _ in 0..1000 {
            let rung = self.bell.take();
            if rung.is_empty() {
                return;
            }
            for queue in rung {
                self.slot.process(queue);
            }
        }
        panic!("a device keeps ringing its own bell");
    }

    /// Where a queue's available ring is.
    pub(crate) fn avail(&self, queue: u16) -> u64 {
        self.rings[usize::from(queue)].avail
    }

    /// The driver's count of used buffers, which it shows as `used_event`.
    pub(crate) fn set_used_event(&mut self, queue: u16, value: u16) {
        let ring = self.rings[usize::from(queue)];
        assert!(self.event_idx);
        self.put(
            ring.avail + 4 + 2 * u64::from(ring.size),
            value.to_le_bytes(),
        );
    }

    /// `avail_event`: the device wants to be notified when the index passes it.
    pub(crate) fn avail_event(&self, queue: u16) -> u16 {
        let ring = self.rings[usize::from(queue)];
        self.load(ring.used + 4 + 8 * u64::from(ring.size), Size::B2) as u16
    }

    /// Heads and lengths given back since the last call.
    pub(crate) fn used(&mut self, queue: u16) -> Vec<(u16, u32)> {
        let ring = self.rings[usize::from(queue)];
        let idx = self.load(ring.used + 2, Size::B2) as u16;
        let mut heads = Vec::new();
        let mut at = ring.used_idx;
        while at != idx {
            let element = ring.used + 4 + 8 * u64::from(at % ring.size);
            let head = self.load(element, Size::B4) as u16;
            heads.push((head, self.load(element + 4, Size::B4) as u32));
            at = at.wrapping_add(1);
        }
        self.rings[usize::from(queue)].used_idx = idx;
        heads
    }

    /// The content of an offer's writable part.
    pub(crate) fn written(&self, offer: &Offer) -> Vec<u8> {
        let mut all = Vec::new();
        for &(addr, len) in &offer.writable {
            let mut bytes = vec![0; len as usize];
            self.ram.read(addr, &mut bytes).expect("in RAM");
            all.extend(bytes);
        }
        all
    }

    /// The used interrupt: whether it was there. Acknowledges it.
    pub(crate) fn take_interrupt(&mut self) -> bool {
        let high = self.irq.high();
        let status = self.r(vm::VIRTIO_MMIO_INTERRUPT_STATUS);
        assert_eq!(high, status != 0);
        self.w(vm::VIRTIO_MMIO_INTERRUPT_ACK, status);
        assert!(!self.irq.high());
        status & vm::VIRTIO_MMIO_INT_VRING != 0
    }

    pub(crate) fn needs_reset(&mut self) -> bool {
        self.r(vm::VIRTIO_MMIO_STATUS) & vc::VIRTIO_CONFIG_S_NEEDS_RESET != 0
    }

    /// Moves the state into a slot with a fresh device; RAM and driver stay.
    pub(crate) fn move_to(&mut self, device: D) {
        let bell = Arc::new(Bell::default());
        let ends = Ends::new(self.kind, device, self.ram.clone(), bell.clone());
        let Ends {
            mut slot,
            irq,
            mail,
        } = ends;
        transfer(&self.slot, &mut slot);
        assert_eq!(irq.high(), self.irq.high());
        (self.slot, self.irq, self.mail, self.bell) = (slot, irq, mail, bell);
    }
}

/// What a hostile guest does.
#[derive(Clone, Debug)]
pub(crate) enum Hostile {
    /// Sets the device up by the rules, with these features.
    Start(u64),
    /// Writes a register.
    Write(u32, u32),
    /// Reads anything, with any size.
    Read(u64, u8),
    /// Overwrites four bytes of a ring, a table or a buffer.
    Poke(u32, u32),
    /// Writes a descriptor of queue `.0` that may be sensible.
    Descriptor(u8, u8, u32, u32, u8, u8),
    /// Offers a head on a queue.
    Offer(u8, u8),
    /// Saves and restores.
    Restore,
}

pub(crate) fn hostile() -> impl Strategy<Value = Vec<Hostile>> {
    let register = prop::sample::select(vec![
        vm::VIRTIO_MMIO_DRIVER_FEATURES,
        vm::VIRTIO_MMIO_DRIVER_FEATURES_SEL,
        vm::VIRTIO_MMIO_GUEST_PAGE_SIZE,
        vm::VIRTIO_MMIO_QUEUE_SEL,
        vm::VIRTIO_MMIO_QUEUE_NUM,
        vm::VIRTIO_MMIO_QUEUE_ALIGN,
        vm::VIRTIO_MMIO_QUEUE_PFN,
        vm::VIRTIO_MMIO_QUEUE_READY,
        vm::VIRTIO_MMIO_QUEUE_NOTIFY,
        vm::VIRTIO_MMIO_INTERRUPT_ACK,
        vm::VIRTIO_MMIO_STATUS,
        vm::VIRTIO_MMIO_QUEUE_DESC_LOW,
        vm::VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
        vm::VIRTIO_MMIO_QUEUE_USED_LOW,
        0x108,
    ]);
    let value =
        prop_oneof![4 => 0..16u32, 1 => any::<u32>(), 1 => Just(0x8_0010), 1 => Just(RINGS as u32)];
    let len = prop_oneof![0..64u32, 0..0x2000u32, any::<u32>()];
    let step = prop_oneof![
        3 => any::<u64>().prop_map(Hostile::Start),
        4 => (register, value.clone()).prop_map(|(r, v)| Hostile::Write(r, v)),
        1 => (0..0x1000u64, 0..4u8).prop_map(|(o, s)| Hostile::Read(o, s)),
        4 => (any::<u32>(), value).prop_map(|(a, v)| Hostile::Poke(a, v)),
        9 => (any::<u8>(), 0..8u8, any::<u32>(), len, 0..8u8, 0..8u8)
            .prop_map(|(q, i, a, l, f, n)| Hostile::Descriptor(q, i, a, l, f, n)),
        9 => (any::<u8>(), 0..8u8).prop_map(|(q, h)| Hostile::Offer(q, h)),
        1 => Just(Hostile::Restore),
    ];
    prop::collection::vec(step, 1..120)
}

impl<D: VirtioDevice> Rig<D> {
    /// One hostile step; whatever it asks for has been served afterwards.
    pub(crate) fn suffer(&mut self, step: &Hostile, fresh: impl FnOnce() -> D) {
        let queue = |q: u8, n: usize| (usize::from(q) % n.max(1)) as u16;
        match *step {
            Hostile::Start(features) => self.start(features),
            Hostile::Write(register, value) => self.w(register, value),
            Hostile::Read(offset, size) => {
                let size = [Size::B1, Size::B2, Size::B4, Size::B8][usize::from(size)];
                let _ = self.slot.read(offset & !(size.bytes() - 1), size);
            }
            Hostile::Poke(at, value) => {
                let span = (self.rings.len() as u64 + 1) * RING_BYTES;
                self.put(RINGS + u64::from(at) % span / 4 * 4, value.to_le_bytes());
            }
            Hostile::Descriptor(q, index, at, len, flags, next) if !self.rings.is_empty() => {
                let q = queue(q, self.rings.len());
                let addr = BUFFERS + u64::from(at) % (RAM_SIZE - 0x10_0000);
                self.descriptor(
                    self.table(q),
                    index.into(),
                    addr,
                    len,
                    flags.into(),
                    next.into(),
                );
            }
            Hostile::Offer(q, head) if !self.rings.is_empty() => {
                let q = queue(q, self.rings.len());
                self.make_available(q, head.into());
                self.w(vm::VIRTIO_MMIO_QUEUE_NOTIFY, q.into());
            }
            Hostile::Descriptor(..) | Hostile::Offer(..) => {}
            Hostile::Restore => self.move_to(fresh()),
        }
        self.serve();
    }
}
