//! The PCI bus and virtio over it: any access to configuration spaces and windows, BARs
//! anywhere, drivers that begin by the rules and go on without them, interrupts by
//! message, damaged states.

use std::sync::{Arc, Mutex, MutexGuard};

use isoform_core::{Device, IrqLine, Size};
use isoform_devices::block::{BlockRequest, BlockSlot, DiskConfig, IoError};
use isoform_devices::pci::{Function, HostBridge, Intx, Root};
use isoform_devices::virtio::balloon::Balloon;
use isoform_devices::virtio::blk::{Blk, BlkConfig};
use isoform_devices::virtio::console::{Console, ConsoleSlot, PortConfig};
use isoform_devices::virtio::pci::Interrupts;
use isoform_devices::virtio::rng::Rng;
use isoform_devices::virtio::{QueueSlot, VirtioDevice, VirtioPci};
use isoform_memory::{Bus, Ram};

use crate::input::Input;
use crate::rig::Nobody;

const RAM_BASE: u64 = 0x8000_0000;
const RAM_SIZE: u64 = 1 << 20;
const ECAM: u64 = 0x3000_0000;
const LOW: u64 = 0x4000_0000;
const HIGH: u64 = 0x4_0000_0000;
/// Where firmware puts the functions' BARs: one after the other.
const BAR_STEP: u64 = 0x1_0000;
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

/// Which queues of which function rang.
type Bells = Arc<Mutex<Vec<(usize, u16)>>>;
type Requests = Arc<Mutex<Vec<BlockRequest>>>;

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

/// A bus with a disk, a console, a balloon and an entropy device.
struct Machine {
    bus: Bus,
    bells: Bells,
    requests: Requests,
    devices: Vec<Arc<Mutex<dyn Device>>>,
    slots: Vec<Arc<Mutex<dyn QueueSlot>>>,
    disk: Arc<Mutex<VirtioPci<Blk>>>,
    console: Arc<Mutex<VirtioPci<Console>>>,
}

/// Functions put onto the bus one after the other.
struct Maker {
    root: Root,
    ram: Arc<Ram>,
    intx: Arc<Intx>,
    bells: Bells,
    devices: Vec<Arc<Mutex<dyn Device>>>,
    slots: Vec<Arc<Mutex<dyn QueueSlot>>>,
}

impl Maker {
    fn attach<F: Function + 'static>(&mut self, function: F) -> Arc<Mutex<F>> {
        let function = Arc::new(Mutex::new(function));
        let slot = self.devices.len() as u8;
        self.root.attach(slot, function.clone()).expect("free");
        self.devices.push(function.clone());
        function
    }

    fn virtio<D: VirtioDevice + 'static>(&mut self, device: D) -> Arc<Mutex<VirtioPci<D>>> {
        let (number, bells) = (self.slots.len(), self.bells.clone());
        let interrupts = Interrupts {
            pin: self.intx.pin_a(self.devices.len() as u8),
            messages: Some(Arc::new(Nobody)),
        };
        let bell = Arc::new(move |queue| lock(&bells).push((number, queue)));
        let function = VirtioPci::new(device, self.ram.clone(), interrupts, bell);
        let function = self.attach(function);
        self.slots.push(function.clone());
        function
    }
}

impl Machine {
    fn new() -> Self {
        let mut maker = Maker {
            root: Root::default(),
            ram: Arc::new(Ram::new(RAM_BASE, RAM_SIZE).expect("a little RAM")),
            intx: Intx::new(std::array::from_fn(|_| IrqLine::unconnected())),
            bells: Bells::default(),
            devices: Vec::new(),
            slots: Vec::new(),
        };
        maker.attach(HostBridge::default());
        let requests = Requests::default();
        let asked = requests.clone();
        let config = BlkConfig {
            disk: DiskConfig {
                capacity: 64,
                read_only: false,
                serial: "fuzz".into(),
                discard: true,
                preferred: 4096,
            },
            block_size: 512,
            queues: 2,
        };
        let submit = move |request| lock(&asked).push(request);
        let disk = maker.virtio(Blk::new(config, Box::new(submit)));
        let port = |name: &str| PortConfig {
            name: name.into(),
            is_console: name.is_empty(),
            sink: Box::new(|_: &[u8]| {}),
        };
        let console = maker.virtio(Console::new(vec![port(""), port("fuzz")]));
        maker.virtio(Balloon::default());
        maker.virtio(Rng::new(Box::new(|bytes: &mut [u8]| bytes.fill(0x5a))));
        let Maker {
            root,
            ram,
            intx: _,
            bells,
            devices,
            slots,
        } = maker;
        let (root, mut bus) = (Arc::new(root), Bus::new(ram));
        for (base, size, router) in [
            (ECAM, 0x1000_0000, root.ecam()),
            (LOW, 0x4000_0000, root.memory(LOW)),
            (HIGH, 0x4_0000_0000, root.memory(HIGH)),
            (0x300_0000, 0x1_0000, root.ports()),
        ] {
            bus.map_shared("pci", base, size, router).expect("free");
        }
        Self {
            bus,
            bells,
            requests,
            devices,
            slots,
            disk,
            console,
        }
    }

    fn write(&self, gpa: u64, size: Size, value: u64) {
        self.bus.write(gpa, size, value).expect("windows answer");
    }

    fn read(&self, gpa: u64, size: Size) -> u64 {
        self.bus.read(gpa, size).expect("windows answer")
    }

    /// Sets a function up by the rules, with its queues at small addresses of RAM, and
    /// MSI-X where `messages`.
    fn start(&self, function: u64, messages: bool) {
        let config = ECAM + function * 0x8000;
        let bar = LOW + function * BAR_STEP;
        self.write(config + 0x14, Size::B4, bar + 0x8000);
        self.write(config + 0x20, Size::B4, bar);
        self.write(config + 0x24, Size::B4, 0);
        self.write(config + 4, Size::B2, 6);
        if messages {
            let mut at = self.read(config + 0x34, Size::B1);
            while at != 0 && self.read(config + at, Size::B1) != 0x11 {
                at = self.read(config + at + 1, Size::B1);
            }
            self.write(config + at + 2, Size::B2, 0x8000);
        }
        for status in [0, 3] {
            self.write(bar + 0x14, Size::B1, status);
        }
        self.write(bar + 8, Size::B4, 1);
        self.write(bar + 12, Size::B4, 1);
        self.write(bar + 0x14, Size::B1, 11);
        for queue in 0..self.read(bar + 0x12, Size::B2).min(8) {
            self.write(bar + 0x16, Size::B2, queue);
            self.write(bar + 0x18, Size::B2, 8);
            self.write(bar + 0x1a, Size::B2, queue);
            let at = RAM_BASE + queue * 0x400;
            for (register, part) in [(0x20, 0), (0x28, 0x80), (0x30, 0x100)] {
                self.write(bar + register, Size::B8, at + part);
            }
            self.write(bar + 0x1c, Size::B2, 1);
        }
        self.write(bar + 0x14, Size::B1, 15);
    }

    /// Does what the run loop would.
    fn work(&self) {
        let rung = std::mem::take(&mut *lock(&self.bells));
        for (number, queue) in rung {
            lock(&self.slots[number]).process(queue);
        }
    }

    fn complete(&self, answer: &[u8], well: bool) {
        let request = lock(&self.requests).pop();
        if let Some(request) = request {
            let result = if well {
                Ok(answer.to_vec())
            } else {
                Err(IoError)
            };
            lock(&self.disk).complete(request.id, result);
        }
    }
}

/// Plays `data` as a sequence of operations.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let machine = Machine::new();
    let saved: Vec<_> = machine.devices.iter().map(|d| lock(d).save()).collect();
    for _ in 0..4096 {
        if input.is_empty() {
            break;
        }
        operation(&machine, &mut input, &saved);
    }
    for device in &machine.devices {
        let mut device = lock(device);
        let bytes = device.save();
        device.restore(&bytes).expect("what was just saved");
        assert_eq!(device.save(), bytes, "{}", device.name());
        device.reset();
    }
    // Whatever happened, a driver that begins anew is served.
    machine.start(3, false);
    assert_eq!(machine.read(LOW + 3 * BAR_STEP + 0x14, Size::B1), 15);
}

fn operation(machine: &Machine, input: &mut Input<'_>, saved: &[Vec<u8>]) {
    let code = input.byte();
    let function = u64::from(code >> 4 & 3);
    match code % 12 {
        // Configuration, mostly of what is there.
        0..=2 => {
            let at = u64::from(input.byte()) + if code & 0x80 == 0 { 0 } else { 0xf80 };
            access(machine, ECAM + function * 0x8000 + at, input);
        }
        // Structures and the table of MSI-X, where the rules put them.
        3..=6 => {
            let structure = u64::from(input.byte() % 12) * 0x800;
            let at = structure + u64::from(input.byte() % 0x60);
            access(machine, LOW + function * BAR_STEP + at, input);
        }
        // Anywhere in the windows.
        7 => {
            let base = [ECAM, LOW, HIGH, 0x300_0000][usize::from(code >> 6)];
            access(machine, base + input.word() % 0x1_0000, input);
        }
        8 => machine.start(function, code & 0x40 != 0),
        9 => {
            let at =
                RAM_BASE + u64::from(u16::from_le_bytes([input.byte(), input.byte()]) % 0x2000);
            let length = usize::from(input.byte());
            let _ = machine.bus.ram().write(at, input.bytes(length));
            machine.work();
        }
        10 => {
            let length = usize::from(input.byte()) * 8;
            let bytes = input.bytes(length);
            machine.complete(bytes, code & 16 == 0);
            let mut console = lock(&machine.console);
            console.receive(u16::from(code >> 6), bytes);
            console.resize(u16::from(code), 25);
        }
        _ => {
            let number = usize::from(input.byte()) % saved.len();
            let bytes = input.damaged(&saved[number]);
            let _ = lock(&machine.devices[number]).restore(&bytes);
        }
    }
}

/// An access that a guest can make; windows answer all of them.
fn access(machine: &Machine, gpa: u64, input: &mut Input<'_>) {
    let code = input.byte();
    let size = SIZES[usize::from(code & 3)];
    let gpa = gpa & !(size.bytes() - 1);
    let value = match code >> 2 & 3 {
        0 => input.word(),
        1 => LOW + u64::from(input.byte()) * 0x1000,
        _ => u64::from(input.byte()),
    };
    if code & 0x80 == 0 {
        machine.read(gpa, size);
    } else {
        machine.write(gpa, size, value);
    }
}
