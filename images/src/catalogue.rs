//! The images there are, and how a name becomes files.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::debian::archive::{Archive, Resolved, Selection};
use crate::debian::packages::Package;
use crate::digest::Sha256;
use crate::error::Error;
use crate::initramfs::{self, build, read_busybox_package, read_kernel_package};
use crate::manifest::{Manifest, Part};
use crate::mirrors::{Host, Visit, environment};
use crate::progress::{Counted, Progress, Step};

/// The environment variable that names a mirror, after `--mirror`.
pub const MIRROR_VARIABLE: &str = "ISOFORM_DEBIAN_MIRROR";

/// One name of the catalogue.
pub(crate) struct Offer {
    name: &'static str,
    description: &'static str,
    pub(crate) selection: Selection,
    append: &'static str,
}

const CATALOGUE: &[Offer; 1] = &[Offer {
    name: "debian:riscv64",
    description: "Debian trixie's kernel for 64-bit RISC-V and a busybox shell",
    selection: Selection {
        suite: "trixie",
        architecture: "riscv64",
        kernel: "linux-image-riscv64",
        busybox: "busybox-static",
    },
    append: "console=ttyS0",
}];

/// How to look for images.
#[derive(Clone)]
pub struct Options<'a> {
    /// The mirror to use; otherwise [`MIRROR_VARIABLE`], otherwise apt's.
    pub mirror: Option<String>,
    /// The cache's folder; otherwise `isoform` in the XDG cache.
    pub cache_dir: Option<PathBuf>,
    /// Is told of long work.
    pub progress: &'a dyn Progress,
    /// Never use the network.
    pub offline: bool,
    /// Ask the mirror for newer packages even where the cache has the image;
    /// otherwise what is cached is used without asking.
    pub refresh: bool,
}

impl<'a> Options<'a> {
    /// The defaults: apt's mirrors, the XDG cache, what is cached as it is.
    pub fn new(progress: &'a dyn Progress) -> Options<'a> {
        Options {
            mirror: None,
            cache_dir: None,
            progress,
            offline: false,
            refresh: false,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("mirror", &self.mirror)
            .field("cache_dir", &self.cache_dir)
            .field("offline", &self.offline)
            .field("refresh", &self.refresh)
            .finish_non_exhaustive()
    }
}

/// An image ready to boot. The files belong to the cache: read them, do not change
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs; its length is a multiple of four, so that
    /// [`exec_overlay`](crate::exec::exec_overlay) can follow it.
    pub initrd: PathBuf,
    /// What the image needs on the kernel's command line.
    pub append: String,
    /// In a line, e.g. `Debian trixie riscv64, Linux 6.12.107+deb13-riscv64,
    /// busybox 1:1.37.0-6+b9`.
    pub describe: String,
}

/// A line of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name to run it by.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// What of it the cache holds.
    pub cached: Option<Cached>,
}

/// A cached image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// As [`Image::describe`].
    pub describe: String,
    /// The release it is from.
    pub release: String,
    /// Bytes on disk, its packages included.
    pub size: u64,
}

/// The catalogue, with what the cache has of it. Looks at nothing but the cache.
///
/// # Errors
/// [`Error::NoCacheDir`].
pub fn list(options: &Options<'_>) -> Result<Vec<Entry>, Error> {
    let cache = Cache::locate(options.cache_dir.as_deref(), environment)?;
    let entry = |offer: &Offer| Entry {
        name: offer.name,
        description: offer.description,
        cached: cache
            .manifest(offer.name)
            .and_then(|manifest| cached(&cache, offer, &manifest)),
    };
    Ok(CATALOGUE.iter().map(entry).collect())
}

/// `None` where files the image boots from are gone.
fn cached(cache: &Cache, offer: &Offer, manifest: &Manifest) -> Option<Cached> {
    let size = |sum: Sha256| cache.object(sum).metadata().ok().map(|m| m.len());
    size(manifest.kernel)?;
    size(manifest.initrd)?;
    Some(Cached {
        describe: describe(offer, manifest),
        release: manifest.release.clone(),
        size: manifest.objects().into_iter().filter_map(size).sum(),
    })
}

/// Whether `name` has the form of a catalogue name that exists.
pub fn knows(name: &str) -> bool {
    CATALOGUE.iter().any(|offer| offer.name == name)
}

/// The line of the catalogue with that name.
pub(crate) fn offer(name: &str) -> Result<&'static Offer, Error> {
    let found = CATALOGUE.iter().find(|offer| offer.name == name);
    found.ok_or_else(|| Error::UnknownImage {
        name: name.to_owned(),
        known: CATALOGUE
            .iter()
            .map(|offer| offer.name)
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// Gets the image `name`, from the cache where it has it.
///
/// # Errors
/// See [`Error`]; nothing half done is left in the cache.
pub fn fetch(name: &str, options: &Options<'_>) -> Result<Image, Error> {
    fetch_on(name, options, &Host::here())
}

pub(crate) fn fetch_on(name: &str, options: &Options<'_>, host: &Host) -> Result<Image, Error> {
    let offer = offer(name)?;
    let cache = Cache::locate(options.cache_dir.as_deref(), &host.variable)?;
    let recipe = Sha256::of(&initramfs::recipe());
    let ready = || {
        cache
            .manifest(name)
            .filter(|m| m.recipe == recipe)
            .and_then(|m| ready(&cache, offer, &m))
    };
    if let Some(image) = ready().filter(|_| !options.refresh) {
        return Ok(image);
    }
    let not_cached = || Error::NotCached {
        name: name.to_owned(),
        cache: cache.root().to_owned(),
    };
    if options.offline && cache.manifest(name).is_none() {
        return Err(not_cached());
    }
    let lock = cache.lock(options.progress)?;
    let work = Work {
        offer,
        visit: Visit {
            options,
            host,
            cache: &cache,
            lock: &lock,
        },
        recipe,
    };
    if !options.refresh || options.offline {
        // Another process may have made it while this one waited; or a newer
        // Isoform makes another initramfs of the same packages.
        if let Some(image) = ready() {
            return Ok(image);
        }
        if let Some(image) = work.rebuild()? {
            return Ok(image);
        }
    }
    if options.offline {
        return Err(not_cached());
    }
    work.visit
        .first_good(name, |archive| work.use_archive(archive))
}

/// Gets Debian packages by name, current ones of the suite that images are made of, from
/// the cache or a mirror: their `.deb` files, in the order of the names. The mirror is
/// always asked which are current.
///
/// # Errors
/// As [`fetch`].
pub fn packages(names: &[&str], options: &Options<'_>) -> Result<Vec<PathBuf>, Error> {
    let host = Host::here();
    let cache = Cache::locate(options.cache_dir.as_deref(), &host.variable)?;
    let [offer, ..] = CATALOGUE;
    let lock = cache.lock(options.progress)?;
    let visit = Visit {
        options,
        host: &host,
        cache: &cache,
        lock: &lock,
    };
    visit.first_good(offer.name, |archive| {
        let packages = archive.find(&offer.selection, names)?;
        packages.iter().map(|p| archive.package(p)).collect()
    })
}

/// The image of a manifest whose files are there and intact.
fn ready(cache: &Cache, offer: &Offer, manifest: &Manifest) -> Option<Image> {
    Some(Image {
        kernel: cache.intact(manifest.kernel)?,
        initrd: cache.intact(manifest.initrd)?,
        append: offer.append.to_owned(),
        describe: describe(offer, manifest),
    })
}

fn describe(offer: &Offer, manifest: &Manifest) -> String {
    format!(
        "Debian {} {}, Linux {}, busybox {}",
        offer.selection.suite,
        offer.selection.architecture,
        manifest.kernel_version,
        manifest.busybox_package.version
    )
}

/// One image being made, under the cache's lock.
struct Work<'a> {
    offer: &'static Offer,
    visit: Visit<'a>,
    recipe: Sha256,
}

impl Work<'_> {
    /// Makes it anew of packages the cache still has.
    fn rebuild(&self) -> Result<Option<Image>, Error> {
        let Some(old) = self.visit.cache.manifest(self.offer.name) else {
            return Ok(None);
        };
        let debs = (
            self.visit.cache.intact(old.kernel_package.sha256),
            self.visit.cache.intact(old.busybox_package.sha256),
        );
        let (Some(kernel), Some(busybox)) = debs else {
            return Ok(None);
        };
        self.make(old, &kernel, &busybox).map(Some)
    }

    fn use_archive(&self, archive: &Archive<'_>) -> Result<Image, Error> {
        let resolved = archive.resolve(&self.offer.selection)?;
        let kernel = archive.package(&resolved.kernel)?;
        let busybox = archive.package(&resolved.busybox)?;
        self.make(self.manifest(&resolved), &kernel, &busybox)
    }

    /// A manifest whose products are still to be made.
    fn manifest(&self, resolved: &Resolved) -> Manifest {
        let part = |p: &Package| Part {
            name: p.name.clone(),
            version: p.version.clone(),
            sha256: p.sha256,
        };
        let nothing = Sha256::of(b"");
        Manifest {
            mirror: resolved.mirror.clone(),
            release: resolved.release.clone(),
            verified_by: resolved.verified_by.unwrap_or("nobody").to_owned(),
            kernel_package: part(&resolved.kernel),
            busybox_package: part(&resolved.busybox),
            kernel_version: String::new(),
            recipe: self.recipe,
            kernel: nothing,
            initrd: nothing,
        }
    }

    /// Builds kernel and initrd of the packages, stores them and completes the
    /// manifest: the last step, that makes the image exist.
    fn make(
        &self,
        mut manifest: Manifest,
        kernel_deb: &Path,
        busybox_deb: &Path,
    ) -> Result<Image, Error> {
        let packages = (&manifest.kernel_package, &manifest.busybox_package);
        let kernel = self.unpack(packages.0, kernel_deb, |deb, name| {
            read_kernel_package(deb, name)
        })?;
        let busybox = self.unpack(packages.1, busybox_deb, |deb, name| {
            read_busybox_package(deb, name)
        })?;
        let selection = &self.offer.selection;
        let title = format!(
            "Debian {} ({}), busybox {}",
            selection.suite, selection.architecture, packages.1.version
        );
        let initrd = build(&kernel, &busybox, &title, &packages.0.name)?;
        manifest.kernel = self.visit.cache.store(&kernel.image, self.visit.lock)?;
        manifest.initrd = self.visit.cache.store(&initrd, self.visit.lock)?;
        manifest.kernel_version = kernel.version;
        manifest.recipe = self.recipe;
        self.visit
            .cache
            .set_manifest(self.offer.name, &manifest, self.visit.lock)?;
        self.visit.cache.prune(self.visit.lock);
        ready(self.visit.cache, self.offer, &manifest).ok_or_else(|| Error::Malformed {
            file: self.visit.cache.root().display().to_string(),
            reason: "what was just written reads back differently; check the disk".to_owned(),
        })
    }

    fn unpack<T>(
        &self,
        part: &Part,
        deb: &Path,
        read: impl FnOnce(&mut dyn std::io::Read, &str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let file = File::open(deb).map_err(|e| Error::io("read", deb, e))?;
        let length = file.metadata().ok().map(|m| m.len());
        let step = Step::begin(
            self.visit.options.progress,
            &format!("unpacking {}", part.name),
            length,
        );
        let mut counted = Counted {
            inner: BufReader::with_capacity(1 << 16, file),
            step: &step,
        };
        read(
            &mut counted,
            &format!("{} {} ({})", part.name, part.version, deb.display()),
        )
    }
}
