//! Disk images as files.
//!
//! [`Image`] is a disk of whole sectors behind which lie a raw file or block device, or
//! a qcow2 file ([`Format`]), with a private overlay before it where writes are not to
//! last. [`create`], [`overlay`](overlay()), [`convert`](convert()), [`resize`] and
//! [`check`](check()) are what a person does with images.
//!
//! What holds here:
//! - **Nothing is opened that nobody asked for.** A qcow2 file may name another one that
//!   it builds upon. That is opened only where [`Request::backing`] says so, read-only,
//!   in the format that the file states; nothing is guessed. External data files are
//!   never opened.
//! - **A flush that returned without an error is durable**, tables of qcow2 included;
//!   and between flushes they are in an order in which the host may fail at any time
//!   ([`qcow2`]).
//! - **Files are locked**: one may write an image, or many read it.
//! - **A file's contents are hostile**: no panic, no endless loop, no memory without
//!   bound.
//!
//! Not here: threads, and devices; whoever has an [`Image`] has it for itself.

mod check;
mod convert;
mod error;
mod host;
mod image;
mod make;
mod overlay;
mod probe;
pub mod qcow2;
mod raw;

pub use check::{Report, check};
pub use convert::convert;
pub use error::DiskError;
pub use host::{Cache, LockedFile, open_locked};
pub use image::{Access, Extent, Image, Info, Request, info};
pub use make::{NewImage, create, overlay, resize};
pub use probe::{Format, foreign};

/// Bytes in a sector, the unit in which disks are addressed.
pub const SECTOR: u64 = 512;
