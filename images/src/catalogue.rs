//! The images there are, and how a name becomes files.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::debian::archive::{Archive, Resolved, Selection, Suite};
use crate::debian::packages::Package;
use crate::digest::Sha256;
use crate::error::Error;
use crate::initramfs::{self, build, read_busybox_package, read_kernel_package};
use crate::manifest::{Manifest, Part};
use crate::mirrors::{Host, Visit, environment};
use crate::parcel::{self, Parcel, Record};
use crate::progress::{Counted, Progress, Step};

/// The environment variable that names a mirror, after `--mirror`.
pub const MIRROR_VARIABLE: &str = "ISOFORM_DEBIAN_MIRROR";

/// One name of the catalogue.
pub(crate) struct Offer {
    name: &'static str,
    description: &'static str,
    makes: Makes,
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Makes {
    /// A kernel and an initramfs with busybox, made of two packages.
    System(Selection),
    /// An installer's kernel and initrd.
    Installer(Parcel),
    /// Code and variables for flash.
    Flash(Parcel),
    /// A program that the machine starts.
    Program(Parcel),
}

/// What can be done with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is run, runs commands, and is installed on disks.
    System,
    /// It is run, and installs by itself.
    Installer,
    /// It starts what is on a disk or in the network.
    Firmware,
}

impl Kind {
    /// What it is, with an article.
    fn name(self) -> &'static str {
        match self {
            Kind::System => "a system",
            Kind::Installer => "an installer",
            Kind::Firmware => "firmware",
        }
    }
}

const TRIXIE: Suite = Suite {
    name: "trixie",
    architecture: "riscv64",
};

const CATALOGUE: &[Offer] = &[
    Offer {
        name: "debian:riscv64",
        description: "Debian trixie's kernel for 64-bit RISC-V and a busybox shell",
        makes: Makes::System(Selection {
            suite: TRIXIE,
            kernel: "linux-image-riscv64",
            busybox: "busybox-static",
        }),
    },
    Offer {
        name: "debian-installer:riscv64",
        description: "Debian trixie's installer; give it a disk (--drive) and --net user",
        makes: Makes::Installer(Parcel {
            suite: TRIXIE,
            package: "debian-installer-13-netboot-riscv64",
            paths: &[
                "usr/lib/debian-installer/images/13/riscv64/text/debian-installer/riscv64/linux",
                "usr/lib/debian-installer/images/13/riscv64/text/debian-installer/riscv64/initrd.gz",
            ],
        }),
    },
    Offer {
        name: "edk2:riscv64",
        description: "UEFI firmware (EDK2), which boots from disks, CDs and the network",
        makes: Makes::Flash(Parcel {
            suite: TRIXIE,
            package: "qemu-efi-riscv64",
            paths: &[
                "usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd",
                "usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd",
            ],
        }),
    },
    Offer {
        name: "u-boot:riscv64",
        description: "U-Boot, which boots from disks and the network",
        makes: Makes::Program(Parcel {
            suite: TRIXIE,
            package: "u-boot-qemu",
            paths: &["usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"],
        }),
    },
];

/// What kernels of the catalogue need on their command line.
const APPEND: &str = "console=ttyS0";

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

/// Firmware ready to start. The files belong to the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// For flash.
    Flash {
        /// What the first bank holds.
        code: PathBuf,
        /// What the second holds at first.
        variables: PathBuf,
    },
    /// A program that the machine starts.
    Program(PathBuf),
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
        cached: cached(&cache, offer),
    };
    Ok(CATALOGUE.iter().map(entry).collect())
}

/// `None` where files the image boots from are gone.
fn cached(cache: &Cache, offer: &Offer) -> Option<Cached> {
    let size = |sum: Sha256| cache.object(sum).metadata().ok().map(|m| m.len());
    let (describe, release, used, all) = match &offer.makes {
        Makes::System(selection) => {
            let manifest = cache.manifest(offer.name)?;
            let used = vec![manifest.kernel, manifest.initrd];
            let all = manifest.objects().to_vec();
            (describe(selection, &manifest), manifest.release, used, all)
        }
        Makes::Installer(_) | Makes::Flash(_) | Makes::Program(_) => {
            let record = cache.parcel(offer.name)?;
            let used = record.files.iter().map(|(_, sum)| *sum).collect();
            let all = record.objects().collect();
            (describe_parcel(&record), record.release, used, all)
        }
    };
    used.into_iter()
        .all(|sum| size(sum).is_some())
        .then(|| Cached {
            describe,
            release,
            size: all.into_iter().filter_map(size).sum(),
        })
}

/// What `name` stands for in the catalogue, if it is there.
pub fn kind(name: &str) -> Option<Kind> {
    let found = CATALOGUE.iter().find(|offer| offer.name == name);
    found.map(Offer::kind)
}

/// The line of the catalogue with that name.
pub(crate) fn offer(name: &str) -> Result<&'static Offer, Error> {
    let found = CATALOGUE.iter().find(|offer| offer.name == name);
    found.ok_or_else(|| Error::UnknownImage {
        name: name.to_owned(),
        known: names(|_| true),
    })
}

/// The names of these kinds, separated by commas.
fn names(wanted: impl Fn(Kind) -> bool) -> String {
    let offers = CATALOGUE.iter().filter(|offer| wanted(offer.kind()));
    offers
        .map(|offer| offer.name)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Offer {
    fn kind(&self) -> Kind {
        match self.makes {
            Makes::System(_) => Kind::System,
            Makes::Installer(_) => Kind::Installer,
            Makes::Flash(_) | Makes::Program(_) => Kind::Firmware,
        }
    }

    /// The packages of a system.
    pub(crate) fn system(&self) -> Result<Selection, Error> {
        match self.makes {
            Makes::System(selection) => Ok(selection),
            _ => Err(self.other_kind(|kind| kind == Kind::System)),
        }
    }

    fn other_kind(&self, wanted: impl Fn(Kind) -> bool) -> Error {
        Error::OtherKind {
            name: self.name.to_owned(),
            what: self.kind().name(),
            known: names(wanted),
        }
    }
}

/// Gets the image `name`, a system or an installer, from the cache where it has it.
///
/// # Errors
/// See [`Error`]; nothing half done is left in the cache.
pub fn fetch(name: &str, options: &Options<'_>) -> Result<Image, Error> {
    fetch_on(name, options, &Host::here())
}

pub(crate) fn fetch_on(name: &str, options: &Options<'_>, host: &Host) -> Result<Image, Error> {
    let offer = offer(name)?;
    match &offer.makes {
        Makes::System(selection) => made(offer, selection, options, host),
        Makes::Installer(parcel) => {
            let (record, files) = unpacked(offer, parcel, options, host)?;
            let mut files = files.into_iter();
            Ok(Image {
                kernel: files.next().unwrap_or_default(),
                initrd: files.next().unwrap_or_default(),
                append: APPEND.to_owned(),
                describe: describe_parcel(&record),
            })
        }
        Makes::Flash(_) | Makes::Program(_) => Err(offer.other_kind(|kind| kind != Kind::Firmware)),
    }
}

/// Gets the firmware `name`, from the cache where it has it.
///
/// # Errors
/// As [`fetch`].
pub fn firmware(name: &str, options: &Options<'_>) -> Result<Firmware, Error> {
    firmware_on(name, options, &Host::here())
}

pub(crate) fn firmware_on(
    name: &str,
    options: &Options<'_>,
    host: &Host,
) -> Result<Firmware, Error> {
    let offer = offer(name)?;
    match &offer.makes {
        Makes::Flash(parcel) => {
            let (_, files) = unpacked(offer, parcel, options, host)?;
            let mut files = files.into_iter();
            Ok(Firmware::Flash {
                code: files.next().unwrap_or_default(),
                variables: files.next().unwrap_or_default(),
            })
        }
        Makes::Program(parcel) => {
            let (_, files) = unpacked(offer, parcel, options, host)?;
            Ok(Firmware::Program(
                files.into_iter().next().unwrap_or_default(),
            ))
        }
        Makes::System(_) | Makes::Installer(_) => {
            Err(offer.other_kind(|kind| kind == Kind::Firmware))
        }
    }
}

fn not_cached(name: &str, cache: &Cache) -> Error {
    Error::NotCached {
        name: name.to_owned(),
        cache: cache.root().to_owned(),
    }
}

/// The files of a parcel, in the order of its paths.
fn unpacked(
    offer: &Offer,
    parcel: &Parcel,
    options: &Options<'_>,
    host: &Host,
) -> Result<(Record, Vec<PathBuf>), Error> {
    let name = offer.name;
    let cache = Cache::locate(options.cache_dir.as_deref(), &host.variable)?;
    let kept = || parcel::kept(&cache, name, parcel);
    if let Some(kept) = kept().filter(|_| !options.refresh || options.offline) {
        return Ok(kept);
    }
    if options.offline {
        return Err(not_cached(name, &cache));
    }
    let lock = cache.lock(options.progress)?;
    // Another process may have unpacked it while this one waited.
    if let Some(kept) = kept().filter(|_| !options.refresh) {
        return Ok(kept);
    }
    let visit = Visit {
        options,
        host,
        cache: &cache,
        lock: &lock,
    };
    visit.first_good(name, |archive| {
        parcel::unpack(&visit, archive, name, parcel)
    })
}

/// An image made of packages.
fn made(
    offer: &'static Offer,
    selection: &Selection,
    options: &Options<'_>,
    host: &Host,
) -> Result<Image, Error> {
    let name = offer.name;
    let cache = Cache::locate(options.cache_dir.as_deref(), &host.variable)?;
    let recipe = Sha256::of(&initramfs::recipe());
    let ready = || {
        cache
            .manifest(name)
            .filter(|m| m.recipe == recipe)
            .and_then(|m| ready(&cache, selection, &m))
    };
    if let Some(image) = ready().filter(|_| !options.refresh) {
        return Ok(image);
    }
    if options.offline && cache.manifest(name).is_none() {
        return Err(not_cached(name, &cache));
    }
    let lock = cache.lock(options.progress)?;
    let work = Work {
        name,
        selection: *selection,
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
        return Err(not_cached(name, &cache));
    }
    work.visit
        .first_good(name, |archive| work.use_archive(archive))
}

/// Gets Debian packages by name, current ones of the stable suite, from
/// the cache or a mirror: their `.deb` files, in the order of the names. The mirror is
/// always asked which are current.
///
/// # Errors
/// As [`fetch`].
pub fn packages(names: &[&str], options: &Options<'_>) -> Result<Vec<PathBuf>, Error> {
    let host = Host::here();
    let cache = Cache::locate(options.cache_dir.as_deref(), &host.variable)?;
    let lock = cache.lock(options.progress)?;
    let visit = Visit {
        options,
        host: &host,
        cache: &cache,
        lock: &lock,
    };
    visit.first_good(&names.join(", "), |archive| {
        let packages = archive.find(&TRIXIE, names)?;
        packages.iter().map(|p| archive.package(p)).collect()
    })
}

/// The image of a manifest whose files are there and intact.
fn ready(cache: &Cache, selection: &Selection, manifest: &Manifest) -> Option<Image> {
    Some(Image {
        kernel: cache.intact(manifest.kernel)?,
        initrd: cache.intact(manifest.initrd)?,
        append: APPEND.to_owned(),
        describe: describe(selection, manifest),
    })
}

fn describe_parcel(record: &Record) -> String {
    format!("{} {}", record.package.name, record.package.version)
}

fn describe(selection: &Selection, manifest: &Manifest) -> String {
    format!(
        "Debian {} {}, Linux {}, busybox {}",
        selection.suite.name,
        selection.suite.architecture,
        manifest.kernel_version,
        manifest.busybox_package.version
    )
}

/// One image being made, under the cache's lock.
struct Work<'a> {
    name: &'static str,
    selection: Selection,
    visit: Visit<'a>,
    recipe: Sha256,
}

impl Work<'_> {
    /// Makes it anew of packages the cache still has.
    fn rebuild(&self) -> Result<Option<Image>, Error> {
        let Some(old) = self.visit.cache.manifest(self.name) else {
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
        let resolved = archive.resolve(&self.selection)?;
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
        let selection = &self.selection;
        let title = format!(
            "Debian {} ({}), busybox {}",
            selection.suite.name, selection.suite.architecture, packages.1.version
        );
        let initrd = build(&kernel, &busybox, &title, &packages.0.name)?;
        manifest.kernel = self.visit.cache.store(&kernel.image, self.visit.lock)?;
        manifest.initrd = self.visit.cache.store(&initrd, self.visit.lock)?;
        manifest.kernel_version = kernel.version;
        manifest.recipe = self.recipe;
        self.visit
            .cache
            .set_manifest(self.name, &manifest, self.visit.lock)?;
        self.visit.cache.prune(self.visit.lock);
        ready(self.visit.cache, &self.selection, &manifest).ok_or_else(|| Error::Malformed {
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
