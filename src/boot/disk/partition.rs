//! Partition tables: GPT (UEFI 2.10, 5.3), MBR, or none.

use std::cmp::Reverse;

use super::field::{u32_at, u64_at};
use crate::boot::load::{LoadError, Source};

/// Sectors are 512 bytes on nearly all disks, and 4096 on the others.
const SECTOR_SIZES: [u64; 2] = [512, 4096];
/// Entries that a GPT has at most here: four times the usual.
const MAX_ENTRIES: u64 = 512;
/// GPT attribute bit 2: U-Boot looks for menus on partitions that have it.
const LEGACY_BOOTABLE: u64 = 1 << 2;
/// The status byte of an MBR entry that is to be booted.
const ACTIVE: u8 = 0x80;
/// MBR type of the entry that protects a GPT.
const PROTECTIVE: u8 = 0xee;
/// Types of an EFI system partition (UEFI 2.10, 5.2.2 and table 5.7).
const SYSTEM: u8 = 0xef;
const SYSTEM_GUID: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// A stretch of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As Linux counts them; 0 for the whole disk.
    pub number: u32,
    /// Byte at which it starts.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// The table says to boot from it.
    pub bootable: bool,
    /// It is an EFI system partition.
    pub efi: bool,
}

impl Partition {
    /// Its name for a person.
    pub fn name(&self) -> String {
        match self.number {
            0 => "the whole disk".to_owned(),
            number => format!("partition {number}"),
        }
    }
}

/// The partitions of a disk that lie within it, those to boot from first; the whole
/// disk where it has no table.
///
/// # Errors
/// [`LoadError::Read`] when the host cannot read.
pub fn partitions(disk: &Source) -> Result<Vec<Partition>, LoadError> {
    let mut found = match gpt(disk)? {
        Some(found) => found,
        None => mbr(disk)?,
    };
    found.retain(|p| {
        p.len > 0
            && p.start
                .checked_add(p.len)
                .is_some_and(|end| end <= disk.len())
    });
    if found.is_empty() {
        found.push(Partition {
            number: 0,
            start: 0,
            len: disk.len(),
            bootable: false,
            efi: false,
        });
    }
    found.sort_by_key(|p| (Reverse(p.bootable), p.number));
    Ok(found)
}

/// The table at the disk's start, or else its copy at the end.
fn gpt(disk: &Source) -> Result<Option<Vec<Partition>>, LoadError> {
    for sector in SECTOR_SIZES {
        for at in [sector, disk.len().saturating_sub(sector)] {
            let header = disk.read_up_to(at, 92)?;
            if let Some(found) = gpt_entries(disk, &header, sector)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn gpt_entries(
    disk: &Source,
    header: &[u8],
    sector: u64,
) -> Result<Option<Vec<Partition>>, LoadError> {
    if !header.starts_with(b"EFI PART") || checksum_of_header(header) != u32_at(header, 16) {
        return Ok(None);
    }
    let (Some(table), Some(count), Some(size)) =
        (u64_at(header, 72), u32_at(header, 80), u32_at(header, 84))
    else {
        return Ok(None);
    };
    let (count, size) = (u64::from(count).min(MAX_ENTRIES), u64::from(size));
    if !(128..=4096).contains(&size) {
        return Ok(None);
    }
    let table = disk.read_up_to(table.saturating_mul(sector), count * size)?;
    let entries = table.chunks(size as usize).zip(1..);
    Ok(Some(
        entries
            .filter_map(|(entry, number)| gpt_entry(entry, number, sector))
            .collect(),
    ))
}

fn gpt_entry(entry: &[u8], number: u32, sector: u64) -> Option<Partition> {
    let kind = entry.get(..16)?;
    let unused = kind.iter().all(|byte| *byte == 0);
    let (first, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
    let sectors = last.checked_sub(first)?.checked_add(1)?;
    (!unused).then_some(Partition {
        number,
        start: first.checked_mul(sector)?,
        len: sectors.checked_mul(sector)?,
        bootable: u64_at(entry, 48)? & LEGACY_BOOTABLE != 0,
        efi: kind == SYSTEM_GUID,
    })
}

/// CRC-32 of the header with zeros in place of the sum itself.
fn checksum_of_header(header: &[u8]) -> Option<u32> {
    let mut crc = flate2::Crc::new();
    crc.update(header.get(..16)?);
    crc.update(&[0; 4]);
    crc.update(header.get(20..92)?);
    Some(crc.sum())
}

/// The four primary partitions.
fn mbr(disk: &Source) -> Result<Vec<Partition>, LoadError> {
    let head = disk.read_up_to(0, 512)?;
    if head.get(510..512) != Some(&[0x55, 0xaa]) {
        return Ok(Vec::new());
    }
    let table = head.get(446..510).unwrap_or_default();
    let partition = |(entry, number): (&[u8], u32)| {
        let (status, kind) = (*entry.first()?, *entry.get(4)?);
        let start = u64::from(u32_at(entry, 8)?) * 512;
        let len = u64::from(u32_at(entry, 12)?) * 512;
        let used = status & !ACTIVE == 0 && kind != 0 && kind != PROTECTIVE;
        used.then_some(Partition {
            number,
            start,
            len,
            bootable: status == ACTIVE,
            efi: kind == SYSTEM,
        })
    };
    Ok(table.chunks(16).zip(1..).filter_map(partition).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn disk(bytes: Vec<u8>) -> Vec<Partition> {
        partitions(&Source::from_bytes("d", bytes)).unwrap()
    }

    /// A GPT at `at` with two partitions of a MiB, the second to be booted.
    fn put_gpt(disk: &mut [u8], at: usize, table: usize, sector: usize) {
        for (n, attributes) in [(0_usize, 0_u64), (1, LEGACY_BOOTABLE)] {
            let entry = &mut disk[table + n * 128..][..128];
            entry[..16].copy_from_slice(&[SYSTEM_GUID, [7; 16]][n]);
            let first = ((n + 1) * MIB / sector) as u64;
            let last = ((n + 2) * MIB / sector) as u64 - 1;
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            entry[48..56].copy_from_slice(&attributes.to_le_bytes());
        }
        let header = &mut disk[at..][..92];
        header[..8].copy_from_slice(b"EFI PART");
        header[72..80].copy_from_slice(&((table / sector) as u64).to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        let sum = checksum_of_header(header).unwrap();
        header[16..20].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn a_gpt_is_read_at_either_end_and_bootable_ones_come_first() {
        let expected = [2, 1].map(|number| Partition {
            number,
            start: u64::from(number) << 20,
            len: 1 << 20,
            bootable: number == 2,
            efi: number == 1,
        });
        for sector in [512, 4096] {
            let mut bytes = vec![0; 4 * MIB];
            put_gpt(&mut bytes, sector, 2 * sector, sector);
            assert_eq!(disk(bytes.clone()), expected);
            // Damaged, so that the copy counts.
            bytes[sector + 40] ^= 1;
            assert_eq!(disk(bytes.clone())[0].number, 0);
            put_gpt(&mut bytes, 4 * MIB - sector, 2 * sector, sector);
            assert_eq!(disk(bytes), expected);
        }
    }

    #[test]
    fn an_mbr_is_read() {
        let mut bytes = vec![0; 2 * MIB];
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[446 + 16] = ACTIVE;
        bytes[446 + 16 + 4] = 0x83;
        bytes[446 + 16 + 8..][..8].copy_from_slice(&[0, 8, 0, 0, 0, 8, 0, 0]);
        let found = disk(bytes.clone());
        assert_eq!((found.len(), found[0].number), (1, 2));
        assert_eq!((found[0].start, found[0].len), (1 << 20, 1 << 20));
        assert!(!found[0].efi);
        bytes[446 + 16 + 4] = SYSTEM;
        assert!(disk(bytes.clone())[0].efi);
        // One that leads out of the disk is none.
        bytes.truncate(2 * MIB - 512);
        assert_eq!(disk(bytes)[0].number, 0);
    }

    #[test]
    fn a_disk_without_a_table_is_one_stretch() {
        for size in [0, 1, 511, 4096, MIB] {
            assert_eq!(disk(vec![0xff; size])[0].len, size as u64);
        }
    }
}
