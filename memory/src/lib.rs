//! Guest memory: RAM, the physical bus, the soft TLB, and the tracking of pages
//! that hold decoded code.
//!
//! * [`Ram`]: one memfd, mapped shared. Naturally aligned accesses are single
//!   relaxed atomics in every form; no Rust reference to guest bytes ever exists.
//! * [`Rom`]: what a flash chip holds: read and fetched directly, written by its device.
//! * [`Bus`]: which device answers a guest-physical address.
//! * [`Tlb`]: virtual page → host address, per vCPU, a few address spaces kept.
//! * [`CodePages`]: which pages hold code that somebody decoded, and whether they
//!   were written since.
//!
//! The crate knows no guest: who may access what is the frontend's page walk.
//!
//! `unsafe` lives here, and rests on one argument: a host address is
//! made only from an offset checked against the size of a mapping that the holder
//! keeps alive.

mod bus;
mod code;
mod host;
mod ram;
mod rom;
mod tlb;

pub use bus::{Bus, BusError, Router, WindowCounts};
pub use code::{CodePages, WriteEpoch};
pub use host::has_cas128;
pub use ram::{Dma, Ram, RamError};
pub use rom::Rom;
pub use tlb::{Mapping, SpaceId, Tlb};

/// Bytes in a page, the unit of translation and of tracking.
pub const PAGE: u64 = 4096;

#[cfg(target_endian = "big")]
compile_error!("guest memory is little-endian, and so must the host be");
