//! Interrupts as messages: a kernel finds APLIC and IMSICs, and a disk on the PCI bus sends
//! its own.

use crate::image::{DEBIAN, debian, skip};
use crate::program::{isoform_run, run};
use std::path::Path;

/// Debian's OpenSBI, where it is installed.
const OPENSBI: &str = "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin";

/// Reads a disk on the PCI bus; how many of its interrupts, and of a serial line's, came as
/// messages.
fn read_a_disk(args: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    std::fs::write(&disk, vec![7; 4 << 20]).expect("written");
    let drive = format!("file={},format=raw,bus=pcie.0", disk.display());
    let command = "dd if=/dev/vda bs=64k 2> /dev/null | md5sum > /tmp/sum
        read sum rest < /tmp/sum; echo $sum
        grep -c 'PCI-MSIX.* virtio0-req' /proc/interrupts
        awk '/virtio0-req/ { n += $2 + $3 } /ttyS0/ { print $4 } END { print (n > 0) }' \
            /proc/interrupts | sort";
    let mut command_line = isoform_run();
    command_line.arg(DEBIAN).args(args).args(["--smp", "2"]);
    command_line.args(["--machine", "virt,aia=aplic-imsic", "--drive", &drive]);
    let ran = run(command_line.args(["--exec", command]));
    let out = String::from_utf8_lossy(&ran.out).into_owned();
    let mut lines = out.lines();
    // Four MiB of sevens, by md5sum(1).
    let sum = lines.next().unwrap_or_default();
    assert_eq!(sum.len(), 32, "{out}{}", ran.err);
    assert_eq!(
        lines.next(),
        Some("2"),
        "a queue for each hart: {out}{}",
        ran.err
    );
    assert_eq!(lines.next(), Some("1"), "no interrupt came: {out}");
    let serial = lines.next().unwrap_or_default();
    assert!(serial.starts_with("APLIC-MSI-"), "{out}");
    assert_eq!(ran.status, 0, "{}", ran.err);
}

#[test]
fn a_disk_sends_messages() {
    if debian("a_disk_sends_messages").is_some() {
        read_a_disk(&[]);
    }
}

#[test]
fn firmware_sets_up_messages() {
    let test = "firmware_sets_up_messages";
    if debian(test).is_none() {
        return;
    }
    if !Path::new(OPENSBI).exists() {
        return skip(test, &format!("there is no {OPENSBI}"));
    }
    read_a_disk(&["--bios", OPENSBI]);
}
