//! A private overlay: writes go to an unnamed temporary file that vanishes with the
//! process, sector by sector.

use crate::SECTOR;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What was written, and where it is.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Laid out as the disk; sparse.
    file: File,
    /// A bit per sector that is in the overlay, 64 sectors a word. Words without any are
    /// missing: a disk may be larger than the host's memory.
    written: HashMap<u64, u64>,
}

impl Overlay {
    /// An empty overlay.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            written: HashMap::new(),
        })
    }

    fn has(&self, sector: u64) -> bool {
        let word = self.written.get(&(sector / 64));
        word.is_some_and(|w| w >> (sector % 64) & 1 != 0)
    }

    /// Reads whole sectors; those not overlaid are read by `base`.
    pub(crate) fn read(
        &self,
        offset: u64,
        bytes: &mut [u8],
        mut base: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|r| !r.is_empty()) {
            let offset = offset + at as u64;
            let sector = offset / SECTOR;
            let here = self.has(sector);
            // A run of sectors from the same place is read at once.
            let most = rest.len() as u64 / SECTOR;
            let run = (1..most)
                .take_while(|n| self.has(sector + n) == here)
                .count()
                + 1;
            let len = rest.len().min(run * SECTOR as usize);
            let (part, _) = rest.split_at_mut(len);
            match here {
                true => self.file.read_exact_at(part, offset)?,
                false => base(offset, part)?,
            }
            at += len;
        }
        Ok(())
    }

    /// Writes whole sectors.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        let first = offset / SECTOR;
        for sector in first..first + bytes.len() as u64 / SECTOR {
            *self.written.entry(sector / 64).or_default() |= 1 << (sector % 64);
        }
        Ok(())
    }
}
