//! A driver for tests: queues at fixed places, commands one by one, and a disk in memory
//! that answers when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use isoform_core::{Device, Size};
use isoform_memory::Ram;

use super::*;
use crate::block::{BlockOp, BlockRequest};
use crate::testing::{DiskPort, Mail, Wire};

pub(super) const RAM: u64 = 0x8000_0000;
const RAM_BYTES: u64 = 8 << 20;
/// Behind the queues.
pub(super) const DATA: u64 = RAM + (4 << 20);
pub(super) const BLOCKS: u64 = 4096;
/// CC of a driver that is ready: entries of 64 and 16 bytes, enabled.
pub(super) const ENABLED: u32 = 4 << 20 | 6 << 16 | 1;

pub(super) const CC: u64 = 0x14;
pub(super) const CSTS: u64 = 0x1c;

/// A command in the making.
#[derive(Clone, Copy)]
pub(super) struct Cmd(pub(super) [u32; 16]);

impl Cmd {
    /// For the namespace there is.
    pub(super) fn new(opcode: u8) -> Self {
        Self([0; 16]).dword(0, opcode.into()).dword(1, 1)
    }

    pub(super) fn dword(mut self, n: usize, value: u32) -> Self {
        self.0[n] = value;
        self
    }

    pub(super) fn namespace(self, namespace: u32) -> Self {
        self.dword(1, namespace)
    }

    pub(super) fn prp(self, first: u64, second: u64) -> Self {
        self.dword(6, first as u32)
            .dword(7, (first >> 32) as u32)
            .dword(8, second as u32)
            .dword(9, (second >> 32) as u32)
    }

    pub(super) fn blocks(self, first: u64, count: u32) -> Self {
        self.dword(10, first as u32)
            .dword(11, (first >> 32) as u32)
            .dword(12, self.0[12] | (count - 1))
    }
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) command: u16,
    /// Type and code, without the bits above.
    pub(super) status: u16,
    pub(super) result: u32,
    pub(super) head: u16,
    pub(super) queue: u16,
}

/// The driver's side of a pair of queues.
#[derive(Clone, Copy, Default)]
struct Side {
    entries: u16,
    tail: u16,
    head: u16,
    phase: bool,
}

pub(super) struct Rig {
    pub(super) nvme: Nvme,
    pub(super) ram: Arc<Ram>,
    pub(super) port: DiskPort,
    pub(super) wire: Arc<Wire>,
    pub(super) mail: Arc<Mail>,
    pub(super) bell: Arc<AtomicBool>,
    pub(super) store: Vec<u8>,
    sides: [Side; 20],
    next: u16,
}

pub(super) fn config() -> DiskConfig {
    DiskConfig {
        capacity: BLOCKS,
        read_only: false,
        serial: "S-1".to_owned(),
        discard: true,
        preferred: 65536,
    }
}

/// A controller that is a bus master and not enabled.
pub(super) fn rig_of(config: DiskConfig) -> Rig {
    let ram = Arc::new(Ram::new(RAM, RAM_BYTES).expect("8 MiB"));
    let (port, (wire, pin)) = (DiskPort::default(), Wire::pair());
    let (mail, bell) = (Arc::new(Mail::default()), Arc::new(AtomicBool::default()));
    let rung = bell.clone();
    let connections = Connections {
        pin,
        messages: Some(mail.clone()),
        doorbell: Arc::new(move |_: u16| rung.store(true, Ordering::SeqCst)),
        port: Box::new(port.clone()),
    };
    let mut rig = Rig {
        nvme: Nvme::new(config, ram.clone(), connections),
        ram,
        port,
        wire,
        mail,
        bell,
        store: vec![0; (BLOCKS * 512) as usize],
        sides: [Side::default(); 20],
        next: 1,
    };
    rig.command_register(6);
    rig
}

/// One that is enabled.
pub(super) fn started() -> Rig {
    let mut rig = rig_of(config());
    rig.start();
    rig
}

/// One with so many pairs of I/O queues, each of 16 entries.
pub(super) fn ready(pairs: u16) -> Rig {
    let mut rig = started();
    (1..=pairs).for_each(|queue| rig.create(queue, 16));
    rig
}

/// Where the submission queue of a pair is.
pub(super) fn sq(queue: u16) -> u64 {
    RAM + u64::from(queue) * 0x2_0000
}

/// Where its completion queue is.
pub(super) fn cq(queue: u16) -> u64 {
    sq(queue) + 0x1_0000
}

impl Rig {
    pub(super) fn r(&mut self, at: u64) -> u32 {
        self.read(at, Size::B4) as u32
    }

    pub(super) fn read(&mut self, at: u64, size: Size) -> u64 {
        let place = Place::Bar { bar: 0, offset: at };
        self.nvme.read(place.number(), size).expect("it answers")
    }

    pub(super) fn w(&mut self, at: u64, value: u32) {
        self.write(at, Size::B4, value.into());
    }

    pub(super) fn write(&mut self, at: u64, size: Size, value: u64) {
        let place = Place::Bar { bar: 0, offset: at };
        let written = self.nvme.write(place.number(), size, value);
        written.expect("it answers");
    }

    pub(super) fn command_register(&mut self, value: u64) {
        let written = self.nvme.write(4, Size::B2, value);
        written.expect("it answers");
    }

    /// Enables it with admin queues of 32 entries.
    pub(super) fn start(&mut self) {
        self.w(0x24, 31 << 16 | 31);
        self.write(0x28, Size::B8, sq(0));
        self.write(0x30, Size::B8, cq(0));
        self.forget(0, 32);
        self.w(CC, ENABLED);
    }

    /// The driver's side of a pair as it is in the beginning.
    pub(super) fn forget(&mut self, queue: u16, entries: u16) {
        let zeros = vec![0; usize::from(entries) * 16];
        self.ram.write(cq(queue), &zeros).expect("in RAM");
        self.sides[usize::from(queue)] = Side {
            entries,
            phase: true,
            ..Side::default()
        };
    }

    /// Creates a pair of queues, with the interrupt vector of its number where there are
    /// messages.
    pub(super) fn create(&mut self, queue: u16, entries: u16) {
        let id = u32::from(queue) | u32::from(entries - 1) << 16;
        let vector = match self.nvme.endpoint.uses_messages() {
            true => u32::from(queue) << 16,
            false => 0,
        };
        let completion = Cmd::new(5).dword(10, id).dword(11, vector | 3);
        self.ok(completion.prp(cq(queue), 0));
        let submission = Cmd::new(1)
            .dword(10, id)
            .dword(11, u32::from(queue) << 16 | 1);
        self.ok(submission.prp(sq(queue), 0));
        self.forget(queue, entries);
    }

    /// Writes a command and rings; its identifier.
    pub(super) fn submit(&mut self, queue: u16, command: Cmd) -> u16 {
        let (id, tail) = self.enter(queue, command);
        self.w(0x1000 + 8 * u64::from(queue), tail.into());
        id
    }

    /// Writes a command; its identifier and the tail behind it.
    pub(super) fn enter(&mut self, queue: u16, Cmd(mut words): Cmd) -> (u16, u16) {
        let (id, side) = (self.next, &mut self.sides[usize::from(queue)]);
        self.next += 1;
        words[0] |= u32::from(id) << 16;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = sq(queue) + 64 * u64::from(side.tail);
        self.ram.write(at, &bytes).expect("in RAM");
        side.tail = (side.tail + 1) % side.entries;
        (id, side.tail)
    }

    /// Does what the run loop would.
    pub(super) fn work(&mut self) {
        while self.bell.swap(false, Ordering::SeqCst) {
            self.nvme.process(0);
        }
    }

    /// The completions that are there and were not looked at, without a word about it.
    pub(super) fn look(&mut self, queue: u16) -> Vec<Done> {
        let mut done = Vec::new();
        loop {
            let side = &mut self.sides[usize::from(queue)];
            let mut entry = [0; 16];
            let at = cq(queue) + 16 * u64::from(side.head);
            self.ram.read(at, &mut entry).expect("in RAM");
            let word = |n: usize| u16::from_le_bytes([entry[n], entry[n + 1]]);
            if (word(14) & 1 != 0) != side.phase {
                return done;
            }
            done.push(Done {
                result: u32::from(word(0)) | u32::from(word(2)) << 16,
                head: word(8),
                queue: word(10),
                command: word(12),
                status: word(14) >> 1 & 0x7ff,
            });
            side.head = (side.head + 1) % side.entries;
            side.phase ^= side.head == 0;
        }
    }

    /// Tells that they were looked at.
    pub(super) fn acknowledge(&mut self, queue: u16) {
        let head = self.sides[usize::from(queue)].head;
        self.w(0x1004 + 8 * u64::from(queue), head.into());
    }

    /// The completions that are there.
    pub(super) fn done(&mut self, queue: u16) -> Vec<Done> {
        self.work();
        let done = self.look(queue);
        self.acknowledge(queue);
        done
    }

    /// The one completion of a queue: status and result.
    #[track_caller]
    pub(super) fn one(&mut self, queue: u16, id: u16) -> (u16, u32) {
        let done = self.done(queue);
        let [done] = done[..] else {
            panic!("not one completion: {done:?}");
        };
        assert_eq!((done.command, done.queue), (id, queue));
        (done.status, done.result)
    }

    /// An admin command that is completed at once.
    #[track_caller]
    pub(super) fn admin(&mut self, command: Cmd) -> (u16, u32) {
        let id = self.submit(0, command);
        self.one(0, id)
    }

    #[track_caller]
    pub(super) fn ok(&mut self, command: Cmd) -> u32 {
        let (status, result) = self.admin(command);
        assert_eq!(status, 0);
        result
    }

    /// An I/O command: its status once the disk has answered all that came of it.
    #[track_caller]
    pub(super) fn io(&mut self, queue: u16, command: Cmd) -> u16 {
        let id = self.submit(queue, command);
        self.work();
        self.answer_all();
        self.one(queue, id).0
    }

    pub(super) fn answer_all(&mut self) {
        loop {
            let request = self.port.requests().pop_front();
            let Some(request) = request else { return };
            self.answer(request);
            self.work();
        }
    }

    /// Answers a request as a good disk would.
    pub(super) fn answer(&mut self, request: BlockRequest) {
        let at = |sector: u64| (sector * 512) as usize;
        let result = match request.op {
            BlockOp::Read { sector, len } => self.store[at(sector)..at(sector) + len].to_vec(),
            BlockOp::Write { sector, data, .. } => {
                self.store[at(sector)..at(sector) + data.len()].copy_from_slice(&data);
                Vec::new()
            }
            BlockOp::WriteZeroes {
                sector, sectors, ..
            } => {
                self.store[at(sector)..at(sector + sectors)].fill(0);
                Vec::new()
            }
            BlockOp::Flush | BlockOp::Discard { .. } => Vec::new(),
        };
        self.nvme.complete(request.id, Ok(result));
    }

    pub(super) fn memory(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read(at, &mut bytes).expect("in RAM");
        bytes
    }
}
