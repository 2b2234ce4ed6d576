//! What a file is, found out from its contents and never from its name.

use std::path::Path;

use super::image::{self, ImageHeader, other_machine, pe_machine};
use super::packed::{self, Codec, Packed};
use super::{Disk, Elf, Entry, GuestWriter, LoadError, Source, StartMode, disk, uboot};
use crate::config::firmware::{FLASH_BANK, FLASH_BASE};

/// PE machine number of 64-bit RISC-V.
const PE_RISCV64: u16 = 0x5064;
/// How much is unpacked to see what a compressed file holds.
const PACKED_LOOK: u64 = 4096;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An ELF program, bare-metal or a `vmlinux`.
    Elf(Elf),
    /// A Linux `Image`, as it stands or packed.
    Image {
        /// What its header says.
        header: ImageHeader,
        /// How it is packed, if it is.
        packed: Option<Packed>,
        /// What its file must have at least, unpacked, by its own headers; bytes.
        least_len: u64,
        /// Whether it is an EFI program as well: the Image begins with `MZ`.
        efi_stub: bool,
    },
    /// A raw disk or file system: to be attached, not loaded.
    Disk(Disk),
    /// U-Boot as a raw binary, built to start in this mode.
    UBoot(StartMode),
    /// Whatever is in the first flash bank: nothing to load.
    Flash,
}

/// A file together with what it is.
#[derive(Debug, Clone)]
pub struct Program {
    source: Source,
    kind: Kind,
}

/// Finds out what a file is.
///
/// # Errors
/// Where it is nothing that can be used here, or damaged: see [`LoadError`].
pub fn detect(source: Source) -> Result<Program, LoadError> {
    let head = source.head()?;
    let kind = kind(&source, &head)?;
    Ok(Program { source, kind })
}

/// [`detect`] for a path.
///
/// # Errors
/// As [`detect`], and where the file cannot be opened.
pub fn detect_path(path: &Path) -> Result<Program, LoadError> {
    detect(Source::open(path)?)
}

fn kind(source: &Source, head: &[u8]) -> Result<Kind, LoadError> {
    if Elf::is_elf(head) {
        return Elf::read(source).map(Kind::Elf);
    }
    // The Image before PE: a kernel with an EFI stub begins with `MZ`.
    if let Some(header) = image_header(source, head)? {
        let least_len = image::least_len(head).unwrap_or(image::HEADER);
        if source.len() < least_len {
            return Err(source.truncated("kernel's end"));
        }
        return Ok(Kind::Image {
            header,
            packed: None,
            least_len,
            efi_stub: head.starts_with(b"MZ"),
        });
    }
    if pe_machine(head).is_none_or(|machine| machine == PE_RISCV64)
        && let Some(packed) = packed::zboot(source, head)?
    {
        return unpacked_kind(source, packed);
    }
    if let Some(codec) = Codec::of(head) {
        let packed = Packed {
            codec,
            offset: 0,
            len: source.len(),
            zboot: false,
        };
        return unpacked_kind(source, packed);
    }
    if let Some(what) = disk::foreign(head) {
        return Err(LoadError::Unsupported {
            file: source.name().to_owned(),
            what: what.into(),
            advice: "give it with --drive if it is qcow2; else convert it with `qemu-img convert`"
                .into(),
        });
    }
    if let Some(disk) = Disk::of(head) {
        return Ok(Kind::Disk(disk));
    }
    if let Some(mode) = uboot::start_mode(source, head)? {
        return Ok(Kind::UBoot(mode));
    }
    Err(not_startable(source, head))
}

/// The Image header at the start of `head`, checked to be for this machine.
fn image_header(source: &Source, head: &[u8]) -> Result<Option<ImageHeader>, LoadError> {
    let Some(header) = ImageHeader::parse(head) else {
        return Ok(None);
    };
    let wrong = |found: &str| {
        Err(LoadError::WrongArch {
            file: source.name().to_owned(),
            found: found.to_owned(),
        })
    };
    if header.big_endian {
        return wrong("a big-endian Linux Image");
    }
    match pe_machine(head) {
        None | Some(PE_RISCV64) => Ok(Some(header)),
        Some(_) => wrong(other_machine(head).unwrap_or("a Linux Image for another machine")),
    }
}

/// Looks into a compressed file: only an Image is of use there.
fn unpacked_kind(source: &Source, packed: Packed) -> Result<Kind, LoadError> {
    let head = packed.head(source, PACKED_LOOK)?;
    if let Some(header) = image_header(source, &head)? {
        return Ok(Kind::Image {
            header,
            packed: Some(packed),
            least_len: image::least_len(&head).unwrap_or(image::HEADER),
            efi_stub: head.starts_with(b"MZ"),
        });
    }
    let file = source.name().to_owned();
    if let Some(found) = other_machine(&head) {
        return Err(LoadError::WrongArch {
            file,
            found: found.to_owned(),
        });
    }
    let what = if Elf::is_elf(&head) {
        "an ELF file"
    } else if let Some(what) = disk::foreign(&head) {
        what
    } else if let Some(disk) = Disk::of(&head) {
        disk.name()
    } else if head.starts_with(b"070701") {
        "an initrd: give it with --initrd"
    } else {
        "no Linux Image"
    };
    Err(LoadError::PackedOther {
        file,
        what: what.to_owned(),
    })
}

/// The error for what cannot be started, as exact as the bytes allow.
fn not_startable(source: &Source, head: &[u8]) -> LoadError {
    let file = source.name().to_owned();
    if let Some(found) = other_machine(head) {
        return LoadError::WrongArch {
            file,
            found: found.to_owned(),
        };
    }
    if head.starts_with(b"MZ") {
        return LoadError::Unsupported {
            file,
            what: "an EFI program without a Linux Image in it".into(),
            advice: "give it on a disk to a firmware (--bios) that runs EFI programs".into(),
        };
    }
    let hint = if head.is_empty() {
        "; it is empty"
    } else if head.starts_with(b"!<arch>\n") {
        "; it is an archive (a .deb or .a file): unpack it first"
    } else if head.starts_with(b"070701") {
        "; it is a cpio archive: give it with --initrd"
    } else if head.starts_with(&[0xd0, 0x0d, 0xfe, 0xed]) {
        "; it is a device tree: give it with --dtb"
    } else {
        "; raw firmware goes to --bios, a raw disk to --drive"
    };
    LoadError::Unknown { file, hint }
}

impl Program {
    /// What the first flash bank holds.
    pub fn in_flash() -> Program {
        Program {
            source: Source::from_static("the flash", &[]),
            kind: Kind::Flash,
        }
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What it is, in a few words for a person, with an article.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Elf(elf) if elf.linux.is_some() => "a Linux kernel as ELF (vmlinux)".to_owned(),
            Kind::Elf(elf) if elf.symbols.tohost.is_some() => {
                "a bare-metal ELF program that reports through tohost".to_owned()
            }
            Kind::Elf(_) => "a bare-metal ELF program".to_owned(),
            Kind::Image {
                packed: None,
                efi_stub: false,
                ..
            } => "a Linux Image".to_owned(),
            Kind::Image { packed: None, .. } => "a Linux Image with an EFI stub".to_owned(),
            Kind::Image {
                packed: Some(packed),
                ..
            } if packed.zboot => {
                format!(
                    "a Linux Image in an EFI zboot file ({})",
                    packed.codec.name()
                )
            }
            Kind::Image {
                packed: Some(packed),
                ..
            } => {
                format!("a Linux Image packed with {}", packed.codec.name())
            }
            Kind::Disk(disk) => disk.name().to_owned(),
            Kind::UBoot(_) => "U-Boot".to_owned(),
            Kind::Flash => "firmware of your own".to_owned(),
        }
    }

    /// Whether it is a Linux kernel, in whatever form.
    pub fn is_linux(&self) -> bool {
        match &self.kind {
            Kind::Elf(elf) => elf.linux.is_some(),
            Kind::Image { .. } => true,
            Kind::Disk(_) | Kind::UBoot(_) | Kind::Flash => false,
        }
    }

    /// How it starts unless the person says otherwise: a test bench's program, or
    /// one that occupies the start of RAM and is no Linux, owns the whole machine;
    /// everything else expects firmware below it.
    pub fn start_mode(&self, ram_base: u64) -> StartMode {
        match &self.kind {
            Kind::Elf(elf) if elf.linux.is_none() => {
                if elf.symbols.tohost.is_some() || elf.at_ram_base(ram_base) {
                    StartMode::Machine
                } else {
                    StartMode::Supervisor
                }
            }
            Kind::UBoot(mode) => *mode,
            _ => StartMode::Supervisor,
        }
    }

    /// Puts it into guest memory.
    ///
    /// # Errors
    /// [`LoadError::OutsideRam`], [`LoadError::Unsupported`] for a disk, and what
    /// reading or unpacking finds wrong.
    pub fn load(&self, ram: &mut dyn GuestWriter) -> Result<Entry, LoadError> {
        match &self.kind {
            Kind::Elf(elf) => elf.load(&self.source, ram),
            Kind::Image {
                header,
                packed,
                least_len,
                ..
            } => image::load(&self.source, header, *least_len, packed.as_ref(), ram),
            Kind::UBoot(mode) => uboot::load(&self.source, *mode, ram),
            Kind::Flash => Ok(Entry::at(FLASH_BASE, FLASH_BASE..FLASH_BASE + FLASH_BANK)),
            Kind::Disk(disk) => Err(LoadError::Unsupported {
                file: self.source.name().to_owned(),
                what: disk.name().into(),
                advice: "give a kernel with --kernel".into(),
            }),
        }
    }
}
