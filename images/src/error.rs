//! What can go wrong between an image's name and its files.
//!
//! Each message says what was asked, what is wrong and what to do; the command
//! line prints it as it stands.

use std::io;
use std::path::{Path, PathBuf};

use crate::debian::resolve::ResolveError;

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalogue has no such name.
    #[error("there is no image named `{name}`; the catalogue has: {known}")]
    UnknownImage {
        /// What was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// The name is of something else than what is to be done with it.
    #[error("{name} is {what}; the catalogue has for this: {known}")]
    OtherKind {
        /// What was asked for.
        name: String,
        /// What it is, with an article.
        what: &'static str,
        /// The names that would do, separated by commas.
        known: String,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where caches live.
    #[error(
        "no place for the image cache: neither XDG_CACHE_HOME nor HOME is set; \
         set one of them or name a cache directory"
    )]
    NoCacheDir,
    /// Nothing on this machine names a Debian mirror.
    #[error(
        "no Debian mirror is known on this machine (looked in {looked}); \
         name one with --mirror URL or the environment variable ISOFORM_DEBIAN_MIRROR"
    )]
    NoMirror {
        /// The folder whose apt sources were read.
        looked: PathBuf,
    },
    /// A mirror address that cannot be one.
    #[error(
        "`{url}` cannot be used as a mirror: {reason}; give an http://, https:// or file:// URL"
    )]
    BadMirror {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Every mirror of the apt sources failed; the causes, one a line.
    #[error(
        "none of this machine's apt mirrors could serve `{name}`:{}\n\
         name another with --mirror URL or ISOFORM_DEBIAN_MIRROR",
        .attempts.iter().map(|e| format!("\n  - {e}")).collect::<String>()
    )]
    AllMirrors {
        /// The image.
        name: String,
        /// What each mirror answered.
        attempts: Vec<Error>,
    },
    /// The server could not be reached, or the connection broke.
    #[error(
        "cannot fetch {url}: {reason}; check the network (or the proxy) and the mirror's address"
    )]
    Unreachable {
        /// The address asked for.
        url: String,
        /// The cause, as the network told it.
        reason: String,
    },
    /// The connection broke again and again; what arrived is kept.
    #[error(
        "the download of {url} broke off at {got} of {size} bytes: {reason}; \
         what has arrived is kept, run the command again to go on from there"
    )]
    Interrupted {
        /// The address asked for.
        url: String,
        /// Bytes on disk.
        got: u64,
        /// Bytes there should be.
        size: u64,
        /// The last cause.
        reason: String,
    },
    /// The server answered, but not with the file.
    #[error("cannot fetch {url}: the server answered {status}{hint}")]
    Status {
        /// The address asked for.
        url: String,
        /// HTTP status code.
        status: u16,
        /// What that most likely means, or nothing.
        hint: &'static str,
    },
    /// The archive is not the one that is wanted.
    #[error("{url} is not to be used as a Debian mirror: {reason}")]
    NotDebian {
        /// Address of the `InRelease` file.
        url: String,
        /// What it says instead.
        reason: String,
    },
    /// The signature check refused the file.
    #[error("the signature of {url} is not good: {reason}; do not use this mirror")]
    Signature {
        /// Address of the `InRelease` file.
        url: String,
        /// What the verifier found.
        reason: String,
    },
    /// A file is not the one its index describes.
    #[error(
        "{file} is not what the archive's index promises: {reason}; \
         the mirror may be in the middle of an update or damaged: try again later or use another --mirror"
    )]
    Mismatch {
        /// Address or path.
        file: String,
        /// Expected and found hash or size.
        reason: String,
    },
    /// A file arrived whole but cannot be understood.
    #[error("{file} is damaged or of an unknown form: {reason}")]
    Malformed {
        /// Address, path or package.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// The archive lacks something an image is made of.
    #[error("{whence} has no {what}; the image cannot be made from it: try another --mirror")]
    Missing {
        /// Where it was looked for.
        whence: String,
        /// What was looked for.
        what: String,
    },
    /// A word that no package can be called.
    #[error(
        "`{name}` cannot be a package's name; give names like openssh-server, separated by commas"
    )]
    PackageName {
        /// The word.
        name: String,
    },
    /// The archive cannot make a system of the packages asked for.
    #[error("{mirror} {why}")]
    Packages {
        /// The archive's address.
        mirror: String,
        /// What it has not.
        why: ResolveError,
    },
    /// Offline was asked for and the cache does not hold the image.
    #[error(
        "`{name}` is not in the cache {cache} and the network is not to be used; \
         run it once without --offline"
    )]
    NotCached {
        /// The image.
        name: String,
        /// The cache's folder.
        cache: PathBuf,
    },
    /// The host's files.
    #[error("cannot {doing} {path}: {source}{hint}")]
    Io {
        /// A verb: "write", "read", "lock".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What to do about it, or nothing.
        hint: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// Wraps a host error on `path`; a full disk gets its advice here.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Error {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "; free some space (an image needs about 300 MB) or point XDG_CACHE_HOME elsewhere"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "; make it writable or point XDG_CACHE_HOME elsewhere"
            }
            _ => "",
        };
        Error::Io {
            doing,
            path: path.to_owned(),
            hint,
            source,
        }
    }

    /// Names the file in which a parser found something it cannot accept.
    pub(crate) fn malformed(file: impl Into<String>, why: Malformed) -> Error {
        Error::Malformed {
            file: file.into(),
            reason: why.0,
        }
    }
}

/// What a parser objects to; the caller knows the file and adds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    pub(crate) fn new(reason: impl Into<String>) -> Malformed {
        Malformed(reason.into())
    }
}

impl From<io::Error> for Malformed {
    /// For readers over data already checked to be ours to read: an error is
    /// then the decoder's opinion of the bytes.
    fn from(error: io::Error) -> Malformed {
        Malformed(match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early (truncated)".to_owned(),
            _ => error.to_string(),
        })
    }
}
