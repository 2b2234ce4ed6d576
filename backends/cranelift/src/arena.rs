//! Memory for generated code, mapped twice: writable at one place and executable at the
//! other, so that no page is ever both (W^X).
//!
//! It is shared memory without a file: perf takes code in a file, a memfd too, for the
//! file's, and would not look for our names of it.

use crate::host;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags, madvise, mmap, mmap_anonymous,
    mprotect, mremap, munmap,
};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What code is aligned to.
const ALIGN: usize = 16;
const PAGE: usize = 4096;

/// Hands out the memory: bytes from the start on, and all at once anew.
pub(crate) struct Arena {
    maps: Arc<Maps>,
    used: usize,
    /// Bytes from the start on that were unmapped from the writable place.
    released: usize,
}

/// Bytes written until their pages are unmapped from where they were written: they
/// would be resident twice.
const RELEASE: usize = 256 << 10;

/// The two mappings. Code stays where it is while somebody has this.
pub(crate) struct Maps {
    writable: Mapping,
    executable: Mapping,
}

impl Maps {
    fn new(size: usize) -> std::io::Result<Self> {
        let twice = |writable: Mapping| Ok((writable.executable()?, writable));
        let mapped = Mapping::writable(size).and_then(twice);
        // QEMU's user mode knows mremap for moving memory only.
        let (executable, writable) = mapped.or_else(|_| Mapping::of_file(size))?;
        Ok(Self {
            writable,
            executable,
        })
    }

    /// Changes four bytes of code, given the address at which they are executed, at once
    /// as seen by whoever does: they must not cross a multiple of 8. One thread at a time
    /// may do so.
    pub(crate) fn change(&self, at: usize, bytes: [u8; 4]) {
        let offset = at.wrapping_sub(self.executable.start.as_ptr() as usize);
        let (word, within) = (offset & !7, offset & 7);
        debug_assert!(word + 8 <= self.executable.size && within <= 4);
        if word.saturating_add(8) > self.executable.size || within > 4 {
            return;
        }
        let written = self.writable.start.as_ptr();
        // SAFETY: aligned words within the mapping. Nobody else writes to them: what is
        // handed out begins at multiples of 16.
        #[expect(unsafe_code, reason = "code is written through a raw address")]
        let (word, half) = unsafe {
            let half = AtomicU32::from_ptr(written.add(offset & !3).cast());
            (AtomicU64::from_ptr(written.add(word).cast()), half)
        };
        if within.is_multiple_of(4) {
            // AArch64 allows the one instruction to be written, not its neighbour.
            half.store(u32::from_ne_bytes(bytes), Ordering::Release);
        } else {
            let mut code = word.load(Ordering::Relaxed).to_ne_bytes();
            code[within..within + 4].copy_from_slice(&bytes);
            word.store(u64::from_ne_bytes(code), Ordering::Release);
        }
        let executed = self.executable.start.as_ptr().wrapping_add(offset);
        host::changed(written.wrapping_add(offset), executed);
    }
}

#[cfg(test)]
impl Maps {
    /// Four bytes of code.
    pub(crate) fn read(&self, at: usize) -> [u8; 4] {
        let offset = at - self.executable.start.as_ptr() as usize;
        assert!(offset + 4 <= self.executable.size);
        // SAFETY: within the mapping; nobody writes in a test.
        #[expect(unsafe_code, reason = "code is read through a raw address")]
        unsafe {
            self.executable
                .start
                .as_ptr()
                .add(offset)
                .cast::<[u8; 4]>()
                .read()
        }
    }
}

struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

#[expect(unsafe_code, reason = "a mapping is owned like a Vec")]
// SAFETY: the mapping is owned by this value alone, and is process-wide.
unsafe impl Send for Mapping {}
#[expect(unsafe_code, reason = "a mapping is owned like a Vec")]
// SAFETY: a shared reference leads to memory only where code is handed out, which one
// thread at a time does (it has the arena to itself), and changed, by atomic stores.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Fresh memory, to write to. It costs nothing until it is used.
    fn writable(size: usize) -> rustix::io::Result<Self> {
        let (prot, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED | MapFlags::NORESERVE,
        );
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        #[expect(unsafe_code, reason = "mmap is unsafe by nature")]
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), size, prot, flags)? };
        Self::at(start, size)
    }

    /// The same memory at another place, to execute.
    fn executable(&self) -> rustix::io::Result<Self> {
        // SAFETY: of a shared mapping nothing is moved, it is made once more (mremap(2),
        // where the old size is 0), at an address of the kernel's choice.
        #[expect(unsafe_code, reason = "mremap is unsafe by nature")]
        let start = unsafe {
            let flags = MremapFlags::MAYMOVE;
            mremap(self.start.as_ptr().cast(), 0, self.size, flags)?
        };
        let this = Self::at(start, self.size)?;
        // SAFETY: the mapping was just made, and nobody knows of it.
        #[expect(unsafe_code, reason = "mprotect is unsafe by nature")]
        unsafe {
            mprotect(start, self.size, MprotectFlags::READ | MprotectFlags::EXEC)?;
        }
        Ok(this)
    }

    /// The two mappings of a file without a name: to execute, and to write to.
    fn of_file(size: usize) -> rustix::io::Result<(Self, Self)> {
        let file = memfd_create("code", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, size as u64)?;
        let map = |access| {
            let (prot, null) = (ProtFlags::READ | access, std::ptr::null_mut());
            let flags = MapFlags::SHARED | MapFlags::NORESERVE;
            // SAFETY: a fresh mapping at an address of the kernel's choice, of a file that
            // nobody else has.
            #[expect(unsafe_code, reason = "mmap is unsafe by nature")]
            let start = unsafe { mmap(null, size, prot, flags, &file, 0)? };
            Self::at(start, size)
        };
        Ok((map(ProtFlags::EXEC)?, map(ProtFlags::WRITE)?))
    }

    fn at(start: *mut std::ffi::c_void, size: usize) -> rustix::io::Result<Self> {
        let start = NonNull::new(start.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { start, size })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nobody uses it any more.
        #[expect(unsafe_code, reason = "munmap is unsafe by nature")]
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.size) };
        if let Err(e) = unmapped {
            log::warn!("the code cache is not given back: {e}");
        }
    }
}

impl Arena {
    /// Room for `size` bytes of code; they cost memory only once used.
    pub(crate) fn new(size: usize) -> std::io::Result<Self> {
        Ok(Self {
            maps: Arc::new(Maps::new(size.next_multiple_of(PAGE))?),
            used: 0,
            released: 0,
        })
    }

    /// The mappings, to change code in.
    pub(crate) fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The address at which the next code will be executed.
    pub(crate) fn next(&self) -> usize {
        self.maps.executable.start.as_ptr() as usize + self.used
    }

    /// Copies code in; the address to execute it at, which [`Arena::next`] told. `None`
    /// where there is no room.
    pub(crate) fn put(&mut self, code: &[u8]) -> Option<usize> {
        let room = self.maps.writable.size - self.used;
        if code.len() > room {
            return None;
        }
        let at = self.next();
        // SAFETY: `used + len` is within the mapping, and no code lies there: nobody
        // executes from behind `used`.
        #[expect(unsafe_code, reason = "code is written through a raw address")]
        unsafe {
            let to = self.maps.writable.start.as_ptr().add(self.used);
            to.copy_from_nonoverlapping(code.as_ptr(), code.len());
            host::written(to, at as *const u8, code.len());
        }
        self.used += code.len().next_multiple_of(ALIGN).min(room);
        self.release();
        Some(at)
    }

    /// Unmaps what was written from the writable place, where much of it is complete.
    fn release(&mut self) {
        let complete = self.used & !(PAGE - 1);
        if complete < self.released + RELEASE {
            return;
        }
        // From the start: jumps in what was released before have been changed since.
        // SAFETY: whole pages within the mapping. It is shared: the content stays where
        // it is, and is there again at the next write.
        #[expect(unsafe_code, reason = "madvise is unsafe by nature")]
        let released = unsafe {
            let start = self.maps.writable.start.as_ptr();
            madvise(start.cast(), complete, Advice::LinuxDontNeed)
        };
        if released.is_ok() {
            self.released = complete;
        }
    }

    /// Forgets all code behind the first `used` bytes. Nobody executes it any more.
    pub(crate) fn rewind(&mut self, used: usize) {
        // Whoever still has some of it in a pipeline is to fetch anew what comes to lie there.
        host::synchronise();
        self.used = used;
        self.released = self.released.min(used & !(PAGE - 1));
    }
}
