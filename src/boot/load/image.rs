//! Linux's `Image`: the header, and the way into RAM.

use std::io::{self, Read};
use std::ops::Range;

use super::{Entry, GuestWriter, LoadError, Packed, Source};

/// Length of the header, bytes.
pub(super) const HEADER: u64 = 64;
/// Bytes moved at a time; a few of them fit a host's second-level cache.
const CHUNK: usize = 64 << 10;

/// What the header says (kernel documentation, "Boot image header in RISC-V Linux").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// Where the kernel wants to be, bytes from the start of RAM.
    pub text_offset: u64,
    /// Memory it occupies when it runs, its zeroed data included; 0 where unknown.
    pub image_size: u64,
    /// Whether it was built for a big-endian CPU.
    pub big_endian: bool,
}

impl ImageHeader {
    /// The header that opens `head`, if one does: "RSC\x05" at 0x38, or "RISCV"
    /// at 0x30, the older of the two magic numbers.
    pub fn parse(head: &[u8]) -> Option<ImageHeader> {
        let head = head.get(..HEADER as usize)?;
        if &head[0x38..0x3c] != b"RSC\x05" && &head[0x30..0x38] != b"RISCV\0\0\0" {
            return None;
        }
        Some(ImageHeader {
            text_offset: double(head, 8)?,
            image_size: double(head, 16)?,
            big_endian: double(head, 24)? & 1 != 0,
        })
    }
}

fn double(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The machine a kernel or PE file that is none of ours was built for.
pub(super) fn other_machine(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..)
            .is_some_and(|tail| tail.starts_with(magic))
    };
    if at(0x38, b"ARM\x64") {
        return Some("a Linux Image for arm64");
    }
    if at(0x202, b"HdrS") {
        return Some("a Linux bzImage for x86");
    }
    match pe_machine(head)? {
        0x014c => Some("an EFI program for 32-bit x86"),
        0x8664 => Some("an EFI program for x86-64"),
        0x01c0 | 0x01c2 => Some("an EFI program for 32-bit arm"),
        0xaa64 => Some("an EFI program for arm64"),
        0x5032 => Some("an EFI program for riscv32"),
        0x6264 => Some("an EFI program for loongarch64"),
        _ => None,
    }
}

/// The PE file header's machine field, where `head` opens a PE file.
pub(super) fn pe_machine(head: &[u8]) -> Option<u16> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let at = u32::from_le_bytes(*head.get(0x3c..)?.first_chunk()?);
    let pe = head.get(usize::try_from(at).ok()?..)?;
    let machine = pe.strip_prefix(b"PE\0\0")?;
    Some(u16::from_le_bytes(*machine.first_chunk()?))
}

/// How long the file must be by its own PE header, where an EFI stub gives it one;
/// the Image header knows only the memory needed.
pub(super) fn least_len(head: &[u8]) -> Option<u64> {
    pe_machine(head)?;
    let at = usize::try_from(u32::from_le_bytes(*head.get(0x3c..)?.first_chunk()?)).ok()?;
    let pe = head.get(at..)?;
    let half = |at: usize| Some(u16::from_le_bytes(*pe.get(at..)?.first_chunk()?));
    let (count, optional) = (usize::from(half(6)?), usize::from(half(20)?));
    let sections = pe.get(24 + optional..)?.chunks_exact(40).take(count);
    let end = |section: &[u8]| {
        let word = |at: usize| Some(u32::from_le_bytes(*section.get(at..)?.first_chunk()?));
        Some(u64::from(word(16)?) + u64::from(word(20)?))
    };
    sections.filter_map(end).max()
}

/// Copies a kernel to where its header wants it. It must have at least `least`
/// bytes ([`least_len`]) once unpacked.
///
/// # Errors
/// [`LoadError::OutsideRam`] where that is not RAM, and what reading or unpacking
/// may find wrong.
pub(super) fn load(
    source: &Source,
    header: &ImageHeader,
    least: u64,
    packed: Option<&Packed>,
    ram: &mut dyn GuestWriter,
) -> Result<Entry, LoadError> {
    let bounds = ram.ram();
    let start = bounds.start.saturating_add(header.text_offset);
    // An unpacked length is known only at the end, so a packed one counts as
    // what the header says until it turns out longer.
    let len = header
        .image_size
        .max(if packed.is_some() { 1 } else { source.len() });
    let wants = start..start.saturating_add(len);
    if wants.start < bounds.start || wants.end > bounds.end {
        return Err(too_large(source, wants, bounds));
    }
    let room = bounds.end - start;
    let copied = match packed {
        None => copy(&mut source.reader(0, source.len()), start, room, ram)?
            .map_err(|e| LoadError::read(source.name(), e))?,
        Some(packed) => copy(&mut packed.reader(source)?, start, room, ram)?
            .map_err(|e| packed.unpack_error(source, &e))?,
    };
    if copied > room {
        return Err(too_large(
            source,
            start..start.saturating_add(copied),
            bounds,
        ));
    }
    if copied < least {
        return Err(source.truncated("kernel's end"));
    }
    Ok(Entry::at(start, start..start + copied.max(len)))
}

fn too_large(source: &Source, wants: Range<u64>, ram: Range<u64>) -> LoadError {
    LoadError::OutsideRam {
        file: source.name().to_owned(),
        what: "kernel".into(),
        wants,
        ram,
        advice: "give the guest more with --memory",
    }
}

/// Copies a stream to guest address `at`, at most `room` bytes. Returns how many
/// came, or `room + 1` when there were more; the inner result is the stream's.
pub(super) fn copy(
    from: &mut dyn Read,
    at: u64,
    room: u64,
    ram: &mut dyn GuestWriter,
) -> Result<io::Result<u64>, LoadError> {
    let mut chunk = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        let n = match fill(from, &mut chunk) {
            Ok(0) => return Ok(Ok(copied)),
            Ok(n) => n,
            Err(error) => return Ok(Err(error)),
        };
        if n as u64 > room - copied {
            return Ok(Ok(room.saturating_add(1)));
        }
        let bytes = &chunk[..n];
        // Zeros are left to the memory, which need not touch its pages for them.
        if bytes.iter().all(|&b| b == 0) {
            ram.zero(at + copied, n as u64)?;
        } else {
            ram.write(at + copied, bytes)?;
        }
        copied += n as u64;
    }
}

/// Fills `buf` as far as the stream goes.
fn fill(from: &mut dyn Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match from.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
