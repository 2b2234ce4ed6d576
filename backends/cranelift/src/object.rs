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
    /// Writes the distance into code that will lie at `base`, or one to a veneer behind
    /// it where that is too far. `None` where nothing fits, or it is not within the code.
    pub(crate) fn apply(&self, code: &mut Vec<u8>, base: usize, target: usize) -> Option<()> {
        if self.lead(code, base, target).is_some() {
            return Some(());
        }
        let veneer = self.distance.veneer(code, base, target)?;
        self.lead(code, base, veneer)
    }

    fn lead(&self, code: &mut [u8], base: usize, target: usize) -> Option<()> {
        let at = base.wrapping_add(self.offset as usize);
        let target = (target as i64).wrapping_add(self.addend.into());
        let distance = target.wrapping_sub(at as i64);
        self.distance.write(code, self.offset as usize, distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_far_is_reached_by_a_veneer() {
        let relocation = |distance| Relocation {
            offset: 0,
            distance,
            addend: 0,
            to: Name::Stub(1),
        };
        let bl = 0x9400_0000u32.to_le_bytes();
        let mut code = bl.to_vec();
        let (base, near) = (0x4000_0000, 0x4000_0100);
        let branch = relocation(Distance::Branch26);
        assert_eq!(branch.apply(&mut code, base, near), Some(()));
        assert_eq!(code, 0x9400_0040u32.to_le_bytes());
        assert_eq!(branch.apply(&mut code, base, 0), Some(()));
        assert_eq!((code.len(), &code[..4]), (16, &[1, 0, 0, 0x94][..]));
        // Four bytes reach all of an arena.
        let far = relocation(Distance::Bytes4).apply(&mut code, base, base + (1 << 32));
        assert_eq!(far, None);
    }
}
