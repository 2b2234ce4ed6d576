//! Where bytes to load come from: a file, or bytes the program itself holds.
//!
//! Files are read piece by piece, never whole, and stay open: a guest's reset
//! loads the same kernel again, at no cost in memory meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::LoadError;
use isoform_disk::{DiskError, Image, Request, SECTOR};

/// Something to load, with the name errors call it by.
#[derive(Clone)]
pub struct Source {
    name: String,
    data: Data,
}

#[derive(Clone)]
enum Data {
    File { file: Arc<File>, len: u64 },
    Disk { image: Arc<Mutex<Image>>, len: u64 },
    Static(&'static [u8]),
    Owned(Arc<[u8]>),
}

impl std::fmt::Debug for Source {
    /// Without the bytes, which may be megabytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a regular file or block device for reading.
    ///
    /// # Errors
    /// [`LoadError::Open`] where it is missing, unreadable, or neither of the two.
    pub fn open(path: &Path) -> Result<Source, LoadError> {
        let name = path.display().to_string();
        let fail = |source| LoadError::open(name.clone(), source);
        // The kind first: opening a FIFO would wait for somebody to write to it.
        let kind = std::fs::metadata(path).map_err(fail)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            let what = if kind.is_dir() {
                "a folder"
            } else {
                "a pipe, a socket or a device"
            };
            return Err(LoadError::NotAFile { file: name, what });
        }
        let mut file = File::open(path).map_err(fail)?;
        // The metadata of a block device give no size; its end does.
        let len = file.seek(SeekFrom::End(0)).map_err(fail)?;
        Ok(Source {
            name,
            data: Data::File {
                file: Arc::new(file),
                len,
            },
        })
    }

    /// Opens the disk in an image, to be read alone.
    ///
    /// # Errors
    /// Those of [`Image::open`].
    pub fn of_disk(request: &Request) -> Result<Source, DiskError> {
        let image = Image::open(&Request {
            read_only: true,
            snapshot: false,
            ..request.clone()
        })?;
        let len = image.sectors() * SECTOR;
        Ok(Source {
            name: request.path.display().to_string(),
            data: Data::Disk {
                image: Arc::new(Mutex::new(image)),
                len,
            },
        })
    }

    /// Bytes that are part of this program.
    pub fn from_static(name: impl Into<String>, bytes: &'static [u8]) -> Source {
        Source {
            name: name.into(),
            data: Data::Static(bytes),
        }
    }

    /// Bytes made at run time.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Source {
        Source {
            name: name.into(),
            data: Data::Owned(bytes.into()),
        }
    }

    /// The name errors call it by: a path, or a description.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes, as it was when opened.
    pub fn len(&self) -> u64 {
        match &self.data {
            Data::File { len, .. } | Data::Disk { len, .. } => *len,
            Data::Static(bytes) => bytes.len() as u64,
            Data::Owned(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it holds no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pread(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes: &[u8] = match &self.data {
            Data::File { file, .. } => return file.read_at(buf, offset),
            Data::Disk { image, len } => return read_disk(image, *len, buf, offset),
            Data::Static(bytes) => bytes,
            Data::Owned(bytes) => bytes,
        };
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let n = buf.len().min(bytes.len() - start);
        buf[..n].copy_from_slice(&bytes[start..start + n]);
        Ok(n)
    }

    /// Its beginning, as much of it as tells what it is.
    ///
    /// # Errors
    /// [`LoadError::Read`] when the host cannot read.
    pub fn head(&self) -> Result<Vec<u8>, LoadError> {
        self.read_up_to(0, super::disk::LOOK)
    }

    /// Up to `len` bytes from `offset` on; fewer only where the end comes first.
    /// Callers bound `len`: that much is allocated, or what there is.
    ///
    /// # Errors
    /// [`LoadError::Read`] when the host cannot read.
    pub(crate) fn read_up_to(&self, offset: u64, len: u64) -> Result<Vec<u8>, LoadError> {
        let len = len.min(self.len().saturating_sub(offset));
        let mut bytes = Vec::new();
        self.reader(offset, len)
            .read_to_end(&mut bytes)
            .map_err(|source| LoadError::read(&self.name, source))?;
        Ok(bytes)
    }

    /// Exactly `len` bytes from `offset` on. Callers bound `len`.
    ///
    /// # Errors
    /// [`LoadError::Truncated`] naming `what` where the source ends before.
    pub(super) fn read_exactly(
        &self,
        offset: u64,
        len: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, LoadError> {
        let bytes = self.read_up_to(offset, len)?;
        if bytes.len() as u64 == len {
            Ok(bytes)
        } else {
            Err(self.truncated(what))
        }
    }

    /// The error for a source that ends before `what` does.
    pub(super) fn truncated(&self, what: &'static str) -> LoadError {
        LoadError::Truncated {
            file: self.name.clone(),
            len: self.len(),
            what,
        }
    }

    /// The error for contents that contradict themselves.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Malformed {
            file: self.name.clone(),
            reason: reason.into(),
        }
    }

    /// Reads `len` bytes from `offset` on, as a stream.
    pub(super) fn reader(&self, offset: u64, len: u64) -> SourceReader<'_> {
        SourceReader {
            source: self,
            at: offset,
            left: len,
        }
    }
}

/// Reads bytes of a disk, which gives whole sectors.
fn read_disk(image: &Mutex<Image>, len: u64, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let end = len.min(offset.saturating_add(buf.len() as u64));
    let (first, behind) = (offset / SECTOR, end.div_ceil(SECTOR));
    if offset >= end {
        return Ok(0);
    }
    let mut sectors = vec![0; ((behind - first) * SECTOR) as usize];
    let mut image = image.lock().unwrap_or_else(PoisonError::into_inner);
    image.read(first, &mut sectors)?;
    let skipped = sectors.iter().skip((offset - first * SECTOR) as usize);
    let read = (end - offset) as usize;
    buf.iter_mut()
        .take(read)
        .zip(skipped)
        .for_each(|(to, from)| *to = *from);
    Ok(read)
}

/// A stretch of a [`Source`] as a stream.
pub(super) struct SourceReader<'a> {
    source: &'a Source,
    at: u64,
    left: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.source.pread(self.at, &mut buf[..want])?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}
