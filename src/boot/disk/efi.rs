//! What UEFI firmware finds on a disk: an EFI system partition (UEFI 2.10, 13.3), or the
//! image of one that a CD has by El Torito, and the programs in it that start without
//! being named anywhere (3.5.1.1).

use super::fat::Fat;
use super::field::u32_at;
use super::partition::{Partition, partitions};
use crate::boot::load::{LoadError, Source};

/// The program for this machine.
pub const PROGRAM: &str = "BOOTRISCV64.EFI";
/// The folder it is in.
const FOLDER: [&str; 2] = ["EFI", "BOOT"];

/// Bytes of a CD's sector.
const CD_SECTOR: u64 = 2048;
/// The sector of the descriptor that leads to the boot catalogue (El Torito 1.0,
/// figure 7), and where the catalogue's sector is in it.
const DESCRIPTOR: u64 = 17;
const CATALOGUE: usize = 0x47;
/// Bytes of an entry of the catalogue.
const ENTRY: usize = 32;
/// First byte of an entry: begins the catalogue, begins a section, begins the last one.
const VALIDATION: u8 = 0x01;
const SECTION: u8 = 0x90;
const LAST_SECTION: u8 = 0x91;
/// Of an entry that boots.
const BOOTS: u8 = 0x88;
/// The platform of UEFI.
const PLATFORM_EFI: u8 = 0xef;

/// A disk that UEFI firmware boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Efi {
    /// Whence, for a person: `partition 1`.
    pub whence: String,
    /// The programs that start without being named, of whatever architecture.
    pub programs: Vec<String>,
}

impl Efi {
    /// Whether this machine's firmware may start something there: the program for it, or,
    /// where there is none for anybody, what its variables name.
    pub fn is_for_this_machine(&self) -> bool {
        let ours = |name: &String| name.eq_ignore_ascii_case(PROGRAM);
        self.programs.is_empty() || self.programs.iter().any(ours)
    }
}

/// Looks for what firmware would start; `None` where it would find no place to look.
///
/// # Errors
/// [`LoadError::Read`] when the host cannot read.
pub fn find_efi(disk: &Source) -> Result<Option<Efi>, LoadError> {
    let mut best: Option<Efi> = None;
    for (partition, name, is_system) in places(disk)? {
        let Some(files) = Fat::open(disk, &partition)? else {
            continue;
        };
        let mut programs = files.names(&FOLDER)?;
        programs.retain(|name| is_program(name));
        if !is_system && programs.is_empty() {
            continue;
        }
        let found = Efi {
            whence: name,
            programs,
        };
        let is_better = |than: &Efi| found.is_for_this_machine() && !than.is_for_this_machine();
        if best.as_ref().is_none_or(is_better) {
            best = Some(found);
        }
    }
    Ok(best)
}

fn is_program(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.starts_with("BOOT") && name.ends_with(".EFI")
}

/// Where firmware looks: with a name for a person, and whether the disk says that it is
/// a place for firmware.
fn places(disk: &Source) -> Result<Vec<(Partition, String, bool)>, LoadError> {
    let mut places: Vec<_> = partitions(disk)?
        .into_iter()
        .filter(|partition| partition.efi || partition.number == 0)
        .map(|partition| {
            let (name, efi) = (partition.name(), partition.efi);
            (partition, name, efi)
        })
        .collect();
    if let Some(partition) = el_torito(disk)? {
        places.push((partition, "the CD's image for EFI".to_owned(), true));
    }
    Ok(places)
}

/// The image for UEFI in a CD's boot catalogue.
fn el_torito(disk: &Source) -> Result<Option<Partition>, LoadError> {
    let descriptor = disk.read_up_to(DESCRIPTOR * CD_SECTOR, CD_SECTOR)?;
    if !descriptor.starts_with(b"\0CD001\x01EL TORITO SPECIFICATION") {
        return Ok(None);
    }
    let Some(at) = u32_at(&descriptor, CATALOGUE) else {
        return Ok(None);
    };
    let catalogue = disk.read_up_to(u64::from(at) * CD_SECTOR, CD_SECTOR)?;
    let mut platform = None;
    for entry in catalogue.chunks_exact(ENTRY) {
        match entry {
            [VALIDATION | SECTION | LAST_SECTION, of, ..] => platform = Some(*of),
            [BOOTS, ..] if platform == Some(PLATFORM_EFI) => {
                let start = u64::from(u32_at(entry, 8).unwrap_or(0)) * CD_SECTOR;
                // Its length counts sectors up to 65535, which is too few for many.
                return Ok(disk.len().checked_sub(start).map(|len| Partition {
                    number: 0,
                    start,
                    len,
                    bootable: false,
                    efi: true,
                }));
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 512;

    fn put(volume: &mut [u8], at: usize, bytes: &[u8]) {
        volume[at..][..bytes.len()].copy_from_slice(bytes);
    }

    /// A file system of one kind, with clusters of a sector and a name in EFI/BOOT.
    /// EFI is cluster 3 and BOOT is 4; the largest kind's root is 2.
    fn volume(bits: usize, name: &str) -> Vec<u8> {
        let clusters = match bits {
            12 => 100,
            16 => 5000,
            _ => 66_000,
        };
        let table = (clusters + 2) * bits / 8 / SECTOR + 1;
        let root_entries = if bits == 32 { 0 } else { 16 };
        let data = 1 + table + root_entries * 32 / SECTOR;
        let mut volume = vec![0; (data + clusters) * SECTOR];
        put(&mut volume, 11, &(SECTOR as u16).to_le_bytes());
        put(&mut volume, 13, &[1, 1, 0, 1, root_entries as u8]);
        put(&mut volume, 32, &((data + clusters) as u32).to_le_bytes());
        put(&mut volume, 36, &(table as u32).to_le_bytes());
        if bits != 32 {
            put(&mut volume, 22, &(table as u16).to_le_bytes());
        }
        put(&mut volume, 44, &[2]);
        put(&mut volume, 510, &[0x55, 0xaa]);
        // Each folder's cluster is its last.
        put(&mut volume, SECTOR, &[0xff; 5 * 4]);
        let cluster = |n: usize| (data + n - 2) * SECTOR;
        let root = if bits == 32 {
            cluster(2)
        } else {
            (1 + table) * SECTOR
        };
        folder(&mut volume, root, b"EFI        ", 3);
        folder(&mut volume, cluster(3), b"BOOT       ", 4);
        let units: Vec<u8> = name
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let pieces: Vec<&[u8]> = units.chunks(26).collect();
        let mut at = cluster(4);
        for (n, piece) in pieces.iter().enumerate().rev() {
            let mut entry = [0xff; 32];
            (entry[0], entry[11]) = (n as u8 + 1, 0x0f);
            for (two, at) in piece
                .chunks(2)
                .zip([1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30])
            {
                put(&mut entry, at, two);
            }
            put(&mut volume, at, &entry);
            at += 32;
        }
        put(&mut volume, at, b"BOOTRI~1EFI\x20");
        volume
    }

    fn folder(volume: &mut [u8], at: usize, name: &[u8; 11], cluster: u8) {
        put(volume, at, name);
        put(volume, at + 11, &[0x10]);
        put(volume, at + 26, &[cluster]);
    }

    fn found(disk: &[u8]) -> Option<Efi> {
        find_efi(&Source::from_bytes("d", disk.to_vec())).unwrap()
    }

    #[test]
    fn the_program_is_found_in_each_kind_of_file_system() {
        for bits in [12, 16, 32] {
            let efi = found(&volume(bits, "bootriscv64.efi")).unwrap();
            assert_eq!(efi.programs, ["bootriscv64.efi"], "{bits}");
            assert!(efi.is_for_this_machine());
            let efi = found(&volume(bits, "BOOTX64.EFI")).unwrap();
            assert!(!efi.is_for_this_machine());
            // Files of other names make no boot disk of what is not marked as one.
            assert_eq!(found(&volume(bits, "README")), None);
        }
    }

    #[test]
    fn a_system_partition_counts_even_without_a_program() {
        let mut disk = vec![0; 1 << 20];
        disk.extend(volume(12, "grub.cfg"));
        let sectors = (disk.len() / SECTOR - 2048) as u32;
        put(&mut disk, 446 + 4, &[0xef, 0, 0, 0, 0, 8]);
        put(&mut disk, 446 + 12, &sectors.to_le_bytes());
        put(&mut disk, 510, &[0x55, 0xaa]);
        let efi = found(&disk).unwrap();
        assert_eq!(
            (efi.whence.as_str(), efi.programs.len()),
            ("partition 1", 0)
        );
        assert!(efi.is_for_this_machine());
        // The same is nothing where the table says that it is something else.
        disk[446 + 4] = 0x83;
        assert_eq!(found(&disk), None);
    }

    #[test]
    fn a_cd_is_looked_at_by_its_boot_catalogue() {
        let mut cd = vec![0; 40 * 2048];
        put(&mut cd, 17 * 2048, b"\0CD001\x01EL TORITO SPECIFICATION");
        put(&mut cd, 17 * 2048 + CATALOGUE, &[20]);
        // Another platform's entry comes first.
        put(&mut cd, 20 * 2048, &[VALIDATION, 0]);
        put(&mut cd, 20 * 2048 + 32, &[BOOTS, 0, 0, 0, 0, 0, 1, 0, 30]);
        put(&mut cd, 20 * 2048 + 64, &[LAST_SECTION, PLATFORM_EFI, 1]);
        put(&mut cd, 20 * 2048 + 96, &[BOOTS, 0, 0, 0, 0, 0, 1, 0, 40]);
        cd.extend(volume(12, PROGRAM));
        let efi = found(&cd).unwrap();
        assert_eq!(efi.whence, "the CD's image for EFI");
        assert_eq!(efi.programs, [PROGRAM]);
        cd[20 * 2048 + 96 + 11] = 0xff;
        assert_eq!(found(&cd), None, "beyond the end");
    }

    #[test]
    fn folders_that_lead_in_circles_come_to_an_end() {
        let mut disk = volume(16, PROGRAM);
        // BOOT, cluster 4, is followed by itself.
        put(&mut disk, SECTOR + 4 * 2, &[4, 0]);
        assert!(!found(&disk).unwrap().programs.is_empty());
    }
}
