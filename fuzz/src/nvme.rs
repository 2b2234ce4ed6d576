//! An NVMe controller: registers, queues and data anywhere in memory, commands and answers
//! of any kind, resets in between, damaged states.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use isoform_core::{Device, IrqLine, Size};
use isoform_devices::block::{
    BlockOp, BlockRequest, BlockSlot, DISCARD_MAX, DiskConfig, IN_FLIGHT_MAX, IoError, PIECE,
    ZEROES_MAX,
};
use isoform_devices::doorbell::QueueSlot;
use isoform_devices::nvme::{Connections, Nvme};
use isoform_devices::pci::Place;
use isoform_memory::Ram;

use crate::input::Input;
use crate::rig::Nobody;

const RAM_BASE: u64 = 0x8000_0000;
const RAM_SIZE: u64 = 1 << 20;
const BLOCKS: u64 = 1 << 22;
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];
/// Where a driver by the rules has its queues, a page each.
const QUEUES: u64 = RAM_BASE + 0x8_0000;
const ENTRIES: u32 = 16;

struct Machine {
    nvme: Nvme,
    ram: Arc<Ram>,
    bell: Arc<AtomicBool>,
    requests: Arc<Mutex<VecDeque<BlockRequest>>>,
    tails: [u32; 4],
}

impl Machine {
    fn new() -> Self {
        let ram = Arc::new(Ram::new(RAM_BASE, RAM_SIZE).expect("a little RAM"));
        let bell = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(VecDeque::new()));
        let (rung, asked) = (bell.clone(), requests.clone());
        let config = DiskConfig {
            capacity: BLOCKS,
            read_only: false,
            serial: "fuzz".into(),
            discard: true,
            preferred: 4096,
        };
        let connections = Connections {
            pin: IrqLine::unconnected(),
            messages: Some(Arc::new(Nobody)),
            doorbell: Arc::new(move |_: u16| rung.store(true, Ordering::SeqCst)),
            port: Box::new(move |request: BlockRequest| {
                check(&request.op);
                let mut asked = asked.lock().expect("nobody panics with it");
                asked.push_back(request);
                assert!(
                    asked.len() <= IN_FLIGHT_MAX + 1,
                    "more than there is room for"
                );
            }),
        };
        let mut machine = Self {
            nvme: Nvme::new(config, ram.clone(), connections),
            ram,
            bell,
            requests,
            tails: [0; 4],
        };
        machine.start();
        machine
    }

    fn config(&mut self, at: u64, size: Size, value: u64) {
        let place = Place::Config(at).number();
        self.nvme.write(place, size, value).expect("it answers");
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        let place = Place::Bar { bar: 0, offset }.number();
        self.nvme.write(place, size, value).expect("it answers");
    }

    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let place = Place::Bar { bar: 0, offset }.number();
        self.nvme.read(place, size).expect("it answers")
    }

    /// Begins anew by the rules, with two pairs of I/O queues.
    fn start(&mut self) {
        self.config(4, Size::B2, 6);
        self.write(0x14, Size::B4, 0);
        self.tails = [0; 4];
        self.write(
            0x24,
            Size::B4,
            u64::from((ENTRIES - 1) << 16 | (ENTRIES - 1)),
        );
        self.write(0x28, Size::B8, QUEUES);
        self.write(0x30, Size::B8, QUEUES + 0x1000);
        self.write(0x14, Size::B4, 4 << 20 | 6 << 16 | 1);
        for queue in 1..3u32 {
            let at = QUEUES + u64::from(queue) * 0x2000;
            let id = queue | (ENTRIES - 1) << 16;
            self.submit(0, &command(5, [at + 0x1000, 0], [id, 3, 0]));
            self.submit(0, &command(1, [at, 0], [id, queue << 16 | 1, 0]));
        }
    }

    fn submit(&mut self, queue: usize, entry: &[u8; 64]) {
        let Some(tail) = self.tails.get_mut(queue) else {
            return;
        };
        let at = QUEUES + queue as u64 * 0x2000 + 64 * u64::from(*tail);
        *tail = (*tail + 1) % ENTRIES;
        let tail = u64::from(*tail);
        self.ram.write(at, entry).expect("in RAM");
        self.write(0x1000 + 8 * queue as u64, Size::B4, tail);
        self.work();
        // Whatever was completed was looked at: the head is the tail, wherever that is.
        for head in 0..u64::from(ENTRIES) {
            self.write(0x1004 + 8 * queue as u64, Size::B4, head);
        }
    }

    /// Does what the run loop would.
    fn work(&mut self) {
        for _ in 0..64 {
            if !self.bell.swap(false, Ordering::SeqCst) {
                return;
            }
            self.nvme.process(0);
        }
    }

    fn complete(&mut self, well: bool, short: bool) {
        let request = self.requests.lock().expect("nobody panics").pop_front();
        let Some(BlockRequest { id, op }) = request else {
            return;
        };
        let answer = match op {
            BlockOp::Read { len, .. } => vec![0x5a; len - usize::from(short)],
            _ => Vec::new(),
        };
        let answer = if well { Ok(answer) } else { Err(IoError) };
        self.nvme.complete(id, answer);
        self.work();
    }
}

/// What a disk may rely on.
fn check(op: &BlockOp) {
    let (sector, sectors) = match op {
        BlockOp::Read { sector, len } => {
            assert!(*len > 0 && len.is_multiple_of(512) && *len as u64 <= PIECE);
            (*sector, *len as u64 / 512)
        }
        BlockOp::Write { sector, data, .. } => {
            assert!(!data.is_empty() && data.len().is_multiple_of(512));
            assert!(data.len() as u64 <= PIECE);
            (*sector, data.len() as u64 / 512)
        }
        BlockOp::Flush => (0, 0),
        BlockOp::Discard { sector, sectors } => {
            assert!((1..=u64::from(DISCARD_MAX)).contains(sectors));
            (*sector, *sectors)
        }
        BlockOp::WriteZeroes {
            sector, sectors, ..
        } => {
            assert!((1..=u64::from(ZEROES_MAX)).contains(sectors));
            (*sector, *sectors)
        }
    };
    assert!(sector.checked_add(sectors).is_some_and(|end| end <= BLOCKS));
}

/// A command with data pointer and dwords from 10 on.
fn command(opcode: u8, prp: [u64; 2], dwords: [u32; 3]) -> [u8; 64] {
    let mut entry = [0; 64];
    entry[0] = opcode;
    entry[4] = 1;
    let parts = prp.iter().flat_map(|p| p.to_le_bytes());
    let parts = parts.chain(dwords.iter().flat_map(|d| d.to_le_bytes()));
    entry[24..]
        .iter_mut()
        .zip(parts)
        .for_each(|(to, from)| *to = from);
    entry
}

/// An address: mostly that of a page in RAM.
fn address(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        0..=3 => input.word(),
        code => {
            let within = if code < 32 { u64::from(code) * 0x44 } else { 0 };
            RAM_BASE + u64::from(input.byte()) * 0x1000 + within
        }
    }
}

/// Plays `data` as a sequence of operations.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut machine = Machine::new();
    let saved = machine.nvme.save();
    for _ in 0..4096 {
        if input.is_empty() {
            break;
        }
        operation(&mut machine, &mut input, &saved);
    }
    let bytes = machine.nvme.save();
    machine.nvme.restore(&bytes).expect("what was just saved");
    assert_eq!(machine.nvme.save(), bytes);
    machine.nvme.reset();
    // Whatever happened, a driver that begins anew is served.
    while !machine.requests.lock().expect("nobody panics").is_empty() {
        machine.complete(true, false);
    }
    machine.start();
    assert_eq!(machine.read(0x1c, Size::B4), 1);
}

fn operation(machine: &mut Machine, input: &mut Input<'_>, saved: &[u8]) {
    let code = input.byte();
    match code % 16 {
        // Registers and doorbells.
        0 | 1 => {
            let at = u64::from(input.byte()) + if code & 0x80 == 0 { 0 } else { 0x1000 };
            let size = SIZES[usize::from(code >> 5 & 3)];
            let at = at & !(size.bytes() - 1);
            match code & 0x10 {
                0 => drop(machine.read(at, size)),
                _ => machine.write(at, size, input.word()),
            }
            machine.work();
        }
        2 => machine.start(),
        3 => {
            let at = u64::from(input.byte()) & !3;
            machine.config(at, Size::B4, input.word());
            machine.work();
        }
        // Commands: plausible ones, and any bytes.
        4..=9 => {
            let queue = usize::from(code >> 4) % 3;
            let prp = [address(input), address(input)];
            let opcode = input.byte() % 0x12;
            let (low, high) = (u32::from(input.byte()), u32::from(input.byte()));
            // Queues with their sizes and flags; blocks, or ranges to be deallocated.
            let dwords = match queue {
                0 => [low | high << 16, low & 7 | (high & 3) << 16, high],
                _ if opcode == 9 => [low % 4, 4, 0],
                _ => [low, 0, high % 64],
            };
            let entry = command(opcode, prp, dwords);
            machine.submit(queue, &entry);
        }
        10 => {
            let mut entry = [0; 64];
            let bytes = input.bytes(64);
            entry[..bytes.len()].copy_from_slice(bytes);
            machine.submit(usize::from(code >> 4) % 3, &entry);
        }
        // Lists of PRP entries, and of ranges to be deallocated.
        11 => {
            let at = RAM_BASE + u64::from(input.byte()) * 0x1000 + 0xff8 * u64::from(code >> 7);
            let mut entry = |n: u64| match code & 0x10 {
                0 => address(input) & !0xfff,
                _ => u64::from(input.byte()) << (32 * (n % 2)),
            };
            let entries: Vec<u8> = (0..8).flat_map(|n| entry(n + 1).to_le_bytes()).collect();
            let _ = machine.ram.write(at, &entries);
        }
        12..=14 => machine.complete(code & 0x10 == 0, code & 0xe0 == 0),
        _ => {
            let bytes = input.damaged(saved);
            let _ = machine.nvme.restore(&bytes);
            machine.work();
        }
    }
}
