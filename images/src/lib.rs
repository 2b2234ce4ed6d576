//! The image catalogue: everything that turns a name like `debian:riscv64` into a
//! kernel and an initramfs on disk.
//!
//! [`fetch`] is the way in. It looks for a Debian mirror in apt's configuration
//! ([`apt`]), follows the chain of hashes from its signed `InRelease` to two
//! packages ([`debian`], [`net`]), unpacks them in process ([`unpack`]), chooses
//! kernel modules ([`modules`]), writes an initramfs ([`initramfs`], [`cpio`]) with
//! a small `/init` (`guest/init.sh`) and keeps all of it by content ([`cache`]).
//! [`system`] gets the packages of a whole Debian system, and readies them for the
//! guest that installs them. [`exec_overlay`] makes the second archive that
//! `isoform run --exec` appends. [`firmware`] and the installer's image are files that
//! a package has as they are ([`parcel`]). [`packages`] gets single packages by the same
//! chain.
//!
//! Invariants: no host name of a mirror stands in this crate; what a network or an
//! archive says is checked before it is believed and bounded before it is read; a
//! file in the cache is whole or not there. Nothing here knows of machines,
//! devices or the terminal.

pub mod apt;
pub mod cache;
pub mod catalogue;
pub mod cpio;
pub mod debian;
pub mod digest;
pub mod error;
pub mod exec;
pub mod initramfs;
pub mod manifest;
mod mirrors;
pub mod modules;
pub mod net;
pub mod parcel;
pub mod progress;
pub mod stanza;
pub mod system;
pub mod unpack;

#[cfg(test)]
mod tests;

pub use catalogue::{
    Cached, Entry, Firmware, Image, Kind, MIRROR_VARIABLE, Options, fetch, firmware, kind, list,
    packages,
};
pub use error::Error;
pub use exec::{COMMAND_PATH, ERR_PORT, EXEC_APPEND, OUT_PORT, STATUS_PORT, exec_overlay};
pub use progress::{Progress, Silent};
