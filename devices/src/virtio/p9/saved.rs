//! Saved state of the 9P transport: the requests in flight.

use isoform_core::RestoreError;
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::chain::Chain;
use super::{IN_FLIGHT_MAX, P9, is_answerable};

/// The state of a [`P9`]: the buffers of requests in flight, in the order they were
/// passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct P9State {
    pub(super) in_flight: Vec<Chain>,
}

impl P9 {
    pub(super) fn saved(&self) -> P9State {
        let Self {
            tag: _,
            port: _,
            next_id: _,
            unanswered: _,
            in_flight,
            orphans,
        } = self;
        P9State {
            in_flight: orphans.iter().chain(in_flight.values()).cloned().collect(),
        }
    }

    pub(super) fn restore(&mut self, state: P9State, ram: &Ram) -> Result<(), RestoreError> {
        let P9State { in_flight } = state;
        let name = Self::NAME;
        if in_flight.len() > IN_FLIGHT_MAX {
            return Err(RestoreError::Damaged {
                name,
                reason: "more requests are in flight than can be".to_owned(),
            });
        }
        let valid = |chain: &Chain| chain.is_valid(ram) && is_answerable(chain);
        if !in_flight.iter().all(valid) {
            return Err(RestoreError::Damaged {
                name,
                reason: "a request in flight could not be answered".to_owned(),
            });
        }
        self.in_flight.clear();
        self.orphans = in_flight;
        Ok(())
    }
}
