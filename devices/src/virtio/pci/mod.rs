//! Virtio over PCI, modern: configuration in a BAR, interrupts by the pin or, where the
//! machine takes messages, by MSI-X.
//!
//! A device touches its queues only while its function is a bus master. What is answered
//! while it is none is lost, as are requests of a device that is reset.

mod registers;
mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use isoform_core::{BusFault, Device, IrqLine, MsiSink, RestoreError, Saved, Size};
use isoform_memory::Ram;

use super::transport::{Cause, Core, Interface, Transport};
use super::{Doorbell, VirtioDevice};
use crate::pci::config::touches;
use crate::pci::spec::capability;
use crate::pci::{self, BarKind, ConfigSpace, Endpoint, Function, Identity, Place, Region};
use spec::{Isr, NO_VECTOR, cap, structure};

pub use saved::PciState;

/// How a function interrupts.
pub struct Interrupts {
    /// By its pin.
    pub pin: IrqLine,
    /// By messages, if the machine takes them.
    pub messages: Option<Arc<dyn MsiSink>>,
}

/// A device behind a PCI function.
pub struct VirtioPci<D: VirtioDevice> {
    // --- fixed configuration
    /// Where the capability for access to the BAR is.
    access: usize,

    // --- guest-visible state
    core: Core<D>,
    endpoint: Endpoint,
    isr: Isr,
    config_vector: u16,
    /// By queue.
    queue_vectors: Vec<u16>,
}

impl<D: VirtioDevice> VirtioPci<D> {
    /// `device` as a function: its buffers in `ram`, its notifications to `doorbell`.
    pub fn new(
        device: D,
        ram: Arc<Ram>,
        interrupts: Interrupts,
        doorbell: Arc<dyn Doorbell>,
    ) -> Self {
        let mut core = Core::new(Interface::Modern, device, ram, doorbell);
        let mut config = ConfigSpace::new(Identity {
            vendor: spec::VENDOR,
            device: spec::DEVICE_BASE + D::ID as u16,
            revision: spec::REVISION,
            class: spec::class_of(D::ID),
            subsystem_vendor: spec::VENDOR,
            subsystem: spec::SUBSYSTEM,
        });
        config.add_bar(spec::BAR, spec::BAR_BYTES, BarKind::Prefetchable64);
        let access = add_structures(&mut config);
        let mut endpoint = Endpoint::new(config, interrupts.pin);
        if let Some(sink) = interrupts.messages {
            // One for the configuration, one for each queue.
            endpoint.add_msix(spec::MSIX_BAR, core.queue_count() + 1, sink);
        }
        core.set_master(endpoint.is_master());
        Self {
            access,
            isr: Isr::empty(),
            config_vector: NO_VECTOR,
            queue_vectors: vec![NO_VECTOR; core.queue_count()],
            core,
            endpoint,
        }
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        self.core.device()
    }

    /// Reset by the driver: the function stays as it is configured.
    fn reset_device(&mut self) {
        self.core.reset();
        self.isr = Isr::empty();
        self.config_vector = NO_VECTOR;
        self.queue_vectors.fill(NO_VECTOR);
        // No notification before the next driver is ready (2.4.1).
        self.endpoint.forget_messages();
    }

    /// The data of the capability for access to the BAR.
    fn access_data(&self) -> Range<usize> {
        let start = self.access + cap::DATA;
        start..start + 4
    }

    /// What the access is about, as the driver set it up: offset in the BAR, and size.
    /// Only the structures can be reached, with aligned accesses (4.1.4.9).
    fn access_place(&self) -> Option<(u64, Size)> {
        let config = self.endpoint.config();
        let bar = config.word(self.access + cap::BAR) as u8;
        let offset = u64::from(config.word(self.access + cap::OFFSET));
        let size = match config.word(self.access + cap::LENGTH) {
            1 => Size::B1,
            2 => Size::B2,
            4 => Size::B4,
            _ => return None,
        };
        let fits = offset < spec::BAR_BYTES && offset.is_multiple_of(size.bytes());
        (bar == spec::BAR && fits).then_some((offset, size))
    }

    fn read_config_space(&mut self, offset: u64, size: Size) -> u64 {
        if touches(offset, size, &self.access_data())
            && let Some((at, width)) = self.access_place()
        {
            let value = self.read_bar(at, width) as u32;
            let data = self.access_data().start;
            self.endpoint.config_mut().put_word(data, value);
        }
        self.endpoint.config().read(offset, size)
    }

    fn write_config_space(&mut self, offset: u64, size: Size, value: u64) {
        if self.endpoint.write_config(offset, size, value) {
            return self.reset();
        }
        self.core.set_master(self.endpoint.is_master());
        if touches(offset, size, &self.access_data())
            && let Some((at, width)) = self.access_place()
        {
            let data = self.endpoint.config().word(self.access_data().start);
            self.write_bar(at, width, width.truncate(data.into()));
        }
    }
}

/// Adds the capabilities that say where structures are; where that for access to the BAR
/// is.
fn add_structures(config: &mut ConfigSpace) -> usize {
    let mut add = |kind: u8, (bar, offset, bytes): (u8, u64, u64), more: &[u8], writable: &[u8]| {
        let length = spec::CAPABILITY_BYTES + more.len();
        let mut content = vec![length as u8, kind, bar, 0, 0, 0];
        content.extend((offset as u32).to_le_bytes());
        content.extend((bytes as u32).to_le_bytes());
        content.extend(more);
        config.add_capability(capability::VENDOR, &content, writable)
    };
    let at = |offset| (spec::BAR, offset, spec::STRUCTURE_BYTES);
    let multiplier = spec::NOTIFY_MULTIPLIER.to_le_bytes();
    add(structure::COMMON, at(structure::COMMON_AT), &[], &[]);
    add(
        structure::NOTIFY,
        at(structure::NOTIFY_AT),
        &multiplier,
        &[],
    );
    add(structure::ISR, at(structure::ISR_AT), &[], &[]);
    add(structure::DEVICE, at(structure::DEVICE_AT), &[], &[]);
    // The driver writes BAR, offset, length and data.
    let writable: Vec<u8> = [&[0, 0, 0xff, 0, 0, 0][..], &[0xff; 12]].concat();
    add(structure::ACCESS, (0, 0, 0), &[0; 4], &writable)
}

impl<D: VirtioDevice> Transport for VirtioPci<D> {
    type Inner = D;

    fn core(&mut self) -> &mut Core<D> {
        &mut self.core
    }

    /// Sends messages, or computes the pin from state (4.1.5.1.3, 4.1.5.2).
    fn sync(&mut self) {
        let messages = self.endpoint.uses_messages();
        while let Some(cause) = self.core.next_cause() {
            let vector = match cause {
                Cause::Config => self.config_vector,
                Cause::Queue(queue) => *self
                    .queue_vectors
                    .get(usize::from(queue))
                    .unwrap_or(&NO_VECTOR),
            };
            match cause {
                Cause::Config => self.isr |= Isr::CONFIG,
                Cause::Queue(_) if !messages => self.isr |= Isr::QUEUE,
                Cause::Queue(_) => {}
            }
            if messages {
                self.endpoint.message(vector);
            }
        }
        self.endpoint.set_pin(!self.isr.is_empty());
    }
}

impl<D: VirtioDevice> Function for VirtioPci<D> {
    fn regions(&self) -> Vec<Arc<Region>> {
        self.endpoint.regions()
    }
}

impl<D: VirtioDevice> Device for VirtioPci<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        let value = match Place::from(offset) {
            Place::Config(at) => self.read_config_space(at, size),
            Place::Bar { bar, offset } if bar == spec::BAR => self.read_bar(offset, size),
            Place::Bar { bar, offset } => self
                .endpoint
                .read_bar(bar, offset, size)
                .unwrap_or(u64::MAX),
        };
        self.sync();
        Ok(size.truncate(value))
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        let value = size.truncate(value);
        match Place::from(offset) {
            Place::Config(at) => self.write_config_space(at, size, value),
            Place::Bar { bar, offset } if bar == spec::BAR => self.write_bar(offset, size, value),
            Place::Bar { bar, offset } => self.endpoint.write_bar(bar, offset, size, value),
        }
        self.sync();
        Ok(())
    }

    fn reset(&mut self) {
        self.reset_device();
        self.endpoint.reset();
        self.core.set_master(false);
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        pci::restore(self, bytes)
    }
}
