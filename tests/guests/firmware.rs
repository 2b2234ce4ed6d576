//! Firmware that others built, as they built it: EDK2 (UEFI) from flash, and U-Boot.

use crate::ext4;
use crate::fat;
use crate::image::debian;
use crate::program::{isoform_run, run};
use crate::session::Session;
use crate::unpacked::{EDK2_CODE, EDK2_VARS, Files, UBOOT, firmware};
use isoform_images::Image;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A key that the boot menu and the shell's countdown listen to.
const ESCAPE: &[u8] = b"\x1b";

/// `isoform run` with EDK2's code and the folder's variables, made anew where there are
/// none.
fn edk2(files: &Files, folder: &Path) -> Command {
    let (code, vars) = (folder.join("code.fd"), folder.join("vars.fd"));
    for (path, name) in [(&code, EDK2_CODE), (&vars, EDK2_VARS)] {
        if !path.exists() {
            fs::write(path, &files[name]).expect("written");
        }
    }
    let mut command = isoform_run();
    command.arg("--pflash");
    command.arg(format!("{},readonly=on", code.display()));
    command.arg("--pflash").arg(vars);
    command
}

/// Past the shell's wait for a script.
fn to_shell(guest: &mut Session) {
    guest.expect("UEFI Interactive Shell");
    guest.expect("to skip");
    guest.keys(ESCAPE);
    guest.expect("Shell> ");
}

#[test]
fn edk2_comes_to_its_shell_and_its_variables_stay() {
    let Some(files) = firmware("edk2_comes_to_its_shell_and_its_variables_stay") else {
        return;
    };
    const NAME: &str = "isoform -guid 8c3b0b5a-0a3c-4f0e-8f5e-1d2c3b4a5968";
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    let mut guest = Session::on_pipes(&mut edk2(files, folder.path()));
    guest.expect("RISC-V EDK2 firmware version");
    println!("from start to EDK2's banner: {:?}", begun.elapsed());
    to_shell(&mut guest);
    guest.keys(format!("setvar {NAME} -nv -bs =0x11eeffc0\r").as_bytes());
    guest.expect("Shell> ");
    let ask = |guest: &mut Session| {
        guest.keys(format!("setvar {NAME}\r").as_bytes());
        let said = guest.expect("Shell> ");
        // A number of four bytes, the lowest first.
        assert!(said.contains("C0 FF EE 11"), "{said}");
    };
    // Once in the same machine, started again, then in another.
    guest.keys(b"reset\r");
    to_shell(&mut guest);
    ask(&mut guest);
    guest.keys(b"reset -s\r");
    assert_eq!(guest.end().code(), Some(0));
    let mut guest = Session::on_pipes(&mut edk2(files, folder.path()));
    to_shell(&mut guest);
    ask(&mut guest);
    let code = fs::read(folder.path().join("code.fd")).expect("read");
    assert!(code == files[EDK2_CODE], "its own code is as it was");
}

#[test]
fn edk2_is_the_same_interpreted() {
    let test = "edk2_is_the_same_interpreted";
    let (Some(files), Some(image)) = (firmware(test), debian(test)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = edk2(files, folder.path());
    command.args(["--backend", "interp", "--append", "console=ttyS0 quiet"]);
    command.arg("--kernel").arg(&image.kernel);
    command.arg("--initrd").arg(&image.initrd);
    // A kernel beside the firmware is handed to it, and started as an EFI program.
    let mut guest = Session::on_pipes(&mut command);
    guest.expect("~ # ");
    guest.keys(b"ls /sys/firmware/efi; poweroff -f\n");
    guest.expect("fw_platform_size");
    assert_eq!(guest.end().code(), Some(0));
}

#[test]
fn edk2_starts_linux_from_a_disk() {
    edk2_starts_linux("edk2_starts_linux_from_a_disk", "if=virtio");
}

#[test]
fn edk2_starts_linux_from_nvme() {
    edk2_starts_linux("edk2_starts_linux_from_nvme", "if=nvme");
}

fn edk2_starts_linux(test: &str, options: &str) {
    let (Some(files), Some(image)) = (firmware(test), debian(test)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let read = |path: &Path| fs::read(path).expect("read");
    let script = b"fs0:\r\nlinux.efi initrd=\\initrd.img console=ttyS0 quiet\r\n";
    let content = fat::disk(&[
        ("startup.nsh", script),
        ("linux.efi", &read(&image.kernel)),
        ("initrd.img", &read(&image.initrd)),
    ]);
    fs::write(&disk, content).expect("written");
    let mut command = edk2(files, folder.path());
    command.arg("--drive");
    command.arg(format!("file={},readonly=on,{options}", disk.display()));
    let mut guest = Session::on_pipes(&mut command);
    guest.expect("~ # ");
    guest.keys(b"ls /sys/firmware/efi; poweroff -f\n");
    guest.expect("fw_platform_size");
    assert_eq!(guest.end().code(), Some(0));
}

/// A disk with ext4 from which U-Boot starts Linux as `extlinux.conf` says.
fn extlinux(test: &str, folder: &Path, image: &Image) -> Option<PathBuf> {
    let Image { kernel, initrd, .. } = image;
    let root = folder.join("root");
    fs::create_dir_all(root.join("extlinux")).expect("a folder");
    let conf = "default l\ntimeout 1\nlabel l\n  linux /linux\n  initrd /initrd\n  \
                append console=ttyS0 quiet\n";
    fs::write(root.join("extlinux/extlinux.conf"), conf).expect("written");
    fs::copy(kernel, root.join("linux")).expect("copied");
    fs::copy(initrd, root.join("initrd")).expect("copied");
    let (disk, part) = (folder.join("disk"), folder.join("part"));
    ext4::make(test, &root, &part, "128M")?;
    let part = fs::read(&part).expect("read");
    let mut content = fat::partitioned(0x83, (part.len() / 512) as u32);
    content.extend(part);
    fs::write(&disk, content).expect("written");
    Some(disk)
}

#[test]
fn uboot_has_a_prompt_and_starts_linux_from_a_disk() {
    let test = "uboot_has_a_prompt_and_starts_linux_from_a_disk";
    let (Some(files), Some(image)) = (firmware(test), debian(test)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let uboot = folder.path().join("u-boot.bin");
    fs::write(&uboot, &files[UBOOT]).expect("written");

    let mut guest = Session::on_pipes(isoform_run().arg(&uboot));
    guest.expect("Hit any key to stop autoboot");
    guest.keys(b" ");
    guest.expect("=> ");
    // Its flash commands: the second bank is written, and read as what was written.
    guest.keys(b"mw.l 90000000 12345678 400; protect off 1:0-1; erase 1:0-1\r");
    guest.expect("=> ");
    guest.keys(b"cp.b 90000000 20000100 1000; cmp.b 90000000 20000100 1000\r");
    guest.expect("Total of 4096 byte(s) were the same");
    guest.keys(b"poweroff\r");
    assert_eq!(guest.end().code(), Some(0));

    let Some(disk) = extlinux(test, folder.path(), image) else {
        return;
    };
    for options in ["if=virtio", "if=nvme"] {
        let drive = format!("file={},readonly=on,{options}", disk.display());
        let mut command = isoform_run();
        command.arg("--drive").arg(drive).arg(&uboot);
        let mut guest = Session::on_pipes(&mut command);
        guest.expect("~ # ");
        guest.keys(b"poweroff -f\n");
        assert_eq!(guest.end().code(), Some(0));
    }
}

#[test]
fn flash_that_cannot_be_used_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large");
    let file = fs::File::create(&large).expect("made");
    file.set_len((32 << 20) + 1).expect("sparse");
    let ran = run(isoform_run().arg("--pflash").arg(&large));
    assert_ne!(ran.status, 0);
    assert!(ran.err.contains("a flash bank holds 32 MiB"), "{}", ran.err);
    let mut thrice = isoform_run();
    for _ in 0..3 {
        thrice.arg("--pflash").arg(&large);
    }
    let ran = run(&mut thrice);
    assert!(ran.err.contains("2 flash banks"), "{}", ran.err);
}
