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

use super::transport::{Cause, Core, Interface, Transport};
use super::{Doorbell, VirtioDevice};
use spec::Interrupt;

pub use saved::{LegacyState, MmioState};

/// A device behind the registers of a slot.
pub struct VirtioMmio<D: VirtioDevice> {
    // --- connections
    irq: IrqLine,

    // --- guest-visible state
    core: Core<D>,
    interrupt: Interrupt,
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
        let core = Core::new(interface, device, ram, doorbell);
        Self {
            irq,
            interrupt: Interrupt::empty(),
            legacy: Legacy::new(core.queue_count()),
            core,
        }
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        self.core.device()
    }

    /// Reset by the driver. The page size stays: Linux says it once, before it resets the
    /// device for the first time.
    fn reset_by_driver(&mut self) {
        let guest_page_size = self.legacy.guest_page_size;
        self.core.reset();
        self.legacy = Legacy {
            guest_page_size,
            ..Legacy::new(self.core.queue_count())
        };
        self.interrupt = Interrupt::empty();
        self.sync();
    }

    /// Reset by the machine.
    fn reset_all(&mut self) {
        self.legacy.guest_page_size = 0;
        self.reset_by_driver();
    }
}

impl<D: VirtioDevice> Transport for VirtioMmio<D> {
    type Inner = D;

    fn core(&mut self) -> &mut Core<D> {
        &mut self.core
    }

    /// Computes the interrupt line from state.
    fn sync(&mut self) {
        while let Some(cause) = self.core.next_cause() {
            self.interrupt |= match cause {
                Cause::Queue(_) => Interrupt::USED,
                Cause::Config => Interrupt::CONFIG,
            };
        }
        self.irq.set(!self.interrupt.is_empty());
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
            Some(at) => size.truncate(self.core.read_config(at)),
            None if size == Size::B4 => u64::from(self.read_register(offset)),
            None => 0,
        })
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match offset.checked_sub(spec::CONFIG) {
            Some(at) => {
                let bytes = value.to_le_bytes();
                let (written, _) = bytes.split_at(size.bytes() as usize);
                self.core.write_config(at, written);
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
