//! Code that has no address yet: it can lie in any arena, in this process or a later
//! one, once its distances to others are written in.

use crate::abi::Name;
use crate::host::Distance;
use serde::{Deserialize, Serialize};

/// What the compiler makes of a unit or a stub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) code: Vec<u8>,
    pub(crate) relocations: Vec<Relocation>,
}

/// A distance that is to be written into code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Relocation {
    /// Where, from the start of the code.
    pub(crate) offset: u32,
    /// How it is written.
    pub(crate) distance: Distance,
    /// To be added to the target.
    pub(crate) addend: i32,
    /// What it leads to.
    pub(crate) to: Name,
}

impl Relocation {
    /// Writes the distance into code that will lie at `base`. `None` where it does not
    /// fit, or is not within the code.
    pub(crate) fn apply(&self, code: &mut [u8], base: usize, target: usize) -> Option<()> {
        let at = base.wrapping_add(self.offset as usize);
        let target = (target as i64).wrapping_add(self.addend.into());
        let distance = target.wrapping_sub(at as i64);
        self.distance.write(code, self.offset as usize, distance)
    }
}
