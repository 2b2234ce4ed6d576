//! A root file system on a disk, and what becomes of disks.

use crate::ext4;
use crate::image::{DEBIAN, debian};
use crate::program::{Ran, isoform_run, run};
use isoform_images::Image;
use isoform_images::cache::Cache;
use isoform_images::initramfs::read_busybox_package;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The disk's first process: says what it sees, writes to its root and to two more
/// disks, and powers off.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
echo "process $$ of the disk"
grep ' / ' /proc/mounts
echo changed > /etc/motd && sync && cat /etc/motd
dd if=/etc/motd of=/dev/vdb bs=512 seek=3 conv=notrunc,sync 2> /dev/null && sync && echo written
dd if=/etc/motd of=/dev/vdc 2> /dev/null || echo refused
poweroff -f
"#;

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// The image's busybox, from its package in the cache.
fn busybox() -> Vec<u8> {
    let cache = Cache::locate(None, |name| std::env::var(name).ok()).expect("a cache");
    let manifest = cache
        .manifest("debian:riscv64")
        .expect("the image was fetched");
    let package = cache.object(manifest.busybox_package.sha256);
    let package = fs::File::open(package).expect("it is in the cache");
    read_busybox_package(package, "busybox-static").expect("it holds busybox")
}

/// An ext4 disk with busybox and [`INIT`] on it.
fn root_disk(test: &str, folder: &Path) -> Option<PathBuf> {
    let root = folder.join("root");
    for name in ["bin", "dev", "etc", "proc", "run", "sbin", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).expect("a folder");
    }
    write(&root.join("bin/busybox"), &busybox(), 0o755);
    write(&root.join("sbin/init"), INIT.as_bytes(), 0o755);
    write(&root.join("etc/motd"), b"as made\n", 0o644);
    let disk = folder.join("disk");
    ext4::make(test, &root, &disk, "32M")?;
    Some(disk)
}

/// Boots the disk, with two more: one to write and one that is read-only.
fn boot(image: &Image, root: &str, others: [&Path; 2]) -> Ran {
    let mut command = isoform_run();
    command
        .arg("--kernel")
        .arg(&image.kernel)
        .arg("--initrd")
        .arg(&image.initrd);
    command.args([
        "--append",
        "console=ttyS0 quiet root=/dev/vda rw",
        "--drive",
        root,
    ]);
    let [scratch, fixed] = others.map(Path::display);
    command.args(["--drive", &format!("file={scratch}")]);
    command.args(["--drive", &format!("file={fixed},readonly=on")]);
    run(&mut command)
}

#[test]
fn a_root_file_system_and_what_becomes_of_disks() {
    let test = "a_root_file_system_and_what_becomes_of_disks";
    let Some(image) = debian(test) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = root_disk(test, folder.path()) else {
        return;
    };
    let before = fs::read(&disk).expect("it was made");
    let [scratch, fixed] = ["scratch", "fixed"].map(|name| folder.path().join(name));
    fs::write(&scratch, [0xee; 4096]).expect("written");
    fs::write(&fixed, [0x11; 4096]).expect("written");

    let root = format!("file={},snapshot=on", disk.display());
    let ran = boot(image, &root, [&scratch, &fixed]);
    let out = String::from_utf8_lossy(&ran.out);
    assert_eq!(ran.status, 0, "{out}{}", ran.err);
    let said: Vec<&str> = out.lines().map(str::trim_end).collect();
    for line in ["process 1 of the disk", "changed", "written", "refused"] {
        assert!(said.contains(&line), "no `{line}` in {out}");
    }
    assert!(
        said.iter().any(|l| l.starts_with("/dev/vda / ext4 rw")),
        "{out}"
    );

    assert!(
        fs::read(&disk).expect("it is there") == before,
        "snapshot=on wrote to the file"
    );
    assert_eq!(fs::read(&fixed).expect("it is there"), [0x11; 4096]);
    let mut expected = [0xee; 4096];
    expected[3 * 512..4 * 512].fill(0);
    expected[3 * 512..][..8].copy_from_slice(b"changed\n");
    assert_eq!(fs::read(&scratch).expect("it is there"), expected);
}

#[test]
fn linux_drives_the_legacy_interface() {
    let test = "linux_drives_the_legacy_interface";
    if debian(test).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let content: Vec<u8> = (0..4096_u32).map(|n| (n * 7 % 251) as u8).collect();
    fs::write(&disk, &content).expect("written");
    let mut command = isoform_run();
    command.args([DEBIAN, "--machine", "virt,virtio-mmio=legacy", "--drive"]);
    command.arg(format!("file={}", disk.display()));
    command.args(["--exec", "cat /dev/vda; echo changed > /dev/vda; sync"]);
    let ran = run(&mut command);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out == content, "{} bytes", ran.out.len());
    let written = fs::read(&disk).expect("it is there");
    assert!(written.starts_with(b"changed\n"), "{:?}", &written[..16]);
}
