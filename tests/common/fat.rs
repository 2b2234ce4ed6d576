//! A FAT16 disk, as firmware reads it (Microsoft's FAT specification 1.03).

use std::collections::BTreeMap;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Sectors of a cluster.
const CLUSTER: usize = 8;
/// Entries of the root folder, 32 bytes each: one sector's worth is more than is used.
const ROOT_ENTRIES: usize = 16;
/// The table's mark of a last cluster.
const LAST: u16 = 0xffff;
/// Where a partition begins, in sectors.
const BEGIN: u32 = 2048;
/// The attribute of a folder, and those of a piece of a long name.
const FOLDER: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;

/// A disk without partitions with these files, by their paths.
pub(crate) fn disk(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut volume = Volume {
        table: vec![0xfff8, LAST],
        data: Vec::new(),
    };
    let root = volume.folder(files, None);
    assert!(
        root.len() <= ROOT_ENTRIES * 32,
        "too much in the root folder"
    );
    volume.with_head(root)
}

/// The same on an EFI system partition, the disk's only one, in an MBR.
pub(crate) fn system_partition(files: &[(&str, &[u8])]) -> Vec<u8> {
    let volume = disk(files);
    let mut whole = partitioned(0xef, (volume.len() / SECTOR) as u32);
    whole.extend(volume);
    whole
}

/// What a disk's sectors before its one partition say of that: its type, and its sectors.
pub(crate) fn partitioned(kind: u8, sectors: u32) -> Vec<u8> {
    let mut disk = vec![0; BEGIN as usize * SECTOR];
    let entry = [0x80, 0, 0, 0, kind, 0, 0, 0];
    disk[446..][..8].copy_from_slice(&entry);
    disk[454..][..4].copy_from_slice(&BEGIN.to_le_bytes());
    disk[458..][..4].copy_from_slice(&sectors.to_le_bytes());
    disk[510..][..2].copy_from_slice(&[0x55, 0xaa]);
    disk
}

struct Volume {
    table: Vec<u16>,
    /// The clusters.
    data: Vec<u8>,
}

impl Volume {
    /// Takes clusters for that many bytes; the first of them.
    fn reserve(&mut self, length: usize) -> u16 {
        let first = self.table.len();
        let count = length.div_ceil(CLUSTER * SECTOR).max(1);
        self.table.extend((1..count).map(|k| (first + k) as u16));
        self.table.push(LAST);
        self.data.resize((first - 2 + count) * CLUSTER * SECTOR, 0);
        first as u16
    }

    fn write(&mut self, cluster: u16, bytes: &[u8]) {
        let at = usize::from(cluster - 2) * CLUSTER * SECTOR;
        self.data[at..][..bytes.len()].copy_from_slice(bytes);
    }

    /// The entries of a folder with these files; `own` are its cluster and its parent's.
    fn folder(&mut self, files: &[(&str, &[u8])], own: Option<[u16; 2]>) -> Vec<u8> {
        let mut entries = Vec::new();
        for (name, cluster) in [b".          ", b"..         "]
            .into_iter()
            .zip(own.into_iter().flatten())
        {
            entries.extend(entry(name, FOLDER, cluster, 0));
        }
        let mut folders: BTreeMap<&str, Vec<(&str, &[u8])>> = BTreeMap::new();
        for (path, bytes) in files {
            if let Some((folder, rest)) = path.split_once('/') {
                folders.entry(folder).or_default().push((rest, bytes));
                continue;
            }
            let cluster = self.reserve(bytes.len());
            self.write(cluster, bytes);
            named(&mut entries, path, 0x20, cluster, bytes.len());
        }
        for (name, files) in folders {
            let cluster = self.reserve(1);
            let parent = own.map_or(0, |[own, _]| own);
            let inner = self.folder(&files, Some([cluster, parent]));
            self.write(cluster, &inner);
            named(&mut entries, name, FOLDER, cluster, 0);
        }
        entries
    }

    fn with_head(mut self, root: Vec<u8>) -> Vec<u8> {
        // By the number of clusters readers tell FAT16 from others.
        let clusters = (self.table.len() - 1).max(5000);
        assert!(clusters < 65525, "too much for FAT16");
        self.data.resize(clusters * CLUSTER * SECTOR, 0);
        let table_sectors = ((clusters + 2) * 2).div_ceil(SECTOR);
        let data = (1 + table_sectors) * SECTOR + ROOT_ENTRIES * 32;
        let sectors = (data + self.data.len()) / SECTOR;
        let mut disk = boot_sector(sectors as u32, table_sectors as u16).to_vec();
        disk.extend(self.table.into_iter().flat_map(u16::to_le_bytes));
        disk.resize((1 + table_sectors) * SECTOR, 0);
        disk.extend(root);
        disk.resize(data, 0);
        disk.extend(self.data);
        disk
    }
}

fn entry(short: &[u8; 11], attributes: u8, cluster: u16, length: usize) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(short);
    entry[11] = attributes;
    entry[26..28].copy_from_slice(&cluster.to_le_bytes());
    entry[28..].copy_from_slice(&(length as u32).to_le_bytes());
    entry
}

/// An entry, behind the pieces of its name where that is no short one (section 7).
fn named(to: &mut Vec<u8>, name: &str, attributes: u8, cluster: u16, length: usize) {
    let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
    let is_long = stem.len() > 8 || ending.len() > 3;
    let stem = match is_long {
        true => format!("{}~1", &stem[..stem.len().min(6)]),
        false => stem.to_owned(),
    };
    let short = format!("{stem:<8}{:<3}", &ending[..ending.len().min(3)]).to_uppercase();
    let short: [u8; 11] = short.into_bytes().try_into().expect("eight and three");
    if is_long {
        let sum = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
        let sum = short.iter().fold(0, sum);
        let mut units: Vec<u16> = name.encode_utf16().chain([0]).collect();
        units.resize(units.len().next_multiple_of(13), 0xffff);
        for (n, piece) in units.chunks(13).enumerate().rev() {
            let is_first = (n + 1) * 13 == units.len();
            let mut entry = [0; 32];
            entry[0] = (n + 1) as u8 | if is_first { 0x40 } else { 0 };
            entry[11] = LONG_NAME;
            entry[13] = sum;
            let places = (1..11)
                .step_by(2)
                .chain((14..26).step_by(2))
                .chain([28, 30]);
            for (unit, at) in piece.iter().zip(places) {
                entry[at..][..2].copy_from_slice(&unit.to_le_bytes());
            }
            to.extend(entry);
        }
    }
    to.extend(entry(&short, attributes, cluster, length));
}

fn boot_sector(sectors: u32, table_sectors: u16) -> [u8; SECTOR] {
    let mut boot = [0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| boot[at..][..bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x3c, 0x90]);
    put(3, b"ISOFORM ");
    put(11, &(SECTOR as u16).to_le_bytes());
    // Sectors of a cluster, sectors before the table, tables.
    put(13, &[CLUSTER as u8, 1, 0, 1]);
    put(17, &(ROOT_ENTRIES as u16).to_le_bytes());
    put(21, &[0xf8]);
    put(22, &table_sectors.to_le_bytes());
    put(32, &sectors.to_le_bytes());
    put(36, &[0x80, 0, 0x29]);
    put(43, b"ISOFORM    FAT16   ");
    put(510, &[0x55, 0xaa]);
    boot
}
