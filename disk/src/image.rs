//! An open disk, whatever it is made of.

use crate::host::{Cache, HostFile};
use crate::overlay::Overlay;
use crate::probe::{self, Format, QCOW2_MAGIC};
use crate::qcow2::Qcow2;
use crate::qcow2::header::Header;
use crate::raw::Raw;
use crate::{DiskError, SECTOR};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Files in a chain of backing files, the image itself included.
const CHAIN_MAX: usize = 64;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read; others may read it, too.
    Read,
    /// It is written, by nobody else.
    Write,
}

/// What a read finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bytes, which may be zeros.
    Data,
    /// Zeros that take no room, or hardly any.
    Zero,
}

/// How a disk is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The image or block device.
    pub path: PathBuf,
    /// Its format; `None` looks at it.
    pub format: Option<Format>,
    /// Writes fail.
    pub read_only: bool,
    /// Writes go to a private overlay that vanishes with the process.
    pub snapshot: bool,
    /// What is kept in memory, and what a flush does.
    pub cache: Cache,
    /// A qcow2 image's backing file may be opened.
    pub backing: bool,
    /// Room that the guest gives back is given back to the host.
    pub discard: bool,
}

impl Request {
    /// A writable disk in a format that is looked for, without a backing file.
    pub fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            format: None,
            read_only: false,
            snapshot: false,
            cache: Cache::Writeback,
            backing: false,
            discard: true,
        }
    }

    fn access(&self) -> Access {
        match self.read_only || self.snapshot {
            true => Access::Read,
            false => Access::Write,
        }
    }
}

/// A file in one of the formats.
#[derive(Debug)]
pub(crate) enum Layer {
    Raw(Raw),
    Qcow2(Box<Qcow2>),
}

impl Layer {
    fn size(&self) -> u64 {
        match self {
            Layer::Raw(raw) => raw.size,
            Layer::Qcow2(image) => image.size(),
        }
    }

    fn host(&self) -> &HostFile {
        match self {
            Layer::Raw(raw) => &raw.host,
            Layer::Qcow2(image) => &image.host,
        }
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Layer::Raw(raw) => raw.read(offset, bytes),
            Layer::Qcow2(image) => image.read(offset, bytes),
        }
    }

    /// Reads what may lie behind the end of this disk: zeros.
    pub(crate) fn read_padded(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let inside = self.size().saturating_sub(offset).min(bytes.len() as u64);
        let (part, rest) = bytes.split_at_mut(inside as usize);
        rest.fill(0);
        if part.is_empty() {
            return Ok(());
        }
        self.read(offset, part)
    }

    fn extent(&mut self, offset: u64, most: u64) -> io::Result<(Extent, u64)> {
        match self {
            Layer::Raw(raw) => Ok(raw.extent(offset, most)),
            Layer::Qcow2(image) => image.extent(offset, most),
        }
    }

    /// The extent at an offset that may lie behind the end of this disk.
    pub(crate) fn extent_padded(&mut self, offset: u64, most: u64) -> io::Result<(Extent, u64)> {
        match self.size().saturating_sub(offset).min(most) {
            0 => Ok((Extent::Zero, most)),
            inside => self.extent(offset, inside),
        }
    }
}

/// Opens a file in the format that is asked for, or that it looks like.
fn open_host(
    host: HostFile,
    request: &Request,
    seen: &mut Vec<(u64, u64)>,
) -> Result<Layer, DiskError> {
    let path = host.path().to_owned();
    let identity = host
        .identity()
        .map_err(DiskError::io("cannot read", &path))?;
    if seen.contains(&identity) || seen.len() >= CHAIN_MAX {
        let most = CHAIN_MAX;
        return Err(DiskError::Chain { path, most });
    }
    seen.push(identity);
    let format = match request.format {
        Some(format) => format,
        None => guess(&host)?,
    };
    if format == Format::Raw {
        return Ok(Layer::Raw(Raw::new(host, request.discard)));
    }
    let header = Header::load(&host)?;
    let backing = match &header.backing {
        Some(_) if !request.backing => {
            return Err(DiskError::Backing {
                path,
                backing: shown_backing(&header),
            });
        }
        Some(_) => Some(Box::new(open_backing(&path, &header, request, seen)?)),
        None => None,
    };
    let access = request.access();
    let image = Qcow2::open(host, header, access, backing, request.discard)?;
    Ok(Layer::Qcow2(Box::new(image)))
}

/// Opens what an image builds upon: read-only, locked against writers, in the format
/// that the image states.
fn open_backing(
    path: &Path,
    header: &Header,
    request: &Request,
    seen: &mut Vec<(u64, u64)>,
) -> Result<Layer, DiskError> {
    let Some(backing) = &header.backing else {
        return Err(DiskError::damaged(path, "it has no backing file"));
    };
    let stated = backing.format.as_deref().unwrap_or_default();
    let Some(format) = Format::named(stated) else {
        let what = match stated {
            "" => format!(
                "does not state the format of {}, and it is not guessed; state it with `qemu-img rebase -u -b FILE -F FORMAT`",
                shown_backing(header)
            ),
            other => format!("builds upon a file of format {other}; known are raw and qcow2"),
        };
        return Err(DiskError::unsupported(path, what));
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let request = Request {
        path: folder.join(&backing.name),
        format: Some(format),
        read_only: true,
        snapshot: false,
        discard: false,
        ..request.clone()
    };
    let host = HostFile::open(&request.path, Access::Read, request.cache)?;
    open_host(host, &request, seen)
}

fn shown_backing(header: &Header) -> String {
    let name = header.backing.as_ref().map(|b| b.name.display());
    name.map(|name| name.to_string()).unwrap_or_default()
}

/// What a file looks like.
fn guess(host: &HostFile) -> Result<Format, DiskError> {
    let mut head = [0; probe::LOOK];
    let got = host
        .read_most(&mut head, 0)
        .map_err(DiskError::io("cannot read", host.path()))?;
    let head = head.get(..got).unwrap_or_default();
    if head.starts_with(QCOW2_MAGIC) {
        return Ok(Format::Qcow2);
    }
    match probe::foreign(head) {
        Some(what) => Err(DiskError::Foreign {
            path: host.path().to_owned(),
            what,
        }),
        None => Ok(Format::Raw),
    }
}

/// An open disk.
#[derive(Debug)]
pub struct Image {
    layer: Layer,
    sectors: u64,
    read_only: bool,
    overlay: Option<Overlay>,
}

impl Image {
    /// Opens a disk and locks its files: many may read them, or one may write.
    ///
    /// # Errors
    /// A file that cannot be had, is in use, is damaged, has what is not known here, or
    /// builds upon one that the request does not allow.
    pub fn open(request: &Request) -> Result<Self, DiskError> {
        let host = HostFile::open(&request.path, request.access(), request.cache)?;
        Self::of(host, request)
    }

    /// As [`open`](Self::open), of a file that is open already. The request's path is
    /// its name in messages, and where a backing file is looked for.
    ///
    /// # Errors
    /// As there.
    pub fn open_file(file: File, request: &Request) -> Result<Self, DiskError> {
        let host = HostFile::from_file(file, &request.path, request.access(), request.cache)?;
        Self::of(host, request)
    }

    fn of(host: HostFile, request: &Request) -> Result<Self, DiskError> {
        let path = request.path.clone();
        let layer = open_host(host, request, &mut Vec::new())?;
        let size = layer.size();
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Err(DiskError::Size { path, size });
        }
        let align = layer.host().align().unwrap_or(1) as u64;
        if matches!(layer, Layer::Raw(_)) && !size.is_multiple_of(align) {
            let why = format!(
                "its file system reads {align} bytes at once, of which its size is no multiple"
            );
            return Err(DiskError::Direct { path, why });
        }
        let overlay = match request.snapshot {
            true => {
                Some(Overlay::new().map_err(DiskError::io("cannot make an overlay for", &path))?)
            }
            false => None,
        };
        Ok(Self {
            layer,
            sectors: size / SECTOR,
            read_only: request.read_only,
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

    /// The format of the file.
    pub fn format(&self) -> Format {
        match self.layer {
            Layer::Raw(_) => Format::Raw,
            Layer::Qcow2(_) => Format::Qcow2,
        }
    }

    /// The unit of writes that costs least, in bytes: a cluster of qcow2, else 0.
    pub fn preferred(&self) -> u64 {
        match &self.layer {
            Layer::Raw(_) => 0,
            Layer::Qcow2(image) => image.header.cluster(),
        }
    }

    /// Reads whole sectors.
    ///
    /// # Errors
    /// Sectors that are not of the disk; the host's; a file that is shorter than the
    /// disk, or damaged.
    pub fn read(&mut self, sector: u64, bytes: &mut [u8]) -> io::Result<()> {
        let offset = self.offset(sector, bytes.len() as u64)?;
        let layer = &mut self.layer;
        match &self.overlay {
            Some(overlay) => overlay.read(offset, bytes, |at, part| layer.read(at, part)),
            None => layer.read(offset, bytes),
        }
    }

    /// Writes whole sectors.
    ///
    /// # Errors
    /// As for [`read`](Self::read), or a read-only disk.
    pub fn write(&mut self, sector: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = self.offset_to_write(sector, bytes.len() as u64)?;
        match (&mut self.overlay, &mut self.layer) {
            (Some(overlay), _) => overlay.write(offset, bytes),
            (None, Layer::Raw(raw)) => raw.write(offset, bytes),
            (None, Layer::Qcow2(image)) => image.write(offset, bytes),
        }
    }

    /// Makes whole sectors zeros; `unmap` allows giving their room back.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_zeroes(&mut self, sector: u64, sectors: u64, unmap: bool) -> io::Result<()> {
        let len = sectors.checked_mul(SECTOR).ok_or_else(outside)?;
        let offset = self.offset_to_write(sector, len)?;
        match (&mut self.overlay, &mut self.layer) {
            (Some(overlay), _) => {
                static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
                let (mut at, end) = (offset, offset + len);
                while at < end {
                    let part = (end - at).min(ZEROS.len() as u64);
                    overlay.write(at, ZEROS.get(..part as usize).unwrap_or(&ZEROS))?;
                    at += part;
                }
                Ok(())
            }
            (None, Layer::Raw(raw)) => raw.write_zeroes(offset, len, unmap),
            (None, Layer::Qcow2(image)) => image.write_zeroes(offset, len, unmap),
        }
    }

    /// Gives the room of whole sectors back, if the request allowed that. They read as
    /// zeros then, or as before.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn discard(&mut self, sector: u64, sectors: u64) -> io::Result<()> {
        let len = sectors.checked_mul(SECTOR).ok_or_else(outside)?;
        let offset = self.offset_to_write(sector, len)?;
        match (&self.overlay, &mut self.layer) {
            (Some(_), _) => Ok(()),
            (None, Layer::Raw(raw)) => {
                raw.discard(offset, len);
                Ok(())
            }
            (None, Layer::Qcow2(image)) => image.discard(offset, len),
        }
    }

    /// Makes durable what was written. An overlay is never meant to last.
    ///
    /// # Errors
    /// The host's. After one that is about writing out, every later flush fails, too.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.read_only || self.overlay.is_some() {
            return Ok(());
        }
        match &mut self.layer {
            Layer::Raw(raw) => raw.host.sync(),
            Layer::Qcow2(image) => image.flush(),
        }
    }

    /// Flushes for the last time. Dropping does so as well, but cannot say what failed.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub fn close(mut self) -> io::Result<()> {
        match (&mut self.layer, &self.overlay) {
            (Layer::Qcow2(image), None) if !self.read_only => image.close(),
            _ => self.flush(),
        }
    }

    /// What a read at a sector finds, and for how many sectors, of at most `most`, that
    /// goes on. `most` is positive.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn extent(&mut self, sector: u64, most: u64) -> io::Result<(Extent, u64)> {
        let most = most.min(self.sectors.saturating_sub(sector));
        let len = most.checked_mul(SECTOR).ok_or_else(outside)?;
        let offset = self.offset(sector, len)?;
        if self.overlay.is_some() {
            return Ok((Extent::Data, most));
        }
        match self.layer.extent(offset, len)? {
            // A hole may end within a sector.
            (Extent::Zero, len) if len >= SECTOR => Ok((Extent::Zero, len / SECTOR)),
            (_, len) => Ok((Extent::Data, len.div_ceil(SECTOR).min(most))),
        }
    }

    /// The qcow2 image behind it, if it is one.
    pub(crate) fn qcow2(&mut self) -> Option<&mut Qcow2> {
        match &mut self.layer {
            Layer::Qcow2(image) => Some(image),
            Layer::Raw(_) => None,
        }
    }

    /// Cuts a raw file, or makes it longer.
    pub(crate) fn set_raw_len(&mut self, len: u64) -> io::Result<()> {
        match &mut self.layer {
            Layer::Raw(raw) => raw.host.set_len(len),
            Layer::Qcow2(_) => Err(outside()),
        }
    }

    /// The byte offset of whole sectors inside the disk.
    fn offset(&self, sector: u64, len: u64) -> io::Result<u64> {
        let sectors = len / SECTOR;
        let whole = len.is_multiple_of(SECTOR);
        let inside = sector
            .checked_add(sectors)
            .is_some_and(|end| end <= self.sectors);
        if whole && inside {
            Ok(sector * SECTOR)
        } else {
            Err(outside())
        }
    }

    fn offset_to_write(&self, sector: u64, len: u64) -> io::Result<u64> {
        if self.read_only {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.offset(sector, len)
    }
}

fn outside() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The format, given or looked for.
    pub format: Format,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes that the file takes on the host.
    pub allocated: u64,
    /// Of qcow2: its version.
    pub version: Option<u32>,
    /// Of qcow2: bytes of a cluster.
    pub cluster: Option<u64>,
    /// Of qcow2: the file it builds upon, and the format that it states for it.
    pub backing: Option<(PathBuf, Option<String>)>,
    /// Of qcow2: internal snapshots.
    pub snapshots: u32,
    /// Of qcow2: it was not closed properly, or is marked corrupt.
    pub dirty: bool,
}

/// Reads what a file says of itself. No other file is opened.
///
/// # Errors
/// A file that cannot be had, is in use, or whose header is damaged.
pub fn info(path: &Path, format: Option<Format>) -> Result<Info, DiskError> {
    let host = HostFile::open(path, Access::Read, Cache::Writeback)?;
    let allocated = host
        .allocated()
        .map_err(DiskError::io("cannot read", path))?;
    let format = match format {
        Some(format) => format,
        None => guess(&host)?,
    };
    let raw = Info {
        format,
        size: host.len(),
        allocated,
        version: None,
        cluster: None,
        backing: None,
        snapshots: 0,
        dirty: false,
    };
    if format == Format::Raw {
        return Ok(raw);
    }
    let header = Header::load(&host)?;
    Ok(Info {
        size: header.size,
        version: Some(header.version),
        cluster: Some(header.cluster()),
        snapshots: header.snapshots,
        dirty: header.dirty || header.corrupt,
        backing: header.backing.map(|b| (b.name, b.format)),
        ..raw
    })
}
