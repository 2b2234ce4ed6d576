//! A private overlay: writes go to an unnamed temporary file that vanishes with the
//! process, sector by sector.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes in a sector, the unit of what is overlaid.
const SECTOR: u64 = 512;

/// What was written, and where it is.
#[derive(Debug)]
pub(super) struct Overlay {
    /// Laid out as the disk; sparse.
    file: File,
    /// A bit per sector: it is in the overlay.
    written: Vec<u64>,
}

impl Overlay {
    /// An empty overlay for a disk of `sectors`.
    pub(super) fn new(sectors: u64) -> io::Result<Self> {
        let words = usize::try_from(sectors.div_ceil(64)).map_err(io::Error::other)?;
        Ok(Self {
            file: tempfile::tempfile()?,
            written: vec![0; words],
        })
    }

    fn has(&self, sector: u64) -> bool {
        let word = self.written.get((sector / 64) as usize);
        word.is_some_and(|w| w >> (sector % 64) & 1 != 0)
    }

    /// Reads whole sectors; those not overlaid come from `base`.
    pub(super) fn read(&self, base: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|r| !r.is_empty()) {
            let sector = (offset + at as u64) / SECTOR;
            let here = self.has(sector);
            // A run of sectors from the same place is read at once.
            let most = rest.len() as u64 / SECTOR;
            let run = (1..most)
                .take_while(|n| self.has(sector + n) == here)
                .count()
                + 1;
            let len = rest.len().min(run * SECTOR as usize);
            let source = if here { &self.file } else { base };
            if let Some(part) = rest.get_mut(..len) {
                source.read_exact_at(part, offset + at as u64)?;
            }
            at += len;
        }
        Ok(())
    }

    /// Writes whole sectors.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        let first = offset / SECTOR;
        for sector in first..first + bytes.len() as u64 / SECTOR {
            if let Some(word) = self.written.get_mut((sector / 64) as usize) {
                *word |= 1 << (sector % 64);
            }
        }
        Ok(())
    }
}
