//! Debian's installer, started over the network by firmware that knows nothing of it.

use crate::image::{reached, skip};
use crate::program::isoform_run;
use crate::session::Session;
use crate::unpacked::take;
use std::fs;
use std::process::Command;
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

/// From reset by way of GRUB's menu to the installer's first question.
fn installs(test: &str, command: &mut Command) {
    let Some(folder) = tree(test) else { return };
    let net = format!("user,tftp={},bootfile={BOOTFILE}", folder.path().display());
    let begun = Instant::now();
    let mut guest = Session::on_pipes(command.args(["--net", &net]));
    guest.expect("Advanced options");
    println!("from start to GRUB's menu: {:?}", begun.elapsed());
    guest.keys(b"\r");
    guest.expect("the language to be used for the installation process");
    println!("from start to the first question: {:?}", begun.elapsed());
}

#[test]
fn edk2_starts_the_installer_over_the_network() {
    let test = "edk2_starts_the_installer_over_the_network";
    installs(test, isoform_run().arg("edk2:riscv64"));
}

#[test]
fn u_boot_starts_the_installer_over_the_network() {
    let test = "u_boot_starts_the_installer_over_the_network";
    installs(test, isoform_run().arg("u-boot:riscv64"));
}

#[test]
fn the_installer_is_an_image_of_the_catalogue() {
    let test = "the_installer_is_an_image_of_the_catalogue";
    if tree(test).is_none() {
        return;
    }
    let mut guest = Session::on_pipes(isoform_run().arg("debian-installer:riscv64"));
    guest.expect("the language to be used for the installation process");
}
