//! `.deb` packages: the ar archive, tar members, xz and zstd; and packages read for
//! what they should hold.

use isoform_images::initramfs::{read_busybox_package, read_kernel_package};
use isoform_images::unpack::{deb_files, read_whole, unxz, unzstd};

/// No file of a package is read beyond this.
const LIMIT: u64 = 1 << 20;

/// Reads `data` as a package, and as what is in one.
pub fn run(data: &[u8]) {
    let _ = deb_files(data, "fuzz", |_, size, content| {
        let _ = read_whole(content, size, LIMIT);
        Ok(())
    });
    let _ = read_kernel_package(data, "fuzz");
    let _ = read_busybox_package(data, "fuzz");
    for unpacked in [unxz(data, LIMIT), unzstd(data, LIMIT)]
        .into_iter()
        .flatten()
    {
        assert!(unpacked.len() as u64 <= LIMIT);
    }
}
