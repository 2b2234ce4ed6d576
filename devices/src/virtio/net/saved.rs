//! Saved state of the network device.

use isoform_core::RestoreError;
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::chain::Chain;
use super::filter::{Filter, FilterState};
use super::{Net, QUEUE_SIZE};

/// The guest-visible state of a [`Net`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    filter: FilterState,
    /// Buffers taken for a frame that did not fit them yet.
    buffers: Vec<Chain>,
}

impl Net {
    pub(super) fn saved(&self) -> NetState {
        let Self {
            config: _,
            port: _,
            offloads: _,
            // Frames on their way are lost, as on any wire.
            refused: _,
            arrived: _,
            filter,
            buffers,
        } = self;
        NetState {
            filter: filter.state(),
            buffers: buffers.iter().cloned().collect(),
        }
    }

    pub(super) fn put_back(&mut self, state: NetState, ram: &Ram) -> Result<(), RestoreError> {
        let NetState { filter, buffers } = state;
        (self.refused, self.arrived) = (None, None);
        let damaged = |reason: &str| RestoreError::Damaged {
            name: Self::NAME,
            reason: reason.to_owned(),
        };
        let sound = buffers.iter().all(|chain| chain.is_valid(ram));
        if !sound || buffers.len() > usize::from(QUEUE_SIZE) {
            return Err(damaged("a buffer is not of this machine"));
        }
        let filter = Filter::from_state(filter);
        self.filter = filter.ok_or_else(|| damaged("an address filter is none"))?;
        self.buffers = buffers.into();
        Ok(())
    }
}
