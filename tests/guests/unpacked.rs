//! Files of Debian's packages, as they are.

use crate::image::{reached, skip};
use isoform_images::unpack::{deb_files, read_whole};
use isoform_images::{Error, Options, Silent, packages};
use std::collections::HashMap;
use std::fs::File;
use std::sync::OnceLock;

pub(crate) const EDK2_CODE: &str = "usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd";
pub(crate) const EDK2_VARS: &str = "usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd";
pub(crate) const UBOOT: &str = "usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin";
pub(crate) const OPENSBI: &str = "usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin";
pub(crate) const GRUB: &str = "usr/lib/grub/riscv64-efi/monolithic/grubriscv64.efi";
/// Packages that have them.
const FIRMWARE: [&str; 4] = [
    "qemu-efi-riscv64",
    "u-boot-qemu",
    "opensbi",
    "grub-efi-riscv64-unsigned",
];
/// No file taken from a package is larger.
const LARGEST: u64 = 64 << 20;

/// Files by their paths.
pub(crate) type Files = HashMap<String, Vec<u8>>;

/// Takes files out of packages.
pub(crate) fn take(names: &[&str], wanted: impl Fn(&str) -> bool) -> Result<Files, Error> {
    let mut files = Files::new();
    for deb in packages(names, &Options::new(&Silent))? {
        let name = deb.display().to_string();
        let opened = File::open(&deb).expect("it is in the cache");
        deb_files(opened, &name, |path, size, content| {
            if wanted(path) {
                let bytes = read_whole(content, size, LARGEST);
                files.insert(path.into(), bytes.expect("a whole file"));
            }
            Ok(())
        })?;
    }
    Ok(files)
}

/// Firmware and boot loaders, or `None` and a word about it where no mirror can be
/// reached.
pub(crate) fn firmware(test: &str) -> Option<&'static Files> {
    static FILES: OnceLock<Result<Files, String>> = OnceLock::new();
    let wanted = |path: &str| [EDK2_CODE, EDK2_VARS, UBOOT, OPENSBI, GRUB].contains(&path);
    let files = FILES.get_or_init(|| reached(take(&FIRMWARE, wanted)));
    files.as_ref().map_err(|why| skip(test, why)).ok()
}
