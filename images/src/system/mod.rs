//! A whole Debian system: which packages make one, and how they travel into the
//! guest that installs them on a disk.
//!
//! [`gather`] resolves and fetches the packages by the catalogue's hash chain;
//! [`Stock::write_bundle`] puts them into the tar archive that the guest sees as a
//! disk, with the settings that [`INSTALL`], the command that it runs, reads. What was
//! chosen is kept as a [`Plan`], so that the same system is made again without a
//! network, until newer packages are asked for.
//!
//! Nothing here knows partitions or file systems: those are made in the guest, by
//! Debian's own programs.

mod bundle;
mod plan;
mod seeds;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::catalogue::{Options, offer};
use crate::debian::archive::{Archive, Selection};
use crate::debian::packages::{Index, Package};
use crate::debian::relation;
use crate::debian::resolve::resolve;
use crate::digest::Sha256;
use crate::error::Error;
use crate::manifest::Part;
use crate::mirrors::{Host, Visit};
use crate::progress::{Progress, Step};

pub use bundle::Settings;
pub use plan::{Item, Plan, Stage};

/// The command for `--exec` that installs a bundle (`/dev/vdb`) on a disk
/// (`/dev/vda`). It reports on the console, by lines of which those that begin with
/// [`STEP`] say what is next.
pub const INSTALL: &str = include_str!("../../guest/install.sh");

/// Begins the installer's line about a step: then follow how many packages it does
/// (0: it is not about packages) and its name.
pub const STEP: &str = "@@ ";

/// The packages of a system, all of them in the cache.
#[derive(Debug)]
pub struct Stock {
    /// What was chosen, and whence.
    pub plan: Plan,
    cache: Cache,
}

/// Gets what a system on the base of image `name` is made of, with `packages` beside
/// the usual ones; from the cache where it has the same already.
///
/// # Errors
/// See [`Error`]; names that are no packages are [`Error::Packages`].
pub fn gather(name: &str, packages: &[String], options: &Options<'_>) -> Result<Stock, Error> {
    gather_on(name, packages, options, &Host::here())
}

pub(crate) fn gather_on(
    name: &str,
    packages: &[String],
    options: &Options<'_>,
    host: &Host,
) -> Result<Stock, Error> {
    let selection = offer(name)?.system()?;
    if let Some(bad) = packages.iter().find(|package| !relation::is_name(package)) {
        return Err(Error::PackageName { name: bad.clone() });
    }
    let cache = Cache::locate(options.cache_dir.as_deref(), &host.variable)?;
    let request = request(&selection, packages);
    let kept = || {
        let plan = cache.plan(name).filter(|plan| plan.request == request)?;
        is_whole(&cache, &plan).then_some(plan)
    };
    if let Some(plan) = kept().filter(|_| !options.refresh || options.offline) {
        return Ok(Stock { plan, cache });
    }
    if options.offline {
        return Err(Error::NotCached {
            name: format!("{name} with these packages"),
            cache: cache.root().to_owned(),
        });
    }
    let lock = cache.lock(options.progress)?;
    let visit = Visit {
        options,
        host,
        cache: &cache,
        lock: &lock,
    };
    let plan = visit.first_good(name, |archive| {
        let (plan, debs) = choose(archive, &selection, &request, packages)?;
        // Before anything is fetched, so that no pruning takes it away again.
        cache.set_plan(name, &plan, &lock)?;
        fetch(archive, &debs)?;
        Ok(plan)
    })?;
    drop(lock);
    Ok(Stock { plan, cache })
}

/// What was asked for, in a line. Another version of Isoform may ask for more.
fn request(selection: &Selection, packages: &[String]) -> String {
    let mut extra: Vec<&str> = packages.iter().map(String::as_str).collect();
    extra.sort_unstable();
    extra.dedup();
    let base = Sha256::of(seeds::BASE.join(" ").as_bytes()).to_string();
    let base = base.get(..16).unwrap_or_default();
    format!(
        "{} {} {base} {}",
        selection.suite.name,
        selection.suite.architecture,
        extra.join(" ")
    )
    .trim_end()
    .to_owned()
}

fn is_whole(cache: &Cache, plan: &Plan) -> bool {
    plan.items
        .iter()
        .all(|item| cache.intact(item.part.sha256).is_some())
}

/// The packages that the archive has for a request.
fn choose(
    archive: &Archive<'_>,
    selection: &Selection,
    request: &str,
    packages: &[String],
) -> Result<(Plan, Vec<Package>), Error> {
    let contents = archive.contents(&selection.suite, |_| true)?;
    let index = &contents.index;
    let closure = |names: &[&str]| {
        resolve(index, names).map_err(|why| Error::Packages {
            mirror: archive.mirror.to_owned(),
            why,
        })
    };
    let essential = names(index, |package| package.essential);
    let wanted: Vec<&str> = names(index, seeds::is_basic)
        .into_iter()
        .chain(seeds::BASE.iter().copied())
        .chain([selection.kernel])
        .chain(packages.iter().map(String::as_str))
        .collect();
    let all = closure(&wanted)?;
    let (base, tools) = (closure(&essential)?, closure(seeds::TOOLS)?);
    let item = |package: &&Package| Item {
        part: Part {
            name: package.name.clone(),
            version: package.version.clone(),
            sha256: package.sha256,
        },
        installed_kib: package.installed_kib,
        stage: match base.contains(package) {
            true => Stage::Base,
            false => Stage::Rest,
        },
        tool: tools.contains(package),
        wanted: wanted.contains(&package.name.as_str()),
    };
    let plan = Plan {
        request: request.to_owned(),
        suite: selection.suite.name.to_owned(),
        architecture: selection.suite.architecture.to_owned(),
        mirror: archive.mirror.to_owned(),
        release: contents.release.clone(),
        verified_by: contents.verified_by.unwrap_or("nobody").to_owned(),
        items: all.iter().map(item).collect(),
    };
    Ok((plan, all.into_iter().cloned().collect()))
}

fn names(index: &Index, wanted: impl Fn(&Package) -> bool) -> Vec<&str> {
    let chosen = index.newest().filter(|package| wanted(package));
    chosen.map(|package| package.name.as_str()).collect()
}

/// Fetches the packages that the cache lacks, shown as one step.
fn fetch(archive: &Archive<'_>, packages: &[Package]) -> Result<(), Error> {
    let lacks = |package: &&Package| !archive.cache.object(package.sha256).is_file();
    let missing: Vec<&Package> = packages.iter().filter(lacks).collect();
    let bytes = missing.iter().map(|package| package.size).sum();
    let what = format!(
        "{} packages, {} of them not in the cache",
        packages.len(),
        missing.len()
    );
    let _step = Step::begin(archive.progress, &what, Some(bytes));
    let quiet = Archive {
        progress: &Within(archive.progress),
        ..*archive
    };
    packages
        .iter()
        .try_for_each(|package| quiet.package(package).map(drop))
}

/// Passes on what is done, but not each file as a step of its own.
struct Within<'a>(&'a dyn Progress);

impl Progress for Within<'_> {
    fn begin(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }
    fn finish(&self) {}
    fn line(&self, message: &str) {
        self.0.line(message);
    }
}

impl Stock {
    /// Bytes that the packages take on a disk, by their makers' estimate.
    pub fn installed_size(&self) -> u64 {
        let kib = self.plan.items.iter().map(|item| item.installed_kib);
        kib.fold(0, u64::saturating_add).saturating_mul(1024)
    }

    fn deb(&self, item: &Item) -> Result<(PathBuf, File), Error> {
        let path = self.cache.object(item.part.sha256);
        match File::open(&path) {
            Ok(file) => Ok((path, file)),
            Err(why) => Err(Error::io("read", &path, why)),
        }
    }

    /// The cache the packages are in.
    pub fn cache_root(&self) -> &Path {
        self.cache.root()
    }
}
