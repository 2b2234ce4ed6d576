//! Debian's installer, started over the network by firmware that knows nothing of it.

use crate::image::{reached, skip};
use crate::program::isoform_run;
use crate::session::Session;
use crate::unpacked::take;
use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

const PACKAGE: &str = "debian-installer-13-netboot-riscv64";
/// What is served, in the package.
const TREE: &str = "usr/lib/debian-installer/images/13/riscv64/text/";
/// What is started first, in the tree.
const BOOTFILE: &str = "/debian-installer/riscv64/bootnetriscv64.efi";

/// The folder with the tree, or `None` and a word about it where no mirror can be
/// reached.
fn tree(test: &str) -> Option<&'static tempfile::TempDir> {
    static FOLDER: OnceLock<Result<tempfile::TempDir, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let files = reached(take(&[PACKAGE], |path| path.starts_with(TREE)))?;
        let folder = tempfile::tempdir().expect("a folder");
        for (path, bytes) in files {
            let to = folder.path().join(path.trim_start_matches(TREE));
            fs::create_dir_all(to.parent().expect("below the folder")).expect("a folder");
            fs::write(to, bytes).expect("written");
        }
        Ok(folder)
    });
    folder.as_ref().map_err(|why| skip(test, why)).ok()
}

/// Waits for the installer's first question.
///
/// Debian starts an installer on each console, and they may trip over each other, as its
/// `reopen-console` says: one's menu reads the packages' state while another's changes it,
/// finds none, and ends by a null pointer. Such a start tells nothing of the machine below,
/// so there is another one; not more than two.
fn asks(mut start: impl FnMut() -> Session) {
    const QUESTION: &str = "the language to be used for the installation process";
    const TRIPPED: &str = "]: unhandled signal 11 code 0x1 at 0x0000000000000008 in main-menu";
    for _ in 0..3 {
        match start().expect_one(&[QUESTION, TRIPPED]) {
            (0, _) => return,
            _ => println!("two installers tripped over each other"),
        }
    }
    panic!("the installers tripped over each other each time");
}

/// From reset by way of GRUB's menu to the installer's first question.
fn installs(test: &str, firmware: &str) {
    let Some(folder) = tree(test) else { return };
    let net = format!("user,tftp={},bootfile={BOOTFILE}", folder.path().display());
    let begun = Instant::now();
    asks(|| {
        let mut guest = Session::on_pipes(isoform_run().args([firmware, "--net", &net]));
        guest.expect("Advanced options");
        println!("from start to GRUB's menu: {:?}", begun.elapsed());
        guest.keys(b"\r");
        guest
    });
    println!("from start to the first question: {:?}", begun.elapsed());
}

#[test]
fn edk2_starts_the_installer_over_the_network() {
    let test = "edk2_starts_the_installer_over_the_network";
    installs(test, "edk2:riscv64");
}

#[test]
fn u_boot_starts_the_installer_over_the_network() {
    let test = "u_boot_starts_the_installer_over_the_network";
    installs(test, "u-boot:riscv64");
}

#[test]
fn the_installer_is_an_image_of_the_catalogue() {
    let test = "the_installer_is_an_image_of_the_catalogue";
    if tree(test).is_none() {
        return;
    }
    asks(|| Session::on_pipes(isoform_run().arg("debian-installer:riscv64")));
}
