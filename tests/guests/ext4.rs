//! Disks with an ext4 file system.

use crate::image::skip;
use std::path::Path;
use std::process::Command;

/// Makes a disk of `size` with the content of a folder; `None`, and a word about it, where
/// nothing here can.
pub(crate) fn make(test: &str, folder: &Path, disk: &Path, size: &str) -> Option<()> {
    // It is not in everybody's PATH.
    let made = ["mkfs.ext4", "/sbin/mkfs.ext4"].iter().find_map(|mkfs| {
        let mut command = Command::new(mkfs);
        command.args(["-q", "-d"]).arg(folder).arg(disk).arg(size);
        command.output().ok()
    });
    let Some(output) = made else {
        skip(test, "there is no mkfs.ext4");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(())
}
