//! Disks that are asked how they boot: any bytes, and a small ext2 and a small FAT file
//! system with any bytes of them changed.

use isoform::boot::disk::{find, find_efi, partition};
use isoform::boot::load::Source;

/// Bytes in a block of the file system.
const BLOCK: usize = 1024;
/// Its blocks.
const BLOCKS: usize = 16;
/// Where its parts are, in blocks.
const SUPERBLOCK: usize = 1;
const GROUPS: usize = 2;
const INODES: usize = 5;
const ROOT: usize = 7;
const KERNEL: usize = 8;
/// Number of the kernel's inode; the root's is 2.
const KERNEL_INODE: u32 = 11;
/// What the kernel's file holds.
const CONTENT: &[u8] = b"kernel";

/// Asks `data` itself, and a file system that each three bytes of it change in a place.
pub fn run(data: &[u8]) {
    let source = Source::from_bytes("fuzz", data.to_vec());
    let _ = find(&source);
    let _ = find_efi(&source);
    let system = Source::from_bytes("fuzz", changed(system_partition(), data));
    let efi = find_efi(&system).expect("memory can be read");
    if data.len() < 3 {
        let efi = efi.expect("it has a program");
        assert_eq!(efi.programs, ["BOOTX64.EFI"]);
    }
    let source = Source::from_bytes("fuzz", changed(file_system(), data));
    for partition in partition::partitions(&source).expect("memory can be read") {
        assert!(partition.start + partition.len <= source.len());
    }
    let found = find(&source);
    if data.len() < 3 {
        let found = found.expect("nothing is wrong").expect("it has a kernel");
        assert_eq!(found.kernel.head().expect("memory can be read"), CONTENT);
        assert!(found.append.starts_with("root=UUID="));
    }
}

/// The disk with a change for each three bytes.
fn changed(mut disk: Vec<u8>, data: &[u8]) -> Vec<u8> {
    for change in data.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let places = disk.len();
        disk[place % places] ^= change[2];
    }
    disk
}

/// A FAT12 file system of clusters of a sector, with a program in `/EFI/BOOT`.
fn system_partition() -> Vec<u8> {
    const SECTOR: usize = 512;
    let mut disk = vec![0; SECTOR * 32];
    let mut put = |at: usize, bytes: &[u8]| {
        disk[at..][..bytes.len()].copy_from_slice(bytes);
    };
    put(11, &[0, 2, 1, 1, 0, 1, 16, 0, 32, 0, 0xf8, 1, 0]);
    put(510, &[0x55, 0xaa]);
    put(SECTOR, &[0xff; 8]);
    let folder = |name: &[u8; 11], cluster: u8| {
        let mut entry = [0; 32];
        entry[..11].copy_from_slice(name);
        (entry[11], entry[26]) = (0x10, cluster);
        entry
    };
    put(SECTOR * 2, &folder(b"EFI        ", 2));
    put(SECTOR * 3, &folder(b"BOOT       ", 3));
    put(SECTOR * 4, b"BOOTX64 EFI\x20");
    disk
}

/// A file system with `/vmlinuz` on it (the second extended file system's layout).
fn file_system() -> Vec<u8> {
    let mut disk = vec![0; BLOCK * BLOCKS];
    let mut put = |block: usize, at: usize, bytes: &[u8]| {
        disk[block * BLOCK + at..][..bytes.len()].copy_from_slice(bytes);
    };
    let (inodes, blocks, per_group) = (16_u32, BLOCKS as u32, 8192_u32);
    for (at, value) in [
        (0, inodes),
        (4, blocks),
        (20, SUPERBLOCK as u32),
        (32, per_group),
        (36, per_group),
        (40, inodes),
        (76, 1),
        (84, KERNEL_INODE),
        // Directory entries have types.
        (96, 2),
    ] {
        put(SUPERBLOCK, at, &value.to_le_bytes());
    }
    put(SUPERBLOCK, 56, &[0x53, 0xef, 1, 0, 1, 0]);
    put(SUPERBLOCK, 88, &128_u16.to_le_bytes());
    put(GROUPS, 8, &(INODES as u32).to_le_bytes());
    for (number, mode, size, block) in [
        (2, 0x41ed_u16, BLOCK, ROOT),
        (KERNEL_INODE, 0x81a4, CONTENT.len(), KERNEL),
    ] {
        let at = (number as usize - 1) * 128;
        put(INODES, at, &mode.to_le_bytes());
        put(INODES, at + 4, &(size as u32).to_le_bytes());
        put(INODES, at + 26, &[1, 0, 2]);
        put(INODES, at + 40, &(block as u32).to_le_bytes());
    }
    let mut at = 0;
    for (inode, length, kind, name) in [
        (2_u32, 12, 2_u8, "."),
        (2, 12, 2, ".."),
        (KERNEL_INODE, BLOCK - 24, 1, "vmlinuz"),
    ] {
        put(ROOT, at, &inode.to_le_bytes());
        put(ROOT, at + 4, &(length as u16).to_le_bytes());
        put(ROOT, at + 6, &[name.len() as u8, kind]);
        put(ROOT, at + 8, name.as_bytes());
        at += length;
    }
    put(KERNEL, 0, CONTENT);
    disk
}
