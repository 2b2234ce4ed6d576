//! What reading and writing each register does.

use super::super::VirtioDevice;
use super::super::queue::VirtQueue;
use super::super::spec::{avail_bytes, descriptor_bytes};
use super::super::transport::{set_high, set_low};
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
        let core = &self.core;
        match offset {
            spec::MAGIC_VALUE => spec::MAGIC,
            spec::VERSION => core.interface().version(),
            spec::DEVICE_ID => D::ID,
            spec::VENDOR_ID => spec::VENDOR,
            spec::DEVICE_FEATURES => core.read_device_features(),
            spec::QUEUE_NUM_MAX => core.queue().map_or(0, |q| u32::from(q.max_size())),
            spec::INTERRUPT_STATUS => self.interrupt.bits(),
            spec::STATUS => core.status().bits(),
            _ => match core.interface() {
                Interface::Modern => self.read_modern(offset),
                Interface::Legacy if offset == spec::QUEUE_PFN => self
                    .legacy
                    .queues
                    .get(core.queue_sel as usize)
                    .map_or(0, |q| q.pfn),
                Interface::Legacy => 0,
            },
        }
    }

    fn read_modern(&self, offset: u64) -> u32 {
        match offset {
            spec::QUEUE_READY => self.core.queue().map_or(0, |q| u32::from(q.is_ready())),
            spec::CONFIG_GENERATION => self.core.config_generation(),
            // No device here has shared memory: all ones (4.2.2.1).
            spec::SHM_LEN_LOW..=spec::SHM_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    pub(super) fn write_register(&mut self, offset: u64, value: u32) {
        let core = &mut self.core;
        match offset {
            spec::DEVICE_FEATURES_SEL => core.device_features_sel = value,
            spec::DRIVER_FEATURES => core.write_driver_features(value),
            spec::DRIVER_FEATURES_SEL => core.driver_features_sel = value,
            spec::QUEUE_SEL => core.queue_sel = value,
            spec::QUEUE_NUM => core.set_up(|s| {
                // A size that does not fit the field fits no queue either.
                s.size = u16::try_from(value).unwrap_or(0);
            }),
            spec::QUEUE_NOTIFY => core.notify(value),
            spec::INTERRUPT_ACK => self.interrupt -= Interrupt::from_bits_truncate(value),
            spec::STATUS if value == 0 => self.reset_by_driver(),
            spec::STATUS => core.write_status(value),
            _ => match core.interface() {
                Interface::Modern => self.write_modern(offset, value),
                Interface::Legacy => self.write_legacy(offset, value),
            },
        }
    }

    fn write_modern(&mut self, offset: u64, value: u32) {
        let core = &mut self.core;
        match offset {
            spec::QUEUE_DESC_LOW => core.set_up(|s| set_low(&mut s.desc, value)),
            spec::QUEUE_DESC_HIGH => core.set_up(|s| set_high(&mut s.desc, value)),
            spec::QUEUE_DRIVER_LOW => core.set_up(|s| set_low(&mut s.avail, value)),
            spec::QUEUE_DRIVER_HIGH => core.set_up(|s| set_high(&mut s.avail, value)),
            spec::QUEUE_DEVICE_LOW => core.set_up(|s| set_low(&mut s.used, value)),
            spec::QUEUE_DEVICE_HIGH => core.set_up(|s| set_high(&mut s.used, value)),
            spec::QUEUE_READY if value & 1 == 0 => core.stop_queue(),
            spec::QUEUE_READY => {
                core.start_queue();
            }
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
                self.core.stop_queue();
            }
            spec::QUEUE_PFN => self.start_legacy_queue(value),
            _ => {}
        }
    }

    fn legacy_queue(&mut self) -> Option<&mut LegacyQueue> {
        self.legacy.queues.get_mut(self.core.queue_sel as usize)
    }

    /// The three parts lie one behind the other (2.7.2).
    fn start_legacy_queue(&mut self, pfn: u32) {
        let page_size = self.legacy.guest_page_size;
        if self.core.queue().is_none_or(VirtQueue::is_ready) {
            return;
        }
        let Some(queue) = self.legacy.queues.get_mut(self.core.queue_sel as usize) else {
            return;
        };
        let align = queue.align;
        self.core.set_up(|setup| {
            setup.desc = u64::from(pfn) * u64::from(page_size);
            setup.avail = setup.desc.saturating_add(descriptor_bytes(setup.size));
            let end = setup.avail.saturating_add(avail_bytes(setup.size));
            let used = end.checked_next_multiple_of(u64::from(align));
            setup.used = used.unwrap_or(u64::MAX);
        });
        let started = match align.is_power_of_two() {
            true => self.core.start_queue(),
            false => {
                self.core.need_reset();
                false
            }
        };
        queue.pfn = if started { pfn } else { 0 };
    }
}
