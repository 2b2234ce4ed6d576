//! Firmware configuration: items that the machine hands to its firmware, by key or by
//! name, as QEMU's boards do (there called fw_cfg).
//!
//! Items are fixed when the machine is built, and read-only. The guest reads them through
//! a register, or has them copied to memory (DMA), which is done at once. Invariant: DMA
//! reaches RAM only, and a structure or a range that is not wholly RAM is an error that
//! changes nothing.

pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use isoform_core::{BusFault, Device, RestoreError, Saved, Size};
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};
use spec::{Control, key};

/// Bytes copied to memory at once.
const PIECE: usize = 64 << 10;

/// What a machine hands to its firmware.
#[derive(Clone, Debug, Default)]
pub struct Items {
    by_key: BTreeMap<u16, Arc<[u8]>>,
    /// In the order of their keys, from [`key::FILE_FIRST`] on.
    files: Vec<(String, Arc<[u8]>)>,
}

impl Items {
    /// An item by key.
    pub fn set(&mut self, key: u16, bytes: impl Into<Arc<[u8]>>) {
        self.by_key.insert(key, bytes.into());
    }

    /// Adds an item by name; false where its name is empty, taken or too long, or there are
    /// too many items.
    pub fn add_file(&mut self, name: &str, bytes: impl Into<Arc<[u8]>>) -> bool {
        let fits = (1..spec::NAME_BYTES).contains(&name.len()) && !name.contains('\0');
        let taken = self.files.iter().any(|(known, _)| known == name);
        let room = self.files.len() < usize::from(0x4000 - key::FILE_FIRST);
        if fits && !taken && room {
            self.files.push((name.into(), bytes.into()));
        }
        fits && !taken && room
    }

    /// The directory: their number, then of each its size, key and name.
    fn directory(&self) -> Vec<u8> {
        let mut directory = (self.files.len() as u32).to_be_bytes().to_vec();
        for ((name, bytes), key) in self.files.iter().zip(key::FILE_FIRST..) {
            directory.extend((bytes.len() as u32).to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let mut field = [0; spec::NAME_BYTES];
            let places = field.iter_mut().zip(name.bytes());
            places.for_each(|(place, byte)| *place = byte);
            directory.extend(field);
        }
        directory
    }

    /// All by key, with what every machine has.
    fn complete(mut self) -> BTreeMap<u16, Arc<[u8]>> {
        self.set(key::SIGNATURE, *b"QEMU");
        self.set(key::ID, spec::ID_FEATURES.to_le_bytes());
        self.set(key::FILE_DIR, self.directory());
        for ((_, bytes), key) in self.files.into_iter().zip(key::FILE_FIRST..) {
            self.by_key.insert(key, bytes);
        }
        self.by_key
    }
}

/// The device. See the [module documentation](self).
pub struct FwCfg {
    // --- configuration
    items: BTreeMap<u16, Arc<[u8]>>,

    // --- connections
    ram: Arc<Ram>,

    // --- guest-visible state
    selected: u16,
    /// The byte of the selected item that is read next.
    at: u64,
    /// Upper half of the DMA structure's address.
    dma_high: u32,
}

impl FwCfg {
    /// Hands out `items`, by DMA to `ram`.
    pub fn new(items: Items, ram: Arc<Ram>) -> Self {
        Self {
            items: items.complete(),
            ram,
            selected: key::SIGNATURE,
            at: 0,
            dma_high: 0,
        }
    }

    fn select(&mut self, key: u16) {
        self.selected = key & key::MASK;
        self.at = 0;
    }

    /// The rest of the selected item.
    fn rest(&self) -> &[u8] {
        let item = self.items.get(&self.selected);
        let at = usize::try_from(self.at).ok();
        item.and_then(|item| item.get(at?..)).unwrap_or_default()
    }

    /// The next bytes of the item as a number that shows them in the order of addresses;
    /// behind its end are zeros.
    fn read_data(&mut self, size: Size) -> u64 {
        let mut bytes = [0; 8];
        let count = size.bytes() as usize;
        let places = bytes.iter_mut().take(count).zip(self.rest());
        places.for_each(|(place, byte)| *place = *byte);
        self.at = self.at.saturating_add(size.bytes());
        u64::from_le_bytes(bytes)
    }

    /// Does what the structure at `structure` asks, and writes down how that went.
    fn dma(&mut self, structure: u64) {
        let mut bytes = [0; 16];
        if self.ram.read(structure, &mut bytes).is_none() {
            return;
        }
        let [a, b, c, d] = [0, 4, 8, 12].map(|at| {
            let word = bytes.get(at..).and_then(|b| b.first_chunk());
            word.map_or(0, |b| u32::from_be_bytes(*b))
        });
        let (control, length) = (Control::from_bits_truncate(a), u64::from(b));
        let address = u64::from(c) << 32 | u64::from(d);
        if control.contains(Control::SELECT) {
            self.select((a >> 16) as u16);
        }
        let done = if control.contains(Control::READ) {
            self.copy_out(address, length)
        } else if control.contains(Control::WRITE) {
            // No item can be written.
            None
        } else {
            if control.contains(Control::SKIP) {
                self.at = self.at.saturating_add(length);
            }
            Some(())
        };
        let result = match done {
            Some(()) => Control::empty(),
            None => Control::ERROR,
        };
        // It was RAM when it was read.
        let _ = self.ram.write(structure, &result.bits().to_be_bytes());
    }

    /// Copies the next `length` bytes of the item to RAM, and zeros for what is behind its
    /// end. `None`, and nothing copied, where not all of the range is RAM.
    fn copy_out(&mut self, address: u64, length: u64) -> Option<()> {
        let end = address.checked_add(length)?;
        let (start, size) = (self.ram.base(), self.ram.size());
        if address < start || end > start + size {
            return None;
        }
        let mut to = address;
        while to < end {
            let count = (end - to).min(PIECE as u64) as usize;
            let rest = self.rest();
            let bytes = rest.get(..count).unwrap_or(rest);
            let copied = if bytes.is_empty() {
                self.ram.write(to, &vec![0; count])?;
                count
            } else {
                self.ram.write(to, bytes)?;
                bytes.len()
            };
            to += copied as u64;
            self.at = self.at.saturating_add(copied as u64);
        }
        Some(())
    }
}

impl Device for FwCfg {
    fn name(&self) -> &'static str {
        "fw-cfg"
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        match offset {
            spec::DATA..spec::SELECTOR => Ok(self.read_data(size)),
            spec::DMA..spec::WINDOW => {
                let bytes = spec::DMA_SIGNATURE.to_be_bytes();
                let word = u64::from_le_bytes(bytes);
                Ok(size.truncate(word >> ((offset - spec::DMA) * 8)))
            }
            _ => Ok(0),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match (offset, size) {
            (spec::SELECTOR, Size::B2) => self.select((value as u16).swap_bytes()),
            (spec::DMA, Size::B8) => self.dma(value.swap_bytes()),
            (spec::DMA, Size::B4) => self.dma_high = (value as u32).swap_bytes(),
            (20, Size::B4) => {
                let high = u64::from(std::mem::take(&mut self.dma_high));
                self.dma(high << 32 | u64::from((value as u32).swap_bytes()));
            }
            // Data are read-only.
            _ => {}
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.select(key::SIGNATURE);
        self.dma_high = 0;
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}

/// The guest-visible state of a [`FwCfg`]. Items belong to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfgState {
    selected: u16,
    at: u64,
    dma_high: u32,
}

impl Saved for FwCfg {
    type State = FwCfgState;
    const NAME: &'static str = "fw-cfg";
    const VERSION: u16 = 1;

    fn state(&self) -> FwCfgState {
        let &Self {
            items: _,
            ram: _,
            selected,
            at,
            dma_high,
        } = self;
        FwCfgState {
            selected,
            at,
            dma_high,
        }
    }

    fn set_state(&mut self, state: FwCfgState) -> Result<(), RestoreError> {
        let FwCfgState {
            selected,
            at,
            dma_high,
        } = state;
        self.selected = selected & key::MASK;
        self.at = at;
        self.dma_high = dma_high;
        Ok(())
    }
}
