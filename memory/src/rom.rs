//! Memory that guests read and fetch from directly, and write through a device only:
//! the contents of a flash chip.
//!
//! Two ways lead here. Fetches see the contents, whatever state the chip is in: a page is
//! decoded and translated as one of RAM is, and its version says when that is outdated.
//! Loads see them while the chip is *direct*, that is, answers reads with its contents;
//! otherwise they go to the device as any register's.
//!
//! Loads do not enter the soft TLB. An entry would have to be dropped from all harts
//! before a chip's next command has an effect, and no load that counts is made here: what
//! starts in flash soon moves to RAM.
//!
//! Bytes are kept inverted, so that erased flash (all ones) is memory that the host never
//! had to give.

use crate::code::CodePages;
use crate::ram::Ram;
use crate::{PAGE, RamError};
use isoform_core::Size;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const WORD: u64 = 8;

/// A chip's contents at a guest-physical base. Only the chip's device calls what writes.
#[derive(Debug)]
pub struct Rom {
    base: u64,
    size: u64,
    /// Inverted, eight bytes each.
    words: Box<[AtomicU64]>,
    /// A bit a page: it may hold something that is not erased.
    used: Box<[AtomicU64]>,
    direct: AtomicBool,
    code: CodePages,
}

impl Rom {
    /// Erased contents beside `ram`, whose count of changed code pages it shares.
    ///
    /// # Errors
    /// [`RamError::Shape`]: base and size must be multiples of the page size, and not
    /// pass the end of the address space.
    pub fn new(base: u64, size: u64, ram: &Ram) -> Result<Self, RamError> {
        let shape = || RamError::Shape { base, size };
        if size == 0 || !(base | size).is_multiple_of(PAGE) || base.checked_add(size).is_none() {
            return Err(shape());
        }
        let words = usize::try_from(size / WORD).map_err(|_| shape())?;
        let pages = (size / PAGE) as usize;
        Ok(Self {
            base,
            size,
            words: bytemuck::zeroed_slice_box(words),
            used: bytemuck::zeroed_slice_box(pages.div_ceil(64)),
            direct: AtomicBool::new(true),
            code: ram.code().beside(pages),
        })
    }

    /// Guest-physical address of the first byte.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a guest-physical address lies here.
    #[inline]
    pub fn holds(&self, gpa: u64) -> bool {
        gpa.wrapping_sub(self.base) < self.size
    }

    fn page(&self, gpa: u64) -> usize {
        (gpa.wrapping_sub(self.base) / PAGE) as usize
    }

    /// Says whether loads are answered here.
    pub fn set_direct(&self, direct: bool) {
        self.direct.store(direct, Ordering::Release);
    }

    /// Loads for a hart, naturally aligned and zero-extended; `None` where the device is
    /// to answer.
    #[inline]
    pub fn load(&self, gpa: u64, size: Size) -> Option<u64> {
        if !self.direct.load(Ordering::Acquire) {
            return None;
        }
        self.content(gpa, size)
    }

    /// What the chip holds, naturally aligned and zero-extended, whatever its state.
    pub fn content(&self, gpa: u64, size: Size) -> Option<u64> {
        let offset = gpa.wrapping_sub(self.base);
        if offset >= self.size || offset & (size.bytes() - 1) != 0 {
            return None;
        }
        let word = self.words.get((offset / WORD) as usize)?;
        let word = !word.load(Ordering::Relaxed) >> (offset % WORD * 8);
        Some(size.truncate(word))
    }

    /// Copies out what the chip holds. `None` where not all of it lies here.
    pub fn read(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        self.check(gpa, bytes.len())?;
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = self.content(gpa + at as u64, Size::B1)? as u8;
        }
        Some(())
    }

    /// As [`Rom::read`], for a hart: `None` also where the device is to answer.
    pub fn read_direct(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        let direct = self.direct.load(Ordering::Acquire);
        direct.then(|| self.read(gpa, bytes)).flatten()
    }

    /// Changes what the chip holds. `None`, and nothing changed, where not all of it lies
    /// here. Calls must not overlap in time.
    pub fn write(&self, gpa: u64, bytes: &[u8]) -> Option<()> {
        self.check(gpa, bytes.len())?;
        let mut at = gpa - self.base;
        let mut rest = bytes;
        while !rest.is_empty() {
            let inside = (at % WORD) as usize;
            let (now, later) = rest.split_at(rest.len().min(WORD as usize - inside));
            let word = self.words.get((at / WORD) as usize)?;
            let mut value = word.load(Ordering::Relaxed).to_le_bytes();
            for (old, new) in value.iter_mut().skip(inside).zip(now) {
                *old = !new;
            }
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
            at += now.len() as u64;
            rest = later;
        }
        if let Some(last) = bytes.len().checked_sub(1) {
            for page in self.page(gpa)..=self.page(gpa + last as u64) {
                if let Some(word) = self.used.get(page / 64) {
                    word.fetch_or(1 << (page % 64), Ordering::Relaxed);
                }
                self.code.note_write(page);
            }
        }
        Some(())
    }

    fn check(&self, gpa: u64, len: usize) -> Option<()> {
        let offset = gpa.wrapping_sub(self.base);
        (offset < self.size && len as u64 <= self.size - offset).then_some(())
    }

    /// Guest-physical addresses of the pages that may hold something that is not erased.
    pub fn used_pages(&self) -> impl Iterator<Item = u64> + '_ {
        let used = |page: &u64| {
            let word = self.used.get((page / 64) as usize);
            word.is_some_and(|w| w.load(Ordering::Relaxed) >> (page % 64) & 1 != 0)
        };
        (0..self.size / PAGE)
            .filter(used)
            .map(|page| self.base + page * PAGE)
    }

    /// The version of the page at a guest-physical address.
    #[inline]
    pub fn version(&self, gpa: u64) -> u32 {
        self.code.version(self.page(gpa))
    }

    /// Copies out some of a page to decode code from, in words; the version that it has.
    /// Nobody writes here unseen: there is nobody to wait for.
    pub fn read_code(&self, gpa: u64, bytes: &mut [u8]) -> Option<u32> {
        let (version, _) = self.code.track(self.page(gpa));
        let words = bytes.as_chunks_mut::<8>().0;
        for (at, word) in words.iter_mut().enumerate() {
            *word = self
                .content(gpa + at as u64 * WORD, Size::B8)?
                .to_le_bytes();
        }
        Some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x2000_0000;

    fn rom() -> (Ram, Rom) {
        let ram = Ram::new(0x8000_0000, 0x1000).expect("4 KiB");
        let rom = Rom::new(BASE, 0x4000, &ram).expect("16 KiB");
        (ram, rom)
    }

    #[test]
    fn it_is_erased_until_written() {
        let (_, rom) = rom();
        assert_eq!(rom.load(BASE + 8, Size::B8), Some(u64::MAX));
        assert_eq!(rom.used_pages().count(), 0);
        rom.write(BASE + 0xffe, &[1, 2, 3, 4]).expect("inside");
        assert_eq!(rom.load(BASE + 0xffc, Size::B4), Some(0x0201_ffff));
        assert_eq!(rom.load(BASE + 0x1000, Size::B2), Some(0x0403));
        let mut bytes = [0; 6];
        rom.read(BASE + 0xffd, &mut bytes).expect("inside");
        assert_eq!(bytes, [0xff, 1, 2, 3, 4, 0xff]);
        assert!(rom.used_pages().eq([BASE, BASE + 0x1000]));
    }

    #[test]
    fn the_edges_hold() {
        let (_, rom) = rom();
        assert_eq!(rom.load(BASE - 1, Size::B1), None);
        assert_eq!(rom.load(BASE + 0x4000, Size::B1), None);
        assert_eq!(rom.load(BASE + 1, Size::B2), None);
        assert_eq!(rom.load(u64::MAX, Size::B1), None);
        assert_eq!(rom.write(BASE + 0x3fff, &[0, 0]), None);
        assert_eq!(rom.load(BASE + 0x3fff, Size::B1), Some(0xff));
        assert_eq!(rom.read(BASE + 0x3fff, &mut [0; 2]), None);
        assert_eq!(rom.write(BASE - 1, &[]), None);
        assert!(Rom::new(BASE, 100, &Ram::new(0, 0x1000).expect("4 KiB")).is_err());
        assert!(
            Rom::new(
                u64::MAX - 0xfff,
                0x2000,
                &Ram::new(0, 0x1000).expect("4 KiB")
            )
            .is_err()
        );
    }

    #[test]
    fn loads_go_to_the_device_while_it_is_busy_and_fetches_do_not() {
        let (_, rom) = rom();
        rom.write(BASE, &[7]).expect("inside");
        rom.set_direct(false);
        assert_eq!(rom.load(BASE, Size::B1), None);
        assert_eq!(rom.read_direct(BASE, &mut [0]), None);
        assert_eq!(rom.content(BASE, Size::B1), Some(7));
        let mut page = [0; 4096];
        assert_eq!(rom.read_code(BASE, &mut page), Some(0));
        assert_eq!(page[..2], [7, 0xff]);
    }

    #[test]
    fn a_write_outdates_what_was_decoded() {
        let (ram, rom) = rom();
        let mut page = [0; 4096];
        let version = rom.read_code(BASE, &mut page);
        assert_eq!(version, Some(rom.version(BASE)));
        let changes = ram.code().changes();
        rom.write(BASE + 0x1000, &[1]).expect("inside");
        assert_eq!(ram.code().changes(), changes, "another page");
        rom.write(BASE + 0xfff, &[1]).expect("inside");
        assert_ne!(version, Some(rom.version(BASE)));
        assert_ne!(ram.code().changes(), changes);
    }
}
