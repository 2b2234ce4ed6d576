//! A raw disk image.

use super::overlay::Overlay;
use crate::config::Drive;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

/// Bytes in a sector.
const SECTOR: u64 = 512;

/// Why a disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be opened.
    #[error("cannot open the disk {}{}", .path.display(), .advice)]
    Open {
        /// The file.
        path: PathBuf,
        /// What may help, starting with a separator; or empty.
        advice: &'static str,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Another process writes it, or reads it while this one wants to write.
    #[error(
        "the disk {} is in use by another machine; use it with snapshot=on or readonly=on in both, or copy it",
        .0.display()
    )]
    InUse(PathBuf),
    /// It is no file or block device.
    #[error("the disk {} is {what}; a disk is a file or a block device", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Empty, or no whole number of sectors.
    #[error("the disk {} has {size} bytes, which is no positive multiple of 512", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// More than a flash bank holds.
    #[error("{} has {size} bytes, and a flash bank holds 32 MiB", .path.display())]
    FlashSize {
        /// The file.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
}

/// An open image.
#[derive(Debug)]
pub struct Image {
    file: File,
    sectors: u64,
    read_only: bool,
    overlay: Option<Overlay>,
}

impl Image {
    /// Opens a drive's file and locks it: many may read it, or one may write it.
    pub fn open(drive: &Drive) -> Result<Self, DiskError> {
        let path = drive.file.clone();
        let (file, size) = open_locked(&path, !drive.readonly && !drive.snapshot)?;
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Err(DiskError::Size { path, size });
        }
        let sectors = size / SECTOR;
        let overlay = match drive.snapshot {
            true => Some(Overlay::new(sectors).map_err(|source| DiskError::Open {
                path,
                advice: "",
                source,
            })?),
            false => None,
        };
        Ok(Self {
            file,
            sectors,
            read_only: drive.readonly,
            overlay,
        })
    }

    /// Size in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether the guest may not write.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Reads whole sectors.
    pub fn read(&self, sector: u64, bytes: &mut [u8]) -> io::Result<()> {
        let offset = self.offset(sector, bytes.len())?;
        match &self.overlay {
            Some(overlay) => overlay.read(&self.file, bytes, offset),
            None => self.file.read_exact_at(bytes, offset),
        }
    }

    /// Writes whole sectors.
    pub fn write(&mut self, sector: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = self.offset(sector, bytes.len())?;
        match &mut self.overlay {
            _ if self.read_only => Err(io::ErrorKind::PermissionDenied.into()),
            Some(overlay) => overlay.write(bytes, offset),
            None => self.file.write_all_at(bytes, offset),
        }
    }

    /// Makes what was written durable. An overlay is never meant to last.
    pub fn flush(&self) -> io::Result<()> {
        if self.read_only || self.overlay.is_some() {
            Ok(())
        } else {
            self.file.sync_data()
        }
    }

    /// The byte offset of whole sectors inside the disk.
    fn offset(&self, sector: u64, len: usize) -> io::Result<u64> {
        let sectors = len as u64 / SECTOR;
        let whole = (len as u64).is_multiple_of(SECTOR);
        let inside = sector
            .checked_add(sectors)
            .is_some_and(|end| end <= self.sectors);
        if whole && inside {
            Ok(sector * SECTOR)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }
}

/// Opens a file or block device and locks it: many may read it, or one may write it.
/// Gives its size, too.
pub(super) fn open_locked(path: &Path, writes: bool) -> Result<(File, u64), DiskError> {
    let opened = OpenOptions::new().read(true).write(writes).open(path);
    let mut file = opened.map_err(|source| {
        let denied = matches!(
            source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        );
        let advice = if denied && writes {
            " for writing; add readonly=on or snapshot=on"
        } else {
            ""
        };
        DiskError::Open {
            path: path.to_owned(),
            advice,
            source,
        }
    })?;
    let failed = |source| DiskError::Open {
        path: path.to_owned(),
        advice: "",
        source,
    };
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        let what = if kind.is_dir() {
            "a folder"
        } else {
            "no regular file"
        };
        return Err(DiskError::Kind {
            path: path.to_owned(),
            what,
        });
    }
    let lock = if writes {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match flock(&file, lock) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(DiskError::InUse(path.to_owned())),
        // Some file systems have no locks; that is no reason to refuse a disk.
        Err(e) => log::warn!("{} cannot be locked: {e}", path.display()),
    }
    // A block device's metadata has no size; its end has.
    let size = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn drive(file: &std::path::Path, snapshot: bool, readonly: bool) -> Drive {
        Drive {
            file: file.to_owned(),
            snapshot,
            readonly,
            slot: crate::config::SlotId::Mmio(0),
            raw: true,
        }
    }

    fn disk() -> tempfile::NamedTempFile {
        let mut f = tempfile::NamedTempFile::new().expect("a temporary file");
        let sectors = (0..8u8).flat_map(|n| [n; 512]);
        f.write_all(&sectors.collect::<Vec<_>>()).expect("4 KiB");
        f
    }

    #[test]
    fn an_overlay_hides_the_base_sector_by_sector() {
        let f = disk();
        let before = std::fs::read(f.path()).expect("readable");
        let mut image = Image::open(&drive(f.path(), true, false)).expect("a disk");
        image.write(3, &[0xaa; 1024]).expect("room");
        let mut all = vec![0; 4096];
        image.read(0, &mut all).expect("the whole disk");
        let of = |n: usize| all[n * 512];
        assert_eq!([of(2), of(3), of(4), of(5)], [2, 0xaa, 0xaa, 5]);
        assert_eq!(std::fs::read(f.path()).expect("readable"), before);
    }

    #[test]
    fn a_writer_is_alone() {
        let f = disk();
        let writer = Image::open(&drive(f.path(), false, false)).expect("a disk");
        assert!(matches!(
            Image::open(&drive(f.path(), true, false)),
            Err(DiskError::InUse(_))
        ));
        drop(writer);
        let _a = Image::open(&drive(f.path(), true, false)).expect("a reader");
        let _b = Image::open(&drive(f.path(), false, true)).expect("another");
        assert!(matches!(
            Image::open(&drive(f.path(), false, false)),
            Err(DiskError::InUse(_))
        ));
    }

    #[test]
    fn the_edges_hold() {
        let f = disk();
        let mut image = Image::open(&drive(f.path(), false, false)).expect("a disk");
        assert!(image.read(7, &mut [0; 1024]).is_err());
        assert!(image.read(u64::MAX, &mut [0; 512]).is_err());
        assert!(image.write(0, &[0; 100]).is_err());
        let mut locked = Image::open(&drive(disk().path(), false, true)).expect("a disk");
        assert!(locked.write(0, &[0; 512]).is_err());
    }
}
