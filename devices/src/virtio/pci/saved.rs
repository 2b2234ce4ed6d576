//! Saved state of a device together with its function.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::transport::{CoreState, Transport};
use super::VirtioPci;
use super::spec::Isr;
use crate::pci::EndpointState;

/// Raised whenever [`PciState`] changes its shape, its device part apart. It begins where
/// that of the other transport will never be.
const TRANSPORT_VERSION: u16 = 128;

/// The guest-visible state of a [`VirtioPci`], with that of its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciState<S> {
    core: CoreState<S>,
    endpoint: EndpointState,
    isr: u8,
    config_vector: u16,
    queue_vectors: Vec<u16>,
}

impl<D: VirtioDevice> Saved for VirtioPci<D> {
    type State = PciState<D::State>;
    const NAME: &'static str = D::NAME;
    const VERSION: u16 = TRANSPORT_VERSION << 8 | D::VERSION as u16;

    fn state(&self) -> PciState<D::State> {
        let Self {
            access: _,
            core,
            endpoint,
            isr,
            config_vector,
            queue_vectors,
        } = self;
        PciState {
            core: core.state(),
            endpoint: endpoint.state(),
            isr: isr.bits(),
            config_vector: *config_vector,
            queue_vectors: queue_vectors.clone(),
        }
    }

    fn set_state(&mut self, state: PciState<D::State>) -> Result<(), RestoreError> {
        let PciState {
            core,
            endpoint,
            isr,
            config_vector,
            queue_vectors,
        } = state;
        if queue_vectors.len() != self.core.queue_count() {
            return Err(RestoreError::Mismatch {
                name: D::NAME,
                reason: "the device has another number of queues".to_owned(),
            });
        }
        self.endpoint.set_state(D::NAME, endpoint)?;
        self.core.set_master(self.endpoint.is_master());
        self.core.set_state(core)?;
        self.isr = Isr::from_bits_truncate(isr);
        self.config_vector = self.vector(config_vector);
        self.queue_vectors = queue_vectors.into_iter().map(|v| self.vector(v)).collect();
        self.sync();
        Ok(())
    }
}
