//! ELF programs: 64-bit little-endian RISC-V, bare-metal or a `vmlinux`.
//!
//! Only headers and symbol names are kept; segments are read when loaded. Every
//! count and offset is a stranger's, so each is bounded before anything is
//! allocated or added.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod;

use super::image::{self, ImageHeader};
use super::{Entry, GuestWriter, Htif, LoadError, Source};

/// Symbol and string tables beyond this are not searched: no program that reports
/// through `tohost` comes near, and kernels with debug information exceed it.
const MAX_TABLE: u64 = 64 << 20;

/// A stretch of the file and the memory it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts in the file, bytes.
    pub offset: u64,
    /// How much of it the file holds, bytes; the rest of `memsz` is zeros.
    pub filesz: u64,
    /// Its address as the program sees it.
    pub vaddr: u64,
    /// Its physical address as linked.
    pub paddr: u64,
    /// Memory it occupies, bytes.
    pub memsz: u64,
    /// Whether it holds code.
    pub executable: bool,
}

/// Symbols that say how a program talks to a test bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Symbols {
    /// HTIF's word from guest to host.
    pub tohost: Option<u64>,
    /// HTIF's word from host to guest.
    pub fromhost: Option<u64>,
    /// Start of the memory an architecture test leaves its results in.
    pub begin_signature: Option<u64>,
    /// Its end.
    pub end_signature: Option<u64>,
}

/// An ELF program that this machine can run, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Entry point as linked.
    pub entry: u64,
    /// What gets loaded, in the file's order; never empty, `memsz` never 0.
    pub segments: Vec<Segment>,
    /// Whether it may be moved as a whole (`ET_DYN`).
    pub relocatable: bool,
    /// The Image header at its start: it is a Linux kernel.
    pub linux: Option<ImageHeader>,
    /// What its symbol table says.
    pub symbols: Symbols,
}

impl Elf {
    /// Whether `head` opens an ELF file of any kind.
    pub fn is_elf(head: &[u8]) -> bool {
        head.starts_with(&elf::ELFMAG)
    }

    /// Reads and checks the headers and the symbol table.
    ///
    /// # Errors
    /// [`LoadError::WrongArch`], [`LoadError::Unsupported`] for what is no program,
    /// [`LoadError::Truncated`] and [`LoadError::Malformed`].
    pub fn read(source: &Source) -> Result<Elf, LoadError> {
        let header = header(source)?;
        let segments = segments(source, &header)?;
        let entry = header.e_entry.get(LE);
        let linux = linux_header(source, &segments)?;
        let symbols = symbols(source, &header)?;
        let elf = Elf {
            entry,
            segments,
            relocatable: header.e_type.get(LE) == elf::ET_DYN,
            linux,
            symbols,
        };
        if elf.physical(entry).is_none() {
            return Err(source.malformed(format!(
                "its entry point {entry:#x} lies in none of its segments"
            )));
        }
        Ok(elf)
    }

    /// The lowest physical address, as linked.
    pub fn lowest(&self) -> u64 {
        self.segments.iter().map(|s| s.paddr).min().unwrap_or(0)
    }

    /// What to add to physical addresses as linked, modulo 2^64, for RAM that
    /// starts at `ram.start`.
    fn slide(&self, ram: &Range<u64>) -> u64 {
        match self.linux {
            // A kernel finds out where it is. Its link address is a virtual one,
            // or counts from 0; its header says where it wants to be.
            Some(header) => ram
                .start
                .wrapping_add(header.text_offset)
                .wrapping_sub(self.lowest()),
            None if self.relocatable && !ram.contains(&self.lowest()) => {
                ram.start.wrapping_sub(self.lowest())
            }
            None => 0,
        }
    }

    /// Whether it occupies the very start of RAM once loaded: what firmware, or a
    /// program that wants none, does.
    pub fn at_ram_base(&self, ram_base: u64) -> bool {
        let slide = self.slide(&(ram_base..u64::MAX));
        self.lowest().wrapping_add(slide) == ram_base
    }

    /// The physical address, as linked, of what the program sees at `address`.
    fn physical(&self, address: u64) -> Option<u64> {
        let within = |start: u64, s: &Segment| address.wrapping_sub(start) < s.memsz;
        let by_virtual = self.segments.iter().find(|s| within(s.vaddr, s));
        by_virtual
            .map(|s| s.paddr.wrapping_add(address.wrapping_sub(s.vaddr)))
            .or_else(|| {
                self.segments
                    .iter()
                    .any(|s| within(s.paddr, s))
                    .then_some(address)
            })
    }

    /// Writes the segments into guest memory.
    ///
    /// # Errors
    /// [`LoadError::OutsideRam`] before anything is written, and what reading finds.
    pub(super) fn load(
        &self,
        source: &Source,
        ram: &mut dyn GuestWriter,
    ) -> Result<Entry, LoadError> {
        let bounds = ram.ram();
        let slide = self.slide(&bounds);
        let places = self.places(source, slide, &bounds)?;
        for (segment, place) in self.segments.iter().zip(&places) {
            let from = &mut source.reader(segment.offset, segment.filesz);
            let copied = image::copy(from, place.start, segment.filesz, ram)?
                .map_err(|e| LoadError::read(source.name(), e))?;
            if copied < segment.filesz {
                return Err(source.truncated("segments' end"));
            }
            ram.zero(place.start + copied, segment.memsz - copied)?;
        }
        let to_physical = |address: u64| {
            self.physical(address)
                .unwrap_or(address)
                .wrapping_add(slide)
        };
        let extent = places.iter().map(|p| p.start).min().unwrap_or(bounds.start)
            ..places.iter().map(|p| p.end).max().unwrap_or(bounds.start);
        let mut entry = Entry::at(to_physical(self.entry), extent);
        entry.htif = self.symbols.tohost.map(|tohost| Htif {
            tohost: to_physical(tohost),
            fromhost: self.symbols.fromhost.map(to_physical),
        });
        entry.signature = match (self.symbols.begin_signature, self.symbols.end_signature) {
            (Some(begin), Some(end)) => Some(to_physical(begin)..to_physical(end)),
            _ => None,
        };
        Ok(entry)
    }

    /// Where each segment goes: inside RAM, no two overlapping.
    fn places(
        &self,
        source: &Source,
        slide: u64,
        ram: &Range<u64>,
    ) -> Result<Vec<Range<u64>>, LoadError> {
        let mut places = Vec::with_capacity(self.segments.len());
        for (i, segment) in self.segments.iter().enumerate() {
            let start = segment.paddr.wrapping_add(slide);
            let wants = start..start.saturating_add(segment.memsz);
            if wants.start < ram.start || wants.end > ram.end {
                return Err(LoadError::OutsideRam {
                    file: source.name().to_owned(),
                    what: format!("segment {i}"),
                    advice: if ram.contains(&wants.start) {
                        "give the guest more with --memory"
                    } else {
                        "link the program for addresses in RAM"
                    },
                    wants,
                    ram: ram.clone(),
                });
            }
            places.push(wants);
        }
        let mut sorted: Vec<&Range<u64>> = places.iter().collect();
        sorted.sort_by_key(|p| p.start);
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].end > pair[1].start) {
            return Err(source.malformed(format!(
                "its segments at {:#x} and {:#x} overlap",
                pair[0].start, pair[1].start
            )));
        }
        Ok(places)
    }
}

type Header = FileHeader64<LE>;

/// The file header, of a RISC-V program.
fn header(source: &Source) -> Result<Header, LoadError> {
    let head = source.read_exactly(0, size_of::<Header>() as u64, "ELF header")?;
    let (header, _) =
        pod::from_bytes::<Header>(&head).map_err(|()| source.truncated("ELF header"))?;
    let bits = match header.e_ident.class {
        elf::ELFCLASS64 => 64,
        elf::ELFCLASS32 => 32,
        class => return Err(source.malformed(format!("its ELF class is {class:?}"))),
    };
    let little = match header.e_ident.data {
        elf::ELFDATA2LSB => true,
        elf::ELFDATA2MSB => false,
        data => return Err(source.malformed(format!("its ELF data encoding is {data:?}"))),
    };
    let machine = if little {
        header.e_machine.get(LE)
    } else {
        elf::Machine(header.e_machine.get(LE).0.swap_bytes())
    };
    if bits != 64 || !little || machine != elf::EM_RISCV {
        let order = if little { "little" } else { "big" };
        return Err(LoadError::WrongArch {
            file: source.name().to_owned(),
            found: format!(
                "a {bits}-bit {order}-endian ELF file for {}",
                machine_name(machine)
            ),
        });
    }
    let what = match header.e_type.get(LE) {
        elf::ET_EXEC | elf::ET_DYN => return Ok(*header),
        elf::ET_REL => "an object file or kernel module",
        elf::ET_CORE => "a core dump",
        _ => "an ELF file of no known type",
    };
    Err(LoadError::Unsupported {
        file: source.name().to_owned(),
        what: what.into(),
        advice: "give the linked program".into(),
    })
}

/// What an ELF's machine field means to a person.
fn machine_name(machine: elf::Machine) -> String {
    let name = match machine {
        elf::EM_RISCV => "RISC-V",
        elf::EM_386 => "32-bit x86",
        elf::EM_X86_64 => "x86-64",
        elf::EM_ARM => "32-bit arm",
        elf::EM_AARCH64 => "arm64",
        elf::EM_LOONGARCH => "loongarch",
        elf::EM_PPC64 => "ppc64",
        elf::EM_S390 => "s390x",
        elf::EM_MIPS => "MIPS",
        other => return format!("machine number {}", other.0),
    };
    name.to_owned()
}

/// The segments to load, in the file's order.
fn segments(source: &Source, header: &Header) -> Result<Vec<Segment>, LoadError> {
    let entry_size = size_of::<ProgramHeader64<LE>>();
    let count = header.e_phnum.get(LE);
    if count != 0 && usize::from(header.e_phentsize.get(LE)) != entry_size {
        return Err(source.malformed("its program headers have an impossible size"));
    }
    let len = u64::from(count) * entry_size as u64;
    let table = source.read_exactly(header.e_phoff.get(LE), len, "program headers")?;
    let (table, _) = pod::slice_from_bytes::<ProgramHeader64<LE>>(&table, usize::from(count))
        .map_err(|()| source.truncated("program headers"))?;
    let mut segments = Vec::new();
    for header in table {
        match header.p_type.get(LE) {
            elf::PT_INTERP => return Err(user_space(source)),
            elf::PT_LOAD if header.p_memsz.get(LE) != 0 => {
                segments.push(segment(source, header)?);
            }
            _ => {}
        }
    }
    if segments.is_empty() {
        return Err(source.malformed("it has no segments to load"));
    }
    Ok(segments)
}

/// The error for a program that wants an operating system below it.
fn user_space(source: &Source) -> LoadError {
    LoadError::Unsupported {
        file: source.name().to_owned(),
        what: "a program for Linux user space".into(),
        advice: "give a kernel or a bare-metal program; user programs run inside a guest system"
            .into(),
    }
}

fn segment(source: &Source, header: &ProgramHeader64<LE>) -> Result<Segment, LoadError> {
    let segment = Segment {
        offset: header.p_offset.get(LE),
        filesz: header.p_filesz.get(LE),
        vaddr: header.p_vaddr.get(LE),
        paddr: header.p_paddr.get(LE),
        memsz: header.p_memsz.get(LE),
        executable: header.p_flags.get(LE).contains(elf::PF_X),
    };
    if segment.filesz > segment.memsz {
        return Err(source.malformed(format!(
            "a segment holds {} bytes for {} bytes of memory",
            segment.filesz, segment.memsz
        )));
    }
    if segment
        .offset
        .checked_add(segment.filesz)
        .is_none_or(|end| end > source.len())
    {
        return Err(source.truncated("segments' end"));
    }
    Ok(segment)
}

/// The Image header a `vmlinux` begins with: its lowest segment is `.head.text`.
fn linux_header(source: &Source, segments: &[Segment]) -> Result<Option<ImageHeader>, LoadError> {
    let Some(first) = segments.iter().min_by_key(|s| s.paddr) else {
        return Ok(None);
    };
    let head = source.read_up_to(first.offset, first.filesz.min(image::HEADER))?;
    Ok(ImageHeader::parse(&head))
}

/// The addresses of the symbols in [`Symbols`].
fn symbols(source: &Source, header: &Header) -> Result<Symbols, LoadError> {
    let mut found = Symbols::default();
    each_symbol(source, header, |name, symbol| {
        let place = match name {
            b"tohost" => &mut found.tohost,
            b"fromhost" => &mut found.fromhost,
            b"begin_signature" => &mut found.begin_signature,
            b"end_signature" => &mut found.end_signature,
            _ => return,
        };
        *place = Some(symbol.st_value.get(LE));
    })?;
    Ok(found)
}

/// Names of code by address, for a listing: functions, and labels that are no
/// local ones of the toolchain.
///
/// # Errors
/// As [`Elf::read`].
pub fn labels(source: &Source) -> Result<Vec<(u64, String)>, LoadError> {
    let header = header(source)?;
    let mut labels = Vec::new();
    each_symbol(source, &header, |name, symbol| {
        let code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_NOTYPE);
        // `$x` and `.L` are the toolchain's own marks.
        if code && !name.is_empty() && !name.starts_with(b"$") && !name.starts_with(b".L") {
            labels.push((
                symbol.st_value.get(LE),
                String::from_utf8_lossy(name).into_owned(),
            ));
        }
    })?;
    labels.sort();
    labels.dedup();
    Ok(labels)
}

/// As [`labels`], by the guest-physical address at which each is in RAM at these
/// addresses once the file is loaded.
///
/// # Errors
/// What is wrong with the file; it may be no program.
pub fn loaded_labels(source: &Source, ram: &Range<u64>) -> Result<Vec<(u64, String)>, LoadError> {
    let elf = Elf::read(source)?;
    let slide = elf.slide(ram);
    let loaded = |(address, name)| Some((elf.physical(address)?.wrapping_add(slide), name));
    let mut labels: Vec<_> = labels(source)?.into_iter().filter_map(loaded).collect();
    labels.sort();
    Ok(labels)
}

/// A stretch of code in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The section's name, or a description.
    pub name: String,
    /// The address of its first byte as the program sees it.
    pub addr: u64,
    /// Where it starts in the file, bytes; it lies in the file whole.
    pub offset: u64,
    /// Its length in bytes, not 0.
    pub len: u64,
}

/// What a file marks as code: executable sections, or, where there are none,
/// executable segments.
///
/// # Errors
/// [`LoadError::WrongArch`], [`LoadError::Unsupported`], [`LoadError::Truncated`]
/// and [`LoadError::Malformed`]; also for a file without code.
pub fn code(source: &Source) -> Result<Vec<Code>, LoadError> {
    let no_code = |what| LoadError::NoCode {
        file: source.name().to_owned(),
        what,
    };
    if !Elf::is_elf(&source.read_up_to(0, 4)?) {
        return Err(no_code("is no ELF file"));
    }
    let header = header(source)?;
    let mut codes = code_sections(source, &header)?;
    if codes.is_empty() {
        let segments = segments(source, &header)?.into_iter();
        codes = segments
            .filter(|s| s.executable && s.filesz > 0)
            .map(|s| Code {
                name: "executable segment".to_owned(),
                addr: s.vaddr,
                offset: s.offset,
                len: s.filesz,
            })
            .collect();
    }
    if codes.is_empty() {
        return Err(no_code("has no code"));
    }
    Ok(codes)
}

fn code_sections(source: &Source, header: &Header) -> Result<Vec<Code>, LoadError> {
    let table = sections(source, header)?;
    let table = pod::slice_from_all_bytes::<SectionHeader64<LE>>(&table)
        .map_err(|()| source.truncated("section headers"))?;
    let names = match table.get(usize::from(header.e_shstrndx.get(LE).0)) {
        Some(names) if names.sh_size.get(LE) <= MAX_TABLE => {
            source.read_up_to(names.sh_offset.get(LE), names.sh_size.get(LE))?
        }
        _ => Vec::new(),
    };
    let mut codes = Vec::new();
    for section in table {
        let executable = section.sh_flags.get(LE).contains(elf::SHF_EXECINSTR);
        let len = section.sh_size.get(LE);
        if section.sh_type.get(LE) != elf::SHT_PROGBITS || !executable || len == 0 {
            continue;
        }
        let offset = section.sh_offset.get(LE);
        if offset.checked_add(len).is_none_or(|end| end > source.len()) {
            return Err(source.truncated("code's end"));
        }
        let name = string(&names, section.sh_name.get(LE));
        codes.push(Code {
            name: String::from_utf8_lossy(name).into_owned(),
            addr: section.sh_addr.get(LE),
            offset,
            len,
        });
    }
    Ok(codes)
}

/// The string at `at` of a string table; empty where there is none.
fn string(table: &[u8], at: u32) -> &[u8] {
    let tail = usize::try_from(at).ok().and_then(|at| table.get(at..));
    tail.and_then(|tail| tail.split(|&b| b == 0).next())
        .unwrap_or_default()
}

/// Calls `each` with the name of every defined symbol. A table too long to be
/// worth it counts as absent.
fn each_symbol(
    source: &Source,
    header: &Header,
    mut each: impl FnMut(&[u8], &Sym64<LE>),
) -> Result<(), LoadError> {
    let sections = sections(source, header)?;
    let sections = pod::slice_from_all_bytes::<SectionHeader64<LE>>(&sections)
        .map_err(|()| source.truncated("section headers"))?;
    let Some(table) = sections
        .iter()
        .find(|s| s.sh_type.get(LE) == elf::SHT_SYMTAB)
    else {
        return Ok(());
    };
    let strings = usize::try_from(table.sh_link.get(LE))
        .ok()
        .and_then(|i| sections.get(i));
    let Some(strings) = strings else {
        return Err(source.malformed("its symbol table names no string table"));
    };
    let lengths = (table.sh_size.get(LE), strings.sh_size.get(LE));
    if lengths.0 > MAX_TABLE || lengths.1 > MAX_TABLE {
        log::debug!(
            "{}: symbol table of {} bytes not searched",
            source.name(),
            lengths.0
        );
        return Ok(());
    }
    let symbols = source.read_exactly(table.sh_offset.get(LE), lengths.0, "symbol table")?;
    let strings = source.read_exactly(strings.sh_offset.get(LE), lengths.1, "string table")?;
    let count = symbols.len() / size_of::<Sym64<LE>>();
    let (symbols, _) = pod::slice_from_bytes::<Sym64<LE>>(&symbols, count)
        .map_err(|()| source.truncated("symbol table"))?;
    for symbol in symbols
        .iter()
        .filter(|s| s.st_shndx.get(LE) != elf::SHN_UNDEF)
    {
        each(string(&strings, symbol.st_name.get(LE)), symbol);
    }
    Ok(())
}

/// The section headers' bytes; empty where there are none.
fn sections(source: &Source, header: &Header) -> Result<Vec<u8>, LoadError> {
    let (at, count) = (header.e_shoff.get(LE), header.e_shnum.get(LE));
    if at == 0 || count == 0 {
        return Ok(Vec::new());
    }
    let entry_size = size_of::<SectionHeader64<LE>>();
    if usize::from(header.e_shentsize.get(LE)) != entry_size {
        return Err(source.malformed("its section headers have an impossible size"));
    }
    source.read_exactly(at, u64::from(count) * entry_size as u64, "section headers")
}
