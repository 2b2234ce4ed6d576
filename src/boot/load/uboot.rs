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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(first: u32, says: &[u8]) -> Option<StartMode> {
        let mut bytes = vec![0; 16];
        bytes.extend(first.to_le_bytes());
        bytes.extend([0; 100]);
        bytes.extend(says);
        let source = Source::from_bytes("u-boot.bin", bytes.clone());
        start_mode(&source, &bytes).expect("bytes can be read")
    }

    #[test]
    fn builds_are_told_from_each_other_and_from_other_files() {
        let says = b"U-Boot 2025.01";
        assert_eq!(mode(MASK_S, says), Some(StartMode::Supervisor));
        assert_eq!(mode(MASK_M, says), Some(StartMode::Machine));
        assert_eq!(mode(MASK_S, b"another"), None);
        assert_eq!(mode(0, says), None);
        let empty = Source::from_static("nothing", &[]);
        assert_eq!(start_mode(&empty, &[]).expect("nothing to read"), None);
    }
}
