//! Direct jumps from unit to unit within a page: where they are in the code, and how
//! they are led elsewhere while others may be executing them.
//!
//! A jump changes by one aligned store; what that looks like is the host's matter.

use crate::arena::Maps;
use crate::host::{Changeable, Distance};
use crate::object::Relocation;

/// A jump that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) jump: Changeable,
    pub(crate) distance: Distance,
    /// Offset in the page that it leads to.
    pub(crate) to: u16,
}

impl Link {
    /// The jump that a relocation names in code that will be at `base`, led to the
    /// dispatcher. `None` where the compiler made none that could be changed.
    pub(crate) fn prepare(
        relocation: &Relocation,
        to: u16,
        code: &mut Vec<u8>,
        base: usize,
        dispatcher: usize,
    ) -> Option<Self> {
        let Relocation {
            offset, distance, ..
        } = *relocation;
        let jump = distance.prepare(code, base, offset as usize, dispatcher)?;
        Some(Self { jump, distance, to })
    }

    /// Leads the jump to an address in the same arena; to the dispatcher where that is
    /// too far away.
    pub(crate) fn lead_to(self, arena: &Maps, target: usize) {
        let Changeable { at, home } = self.jump;
        let near = self.distance.jump(at, target);
        if let Some(bytes) = near.or_else(|| self.distance.jump(at, home)) {
            arena.change(at, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    #[test]
    fn jumps_lead_home_where_the_target_is_too_far() {
        let mut arena = Arena::new(4096).expect("memory");
        let at = arena.put(&[0; 64]).expect("room");
        let link = |distance| Link {
            jump: Changeable { at, home: at + 32 },
            distance,
            to: 0,
        };
        for (distance, limit) in [(Distance::Branch26, 1 << 27), (Distance::Bytes4, 1 << 31)] {
            let bytes = |target| distance.jump(at, target).expect("near");
            link(distance).lead_to(arena.maps(), at + 16);
            assert_eq!(arena.maps().read(at), bytes(at + 16));
            link(distance).lead_to(arena.maps(), at.wrapping_add(limit + 8));
            assert_eq!(arena.maps().read(at), bytes(at + 32));
        }
    }
}
