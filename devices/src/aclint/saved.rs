//! Saved state of MSWI and MTIMER.

use std::sync::atomic::Ordering;

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::{Aclint, Hart};

/// The guest-visible state of an [`Aclint`]. MTIME itself is the clock's affair; the
/// offset to it is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclintState {
    offset: u64,
    harts: Vec<HartState>,
}

/// The registers of one hart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HartState {
    msip: bool,
    mtimecmp: u64,
}

impl Saved for Aclint {
    type State = AclintState;
    const NAME: &'static str = "aclint";
    const VERSION: u16 = 1;

    fn state(&self) -> AclintState {
        let Self {
            clock: _,
            time_written: _,
            lines: _,
            offset,
            harts,
        } = self;
        AclintState {
            offset: offset.load(Ordering::SeqCst),
            harts: harts
                .iter()
                .map(|hart| {
                    let &Hart {
                        msip,
                        mtimecmp,
                        due: _,
                    } = hart;
                    HartState { msip, mtimecmp }
                })
                .collect(),
        }
    }

    fn set_state(&mut self, state: AclintState) -> Result<(), RestoreError> {
        let AclintState { offset, harts } = state;
        if harts.len() != self.harts.len() {
            return Err(RestoreError::Mismatch {
                name: Self::NAME,
                reason: format!(
                    "it is for {} harts, this machine has {}",
                    harts.len(),
                    self.harts.len()
                ),
            });
        }
        self.harts = harts
            .into_iter()
            .map(|HartState { msip, mtimecmp }| Hart {
                msip,
                mtimecmp,
                due: None,
            })
            .collect();
        self.offset.store(offset, Ordering::SeqCst);
        (self.time_written)();
        self.sync();
        Ok(())
    }
}
