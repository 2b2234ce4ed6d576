//! The board `virt`: QEMU's memory map, interrupt numbers and device set, so that
//! firmware and operating systems made for it run here as they are.

use super::interrupts::{self, Interrupts};
use super::slots::{Filler, Slot, Virtio};
use super::watched::Watched;
use crate::config::firmware::{FLASH_BANK, FLASH_BANKS, FLASH_BASE};
use crate::config::{MachineConfig, RAM_BASE, SlotId, VirtioMmio as Registers};
use isoform_core::{Clock, Device, IrqLine};
use isoform_devices::CharSink;
use isoform_devices::aclint::{Aclint, HartLines, Sswi};
use isoform_devices::aplic;
use isoform_devices::finisher::{Finisher, OutcomeSink};
use isoform_devices::fw_cfg::{FwCfg, Items};
use isoform_devices::imsic;
use isoform_devices::pci::Root;
use isoform_devices::pflash::{FlashPort, Pflash};
use isoform_devices::rtc::Rtc;
use isoform_devices::uart::Uart;
use isoform_devices::virtio::{Doorbell, Interface};
use isoform_memory::{Bus, BusError, Ram, RamError, Rom};
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
    /// APLIC, M mode: instead of the PLIC.
    pub aplic_m: Place,
    /// APLIC, S mode.
    pub aplic_s: Place,
    /// The page of the first hart's interrupt file, M mode; the others follow it.
    pub imsic_m: Place,
    /// S mode's.
    pub imsic_s: Place,
    /// 16550A.
    pub uart: Place,
    /// The first virtio-mmio slot; the others follow it, interrupt by interrupt.
    pub virtio: Place,
    /// What firmware is handed.
    pub fw_cfg: Place,
    /// The first flash bank; the other follows it.
    pub flash: Place,
    /// PCI: I/O ports.
    pub pci_ports: Place,
    /// PCI: configuration spaces (ECAM), with the first of four interrupts.
    pub pci_config: Place,
    /// PCI: memory of 32-bit addresses.
    pub pci_memory: Place,
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
    aplic_m: place(0xc00_0000, aplic::spec::SIZE, 0),
    aplic_s: place(0xd00_0000, aplic::spec::SIZE, 0),
    imsic_m: place(0x2400_0000, imsic::PAGE, 0),
    imsic_s: place(0x2800_0000, imsic::PAGE, 0),
    uart: place(0x1000_0000, 0x100, 10),
    virtio: place(0x1000_1000, 0x1000, 1),
    fw_cfg: place(0x1010_0000, 0x18, 0),
    flash: place(FLASH_BASE, FLASH_BANK, 0),
    pci_ports: place(0x300_0000, 0x1_0000, 0),
    pci_config: place(0x3000_0000, 0x1000_0000, 32),
    pci_memory: place(0x4000_0000, 0x4000_0000, 0),
};

/// Bytes of flash contents that are looked at for being erased.
const ERASED_PIECE: usize = 4096;
/// Bytes of a flash bank's block.
const FLASH_BLOCK: u64 = 256 << 10;

/// Bytes of PCI's window onto memory of 64-bit addresses. It begins at a multiple of its
/// size behind RAM.
const PCI_HIGH_SIZE: u64 = 16 << 30;

impl Map {
    /// PCI: memory of 64-bit addresses, on a machine with so many bytes of RAM.
    pub const fn pci_high(&self, ram: u64) -> Place {
        let base = (RAM_BASE + ram).next_multiple_of(PCI_HIGH_SIZE);
        place(base, PCI_HIGH_SIZE, 0)
    }

    /// A virtio-mmio slot, below [`VIRTIO_SLOTS`](crate::config::slot::VIRTIO_SLOTS).
    pub const fn slot(&self, slot: usize) -> Place {
        let n = slot as u64;
        place(
            self.virtio.base + n * self.virtio.size,
            self.virtio.size,
            self.virtio.irq + slot as u32,
        )
    }

    /// The pages of M mode's interrupt files.
    pub const fn imsic_m(&self, harts: usize) -> Place {
        place(self.imsic_m.base, harts as u64 * self.imsic_m.size, 0)
    }

    /// The pages of S mode's interrupt files.
    pub const fn imsic_s(&self, harts: usize) -> Place {
        place(self.imsic_s.base, harts as u64 * self.imsic_s.size, 0)
    }

    /// A flash bank, below [`FLASH_BANKS`].
    pub const fn bank(&self, bank: usize) -> Place {
        let n = bank as u64;
        place(self.flash.base + n * self.flash.size, self.flash.size, 0)
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

/// What a flash bank holds, and who hears of changes.
#[derive(Default)]
pub struct FlashBank {
    /// From the start of the bank; the rest is erased.
    pub contents: Vec<u8>,
    /// The guest cannot change it.
    pub read_only: bool,
    /// Who hears of changes.
    pub port: Option<Box<dyn FlashPort>>,
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
    pub doorbell: Box<dyn Fn(SlotId) -> Arc<dyn Doorbell>>,
    /// What is in the slots, no slot twice.
    pub slots: Vec<(SlotId, Slot)>,
    /// The flash banks, from the first; others are erased, and end with the machine.
    pub flash: Vec<FlashBank>,
    /// What firmware is handed.
    pub items: Items,
    /// M mode is Isoform's own: nobody there sets the board up.
    pub supervised: bool,
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
    /// Virtio devices.
    pub virtio: Virtio,
    /// Devices with deadlines.
    pub timed: Vec<Arc<Mutex<dyn Device>>>,
    /// All devices, in an order that the configuration decides, for reset and saving.
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
            flash,
            items,
            supervised,
        } = connections;
        let ram = Arc::new(Ram::new(RAM_BASE, config.memory)?);
        let lines = interrupts::lines(config.machine.aia, config.smp);
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
        let mut board = Builder::new(ram.clone());
        let interrupts = Interrupts::new(&mut board, config.machine.aia, &lines, supervised)?;
        let source = |number: u32| interrupts.source(number);
        let rtc = Watched::new(Rtc::new(clock, source(MAP.rtc.irq)), deadline_changed);

        let aclint: Arc<Mutex<dyn Device>> = Arc::new(Mutex::new(aclint));
        let rtc: Arc<Mutex<dyn Device>> = Arc::new(Mutex::new(rtc));
        let uart = Arc::new(Mutex::new(Uart::new(source(MAP.uart.irq), serial)));
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
        board.map("uart", MAP.uart, uart.clone())?;

        let interface = match config.machine.virtio_mmio {
            Registers::Legacy => Interface::Legacy,
            Registers::Modern => Interface::Modern,
        };
        let filler = Filler::new(&mut board, interface, ram.clone(), &interrupts, &*doorbell);
        let (root, virtio) = filler.fill(slots)?;
        board.map_pci(root, config.memory)?;
        let fw_cfg = FwCfg::new(items, ram);
        board.map("fw-cfg", MAP.fw_cfg, Arc::new(Mutex::new(fw_cfg)))?;
        let missing = std::iter::repeat_with(FlashBank::default);
        let banks = flash.into_iter().chain(missing).take(FLASH_BANKS);
        for (n, bank) in banks.enumerate() {
            board.map_flash(MAP.bank(n), bank)?;
        }
        let Builder { bus, devices } = board;
        let timed = vec![aclint, rtc];
        Ok(Self {
            bus: Arc::new(bus),
            lines,
            timebase,
            uart,
            virtio,
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
pub(super) struct Builder {
    bus: Bus,
    pub(super) devices: Vec<Arc<Mutex<dyn Device>>>,
}

impl Builder {
    fn new(ram: Arc<Ram>) -> Self {
        Self {
            bus: Bus::new(ram),
            devices: Vec::new(),
        }
    }

    pub(super) fn map(
        &mut self,
        name: &'static str,
        place: Place,
        device: Arc<Mutex<dyn Device>>,
    ) -> Result<(), BusError> {
        self.bus.map(name, place.base, place.size, device.clone())?;
        self.devices.push(device);
        Ok(())
    }

    fn map_flash(&mut self, place: Place, bank: FlashBank) -> Result<(), BoardError> {
        let FlashBank {
            contents,
            read_only,
            port,
        } = bank;
        let rom = Arc::new(Rom::new(place.base, place.size, self.bus.ram())?);
        // Erased parts cost nothing as long as nobody writes them.
        for (n, piece) in contents.chunks(ERASED_PIECE).enumerate() {
            let at = place.base + (n * ERASED_PIECE) as u64;
            let beyond = || BusError::Shape {
                what: "pflash",
                base: place.base,
                size: contents.len() as u64,
            };
            if piece.iter().any(|byte| *byte != 0xff) {
                rom.write(at, piece).ok_or_else(beyond)?;
            }
        }
        let flash = Pflash::new(rom.clone(), FLASH_BLOCK, read_only, port);
        self.map("pflash", place, Arc::new(Mutex::new(flash)))?;
        self.bus.map_rom(rom);
        Ok(())
    }

    /// The windows onto the PCI bus of a machine with so many bytes of RAM. Addresses on
    /// it are those of the processor, but for ports.
    fn map_pci(&mut self, root: Root, ram: u64) -> Result<(), BusError> {
        let root = Arc::new(root);
        let high = MAP.pci_high(ram);
        let windows = [
            ("pci-ports", MAP.pci_ports, root.ports()),
            ("pci-config", MAP.pci_config, root.ecam()),
            (
                "pci-memory",
                MAP.pci_memory,
                root.memory(MAP.pci_memory.base),
            ),
            ("pci-memory", high, root.memory(high.base)),
        ];
        for (name, Place { base, size, .. }, router) in windows {
            self.bus.map_shared(name, base, size, router)?;
        }
        Ok(())
    }
}
