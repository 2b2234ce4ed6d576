//! Builds the initramfs: busybox, the kernel modules an image needs, `/init`.
//!
//! It is not compressed: Linux would spend more instructions on unpacking than on
//! copying, and a translated guest's instructions are the scarce thing here.

use std::io::Read;

use crate::cpio::Archive;
use crate::error::{Error, Malformed};
use crate::modules::{Module, Tree, modules_alias, modules_dep};
use crate::unpack::{deb_files, read_whole};

/// `/init`, which runs in the guest.
const INIT: &str = include_str!("../guest/init.sh");

/// What takes an address for a network card.
const UDHCPC: &str = include_str!("../guest/udhcpc.sh");

/// What /init mounts first. The options are those of Debian's own initramfs.
const FSTAB: &str = "\
proc /proc proc nosuid,nodev,noexec 0 0
sysfs /sys sysfs nosuid,nodev,noexec 0 0
devtmpfs /dev devtmpfs nosuid,mode=0755 0 0
tmpfs /run tmpfs nosuid,nodev,mode=0755 0 0
tmpfs /tmp tmpfs nosuid,nodev 0 0
";

/// What it mounts below /dev, once there are places for it.
const FSTAB_DEV: &str = "\
devpts /dev/pts devpts nosuid,noexec,gid=5,mode=620,ptmxmode=666 0 0
tmpfs /dev/shm tmpfs nosuid,nodev 0 0
";

/// Goes into the recipe's hash: counts up when an image is built otherwise from
/// the same packages.
const RECIPE_VERSION: &str = "1";

/// What an image may be asked to drive. The first of them is loaded by `/init`,
/// the others by what is there or by `mount`.
const WANTED: &[&str] = &[
    "virtio_mmio",
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "virtio_blk",
    "nvme",
    "virtio_net",
    "af_packet",
    "virtio_balloon",
    "ext4",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "9p",
    "9pnet_virtio",
    "vmw_vsock_virtio_transport",
];

/// Bulky trees that hold nothing of [`WANTED`]; they stay out of memory.
const SKIPPED: &[&str] = &[
    "kernel/drivers/gpu/",
    "kernel/drivers/media/",
    "kernel/drivers/net/ethernet/",
    "kernel/drivers/net/wireless/",
    "kernel/drivers/infiniband/",
    "kernel/drivers/scsi/",
    "kernel/drivers/staging/",
    "kernel/drivers/usb/",
    "kernel/drivers/iio/",
    "kernel/sound/",
];

const MAX_KERNEL: u64 = 1 << 30;
const MAX_BUSYBOX: u64 = 64 << 20;
const MAX_MODULE_FILE: u64 = 128 << 20;

/// What the kernel package contributes.
#[derive(Debug)]
pub struct Kernel {
    /// The version in its file names, e.g. `6.12.107+deb13-riscv64`.
    pub version: String,
    /// The bootable image (`/boot/vmlinux-VERSION` or `vmlinuz-VERSION`).
    pub image: Vec<u8>,
    /// Its modules.
    pub modules: Tree,
}

/// Everything that decides how packages become an initramfs; two equal recipes
/// make equal images of equal packages.
pub fn recipe() -> Vec<u8> {
    let wanted = WANTED.join(" ");
    [RECIPE_VERSION, INIT, UDHCPC, FSTAB, FSTAB_DEV, &wanted]
        .join("\0")
        .into_bytes()
}

/// Takes the kernel and its modules out of a `linux-image-*` package.
///
/// # Errors
/// A damaged package (named `name`), or one without a kernel.
pub fn read_kernel_package(deb: impl Read, name: &str) -> Result<Kernel, Error> {
    let mut found: Option<(String, Vec<u8>)> = None;
    let mut modules = Tree::default();
    deb_files(deb, name, |path, size, content| {
        let whole = |content: &mut dyn Read, limit| {
            read_whole(content, size, limit)
                .map_err(|why| Error::malformed(name, Malformed::new(format!("{path}: {why}"))))
        };
        if let Some(version) = kernel_version(path) {
            found = Some((version.to_owned(), whole(content, MAX_KERNEL)?));
        } else if let Some(path) = module_path(path) {
            if path == "modules.builtin" {
                modules.add_builtin(&whole(content, MAX_MODULE_FILE)?);
            } else if !SKIPPED.iter().any(|tree| path.starts_with(tree)) {
                modules.add(path, whole(content, MAX_MODULE_FILE)?);
            }
        }
        Ok(())
    })?;
    let (version, image) =
        found.ok_or_else(|| missing(name, "kernel (boot/vmlinux-* or boot/vmlinuz-*)"))?;
    Ok(Kernel {
        version,
        image,
        modules,
    })
}

/// Takes busybox out of its package.
///
/// # Errors
/// A damaged package (named `name`), or one without busybox.
pub fn read_busybox_package(deb: impl Read, name: &str) -> Result<Vec<u8>, Error> {
    let mut busybox = None;
    deb_files(deb, name, |path, size, content| {
        if matches!(path, "usr/bin/busybox" | "bin/busybox") {
            let bytes = read_whole(content, size, MAX_BUSYBOX)
                .map_err(|why| Error::malformed(name, why))?;
            busybox = Some(bytes);
        }
        Ok(())
    })?;
    busybox.ok_or_else(|| missing(name, "bin/busybox"))
}

/// The initramfs of `kernel` with `busybox`; `title` is greeted with.
///
/// # Errors
/// Modules that are missing or damaged, as [`Error::Malformed`] with the
/// `package`'s name.
pub fn build(
    kernel: &Kernel,
    busybox: &[u8],
    title: &str,
    package: &str,
) -> Result<Vec<u8>, Error> {
    let wanted: Vec<&str> = WANTED.to_vec();
    let modules = kernel
        .modules
        .closure(&wanted)
        .map_err(|why| Error::malformed(package, why))?;
    let mut archive = Archive::new();
    add_skeleton(&mut archive, title);
    archive.file("bin/busybox", 0o755, busybox);
    // The shell of /init's first line and the name the kernel calls; /init
    // has busybox make the other links.
    archive.symlink("bin/sh", "busybox");
    archive.symlink("bin/modprobe", "busybox");
    archive.file("init", 0o755, INIT.as_bytes());
    add_modules(&mut archive, &kernel.version, &modules);
    Ok(archive.finish())
}

fn add_skeleton(archive: &mut Archive, title: &str) {
    for path in [
        "bin", "dev", "etc", "lib", "proc", "run", "sys", "usr", "var", "mnt",
    ] {
        archive.directory(path, 0o755);
    }
    archive.directory("root", 0o700);
    archive.directory("tmp", 0o1777);
    for (path, target) in [
        ("sbin", "bin"),
        ("usr/bin", "../bin"),
        ("usr/sbin", "../bin"),
    ] {
        archive.symlink(path, target);
    }
    add_dev_template(archive);
    // The kernel opens /dev/console for /init before devtmpfs is mounted.
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.character_device("dev/null", 0o666, 1, 3);
    archive.file("etc/fstab", 0o644, FSTAB.as_bytes());
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\ntty:x:5:\n");
    archive.file("etc/hosts", 0o644, b"127.0.0.1 localhost isoform\n");
    archive.file(
        "etc/isoform-release",
        0o644,
        format!("{title}\n").as_bytes(),
    );
}

/// What /init copies into /dev when devtmpfs is there.
fn add_dev_template(archive: &mut Archive) {
    for path in [
        "lib/isoform",
        "lib/isoform/dev",
        "lib/isoform/dev/pts",
        "lib/isoform/dev/shm",
    ] {
        archive.directory(path, 0o755);
    }
    archive.symlink("lib/isoform/dev/fd", "/proc/self/fd");
    for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        archive.symlink(
            &format!("lib/isoform/dev/{name}"),
            &format!("/proc/self/fd/{number}"),
        );
    }
    archive.file("lib/isoform/fstab.dev", 0o644, FSTAB_DEV.as_bytes());
    archive.file("lib/isoform/udhcpc", 0o755, UDHCPC.as_bytes());
}

fn add_modules(archive: &mut Archive, version: &str, modules: &[Module]) {
    let mut folder = String::from("lib");
    for part in ["modules", version] {
        folder = format!("{folder}/{part}");
        archive.directory(&folder, 0o755);
    }
    let mut made = std::collections::BTreeSet::new();
    for module in modules {
        for (slash, _) in module.path.match_indices('/') {
            let parent = &module.path[..slash];
            if made.insert(parent.to_owned()) {
                archive.directory(&format!("{folder}/{parent}"), 0o755);
            }
        }
        archive.file(&format!("{folder}/{}", module.path), 0o644, &module.elf);
    }
    archive.file(
        &format!("{folder}/modules.dep"),
        0o644,
        modules_dep(modules).as_bytes(),
    );
    archive.file(
        &format!("{folder}/modules.alias"),
        0o644,
        modules_alias(modules).as_bytes(),
    );
}

fn kernel_version(path: &str) -> Option<&str> {
    let file = path.strip_prefix("boot/")?;
    file.strip_prefix("vmlinux-")
        .or_else(|| file.strip_prefix("vmlinuz-"))
}

/// `usr/lib/modules/VERSION/kernel/…` → `kernel/…`.
fn module_path(path: &str) -> Option<&str> {
    let path = path.strip_prefix("usr/").unwrap_or(path);
    path.strip_prefix("lib/modules/")?
        .split_once('/')
        .map(|(_, rest)| rest)
}

fn missing(package: &str, what: &str) -> Error {
    Error::Missing {
        whence: package.to_owned(),
        what: what.to_owned(),
    }
}
