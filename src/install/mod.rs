//! Disks that a guest makes: Debian's own programs, run in a machine of ours, install
//! its packages on a blank disk. Needs neither root nor any tool of the host.
//!
//! [`install`] runs the catalogue's kernel and initramfs with the script
//! [`INSTALL`] as the command of `--exec`, the new disk
//! and the packages as its drives, and its console in a file, of which `log` shows the
//! steps. [`Workplace`] keeps what is unfinished out of sight, and is gone however the
//! program ends.

mod log;
mod workplace;

use isoform_disk::{Cache, Format, NewImage};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isoform_images::system::{INSTALL, Settings, Stock};
use isoform_images::{self as images, Image, Progress};

use crate::boot::load::{Firmware, LoadError, Payload, Source, detect_path};
use crate::config::{DriveSpec, MachineConfig, Outcome, SerialSpec, drive};
use crate::vm::{self, VmError};
use log::Log;
pub use workplace::Workplace;

/// Memory of the installing machine, bytes: it holds the packages. What it does not
/// touch costs nothing.
const MEMORY: u64 = 3 << 30;
/// An installation that takes longer has come to a standstill.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// What a file system needs besides its files, bytes: EFI partition, journal, room.
const OVERHEAD: u64 = 256 << 20;

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The packages would not fit.
    #[error(
        "the packages need a disk of at least {} MiB, and --size asks for {} MiB; give a larger one",
        .needed >> 20, .size >> 20
    )]
    Small {
        /// Bytes asked for.
        size: u64,
        /// Bytes that will do.
        needed: u64,
    },
    /// The host's files.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// A verb.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// There is a file of that name.
    #[error("{} exists already; give another name, or --force to replace it", .0.display())]
    Exists(PathBuf),
    /// What is to be run cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The disk cannot be made.
    #[error(transparent)]
    Disk(#[from] isoform_disk::DiskError),
    /// The packages are not as they should be.
    #[error(transparent)]
    Packages(#[from] images::Error),
    /// The machine failed, or the installer in it.
    #[error("the disk could not be made: {why}; the guest's last lines were:\n{tail}{}", kept(.log.as_deref()))]
    Guest {
        /// How it ended.
        why: String,
        /// Its last words.
        tail: String,
        /// Where all of them are, if that is known.
        log: Option<PathBuf>,
    },
}

fn kept(log: Option<&Path>) -> String {
    log.map_or(String::new(), |path| {
        format!("all of its log is in {}", path.display())
    })
}

/// A disk to be made.
#[derive(Debug)]
pub struct Job<'a> {
    /// What runs.
    pub image: &'a Image,
    /// What is installed.
    pub stock: &'a Stock,
    /// What it is to be like.
    pub settings: &'a Settings,
    /// Bytes of the disk.
    pub size: u64,
    /// What its file is.
    pub format: Format,
    /// Where to keep translated code, if at all.
    pub translation_cache: Option<PathBuf>,
}

/// Makes the disk in `place`, and gives it the name `target` when it is whole; `force`
/// replaces a file that has it.
///
/// # Errors
/// See [`InstallError`]; `target` is as it was then.
pub fn install(
    job: &Job<'_>,
    target: &Path,
    force: bool,
    progress: &dyn Progress,
) -> Result<(), InstallError> {
    check(job, target, force)?;
    let place = Workplace::beside(target)?;
    let (disk, bundle, log) = (
        place.file("disk"),
        place.file("packages"),
        place.file("log"),
    );
    isoform_disk::create(&disk, &NewImage::of(job.format, job.size))?;
    let out = File::create(&bundle).map_err(io("create", &bundle))?;
    job.stock
        .write_bundle(BufWriter::new(out), job.settings, progress)?;
    let (config, payload) = machine(job, &disk, &bundle, &log)?;
    File::create(&log).map_err(io("create", &log))?;
    let outcome = watched(config, &payload, &log, progress);
    succeeded(outcome).map_err(|why| InstallError::Guest {
        why,
        tail: log::tail(&log),
        log: place.keep(&log, "isoform-install.log"),
    })?;
    File::open(&disk)
        .and_then(|file| file.sync_all())
        .map_err(io("write", &disk))?;
    place.deliver(&disk, target, force)
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Io {
        doing,
        path,
        source,
    }
}

/// What can be said before any work.
fn check(job: &Job<'_>, target: &Path, force: bool) -> Result<(), InstallError> {
    if !force && target.symlink_metadata().is_ok() {
        return Err(InstallError::Exists(target.to_owned()));
    }
    let files = job.stock.installed_size();
    let needed =
        (files.saturating_add(files / 8).saturating_add(OVERHEAD)).next_multiple_of(1 << 20);
    match job.size < needed {
        true => Err(InstallError::Small {
            size: job.size,
            needed,
        }),
        false => Ok(()),
    }
}

/// The installing machine.
fn machine(
    job: &Job<'_>,
    disk: &Path,
    bundle: &Path,
    log: &Path,
) -> Result<(MachineConfig, Payload), InstallError> {
    let packages = DriveSpec {
        readonly: true,
        format: Some(Format::Raw),
        ..DriveSpec::of(bundle)
    };
    let target = DriveSpec {
        format: Some(job.format),
        // What is not whole is thrown away: nobody has to wait for the host's disk.
        cache: Cache::Unsafe,
        ..DriveSpec::of(disk)
    };
    let drives = drive::place(&[target, packages], &[]).expect("two drives have two slots");
    let harts = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let config = MachineConfig {
        memory: MEMORY,
        smp: u32::try_from(harts).unwrap_or(1),
        append: Some(format!("{} {}", job.image.append, images::EXEC_APPEND)),
        drives,
        serial: SerialSpec::File(log.to_owned()),
        translation_cache: job.translation_cache.clone(),
        exec: Some(INSTALL.as_bytes().to_vec()),
        timeout: Some(PATIENCE),
        ..MachineConfig::default()
    };
    let overlay = images::exec_overlay(INSTALL.as_bytes());
    let payload = Payload {
        firmware: Firmware::Builtin,
        program: Some(detect_path(&job.image.kernel)?),
        initrd: vec![
            Source::open(&job.image.initrd)?,
            Source::from_bytes("the installer", overlay),
        ],
        dtb: None,
    };
    Ok((config, payload))
}

/// Runs the machine, and shows meanwhile what it says.
fn watched(
    config: MachineConfig,
    payload: &Payload,
    log: &Path,
    progress: &dyn Progress,
) -> Result<Outcome, VmError> {
    let mut log = Log::of(log, progress);
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| vm::run(config, payload));
        while !machine.is_finished() {
            log.follow();
            std::thread::sleep(Duration::from_millis(100));
        }
        log.follow();
        match machine.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// How the run counts; in words where it is a failure.
fn succeeded(outcome: Result<Outcome, VmError>) -> Result<(), String> {
    match outcome {
        Ok(Outcome::Exit(0)) => Ok(()),
        Ok(Outcome::Exit(status)) => Err(format!("the installer ended with status {status}")),
        Ok(Outcome::Timeout) => Err("the installer did not come to an end".to_owned()),
        Ok(_) => Err("the machine stopped before the installer was done".to_owned()),
        Err(VmError::NoStatus(how)) => Err(format!("the machine {how} before it was done")),
        Err(error) => Err(error.to_string()),
    }
}
