//! Systems on disks that say themselves how they boot.

use crate::ext4;
use crate::image::{DEBIAN, debian};
use crate::program::{Process, Stream, isoform_run};
use crate::session::Session;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A menu whose default is not its first entry.
const MENU: &str = "default good\ntimeout 10\nlabel bad\n\tlinux /boot/missing\n\
                    label good\n\tlinux /boot/kernel\n\tinitrd ../initrd\n\
                    \tappend console=ttyS0 quiet from=menu\n";

/// An ext4 disk with the image's kernel and initrd, and a menu.
fn boot_disk(test: &str, folder: &Path) -> Option<std::path::PathBuf> {
    let image = debian(test)?;
    let boot = folder.join("root/boot");
    fs::create_dir_all(boot.join("extlinux")).expect("a folder");
    fs::write(boot.join("extlinux/extlinux.conf"), MENU).expect("written");
    fs::copy(&image.kernel, boot.join("kernel")).expect("copied");
    fs::copy(&image.initrd, boot.join("initrd")).expect("copied");
    let disk = folder.join("disk");
    ext4::make(test, &folder.join("root"), &disk, "128M")?;
    Some(disk)
}

#[test]
fn a_disk_boots_what_its_menu_says() {
    let test = "a_disk_boots_what_its_menu_says";
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = boot_disk(test, folder.path()) else {
        return;
    };
    let mut command = isoform_run();
    command.arg(&disk).args(["--append", "more=said"]);
    let mut session = Session::on_pipes(command.stderr(Stdio::piped()));
    session.expect("powers the machine off.");
    session.keys(b"cat /proc/cmdline; ls /sys/class/block\n");
    session.expect("console=ttyS0 quiet from=menu more=said");
    session.expect("vda");
    session.keys(b"exit\n");
    assert!(session.end().success());
}

#[test]
#[ignore = "installs a whole system, which takes minutes"]
fn a_system_is_made_and_lasts() {
    let test = "a_system_is_made_and_lasts";
    let Some(_) = debian(test) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk.img");
    let mut build = Command::new(env!("CARGO_BIN_EXE_isoform"));
    build.args(["image", "build", DEBIAN, "--packages", "tree"]);
    build
        .args(["--size", "2G", "--hostname", "box-1", "-o"])
        .arg(&disk);
    let mut build = Process::start(build.stdin(Stdio::null()).stderr(Stdio::piped()));
    // Step by step, for the whole may take longer than anything else.
    let said = Stream::of(build.0.stderr.take().expect("piped")).rest();
    let said = String::from_utf8_lossy(&said);
    assert!(build.wait().success(), "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 1);
    // The second time, what was written the first time is there.
    for (command, answer) in [
        ("echo kept > ~/kept; tree --version", "tree v"),
        ("cat ~/kept", "kept"),
    ] {
        let mut boot = isoform_run();
        boot.arg(DEBIAN).arg("--disk").arg(&disk);
        let mut session = Session::on_pipes(&mut boot);
        session.expect("box-1 login: ");
        session.keys(b"root\n");
        session.expect("root@box-1:~# ");
        session.keys(format!("{command}\n").as_bytes());
        session.expect(&format!("\n{answer}"));
        session.keys(b"systemctl --failed | tail -n 1\n");
        session.expect("0 loaded units listed.");
        session.keys(b"poweroff\n");
        assert!(session.end().success());
    }
    // By firmware and GRUB, which finds the root wherever the disk is.
    for (firmware, bus) in [("edk2", "bus=pcie.0"), ("u-boot", "bus=0")] {
        let mut boot = isoform_run();
        boot.arg(format!("{firmware}:riscv64")).arg("--drive");
        boot.arg(format!("file={},{bus}", disk.display()));
        let mut session = Session::on_pipes(&mut boot);
        session.expect("GNU GRUB");
        session.expect("box-1 login: ");
        session.keys(b"root\n");
        session.expect("root@box-1:~# ");
        session.keys(b"cat /proc/cmdline ~/kept; ls /sys/firmware/efi\n");
        session.expect("root=UUID=");
        session.expect("\nkept");
        session.expect("fw_platform_size");
        session.keys(b"poweroff\n");
        assert!(session.end().success());
    }
}
