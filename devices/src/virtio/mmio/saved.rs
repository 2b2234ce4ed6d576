//! Saved state of a device together with its transport.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::queue::QueueState;
use super::super::spec::Status;
use super::spec::Interrupt;
use super::{Interface, Legacy, LegacyQueue, VirtioMmio};

/// Raised whenever [`MmioState`] changes its shape, its device part apart.
const TRANSPORT_VERSION: u16 = 1;

/// The guest-visible state of a [`VirtioMmio`], with that of its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MmioState<S> {
    is_legacy: bool,
    status: u32,
    driver_features: u64,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: u32,
    interrupt: u32,
    config_generation: u32,
    queues: Vec<QueueState>,
    legacy: LegacyState,
    device: S,
}

/// The registers of the legacy interface: by queue, alignment and page number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyState {
    guest_page_size: u32,
    queues: Vec<(u32, u32)>,
}

impl<D: VirtioDevice> Saved for VirtioMmio<D> {
    type State = MmioState<D::State>;
    const NAME: &'static str = D::NAME;
    const VERSION: u16 = TRANSPORT_VERSION << 8 | D::VERSION as u16;

    fn state(&self) -> MmioState<D::State> {
        let Self {
            interface,
            ram: _,
            irq: _,
            doorbell: _,
            device,
            status,
            driver_features,
            device_features_sel,
            driver_features_sel,
            queue_sel,
            interrupt,
            config_generation,
            queues,
            legacy,
        } = self;
        let Legacy {
            guest_page_size,
            queues: legacy_queues,
        } = legacy;
        MmioState {
            is_legacy: *interface == Interface::Legacy,
            status: status.bits(),
            driver_features: *driver_features,
            device_features_sel: *device_features_sel,
            driver_features_sel: *driver_features_sel,
            queue_sel: *queue_sel,
            interrupt: interrupt.bits(),
            config_generation: *config_generation,
            queues: queues.iter().map(|q| q.state()).collect(),
            legacy: LegacyState {
                guest_page_size: *guest_page_size,
                queues: legacy_queues
                    .iter()
                    .map(|&LegacyQueue { align, pfn }| (align, pfn))
                    .collect(),
            },
            device: device.state(),
        }
    }

    /// Guest RAM must have been restored before the machine goes on; it is not looked
    /// at here. Queues in use are rung once, since notifications are not saved.
    fn set_state(&mut self, state: MmioState<D::State>) -> Result<(), RestoreError> {
        let MmioState {
            is_legacy,
            status,
            driver_features,
            device_features_sel,
            driver_features_sel,
            queue_sel,
            interrupt,
            config_generation,
            queues,
            legacy:
                LegacyState {
                    guest_page_size,
                    queues: legacy_queues,
                },
            device,
        } = state;
        let mismatch = |reason: &str| RestoreError::Mismatch {
            name: D::NAME,
            reason: reason.to_owned(),
        };
        if is_legacy != (self.interface == Interface::Legacy) {
            return Err(mismatch("the other virtio-mmio interface is configured"));
        }
        if queues.len() != self.queues.len() || legacy_queues.len() != self.queues.len() {
            return Err(mismatch("the device has another number of queues"));
        }
        // A modern driver may have written anything before FEATURES_OK.
        let negotiated = is_legacy || status & Status::FEATURES_OK.bits() != 0;
        if negotiated && driver_features & !self.offered() != 0 {
            return Err(mismatch("its driver uses features not offered here"));
        }
        let restored = self.queues.iter().zip(queues);
        let restored = restored
            .map(|(queue, state)| queue.with_state(D::NAME, state, &self.ram))
            .collect::<Result<Vec<_>, _>>()?;
        self.device.set_state(device, &self.ram)?;
        self.queues = restored;
        self.status = Status::from_bits_truncate(status);
        self.driver_features = driver_features;
        self.device_features_sel = device_features_sel;
        self.driver_features_sel = driver_features_sel;
        self.queue_sel = queue_sel;
        self.interrupt = Interrupt::from_bits_truncate(interrupt);
        self.config_generation = config_generation;
        self.legacy = Legacy {
            guest_page_size,
            queues: legacy_queues
                .into_iter()
                .map(|(align, pfn)| LegacyQueue { align, pfn })
                .collect(),
        };
        self.sync();
        self.ring_all();
        Ok(())
    }
}
