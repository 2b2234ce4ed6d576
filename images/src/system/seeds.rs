//! What makes a system, before dependencies and the person's own wishes.

use crate::debian::packages::{Package, Priority};

/// Whether every system has it: without it Debian does not work.
pub(super) fn is_basic(package: &Package) -> bool {
    package.essential || package.priority == Priority::Required
}

/// What makes it a system to log in to, to reach by network, and to boot by any of
/// the ways there are.
pub(super) const BASE: &[&str] = &[
    "apt",
    "ca-certificates",
    "dbus",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "grub-efi-riscv64",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-systemd",
    "nano",
    "netbase",
    "openssh-server",
    "procps",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "u-boot-menu",
    "udev",
    "zstd",
];

/// What makes partitions and file systems before there is a system.
pub(super) const TOOLS: &[&str] = &["dosfstools", "e2fsprogs", "fdisk"];
