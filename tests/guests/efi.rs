//! Disks that boot by UEFI alone: GRUB on an EFI system partition, started by EDK2 and by
//! U-Boot, and what is said where neither is there.

use crate::fat;
use crate::image::{debian, reached, skip};
use crate::program::{isoform_run, run};
use crate::session::Session;
use crate::unpacked::{GRUB, OPENSBI, UBOOT, firmware};
use isoform_images::{Options, Silent};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// GRUB's menu where Debian's GRUB looks for it.
const MENU: &str = "echo the menu was read\nlinux /linux console=ttyS0 quiet from=grub\n\
                    initrd /initrd\nboot\n";

/// A disk with nothing but an EFI system partition: GRUB, its menu, kernel and initrd.
fn disk(test: &str, folder: &Path) -> Option<PathBuf> {
    let (files, image) = (firmware(test)?, debian(test)?);
    let read = |path: &Path| fs::read(path).expect("read");
    let content = fat::system_partition(&[
        ("EFI/BOOT/BOOTRISCV64.EFI", &files[GRUB]),
        ("EFI/debian/grub.cfg", MENU.as_bytes()),
        ("linux", &read(&image.kernel)),
        ("initrd", &read(&image.initrd)),
    ]);
    let disk = folder.join("disk");
    fs::write(&disk, content).expect("written");
    Some(disk)
}

/// GRUB's menu was read, and Linux runs as an EFI program.
fn boots(command: &mut Command) {
    let mut guest = Session::on_pipes(command);
    guest.expect("the menu was read");
    guest.expect("~ # ");
    guest.keys(b"cat /proc/cmdline; ls /sys/firmware/efi; poweroff -f\n");
    guest.expect("from=grub");
    guest.expect("fw_platform_size");
    assert_eq!(guest.end().code(), Some(0));
}

#[test]
fn a_disk_that_only_firmware_boots_is_given_to_it() {
    let test = "a_disk_that_only_firmware_boots_is_given_to_it";
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = disk(test, folder.path()) else {
        return;
    };
    // In the cache at least, should it not be installed here.
    let edk2 = isoform_images::firmware("edk2:riscv64", &Options::new(&Silent));
    if let Err(why) = reached(edk2) {
        return skip(test, &why);
    }
    boots(isoform_run().arg(&disk));
}

#[test]
fn named_firmware_starts_a_disk_on_the_pci_bus_and_keeps_its_variables() {
    let test = "named_firmware_starts_a_disk_on_the_pci_bus_and_keeps_its_variables";
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = disk(test, folder.path()) else {
        return;
    };
    let variables = folder.path().join("variables");
    let mut command = isoform_run();
    command.args([
        "edk2:riscv64",
        "--machine",
        "virt,aia=aplic-imsic",
        "--pflash",
    ]);
    command.arg(&variables).arg("--drive");
    command.arg(format!("file={},bus=pcie.0", disk.display()));
    boots(&mut command);
    // EDK2 writes there what it found to boot from.
    let variables = fs::read(&variables).expect("made");
    let template = &firmware(test).expect("it was there")[crate::unpacked::EDK2_VARS];
    assert!(variables.len() == template.len() && variables != *template);
}

#[test]
fn u_boot_starts_the_same_disk_on_either_sbi() {
    let test = "u_boot_starts_the_same_disk_on_either_sbi";
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = disk(test, folder.path()) else {
        return;
    };
    let files = firmware(test).expect("it was there");
    let (uboot, opensbi) = (folder.path().join("u-boot"), folder.path().join("opensbi"));
    fs::write(&uboot, &files[UBOOT]).expect("written");
    fs::write(&opensbi, &files[OPENSBI]).expect("written");
    for bios in ["builtin".as_ref(), opensbi.as_os_str()] {
        let mut command = isoform_run();
        command.arg(&uboot).arg("--bios").arg(bios).arg("--drive");
        command.arg(format!("file={}", disk.display()));
        boots(&mut command);
    }
}

#[test]
fn a_disk_for_firmware_that_is_not_here_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = |name: &str, program: &str| {
        let path = folder.path().join(name);
        let program = format!("EFI/BOOT/{program}");
        let content = fat::system_partition(&[(&program, b"MZ")]);
        fs::write(&path, content).expect("written");
        path
    };
    let said = |disk: &Path| {
        let mut command = isoform_run();
        command.env("XDG_CACHE_HOME", folder.path()).arg(disk);
        let ran = run(command.args(["--timeout", "1"]));
        assert_ne!(ran.status, 0);
        ran.err
    };
    let other = said(&disk("other", "BOOTX64.EFI"));
    assert!(other.contains("is for another machine"), "{other}");
    assert!(other.contains("BOOTX64.EFI on partition 1"), "{other}");
    let ours = said(&disk("ours", "BOOTRISCV64.EFI"));
    let installed = Path::new("/usr/share/qemu-efi-riscv64").exists()
        || Path::new("/usr/share/qemu/edk2-riscv-code.fd").exists();
    let expected = match installed {
        true => "boots by EDK2",
        false => "apt install qemu-efi-riscv64",
    };
    assert!(ours.contains(expected), "{ours}");
}
