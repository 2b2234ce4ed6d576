//! Disks: what lies behind a block device.
//!
//! [`Image`] is a raw file with an optional private overlay; [`Worker`] does its
//! work on a thread of its own, so that neither a vCPU nor the run loop waits for
//! the host's storage. Devices never come here: they know requests only.

mod flash;
mod image;
mod overlay;
mod worker;

pub use flash::{FlashFile, FlashWorker};
pub use image::{DiskError, Image};
pub use worker::{Answer, Worker, perform};
