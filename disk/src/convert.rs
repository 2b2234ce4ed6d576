//! One image into another, what is zeros left out.

use crate::host::Cache;
use crate::image::{Extent, Image, Request};
use crate::make::{NewImage, Pending, fill};
use crate::probe::Format;
use crate::{DiskError, SECTOR};
use std::path::Path;

/// Sectors copied at once.
const PART: u64 = 4096;
/// Bytes that are left out together if all are zeros.
const ZEROS: usize = 4096;

/// Copies a disk into a new file, with what it builds upon. `progress` hears of sectors
/// done and of those in all.
///
/// # Errors
/// What [`Image::open`] and [`create`](crate::create) give; the host's.
pub fn convert(
    from: &Request,
    path: &Path,
    new: &NewImage,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), DiskError> {
    let mut source = Image::open(&Request {
        read_only: true,
        snapshot: false,
        ..from.clone()
    })?;
    let sectors = source.sectors();
    let new = NewImage {
        size: sectors * SECTOR,
        ..new.clone()
    };
    let pending = Pending::new(path, new.force)?;
    fill(&pending, &new, None)?;
    let target = Request {
        format: Some(new.format),
        cache: Cache::Unsafe,
        ..Request::of(path)
    };
    let mut target = Image::open_file(pending.open()?, &target)?;
    let unit = match new.format {
        Format::Raw => ZEROS,
        Format::Qcow2 => ZEROS.max(new.cluster as usize),
    };
    let mut buffer = vec![0; (PART * SECTOR) as usize];
    let mut at = 0;
    while at < sectors {
        let most = (sectors - at).min(PART - at % PART);
        let reading = || DiskError::io("cannot read", &from.path);
        let (extent, len) = source.extent(at, most).map_err(reading())?;
        if extent == Extent::Data {
            let (part, _) = buffer.split_at_mut((len * SECTOR) as usize);
            source.read(at, part).map_err(reading())?;
            copy(&mut target, at, part, unit).map_err(DiskError::io("cannot write", path))?;
        }
        at += len;
        progress(at, sectors);
    }
    target
        .close()
        .map_err(DiskError::io("cannot write", path))?;
    pending.appear()
}

/// Writes what is not zeros, in runs of units that are aligned on the disk.
fn copy(target: &mut Image, sector: u64, bytes: &[u8], unit: usize) -> std::io::Result<()> {
    let mut rest = bytes;
    let mut at = sector * SECTOR;
    // The run of data that ends where `rest` begins.
    let mut run: &[u8] = &[];
    while !rest.is_empty() {
        let len = (unit - at as usize % unit).min(rest.len());
        let (part, after) = rest.split_at(len);
        at += len as u64;
        rest = after;
        let start = bytes.len() - after.len() - len - run.len();
        if part.iter().any(|byte| *byte != 0) {
            run = bytes.get(start..start + run.len() + len).unwrap_or(part);
            if !rest.is_empty() {
                continue;
            }
        }
        if !run.is_empty() {
            target.write(sector + start as u64 / SECTOR, run)?;
            run = &[];
        }
    }
    Ok(())
}
