//! What depends on the host's architecture: how distances are written into code, how a
//! jump is changed while others may be executing it, and how code is made visible to
//! whoever executes it.
//!
//! Encodings are known of all hosts on all hosts, so that they can be tested and code
//! be explained; what a host itself must do ([`check`], [`written`], [`synchronise`])
//! is chosen here.

mod aarch64;
mod barrier;
mod x86_64;

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::isa::CallConv;
use serde::{Deserialize, Serialize};

pub(crate) use barrier::synchronise;
pub(crate) use x86_64::assembler;

/// How a distance is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Distance {
    /// Four bytes, little-endian (x86-64).
    Bytes4,
    /// Bits 25:0 of an instruction, in words of four bytes (AArch64 `B` and `BL`).
    Branch26,
}

/// A jump that has been made ready to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changeable {
    /// The address of the four bytes that change.
    pub(crate) at: usize,
    /// What leads to the target that it was made ready with, from near enough.
    pub(crate) home: usize,
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
            Distance::Branch26 => aarch64::with_distance(*place, distance)?,
        };
        Some(())
    }

    /// Adds code that leads to a target that is too far from `code`, which will lie at
    /// `base`; gives where it will lie. `None` where the host has no need of that.
    pub(crate) fn veneer(self, code: &mut Vec<u8>, base: usize, target: usize) -> Option<usize> {
        match self {
            Distance::Bytes4 => None,
            Distance::Branch26 => aarch64::veneer(code, base, target),
        }
    }

    /// Leads the jump whose distance lies at `offset` of code that will be at `base` to
    /// `target`, so that it can be changed later.
    pub(crate) fn prepare(
        self,
        code: &mut Vec<u8>,
        base: usize,
        offset: usize,
        target: usize,
    ) -> Option<Changeable> {
        match self {
            Distance::Bytes4 => x86_64::prepare(code, base, offset, target),
            Distance::Branch26 => aarch64::prepare(code, base, offset, target),
        }
    }

    /// The four bytes at `at` with which a jump leads to `target`. `None` where it does
    /// not reach.
    pub(crate) fn jump(self, at: usize, target: usize) -> Option<[u8; 4]> {
        match self {
            Distance::Bytes4 => x86_64::distance(at, target),
            Distance::Branch26 => aarch64::branch(at, target),
        }
    }
}

/// What common processors of this host's architecture have, as Cranelift names it.
pub(crate) fn common_features() -> &'static [&'static str] {
    match () {
        () if cfg!(target_arch = "x86_64") => x86_64::COMMON,
        () if cfg!(target_arch = "aarch64") => aarch64::COMMON,
        () => &[],
    }
}

/// The convention of calls after which no register but those for the stack is as before,
/// with parameters and results as in the `tail` convention: what the baseline compiler's
/// code needs of whoever enters it.
pub(crate) const PRESERVES_NOTHING: Option<CallConv> = match cfg!(target_arch = "x86_64") {
    true => Some(CallConv::Winch),
    false => None,
};

/// Whether the baseline compiler makes code for this host, whose features `has` knows: what
/// it writes is x86-64 alone.
pub(crate) fn has_baseline(has: impl Fn(&str) -> bool) -> bool {
    cfg!(target_arch = "x86_64") && x86_64::COUNTS.iter().all(|name| has(name))
}

/// Whether code can be published on this host, and why not; to be asked first.
pub(crate) fn check() -> Result<(), String> {
    let registered = barrier::register();
    if cfg!(target_arch = "x86_64") {
        // Fetches see all stores (Intel SDM 3A, "Self-Modifying Code"; AMD APM 2,
        // 7.6.1); the barrier only drops what a processor fetched ahead from code long
        // left.
        return Ok(());
    }
    if cfg!(target_arch = "aarch64") {
        let why = |e| format!("the kernel has no membarrier that processors fetch anew by: {e}");
        return registered.map_err(why);
    }
    Err("translated code is published on x86-64 and AArch64 hosts only".into())
}

/// Makes code visible to all processors' instruction fetches: `len` bytes that were
/// written at `written` and are executed at `executed`. Nobody knows of them yet.
pub(crate) fn written(written: *const u8, executed: *const u8, len: usize) {
    #[cfg(target_arch = "aarch64")]
    {
        aarch64::clean(written, executed, len);
        synchronise();
    }
    // On x86-64 stores are all it takes.
    let _ = (written, executed, len);
}

/// The same for four bytes of code that others may be executing. They may do so with the
/// old ones until they are synchronised.
pub(crate) fn changed(written: *const u8, executed: *const u8) {
    #[cfg(target_arch = "aarch64")]
    aarch64::clean(written, executed, 4);
    let _ = (written, executed);
}

/// Has no processor go on with what it fetched before a change, where [`changed`] alone
/// leaves that open.
pub(crate) fn settle_changes() {
    if cfg!(target_arch = "aarch64") {
        synchronise();
    }
}
