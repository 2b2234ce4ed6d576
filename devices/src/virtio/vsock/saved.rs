//! Saved state of the socket device. Connections are not in it: their other ends are
//! not, either.

use isoform_core::RestoreError;
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::Vsock;

/// The guest-visible state of a [`Vsock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockState {
    /// It is on sockets of the guest.
    guest_cid: u32,
}

impl Vsock {
    pub(super) fn saved(&self) -> VsockState {
        let Self {
            guest_cid,
            port: _,
            refused: _,
            arrived: _,
            hangs_up: _,
            unanswered: _,
            // So it is after every restore.
            was_restored: _,
        } = self;
        VsockState {
            guest_cid: *guest_cid,
        }
    }

    pub(super) fn put_back(&mut self, state: VsockState) -> Result<(), RestoreError> {
        let VsockState { guest_cid } = state;
        if guest_cid != self.guest_cid {
            return Err(RestoreError::Damaged {
                name: Self::NAME,
                reason: format!("it is of a guest with the CID {guest_cid}"),
            });
        }
        self.was_restored = true;
        self.hang_up();
        Ok(())
    }
}
