//! A board with all its devices and one hart, in a state that nobody outlives.

use std::sync::{Arc, Mutex};

use isoform::board::{Board, Connections, FlashBank, Slot};
use isoform::config::{MachineConfig, MachineOptions, SlotId, VirtioMmio};
use isoform_core::{Clock, MsiSink};
use isoform_devices::block::{BlockRequest, DiskConfig, IoError};
use isoform_devices::fw_cfg::Items;
use isoform_devices::virtio::blk::BlkConfig;
use isoform_devices::virtio::console::PortConfig;
use isoform_devices::virtio::{Doorbell, PacketPort};
use isoform_memory::WriteEpoch;
use isoform_riscv::{Cpu, Hart, TimerService, Wiring};

/// Start of RAM.
pub(crate) const RAM_BASE: u64 = 0x8000_0000;
/// Bytes of RAM.
pub(crate) const RAM_SIZE: u64 = 16 << 20;

/// Time stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        1_000_000
    }
    fn epoch(&self) -> u64 {
        1_700_000_000
    }
}

struct NoTimer;

impl TimerService for NoTimer {
    fn arm(&self, _: usize, _: Option<u64>) {}
}

/// Messages are lost.
pub(crate) struct Nobody;

impl MsiSink for Nobody {
    fn send(&self, _address: u64, _data: u32) {}
}

/// What is sent comes back.
#[derive(Default)]
struct Echo(Vec<Vec<u8>>);

impl PacketPort for Echo {
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.0.len() >= 8 {
            return Err(packet);
        }
        self.0.push(packet);
        Ok(())
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.pop()
    }
}

/// Which queues rang.
#[derive(Clone, Default)]
pub(crate) struct Bells(Arc<Mutex<Vec<(SlotId, u16)>>>);

struct Bell(SlotId, Bells);

impl Doorbell for Bell {
    fn ring(&self, queue: u16) {
        self.1
            .0
            .lock()
            .expect("nobody panics with it")
            .push((self.0, queue));
    }
}

/// A board, and what reached the outside.
pub(crate) struct Rig {
    pub(crate) board: Board,
    bells: Bells,
    requests: Arc<Mutex<Vec<BlockRequest>>>,
}

impl Rig {
    /// A board with a disk, a console of two ports, two entropy devices, one of them on
    /// PCI, a balloon and sockets.
    pub(crate) fn new(legacy: bool) -> Self {
        let (bells, requests) = (Bells::default(), Arc::new(Mutex::new(Vec::new())));
        let virtio_mmio = if legacy {
            VirtioMmio::Legacy
        } else {
            VirtioMmio::Modern
        };
        let config = MachineConfig {
            memory: RAM_SIZE,
            machine: MachineOptions {
                virtio_mmio,
                ..MachineOptions::default()
            },
            ..MachineConfig::default()
        };
        let disk = BlkConfig {
            disk: DiskConfig {
                capacity: 64,
                read_only: false,
                serial: "fuzz".into(),
                discard: true,
                preferred: 0,
            },
            block_size: 512,
            queues: 2,
        };
        let port = |name: &str, is_console| PortConfig {
            name: name.into(),
            is_console,
            sink: Box::new(|_: &[u8]| {}),
        };
        let entropy = || Slot::Rng(Box::new(|bytes: &mut [u8]| bytes.fill(0x5a)));
        let (rung, asked) = (bells.clone(), requests.clone());
        let submit = move |request| asked.lock().expect("nobody panics with it").push(request);
        let mut items = Items::default();
        items.add_file("opt/fuzz", *b"some bytes");
        let connections = Connections {
            clock: Arc::new(Still),
            serial: Box::new(|_: &[u8]| {}),
            outcome: Box::new(|_| {}),
            deadline_changed: Arc::new(|| {}),
            doorbell: Box::new(move |slot| Arc::new(Bell(slot, rung.clone()))),
            slots: vec![
                (SlotId::Mmio(0), Slot::Blk(disk, Box::new(submit))),
                (
                    SlotId::Mmio(1),
                    Slot::Console(vec![port("", true), port("fuzz", false)]),
                ),
                (SlotId::Mmio(2), entropy()),
                (SlotId::Mmio(3), Slot::Balloon),
                (SlotId::Mmio(4), Slot::Vsock(3, Box::new(Echo::default()))),
                (SlotId::Pci(1), entropy()),
            ],
            flash: vec![FlashBank::default()],
            items,
            supervised: false,
        };
        let board = Board::new(&config, connections).expect("a board without options");
        Self {
            board,
            bells,
            requests,
        }
    }

    /// A hart on this board.
    pub(crate) fn hart(&self, firmware: bool) -> Hart {
        let lines = self.board.lines[0].clone();
        let wiring = Wiring {
            bus: self.board.bus.clone(),
            epoch: Arc::new(WriteEpoch::new([lines.attention().clone()])),
            lines,
            timebase: self.board.timebase.clone(),
            timers: Arc::new(NoTimer),
            firmware,
        };
        let cpu = Cpu::with([]).expect("the default CPU");
        Hart::new(0, cpu, RAM_BASE, wiring)
    }

    /// Does what the run loop would: doorbells, and requests to the disk.
    pub(crate) fn work(&self) {
        let rung = std::mem::take(&mut *self.bells.0.lock().expect("nobody panics with it"));
        for (slot, queue) in rung {
            if let Some((_, device)) = self.board.virtio.slots.iter().find(|(n, _)| *n == slot) {
                device.lock().expect("no panic").process(queue);
            }
        }
    }

    /// Ends a disk request: well, badly or with too much.
    pub(crate) fn complete(&self, id: u64, answer: &[u8], well: bool) {
        self.requests.lock().expect("nobody panics with it").pop();
        let result = if well {
            Ok(answer.to_vec())
        } else {
            Err(IoError)
        };
        self.board.virtio.disks[0]
            .1
            .lock()
            .expect("no panic")
            .complete(id, result);
    }
}
