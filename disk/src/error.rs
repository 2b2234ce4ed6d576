//! Why a disk cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// Why a disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be opened.
    #[error("cannot open the disk {}{advice}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What may help, starting with a separator; or empty.
        advice: &'static str,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Another process writes it, or reads it while this one wants to write.
    #[error(
        "the disk {} is in use by another machine; use it with snapshot=on or readonly=on in both, or copy it",
        .0.display()
    )]
    InUse(PathBuf),
    /// It is no file or block device.
    #[error("the disk {} is {what}; a disk is a file or a block device", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Empty, or no whole number of sectors.
    #[error("the disk {} has {size} bytes, which is no positive multiple of 512", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// It is in a format that is not known here, though no format was given.
    #[error("{} is {what}; convert it with `qemu-img convert`, or give format=raw if it is a disk that begins like one", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, with an article.
        what: &'static str,
    },
    /// A qcow2 file whose contents contradict themselves.
    #[error("the qcow2 disk {} is damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A qcow2 file with something that is not known here, or not for this use.
    #[error("the qcow2 disk {} {what}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it has, and what to do.
        what: String,
    },
    /// It builds upon another file, and nobody said that this may be opened.
    #[error(
        "the disk {} builds upon the file {backing}, which is opened only if you say so: add backing=on (or --backing) if you trust it",
        .path.display()
    )]
    Backing {
        /// The file.
        path: PathBuf,
        /// The name in it.
        backing: String,
    },
    /// A chain of backing files that comes back to itself, or is too long.
    #[error("the disk {} builds upon itself, or upon more than {most} others", .path.display())]
    Chain {
        /// The file at which this was noticed.
        path: PathBuf,
        /// Files at most.
        most: usize,
    },
    /// `cache=none`, and the file cannot be had that way.
    #[error("the disk {} cannot be used with cache=none: {why}; use cache=writeback", .path.display())]
    Direct {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A new file is not made where one is already.
    #[error("{} exists already; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// What was asked of an image makes no sense.
    #[error("{}: {what}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What makes no sense, and what would.
        what: String,
    },
    /// The host failed in the middle of it.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was being done, such as "cannot write".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
}

impl DiskError {
    /// For `map_err`: the host failed at `what` with the file.
    pub(crate) fn io(
        what: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> DiskError + use<> {
        let path = path.to_owned();
        move |source| DiskError::Io { what, path, source }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> DiskError {
        DiskError::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> DiskError {
        DiskError::Unsupported {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(crate) fn invalid(path: &Path, what: impl Into<String>) -> DiskError {
        DiskError::Invalid {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
