//! Files that are used as a package has them: firmware, an installer's kernel and initrd.
//!
//! They are unpacked into the cache once. The record of it, a stanza of text, keeps them
//! and their package from being pruned.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::debian::archive::{Archive, Suite};
use crate::digest::Sha256;
use crate::error::{Error, Malformed};
use crate::manifest::{Part, part};
use crate::mirrors::Visit;
use crate::stanza;
use crate::unpack::{deb_files, read_whole};

/// Counts up when older records cannot be understood any more.
const FORMAT: &str = "1";
/// No file taken from a package is larger.
const MAX_FILE: u64 = 512 << 20;

/// Which files of which package.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parcel {
    pub(crate) suite: Suite,
    pub(crate) package: &'static str,
    /// Their paths, without a leading slash.
    pub(crate) paths: &'static [&'static str],
}

/// The record of unpacked files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The archive's address.
    pub mirror: String,
    /// The release's version and date, as a line.
    pub release: String,
    /// Who verified its signature; `nobody` where that was not possible.
    pub verified_by: String,
    /// The package.
    pub package: Part,
    /// The files: the path of each, and its sum.
    pub files: Vec<(String, Sha256)>,
}

impl Record {
    /// All objects it needs.
    pub fn objects(&self) -> impl Iterator<Item = Sha256> {
        let files = self.files.iter().map(|(_, sum)| *sum);
        files.chain([self.package.sha256])
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let Part {
            name,
            version,
            sha256,
        } = &self.package;
        let file = |(path, sum): &(String, Sha256)| format!(" {sum} {path}\n");
        let files: String = self.files.iter().map(file).collect();
        format!(
            "Format: {FORMAT}\nMirror: {}\nRelease: {}\nVerified-By: {}\n\
             Package: {name} {version} {sha256}\nCount: {}\nFiles:\n{files}",
            self.mirror,
            self.release,
            self.verified_by,
            self.files.len(),
        )
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Another format, missing or unreadable fields.
    pub fn parse(bytes: &[u8]) -> Result<Record, Malformed> {
        let stanza = stanza::first(bytes)?;
        if stanza.need("Format")? != FORMAT {
            return Err(Malformed::new("it is of another version of Isoform"));
        }
        let text = |field| stanza.need(field).map(str::to_owned);
        let lines = stanza.need("Files")?.lines();
        let files: Vec<_> = lines
            .filter(|line| !line.is_empty())
            .map(file)
            .collect::<Result<_, _>>()?;
        if stanza.need("Count")? != files.len().to_string() {
            return Err(Malformed::new("files are missing in it"));
        }
        Ok(Record {
            mirror: text("Mirror")?,
            release: text("Release")?,
            verified_by: text("Verified-By")?,
            package: part(&stanza, "Package")?,
            files,
        })
    }

    fn is_of(&self, parcel: &Parcel) -> bool {
        let paths = self.files.iter().map(|(path, _)| path.as_str());
        self.package.name == parcel.package && paths.eq(parcel.paths.iter().copied())
    }
}

fn file(line: &str) -> Result<(String, Sha256), Malformed> {
    let read = || {
        let (sum, path) = line.split_once(' ')?;
        Some((path.to_owned(), Sha256::parse(sum)?))
    };
    read().ok_or_else(|| Malformed::new(format!("`{}` is no file", line.escape_debug())))
}

/// The record that the cache has of a parcel of this name, and its files, in the order
/// of their paths; `None` where anything is missing or damaged.
pub(crate) fn kept(cache: &Cache, name: &str, parcel: &Parcel) -> Option<(Record, Vec<PathBuf>)> {
    let record = cache.parcel(name).filter(|record| record.is_of(parcel))?;
    let files = record.files.iter().map(|(_, sum)| cache.intact(*sum));
    let files = files.collect::<Option<_>>()?;
    Some((record, files))
}

/// Fetches the package and unpacks its files into the cache.
pub(crate) fn unpack(
    visit: &Visit<'_>,
    archive: &Archive<'_>,
    name: &str,
    parcel: &Parcel,
) -> Result<(Record, Vec<PathBuf>), Error> {
    let contents = archive.contents(&parcel.suite, |package| package == parcel.package)?;
    let missing = || Error::Missing {
        whence: archive.mirror.to_owned(),
        what: format!("package {}", parcel.package),
    };
    let package = contents.index.find(parcel.package, None);
    let package = package.ok_or_else(missing)?;
    let deb = archive.package(package)?;
    let taken = take(&deb, parcel)?;
    let store = |path: &&str| {
        let bytes = taken.get(*path).ok_or_else(|| Error::Malformed {
            file: deb.display().to_string(),
            reason: format!("{} {} has no {path}", package.name, package.version),
        })?;
        Ok(((*path).to_owned(), visit.cache.store(bytes, visit.lock)?))
    };
    let record = Record {
        mirror: archive.mirror.to_owned(),
        release: contents.release.clone(),
        verified_by: contents.verified_by.unwrap_or("nobody").to_owned(),
        package: Part {
            name: package.name.clone(),
            version: package.version.clone(),
            sha256: package.sha256,
        },
        files: parcel.paths.iter().map(store).collect::<Result<_, _>>()?,
    };
    visit.cache.set_parcel(name, &record, visit.lock)?;
    visit.cache.prune(visit.lock);
    let files = record
        .files
        .iter()
        .map(|(_, sum)| visit.cache.object(*sum))
        .collect();
    Ok((record, files))
}

fn take(deb: &Path, parcel: &Parcel) -> Result<HashMap<&'static str, Vec<u8>>, Error> {
    let file = File::open(deb).map_err(|e| Error::io("read", deb, e))?;
    let name = format!("{} ({})", parcel.package, deb.display());
    let mut taken = HashMap::new();
    deb_files(BufReader::new(file), &name, |path, size, content| {
        if let Some(wanted) = parcel.paths.iter().find(|wanted| **wanted == path) {
            let bytes = read_whole(content, size, MAX_FILE);
            taken.insert(*wanted, bytes.map_err(|why| Error::malformed(&name, why))?);
        }
        Ok(())
    })?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Record {
        Record {
            mirror: "http://m/debian".into(),
            release: "Debian 13.7, Sat, 12 Sep 2026".into(),
            verified_by: "gpgv".into(),
            package: Part {
                name: "firmware".into(),
                version: "1-2".into(),
                sha256: Sha256::of(b"deb"),
            },
            files: vec![
                ("usr/a file".into(), Sha256::of(b"a")),
                ("usr/b".into(), Sha256::of(b"b")),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let record = example();
        assert_eq!(Record::parse(record.to_text().as_bytes()), Ok(record));
    }

    #[test]
    fn no_prefix_of_a_record_passes_for_one() {
        let text = example().to_text();
        for cut in 0..text.len() - " usr/b\n".len() {
            assert!(Record::parse(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_record_is_of_one_parcel() {
        let parcel = Parcel {
            suite: Suite {
                name: "trixie",
                architecture: "riscv64",
            },
            package: "firmware",
            paths: &["usr/a file", "usr/b"],
        };
        assert!(example().is_of(&parcel));
        let other = Parcel {
            paths: &["usr/b"],
            ..parcel
        };
        assert!(!example().is_of(&other));
    }
}
