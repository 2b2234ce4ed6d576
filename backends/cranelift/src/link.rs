//! Direct jumps from unit to unit within a page: where they are in the code, and how
//! they are led elsewhere while others may be executing them.
//!
//! A jump changes by one aligned store. That is on x86-64 hosts a 32-bit distance that
//! does not cross 8 bytes, which the processor fetches whole; where the compiler put it
//! across, the jump goes by a stub behind the unit that has it in place. On other hosts
//! no jump is changed: all lead to the dispatcher.

use crate::arena::Maps;

/// Whether jumps can be changed on this host.
pub(crate) const SUPPORTED: bool = cfg!(target_arch = "x86_64");

/// A jump that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Address of the distance, as it is executed.
    pub(crate) at: usize,
    /// Offset in the page that it leads to.
    pub(crate) to: u16,
}

/// Bytes of a distance.
const DISTANCE: usize = 4;
/// What the processor fetches whole.
const WHOLE: usize = 8;
/// Three bytes that do nothing, and the opcode of a jump by a distance.
const STUB: [u8; 4] = [0x0f, 0x1f, 0x00, 0xe9];
/// Where in the stub the jump begins.
const JUMP: usize = 3;

fn distance(from: usize, to: usize) -> Option<[u8; DISTANCE]> {
    let from = from.wrapping_add(DISTANCE);
    let distance = i32::try_from(to.wrapping_sub(from) as isize).ok()?;
    Some(distance.to_le_bytes())
}

/// Leads the jump whose distance lies at `offset` of code that will be at `base` to
/// `target`, so that it can be changed later; gives where its distance now is.
pub(crate) fn prepare(
    code: &mut Vec<u8>,
    base: usize,
    offset: usize,
    target: usize,
) -> Option<usize> {
    if offset % WHOLE <= WHOLE - DISTANCE {
        let bytes = distance(base + offset, target)?;
        code.get_mut(offset..offset + DISTANCE)?
            .copy_from_slice(&bytes);
        return Some(base + offset);
    }
    code.resize(code.len().next_multiple_of(WHOLE), 0xcc);
    let stub = code.len();
    code.extend(STUB);
    let at = base + code.len();
    code.extend(distance(at, target)?);
    let bytes = distance(base + offset, base + stub + JUMP)?;
    code.get_mut(offset..offset + DISTANCE)?
        .copy_from_slice(&bytes);
    Some(at)
}

impl Link {
    /// Leads the jump to an address in the same arena.
    pub(crate) fn lead_to(self, arena: &Maps, target: usize) {
        if let Some(bytes) = distance(self.at, target) {
            arena.change(self.at, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads_to(code: &[u8], base: usize, at: usize) -> usize {
        let bytes = code[at - base..at - base + 4].try_into().expect("4 bytes");
        (at + 4).wrapping_add(i32::from_le_bytes(bytes) as usize)
    }

    #[test]
    fn jumps_lead_to_their_targets_wherever_they_lie() {
        let base = 0x1_0000;
        for offset in 0..16 {
            let mut code = vec![0x90; 21];
            let at = prepare(&mut code, base, offset, 0x8000).expect("near");
            assert!(at % WHOLE <= WHOLE - DISTANCE, "changed by one store");
            assert_eq!(leads_to(&code, base, at), 0x8000);
            let first = leads_to(&code, base, base + offset);
            if at == base + offset {
                assert_eq!(code.len(), 21);
            } else {
                assert_eq!(code[first - base], 0xe9);
                assert_eq!(first + 1, at);
            }
        }
    }
}
