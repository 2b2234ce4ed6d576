//! Names in folders of a FAT file system (Microsoft's specification 1.03), read only.

use super::field::{u16_at, u32_at};
use super::partition::Partition;
use crate::boot::load::{LoadError, Source};

/// Bytes of an entry in a folder.
const ENTRY: usize = 32;
/// Bytes of a folder at most (section 6).
const MAX_FOLDER: u64 = 65536 * ENTRY as u64;
/// Where an entry has its attributes, and those that matter.
const ATTRIBUTES: usize = 11;
const VOLUME: u8 = 0x08;
const FOLDER: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;
/// First byte of an entry that is free, and of one behind which all are.
const FREE: u8 = 0xe5;
const END: u8 = 0x00;
/// Characters of a long name in each of its entries, by place.
const CHARACTERS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// An open file system.
pub(super) struct Fat<'a> {
    disk: &'a Source,
    start: u64,
    /// Bytes of a cluster.
    cluster: u64,
    /// Bits of an entry of the table: 12, 16 or 32.
    bits: u64,
    /// From the file system's start, bytes: the table, the root folder of the smaller
    /// kinds, and the clusters.
    table: u64,
    root: u64,
    data: u64,
    /// The root folder's first cluster, in the largest kind.
    root_cluster: u32,
    clusters: u64,
}

/// A name in a folder.
struct Name {
    text: String,
    is_folder: bool,
    cluster: u32,
}

impl<'a> Fat<'a> {
    /// Opens what is on a partition; `None` where that is no FAT file system.
    pub(super) fn open(disk: &'a Source, partition: &Partition) -> Result<Option<Self>, LoadError> {
        let boot = disk.read_up_to(partition.start, 512.min(partition.len))?;
        Ok(Self::read_layout(disk, partition, &boot))
    }

    /// Sections 3.1 to 3.5.
    fn read_layout(disk: &'a Source, partition: &Partition, boot: &[u8]) -> Option<Self> {
        if boot.get(510..512)? != [0x55, 0xaa] {
            return None;
        }
        let sector = u64::from(u16_at(boot, 11)?);
        let per_cluster = u64::from(*boot.get(13)?);
        if ![512, 1024, 2048, 4096].contains(&sector) || !per_cluster.is_power_of_two() {
            return None;
        }
        let either = |short: u16, long: u32| match short {
            0 => u64::from(long),
            short => u64::from(short),
        };
        let sectors = either(u16_at(boot, 19)?, u32_at(boot, 32)?);
        let table_sectors = either(u16_at(boot, 22)?, u32_at(boot, 36)?);
        let tables = u64::from(*boot.get(16)?);
        let first = u64::from(u16_at(boot, 14)?);
        let root = first + tables * table_sectors;
        let root_bytes = u64::from(u16_at(boot, 17)?) * ENTRY as u64;
        let data = root + root_bytes.div_ceil(sector);
        let clusters = sectors.checked_sub(data)? / per_cluster;
        if first == 0 || tables == 0 || table_sectors == 0 {
            return None;
        }
        Some(Self {
            disk,
            start: partition.start,
            cluster: sector * per_cluster,
            bits: match clusters {
                0..4085 => 12,
                4085..65525 => 16,
                _ => 32,
            },
            table: first * sector,
            root: root * sector,
            data: data * sector,
            root_cluster: u32_at(boot, 44)?,
            clusters,
        })
    }

    /// The names in a folder, which may be several levels deep; none where it is not
    /// there. Case does not matter.
    pub(super) fn names(&self, path: &[&str]) -> Result<Vec<String>, LoadError> {
        let mut names = match self.bits {
            32 => parse(&self.chain(self.root_cluster)?),
            _ => parse(&self.bytes(self.root, self.data - self.root)?),
        };
        for wanted in path {
            let found = names
                .iter()
                .find(|name| name.is_folder && name.text.eq_ignore_ascii_case(wanted));
            let Some(found) = found else {
                return Ok(Vec::new());
            };
            names = parse(&self.chain(found.cluster)?);
        }
        Ok(names.into_iter().map(|name| name.text).collect())
    }

    fn bytes(&self, at: u64, len: u64) -> Result<Vec<u8>, LoadError> {
        self.disk
            .read_up_to(self.start.saturating_add(at), len.min(MAX_FOLDER))
    }

    /// A folder's clusters from the first on; those of a folder that leads in circles
    /// as far as a folder can be long.
    fn chain(&self, first: u32) -> Result<Vec<u8>, LoadError> {
        let (mut folder, mut at) = (Vec::new(), u64::from(first));
        // The first two entries of the table stand for no cluster.
        while (2..self.clusters + 2).contains(&at) && (folder.len() as u64) < MAX_FOLDER {
            let cluster = self.bytes(self.data + (at - 2) * self.cluster, self.cluster)?;
            if cluster.is_empty() {
                break;
            }
            folder.extend(cluster);
            at = self.next(at)?;
        }
        Ok(folder)
    }

    /// The cluster behind another (section 4); out of range at the end.
    fn next(&self, cluster: u64) -> Result<u64, LoadError> {
        let bit = cluster * self.bits;
        let bytes = self.bytes(self.table + bit / 8, 4)?;
        let word = u64::from(u32_at(&bytes, 0).unwrap_or(u32::MAX)) >> (bit % 8);
        Ok(word & ((1 << self.bits.min(28)) - 1))
    }
}

/// The names in a folder's bytes (sections 6 and 7).
fn parse(folder: &[u8]) -> Vec<Name> {
    let mut names = Vec::new();
    // Pieces of a long name come before its entry, the last piece first.
    let mut long: Vec<u16> = Vec::new();
    for entry in folder.chunks_exact(ENTRY) {
        let (Some(&first), Some(&attributes)) = (entry.first(), entry.get(ATTRIBUTES)) else {
            break;
        };
        match (first, attributes) {
            (END, _) => break,
            (FREE, _) => long.clear(),
            (_, LONG_NAME) => {
                let piece = CHARACTERS.iter().filter_map(|at| u16_at(entry, *at));
                // A name has at most 255 characters.
                long = piece.chain(long).take(255).collect();
            }
            (_, attributes) if attributes & VOLUME != 0 => long.clear(),
            _ => {
                let taken = std::mem::take(&mut long);
                names.push(Name {
                    text: long_name(&taken).unwrap_or_else(|| short_name(entry)),
                    is_folder: attributes & FOLDER != 0,
                    cluster: u32::from(u16_at(entry, 20).unwrap_or(0)) << 16
                        | u32::from(u16_at(entry, 26).unwrap_or(0)),
                });
            }
        }
    }
    names
}

fn long_name(pieces: &[u16]) -> Option<String> {
    let name = pieces.split(|unit| *unit == 0).next()?;
    (!name.is_empty()).then(|| String::from_utf16_lossy(name))
}

/// Eight characters and three, padded with spaces.
fn short_name(entry: &[u8]) -> String {
    let part = |range| {
        let bytes = entry.get::<std::ops::Range<usize>>(range);
        let text = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        text.trim_end().to_owned()
    };
    match (part(0..8), part(8..11)) {
        (name, ending) if ending.is_empty() => name,
        (name, ending) => format!("{name}.{ending}"),
    }
}
