//! Translated code kept between runs: a file for each build of Isoform and kind of host.
//!
//! An entry is found by a digest of all that its code was made from: the decoded
//! instructions of the region, where they lie in the page, the mode, and whether accesses
//! share looks. Whatever is not exactly that has another digest, so there is nothing to
//! become stale.
//!
//! The file is code that will be executed. So it is used only where it belongs to the
//! user whom the process runs as and nobody else may write to it, and where the sum over
//! all of it is right; anything else is as if it were not there. The sum guards against
//! damage, not against its owner: what a file with a right sum holds under a digest is
//! trusted to be that code, and executed. Whatever a file holds, to read it neither panics
//! nor takes more memory than the file is long ([`examine`]).
//!
//! Layout: [`MAGIC`], the identity, the length of the index (8 bytes, little-endian), the
//! index, the entries, the SHA-256 of all before.

use crate::object::Object;
use crate::region::Region;
use isoform_core::Guest;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"isoform code 1\n\0";
/// Bytes of entries kept: code that no run has asked for goes first.
const KEPT: u64 = 64 << 20;

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// Hashes what implements [`Hash`].
struct Hashing(Sha256);

impl Hasher for Hashing {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Nobody asks: the whole digest is taken.
        0
    }
}

/// The digest of all that a region's code is made from.
pub(crate) fn digest<G: Guest>(region: &Region, mode: G::Mode) -> Digest {
    let mut hash = Hashing(Sha256::new());
    mode.hash(&mut hash);
    (region.entry, region.shares).hash(&mut hash);
    for (at, block) in &region.blocks {
        (at, block.len()).hash(&mut hash);
        for placed in block {
            let insn = placed.insn;
            (placed.at, placed.length, insn.op, insn.a, insn.b, insn.imm).hash(&mut hash);
        }
    }
    hash.0.finalize().into()
}

/// Where an entry lies in a file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Place {
    offset: u64,
    length: u32,
}

/// The entries of one file.
#[derive(Default)]
struct Entries {
    file: Option<File>,
    /// Where the first entry begins in it.
    start: u64,
    places: HashMap<Digest, Place>,
}

impl Entries {
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let (file, place) = (self.file.as_ref()?, self.places.get(digest)?);
        let mut bytes = vec![0; place.length as usize];
        file.read_exact_at(&mut bytes, self.start + place.offset)
            .ok()?;
        Some(bytes)
    }
}

/// What a process has of the kept code.
pub(crate) struct Store {
    path: PathBuf,
    identity: Digest,
    old: Entries,
    /// Made in this run: in a file without a name, to be there when the next is written.
    new: Entries,
    new_length: u64,
    /// Entries of the old file that this run asked for.
    used: Vec<Digest>,
}

impl Store {
    /// The code kept in a folder for builds and hosts of this identity.
    pub(crate) fn open(folder: &Path, identity: &[u8]) -> Self {
        let identity: Digest = Sha256::digest(identity).into();
        let name: String = identity[..8].iter().map(|b| format!("{b:02x}")).collect();
        let path = folder.join(format!("{name}.code"));
        let old = match load(&path, &identity) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Entries::default(),
            Err(e) => {
                log::warn!("{}: kept code is not used: {e}", path.display());
                Entries::default()
            }
        };
        Self {
            path,
            identity,
            old,
            new: Entries::default(),
            new_length: 0,
            used: Vec::new(),
        }
    }

    /// Units that were there when it was opened.
    pub(crate) fn len(&self) -> usize {
        self.old.places.len()
    }

    /// The code for a digest.
    pub(crate) fn find(&mut self, digest: &Digest) -> Option<Object> {
        if let Some(bytes) = self.old.read(digest) {
            self.used.push(*digest);
            return postcard::from_bytes(&bytes).ok();
        }
        postcard::from_bytes(&self.new.read(digest)?).ok()
    }

    /// Keeps code. Where that fails it is made again another time.
    pub(crate) fn keep(&mut self, digest: Digest, object: &Object) {
        if let Err(e) = self.try_keep(digest, object) {
            log::debug!("{}: code is not kept: {e}", self.path.display());
        }
    }

    fn try_keep(&mut self, digest: Digest, object: &Object) -> std::io::Result<()> {
        let bytes = postcard::to_stdvec(object).map_err(std::io::Error::other)?;
        let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        if self.new.file.is_none() {
            self.new.file = Some(nameless(self.folder())?);
        }
        let Some(file) = &self.new.file else {
            return Ok(());
        };
        file.write_all_at(&bytes, self.new_length)?;
        let offset = self.new_length;
        self.new.places.insert(digest, Place { offset, length });
        self.new_length += u64::from(length);
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Writes the file anew where this run made code.
    pub(crate) fn save(&mut self) {
        if self.new.places.is_empty() {
            return;
        }
        if let Err(e) = self.try_save() {
            log::warn!("{}: translated code is not kept: {e}", self.path.display());
        }
    }

    fn try_save(&mut self) -> std::io::Result<()> {
        // Another process may have added to it meanwhile.
        if let Ok(newer) = load(&self.path, &self.identity) {
            self.old = newer;
        }
        let digests = self.worth_keeping();
        let temporary = self
            .path
            .with_extension(format!("{}.tmp", std::process::id()));
        let written = self.write(&temporary, &digests);
        let moved = written.and_then(|()| std::fs::rename(&temporary, &self.path));
        if moved.is_err() {
            // It may not even be there.
            drop(std::fs::remove_file(&temporary));
        }
        moved
    }

    /// What goes into the file: what this run made or asked for, then the rest, as much
    /// as there is room for.
    fn worth_keeping(&self) -> Vec<Digest> {
        let mut seen = std::collections::HashSet::new();
        let mut room = KEPT;
        let (new, used) = (self.new.places.keys(), self.used.iter());
        let candidates = new.chain(used).chain(self.old.places.keys());
        let fits = |digest: &&Digest| {
            let place = self.place(digest);
            let length = place.map_or(u64::MAX, |place| place.length.into());
            let fits = length <= room && seen.insert(**digest);
            room -= if fits { length } else { 0 };
            fits
        };
        candidates.filter(fits).copied().collect()
    }

    fn place(&self, digest: &Digest) -> Option<Place> {
        let places = [&self.new.places, &self.old.places];
        places.iter().find_map(|p| p.get(digest)).copied()
    }

    fn write(&self, path: &Path, digests: &[Digest]) -> std::io::Result<()> {
        let (mut offset, mut index) = (0, Vec::new());
        for digest in digests {
            if let Some(Place { length, .. }) = self.place(digest) {
                index.push((*digest, Place { offset, length }));
                offset += u64::from(length);
            }
        }
        let index_bytes = postcard::to_stdvec(&index).map_err(std::io::Error::other)?;
        let mut out = Summed {
            to: BufWriter::new(create(path)?),
            sum: Sha256::new(),
        };
        out.write_all(MAGIC)?;
        out.write_all(&self.identity)?;
        out.write_all(&(index_bytes.len() as u64).to_le_bytes())?;
        out.write_all(&index_bytes)?;
        for (digest, _) in &index {
            let bytes = self.new.read(digest).or_else(|| self.old.read(digest));
            let gone = || std::io::Error::other("an entry cannot be read");
            out.write_all(&bytes.ok_or_else(gone)?)?;
        }
        let sum = out.sum.finalize();
        out.to.write_all(&sum)?;
        out.to.flush()
    }
}

/// Sums up what is written.
struct Summed<W> {
    to: W,
    sum: Sha256,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// A file that only its owner may read or write.
fn create(path: &Path) -> std::io::Result<File> {
    // Whatever somebody left there may be a pipe, or another name of a file of ours.
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// A file in a folder, which is made if need be, that goes with the process.
fn nameless(folder: &Path) -> std::io::Result<File> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    tempfile::tempfile_in(folder)
}

fn damaged(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

/// Reads a file's index, having checked all of the file.
fn load(path: &Path, identity: &Digest) -> std::io::Result<Entries> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file: File = rustix::fs::open(path, flags, Mode::empty())?.into();
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(damaged("it is no file"));
    }
    if about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(damaged("others may have written to it"));
    }
    parse(file, identity)
}

/// Reads the index of a file that is trusted if its sum is right.
fn parse(mut file: File, identity: &Digest) -> std::io::Result<Entries> {
    let body = file
        .metadata()?
        .len()
        .checked_sub(size_of::<Digest>() as u64)
        .ok_or_else(|| damaged("it is too short"))?;
    check_sum(&mut file, body)?;

    file.seek(SeekFrom::Start(0))?;
    let mut head = [0; MAGIC.len() + size_of::<Digest>() + 8];
    file.read_exact(&mut head)?;
    let (magic, rest) = head.split_at(MAGIC.len());
    let (of, length) = rest.split_at(size_of::<Digest>());
    if magic != MAGIC || of != identity {
        return Err(damaged("it is of another build"));
    }
    let length = length.try_into().map(u64::from_le_bytes);
    let length = length.map_err(|_| damaged("it is too short"))?;
    let start = length.saturating_add(head.len() as u64);
    if start > body {
        return Err(damaged("its index is longer than the file"));
    }
    let mut index = vec![0; length as usize];
    file.read_exact(&mut index)?;
    let index: Vec<(Digest, Place)> =
        postcard::from_bytes(&index).map_err(|_| damaged("its index cannot be read"))?;
    let within = |place: &Place| {
        let end = place.offset.checked_add(place.length.into());
        end.is_some_and(|end| end <= body - start)
    };
    if !index.iter().all(|(_, place)| within(place)) {
        return Err(damaged("an entry lies beyond its end"));
    }
    Ok(Entries {
        file: Some(file),
        start,
        places: index.into_iter().collect(),
    })
}

/// Compares the sum over the first `body` bytes with what follows them.
fn check_sum(file: &mut File, body: u64) -> std::io::Result<()> {
    let mut sum = Sha256::new();
    let mut rest = file.take(body);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match rest.read(&mut buffer)? {
            0 => break,
            n => sum.update(&buffer[..n]),
        }
    }
    let mut expected = [0; size_of::<Digest>()];
    file.read_exact_at(&mut expected, body)?;
    if sum.finalize()[..] != expected {
        return Err(damaged("its sum is wrong"));
    }
    Ok(())
}

/// For fuzzing: reads a file of kept code that has this content, as it is or (`summed`)
/// behind a right head and before a right sum, and decodes all that it holds. Gives how
/// many entries that were; `None` where the file is refused.
#[doc(hidden)]
pub fn examine(content: &[u8], summed: bool) -> Option<usize> {
    let identity = Digest::default();
    let mut bytes = Vec::new();
    if summed {
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&identity);
    }
    bytes.extend_from_slice(content);
    if summed {
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
    }
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file: File = rustix::fs::memfd_create(c"kept", flags).ok()?.into();
    file.write_all_at(&bytes, 0).ok()?;
    let entries = parse(file, &identity).ok()?;
    let decodes = |digest: &&Digest| {
        let bytes = entries.read(digest);
        bytes.is_some_and(|bytes| postcard::from_bytes::<Object>(&bytes).is_ok())
    };
    Some(entries.places.keys().filter(decodes).count())
}

#[cfg(test)]
mod tests;
