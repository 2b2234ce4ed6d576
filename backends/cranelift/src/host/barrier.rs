//! Has all processors that run this process's threads drop what they fetched ahead:
//! membarrier(2), `MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE`. Processors that run none
//! do so when they come to one.
//!
//! On AArch64 each processor that executes changed code needs a context synchronization
//! event of its own after the caches are clean (Arm ARM B2.2.5); on x86-64 a serializing
//! instruction, where the code was changed through another address (Intel SDM 3A,
//! "Handling Self- and Cross-Modifying Code" and "Self-Modifying Code").

use libc::{
    MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as SYNC_CORE,
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as REGISTER,
};
use std::io::{Error, Result};

fn membarrier(command: libc::c_int) -> Result<()> {
    let (flags, processor): (libc::c_uint, libc::c_int) = (0, 0);
    // SAFETY: the call takes three numbers, and changes nothing that a program sees.
    #[expect(unsafe_code, reason = "a system call without a wrapper")]
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, flags, processor) };
    match result {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Asks for [`synchronise`] to be possible; any number of times.
pub(super) fn register() -> Result<()> {
    membarrier(REGISTER)
}

/// After this, no thread of the process executes code as it was before.
///
/// Without effect where the kernel has no such thing: then [`super::check`] allows only
/// hosts that do without.
pub(crate) fn synchronise() {
    if let Err(e) = membarrier(SYNC_CORE) {
        log::debug!("processors are not made to fetch code anew: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_synchronised_where_the_kernel_can() {
        const QUERY: libc::c_int = libc::MEMBARRIER_CMD_QUERY;
        assert!(membarrier(-1).is_err(), "no such command");
        // Its answer is a set of commands, and so no success to `membarrier`.
        let known = membarrier(QUERY).is_err();
        if known && register().is_ok() {
            membarrier(SYNC_CORE).expect("once it is registered");
        }
    }
}
