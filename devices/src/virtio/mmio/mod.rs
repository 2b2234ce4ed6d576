//! Virtio over MMIO, modern (version 2) and legacy (version 1).
//!
//! The legacy interface is there because teaching kernels use it. Its bytes are in
//! the guest's order, which for all guests so far is little-endian, as in the modern
//! one.

mod registers;
mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use isoform_core::{BusFault, Device, IrqLine, RestoreError, Saved, Size};
use isoform_memory::Ram;

use super::queue::VirtQueue;
use super::spec::{Features, Status};
use super::{Doorbell, NeedsReset, Queues, VirtioDevice};
use spec::Interrupt;

pub use saved::{LegacyState, MmioState};

/// Which interface a slot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Version 2 (4.2.2).
    Modern,
    /// Version 1 (4.2.4).
    Legacy,
}

/// What the run loop needs of a device in a slot, whatever its kind.
pub trait VirtioSlot: Device {
    /// Works on `queue`, as the doorbell asked. A queue that does not exist, or has
    /// nothing to do, is no error.
    fn process(&mut self, queue: u16);
}

/// A device behind the registers of a slot.
pub struct VirtioMmio<D: VirtioDevice> {
    // --- fixed configuration
    interface: Interface,

    // --- connections
    ram: Arc<Ram>,
    irq: IrqLine,
    doorbell: Arc<dyn Doorbell>,

    // --- guest-visible state
    device: D,
    status: Status,
    driver_features: u64,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: u32,
    interrupt: Interrupt,
    config_generation: u32,
    queues: Vec<VirtQueue>,
    legacy: Legacy,
}

/// What only the legacy interface has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Legacy {
    guest_page_size: u32,
    /// By queue: alignment of the used ring, and the page number it was put into use
    /// with.
    queues: Vec<LegacyQueue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LegacyQueue {
    align: u32,
    pfn: u32,
}

impl Legacy {
    fn new(queues: usize) -> Self {
        let queue = LegacyQueue {
            align: spec::DEFAULT_QUEUE_ALIGN,
            pfn: 0,
        };
        Self {
            guest_page_size: 0,
            queues: vec![queue; queues],
        }
    }
}

impl<D: VirtioDevice> VirtioMmio<D> {
    /// `device` in a slot: its buffers in `ram`, its interrupt on `irq`, its
    /// notifications to `doorbell`.
    pub fn new(
        interface: Interface,
        device: D,
        ram: Arc<Ram>,
        irq: IrqLine,
        doorbell: Arc<dyn Doorbell>,
    ) -> Self {
        let sizes = device.queue_sizes();
        Self {
            interface,
            ram,
            irq,
            doorbell,
            device,
            status: Status::empty(),
            driver_features: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            queue_sel: 0,
            interrupt: Interrupt::empty(),
            config_generation: 0,
            legacy: Legacy::new(sizes.len()),
            queues: sizes.into_iter().map(VirtQueue::new).collect(),
        }
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Lets the device work on its queues, then tells the driver what came of it.
    /// `None`: the driver broke the rules, and the device needs a reset.
    pub(super) fn with<R>(
        &mut self,
        work: impl FnOnce(&mut D, &mut Queues<'_>) -> Result<R, NeedsReset>,
    ) -> Option<R> {
        let live = self.is_live();
        let event_idx = self.driver_features & Features::EVENT_IDX.bits() != 0;
        for queue in &mut self.queues {
            queue.set_event_idx(event_idx);
        }
        let mut queues = Queues::new(&self.ram, &mut self.queues, self.driver_features, live);
        let result = work(&mut self.device, &mut queues);
        for queue in queues.take_again() {
            self.doorbell.ring(queue);
        }
        let result = result.and_then(|r| {
            for queue in &mut self.queues {
                if queue.take_interrupt(&self.ram)? {
                    self.interrupt |= Interrupt::USED;
                }
            }
            Ok(r)
        });
        if result.is_err() {
            self.need_reset();
        }
        self.sync();
        result.ok()
    }

    /// The configuration space changed (4.2.2.1).
    pub(super) fn config_changed(&mut self) {
        self.config_generation = self.config_generation.wrapping_add(1);
        if self.is_live() {
            self.interrupt |= Interrupt::CONFIG;
        }
        self.sync();
    }

    /// Whether the device may touch its queues. A legacy driver may use them before
    /// it says that it is ready (3.1.2).
    fn is_live(&self) -> bool {
        let ready = match self.interface {
            Interface::Modern => self.status.contains(Status::DRIVER_OK),
            Interface::Legacy => !self.status.is_empty(),
        };
        ready && !self.status.contains(Status::DEVICE_NEEDS_RESET)
    }

    /// Has every queue in use looked at.
    fn ring_all(&self) {
        for (number, queue) in self.queues.iter().enumerate() {
            if queue.is_ready() {
                self.doorbell.ring(number as u16);
            }
        }
    }

    fn need_reset(&mut self) {
        // The driver is told by a configuration change, if it listens yet (2.1.2).
        if self.status.contains(Status::DRIVER_OK) {
            self.interrupt |= Interrupt::CONFIG;
        }
        self.status |= Status::DEVICE_NEEDS_RESET;
    }

    /// The feature bits offered.
    fn offered(&self) -> u64 {
        let common = Features::INDIRECT_DESC | Features::EVENT_IDX;
        let by_interface = match self.interface {
            Interface::Modern => Features::VERSION_1,
            Interface::Legacy => Features::ANY_LAYOUT,
        };
        self.device.features() | (common | by_interface).bits()
    }

    /// Reset by the driver, or by the machine.
    fn reset_all(&mut self) {
        self.device.reset();
        for queue in &mut self.queues {
            *queue = VirtQueue::new(queue.max_size());
        }
        self.legacy = Legacy::new(self.queues.len());
        self.status = Status::empty();
        self.driver_features = 0;
        self.device_features_sel = 0;
        self.driver_features_sel = 0;
        self.queue_sel = 0;
        self.interrupt = Interrupt::empty();
        self.sync();
    }

    /// Computes the interrupt line from state.
    fn sync(&self) {
        self.irq.set(!self.interrupt.is_empty());
    }
}

impl<D: VirtioDevice> VirtioSlot for VirtioMmio<D> {
    fn process(&mut self, queue: u16) {
        self.with(|device, queues| device.process(queues, queue));
    }
}

impl<D: VirtioDevice> Device for VirtioMmio<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    /// Registers are read with four bytes, the configuration space with any size.
    /// Other reads of registers give zero.
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        Ok(match offset.checked_sub(spec::CONFIG) {
            Some(at) => self.read_config(at, size),
            None if size == Size::B4 => u64::from(self.read_register(offset)),
            None => 0,
        })
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match offset.checked_sub(spec::CONFIG) {
            Some(at) => {
                let bytes = value.to_le_bytes();
                let (written, _) = bytes.split_at(size.bytes() as usize);
                self.device.write_config(at, written);
            }
            None if size == Size::B4 => self.write_register(offset, value as u32),
            None => {}
        }
        self.sync();
        Ok(())
    }

    fn reset(&mut self) {
        self.reset_all();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset_all();
        self.restore_bytes(bytes)
    }
}

/// A slot without a device: the driver sees identifier 0 and moves on (4.2.2.2).
pub struct EmptySlot {
    interface: Interface,
}

impl EmptySlot {
    /// An empty slot that shows this interface.
    pub fn new(interface: Interface) -> Self {
        Self { interface }
    }
}

impl Device for EmptySlot {
    fn name(&self) -> &'static str {
        "virtio-empty"
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        Ok(match (offset, size) {
            (spec::MAGIC_VALUE, Size::B4) => u64::from(spec::MAGIC),
            (spec::VERSION, Size::B4) => u64::from(self.interface.version()),
            _ => 0,
        })
    }

    fn write(&mut self, _offset: u64, _size: Size, _value: u64) -> Result<(), BusFault> {
        Ok(())
    }

    fn reset(&mut self) {}

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.restore_bytes(bytes)
    }
}

/// The version alone is saved: a device's state does not fit an empty slot.
impl Saved for EmptySlot {
    type State = ();
    const NAME: &'static str = "virtio-empty";
    const VERSION: u16 = 1;

    fn state(&self) {
        let Self { interface: _ } = self;
    }

    fn set_state(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}
