//! Small packages, modules and archives with everything the real ones have that
//! matters here.

use std::collections::BTreeMap;
use std::io::Write as _;

use crate::digest::Sha256;

/// The kernel version of the fixtures.
pub(super) const VERSION: &str = "6.99-test";
/// What stands for the kernel image.
pub(super) const KERNEL: &[u8] = b"this is the kernel";
/// What stands for busybox.
pub(super) const BUSYBOX: &[u8] = b"this is busybox";
/// What stands for firmware, and for its variables.
pub(super) const FIRMWARE: [&[u8]; 2] = [b"this is code", b"these are variables"];

/// An `ar` archive.
pub(super) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let size = content.len();
        bytes.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
                0, 0, 0, "100644"
            )
            .bytes(),
        );
        bytes.extend_from_slice(content);
        if size % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A tar archive of regular files.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A package with these files, as `dpkg-deb` lays it out.
pub(super) fn deb(files: &[(&str, &[u8])]) -> Vec<u8> {
    deb_of_data(&xz(&tar(files)))
}

/// A package with this `data.tar.xz`.
pub(super) fn deb_of_data(data: &[u8]) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", &xz(&tar(&[]))),
        ("data.tar.xz", data),
    ])
}

/// A 64-bit little-endian ELF file with nothing but `.modinfo`.
pub(super) fn module(info: &str) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let modinfo = info.replace('\n', "\0");
    let (start, end) = (64, 64 + modinfo.len());
    let sections = (end + names.len()).next_multiple_of(8);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |elf: &mut Vec<u8>, v: u16| elf.extend(v.to_le_bytes());
    half(&mut elf, 1); // relocatable
    half(&mut elf, 243); // RISC-V
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0; 16]); // entry, program headers
    elf.extend((sections as u64).to_le_bytes());
    elf.extend([0; 4]);
    for v in [64, 0, 0, 64, 3, 2] {
        half(&mut elf, v);
    }
    elf.extend_from_slice(modinfo.as_bytes());
    elf.extend_from_slice(names);
    elf.resize(sections, 0);
    elf.extend([0; 64]);
    for (name, kind, offset, size) in [
        (1_u32, 1_u32, start, modinfo.len()),
        (10, 3, end, names.len()),
    ] {
        elf.extend(name.to_le_bytes());
        elf.extend(kind.to_le_bytes());
        for v in [0, 0, offset as u64, size as u64, 0, 1, 0] {
            elf.extend(u64::to_le_bytes(v));
        }
    }
    elf
}

/// The kernel package: what an image wants, part of it built in.
pub(super) fn kernel_deb() -> Vec<u8> {
    let root = format!("./usr/lib/modules/{VERSION}");
    let mut files = vec![
        (format!("./boot/vmlinux-{VERSION}"), KERNEL.to_vec()),
        (format!("./boot/config-{VERSION}"), b"CONFIG_X=y".to_vec()),
        (
            format!("{root}/modules.builtin"),
            b"kernel/drivers/char/virtio_console.ko\n".to_vec(),
        ),
    ];
    for (path, info) in [
        (
            "drivers/virtio/virtio_mmio",
            "alias=of:N*T*Cvirtio,mmio\ndepends=",
        ),
        ("drivers/virtio/virtio_balloon", "depends="),
        ("drivers/virtio/virtio_pci", "depends="),
        ("net/packet/af_packet", "depends="),
        ("fs/fat/vfat", "depends=fat"),
        ("fs/fat/fat", "depends="),
        ("fs/nls/nls_cp437", "depends="),
        ("fs/nls/nls_ascii", "depends="),
        ("drivers/char/hw_random/virtio-rng", "depends="),
        (
            "drivers/block/virtio_blk",
            "alias=virtio:d00000002v*\ndepends=",
        ),
        ("drivers/nvme/host/nvme", "depends=nvme-core"),
        ("drivers/nvme/host/nvme-core", "depends="),
        ("drivers/net/virtio_net", "depends=net_failover"),
        ("drivers/net/net_failover", "depends=failover"),
        ("net/core/failover", "depends="),
        (
            "fs/ext4/ext4",
            "softdep=pre: crypto-crc32c post: nothing\nalias=fs-ext4\ndepends=jbd2,crc16",
        ),
        ("fs/jbd2/jbd2", "depends="),
        ("lib/crc16", "depends="),
        (
            "crypto/crc32c_generic",
            "alias=crc32c\nalias=crypto-crc32c\ndepends=",
        ),
        ("fs/9p/9p", "depends=9pnet"),
        ("net/9p/9pnet", "depends="),
        ("net/9p/9pnet_virtio", "depends=9pnet"),
        (
            "net/vmw_vsock/vmw_vsock_virtio_transport",
            "alias=virtio:d00000013v*\ndepends=vsock",
        ),
        ("net/vmw_vsock/vsock", "depends="),
        ("drivers/gpu/huge", "depends="),
    ] {
        files.push((
            format!("{root}/kernel/{path}.ko.xz"),
            xz(&module(&format!("{info}\n"))),
        ));
    }
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(p, c)| (p.as_str(), c.as_slice()))
        .collect();
    deb(&files)
}

/// Busybox's package.
pub(super) fn busybox_deb() -> Vec<u8> {
    deb(&[("./usr/bin/busybox", BUSYBOX), ("./usr/share/doc/x", b"x")])
}

/// The package of firmware for flash, with more than is wanted of it.
pub(super) fn firmware_deb() -> Vec<u8> {
    let [code, variables] = FIRMWARE;
    deb(&[
        ("./usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd", variables),
        ("./usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", code),
        ("./usr/share/doc/x", b"x"),
    ])
}

/// The files of an archive, by path.
#[derive(Clone)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) release: String,
}

pub(super) const KERNEL_PATH: &str = "pool/main/l/linux/linux-image.deb";
pub(super) const BUSYBOX_PATH: &str = "pool/main/b/busybox/busybox.deb";
pub(super) const FIRMWARE_PATH: &str = "pool/main/e/edk2/qemu-efi-riscv64.deb";
pub(super) const RELEASE_PATH: &str = "dists/trixie/InRelease";
pub(super) const PACKAGES_PATH: &str = "dists/trixie/main/binary-riscv64/Packages.xz";

impl Tree {
    /// A complete archive of `trixie`, signed by nobody.
    pub(super) fn new() -> Tree {
        Tree::of(kernel_deb(), busybox_deb())
    }

    pub(super) fn of(kernel: Vec<u8>, busybox: Vec<u8>) -> Tree {
        let firmware = firmware_deb();
        let packages = format!(
            "Package: linux-image-riscv64\nVersion: 6.99\nDepends: linux-image-{VERSION} (= 6.99)\n\
             Filename: pool/none.deb\nSize: 0\nSHA256: {}\n\n{}{}{}{}",
            Sha256::of(b""),
            package(
                &format!("linux-image-{VERSION}"),
                "6.99",
                KERNEL_PATH,
                &kernel
            ),
            package("linux-image-6.1-old", "6.1", "pool/old.deb", b""),
            package("busybox-static", "1:1.37", BUSYBOX_PATH, &busybox),
            package("qemu-efi-riscv64", "2025.02", FIRMWARE_PATH, &firmware),
        );
        let packages = xz(packages.as_bytes());
        let sum = Sha256::of(&packages);
        let release = format!(
            "Origin: Debian\nSuite: stable\nCodename: trixie\nVersion: 13.7\nDate: today\n\
             Acquire-By-Hash: yes\nArchitectures: all riscv64\nSHA256:\n {sum} {} main/binary-riscv64/Packages.xz\n",
            packages.len()
        );
        let by_hash = format!("dists/trixie/main/binary-riscv64/by-hash/SHA256/{sum}");
        let files = [
            (RELEASE_PATH.to_owned(), clear_signed(&release).into_bytes()),
            (PACKAGES_PATH.to_owned(), packages.clone()),
            (by_hash, packages),
            (KERNEL_PATH.to_owned(), kernel),
            (BUSYBOX_PATH.to_owned(), busybox),
            (FIRMWARE_PATH.to_owned(), firmware),
        ];
        Tree {
            files: files.into_iter().collect(),
            release,
        }
    }

    /// The same with other words in its release.
    pub(super) fn with_release(mut self, from: &str, to: &str) -> Tree {
        let changed = self.release.replace(from, to);
        assert_ne!(changed, self.release);
        self.files
            .insert(RELEASE_PATH.to_owned(), clear_signed(&changed).into_bytes());
        self
    }

    /// The name of the by-hash copy of `Packages.xz`.
    pub(super) fn by_hash_path(&self) -> String {
        self.files
            .keys()
            .find(|path| path.contains("by-hash"))
            .unwrap()
            .clone()
    }
}

fn package(name: &str, version: &str, path: &str, content: &[u8]) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nFilename: {path}\nSize: {}\nSHA256: {}\n\n",
        content.len(),
        Sha256::of(content)
    )
}

/// In the form of a clear-signed text, without a signature worth the name.
pub(super) fn clear_signed(text: &str) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}-----BEGIN PGP SIGNATURE-----\n\n\
         iQ==\n=abcd\n-----END PGP SIGNATURE-----\n"
    )
}
