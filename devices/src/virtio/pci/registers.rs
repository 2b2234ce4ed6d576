//! What reading and writing each register does.

use isoform_core::Size;

use super::super::VirtioDevice;
use super::super::transport::{set_high, set_low};
use super::VirtioPci;
use super::spec::{self, Isr, NO_VECTOR, common, structure};

impl<D: VirtioDevice> VirtioPci<D> {
    /// Reads a structure in the BAR.
    pub(super) fn read_bar(&mut self, offset: u64, size: Size) -> u64 {
        let (start, at) = split(offset);
        let value = match start {
            structure::COMMON_AT => self.read_common(at),
            // Reading acknowledges (4.1.4.5.1).
            structure::ISR_AT if at == 0 => {
                u64::from(std::mem::replace(&mut self.isr, Isr::empty()).bits())
            }
            structure::DEVICE_AT => self.core.read_config(at),
            _ => 0,
        };
        size.truncate(value)
    }

    /// Writes a structure in the BAR.
    pub(super) fn write_bar(&mut self, offset: u64, size: Size, value: u64) {
        let (start, at) = split(offset);
        match start {
            structure::COMMON_AT => self.write_common(at, size, value),
            structure::DEVICE_AT => {
                let bytes = value.to_le_bytes();
                let (written, _) = bytes.split_at(size.bytes() as usize);
                self.core.write_config(at, written);
            }
            // The address says which queue (4.1.4.4).
            structure::NOTIFY_AT => {
                let queue = at / u64::from(spec::NOTIFY_MULTIPLIER);
                self.core.notify(queue as u32);
            }
            _ => {}
        }
    }

    /// Eight bytes of the common configuration. Reading any of it does nothing else.
    fn read_common(&self, at: u64) -> u64 {
        let image = self.common();
        let bytes = usize::try_from(at).ok().and_then(|at| image.get(at..));
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(bytes.unwrap_or_default()) {
            *to = *from;
        }
        u64::from_le_bytes(value)
    }

    /// The common configuration, in order (4.1.4.3).
    fn common(&self) -> Vec<u8> {
        let core = &self.core;
        let queue = core.queue();
        let setup = queue.map(|q| q.setup()).unwrap_or_default();
        let enabled = queue.is_some_and(|q| q.is_ready());
        let mut image = Vec::with_capacity(common::END);
        image.extend(core.device_features_sel.to_le_bytes());
        image.extend(core.read_device_features().to_le_bytes());
        image.extend(core.driver_features_sel.to_le_bytes());
        image.extend(core.read_driver_features().to_le_bytes());
        image.extend(self.config_vector.to_le_bytes());
        image.extend((core.queue_count() as u16).to_le_bytes());
        image.push(core.status().bits() as u8);
        image.push(core.config_generation() as u8);
        image.extend((core.queue_sel as u16).to_le_bytes());
        image.extend(setup.size.to_le_bytes());
        image.extend(self.queue_vector().to_le_bytes());
        image.extend(u16::from(enabled).to_le_bytes());
        // Each queue has an address of its own.
        image.extend((core.queue_sel as u16).to_le_bytes());
        image.extend(setup.desc.to_le_bytes());
        image.extend(setup.avail.to_le_bytes());
        image.extend(setup.used.to_le_bytes());
        image
    }

    fn queue_vector(&self) -> u16 {
        let vector = self.queue_vectors.get(self.core.queue_sel as usize);
        *vector.unwrap_or(&NO_VECTOR)
    }

    /// Fields are written as wide as they are; those of 64 bits in halves (4.1.3.1), or
    /// by drivers that know better at once.
    fn write_common(&mut self, at: u64, size: Size, value: u64) {
        match size {
            Size::B8 => {
                self.write_word(at, value as u32);
                self.write_word(at + 4, (value >> 32) as u32);
            }
            Size::B4 => self.write_word(at, value as u32),
            Size::B2 => self.write_half(at, value as u16),
            Size::B1 if at == common::DEVICE_STATUS && value == 0 => self.reset_device(),
            Size::B1 if at == common::DEVICE_STATUS => self.core.write_status(value as u32),
            Size::B1 => {}
        }
    }

    fn write_word(&mut self, at: u64, value: u32) {
        let core = &mut self.core;
        match at {
            common::DEVICE_FEATURE_SELECT => core.device_features_sel = value,
            common::DRIVER_FEATURE_SELECT => core.driver_features_sel = value,
            common::DRIVER_FEATURE => core.write_driver_features(value),
            common::QUEUE_DESC => core.set_up(|s| set_low(&mut s.desc, value)),
            common::QUEUE_DESC_HIGH => core.set_up(|s| set_high(&mut s.desc, value)),
            common::QUEUE_DRIVER => core.set_up(|s| set_low(&mut s.avail, value)),
            common::QUEUE_DRIVER_HIGH => core.set_up(|s| set_high(&mut s.avail, value)),
            common::QUEUE_DEVICE => core.set_up(|s| set_low(&mut s.used, value)),
            common::QUEUE_DEVICE_HIGH => core.set_up(|s| set_high(&mut s.used, value)),
            _ => {}
        }
    }

    fn write_half(&mut self, at: u64, value: u16) {
        match at {
            common::CONFIG_MSIX_VECTOR => self.config_vector = self.vector(value),
            common::QUEUE_SELECT => self.core.queue_sel = value.into(),
            common::QUEUE_SIZE => self.core.set_up(|s| s.size = value),
            common::QUEUE_MSIX_VECTOR => {
                let vector = self.vector(value);
                let place = self.queue_vectors.get_mut(self.core.queue_sel as usize);
                place.into_iter().for_each(|v| *v = vector);
            }
            // Only a reset takes a queue out of use (4.1.4.3.2).
            common::QUEUE_ENABLE if value == 1 => {
                self.core.start_queue();
            }
            _ => {}
        }
    }

    /// A vector that does not exist cannot be had: the driver reads that there is none
    /// (4.1.5.1.2).
    pub(super) fn vector(&self, value: u16) -> u16 {
        match usize::from(value) < self.endpoint.vectors() {
            true => value,
            false => NO_VECTOR,
        }
    }
}

/// Which structure an offset in the BAR is in, and where in it.
fn split(offset: u64) -> (u64, u64) {
    let at = offset % spec::STRUCTURE_BYTES;
    (offset - at, at)
}
