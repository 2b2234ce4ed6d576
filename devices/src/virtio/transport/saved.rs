//! Saved state of a device with what all transports have in common.

use isoform_core::RestoreError;
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::queue::QueueState;
use super::super::spec::Status;
use super::{Core, Interface};

/// The guest-visible state of a [`Core`], with that of its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreState<S> {
    is_legacy: bool,
    status: u32,
    driver_features: u64,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: u32,
    config_generation: u32,
    queues: Vec<QueueState>,
    device: S,
}

impl<D: VirtioDevice> Core<D> {
    pub(in crate::virtio) fn state(&self) -> CoreState<D::State> {
        let Self {
            interface,
            ram: _,
            doorbell: _,
            device,
            status,
            driver_features,
            device_features_sel,
            driver_features_sel,
            queue_sel,
            config_generation,
            queues,
            raised: _,
        } = self;
        CoreState {
            is_legacy: *interface == Interface::Legacy,
            status: status.bits(),
            driver_features: *driver_features,
            device_features_sel: *device_features_sel,
            driver_features_sel: *driver_features_sel,
            queue_sel: *queue_sel,
            config_generation: *config_generation,
            queues: queues.iter().map(|q| q.state()).collect(),
            device: device.state(),
        }
    }

    /// Guest RAM must have been restored before the machine goes on; it is not looked
    /// at here. Queues in use are rung once, since notifications are not saved.
    pub(in crate::virtio) fn set_state(
        &mut self,
        state: CoreState<D::State>,
    ) -> Result<(), RestoreError> {
        let CoreState {
            is_legacy,
            status,
            driver_features,
            device_features_sel,
            driver_features_sel,
            queue_sel,
            config_generation,
            queues,
            device,
        } = state;
        let mismatch = |reason: &str| RestoreError::Mismatch {
            name: D::NAME,
            reason: reason.to_owned(),
        };
        if is_legacy != (self.interface == Interface::Legacy) {
            return Err(mismatch("the other virtio interface is configured"));
        }
        if queues.len() != self.queues.len() {
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
        self.config_generation = config_generation;
        self.ring_all();
        Ok(())
    }
}
