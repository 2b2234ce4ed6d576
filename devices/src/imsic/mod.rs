//! The memory-mapped part of the harts' IMSICs (Advanced Interrupt Architecture 1.0,
//! 3.5 and 3.6): a page for each interrupt file, to which messages are written. The
//! files themselves belong to the harts.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use isoform_core::{BusFault, Device, IrqSink, MsiSink, RestoreError, Saved, Size};

/// Bytes of the page of one interrupt file.
pub const PAGE: u64 = 0x1000;
/// Makes the identity written pending.
const SETEIPNUM_LE: u64 = 0;

/// The interrupt files of one level, by hart: inputs are identities.
pub type Files = Vec<Arc<dyn IrqSink>>;

/// The pages of one level, one behind the other.
#[derive(Clone)]
pub struct Imsic {
    files: Files,
}

impl Imsic {
    /// Pages for these files.
    pub fn new(files: Files) -> Self {
        Self { files }
    }

    /// Bytes of all pages.
    pub fn size(&self) -> u64 {
        self.files.len() as u64 * PAGE
    }

    /// A word is written, `offset` from the first page. Only the little-endian register
    /// is more than zeros: no hart here is big-endian.
    fn arrive(&self, offset: u64, identity: u32) {
        let file = usize::try_from(offset / PAGE).ok();
        if let Some(file) = file.and_then(|n| self.files.get(n))
            && offset % PAGE == SETEIPNUM_LE
        {
            file.set(identity, true);
        }
    }
}

impl Device for Imsic {
    fn name(&self) -> &'static str {
        "imsic"
    }

    /// Everything reads as zero, by words alone.
    fn read(&mut self, _offset: u64, size: Size) -> Result<u64, BusFault> {
        match size {
            Size::B4 => Ok(0),
            _ => Err(BusFault),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match size {
            Size::B4 => {
                self.arrive(offset, value as u32);
                Ok(())
            }
            _ => Err(BusFault),
        }
    }

    fn reset(&mut self) {}

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.restore_bytes(bytes)
    }
}

/// The version alone: what arrived is in the harts' files.
impl Saved for Imsic {
    type State = ();
    const NAME: &'static str = "imsic";
    const VERSION: u16 = 1;

    fn state(&self) {
        let Self { files: _ } = self;
    }

    fn set_state(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// All pages of a machine, by the address of their first: where devices send messages.
pub struct Messages(Vec<(u64, Imsic)>);

impl Messages {
    /// Pages at their places, which do not overlap.
    pub fn new(places: Vec<(u64, Imsic)>) -> Self {
        Self(places)
    }
}

impl MsiSink for Messages {
    fn send(&self, address: u64, data: u32) {
        for (base, pages) in &self.0 {
            if let Some(offset) = address.checked_sub(*base)
                && offset < pages.size()
            {
                pages.arrive(offset, data);
            }
        }
    }
}
