//! Files of an ext2/3/4 file system, read only.

use std::error::Error;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use super::field::u32_at;
use super::partition::Partition;
use crate::boot::load::Source;

/// Bytes read from one file system at most. A kernel and an initrd are far below it,
/// and what leads in circles comes to an end.
const MAX_READ: u64 = 4 << 30;
/// Reads of one file system at most: as above, for circles of small steps.
const MAX_READS: u64 = 4 << 20;
/// Block groups at most: those of 32 TiB, as mkfs makes them.
const MAX_GROUPS: u32 = 1 << 18;
/// Where the superblock is, and its magic number.
const SUPERBLOCK: u64 = 1024;
const MAGIC: [u8; 2] = [0x53, 0xef];

/// An open file system.
pub(super) struct FileSystem(Ext4);

impl FileSystem {
    /// Opens what is on a partition; `None` where that is no ext file system.
    pub(super) fn open(disk: &Source, partition: &Partition) -> Result<Option<Self>, String> {
        let mut stretch = Stretch {
            disk: disk.clone(),
            start: partition.start,
            len: partition.len,
            bytes_left: MAX_READ,
            reads_left: MAX_READS,
        };
        let mut superblock = [0; 1024];
        if stretch.read(SUPERBLOCK, &mut superblock).is_err() || superblock[0x38..0x3a] != MAGIC {
            return Ok(None);
        }
        if groups(&superblock) > MAX_GROUPS {
            return Err("its file system claims to be larger than any".to_owned());
        }
        let opened = Ext4::load(Box::new(stretch));
        opened
            .map(|files| Some(Self(files)))
            .map_err(|why| why.to_string())
    }

    /// A regular file of at most `limit` bytes, links followed; `None` where there is
    /// none.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let of = |why: Ext4Error| format!("{}: {why}", path.escape_debug());
        let size = match self.0.metadata(path) {
            Ok(about) if about.file_type().is_regular_file() => about.len(),
            Ok(_) => return Err(format!("{} is no file", path.escape_debug())),
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => return Ok(None),
            Err(why) => return Err(of(why)),
        };
        // Before that much is set aside for it.
        if size > limit {
            return Err(format!(
                "{} is larger than {limit} bytes",
                path.escape_debug()
            ));
        }
        self.0.read(path).map(Some).map_err(of)
    }

    /// Whether there is something of that name.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.exists(path).unwrap_or(false)
    }

    /// Its identity.
    pub(super) fn uuid(&self) -> String {
        self.0.uuid().to_string()
    }
}

/// How many groups a file system of that superblock has.
fn groups(superblock: &[u8; 1024]) -> u32 {
    let field = |at| u32_at(superblock, at).unwrap_or(0);
    let (low, high, per_group) = (field(0x04), field(0x150), field(0x20));
    let blocks = u64::from(high) << 32 | u64::from(low);
    u32::try_from(blocks / u64::from(per_group.max(1))).unwrap_or(u32::MAX)
}

/// A partition, as the reader of file systems wants it.
struct Stretch {
    disk: Source,
    start: u64,
    len: u64,
    bytes_left: u64,
    reads_left: u64,
}

impl Ext4Read for Stretch {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let len = into.len() as u64;
        let within = at.checked_add(len).is_some_and(|end| end <= self.len);
        if !within {
            return Err(format!("{len} bytes at {at:#x} are beyond its partition's end").into());
        }
        let left = (
            self.bytes_left.checked_sub(len),
            self.reads_left.checked_sub(1),
        );
        let (Some(bytes), Some(reads)) = left else {
            return Err("its file system seems to lead in circles".into());
        };
        (self.bytes_left, self.reads_left) = (bytes, reads);
        let bytes = self.disk.read_up_to(self.start + at, len)?;
        if bytes.len() != into.len() {
            return Err("the disk ended early".into());
        }
        into.copy_from_slice(&bytes);
        Ok(())
    }
}
