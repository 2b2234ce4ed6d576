//! A FAT16 disk without partitions, as firmware reads it (Microsoft's FAT specification
//! 1.03), with files in its root folder.

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Sectors of a cluster.
const CLUSTER: usize = 8;
/// Entries of the root folder, 32 bytes each: one sector's worth is more than is used.
const ROOT_ENTRIES: usize = 16;
/// The table's mark of a last cluster.
const LAST: u16 = 0xffff;

/// A disk with these files. Names are of 8 and 3 upper-case characters, without the dot
/// and padded with spaces.
pub(crate) fn disk(files: &[(&[u8; 11], &[u8])]) -> Vec<u8> {
    let clusters_of = |length: usize| length.div_ceil(CLUSTER * SECTOR);
    let used: usize = files
        .iter()
        .map(|(_, bytes)| clusters_of(bytes.len()))
        .sum();
    // By the number of clusters readers tell FAT16 from others.
    let clusters = (used + 1).max(5000);
    assert!(clusters < 65525 && files.len() <= ROOT_ENTRIES);
    let table_sectors = ((clusters + 2) * 2).div_ceil(SECTOR);
    let data = 1 + table_sectors + ROOT_ENTRIES * 32 / SECTOR;
    let sectors = data + clusters * CLUSTER;
    let mut disk = vec![0; sectors * SECTOR];
    disk[..SECTOR].copy_from_slice(&boot_sector(sectors as u32, table_sectors as u16));

    let mut table = vec![0xfff8, LAST];
    for (n, (name, bytes)) in files.iter().enumerate() {
        let (first, count) = (table.len(), clusters_of(bytes.len()));
        table.extend((1..count).map(|k| (first + k) as u16));
        table.push(LAST);
        let entry = (1 + table_sectors) * SECTOR + n * 32;
        disk[entry..][..11].copy_from_slice(*name);
        disk[entry + 26..][..2].copy_from_slice(&(first as u16).to_le_bytes());
        disk[entry + 28..][..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        let at = (data + (first - 2) * CLUSTER) * SECTOR;
        disk[at..][..bytes.len()].copy_from_slice(bytes);
    }
    let table: Vec<u8> = table.into_iter().flat_map(u16::to_le_bytes).collect();
    disk[SECTOR..][..table.len()].copy_from_slice(&table);
    disk
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
