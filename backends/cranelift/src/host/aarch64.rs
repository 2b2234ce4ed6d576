//! AArch64: a jump is one instruction, `B`, with a distance of 26 bits in words.
//!
//! `B` and `BL` are among the instructions that may be changed to one another while
//! others execute them: these execute the old one or the new one (Arm ARM B2.2.5,
//! "Concurrent modification and execution of instructions"). They reach 128 MiB; what
//! lies farther away is reached by a veneer behind the code, through `x16`, in which
//! neither Cranelift nor the procedure call standard keeps anything across a branch
//! (AAPCS64 6.1.1: IP0).

use super::Changeable;

/// What processors of servers and newer boards have beyond the first of Armv8.
pub(super) const COMMON: &[&str] = &["has_lse"];

const INSTRUCTION: usize = 4;
/// `B`, without its distance.
const B: u32 = 0x1400_0000;
const DISTANCE: u32 = 0x03ff_ffff;

/// An instruction that has a distance in its low 26 bits, with this one in bytes.
pub(super) fn with_distance(instruction: [u8; 4], distance: i64) -> Option<[u8; 4]> {
    let words = i32::try_from(distance >> 2).ok()?;
    if distance & 3 != 0 || !(-(1 << 25)..1 << 25).contains(&words) {
        return None;
    }
    let opcode = u32::from_le_bytes(instruction) & !DISTANCE;
    Some((opcode | words as u32 & DISTANCE).to_le_bytes())
}

/// `B` at `at` to `target`.
pub(super) fn branch(at: usize, target: usize) -> Option<[u8; 4]> {
    with_distance(B.to_le_bytes(), target.wrapping_sub(at) as i64)
}

/// `adrp x16, target; add x16, x16, #target mod 4096; br x16` at `at`: 4 GiB each way.
fn far_jump(at: usize, target: usize) -> Option<[u32; 3]> {
    const ADRP_X16: u32 = 0x9000_0010;
    const ADD_X16: u32 = 0x9100_0210;
    const BR_X16: u32 = 0xd61f_0200;
    let pages = (target >> 12).wrapping_sub(at >> 12) as i64;
    if !(-(1 << 20)..1 << 20).contains(&pages) {
        return None;
    }
    let pages = pages as u32;
    let adrp = ADRP_X16 | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5;
    Some([adrp, ADD_X16 | (target as u32 & 0xfff) << 10, BR_X16])
}

/// See [`super::Distance::veneer`].
pub(super) fn veneer(code: &mut Vec<u8>, base: usize, target: usize) -> Option<usize> {
    code.resize(code.len().next_multiple_of(INSTRUCTION), 0);
    let at = base + code.len();
    code.extend(far_jump(at, target)?.into_iter().flat_map(u32::to_le_bytes));
    Some(at)
}

/// See [`super::Distance::prepare`].
pub(super) fn prepare(
    code: &mut Vec<u8>,
    base: usize,
    offset: usize,
    target: usize,
) -> Option<Changeable> {
    let at = base + offset;
    if !at.is_multiple_of(INSTRUCTION) {
        return None;
    }
    let home = match branch(at, target) {
        Some(_) => target,
        None => veneer(code, base, target)?,
    };
    let bytes = branch(at, home)?;
    code.get_mut(offset..offset + INSTRUCTION)?
        .copy_from_slice(&bytes);
    Some(Changeable { at, home })
}

/// Makes bytes written at one address visible to fetches of all processors from another
/// (Arm ARM B2.4, and "Ordering and completion of data and instruction cache
/// instructions" in part D): data goes to the point of unification, then instruction caches forget
/// what they had. What processors have fetched already is another matter.
#[cfg(target_arch = "aarch64")]
pub(super) fn clean(written: *const u8, executed: *const u8, len: usize) {
    use std::arch::asm;

    const IDC: u64 = 1 << 28;
    const DIC: u64 = 1 << 29;
    let ctr: u64;
    // SAFETY: reads a register that user programs may read (the kernel emulates it where
    // processors differ).
    #[expect(unsafe_code, reason = "a register that has no name in Rust")]
    unsafe {
        asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags));
    }
    let lines = |start: *const u8, log_words: u64| {
        let line = 4usize << (log_words & 15);
        let start = start as usize;
        (start & !(line - 1)..start + len).step_by(line)
    };
    // Also where nothing is to be cleaned, stores come before what follows.
    // SAFETY: barriers, and maintenance of caches: no content of memory changes. The
    // addresses are within our mappings, or on the line of one that is.
    #[expect(unsafe_code, reason = "instructions that have no name in Rust")]
    unsafe {
        asm!("dsb ish", options(nostack, preserves_flags));
        if ctr & IDC == 0 {
            for line in lines(written, ctr >> 16) {
                asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
            }
            asm!("dsb ish", options(nostack, preserves_flags));
        }
        if ctr & DIC == 0 {
            for line in lines(executed, ctr) {
                asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
            }
            asm!("dsb ish", options(nostack, preserves_flags));
        }
        asm!("isb", options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Distance;
    use super::*;

    fn word(code: &[u8], offset: usize) -> u32 {
        u32::from_le_bytes(code[offset..offset + 4].try_into().expect("4 bytes"))
    }

    #[test]
    fn distances_are_written_where_they_fit() {
        // `bl` to itself becomes one to the instruction before.
        let mut code = 0x9400_0000u32.to_le_bytes();
        assert_eq!(Distance::Branch26.write(&mut code, 0, -4), Some(()));
        assert_eq!(u32::from_le_bytes(code), 0x97ff_ffff);
        assert_eq!(Distance::Branch26.write(&mut code, 0, 2), None);
        assert_eq!(Distance::Branch26.write(&mut code, 0, 1 << 27), None);
    }

    #[test]
    fn near_jumps_lead_there_themselves() {
        let mut code = [0x1400_0000u32; 2].map(u32::to_le_bytes).concat();
        let ready = prepare(&mut code, 0x1000_0000, 4, 0x1000_0000 - 12);
        let (at, home) = (0x1000_0004, 0x0fff_fff4);
        assert_eq!(ready, Some(Changeable { at, home }));
        assert_eq!((code.len(), word(&code, 4)), (8, 0x17ff_fffc));
        assert_eq!(prepare(&mut code, 0x1000_0000, 2, 0x1000_0000), None);
    }

    /// The words are those of GNU as and ld for `adrp x16, target; add x16, x16,
    /// :lo12:target; br x16` at these addresses.
    #[test]
    fn far_jumps_lead_there_by_a_veneer() {
        let mut code = [0x1400_0000u32, 0xd503_201f].map(u32::to_le_bytes).concat();
        let (base, target) = (0x4000_0000, 0x2000_2123);
        let ready = prepare(&mut code, base, 0, target).expect("within 4 GiB");
        let (at, home) = (base, base + 8);
        assert_eq!(ready, Changeable { at, home });
        assert_eq!(word(&code, 0), 0x1400_0002);
        let veneer = [8, 12, 16].map(|offset| word(&code, offset));
        assert_eq!(veneer, [0xd0f0_0010, 0x9104_8e10, 0xd61f_0200]);
        assert_eq!(prepare(&mut code, base, 0, base + (1 << 33)), None);
    }
}
