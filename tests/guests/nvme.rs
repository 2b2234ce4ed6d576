//! Disks behind NVMe controllers, with the drivers of Debian's kernel.

use crate::image::{DEBIAN, debian};
use crate::program::{isoform_run, run};
use std::fs;
use std::path::Path;

const MIB: usize = 1 << 20;

/// Content of which no two blocks are alike.
fn content(len: usize) -> Vec<u8> {
    let words = (0..len as u64 / 8).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}

/// What both harts do at once: one copies the first disk's first half to the second disk,
/// the other the second half. Then a part of it is discarded, and the third disk refuses to
/// be written. The rest tells how that went. The driver finds its controllers in the
/// background, and which name each gets is chance: they are told apart by their serial
/// numbers.
const SCRIPT: &str = "
    until [ -b /dev/nvme0n1 ] && [ -b /dev/nvme1n1 ] && [ -b /dev/nvme2n1 ]; do
        usleep 100000
    done
    for c in /sys/class/nvme/*; do
        read serial < $c/serial && eval $serial=/dev/${c##*/}n1
    done
    taskset 1 dd if=$first of=$second bs=512k count=16 conv=fsync 2> /dev/null &
    taskset 2 dd if=$first of=$second bs=512k count=16 skip=16 seek=16 conv=fsync 2> /dev/null
    wait
    blkdiscard -o 1048576 -l 2097152 $second && echo discarded
    dd if=/dev/zero of=$third bs=4k count=1 2> /dev/null || echo refused
    dmesg | grep -i nvme | grep -i -E 'error|timeout|fail|abort|reset'
    sed -n 's/nvme[0-9]*q/q/p' /proc/interrupts |
        awk '/q[12]$/ { print $4, $NF, ($2 + $3 > 0) }' | sort";

/// Runs the script; what it says line by line.
fn copy(folder: &Path, args: &[&str]) -> Vec<String> {
    let [from, to, fixed] = ["from", "to", "fixed"].map(|name| folder.join(name));
    fs::write(&from, content(16 * MIB)).expect("written");
    fs::write(&to, vec![0xee; 17 * MIB]).expect("written");
    fs::write(&fixed, vec![0x11; MIB]).expect("written");
    let mut command = isoform_run();
    command.arg(DEBIAN).args(args).args(["--smp", "2"]);
    for (file, options) in [
        (&from, "addr=4,serial=first,snapshot=on"),
        (&to, "addr=5,serial=second"),
        (&fixed, "addr=6,serial=third,readonly=on"),
    ] {
        let file = file.display();
        let drive = format!("file={file},format=raw,if=nvme,{options}");
        command.arg("--drive").arg(drive);
    }
    let ran = run(command.args(["--exec", SCRIPT]));
    assert_eq!(ran.status, 0, "{}", ran.err);
    let mut expected = content(16 * MIB);
    expected[MIB..3 * MIB].fill(0);
    expected.resize(17 * MIB, 0xee);
    assert!(fs::read(&to).expect("read") == expected, "{}", ran.err);
    assert!(fs::read(&fixed).expect("read") == [0x11; MIB]);
    let out = String::from_utf8_lossy(&ran.out);
    out.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn both_harts_copy_between_controllers_by_messages() {
    if debian("both_harts_copy_between_controllers_by_messages").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let said = copy(folder.path(), &["--machine", "virt,aia=aplic-imsic"]);
    let mut expected = vec!["discarded".to_owned(), "refused".to_owned()];
    for place in ["04", "05"] {
        let queues = [1, 2].map(|n| format!("PCI-MSIX-0000:00:{place}.0 q{n} 1"));
        expected.extend(queues);
    }
    // The third has done little.
    assert_eq!(said.get(..6), Some(&expected[..]), "{said:?}");
}

#[test]
fn both_harts_copy_between_controllers_by_pins() {
    if debian("both_harts_copy_between_controllers_by_pins").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let said = copy(folder.path(), &[]);
    assert_eq!(
        said.get(..2),
        Some(&["discarded", "refused"].map(String::from)[..])
    );
}
