//! Raw disks and file systems, recognised by name so that the message about one
//! can say what it is.

/// What a disk image holds, as far as its first sectors tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disk {
    /// A GUID partition table.
    Gpt,
    /// A master boot record.
    Mbr,
    /// An ext2, ext3 or ext4 file system without partitions.
    Ext,
    /// A btrfs file system without partitions.
    Btrfs,
    /// An XFS file system without partitions.
    Xfs,
    /// A squashfs file system.
    Squashfs,
    /// A CD image.
    Iso9660,
    /// A FAT file system without partitions.
    Fat,
}

/// How much of a disk is looked at: btrfs keeps its superblock at 64 KiB.
pub(super) const LOOK: u64 = 0x1_1000;

impl Disk {
    /// The kind of disk whose first bytes are `head`.
    pub fn of(head: &[u8]) -> Option<Disk> {
        let at = |offset: usize, magic: &[u8]| {
            head.get(offset..)
                .is_some_and(|tail| tail.starts_with(magic))
        };
        // The GPT first: a protective MBR stands before it. 4096 is for disks
        // with sectors of that size.
        if at(512, b"EFI PART") || at(4096, b"EFI PART") {
            Some(Disk::Gpt)
        } else if at(0x438, &[0x53, 0xef]) {
            Some(Disk::Ext)
        } else if at(0x8001, b"CD001") {
            Some(Disk::Iso9660)
        } else if at(0x1_0040, b"_BHRfS_M") {
            Some(Disk::Btrfs)
        } else if at(0, b"XFSB") {
            Some(Disk::Xfs)
        } else if at(0, b"hsqs") {
            Some(Disk::Squashfs)
        } else if at(510, &[0x55, 0xaa]) && (at(54, b"FAT") || at(82, b"FAT")) {
            Some(Disk::Fat)
        } else if at(510, &[0x55, 0xaa]) && has_partition(head) {
            Some(Disk::Mbr)
        } else {
            None
        }
    }

    /// Its name, with an article.
    pub fn name(self) -> &'static str {
        match self {
            Disk::Gpt => "a raw disk with a GPT",
            Disk::Mbr => "a raw disk with an MBR",
            Disk::Ext => "a raw ext2/3/4 file system",
            Disk::Btrfs => "a raw btrfs file system",
            Disk::Xfs => "a raw XFS file system",
            Disk::Squashfs => "a squashfs file system",
            Disk::Iso9660 => "a CD image (ISO 9660)",
            Disk::Fat => "a raw FAT file system",
        }
    }
}

/// Whether one of the four entries at 446 has a type and a legal status byte;
/// the signature alone also ends every FAT boot sector.
fn has_partition(head: &[u8]) -> bool {
    let Some(table) = head.get(446..510) else {
        return false;
    };
    let mut entries = table.chunks_exact(16);
    entries.clone().all(|entry| entry[0] & 0x7f == 0) && entries.any(|entry| entry[4] != 0)
}

/// Whether these are the first bytes of a qcow2 image.
pub fn is_qcow2(head: &[u8]) -> bool {
    head.starts_with(b"QFI\xfb")
}

/// The name of another program's disk format, with an article. Among them is qcow2,
/// which says nothing of what is on the disk.
pub fn foreign(head: &[u8]) -> Option<&'static str> {
    match is_qcow2(head) {
        true => Some("a qcow2 disk image"),
        false => isoform_disk::foreign(head),
    }
}
