//! Devices in slots: what is where, and behind which transport.

use super::interrupts::Interrupts;
use super::virt::{Builder, MAP};
use crate::config::SlotId;
use isoform_core::Device;
use isoform_devices::block::{BlockPort, BlockSlot, DiskConfig};
use isoform_devices::nvme::{self, Nvme};
use isoform_devices::pci::{Function, HostBridge, Intx, Root};
use isoform_devices::virtio::balloon::{Balloon, BalloonSlot};
use isoform_devices::virtio::blk::{Blk, BlkConfig};
use isoform_devices::virtio::console::{Console, ConsoleSlot, PortConfig};
use isoform_devices::virtio::net::{Net, NetConfig, NetPort};
use isoform_devices::virtio::p9::{P9, P9Port, P9Slot};
use isoform_devices::virtio::pci;
use isoform_devices::virtio::rng::{EntropyPort, Rng};
use isoform_devices::virtio::vsock::Vsock;
use isoform_devices::virtio::{
    Doorbell, EmptySlot, Interface, PacketPort, PacketSlot, QueueSlot, VirtioDevice, VirtioMmio,
    VirtioPci,
};
use isoform_memory::{BusError, Ram};
use std::sync::{Arc, Mutex};

/// What is in a slot.
pub enum Slot {
    /// A memory balloon.
    Balloon,
    /// A disk.
    Blk(BlkConfig, Box<dyn BlockPort>),
    /// A console with its ports.
    Console(Vec<PortConfig>),
    /// A network card.
    Net(NetConfig, Box<dyn NetPort>),
    /// A disk behind an NVMe controller, which goes onto the PCI bus.
    Nvme(DiskConfig, Box<dyn BlockPort>),
    /// A folder of the host, by its tag.
    P9(String, Box<dyn P9Port>),
    /// Entropy.
    Rng(Box<dyn EntropyPort>),
    /// Sockets of the host, for a guest of this number.
    Vsock(u32, Box<dyn PacketPort>),
}

/// A device that bus, board and run loop hold.
type Held<T> = Arc<Mutex<T>>;

/// One with its place.
type Placed<S> = (SlotId, Held<S>);

/// The devices in a board's slots, by kind: those of virtio, and NVMe controllers.
#[derive(Default)]
pub struct Virtio {
    /// The balloons, for what the person asks of them.
    pub balloons: Vec<Placed<dyn BalloonSlot>>,
    /// The disks, for completions.
    pub disks: Vec<Placed<dyn BlockSlot>>,
    /// The consoles, for input and room.
    pub consoles: Vec<Placed<dyn ConsoleSlot>>,
    /// Network cards and socket devices, for packets and room.
    pub cables: Vec<Placed<dyn PacketSlot>>,
    /// The folders of the host, for answers.
    pub shares: Vec<Placed<dyn P9Slot>>,
    /// All of them, for doorbells.
    pub slots: Vec<Placed<dyn QueueSlot>>,
}

/// Puts devices into their places.
pub(super) struct Filler<'a> {
    pub(super) board: &'a mut Builder,
    pub(super) interface: Interface,
    pub(super) ram: Arc<Ram>,
    pub(super) interrupts: &'a Interrupts,
    pub(super) doorbell: &'a dyn Fn(SlotId) -> Arc<dyn Doorbell>,
    pub(super) root: Root,
    pub(super) intx: Arc<Intx>,
    pub(super) virtio: Virtio,
}

impl<'a> Filler<'a> {
    /// A bus with the host bridge, and no device yet.
    pub(super) fn new(
        board: &'a mut Builder,
        interface: Interface,
        ram: Arc<Ram>,
        interrupts: &'a Interrupts,
        doorbell: &'a dyn Fn(SlotId) -> Arc<dyn Doorbell>,
    ) -> Self {
        let intx = Intx::new(std::array::from_fn(|n| {
            interrupts.source(MAP.pci_config.irq + n as u32)
        }));
        let mut this = Self {
            board,
            interface,
            ram,
            interrupts,
            doorbell,
            root: Root::default(),
            intx,
            virtio: Virtio::default(),
        };
        this.attach(0, Arc::new(Mutex::new(HostBridge::default())));
        this
    }

    /// Puts a function onto the bus. Whoever made the configuration has seen to it that
    /// its place is free.
    fn attach<F: Function + 'static>(&mut self, device: u8, function: Held<F>) {
        let attached = self.root.attach(device, function.clone());
        attached.expect("the configuration gives each place once");
        self.board.devices.push(function);
    }

    /// Puts a device into its place; how the run loop holds it, by one of two functions
    /// that forget which transport it is.
    fn put<D: VirtioDevice + 'static, S: ?Sized>(
        &mut self,
        slot: SlotId,
        device: D,
        as_mmio: fn(Held<VirtioMmio<D>>) -> Held<S>,
        as_pci: fn(Held<VirtioPci<D>>) -> Held<S>,
    ) -> Result<Held<S>, BusError> {
        let (ram, doorbell) = (self.ram.clone(), (self.doorbell)(slot));
        match slot {
            SlotId::Mmio(number) => {
                let place = MAP.slot(number);
                let irq = self.interrupts.source(place.irq);
                let device = VirtioMmio::new(self.interface, device, ram, irq, doorbell);
                let device = Arc::new(Mutex::new(device));
                self.board.map(D::NAME, place, device.clone())?;
                self.virtio.slots.push((slot, device.clone()));
                Ok(as_mmio(device))
            }
            SlotId::Pci(number) => {
                let number = number as u8;
                let interrupts = pci::Interrupts {
                    pin: self.intx.pin_a(number),
                    messages: self.interrupts.messages.clone(),
                };
                let device = VirtioPci::new(device, ram, interrupts, doorbell);
                let device = Arc::new(Mutex::new(device));
                self.attach(number, device.clone());
                self.virtio.slots.push((slot, device.clone()));
                Ok(as_pci(device))
            }
        }
    }

    /// Puts a controller onto the bus.
    fn put_nvme(&mut self, slot: SlotId, config: DiskConfig, port: Box<dyn BlockPort>) {
        let SlotId::Pci(number) = slot else {
            unreachable!("the configuration puts NVMe controllers onto the PCI bus");
        };
        let number = number as u8;
        let connections = nvme::Connections {
            pin: self.intx.pin_a(number),
            messages: self.interrupts.messages.clone(),
            doorbell: (self.doorbell)(slot),
            port,
        };
        let function = Nvme::new(config, self.ram.clone(), connections);
        let function = Arc::new(Mutex::new(function));
        self.attach(number, function.clone());
        self.virtio.slots.push((slot, function.clone()));
        self.virtio.disks.push((slot, function));
    }

    /// Puts everything into its place, and nothing into the slots that remain.
    pub(super) fn fill(mut self, slots: Vec<(SlotId, Slot)>) -> Result<(Root, Virtio), BusError> {
        let mut empty: Vec<SlotId> = SlotId::mmio().collect();
        for (id, slot) in slots {
            empty.retain(|other| *other != id);
            match slot {
                Slot::Balloon => {
                    let balloon = self.put(id, Balloon::default(), |m| m as _, |p| p as _)?;
                    self.virtio.balloons.push((id, balloon));
                }
                Slot::Blk(config, port) => {
                    let disk = self.put(id, Blk::new(config, port), |m| m as _, |p| p as _)?;
                    self.virtio.disks.push((id, disk));
                }
                Slot::Console(ports) => {
                    let console = self.put(id, Console::new(ports), |m| m as _, |p| p as _)?;
                    self.virtio.consoles.push((id, console));
                }
                Slot::Net(config, port) => {
                    let card = self.put(id, Net::new(config, port), |m| m as _, |p| p as _)?;
                    self.virtio.cables.push((id, card));
                }
                Slot::Nvme(config, port) => self.put_nvme(id, config, port),
                Slot::P9(tag, port) => {
                    let share = self.put(id, P9::new(&tag, port), |m| m as _, |p| p as _)?;
                    self.virtio.shares.push((id, share));
                }
                Slot::Rng(port) => {
                    let as_device = |m: Held<VirtioMmio<Rng>>| m as Held<dyn Device>;
                    self.put(id, Rng::new(port), as_device, |p| p as _)?;
                }
                Slot::Vsock(cid, port) => {
                    let vsock = self.put(id, Vsock::new(cid, port), |m| m as _, |p| p as _)?;
                    self.virtio.cables.push((id, vsock));
                }
            }
        }
        for id in empty {
            if let SlotId::Mmio(number) = id {
                let device = Arc::new(Mutex::new(EmptySlot::new(self.interface)));
                self.board.map("virtio", MAP.slot(number), device)?;
            }
        }
        Ok((self.root, self.virtio))
    }
}
