//! What Identify gives (5.15.2).

use super::features::WARNING_TEMPERATURE;
use super::spec::{
    BLOCK, BLOCK_SHIFT, ERROR_ENTRIES, EVENT_REQUESTS_MAX, IDENTIFY_BYTES, MDTS, NAMESPACE,
    SUBSYSTEM_VENDOR, VENDOR, VERSION,
};
use crate::block::{DiskConfig, PHYSICAL_BLOCK};

/// What a data structure is made of: bytes at offsets, and zeros elsewhere.
struct Page(Vec<u8>);

impl Page {
    fn new() -> Self {
        Self(vec![0; IDENTIFY_BYTES])
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        let places = self.0.iter_mut().skip(at);
        places.zip(bytes).for_each(|(to, from)| *to = *from);
        self
    }

    /// Text of a fixed width, padded with spaces (1.5).
    fn text(self, at: usize, width: usize, text: &str) -> Self {
        let bytes: Vec<u8> = padded(text, width).into_bytes();
        self.put(at, &bytes)
    }
}

/// Cut or padded with spaces.
fn padded(text: &str, width: usize) -> String {
    text.chars()
        .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
        .chain(std::iter::repeat(' '))
        .take(width)
        .collect()
}

const MODEL: &str = "Isoform NVMe";
const FIRMWARE_REVISION: &str = "1";
/// Degrees Kelvin that are critical; nothing here ever gets warm.
const CRITICAL_TEMPERATURE: u16 = 373;

/// The revision of the firmware, as log pages have it.
pub(super) fn firmware_revision() -> [u8; 8] {
    let mut revision = [b' '; 8];
    let bytes = FIRMWARE_REVISION.bytes();
    revision
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from);
    revision
}

/// The controller (figure 247).
pub(super) fn controller(config: &DiskConfig) -> Vec<u8> {
    let serial = padded(&config.serial, 20);
    // Made of what is unique, in the form for controllers that were given none (7.9).
    let name = format!(
        "nqn.2014.08.org.nvmexpress:{VENDOR:04x}{SUBSYSTEM_VENDOR:04x}{serial}{}",
        padded(MODEL, 40)
    );
    // ONCS: Dataset Management where room is given back, Write Zeroes.
    let optional = u16::from(config.discard) << 2 | 1 << 3;
    Page::new()
        .put(0, &VENDOR.to_le_bytes())
        .put(2, &SUBSYSTEM_VENDOR.to_le_bytes())
        .text(4, 20, &serial)
        .text(24, 40, MODEL)
        .put(64, &firmware_revision())
        .put(77, &[MDTS])
        .put(80, &VERSION.to_le_bytes())
        // CNTRLTYPE: an I/O controller.
        .put(111, &[1])
        // ACL, AERL: counted from 0.
        .put(258, &[0, EVENT_REQUESTS_MAX as u8 - 1])
        // FRMW: one slot, which cannot be written. LPA: log pages from any offset.
        .put(260, &[1 << 1 | 1, 1 << 2])
        .put(262, &[ERROR_ENTRIES as u8 - 1])
        .put(266, &WARNING_TEMPERATURE.to_le_bytes())
        .put(268, &CRITICAL_TEMPERATURE.to_le_bytes())
        // SQES, CQES: smallest and largest entries, as powers of two.
        .put(512, &[0x66, 0x44])
        .put(516, &NAMESPACE.to_le_bytes())
        .put(520, &optional.to_le_bytes())
        // VWC: there is a cache, and all namespaces can be flushed at once.
        .put(525, &[0b111])
        .put(768, name.trim_end().as_bytes())
        // Power state 0: 25 W at most.
        .put(2048, &2500u16.to_le_bytes())
        .0
}

/// The namespace (figure 245).
pub(super) fn namespace(config: &DiskConfig) -> Vec<u8> {
    let blocks = config.capacity.to_le_bytes();
    let physical = (u64::from(PHYSICAL_BLOCK) / BLOCK).max(1);
    let preferred = (config.preferred / BLOCK).max(physical);
    let unit = |blocks: u64| (blocks.min(1 << 16) as u32 - 1) as u16;
    // NPWG, NPWA, NPDG, NPDA, NOWS: counted from 0.
    let units = [physical, physical, preferred, preferred, preferred];
    let units: Vec<u8> = units.iter().flat_map(|n| unit(*n).to_le_bytes()).collect();
    // Size, capacity and use are the same: what of it has no room yet is not told.
    Page::new()
        .put(0, &blocks)
        .put(8, &blocks)
        .put(16, &blocks)
        // NSFEAT: those units hold.
        .put(24, &[1 << 4])
        // DLFEAT: Write Zeroes may give room back, and what was given back reads as zeros;
        // what does not was not.
        .put(33, &[u8::from(config.discard) * (1 << 3 | 1)])
        .put(64, &units)
        // NSATTR: write protected.
        .put(99, &[config.read_only.into()])
        // LBA format 0, which is the only one: blocks without metadata.
        .put(128, &[0, 0, BLOCK_SHIFT, 0])
        .0
}

/// The namespaces with identifiers above `after`.
pub(super) fn active_namespaces(after: u32) -> Vec<u8> {
    let page = Page::new();
    let page = match after < NAMESPACE {
        true => page.put(0, &NAMESPACE.to_le_bytes()),
        false => page,
    };
    page.0
}

/// What the namespace is identified by (figure 249): a UUID.
pub(super) fn namespace_descriptors(config: &DiskConfig) -> Vec<u8> {
    const UUID: u8 = 3;
    const UUID_BYTES: u8 = 16;
    Page::new()
        .put(0, &[UUID, UUID_BYTES])
        .put(4, &uuid(&config.serial))
        .0
}

/// A UUID that follows from the serial number: FNV-1a of 128 bits, in the form for what
/// is one's own (RFC 9562, 5.8).
fn uuid(serial: &str) -> [u8; 16] {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = MODEL.bytes().chain(serial.bytes());
    let hash = text.fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 3 << 62;
    let hash = hash & !(VERSION | VARIANT) | 8 << 76 | 2 << 62;
    hash.to_be_bytes()
}
