//! What reading and writing each register does.

use isoform_core::Size;

use super::super::queue::{Setup, VirtQueue};
use super::super::spec::{Status, avail_bytes, descriptor_bytes};
use super::super::{NeedsReset, VirtioDevice};
use super::spec::{self, Interrupt};
use super::{Interface, LegacyQueue, VirtioMmio};

impl Interface {
    /// What the Version register reads.
    pub fn version(self) -> u32 {
        match self {
            Interface::Modern => 2,
            Interface::Legacy => 1,
        }
    }
}

impl<D: VirtioDevice> VirtioMmio<D> {
    pub(super) fn read_register(&self, offset: u64) -> u32 {
        let queue = self.queues.get(self.queue_sel as usize);
        match offset {
            spec::MAGIC_VALUE => spec::MAGIC,
            spec::VERSION => self.interface.version(),
            spec::DEVICE_ID => D::ID,
            spec::VENDOR_ID => spec::VENDOR,
            spec::DEVICE_FEATURES => half(self.offered(), self.device_features_sel),
            spec::QUEUE_NUM_MAX => queue.map_or(0, |q| u32::from(q.max_size())),
            spec::INTERRUPT_STATUS => self.interrupt.bits(),
            spec::STATUS => self.status.bits(),
            _ => match self.interface {
                Interface::Modern => self.read_modern(offset, queue),
                Interface::Legacy if offset == spec::QUEUE_PFN => self
                    .legacy
                    .queues
                    .get(self.queue_sel as usize)
                    .map_or(0, |q| q.pfn),
                Interface::Legacy => 0,
            },
        }
    }

    fn read_modern(&self, offset: u64, queue: Option<&VirtQueue>) -> u32 {
        match offset {
            spec::QUEUE_READY => queue.map_or(0, |q| u32::from(q.is_ready())),
            spec::CONFIG_GENERATION => self.config_generation,
            // No device here has shared memory: all ones (4.2.2.1).
            spec::SHM_LEN_LOW..=spec::SHM_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    pub(super) fn read_config(&self, at: u64, size: Size) -> u64 {
        let config = self.device.config();
        let bytes = usize::try_from(at).ok().and_then(|at| config.get(at..));
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(bytes.unwrap_or_default()) {
            *to = *from;
        }
        size.truncate(u64::from_le_bytes(value))
    }

    pub(super) fn write_register(&mut self, offset: u64, value: u32) {
        match offset {
            spec::DEVICE_FEATURES_SEL => self.device_features_sel = value,
            spec::DRIVER_FEATURES => self.write_driver_features(value),
            spec::DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            spec::QUEUE_SEL => self.queue_sel = value,
            spec::QUEUE_NUM => self.set_up(|s| {
                // A size that does not fit the field fits no queue either.
                s.size = u16::try_from(value).unwrap_or(0);
            }),
            spec::QUEUE_NOTIFY => self.notify(value),
            spec::INTERRUPT_ACK => self.interrupt -= Interrupt::from_bits_truncate(value),
            spec::STATUS => self.write_status(value),
            _ => match self.interface {
                Interface::Modern => self.write_modern(offset, value),
                Interface::Legacy => self.write_legacy(offset, value),
            },
        }
    }

    fn write_modern(&mut self, offset: u64, value: u32) {
        match offset {
            spec::QUEUE_DESC_LOW => self.set_up(|s| set_low(&mut s.desc, value)),
            spec::QUEUE_DESC_HIGH => self.set_up(|s| set_high(&mut s.desc, value)),
            spec::QUEUE_DRIVER_LOW => self.set_up(|s| set_low(&mut s.avail, value)),
            spec::QUEUE_DRIVER_HIGH => self.set_up(|s| set_high(&mut s.avail, value)),
            spec::QUEUE_DEVICE_LOW => self.set_up(|s| set_low(&mut s.used, value)),
            spec::QUEUE_DEVICE_HIGH => self.set_up(|s| set_high(&mut s.used, value)),
            spec::QUEUE_READY if value & 1 == 0 => self.stop_queue(),
            // Features come first: they decide how the ring is read (3.1.1).
            spec::QUEUE_READY if self.status.contains(Status::FEATURES_OK) => self.start_queue(),
            _ => {}
        }
    }

    fn write_legacy(&mut self, offset: u64, value: u32) {
        match offset {
            spec::GUEST_PAGE_SIZE => self.legacy.guest_page_size = value,
            spec::QUEUE_ALIGN => {
                if let Some(queue) = self.legacy_queue() {
                    queue.align = value;
                }
            }
            spec::QUEUE_PFN if value == 0 => {
                if let Some(queue) = self.legacy_queue() {
                    queue.pfn = 0;
                }
                self.stop_queue();
            }
            spec::QUEUE_PFN => self.start_legacy_queue(value),
            _ => {}
        }
    }

    fn legacy_queue(&mut self) -> Option<&mut LegacyQueue> {
        self.legacy.queues.get_mut(self.queue_sel as usize)
    }

    /// Changes the setup of the selected queue, unless it is in use.
    fn set_up(&mut self, change: impl FnOnce(&mut Setup)) {
        let queue = self.queues.get_mut(self.queue_sel as usize);
        if let Some(setup) = queue.and_then(VirtQueue::setup_mut) {
            change(setup);
        }
    }

    fn start_queue(&mut self) {
        let Some(queue) = self.queues.get_mut(self.queue_sel as usize) else {
            return;
        };
        if queue.start(&self.ram).is_err() {
            self.need_reset();
        }
    }

    /// Legacy: the three parts lie one behind the other (2.7.2).
    fn start_legacy_queue(&mut self, pfn: u32) {
        let page_size = self.legacy.guest_page_size;
        let index = self.queue_sel as usize;
        let (Some(queue), Some(legacy)) = (
            self.queues.get_mut(index),
            self.legacy.queues.get_mut(index),
        ) else {
            return;
        };
        let align = legacy.align;
        let Some(setup) = queue.setup_mut() else {
            return;
        };
        legacy.pfn = pfn;
        setup.desc = u64::from(pfn) * u64::from(page_size);
        setup.avail = setup.desc.saturating_add(descriptor_bytes(setup.size));
        let end = setup.avail.saturating_add(avail_bytes(setup.size));
        let used = end.checked_next_multiple_of(u64::from(align));
        setup.used = used.unwrap_or(u64::MAX);
        let started = match align.is_power_of_two() {
            true => queue.start(&self.ram),
            false => Err(NeedsReset),
        };
        if started.is_err() {
            legacy.pfn = 0;
            self.need_reset();
        }
    }

    fn stop_queue(&mut self) {
        let number = self.queue_sel;
        if let Some(queue) = self.queues.get_mut(number as usize)
            && queue.is_ready()
        {
            queue.stop();
            self.device.queue_stopped(number as u16);
        }
    }

    fn notify(&self, queue: u32) {
        let ready = self
            .queues
            .get(queue as usize)
            .is_some_and(VirtQueue::is_ready);
        if ready && self.is_live() {
            self.doorbell.ring(queue as u16);
        }
    }

    fn write_driver_features(&mut self, value: u32) {
        let negotiated = match self.interface {
            Interface::Modern => self.status.contains(Status::FEATURES_OK),
            Interface::Legacy => self.status.contains(Status::DRIVER_OK),
        };
        if negotiated {
            return;
        }
        match self.driver_features_sel {
            0 => set_low(&mut self.driver_features, value),
            1 => set_high(&mut self.driver_features, value),
            _ => {}
        }
        if self.interface == Interface::Legacy {
            // There is no way to refuse; unknown bits are not accepted.
            self.driver_features &= self.offered();
        }
    }

    fn write_status(&mut self, value: u32) {
        if value == 0 {
            return self.reset_all();
        }
        // Only a reset clears bits (2.1.1), and only the device says that it needs one.
        let mut new = Status::from_bits_truncate(value) - Status::DEVICE_NEEDS_RESET;
        if self.interface == Interface::Modern {
            if !self.status.contains(Status::FEATURES_OK) && !self.features_acceptable() {
                new -= Status::FEATURES_OK;
            }
            if !(self.status | new).contains(Status::FEATURES_OK) {
                new -= Status::DRIVER_OK;
            }
        }
        let now_ready = (new - self.status).contains(Status::DRIVER_OK);
        self.status |= new;
        if now_ready {
            // Buffers may have been offered before, when notifying was too early.
            self.ring_all();
        }
    }

    /// A driver may accept only what was offered (2.2.2). One that does not say that it
    /// knows modern devices could be refused (6.1), but drives the registers of one:
    /// teaching kernels look at the lower half of the features alone.
    fn features_acceptable(&self) -> bool {
        self.driver_features & !self.offered() == 0
    }
}

/// The half of 64 feature bits that a selector names; beyond them there are none.
fn half(features: u64, selector: u32) -> u32 {
    match selector {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

fn set_low(wide: &mut u64, low: u32) {
    *wide = *wide & !u64::from(u32::MAX) | u64::from(low);
}

fn set_high(wide: &mut u64, high: u32) {
    *wide = *wide & u64::from(u32::MAX) | u64::from(high) << 32;
}
