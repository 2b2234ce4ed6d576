//! Where unfinished files are: a hidden folder beside what they are to become, removed
//! when the work ends or is broken off by a signal.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::{InstallError, io};

/// A folder for unfinished files.
#[derive(Debug)]
pub struct Workplace {
    folder: tempfile::TempDir,
    /// Removes the folder on a signal, before the program ends as if there were no
    /// handler.
    watch: Option<(Handle, JoinHandle<()>)>,
}

impl Workplace {
    /// In the folder of `target`, so that a file can become `target` by a new name.
    ///
    /// # Errors
    /// Where nothing can be written there.
    pub fn beside(target: &Path) -> Result<Self, InstallError> {
        let folder = match target.parent() {
            Some(folder) if folder != "" => folder,
            _ => Path::new("."),
        };
        let made = tempfile::Builder::new()
            .prefix(".isoform-")
            .tempdir_in(folder);
        let folder = made.map_err(io("write to", folder))?;
        let watch = watch(folder.path().to_owned());
        Ok(Self {
            folder,
            watch: watch
                .inspect_err(|e| ::log::warn!("signals leave files behind: {e}"))
                .ok(),
        })
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Moves a file out of it, to where people look for such things; its new path.
    pub fn keep(&self, file: &Path, name: &str) -> Option<PathBuf> {
        let suffix = format!("-{name}");
        let kept = tempfile::Builder::new()
            .prefix("isoform-")
            .suffix(&suffix)
            .tempfile()
            .ok()?;
        std::fs::copy(file, kept.path()).ok()?;
        kept.keep().ok().map(|(_, path)| path)
    }

    /// Gives a file its final name, with the permissions of a file made there.
    ///
    /// # Errors
    /// [`InstallError::Exists`] where there is one, unless `force`; host errors.
    pub fn deliver(&self, file: &Path, target: &Path, force: bool) -> Result<(), InstallError> {
        if force {
            return std::fs::rename(file, target).map_err(io("write", target));
        }
        // Unlike a rename, a link never replaces anything.
        match std::fs::hard_link(file, target) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(InstallError::Exists(target.to_owned()))
            }
            Err(_) if target.symlink_metadata().is_err() => {
                std::fs::rename(file, target).map_err(io("write", target))
            }
            result => result.map_err(io("write", target)),
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.watch.take() {
            handle.close();
            let _ = thread.join();
        }
    }
}

fn watch(folder: PathBuf) -> std::io::Result<(Handle, JoinHandle<()>)> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let handle = signals.handle();
    let thread = std::thread::Builder::new()
        .name("workplace".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                let _ = std::fs::remove_dir_all(&folder);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
    Ok((handle, thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_delivered_stays_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk.img");
        let place = Workplace::beside(&target).unwrap();
        let (one, two) = (place.file("one"), place.file("two"));
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&two, "2").unwrap();
        place.deliver(&one, &target, false).unwrap();
        let again = place.deliver(&two, &target, false);
        assert!(matches!(again, Err(InstallError::Exists(path)) if path == target));
        assert_eq!(std::fs::read(&target).unwrap(), b"1");
        place.deliver(&two, &target, true).unwrap();
        drop(place);
        assert_eq!(std::fs::read(&target).unwrap(), b"2");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Workplace::beside(Path::new("/nowhere/at/all.img")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at"), "{error}");
    }
}
