//! Why something cannot be loaded. Each message names the file, says what is
//! wrong with it and what to do; the command line prints it as it stands.

use std::io;
use std::ops::Range;

/// Why a file cannot be loaded or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be opened.
    #[error("cannot open {file}: {source}{hint}")]
    Open {
        /// Path as given.
        file: String,
        /// The cause.
        source: io::Error,
        /// What to do about it, or nothing.
        hint: &'static str,
    },
    /// It opened, but reading failed.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Path or description.
        file: String,
        /// The cause.
        source: io::Error,
    },
    /// A folder or a pipe, where a file is wanted.
    #[error("{file} is {what}; a file is needed here")]
    NotAFile {
        /// Path as given.
        file: String,
        /// What it is.
        what: &'static str,
    },
    /// No known form.
    #[error(
        "{file} is in no form that can be started: neither an ELF program, nor a Linux Image \
         (raw, compressed or EFI zboot), nor a disk image{hint}"
    )]
    Unknown {
        /// Path or description.
        file: String,
        /// What to do about it, or nothing.
        hint: &'static str,
    },
    /// No code to list.
    #[error("{file} {what}; give a riscv64 ELF file with code in it")]
    NoCode {
        /// Path or description.
        file: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A program for another machine.
    #[error("{file} is {found}; this machine is riscv64, so give a riscv64 program or kernel")]
    WrongArch {
        /// Path or description.
        file: String,
        /// What it is.
        found: String,
    },
    /// A known form that cannot be used here.
    #[error("{file} is {what}, which cannot be started; {advice}")]
    Unsupported {
        /// Path or description.
        file: String,
        /// What it is.
        what: String,
        /// What to do instead.
        advice: String,
    },
    /// It ends before its own headers say.
    #[error(
        "{file} is truncated: it ends after {len} bytes, before its {what}; fetch or build it again"
    )]
    Truncated {
        /// Path or description.
        file: String,
        /// Its size, bytes.
        len: u64,
        /// What is cut off.
        what: &'static str,
    },
    /// It contradicts itself.
    #[error("{file} is damaged: {reason}; fetch or build it again")]
    Malformed {
        /// Path or description.
        file: String,
        /// Where and how.
        reason: String,
    },
    /// What it holds when unpacked is of no use.
    #[error("{file}, once unpacked, is {what}; unpack it first and give the result")]
    PackedOther {
        /// Path or description.
        file: String,
        /// What is inside.
        what: String,
    },
    /// A part of it wants addresses where there is no RAM.
    #[error(
        "{file} does not fit: its {what} wants {:#x}..{:#x}, but RAM is {:#x}..{:#x}; {advice}",
        .wants.start, .wants.end, .ram.start, .ram.end
    )]
    OutsideRam {
        /// Path or description.
        file: String,
        /// Which part.
        what: String,
        /// The guest physical addresses it wants.
        wants: Range<u64>,
        /// The guest's RAM.
        ram: Range<u64>,
        /// What to do about it.
        advice: &'static str,
    },
    /// Two things want the same addresses.
    #[error(
        "{first} ({:#x}..{:#x}) and {second} ({:#x}..{:#x}) overlap in guest memory; {advice}",
        .at.0.start, .at.0.end, .at.1.start, .at.1.end
    )]
    Overlap {
        /// One of the two.
        first: String,
        /// The other.
        second: String,
        /// Where they want to be.
        at: (Range<u64>, Range<u64>),
        /// What to do about it.
        advice: &'static str,
    },
    /// No free stretch of RAM is long enough for the initrd.
    #[error(
        "the initrd {file} ({size} bytes) does not fit into guest memory: the longest free \
         stretch beside the kernel is {room} bytes; give the guest more with --memory"
    )]
    InitrdTooLarge {
        /// Path or description; several joined by `+`.
        file: String,
        /// Size of the whole initrd, bytes.
        size: u64,
        /// The longest free stretch, bytes.
        room: u64,
    },
    /// Guest memory refused a write the checks had allowed.
    #[error("guest memory refused {0}")]
    Guest(#[from] super::OutOfRam),
}

impl LoadError {
    pub(super) fn open(file: String, source: io::Error) -> LoadError {
        let hint = match source.kind() {
            io::ErrorKind::NotFound => "; check the path",
            io::ErrorKind::PermissionDenied => "; it must be readable by you",
            _ => "",
        };
        LoadError::Open { file, source, hint }
    }

    pub(super) fn read(file: &str, source: io::Error) -> LoadError {
        LoadError::Read {
            file: file.to_owned(),
            source,
        }
    }
}
