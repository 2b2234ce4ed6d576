//! Loading: what a file is, and how it gets into guest memory.
//!
//! [`detect`] names a file by its contents ([`Kind`]); a [`Payload`] is all that
//! belongs to one start (firmware, program, initrd, device tree of the person's
//! own) and [`Payload::load`] puts it into RAM and says where each part went
//! ([`Loaded`]). Guest memory is reached only through [`GuestWriter`], so that this
//! module knows neither the memory's form nor the board beyond the range of its
//! RAM. Files stay on disk and open: a reset calls [`Payload::load`] again.
//!
//! Formats: `elf`, `image` (Linux), `packed` (compression, EFI zboot), `disk`, `uboot`.
//! Nothing here trusts a file: sizes and offsets are checked, unpacking is bounded
//! by guest RAM, and what is wrong comes back as a [`LoadError`] that a person can
//! act on.

mod detect;
mod disk;
pub mod elf;
mod error;
mod image;
mod packed;
mod payload;
mod source;
#[cfg(test)]
mod tests;
mod uboot;

use std::ops::Range;

pub use detect::{Kind, Program, detect, detect_path};
pub use disk::{Disk, foreign as foreign_disk, is_qcow2};
pub use elf::Elf;
pub use error::LoadError;
pub use image::ImageHeader;
pub use packed::{Codec, Packed};
pub use payload::{FDT_ROOM, Firmware, Loaded, Payload, device_tree};
pub use source::Source;

/// Guest RAM, as far as loading needs it.
pub trait GuestWriter {
    /// The guest physical addresses of RAM.
    fn ram(&self) -> Range<u64>;

    /// Writes `bytes` at guest physical `addr`.
    ///
    /// # Errors
    /// [`OutOfRam`] where not all of it is RAM; nothing is written then.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), OutOfRam>;

    /// Makes `len` bytes at `addr` read as zero. Memory that is known to be zero,
    /// or can be dropped, should not be touched for it: a guest's untouched memory
    /// costs nothing.
    ///
    /// # Errors
    /// [`OutOfRam`] where not all of it is RAM.
    fn zero(&mut self, addr: u64, len: u64) -> Result<(), OutOfRam>;
}

/// A write that missed guest RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {addr:#x}")]
pub struct OutOfRam {
    /// Guest physical address.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Where something that was loaded starts, and what else is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Physical address of the first instruction.
    pub pc: u64,
    /// Guest memory it occupies, zeroed data included.
    pub extent: Range<u64>,
    /// Its host interface, where it has the symbols.
    pub htif: Option<Htif>,
    /// Memory an architecture test leaves its results in, physical; not checked
    /// to be RAM or in order.
    pub signature: Option<Range<u64>>,
}

impl Entry {
    fn at(pc: u64, extent: Range<u64>) -> Entry {
        Entry {
            pc,
            extent,
            htif: None,
            signature: None,
        }
    }
}

/// Physical addresses of the two words of the host-target interface. They are
/// the program's word: not checked to be RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Htif {
    /// Guest to host.
    pub tohost: u64,
    /// Host to guest.
    pub fromhost: Option<u64>,
}

/// The privilege mode a program starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// M-mode, with nothing below: no SBI.
    Machine,
    /// S-mode, above an SBI.
    Supervisor,
}
