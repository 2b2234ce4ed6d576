//! From a mirror's address to verified packages on disk: the chain `InRelease` →
//! `Packages` → `.deb`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::packages::{Index, Package};
use super::release::{Listed, Release, split_clear_signed};
use super::signature::{Verdict, Verifier};
use crate::cache::{Cache, Lock};
use crate::error::{Error, Malformed};
use crate::net::client::Client;
use crate::net::download::{Wanted, download};
use crate::progress::{Counted, Progress, Step};
use crate::unpack::xz;

/// `InRelease` has 140 kB today.
const MAX_RELEASE: u64 = 16 << 20;
/// `Packages` unpacks to 54 MB today.
const MAX_PACKAGES: u64 = 2 << 30;

/// A suite's packages for one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// `trixie`.
    pub name: &'static str,
    /// `riscv64`.
    pub architecture: &'static str,
}

/// Which packages of which suite make an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Where they are from.
    pub suite: Suite,
    /// The package whose dependency is the current kernel.
    pub kernel: &'static str,
    /// The package with a static busybox.
    pub busybox: &'static str,
}

/// What a mirror has for a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The mirror.
    pub mirror: String,
    /// The release's version and date.
    pub release: String,
    /// Who verified the signature, if anyone could.
    pub verified_by: Option<&'static str>,
    /// The kernel itself.
    pub kernel: Package,
    /// Busybox.
    pub busybox: Package,
}

/// What a mirror has of a suite.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The release's version and date.
    pub release: String,
    /// Who verified the signature, if anyone could.
    pub verified_by: Option<&'static str>,
    /// The packages that were wanted.
    pub index: Index,
}

/// A mirror and the means to use it.
#[derive(Clone, Copy)]
pub struct Archive<'a> {
    /// Its root, without a final slash.
    pub mirror: &'a str,
    /// Fetches.
    pub client: &'a Client,
    /// Verifies.
    pub verifier: &'a Verifier,
    /// Receives files.
    pub cache: &'a Cache,
    /// Held on the cache.
    pub lock: &'a Lock,
    /// Is told.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

impl Archive<'_> {
    /// Finds the current packages of `selection`.
    ///
    /// # Errors
    /// [`Error::NotDebian`], [`Error::Signature`], [`Error::Mismatch`],
    /// [`Error::Missing`], [`Error::Malformed`] and those of fetching.
    pub fn resolve(&self, selection: &Selection) -> Result<Resolved, Error> {
        let wanted = |name: &str| name.starts_with("linux-image-") || name == selection.busybox;
        let Contents {
            release,
            verified_by,
            index,
        } = self.contents(&selection.suite, wanted)?;
        let missing = |what: &str| self.missing(what);
        let find = |name: &str, version| index.find(name, version).ok_or_else(|| missing(name));
        let meta = find(selection.kernel, None)?;
        let (kernel, version) = meta.dependency("linux-image-").ok_or_else(|| {
            missing(&format!(
                "linux-image-* among what {} {} depends on",
                meta.name, meta.version
            ))
        })?;
        Ok(Resolved {
            mirror: self.mirror.to_owned(),
            release,
            verified_by,
            kernel: find(kernel, version)?.clone(),
            busybox: find(selection.busybox, None)?.clone(),
        })
    }

    /// Finds the current packages of these names.
    ///
    /// # Errors
    /// As [`Archive::resolve`].
    pub fn find(&self, suite: &Suite, names: &[&str]) -> Result<Vec<Package>, Error> {
        let (release, _) = self.release(suite)?;
        let index = self.index(suite, &release, |name| names.contains(&name))?;
        let find = |name: &&str| {
            let found = index.find(name, None).cloned();
            found.ok_or_else(|| self.missing(name))
        };
        names.iter().map(find).collect()
    }

    fn missing(&self, package: &str) -> Error {
        Error::Missing {
            whence: self.mirror.to_owned(),
            what: format!("package {package}"),
        }
    }

    /// The suite's release, and of its packages those that are `wanted`.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn contents(
        &self,
        suite: &Suite,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Contents, Error> {
        let (release, verified_by) = self.release(suite)?;
        let title = format!("Debian {} ({})", release.version, suite.name);
        self.progress.line(&format!("{title} from {}", self.mirror));
        Ok(Contents {
            index: self.index(suite, &release, wanted)?,
            release: format!("{title}, {}", release.date),
            verified_by,
        })
    }

    /// The package's `.deb`, from the cache or the mirror.
    ///
    /// # Errors
    /// Those of [`download`].
    pub fn package(&self, package: &Package) -> Result<PathBuf, Error> {
        let url = format!("{}/{}", self.mirror, package.filename);
        let title = format!("{} {}", package.name, package.version);
        self.object(&Wanted {
            url: &url,
            title: &title,
            size: package.size,
            sha256: package.sha256,
        })
    }

    fn release(&self, suite: &Suite) -> Result<(Release, Option<&'static str>), Error> {
        let url = format!("{}/dists/{}/InRelease", self.mirror, suite.name);
        let bytes = self.client.get_small(&url, MAX_RELEASE)?;
        let malformed = |why| Error::malformed(&url, why);
        let parts = split_clear_signed(&bytes).map_err(malformed)?;
        // Before the signature, so that another distribution's archive is told
        // from a forged one.
        let claimed = Release::parse(&parts.text).map_err(malformed)?;
        let object = |release: &Release| release.objection(suite.name, suite.architecture);
        if let Some(reason) = object(&claimed) {
            return Err(Error::NotDebian { url, reason });
        }
        let (text, by) = match self.verifier.judge(&url, &bytes, &parts)? {
            Verdict::Signed { text, by } => (text, Some(by)),
            Verdict::Unchecked { text, why } => {
                self.progress.line(&format!(
                    "the archive's signature is not checked, only its hashes: {why}"
                ));
                (text, None)
            }
        };
        let release = Release::parse(&text).map_err(malformed)?;
        match object(&release) {
            Some(reason) => Err(Error::NotDebian { url, reason }),
            None => Ok((release, by)),
        }
    }

    fn index(
        &self,
        suite: &Suite,
        release: &Release,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Index, Error> {
        let folder = format!("main/binary-{}", suite.architecture);
        let path = format!("{folder}/Packages.xz");
        let dists = format!("{}/dists/{}", self.mirror, suite.name);
        let listed = release.file(&path).ok_or_else(|| Error::Missing {
            whence: format!("{dists}/InRelease"),
            what: path.clone(),
        })?;
        let plain = format!("{dists}/{path}");
        let by_hash = format!("{dists}/{folder}/by-hash/SHA256/{}", listed.sha256);
        let file = match self.index_file(if release.by_hash { &by_hash } else { &plain }, listed) {
            // Copies of a mirror made by hand often leave by-hash out.
            Err(Error::Status { status: 404, .. }) if release.by_hash => {
                self.index_file(&plain, listed)?
            }
            other => other?,
        };
        self.read_index(&file, wanted)
            .map_err(|why| Error::malformed(plain, why))
    }

    fn index_file(&self, url: &str, listed: Listed) -> Result<PathBuf, Error> {
        self.object(&Wanted {
            url,
            title: "list of packages",
            size: listed.size,
            sha256: listed.sha256,
        })
    }

    fn read_index(&self, file: &Path, wanted: impl Fn(&str) -> bool) -> Result<Index, Malformed> {
        let file = File::open(file)?;
        let step = Step::begin(
            self.progress,
            "reading the list of packages",
            file.metadata().ok().map(|m| m.len()),
        );
        let text = std::io::Read::take(
            xz(Counted {
                inner: BufReader::new(file),
                step: &step,
            })?,
            MAX_PACKAGES,
        );
        Index::read(BufReader::with_capacity(1 << 16, text), wanted)
    }

    fn object(&self, wanted: &Wanted<'_>) -> Result<PathBuf, Error> {
        if let Some(path) = self.cache.intact(wanted.sha256) {
            return Ok(path);
        }
        let partial = self.cache.partial(wanted.sha256, self.lock)?;
        download(self.client, wanted, &partial, self.progress)?;
        self.cache.adopt(&partial, wanted.sha256, self.lock)
    }
}
