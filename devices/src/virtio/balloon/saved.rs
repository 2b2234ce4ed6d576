//! Saved state of the memory balloon. Any of its values is one that a driver could have
//! left.

use serde::{Deserialize, Serialize};

use super::Balloon;

/// The guest-visible state of a [`Balloon`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalloonState {
    num_pages: u32,
    actual: u32,
    poison_val: u32,
}

impl Balloon {
    pub(super) fn saved(&self) -> BalloonState {
        let Self {
            num_pages,
            actual,
            poison_val,
        } = *self;
        BalloonState {
            num_pages,
            actual,
            poison_val,
        }
    }

    pub(super) fn put_back(&mut self, state: BalloonState) {
        let BalloonState {
            num_pages,
            actual,
            poison_val,
        } = state;
        *self = Self {
            num_pages,
            actual,
            poison_val,
        };
    }
}
