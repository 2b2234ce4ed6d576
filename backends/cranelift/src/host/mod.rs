//! What depends on the host's architecture: how distances are written into code, and
//! how code is made visible to whoever executes it.

use cranelift_codegen::binemit::Reloc;
use serde::{Deserialize, Serialize};

/// How a distance is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Distance {
    /// Four bytes, little-endian (x86-64).
    Bytes4,
    /// Bits 25:0 of an instruction, in words of four bytes (AArch64 `B` and `BL`).
    Branch26,
}

impl Distance {
    /// As the compiler names it; `None` for what units do not contain.
    pub(crate) fn of(reloc: Reloc) -> Option<Self> {
        match reloc {
            Reloc::X86CallPCRel4 | Reloc::X86PCRel4 => Some(Distance::Bytes4),
            Reloc::Arm64Call => Some(Distance::Branch26),
            _ => None,
        }
    }

    /// Writes it. `None` where it does not fit, or is not within the code.
    pub(crate) fn write(self, code: &mut [u8], offset: usize, distance: i64) -> Option<()> {
        let place = code.get_mut(offset..)?.first_chunk_mut::<4>()?;
        *place = match self {
            Distance::Bytes4 => i32::try_from(distance).ok()?.to_le_bytes(),
            Distance::Branch26 => {
                let words = i32::try_from(distance >> 2).ok()?;
                if distance & 3 != 0 || !(-(1 << 25)..1 << 25).contains(&words) {
                    return None;
                }
                let opcode = u32::from_le_bytes(*place) & !0x03ff_ffff;
                (opcode | words as u32 & 0x03ff_ffff).to_le_bytes()
            }
        };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_written_where_they_fit() {
        let mut code = [0x90; 6];
        assert_eq!(Distance::Bytes4.write(&mut code, 1, -2), Some(()));
        assert_eq!(code, [0x90, 0xfe, 0xff, 0xff, 0xff, 0x90]);
        assert_eq!(Distance::Bytes4.write(&mut code, 3, 0), None);
        assert_eq!(Distance::Bytes4.write(&mut code, 0, 1 << 31), None);
        // `bl` to itself becomes one to the instruction before.
        let mut code = 0x9400_0000u32.to_le_bytes();
        assert_eq!(Distance::Branch26.write(&mut code, 0, -4), Some(()));
        assert_eq!(u32::from_le_bytes(code), 0x97ff_ffff);
        assert_eq!(Distance::Branch26.write(&mut code, 0, 2), None);
        assert_eq!(Distance::Branch26.write(&mut code, 0, 1 << 27), None);
    }
}
