//! Saved state of a device together with its slot.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::transport::{CoreState, Transport};
use super::spec::Interrupt;
use super::{Legacy, LegacyQueue, VirtioMmio};

/// Raised whenever [`MmioState`] changes its shape, its device part apart.
const TRANSPORT_VERSION: u16 = 2;

/// The guest-visible state of a [`VirtioMmio`], with that of its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MmioState<S> {
    core: CoreState<S>,
    interrupt: u32,
    legacy: LegacyState,
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
            irq: _,
            core,
            interrupt,
            legacy: Legacy {
                guest_page_size,
                queues,
            },
        } = self;
        MmioState {
            core: core.state(),
            interrupt: interrupt.bits(),
            legacy: LegacyState {
                guest_page_size: *guest_page_size,
                queues: queues
                    .iter()
                    .map(|&LegacyQueue { align, pfn }| (align, pfn))
                    .collect(),
            },
        }
    }

    fn set_state(&mut self, state: MmioState<D::State>) -> Result<(), RestoreError> {
        let MmioState {
            core,
            interrupt,
            legacy:
                LegacyState {
                    guest_page_size,
                    queues,
                },
        } = state;
        if queues.len() != self.core.queue_count() {
            return Err(RestoreError::Mismatch {
                name: D::NAME,
                reason: "the device has another number of queues".to_owned(),
            });
        }
        self.core.set_state(core)?;
        self.interrupt = Interrupt::from_bits_truncate(interrupt);
        self.legacy = Legacy {
            guest_page_size,
            queues: queues
                .into_iter()
                .map(|(align, pfn)| LegacyQueue { align, pfn })
                .collect(),
        };
        self.sync();
        Ok(())
    }
}
