//! A file or block device of the host: locked, with or without the page cache.

use crate::{Access, DiskError};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::ops::Deref;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What is kept of a disk in the host's memory, and what a flush does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// The host's page cache; a flush writes it out (`fdatasync`).
    #[default]
    Writeback,
    /// No page cache (`O_DIRECT`); a flush is as before.
    None,
    /// The page cache, and a flush does nothing: all is lost when the host fails.
    Unsafe,
}

/// Opens a file or block device that is no disk image, and locks it as one; its size in
/// bytes, too.
///
/// # Errors
/// It cannot be opened, is in use, or is something else.
pub fn open_locked(path: &Path, access: Access) -> Result<(LockedFile, u64), DiskError> {
    let host = HostFile::open(path, access, Cache::Writeback)?;
    Ok((host.file, host.len))
}

/// Bytes written at once where zeros must be written.
const ZEROS: usize = 64 << 10;
/// Where memory for direct access begins.
const ALIGNMENTS: [usize; 2] = [512, 4096];

/// An open file with its lock, if its file system has any. Dropped, it is unlocked.
///
/// Closing alone does not do that while somebody holds a duplicate of the descriptor: a
/// child of this process does until it executes its program, whoever started it.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Many may read a file, or one may write it.
    fn lock(file: File, path: &Path, access: Access) -> Result<Self, DiskError> {
        let operation = match access {
            Access::Write => FlockOperation::NonBlockingLockExclusive,
            Access::Read => FlockOperation::NonBlockingLockShared,
        };
        match flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(DiskError::InUse(path.to_owned())),
            // Some file systems have no locks; that is no reason to refuse a disk.
            Err(e) => log::warn!("{} cannot be locked: {e}", path.display()),
        }
        Ok(Self(file))
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Where it cannot be locked it cannot be unlocked.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

/// An open file. Offsets and lengths are in bytes.
#[derive(Debug)]
pub(crate) struct HostFile {
    file: LockedFile,
    path: PathBuf,
    len: u64,
    is_file: bool,
    cache: Cache,
    /// What direct access is aligned to, in the file and in memory.
    align: Option<usize>,
    /// A flush failed: the host may have dropped what was to be written.
    lost: bool,
}

impl HostFile {
    /// Opens and locks a file.
    pub(crate) fn open(path: &Path, access: Access, cache: Cache) -> Result<Self, DiskError> {
        let writes = access == Access::Write;
        let mut options = OpenOptions::new();
        options.read(true).write(writes);
        // A FIFO is refused below, and not waited for.
        let mut flags = OFlags::NONBLOCK;
        flags.set(OFlags::DIRECT, cache == Cache::None);
        options.custom_flags(flags.bits().cast_signed());
        let file = options.open(path).map_err(|source| {
            // What O_DIRECT is refused with, where a file system has none.
            if cache == Cache::None && source.kind() == ErrorKind::InvalidInput {
                let why = "its file system knows no direct access".to_owned();
                let path = path.to_owned();
                return DiskError::Direct { path, why };
            }
            let denied = matches!(
                source.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            );
            DiskError::Open {
                path: path.to_owned(),
                advice: match denied && writes {
                    true => " for writing; add readonly=on or snapshot=on",
                    false => "",
                },
                source,
            }
        })?;
        Self::from_file(file, path, access, cache)
    }

    /// Takes an open file, which is called `path` in messages, and locks it.
    pub(crate) fn from_file(
        file: File,
        path: &Path,
        access: Access,
        cache: Cache,
    ) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Open {
            path: path.to_owned(),
            advice: "",
            source,
        };
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(DiskError::Kind {
                path: path.to_owned(),
                what: match kind.is_dir() {
                    true => "a folder",
                    false => "no regular file",
                },
            });
        }
        let file = LockedFile::lock(file, path, access)?;
        // A block device's metadata has no size; its end has.
        let len = (&*file).seek(SeekFrom::End(0)).map_err(failed)?;
        let mut host = Self {
            file,
            path: path.to_owned(),
            len,
            is_file: kind.is_file(),
            cache,
            align: None,
            lost: false,
        };
        if cache == Cache::None {
            host.align = Some(host.find_alignment()?);
        }
        Ok(host)
    }

    /// What the file system wants direct accesses aligned to, by trying.
    fn find_alignment(&self) -> Result<usize, DiskError> {
        let fits = |align: &&usize| {
            let mut bounce = Bounce::new(**align, **align);
            match self.file.read_at(bounce.bytes(), 0) {
                Ok(_) => true,
                Err(e) => e.kind() != ErrorKind::InvalidInput,
            }
        };
        let found = ALIGNMENTS.iter().find(fits).copied();
        found.ok_or_else(|| DiskError::Direct {
            path: self.path.clone(),
            why: "its file system wants more than 4096 bytes at once".to_owned(),
        })
    }

    /// The file's name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes in the file as the host has it now.
    pub(crate) fn now(&self) -> io::Result<u64> {
        match self.is_file {
            true => Ok(self.file.metadata()?.len()),
            false => Ok(self.len),
        }
    }

    /// What direct access is aligned to, if it is direct.
    pub(crate) fn align(&self) -> Option<usize> {
        self.align
    }

    /// Device and inode: whether two names are one file.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Bytes that it takes on the host.
    pub(crate) fn allocated(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks().saturating_mul(512))
    }

    /// Fills `bytes` from `offset` on; a file that ends before is an error.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_most(bytes, offset)? == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the file is shorter than the disk",
            )),
        }
    }

    /// Fills as much of `bytes` as there is in the file; returns how much.
    pub(crate) fn read_most(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(align) = self.align.filter(|a| !is_aligned(bytes, offset, *a)) else {
            return read_up_to(&self.file, bytes, offset);
        };
        let (start, lead, span) = around(offset, bytes.len(), align);
        let mut bounce = Bounce::new(span, align);
        let got = read_up_to(&self.file, bounce.bytes(), start)?;
        let got = got.saturating_sub(lead).min(bytes.len());
        let from = bounce.bytes().get(lead..lead + got);
        if let (Some(to), Some(from)) = (bytes.get_mut(..got), from) {
            to.copy_from_slice(from);
        }
        Ok(got)
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(bytes.len() as u64)
            .ok_or(ErrorKind::InvalidInput)?;
        match self.align.filter(|a| !is_aligned(bytes, offset, *a)) {
            None => self.file.write_all_at(bytes, offset)?,
            Some(align) => {
                let (start, lead, span) = around(offset, bytes.len(), align);
                let mut bounce = Bounce::new(span, align);
                if span != bytes.len() {
                    read_up_to(&self.file, bounce.bytes(), start)?;
                }
                if let Some(to) = bounce.bytes().get_mut(lead..lead + bytes.len()) {
                    to.copy_from_slice(bytes);
                }
                self.file.write_all_at(bounce.bytes(), start)?;
                self.len = self.len.max(start + span as u64);
            }
        }
        self.len = self.len.max(end);
        Ok(())
    }

    /// Makes a range zeros; `unmap` gives its room back where that is possible.
    pub(crate) fn zero(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let mode = match unmap {
            true => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            false => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        };
        // What lies beyond the end reads as zeros once the file is longer.
        let end = offset.checked_add(len).ok_or(ErrorKind::InvalidInput)?;
        let inside = end.min(self.len).saturating_sub(offset);
        if inside == 0 || fallocate(&*self.file, mode, offset, inside).is_ok() {
            return self.lengthen(end);
        }
        let zeros = [0; ZEROS];
        let mut at = offset;
        while at < end {
            let part = (end - at).min(ZEROS as u64) as usize;
            self.write(zeros.get(..part).unwrap_or(&zeros), at)?;
            at += part as u64;
        }
        Ok(())
    }

    /// Gives a range's room back, which reads as zeros after; no error where the host
    /// cannot, and it reads as before.
    pub(crate) fn discard(&self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(e) = fallocate(&*self.file, mode, offset, len) {
            log::debug!("{}: nothing is given back: {e}", self.path.display());
        }
    }

    /// Makes the file at least `len` bytes long; what is new reads as zeros.
    pub(crate) fn lengthen(&mut self, len: u64) -> io::Result<()> {
        if len > self.len {
            self.set_len(len)?;
        }
        Ok(())
    }

    /// Cuts the file, or makes it longer.
    pub(crate) fn set_len(&mut self, len: u64) -> io::Result<()> {
        if !self.is_file {
            return Err(ErrorKind::StorageFull.into());
        }
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    /// Makes durable what was written. A failure stays: what the host could not write
    /// it may have dropped since, so no later success would be one.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("an earlier flush of the disk failed"));
        }
        if self.cache == Cache::Unsafe {
            return Ok(());
        }
        let synced = self.file.sync_data();
        self.lost = synced.is_err();
        synced
    }

    /// Whether the file has data at `offset` or a hole, and up to where. What the host
    /// cannot tell is data.
    pub(crate) fn extent(&self, offset: u64) -> (bool, u64) {
        use rustix::fs::{SeekFrom, seek};
        match seek(&*self.file, SeekFrom::Data(offset)) {
            Ok(data) if data > offset => (false, data),
            Ok(_) => {
                let hole = seek(&*self.file, SeekFrom::Hole(offset));
                (true, hole.unwrap_or(self.len).max(offset))
            }
            Err(rustix::io::Errno::NXIO) => (false, self.len.max(offset)),
            Err(_) => (true, self.len.max(offset)),
        }
    }
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

fn is_aligned(bytes: &[u8], offset: u64, align: usize) -> bool {
    let memory = bytes.as_ptr().addr() | bytes.len();
    memory.is_multiple_of(align) && offset.is_multiple_of(align as u64)
}

/// The aligned range around one: its offset, what lies before, its length.
fn around(offset: u64, len: usize, align: usize) -> (u64, usize, usize) {
    let lead = (offset % align as u64) as usize;
    (
        offset - lead as u64,
        lead,
        (lead + len).next_multiple_of(align),
    )
}

/// Zeroed memory that begins where direct access wants it.
struct Bounce {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Bounce {
    fn new(len: usize, align: usize) -> Self {
        let memory = vec![0; len + align];
        let start = memory.as_ptr().addr().wrapping_neg() % align;
        Self { memory, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // `start` is below the alignment, which was added to the length.
        self.memory
            .get_mut(self.start..self.start + self.len)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_the_image_whoever_inherited_the_file() {
        let f = tempfile::NamedTempFile::new().expect("a temporary file");
        let open = |access| HostFile::open(f.path(), access, Cache::Writeback);
        for access in [Access::Write, Access::Read] {
            let host = open(access).expect("free");
            // As a child has it between fork and exec.
            let duplicate = host.file.try_clone().expect("a duplicate");
            assert!(matches!(open(Access::Write), Err(DiskError::InUse(_))));
            drop(host);
            drop(open(Access::Write).expect("free at once"));
            drop(duplicate);
        }
    }
}
