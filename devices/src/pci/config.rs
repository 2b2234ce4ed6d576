//! A function's configuration space: bytes of which some can be written, and what
//! follows from them.

use std::ops::Range;
use std::sync::Arc;

use isoform_core::Size;

use super::region::Region;
use super::spec::{
    BAR_PREFETCHABLE, BAR_TYPE_64, BAR_TYPE_MASK, CONFIG_BYTES, Command, Status, header,
};

/// Who a function says that it is (PCI 3.0, 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class, sub-class and programming interface: 24 bits.
    pub class: u32,
    /// The subsystem's vendor.
    pub subsystem_vendor: u16,
    /// The subsystem.
    pub subsystem: u16,
}

/// What kind of memory is behind a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Below 4 GiB.
    Memory32,
    /// Anywhere. It takes the next BAR as well.
    Memory64,
    /// Anywhere, and reads have no side effects. It takes the next BAR as well.
    Prefetchable64,
}

pub(super) type Bytes = [u8; CONFIG_BYTES];

/// A configuration space.
#[derive(Debug)]
pub struct ConfigSpace {
    // --- fixed configuration
    /// As after power-on.
    initial: Bytes,
    /// Bits that can be written.
    writable: Bytes,
    /// Where the offset of the next capability is to be written.
    link: usize,
    /// Where the next capability goes.
    free: usize,

    // --- connections
    regions: Vec<Arc<Region>>,

    // --- guest-visible state
    bytes: Bytes,
}

impl ConfigSpace {
    /// A function with a header and nothing else.
    pub fn new(identity: Identity) -> Self {
        let mut this = Self {
            initial: [0; CONFIG_BYTES],
            writable: [0; CONFIG_BYTES],
            link: header::CAPABILITIES,
            free: header::END,
            regions: Vec::new(),
            bytes: [0; CONFIG_BYTES],
        };
        let Identity {
            vendor,
            device,
            revision,
            class,
            subsystem_vendor,
            subsystem,
        } = identity;
        let [interface, sub_class, class, _] = class.to_le_bytes();
        this.lay(header::VENDOR_ID, &vendor.to_le_bytes(), &[]);
        this.lay(header::DEVICE_ID, &device.to_le_bytes(), &[]);
        let command = Command::all().bits().to_le_bytes();
        this.lay(header::COMMAND, &[0, 0], &command);
        this.lay(header::REVISION_ID, &[revision], &[]);
        this.lay(header::CLASS_CODE, &[interface, sub_class, class], &[]);
        this.lay(header::CACHE_LINE_SIZE, &[0], &[0xff]);
        let vendor = subsystem_vendor.to_le_bytes();
        this.lay(header::SUBSYSTEM_VENDOR_ID, &vendor, &[]);
        this.lay(header::SUBSYSTEM_ID, &subsystem.to_le_bytes(), &[]);
        this.lay(header::INTERRUPT_LINE, &[0], &[0xff]);
        this
    }

    /// Lays out bytes, and which bits of them can be written (none beyond `writable`).
    fn lay(&mut self, at: usize, initial: &[u8], writable: &[u8]) {
        let writable = writable.iter().chain(std::iter::repeat(&0));
        for (i, (value, mask)) in initial.iter().zip(writable).enumerate() {
            if let (Some(byte), Some(writable)) =
                (self.initial.get_mut(at + i), self.writable.get_mut(at + i))
            {
                (*byte, *writable) = (*value, *mask);
            }
        }
        self.bytes = self.initial;
    }

    /// The function has an interrupt pin, INTA#.
    pub fn add_pin(&mut self) {
        self.lay(header::INTERRUPT_PIN, &[1], &[]);
    }

    /// Adds BAR `bar`, of a power of two of bytes from 16 up.
    pub fn add_bar(&mut self, bar: u8, size: u64, kind: BarKind) {
        let region = Region::new(bar, size);
        let (kind, width) = match kind {
            BarKind::Memory32 => (0, 4),
            BarKind::Memory64 => (BAR_TYPE_64, 8),
            BarKind::Prefetchable64 => (BAR_TYPE_64 | BAR_PREFETCHABLE, 8),
        };
        let mask = !(region.size() - 1) & !u64::from(BAR_TYPE_MASK);
        let (initial, mask) = (u64::from(kind).to_le_bytes(), mask.to_le_bytes());
        let (initial, _) = initial.split_at(width);
        self.lay(bar_offset(bar), initial, &mask);
        self.regions.push(Arc::new(region));
    }

    /// Adds a capability with this content behind its identifier and link; its offset.
    pub fn add_capability(&mut self, id: u8, content: &[u8], writable: &[u8]) -> usize {
        let at = self.free;
        let status = Status::CAPABILITIES.bits().to_le_bytes();
        self.lay(header::STATUS, &status, &[]);
        self.lay(self.link, &[at as u8], &[]);
        self.lay(at, &[id, 0], &[]);
        self.lay(at + 2, content, writable);
        self.link = at + 1;
        self.free = (at + 2 + content.len()).next_multiple_of(4);
        at
    }

    /// What lies behind the BARs.
    pub fn regions(&self) -> &[Arc<Region>] {
        &self.regions
    }

    /// Reads; beyond the end there are zeros.
    pub fn read(&self, offset: u64, size: Size) -> u64 {
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(self.bytes.iter().skip(index(offset))) {
            *to = *from;
        }
        size.truncate(u64::from_le_bytes(value))
    }

    /// Writes what can be written.
    pub fn write(&mut self, offset: u64, size: Size, value: u64) {
        let value = value.to_le_bytes();
        let (value, _) = value.split_at(size.bytes() as usize);
        let bytes = self.bytes.iter_mut().zip(&self.writable);
        for ((byte, mask), value) in bytes.skip(index(offset)).zip(value) {
            *byte = *byte & !mask | value & mask;
        }
        self.decode();
    }

    /// As after power-on: nothing is decoded.
    pub fn reset(&mut self) {
        self.bytes = self.initial;
        self.decode();
    }

    /// Has the regions answer where BARs and command register say.
    fn decode(&self) {
        let enabled = self.command().contains(Command::MEMORY);
        for region in &self.regions {
            let at = bar_offset(region.bar());
            let low = self.word(at);
            let high = match low & BAR_TYPE_64 {
                0 => 0,
                _ => self.word(at + 4),
            };
            let base = u64::from(high) << 32 | u64::from(low & !BAR_TYPE_MASK);
            region.decode(enabled.then_some(base));
        }
    }

    /// The command register.
    pub fn command(&self) -> Command {
        Command::from_bits_truncate(self.word(header::COMMAND) as u16)
    }

    /// Whether the status register says that the pin is wanted.
    pub(super) fn wants_interrupt(&self) -> bool {
        let status = self.word(header::STATUS) as u16;
        Status::from_bits_truncate(status).contains(Status::INTERRUPT)
    }

    /// Has the status register say that the pin is wanted.
    pub(super) fn want_interrupt(&mut self, wanted: bool) {
        if let Some(status) = self.bytes.get_mut(header::STATUS) {
            let bit = Status::INTERRUPT.bits() as u8;
            *status = if wanted {
                *status | bit
            } else {
                *status & !bit
            };
        }
    }

    /// Four bytes as a number, and zero beyond the end.
    pub fn word(&self, at: usize) -> u32 {
        self.read(at as u64, Size::B4) as u32
    }

    /// Puts four bytes in place, whether or not they can be written by the guest.
    pub fn put_word(&mut self, at: usize, value: u32) {
        let bytes = self.bytes.iter_mut().skip(at);
        bytes
            .zip(value.to_le_bytes())
            .for_each(|(to, from)| *to = from);
    }

    /// The bytes without what is computed from other state.
    pub(super) fn state(&self) -> Vec<u8> {
        let Self {
            initial: _,
            writable: _,
            link: _,
            free: _,
            regions: _,
            bytes,
        } = self;
        let mut bytes = bytes.to_vec();
        if let Some(status) = bytes.get_mut(header::STATUS) {
            *status &= !(Status::INTERRUPT.bits() as u8);
        }
        bytes
    }

    /// Puts bytes back; whether they can be of this function.
    pub(super) fn set_state(&mut self, bytes: &[u8]) -> bool {
        let Ok(bytes) = Bytes::try_from(bytes) else {
            return false;
        };
        let fixed = self.initial.iter().zip(&self.writable).zip(&bytes);
        let own = fixed
            .into_iter()
            .all(|((initial, mask), byte)| (initial ^ byte) & !mask == 0);
        if own {
            self.bytes = bytes;
            self.decode();
        }
        own
    }
}

/// Where a BAR's register is.
fn bar_offset(bar: u8) -> usize {
    header::BAR0 + 4 * usize::from(bar)
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Whether an access touches any byte of a range.
pub fn touches(offset: u64, size: Size, range: &Range<usize>) -> bool {
    let start = index(offset);
    start < range.end && start.saturating_add(size.bytes() as usize) > range.start
}
