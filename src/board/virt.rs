//! The board `virt`: QEMU's memory map, interrupt numbers and device set, so that
//! firmware and operating systems made for it run here as they are.

use super::watched::Watched;
use crate::config::{MachineConfig, RAM_BASE, VirtioMmio as Registers, drive::VIRTIO_SLOTS};
use isoform_core::{Attention, Clock, Device, IrqLine};
use isoform_devices::CharSink;
use isoform_devices::aclint::{Aclint, HartLines, Sswi};
use isoform_devices::finisher::{Finisher, OutcomeSink};
use isoform_devices::plic::{Plic, PlicDevice};
use isoform_devices::rtc::Rtc;
use isoform_devices::uart::Uart;
use isoform_devices::virtio::blk::{Blk, BlkConfig, BlkSlot, BlockPort};
use isoform_devices::virtio::console::{Console, ConsoleSlot, PortConfig};
use isoform_devices::virtio::net::{Net, NetConfig, NetPort, NetSlot};
use isoform_devices::virtio::p9::{P9, P9Port, P9Slot};
use isoform_devices::virtio::rng::{EntropyPort, Rng};
use isoform_devices::virtio::{Doorbell, EmptySlot, Interface, VirtioMmio, VirtioSlot};
use isoform_memory::{Bus, BusError, Ram, RamError};
use isoform_riscv::{Lines, Timebase, irq};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

/// Where a device is, and which PLIC source it raises (0: none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Guest-physical start.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// PLIC source.
    pub irq: u32,
}

/// The board's map.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    /// SiFive test finisher.
    pub finisher: Place,
    /// Goldfish real-time clock.
    pub rtc: Place,
    /// ACLINT MSWI and MTIMER, laid out as a CLINT.
    pub clint: Place,
    /// ACLINT SSWI.
    pub sswi: Place,
    /// PLIC.
    pub plic: Place,
    /// 16550A.
    pub uart: Place,
    /// The first virtio-mmio slot; the others follow it, interrupt by interrupt.
    pub virtio: Place,
}

const fn place(base: u64, size: u64, irq: u32) -> Place {
    Place { base, size, irq }
}

/// QEMU's map, as far as the devices exist here.
pub const MAP: Map = Map {
    finisher: place(0x10_0000, 0x1000, 0),
    rtc: place(0x10_1000, 0x1000, 11),
    clint: place(0x200_0000, 0x1_0000, 0),
    sswi: place(0x2f0_0000, 0x4000, 0),
    plic: place(0xc00_0000, 0x60_0000, 0),
    uart: place(0x1000_0000, 0x100, 10),
    virtio: place(0x1000_1000, 0x1000, 1),
};

/// PLIC sources, source 0 (which does not exist) not counted.
pub(super) const PLIC_SOURCES: u32 = 95;

impl Map {
    /// A virtio-mmio slot, below [`VIRTIO_SLOTS`].
    pub const fn slot(&self, slot: usize) -> Place {
        let n = slot as u64;
        place(
            self.virtio.base + n * self.virtio.size,
            self.virtio.size,
            self.virtio.irq + slot as u32,
        )
    }
}

/// Why a board cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// No memory.
    #[error(transparent)]
    Ram(#[from] RamError),
    /// The map contradicts itself.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What is in a virtio-mmio slot.
pub enum Slot {
    /// A disk.
    Blk(BlkConfig, Box<dyn BlockPort>),
    /// A console with its ports.
    Console(Vec<PortConfig>),
    /// A network card.
    Net(NetConfig, Box<dyn NetPort>),
    /// A folder of the host, by its tag.
    P9(String, Box<dyn P9Port>),
    /// Entropy.
    Rng(Box<dyn EntropyPort>),
}

/// What a board needs from outside.
pub struct Connections {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The serial line's output.
    pub serial: Box<dyn CharSink>,
    /// Who hears of the guest's end.
    pub outcome: Box<dyn OutcomeSink>,
    /// Called when a device's deadline changed.
    pub deadline_changed: Arc<dyn Fn() + Send + Sync>,
    /// Makes the doorbell of a slot.
    pub doorbell: Box<dyn Fn(usize) -> Arc<dyn Doorbell>>,
    /// What is in the slots, by number.
    pub slots: Vec<(usize, Slot)>,
}

/// A board, built.
pub struct Board {
    /// RAM and device windows.
    pub bus: Arc<Bus>,
    /// Each hart's interrupts, with its attention word.
    pub lines: Vec<Arc<Lines>>,
    /// `time`.
    pub timebase: Timebase,
    /// The serial port, for input.
    pub uart: Arc<Mutex<Uart>>,
    /// The disks, by slot, for completions.
    pub disks: Vec<(usize, Arc<Mutex<dyn BlkSlot>>)>,
    /// The consoles, by slot, for input and room.
    pub consoles: Vec<(usize, Arc<Mutex<dyn ConsoleSlot>>)>,
    /// The network cards, by slot, for frames and room.
    pub cards: Vec<(usize, Arc<Mutex<dyn NetSlot>>)>,
    /// The folders of the host, by slot, for answers.
    pub shares: Vec<(usize, Arc<Mutex<dyn P9Slot>>)>,
    /// Everything in slots, by number, for doorbells.
    pub slots: Vec<(usize, Arc<Mutex<dyn VirtioSlot>>)>,
    /// Devices with deadlines.
    pub timed: Vec<Arc<Mutex<dyn Device>>>,
    /// All devices, in the order of their addresses, for reset and saving.
    pub devices: Vec<Arc<Mutex<dyn Device>>>,
}

impl Board {
    /// Builds the board with RAM as configured and one set of lines per hart.
    pub fn new(config: &MachineConfig, connections: Connections) -> Result<Self, BoardError> {
        let Connections {
            clock,
            serial,
            outcome,
            deadline_changed,
            doorbell,
            slots,
        } = connections;
        let ram = Arc::new(Ram::new(RAM_BASE, config.memory)?);
        let lines: Vec<Arc<Lines>> = (0..config.smp)
            .map(|_| Arc::new(Lines::new(Arc::new(Attention::new()))))
            .collect();
        let wire = |n: u32| lines.iter().map(move |l| IrqLine::new(l.clone(), n));

        let offset = Arc::new(AtomicU64::new(0));
        let timebase = Timebase::new(clock.clone(), offset.clone());
        let harts = wire(irq::MSI).zip(wire(irq::MTI));
        let harts = harts
            .map(|(software, timer)| HartLines { software, timer })
            .collect();
        // After MTIME changed, each hart compares its own timer anew.
        let look_again = lines.clone();
        let time_written = Box::new(move || {
            for l in &look_again {
                l.attention().raise(isoform_core::Requests::INTERRUPT);
            }
        });
        let aclint = Aclint::new(clock.clone(), offset, time_written, harts);
        let aclint = Watched::new(aclint, deadline_changed.clone());
        // Contexts alternate: M and S of hart 0, M and S of hart 1, and so on.
        let contexts = wire(irq::MEI)
            .zip(wire(irq::SEI))
            .flat_map(|(m, s)| [m, s])
            .collect();
        let plic = Plic::new(PLIC_SOURCES, contexts);
        let source = |place: Place| IrqLine::new(plic.clone(), place.irq);
        let rtc = Watched::new(Rtc::new(clock, source(MAP.rtc)), deadline_changed);

        let aclint: Arc<Mutex<dyn Device>> = Arc::new(Mutex::new(aclint));
        let rtc: Arc<Mutex<dyn Device>> = Arc::new(Mutex::new(rtc));
        let uart = Arc::new(Mutex::new(Uart::new(source(MAP.uart), serial)));
        let mut board = Builder::new(ram.clone());
        board.map(
            "finisher",
            MAP.finisher,
            Arc::new(Mutex::new(Finisher::new(outcome))),
        )?;
        board.map("rtc", MAP.rtc, rtc.clone())?;
        board.map("clint", MAP.clint, aclint.clone())?;
        board.map(
            "sswi",
            MAP.sswi,
            Arc::new(Mutex::new(Sswi::new(wire(irq::SSI).collect()))),
        )?;
        board.map(
            "plic",
            MAP.plic,
            Arc::new(Mutex::new(PlicDevice::new(plic.clone()))),
        )?;
        board.map("uart", MAP.uart, uart.clone())?;

        let interface = match config.machine.virtio_mmio {
            Registers::Legacy => Interface::Legacy,
            Registers::Modern => Interface::Modern,
        };
        let mut filled: Vec<Option<Slot>> = (0..VIRTIO_SLOTS).map(|_| None).collect();
        for (n, slot) in slots {
            if let Some(place) = filled.get_mut(n) {
                *place = Some(slot);
            }
        }
        for (n, slot) in filled.into_iter().enumerate() {
            let irq = source(MAP.slot(n));
            match slot {
                None => {
                    let empty = Arc::new(Mutex::new(EmptySlot::new(interface)));
                    board.map("virtio", MAP.slot(n), empty)?;
                }
                Some(Slot::Blk(config, port)) => {
                    let blk = Blk::new(config, port);
                    let blk = VirtioMmio::new(interface, blk, ram.clone(), irq, doorbell(n));
                    let blk = Arc::new(Mutex::new(blk));
                    board.map_slot("virtio-blk", n, blk.clone())?;
                    board.disks.push((n, blk));
                }
                Some(Slot::Console(ports)) => {
                    let console = Console::new(ports);
                    let console =
                        VirtioMmio::new(interface, console, ram.clone(), irq, doorbell(n));
                    let console = Arc::new(Mutex::new(console));
                    board.map_slot("virtio-console", n, console.clone())?;
                    board.consoles.push((n, console));
                }
                Some(Slot::Net(config, port)) => {
                    let net = Net::new(config, port);
                    let net = VirtioMmio::new(interface, net, ram.clone(), irq, doorbell(n));
                    let net = Arc::new(Mutex::new(net));
                    board.map_slot("virtio-net", n, net.clone())?;
                    board.cards.push((n, net));
                }
                Some(Slot::P9(tag, port)) => {
                    let share = P9::new(&tag, port);
                    let share = VirtioMmio::new(interface, share, ram.clone(), irq, doorbell(n));
                    let share = Arc::new(Mutex::new(share));
                    board.map_slot("virtio-9p", n, share.clone())?;
                    board.shares.push((n, share));
                }
                Some(Slot::Rng(port)) => {
                    let rng = Rng::new(port);
                    let rng = VirtioMmio::new(interface, rng, ram.clone(), irq, doorbell(n));
                    board.map_slot("virtio-rng", n, Arc::new(Mutex::new(rng)))?;
                }
            }
        }
        let Builder {
            bus,
            devices,
            disks,
            consoles,
            cards,
            shares,
            slots,
        } = board;
        let timed = vec![aclint, rtc];
        Ok(Self {
            bus: Arc::new(bus),
            lines,
            timebase,
            uart,
            disks,
            consoles,
            cards,
            shares,
            slots,
            timed,
            devices,
        })
    }

    /// Guest RAM.
    pub fn ram(&self) -> &Arc<Ram> {
        self.bus.ram()
    }
}

/// A board in the making.
struct Builder {
    bus: Bus,
    devices: Vec<Arc<Mutex<dyn Device>>>,
    disks: Vec<(usize, Arc<Mutex<dyn BlkSlot>>)>,
    consoles: Vec<(usize, Arc<Mutex<dyn ConsoleSlot>>)>,
    cards: Vec<(usize, Arc<Mutex<dyn NetSlot>>)>,
    shares: Vec<(usize, Arc<Mutex<dyn P9Slot>>)>,
    slots: Vec<(usize, Arc<Mutex<dyn VirtioSlot>>)>,
}

impl Builder {
    fn new(ram: Arc<Ram>) -> Self {
        let (devices, disks, consoles, cards, shares, slots) = Default::default();
        Self {
            bus: Bus::new(ram),
            devices,
            disks,
            consoles,
            cards,
            shares,
            slots,
        }
    }

    fn map(
        &mut self,
        name: &'static str,
        place: Place,
        device: Arc<Mutex<dyn Device>>,
    ) -> Result<(), BusError> {
        self.bus.map(name, place.base, place.size, device.clone())?;
        self.devices.push(device);
        Ok(())
    }

    fn map_slot<D: VirtioSlot + 'static>(
        &mut self,
        name: &'static str,
        slot: usize,
        device: Arc<Mutex<D>>,
    ) -> Result<(), BusError> {
        self.map(name, MAP.slot(slot), device.clone())?;
        self.slots.push((slot, device));
        Ok(())
    }
}
