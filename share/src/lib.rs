//! A file server: one folder of the host for one guest, by the protocol 9P2000.L, which
//! Linux mounts with `-t 9p`.
//!
//! * [`Share`] answers one request after another: bytes in, bytes out. It is called from
//!   as many threads as one likes.
//! * [`Workers`] are threads that do so, and see to it that what is flushed
//!   is answered in the right order.
//!
//! The guest is the folder's user and nothing more: it reaches what is in the folder
//! with the rights of the process that serves it, and nothing beside it (`node` says
//! why). It sees the host's owners and modes as they are. To change an owner is beyond
//! most processes; that it fails so is not told, as archives could not be unpacked
//! otherwise (QEMU's `security_model=none` does the same).
//!
//! Files that the guest has open stay open when their names go. They take half of
//! the descriptors that the process may have at most.
//!
//! Deliberately not done: authentication; extended attributes (answered with
//! EOPNOTSUPP); locks between guest and host (a guest's own processes are told apart by
//! its own kernel, so each lock is granted); devices in the folder (they can be seen,
//! removed and renamed, not opened or made).
//!
//! As with any user of the folder, a guest can make set-user-ID programs of the serving
//! process's user there.

mod attr;
mod fids;
mod limit;
mod message;
mod node;
mod pool;
mod server;
mod spec;
mod wire;

pub use pool::{Job, Submitter, Workers};
pub use server::{Access, Share, ShareError};
pub use spec::{ERROR_BYTES, MSIZE, kind};
