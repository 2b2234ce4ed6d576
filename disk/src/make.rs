//! New images, and other sizes for those there are.
//!
//! A new file appears under its name only when it is whole and durable.

use crate::host::{Cache, HostFile};
use crate::image::{Access, Image, Request, info};
use crate::probe::Format;
use crate::qcow2::{BackingName, Qcow2, header::Header, size::format};
use crate::{DiskError, SECTOR};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What a new image is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    /// Its format.
    pub format: Format,
    /// Bytes of the disk: a positive multiple of 512.
    pub size: u64,
    /// Of qcow2: bytes of a cluster, a power of two from 512 to 2 MiB.
    pub cluster: u64,
    /// A file that is there already is replaced.
    pub force: bool,
}

impl NewImage {
    /// An image of `size` bytes, for qcow2 in clusters of 64 KiB; no file is replaced.
    pub fn of(format: Format, size: u64) -> Self {
        Self {
            format,
            size,
            cluster: 64 << 10,
            force: false,
        }
    }
}

/// A file that will be there once it is whole.
pub(crate) struct Pending {
    file: NamedTempFile,
    path: PathBuf,
    force: bool,
}

impl Pending {
    /// A new file beside where `path` will be.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Self, DiskError> {
        check_free(path, force)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        // What any other new file would have, and not a temporary one's.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
        let file = builder
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(DiskError::io("cannot make", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            force,
        })
    }

    /// A second handle to it.
    pub(crate) fn open(&self) -> Result<File, DiskError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.file.path());
        opened.map_err(DiskError::io("cannot make", &self.path))
    }

    /// Gives it its name.
    pub(crate) fn appear(self) -> Result<(), DiskError> {
        let path = self.path;
        // A machine that has the file that is replaced would go on with it, unseen.
        check_free(&path, self.force)?;
        let failed = DiskError::io("cannot make", &path);
        if let Err(source) = self.file.as_file().sync_all() {
            return Err(failed(source));
        }
        let named = match self.force {
            true => self.file.persist(&path),
            false => self.file.persist_noclobber(&path),
        };
        match named {
            Ok(_) => Ok(()),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(DiskError::Exists(path))
            }
            Err(e) => Err(failed(e.error)),
        }
    }
}

/// Whether a file may be made at `path`: there is none, or it may be replaced and
/// nobody uses it.
fn check_free(path: &Path, force: bool) -> Result<(), DiskError> {
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(metadata) if force && metadata.is_file() => {
            HostFile::open(path, Access::Write, Cache::Writeback).map(drop)
        }
        Ok(_) if force => Err(DiskError::Kind {
            path: path.to_owned(),
            what: "no regular file, and is not replaced by one",
        }),
        Ok(_) => Err(DiskError::Exists(path.to_owned())),
    }
}

/// Makes an empty image.
///
/// # Errors
/// A size or cluster size that cannot be; a file that exists; the host's.
pub fn create(path: &Path, new: &NewImage) -> Result<(), DiskError> {
    let pending = Pending::new(path, new.force)?;
    fill(&pending, new, None)?;
    pending.appear()
}

/// Makes a qcow2 image that builds upon `base`, which it names relative to itself, with
/// its format.
///
/// # Errors
/// As for [`create`]; a base that is no image.
pub fn overlay(
    base: &Path,
    format: Option<Format>,
    path: &Path,
    force: bool,
) -> Result<(), DiskError> {
    let base_info = info(base, format)?;
    let failed = DiskError::io("cannot find", base);
    let name = match relative(base, path) {
        Ok(name) => name,
        Err(source) => return Err(failed(source)),
    };
    let new = NewImage {
        force,
        ..NewImage::of(Format::Qcow2, base_info.size)
    };
    let pending = Pending::new(path, force)?;
    let backing = BackingName {
        name,
        format: Some(base_info.format.name().to_owned()),
    };
    fill(&pending, &new, Some(&backing))?;
    pending.appear()
}

/// How a file beside `of` names `base`.
fn relative(base: &Path, of: &Path) -> io::Result<PathBuf> {
    if base.is_absolute() {
        return Ok(base.to_owned());
    }
    let folder = of.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
    let base = base.canonicalize()?;
    let common = base
        .components()
        .zip(folder.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = folder.components().skip(common).map(|_| Path::new(".."));
    let down = base.components().skip(common);
    Ok(up.chain(down.map(|c| Path::new(c.as_os_str()))).collect())
}

/// Makes the image in a pending file.
pub(crate) fn fill(
    pending: &Pending,
    new: &NewImage,
    backing: Option<&BackingName>,
) -> Result<(), DiskError> {
    let (path, size) = (&pending.path, new.size);
    if size == 0 || !size.is_multiple_of(SECTOR) {
        let path = path.clone();
        return Err(DiskError::Size { path, size });
    }
    // A flush waits until the file is whole.
    let file = pending.open()?;
    let mut host = HostFile::from_file(file, path, Access::Write, Cache::Unsafe)?;
    if new.format == Format::Raw {
        return host
            .set_len(size)
            .map_err(DiskError::io("cannot make", path));
    }
    if !new.cluster.is_power_of_two() || !(512..=2 << 20).contains(&new.cluster) {
        let what = "a cluster of qcow2 is a power of two from 512 bytes to 2 MiB";
        return Err(DiskError::invalid(path, what));
    }
    format(&mut host, new.cluster.trailing_zeros(), backing)
        .map_err(DiskError::io("cannot make", path))?;
    let mut header = Header::load(&host)?;
    // What shows through needs no zeros before it: the disk is new.
    let name = header.backing.take();
    let mut image = Qcow2::open(host, header, Access::Write, None, false)?;
    image.resize(size)?;
    image.header.backing = name;
    image.close().map_err(DiskError::io("cannot make", path))
}

/// Gives a disk another size; `shrink` allows a smaller one, whose end is lost.
///
/// # Errors
/// A size that cannot be; a smaller one that is not allowed; what [`Image::open`] gives.
pub fn resize(request: &Request, size: u64, shrink: bool) -> Result<(), DiskError> {
    let path = &request.path;
    if size == 0 || !size.is_multiple_of(SECTOR) {
        let path = path.clone();
        return Err(DiskError::Size { path, size });
    }
    let mut image = Image::open(request)?;
    if size < image.sectors() * SECTOR && !shrink {
        let what = format!(
            "{size} bytes are fewer than the disk has, {}; --shrink cuts its end off",
            image.sectors() * SECTOR
        );
        return Err(DiskError::invalid(path, what));
    }
    let failed = DiskError::io("cannot resize", path);
    match image.qcow2() {
        Some(qcow2) => qcow2.resize(size)?,
        None => {
            if let Err(source) = image.set_raw_len(size) {
                return Err(failed(source));
            }
        }
    }
    image.close().map_err(DiskError::io("cannot resize", path))
}
