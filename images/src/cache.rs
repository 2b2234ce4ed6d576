//! The cache on disk, below `$XDG_CACHE_HOME/isoform`:
//!
//! ```text
//! objects/ab/abcd…      files under their SHA-256, whole from the moment they exist
//! partial/abcd….partial downloads under way or broken off
//! images/NAME           manifests: which objects make an image (`:` becomes `-`)
//! systems/NAME          plans: which packages make a whole system of that name
//! parcels/NAME          records: which objects are files that a package has as they are
//! lock                  held while anything above is added or removed
//! ```
//!
//! A file gets its name by rename after it is on disk, so a crash, a full disk or
//! Ctrl-C leaves at most a `partial` one. Readers need no lock.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Sha256;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::parcel::Record;
use crate::progress::Progress;
use crate::system::Plan;

/// Broken downloads that nobody continues are removed after this time.
const PARTIAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A cache folder; it need not exist yet.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Held by the one process that changes the cache; released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Cache {
    /// At `explicit`, or where the XDG base directory specification puts it.
    ///
    /// # Errors
    /// [`Error::NoCacheDir`].
    pub fn locate(
        explicit: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Cache, Error> {
        if let Some(root) = explicit {
            return Ok(Cache {
                root: root.to_owned(),
            });
        }
        // "All paths must be absolute. […] consider a relative path invalid."
        let absolute = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let base =
            absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Ok(Cache {
            root: base.ok_or(Error::NoCacheDir)?.join("isoform"),
        })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps other processes from changing the cache; waits for one that does.
    ///
    /// # Errors
    /// Those of making and locking the file.
    pub fn lock(&self, progress: &dyn Progress) -> Result<Lock, Error> {
        fs::create_dir_all(&self.root).map_err(|e| Error::io("create", &self.root, e))?;
        let path = self.root.join("lock");
        let io = |e| Error::io("lock", &path, e);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        if file.try_lock().is_err() {
            progress.line("waiting for another isoform that is filling the cache");
            file.lock().map_err(io)?;
        }
        Ok(Lock { _file: file })
    }

    /// Where the object `sum` is or would be.
    pub fn object(&self, sum: Sha256) -> PathBuf {
        let name = sum.to_string();
        self.root.join("objects").join(&name[..2]).join(name)
    }

    /// The object `sum`, read through and found intact; `None` where it is absent
    /// or damaged.
    pub fn intact(&self, sum: Sha256) -> Option<PathBuf> {
        let path = self.object(sum);
        match Sha256::of_file(&path) {
            Ok(found) if found == sum => Some(path),
            Ok(found) => {
                log::warn!("{}: damaged, its sum is {found}", path.display());
                None
            }
            Err(_) => None,
        }
    }

    /// Adds an object.
    ///
    /// # Errors
    /// Host errors; nothing is left behind then.
    pub fn store(&self, bytes: &[u8], _lock: &Lock) -> Result<Sha256, Error> {
        let sum = Sha256::of(bytes);
        write_whole(&self.object(sum), bytes)?;
        Ok(sum)
    }

    /// Where to download the object `sum` to.
    ///
    /// # Errors
    /// Those of making the folder.
    pub fn partial(&self, sum: Sha256, _lock: &Lock) -> Result<PathBuf, Error> {
        let folder = self.root.join("partial");
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        Ok(folder.join(format!("{sum}.partial")))
    }

    /// Makes a complete, verified and synced download an object.
    ///
    /// # Errors
    /// Host errors.
    pub fn adopt(&self, partial: &Path, sum: Sha256, _lock: &Lock) -> Result<PathBuf, Error> {
        let path = self.object(sum);
        let folder = parent(&path);
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        fs::rename(partial, &path).map_err(|e| Error::io("write", &path, e))?;
        sync_folder(folder)?;
        Ok(path)
    }

    /// The manifest of image `name`; `None` where there is none that this version
    /// understands.
    pub fn manifest(&self, name: &str) -> Option<Manifest> {
        let path = self.manifest_path(name);
        let bytes = fs::read(&path).ok()?;
        let manifest = Manifest::parse(&bytes);
        if let Err(why) = &manifest {
            log::warn!("{}: {why}", path.display());
        }
        manifest.ok()
    }

    /// Records what image `name` is made of.
    ///
    /// # Errors
    /// Host errors; the former manifest stays then.
    pub fn set_manifest(&self, name: &str, manifest: &Manifest, _lock: &Lock) -> Result<(), Error> {
        write_whole(&self.manifest_path(name), manifest.to_text().as_bytes())
    }

    /// The plan of the system `name`; `None` where there is none that this version
    /// understands.
    pub fn plan(&self, name: &str) -> Option<Plan> {
        Plan::parse(&fs::read(self.plan_path(name)).ok()?).ok()
    }

    /// Records of which packages the system `name` is made.
    ///
    /// # Errors
    /// Host errors; the former plan stays then.
    pub fn set_plan(&self, name: &str, plan: &Plan, _lock: &Lock) -> Result<(), Error> {
        write_whole(&self.plan_path(name), plan.to_text().as_bytes())
    }

    /// The record of the parcel `name`; `None` where there is none that this version
    /// understands.
    pub fn parcel(&self, name: &str) -> Option<Record> {
        Record::parse(&fs::read(self.parcel_path(name)).ok()?).ok()
    }

    /// Records which files the parcel `name` consists of.
    ///
    /// # Errors
    /// Host errors; the former record stays then.
    pub fn set_parcel(&self, name: &str, record: &Record, _lock: &Lock) -> Result<(), Error> {
        write_whole(&self.parcel_path(name), record.to_text().as_bytes())
    }

    /// Removes objects that no manifest, plan or record names and downloads nobody continues.
    /// Best effort: what cannot be removed now will be another time.
    pub fn prune(&self, _lock: &Lock) {
        let manifests: Vec<Manifest> = files(&self.root.join("images"))
            .filter_map(|path| Manifest::parse(&fs::read(path).ok()?).ok())
            .collect();
        let plans = files(&self.root.join("systems"))
            .filter_map(|path| Plan::parse(&fs::read(path).ok()?).ok());
        let packages = plans
            .flat_map(|plan| plan.items)
            .map(|item| item.part.sha256);
        let parcels: Vec<Record> = files(&self.root.join("parcels"))
            .filter_map(|path| Record::parse(&fs::read(path).ok()?).ok())
            .collect();
        let used: BTreeSet<PathBuf> = manifests
            .iter()
            .flat_map(Manifest::objects)
            .chain(packages)
            .chain(parcels.iter().flat_map(Record::objects))
            .map(|sum| self.object(sum))
            .collect();
        let folders = fs::read_dir(self.root.join("objects"))
            .into_iter()
            .flatten()
            .flatten();
        let stale = |path: &PathBuf| {
            let modified = path.metadata().and_then(|m| m.modified()).ok();
            modified
                .and_then(|time| time.elapsed().ok())
                .is_some_and(|age| age > PARTIAL_AGE)
        };
        let objects = folders
            .flat_map(|folder| files(&folder.path()))
            .filter(|path| !used.contains(path));
        for path in objects.chain(files(&self.root.join("partial")).filter(stale)) {
            if let Err(why) = fs::remove_file(&path) {
                log::warn!("{}: {why}", path.display());
            }
        }
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.root.join("images").join(file_name(name))
    }

    fn plan_path(&self, name: &str) -> PathBuf {
        self.root.join("systems").join(file_name(name))
    }

    fn parcel_path(&self, name: &str) -> PathBuf {
        self.root.join("parcels").join(file_name(name))
    }
}

fn file_name(name: &str) -> String {
    name.replace([':', '/'], "-")
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Writes under another name, then renames: `path` is whole or not there.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = parent(path);
    let io = |e| Error::io("write", path, e);
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    sync_folder(folder)
}

/// A rename is on disk when its folder is.
fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io("write", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(&folder.path().join("c")), |_| None).unwrap();
        (folder, cache)
    }

    #[test]
    fn the_place_is_that_of_the_xdg_specification() {
        let at = |pairs: &'static [(&str, &str)]| {
            let find = move |name: &str| {
                pairs
                    .iter()
                    .find(|(k, _)| *k == name)
                    .map(|(_, v)| (*v).to_owned())
            };
            Cache::locate(None, find).map(|cache| cache.root)
        };
        assert_eq!(
            at(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).unwrap(),
            Path::new("/x/isoform")
        );
        assert_eq!(
            at(&[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]).unwrap(),
            Path::new("/h/.cache/isoform")
        );
        assert!(matches!(at(&[]), Err(Error::NoCacheDir)));
    }

    #[test]
    fn a_damaged_object_is_not_handed_out() {
        let (_folder, cache) = cache();
        let lock = cache.lock(&Silent).unwrap();
        let sum = cache.store(b"content", &lock).unwrap();
        let path = cache.intact(sum).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        fs::write(&path, b"contend").unwrap();
        assert_eq!(cache.intact(sum), None);
        fs::remove_file(path).unwrap();
        assert_eq!(cache.intact(sum), None);
    }

    #[test]
    fn pruning_keeps_what_manifests_name() {
        let (_folder, cache) = cache();
        let lock = cache.lock(&Silent).unwrap();
        let mut manifest = Manifest::example();
        let kept = cache.store(b"kernel", &lock).unwrap();
        manifest.kernel = kept;
        let lost = cache.store(b"other", &lock).unwrap();
        cache
            .set_manifest("debian:riscv64", &manifest, &lock)
            .unwrap();
        let partial = cache.partial(lost, &lock).unwrap();
        fs::write(&partial, b"young").unwrap();
        cache.prune(&lock);
        assert!(cache.intact(kept).is_some());
        assert!(cache.intact(lost).is_none());
        assert!(partial.exists());
        assert_eq!(cache.manifest("debian:riscv64"), Some(manifest));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let (_folder, cache) = cache();
        fs::write(&cache.root, b"a file in the way").unwrap();
        let message = cache.lock(&Silent).unwrap_err().to_string();
        assert!(message.contains(cache.root.to_str().unwrap()), "{message}");
    }
}
