//! Guest RAM: one memfd, mapped shared.

use crate::PAGE;
use crate::code::CodePages;
use crate::host::fence_behind_atomic;
use isoform_core::Size;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vm_memory::{GuestMemoryRegion, GuestRegionMmap};

/// RAM as virtqueues see it. Writes through it are noted in [`CodePages`].
pub type Dma = GuestMemoryMmap<CodePages>;

/// Why guest RAM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RamError {
    /// Not a positive multiple of the page size, or beyond the address space.
    #[error("{size:#x} bytes of RAM at {base:#x}: base and size must be multiples of 4 KiB")]
    Shape {
        /// Guest-physical start.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The host refuses.
    #[error("the host has no {size:#x} bytes of address space for guest RAM")]
    Host {
        /// Bytes.
        size: u64,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
    /// The host takes no memory back.
    #[error("the host does not take {size:#x} bytes of guest RAM back")]
    Discard {
        /// Bytes.
        size: u64,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
}

/// Guest RAM at a guest-physical base.
///
/// Accesses are checked against base and size, naturally aligned (else `None`), and
/// single relaxed atomics.
#[derive(Debug)]
pub struct Ram {
    /// Owns the mapping that `host` points into.
    dma: Dma,
    base: u64,
    size: u64,
    host: *mut u8,
    code: CodePages,
}

#[expect(
    unsafe_code,
    reason = "the raw pointer hides that the mapping may be shared"
)]
// SAFETY: `host` points to a mapping that `dma` owns and that is never unmapped or
// moved while `self` lives; all accesses through it are atomic.
unsafe impl Send for Ram {}
#[expect(
    unsafe_code,
    reason = "the raw pointer hides that the mapping may be shared"
)]
// SAFETY: as above.
unsafe impl Sync for Ram {}

impl Ram {
    /// Zeroed RAM. Pages cost host memory only once touched.
    pub fn new(base: u64, size: u64) -> Result<Self, RamError> {
        let shape = || RamError::Shape { base, size };
        if size == 0 || !(base | size).is_multiple_of(PAGE) || base.checked_add(size).is_none() {
            return Err(shape());
        }
        let length = usize::try_from(size).map_err(|_| shape())?;
        let host_error = |e: &dyn std::fmt::Display| RamError::Host {
            size,
            source: std::io::Error::other(e.to_string()),
        };
        let errno = |e: rustix::io::Errno| RamError::Host {
            size,
            source: e.into(),
        };

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("isoform-ram", flags).map_err(errno)?;
        ftruncate(&fd, size).map_err(errno)?;
        // A file that cannot shrink cannot turn accesses into SIGBUS.
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).map_err(errno)?;

        let code = CodePages::new((size / PAGE) as usize);
        let region = MmapRegionBuilder::new_with_bitmap(length, code.clone())
            .with_file_offset(FileOffset::new(File::from(fd), 0))
            .with_mmap_prot((ProtFlags::READ | ProtFlags::WRITE).bits() as i32)
            .with_mmap_flags((MapFlags::SHARED | MapFlags::NORESERVE).bits() as i32)
            .build()
            .map_err(|e| host_error(&e))?;
        let host = region.as_ptr();
        let region = GuestRegionMmap::new(region, GuestAddress(base)).ok_or_else(shape)?;
        let dma = Dma::from_regions(vec![region]).map_err(|e| host_error(&e))?;
        Ok(Self {
            dma,
            base,
            size,
            host,
            code,
        })
    }

    /// RAM for virtqueues.
    pub fn dma(&self) -> &Dma {
        &self.dma
    }

    /// Guest-physical address of the first byte.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tracking of code pages; pages are numbered from the start of RAM.
    pub fn code(&self) -> &CodePages {
        &self.code
    }

    /// Index of the page that holds a guest-physical address in RAM.
    #[inline]
    pub fn page_index(&self, gpa: u64) -> Option<usize> {
        let offset = gpa.wrapping_sub(self.base);
        (offset < self.size).then_some((offset / PAGE) as usize)
    }

    /// Host address of `len` bytes that lie wholly in RAM.
    #[inline]
    pub(crate) fn host(&self, gpa: u64, len: u64) -> Option<*mut u8> {
        let offset = gpa.wrapping_sub(self.base);
        let fits = offset < self.size && len <= self.size - offset;
        fits.then(|| self.host.wrapping_add(offset as usize))
    }

    /// Loads, zero-extended.
    #[inline]
    pub fn load(&self, gpa: u64, size: Size) -> Option<u64> {
        let host = self.aligned(gpa, size)?;
        // SAFETY: `aligned` gave an aligned address inside the mapping.
        #[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
        Some(unsafe { load(host, size) })
    }

    /// Stores the low bytes, and notes the write.
    #[inline]
    pub fn store(&self, gpa: u64, size: Size, value: u64) -> Option<()> {
        let host = self.aligned(gpa, size)?;
        // SAFETY: `aligned` gave an aligned address inside the mapping.
        #[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
        unsafe {
            store(host, size, value)
        };
        self.code.note_write(self.page_index(gpa)?);
        Some(())
    }

    /// Atomic compare-and-swap; the value found. Notes the write where it happened.
    pub fn compare_exchange(&self, gpa: u64, size: Size, old: u64, new: u64) -> Option<u64> {
        let host = self.aligned(gpa, size)?;
        // SAFETY: `aligned` gave an aligned address inside the mapping.
        #[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
        let found = unsafe { compare_exchange(host, size, old, new) };
        if found == size.truncate(old) {
            self.code.note_write(self.page_index(gpa)?);
        }
        Some(found)
    }

    fn aligned(&self, gpa: u64, size: Size) -> Option<*mut u8> {
        if gpa & (size.bytes() - 1) != 0 {
            return None;
        }
        self.host(gpa, size.bytes())
    }

    /// Copies bytes out, each read once. `None` where they do not lie in RAM.
    pub fn read(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        let host = self.host(gpa, bytes.len() as u64)?;
        let (mut at, mut rest) = (0, bytes);
        // Words where alignment allows: a code page is copied at each revalidation.
        if gpa.is_multiple_of(8) {
            let (words, tail) = rest.as_chunks_mut::<8>();
            for word in words {
                // SAFETY: `host` gave room for all of `bytes`; 8-aligned as `gpa` is.
                #[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
                let value = unsafe { load(host.wrapping_add(at), Size::B8) };
                *word = value.to_le_bytes();
                at += 8;
            }
            rest = tail;
        }
        for byte in rest {
            // SAFETY: `host` gave room for all of `bytes`.
            #[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
            let value = unsafe { load(host.wrapping_add(at), Size::B1) };
            *byte = value as u8;
            at += 1;
        }
        Some(())
    }

    /// Copies bytes in, and notes the writes. `None`, and nothing written, where they
    /// do not lie in RAM.
    pub fn write(&self, gpa: u64, bytes: &[u8]) -> Option<()> {
        use vm_memory::Bytes;
        self.host(gpa, bytes.len() as u64)?;
        self.dma.write_slice(bytes, GuestAddress(gpa)).ok()
    }

    /// Calls `each` with the address and content of every page that is not all zero,
    /// in the order of addresses. Pages that were never touched stay so.
    ///
    /// No guest code may run meanwhile. Errors are the host's, on reading the memfd.
    pub fn for_each_page(&self, mut each: impl FnMut(u64, &[u8])) -> std::io::Result<()> {
        let regions = self.dma.iter();
        for file in regions.filter_map(GuestMemoryRegion::file_offset) {
            let file = file.file();
            let mut at = 0;
            let mut page = [0; PAGE as usize];
            // Read through the file: a load from the mapping would allocate the page.
            while let Some(start) = next_data(file, at)? {
                file.read_exact_at(&mut page, start)?;
                if page.iter().any(|b| *b != 0) {
                    each(self.base + start, &page);
                }
                at = start + PAGE;
            }
        }
        Ok(())
    }

    /// Zeroes all of RAM and gives its memory back to the host.
    pub fn clear(&self) -> Result<(), RamError> {
        self.discard(self.base, self.size)
    }

    /// Zeroes whole pages and gives their memory back to the host, until they are touched
    /// again. A write like any other: who holds their code decoded notices.
    ///
    /// It goes through the file, not the mapping: a hole in a file whose size is sealed
    /// leaves every mapping of it where it is, as zeroes that somebody else wrote. So raw
    /// addresses stay good, and pages of the host that are larger than the guest's are
    /// zeroed in part.
    ///
    /// # Errors
    /// They are not whole pages of this RAM, or the host refuses.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<(), RamError> {
        let whole = (gpa | size).is_multiple_of(PAGE) && self.host(gpa, size).is_some();
        if !whole || size == 0 {
            return Err(RamError::Shape { base: gpa, size });
        }
        let offset = gpa - self.base;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let regions = self.dma.iter();
        for file in regions.filter_map(GuestMemoryRegion::file_offset) {
            let host = |e: rustix::io::Errno| RamError::Discard {
                size,
                source: e.into(),
            };
            fallocate(file.file(), hole, offset, size).map_err(host)?;
        }
        let first = (offset / PAGE) as usize;
        self.code.note_writes(first..first + (size / PAGE) as usize);
        Ok(())
    }
}

/// The first page from `at` on that the host holds memory for.
fn next_data(file: &File, at: u64) -> std::io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(found) => Ok(Some(found - found % PAGE)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Loads from guest RAM, zero-extended.
///
/// # Safety
/// `host` is aligned to `size` and points into a live mapping of guest RAM.
#[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
#[inline(always)]
pub(crate) unsafe fn load(host: *mut u8, size: Size) -> u64 {
    // SAFETY: the caller's promise; accesses are atomic, so races are defined.
    unsafe {
        match size {
            Size::B1 => AtomicU8::from_ptr(host).load(Ordering::Relaxed) as u64,
            Size::B2 => AtomicU16::from_ptr(host.cast()).load(Ordering::Relaxed) as u64,
            Size::B4 => AtomicU32::from_ptr(host.cast()).load(Ordering::Relaxed) as u64,
            Size::B8 => AtomicU64::from_ptr(host.cast()).load(Ordering::Relaxed),
        }
    }
}

/// Stores to guest RAM.
///
/// # Safety
/// As [`load`].
#[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
#[inline(always)]
pub(crate) unsafe fn store(host: *mut u8, size: Size, value: u64) {
    // SAFETY: the caller's promise; accesses are atomic, so races are defined.
    unsafe {
        match size {
            Size::B1 => AtomicU8::from_ptr(host).store(value as u8, Ordering::Relaxed),
            Size::B2 => AtomicU16::from_ptr(host.cast()).store(value as u16, Ordering::Relaxed),
            Size::B4 => AtomicU32::from_ptr(host.cast()).store(value as u32, Ordering::Relaxed),
            Size::B8 => AtomicU64::from_ptr(host.cast()).store(value, Ordering::Relaxed),
        }
    }
}

/// Sequentially consistent compare-and-swap; the value found, zero-extended.
///
/// # Safety
/// As [`load`].
#[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
pub(crate) unsafe fn compare_exchange(host: *mut u8, size: Size, old: u64, new: u64) -> u64 {
    const O: Ordering = Ordering::SeqCst;
    fn found<T>(r: Result<T, T>) -> T {
        r.unwrap_or_else(|v| v)
    }
    // SAFETY: the caller's promise; accesses are atomic, so races are defined.
    let value = unsafe {
        match size {
            Size::B1 => {
                found(AtomicU8::from_ptr(host).compare_exchange(old as u8, new as u8, O, O)).into()
            }
            Size::B2 => found(
                AtomicU16::from_ptr(host.cast()).compare_exchange(old as u16, new as u16, O, O),
            )
            .into(),
            Size::B4 => found(
                AtomicU32::from_ptr(host.cast()).compare_exchange(old as u32, new as u32, O, O),
            )
            .into(),
            Size::B8 => found(AtomicU64::from_ptr(host.cast()).compare_exchange(old, new, O, O)),
        }
    };
    fence_behind_atomic();
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x8000_0000;

    #[test]
    fn accesses_are_checked_against_the_edges() {
        let ram = Ram::new(BASE, 0x2000).expect("8 KiB");
        assert_eq!(ram.load(BASE - 8, Size::B8), None);
        assert_eq!(ram.load(BASE + 0x2000, Size::B1), None);
        assert_eq!(ram.load(BASE + 1, Size::B2), None);
        assert_eq!(ram.load(u64::MAX, Size::B1), None);
        assert_eq!(
            ram.store(BASE + 0x1ff8, Size::B8, 0x1122_3344_5566_7788),
            Some(())
        );
        assert_eq!(ram.load(BASE + 0x1ffc, Size::B4), Some(0x1122_3344));
        assert_eq!(ram.read(BASE + 0x1fff, &mut [0; 2]), None);
        let mut bytes = [0; 9];
        assert_eq!(ram.read(BASE + 0x1ff7, &mut bytes), Some(()));
        assert_eq!(bytes, [0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    }

    #[test]
    fn a_large_ram_costs_nothing_until_touched() {
        let ram = Ram::new(BASE, 64 << 30).expect("64 GiB of address space");
        let last = BASE + (64 << 30) - 8;
        assert_eq!(ram.store(last, Size::B8, 7), Some(()));
        assert_eq!(ram.load(last, Size::B8), Some(7));
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let rss: u64 = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .and_then(|v| v.trim().trim_end_matches(" kB").parse().ok())
            .expect("VmRSS in kB");
        assert!(rss < 64 << 10, "{rss} kB resident");
    }

    #[test]
    fn pages_with_content_are_found_and_no_others_made() {
        let ram = Ram::new(BASE, 1 << 30).expect("1 GiB of address space");
        let pages = || {
            let mut found = Vec::new();
            let each = |gpa, bytes: &[u8]| found.push((gpa - BASE, bytes[8], bytes.len()));
            ram.for_each_page(each).expect("the memfd can be read");
            found
        };
        assert_eq!(pages(), []);
        for (offset, value) in [(0x3fff_f008, 3), (8, 1), (0x5008, 2), (0x7008, 0)] {
            ram.store(BASE + offset, Size::B1, value).expect("in RAM");
        }
        assert_eq!(
            pages(),
            [(0, 1, 4096), (0x5000, 2, 4096), (0x3fff_f000, 3, 4096)]
        );
        let file = ram.dma().iter().find_map(|r| r.file_offset().cloned());
        let stat = rustix::fs::fstat(file.expect("a memfd").file()).expect("its status");
        assert!(
            stat.st_blocks < 64,
            "{} blocks of 512 bytes in use",
            stat.st_blocks
        );
    }

    #[test]
    fn discarded_pages_are_zero_and_cost_nothing() {
        let ram = Ram::new(BASE, 1 << 20).expect("1 MiB");
        ram.write(BASE, &vec![7; 1 << 20]).expect("in RAM");
        for page in 0..4 {
            ram.code().track(page);
        }
        ram.discard(BASE + 0x1000, 0x2000).expect("whole pages");
        assert_eq!([0, 1, 2, 3].map(|n| ram.code().version(n)), [0, 1, 1, 0]);
        let byte = |offset| ram.load(BASE + offset, Size::B1).expect("in RAM");
        assert_eq!([0xfff, 0x1000, 0x2fff, 0x3000].map(byte), [7, 0, 0, 7]);
        ram.discard(BASE + 0x4000, (1 << 20) - 0x4000)
            .expect("up to the end");
        let mut pages = 0;
        let each = |_, _: &[u8]| pages += 1;
        ram.for_each_page(each).expect("the memfd can be read");
        assert_eq!(pages, 2, "the first and the fourth");
        ram.store(BASE + 0x1000, Size::B1, 5).expect("in RAM");
        assert_eq!(byte(0x1000), 5, "there again when touched");
    }

    #[test]
    fn only_whole_pages_of_ram_are_discarded() {
        let ram = Ram::new(BASE, 0x4000).expect("16 KiB");
        ram.write(BASE, &[7; 0x4000]).expect("in RAM");
        for (gpa, size) in [
            (BASE, 0),
            (BASE + 8, 0x1000),
            (BASE, 0xfff),
            (BASE - 0x1000, 0x2000),
            (BASE + 0x3000, 0x2000),
            (BASE, !0xfff),
            (0, 0x1000),
        ] {
            assert!(ram.discard(gpa, size).is_err(), "{size:#x} at {gpa:#x}");
        }
        let mut bytes = [0; 0x4000];
        ram.read(BASE, &mut bytes).expect("in RAM");
        assert!(bytes.iter().all(|b| *b == 7));
    }

    #[test]
    fn every_kind_of_write_is_noted() {
        let ram = Ram::new(BASE, 0x4000).expect("16 KiB");
        let version = |n| ram.code().version(n);
        for page in 0..4 {
            ram.code().track(page);
        }
        ram.store(BASE, Size::B1, 1).expect("in RAM");
        ram.write(BASE + 0x1fff, &[1, 2]).expect("in RAM");
        assert_eq!([0, 1, 2, 3].map(version), [1, 1, 1, 0]);
        assert_eq!(ram.compare_exchange(BASE + 0x3000, Size::B4, 1, 2), Some(0));
        assert_eq!(version(3), 0, "nothing was written");
        assert_eq!(ram.compare_exchange(BASE + 0x3000, Size::B4, 0, 2), Some(0));
        assert_eq!(version(3), 1);
        ram.code().track(3);
        ram.clear().expect("RAM can be cleared");
        assert_eq!(version(3), 2);
        assert_eq!(ram.load(BASE + 0x3000, Size::B4), Some(0));
    }
}
