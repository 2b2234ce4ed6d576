//! Files made by hand, byte by byte from the formats' descriptions, and what
//! loading makes of them: whole, cut off at every length, and changed at random.

mod elves;
mod hostile;
mod kernels;
mod layout;

use std::collections::BTreeMap;
use std::ops::Range;

use super::*;

/// Start of RAM in these tests.
const BASE: u64 = 0x8000_0000;

/// Guest RAM that remembers which bytes were written.
struct Ram {
    range: Range<u64>,
    pages: BTreeMap<u64, Vec<u8>>,
    zeroed: Vec<Range<u64>>,
}

const PAGE: u64 = 4096;

impl Ram {
    fn new(size: u64) -> Ram {
        Ram {
            range: BASE..BASE + size,
            pages: BTreeMap::new(),
            zeroed: Vec::new(),
        }
    }

    fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        (at..at + len as u64)
            .map(|a| {
                self.pages
                    .get(&(a / PAGE))
                    .map_or(0, |p| p[(a % PAGE) as usize])
            })
            .collect()
    }

    fn check(&self, addr: u64, len: u64) -> Result<(), OutOfRam> {
        let end = addr.checked_add(len);
        if addr >= self.range.start && end.is_some_and(|end| end <= self.range.end) {
            Ok(())
        } else {
            Err(OutOfRam { addr, len })
        }
    }
}

impl GuestWriter for Ram {
    fn ram(&self) -> Range<u64> {
        self.range.clone()
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), OutOfRam> {
        self.check(addr, bytes.len() as u64)?;
        for (a, byte) in (addr..).zip(bytes) {
            let page = self
                .pages
                .entry(a / PAGE)
                .or_insert_with(|| vec![0; PAGE as usize]);
            page[(a % PAGE) as usize] = *byte;
        }
        Ok(())
    }

    fn zero(&mut self, addr: u64, len: u64) -> Result<(), OutOfRam> {
        self.check(addr, len)?;
        self.zeroed.push(addr..addr + len);
        for (number, page) in &mut self.pages {
            for (a, byte) in (number * PAGE..).zip(page) {
                if (addr..addr + len).contains(&a) {
                    *byte = 0;
                }
            }
        }
        Ok(())
    }
}

fn of(bytes: &[u8]) -> Result<Program, LoadError> {
    detect(Source::from_bytes("test", bytes.to_vec()))
}

/// Everything a file can be made to do: recognised, described, loaded.
fn exercise(bytes: &[u8]) -> Result<Entry, LoadError> {
    let program = of(bytes)?;
    program.describe();
    program.start_mode(BASE);
    program.load(&mut Ram::new(64 << 20))
}

fn put(bytes: &mut Vec<u8>, at: usize, value: &[u8]) {
    if bytes.len() < at + value.len() {
        bytes.resize(at + value.len(), 0);
    }
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A program header to be.
#[derive(Clone)]
struct Load {
    kind: u32,
    vaddr: u64,
    paddr: u64,
    data: Vec<u8>,
    memsz: u64,
}

fn load_at(addr: u64, data: &[u8]) -> Load {
    Load {
        kind: 1,
        vaddr: addr,
        paddr: addr,
        data: data.to_vec(),
        memsz: data.len() as u64,
    }
}

/// Writes an ELF file: header, program headers, contents, then symbols.
struct ElfFile {
    class: u8,
    data: u8,
    kind: u16,
    machine: u16,
    entry: u64,
    loads: Vec<Load>,
    symbols: Vec<(&'static str, u64)>,
}

fn elf(loads: Vec<Load>) -> ElfFile {
    ElfFile {
        class: 2,
        data: 1,
        kind: 2,
        machine: 243,
        entry: loads.first().map_or(BASE, |l| l.vaddr),
        loads,
        symbols: Vec::new(),
    }
}

impl ElfFile {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 64];
        let mut contents = 64 + 56 * self.loads.len();
        for (i, load) in self.loads.iter().enumerate() {
            let at = 64 + 56 * i;
            put(&mut out, at, &load.kind.to_le_bytes());
            put(&mut out, at + 4, &5_u32.to_le_bytes());
            let words = [
                contents as u64,
                load.vaddr,
                load.paddr,
                load.data.len() as u64,
                load.memsz,
                4,
            ];
            for (n, word) in words.iter().enumerate() {
                put(&mut out, at + 8 + 8 * n, &word.to_le_bytes());
            }
            put(&mut out, contents, &load.data);
            contents += load.data.len();
        }
        self.put_symbols(&mut out);
        put(
            &mut out,
            0,
            &[0x7f, b'E', b'L', b'F', self.class, self.data, 1],
        );
        let halves = [
            (16, self.kind),
            (18, self.machine),
            (52, 64),
            (54, 56),
            (56, self.loads.len() as u16),
            (58, 64),
        ];
        for (at, half) in halves {
            put(&mut out, at, &half.to_le_bytes());
        }
        put(&mut out, 24, &self.entry.to_le_bytes());
        put(&mut out, 32, &64_u64.to_le_bytes());
        out
    }

    /// A null section, the symbol table and its strings.
    fn put_symbols(&self, out: &mut Vec<u8>) {
        if self.symbols.is_empty() {
            return;
        }
        let mut strings = vec![0];
        let mut table = vec![0; 24];
        for (name, value) in &self.symbols {
            table.extend((strings.len() as u32).to_le_bytes());
            table.extend([0x12, 0, 1, 0]);
            table.extend(value.to_le_bytes());
            table.extend(0_u64.to_le_bytes());
            strings.extend(name.as_bytes());
            strings.push(0);
        }
        let table_at = out.len();
        out.extend(&table);
        let strings_at = out.len();
        out.extend(&strings);
        let headers = out.len();
        let section = |kind: u32, at: usize, len: usize, link: u32| {
            let mut header = vec![0; 64];
            put(&mut header, 4, &kind.to_le_bytes());
            put(&mut header, 24, &(at as u64).to_le_bytes());
            put(&mut header, 32, &(len as u64).to_le_bytes());
            put(&mut header, 40, &link.to_le_bytes());
            header
        };
        out.extend(section(0, 0, 0, 0));
        out.extend(section(2, table_at, table.len(), 2));
        out.extend(section(3, strings_at, strings.len(), 0));
        put(out, 40, &(headers as u64).to_le_bytes());
        put(out, 60, &3_u16.to_le_bytes());
    }
}

/// A Linux Image of `len` bytes whose contents can be told apart.
fn image(text_offset: u64, image_size: u64, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
    put(&mut bytes, 0, &[0x13, 0, 0, 0]);
    put(&mut bytes, 8, &text_offset.to_le_bytes());
    put(&mut bytes, 16, &image_size.to_le_bytes());
    put(&mut bytes, 24, &[0; 24]);
    put(&mut bytes, 0x30, b"RISCV\0\0\0RSC\x05\0\0\0\0");
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).expect("memory takes everything");
    out.finish().expect("memory takes everything")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(bytes, level)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    let mut encoder = liblzma::read::XzEncoder::new(bytes, 1);
    encoder
        .read_to_end(&mut out)
        .expect("memory takes everything");
    out
}

/// An EFI zboot file around a payload.
fn zboot(codec: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x200];
    put(&mut bytes, 0, b"MZ\0\0zimg");
    put(&mut bytes, 8, &0x200_u32.to_le_bytes());
    put(&mut bytes, 12, &(payload.len() as u32).to_le_bytes());
    put(&mut bytes, 24, codec);
    put(&mut bytes, 0x38, &0x8182_23cd_u32.to_le_bytes());
    put(&mut bytes, 0x3c, &0x40_u32.to_le_bytes());
    put(&mut bytes, 0x40, b"PE\0\0\x64\x50");
    bytes.extend(payload);
    // What comes after the payload is not part of it.
    bytes.extend(b"trailer");
    bytes
}
