//! A device behind either transport, with registers called by their names on MMIO. The
//! numbers of the other are written down here once more, from the specification.

use std::sync::Arc;

use isoform_core::{BusFault, Device, MsiSink, RestoreError, Size};
use isoform_memory::Ram;
use virtio_bindings::bindings::virtio_mmio as vm;

use super::super::pci::Interrupts;
use super::super::transport::{Core, Interface, Transport};
use super::super::{VirtioDevice, VirtioMmio, VirtioPci};
use super::Bell;
use crate::pci::Place;
use crate::testing::{Mail, Wire};

/// What is between driver and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// MMIO, version 2.
    Modern,
    /// MMIO, version 1.
    Legacy,
    /// PCI, on a machine that takes messages.
    Pci,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Modern, Self::Legacy, Self::Pci];

    pub(crate) fn is_legacy(self) -> bool {
        self == Self::Legacy
    }
}

/// The BAR with the structures, and those structures in it.
const BAR: u8 = 4;
const ISR: u64 = 0x1000;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
/// The command register, and in it memory and bus mastering.
const COMMAND: u64 = 4;
const ENABLED: u64 = 6;

pub(crate) fn place(bar: u8, offset: u64) -> u64 {
    Place::Bar { bar, offset }.number()
}

/// Where a register of MMIO is in the BAR, and how wide.
fn common(register: u32) -> Option<(u64, Size)> {
    let (offset, size) = match register {
        vm::VIRTIO_MMIO_DEVICE_FEATURES_SEL => (0x00, Size::B4),
        vm::VIRTIO_MMIO_DEVICE_FEATURES => (0x04, Size::B4),
        vm::VIRTIO_MMIO_DRIVER_FEATURES_SEL => (0x08, Size::B4),
        vm::VIRTIO_MMIO_DRIVER_FEATURES => (0x0c, Size::B4),
        vm::VIRTIO_MMIO_STATUS => (0x14, Size::B1),
        vm::VIRTIO_MMIO_CONFIG_GENERATION => (0x15, Size::B1),
        vm::VIRTIO_MMIO_QUEUE_SEL => (0x16, Size::B2),
        vm::VIRTIO_MMIO_QUEUE_NUM | vm::VIRTIO_MMIO_QUEUE_NUM_MAX => (0x18, Size::B2),
        vm::VIRTIO_MMIO_QUEUE_READY => (0x1c, Size::B2),
        vm::VIRTIO_MMIO_QUEUE_DESC_LOW => (0x20, Size::B4),
        vm::VIRTIO_MMIO_QUEUE_DESC_HIGH => (0x24, Size::B4),
        vm::VIRTIO_MMIO_QUEUE_AVAIL_LOW => (0x28, Size::B4),
        vm::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => (0x2c, Size::B4),
        vm::VIRTIO_MMIO_QUEUE_USED_LOW => (0x30, Size::B4),
        vm::VIRTIO_MMIO_QUEUE_USED_HIGH => (0x34, Size::B4),
        vm::VIRTIO_MMIO_INTERRUPT_STATUS => (ISR, Size::B1),
        vm::VIRTIO_MMIO_CONFIG.. => (
            DEVICE + u64::from(register - vm::VIRTIO_MMIO_CONFIG),
            Size::B4,
        ),
        _ => return None,
    };
    Some((offset, size))
}

/// A device behind a transport.
pub(crate) enum Face<D: VirtioDevice> {
    Mmio(VirtioMmio<D>),
    Pci(Box<VirtioPci<D>>),
}

impl<D: VirtioDevice> Face<D> {
    pub(crate) fn device(&self) -> &D {
        match self {
            Self::Mmio(slot) => slot.device(),
            Self::Pci(slot) => slot.device(),
        }
    }

    /// Reads a register. On PCI, one that is not there reads zero, and that of pending
    /// interrupts acknowledges.
    pub(super) fn register(&mut self, register: u32) -> u32 {
        let (at, size) = match self {
            Self::Mmio(_) => (register.into(), Size::B4),
            Self::Pci(_) => match common(register) {
                Some((offset, size)) => (place(BAR, offset), size),
                None => return 0,
            },
        };
        self.read(at, size).expect("the slot answers") as u32
    }

    /// Writes a register. On PCI, values are cut to what the register has bits for,
    /// except that a size stays out of bounds.
    pub(super) fn set_register(&mut self, register: u32, value: u32) {
        let (at, size) = match self {
            Self::Mmio(_) => (register.into(), Size::B4),
            Self::Pci(_) if register == vm::VIRTIO_MMIO_QUEUE_NOTIFY => {
                let offset = NOTIFY + 4 * u64::from(value);
                (place(BAR, offset.min(0x3ffc)), Size::B2)
            }
            Self::Pci(_) => match common(register) {
                Some((offset, size)) => (place(BAR, offset), size),
                None => return,
            },
        };
        let fits = register != vm::VIRTIO_MMIO_QUEUE_NUM || value <= 0xffff;
        let value = if fits { value } else { 0xffff };
        self.write(at, size, value.into())
            .expect("the slot answers");
    }

    /// Has a function answer and work, as firmware or the kernel's PCI does.
    pub(super) fn enable(&mut self) {
        if let Self::Pci(function) = self {
            function
                .write(COMMAND, Size::B2, ENABLED)
                .expect("the function answers");
        }
    }
}

/// A device with what it is connected to.
pub(super) struct Ends<D: VirtioDevice> {
    pub(super) slot: Face<D>,
    pub(super) irq: Arc<Wire>,
    pub(super) mail: Arc<Mail>,
}

impl<D: VirtioDevice> Ends<D> {
    pub(super) fn new(kind: Kind, device: D, ram: Arc<Ram>, bell: Arc<Bell>) -> Self {
        let (irq, pin) = Wire::pair();
        let mail = Arc::new(Mail::default());
        let mmio = |interface, device| {
            let (pin, bell) = (pin.clone(), bell.clone());
            Face::Mmio(VirtioMmio::new(interface, device, ram.clone(), pin, bell))
        };
        let slot = match kind {
            Kind::Modern => mmio(Interface::Modern, device),
            Kind::Legacy => mmio(Interface::Legacy, device),
            Kind::Pci => {
                let messages: Option<Arc<dyn MsiSink>> = Some(mail.clone());
                let interrupts = Interrupts { pin, messages };
                Face::Pci(Box::new(VirtioPci::new(device, ram, interrupts, bell)))
            }
        };
        Self { slot, irq, mail }
    }
}

impl<D: VirtioDevice> Transport for Face<D> {
    type Inner = D;

    fn core(&mut self) -> &mut Core<D> {
        match self {
            Self::Mmio(slot) => slot.core(),
            Self::Pci(slot) => slot.core(),
        }
    }

    fn sync(&mut self) {
        match self {
            Self::Mmio(slot) => slot.sync(),
            Self::Pci(slot) => slot.sync(),
        }
    }
}

impl<D: VirtioDevice> Face<D> {
    fn inner(&self) -> &dyn Device {
        match self {
            Self::Mmio(slot) => slot,
            Self::Pci(slot) => &**slot,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Device {
        match self {
            Self::Mmio(slot) => slot,
            Self::Pci(slot) => &mut **slot,
        }
    }
}

impl<D: VirtioDevice> Device for Face<D> {
    fn name(&self) -> &'static str {
        self.inner().name()
    }
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        self.inner_mut().read(offset, size)
    }
    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        self.inner_mut().write(offset, size, value)
    }
    fn reset(&mut self) {
        self.inner_mut().reset();
    }
    fn save(&self) -> Vec<u8> {
        self.inner().save()
    }
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.inner_mut().restore(bytes)
    }
}
