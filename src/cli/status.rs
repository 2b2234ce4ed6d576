//! Exit statuses, a promise to scripts.

use crate::config::Outcome;

/// All went well, or the guest powered off.
pub const OK: u8 = 0;
/// Something failed on the host.
pub const HOST_ERROR: u8 = 1;
/// `lockstep` found a difference.
pub const DIFFERENT: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// `--timeout` ended the run, as with timeout(1).
pub const TIMEOUT: u8 = 124;
/// Something failed on the host under `--exec`, where 1 may be the command's own, or in
/// `lockstep`, where it is a difference.
pub const EXEC_HOST_ERROR: u8 = 125;

/// The status for how a run ended. A guest's code above 255 cannot be expressed
/// and becomes 255, never a multiple of 256 that reads as success.
pub fn of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::PowerOff | Outcome::Reset | Outcome::Quit | Outcome::Dumped => OK,
        Outcome::Exit(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Outcome::Timeout => TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_code_never_turns_into_success() {
        assert_eq!(of(Outcome::Exit(0)), 0);
        assert_eq!(of(Outcome::Exit(3)), 3);
        assert_eq!(of(Outcome::Exit(255)), 255);
        assert_eq!(of(Outcome::Exit(256)), 255);
        assert_eq!(of(Outcome::Exit(u32::MAX)), 255);
        assert_eq!(of(Outcome::Timeout), TIMEOUT);
    }
}
