//! The second initramfs archive of `--exec`: the command, byte for byte.
//!
//! `/init` finds it as [`COMMAND_PATH`] and runs it as a shell script, so neither
//! quoting nor the kernel's limit of 128 KiB an argument comes between. Output
//! leaves through three named ports of a virtio console ([`OUT_PORT`],
//! [`ERR_PORT`], [`STATUS_PORT`]).

use crate::cpio::Archive;

/// Where `/init` looks for the command in the guest.
pub const COMMAND_PATH: &str = "/isoform/exec";
/// Name of the virtio console port that carries standard output, nothing else.
pub const OUT_PORT: &str = "isoform.out";
/// Name of the port that carries standard error.
pub const ERR_PORT: &str = "isoform.err";
/// Name of the port that carries the exit status at the end: decimal digits and
/// a newline.
pub const STATUS_PORT: &str = "isoform.status";
/// What belongs on the kernel's command line besides, to keep the console quiet
/// and the boot short.
///
/// A kernel that panics resets the machine at once, which ends the run: nobody is
/// there to look at it.
pub const EXEC_APPEND: &str = "quiet panic=-1";

/// A cpio archive to append to an image's initrd; the initrd's length is a
/// multiple of four, so nothing goes between.
pub fn exec_overlay(command: &[u8]) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.directory("isoform", 0o755);
    archive.file(COMMAND_PATH.trim_start_matches('/'), 0o644, command);
    // For /init, which puts them between the command and the ports.
    archive.fifo("isoform/out", 0o600);
    archive.fifo("isoform/err", 0o600);
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_inside_unchanged() {
        let command = b"printf '%s\\n' \"a  b\"\n\x01\xff'";
        let overlay = exec_overlay(command);
        assert!(overlay.windows(command.len()).any(|w| w == command));
        assert_eq!(overlay.len() % 4, 0);
    }
}
