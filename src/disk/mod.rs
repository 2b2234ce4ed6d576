//! Disks: what lies behind a block device.
//!
//! An [`Image`](isoform_disk::Image) is of `isoform-disk`; [`Worker`] does its work on a
//! thread of its own, so that neither a vCPU nor the run loop waits for the host's
//! storage. Devices never come here: they know requests only.

mod buffers;
mod flash;
mod worker;

pub use buffers::{Buffers, Pooled};
pub use flash::{FlashError, FlashFile, FlashWorker};
pub use worker::{Answer, Worker, perform};
