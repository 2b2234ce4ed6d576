//! U-Boot as a raw binary: recognised by what it says and does, since it has no header.

use super::payload::load_raw;
use super::{Entry, GuestWriter, LoadError, Source, StartMode};

/// What every build has among its constants, a year behind it.
const BANNER: &[u8] = b"U-Boot 20";
/// How much of a file is searched for that.
const SEARCHED: u64 = 8 << 20;
/// How far from the start U-Boot masks interrupts.
const START: usize = 64;
/// `csrw sie, zero`, which builds for S mode begin with.
const MASK_S: u32 = 0x1040_1073;
/// `csrw mie, zero`, which builds for M mode begin with.
const MASK_M: u32 = 0x3040_1073;
/// Where builds for S mode are linked to run, from the start of RAM.
const ABOVE_FIRMWARE: u64 = 2 << 20;

/// The mode that U-Boot is built for, where the file is one.
pub(super) fn start_mode(source: &Source, head: &[u8]) -> Result<Option<StartMode>, LoadError> {
    let start = head.get(..START).unwrap_or(head);
    let has = |insn: u32| start.windows(4).any(|w| *w == insn.to_le_bytes());
    let mode = match (has(MASK_S), has(MASK_M)) {
        (true, false) => StartMode::Supervisor,
        (false, true) => StartMode::Machine,
        _ => return Ok(None),
    };
    let bytes = source.read_up_to(0, SEARCHED)?;
    let named = bytes.windows(BANNER.len()).any(|w| w == BANNER);
    Ok(named.then_some(mode))
}

/// Puts it where it is linked to run.
pub(super) fn load(
    source: &Source,
    mode: StartMode,
    ram: &mut dyn GuestWriter,
) -> Result<Entry, LoadError> {
    let above = match mode {
        StartMode::Machine => 0,
        StartMode::Supervisor => ABOVE_FIRMWARE,
    };
    load_raw(source, above, "U-Boot", ram)
}
