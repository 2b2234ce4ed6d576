//! All that belongs to one start, and where it goes in guest memory.
//!
//! The layout is the one people's firmware and kernels meet elsewhere on this
//! board: firmware at the start of RAM, the kernel where its header says (2 MiB
//! above), the initrd 128 MiB above the kernel where memory allows, the device
//! tree at the end of RAM's first GiB. fw_jump builds of OpenSBI move the tree to
//! 34 MiB above their own start, which is why the initrd keeps its distance.

use std::ops::Range;
use std::path::Path;

use super::elf::Elf;
use super::image;
use super::{Entry, GuestWriter, LoadError, Program, Source, StartMode};

/// Memory kept for the device tree, bytes: no tree may be larger.
pub const FDT_ROOM: u64 = 2 << 20;
/// The tree's alignment; kernels map it by pages of this size.
const FDT_ALIGN: u64 = 2 << 20;
/// The tree goes below this distance from the start of RAM where it can: a
/// 32-bit stage on this board, whose RAM starts at 2 GiB, still reaches it.
const FDT_BELOW: u64 = 1 << 30;
/// The initrd goes this far above the kernel where it can.
const INITRD_ABOVE: u64 = 128 << 20;
/// The initrd's alignment: a page.
const PAGE: u64 = 4096;

/// What runs in M-mode below the program.
#[derive(Debug, Clone)]
pub enum Firmware {
    /// Nothing: the program itself starts in M-mode.
    None,
    /// Isoform answers SBI calls; the program starts in S-mode.
    Builtin,
    /// A real one: an ELF, or a raw binary for the start of RAM.
    File(Source),
}

/// Everything loaded for one start of the machine.
#[derive(Debug, Clone)]
pub struct Payload {
    /// What runs in M-mode.
    pub firmware: Firmware,
    /// The kernel or program; only a firmware file can do without.
    pub program: Option<Program>,
    /// The initrd's parts, loaded one after the other; none: no initrd.
    pub initrd: Vec<Source>,
    /// A device tree of the person's own (`--dtb`), checked by [`device_tree`].
    pub dtb: Option<Vec<u8>>,
}

/// Where everything went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The firmware file, where there is one: harts start here, in M-mode.
    pub firmware: Option<Entry>,
    /// The kernel or program: harts start here, or the firmware's next stage.
    pub program: Option<Entry>,
    /// The initrd, for `/chosen`.
    pub initrd: Option<Range<u64>>,
    /// Where the device tree is to be written; [`FDT_ROOM`] bytes are free there.
    pub fdt: u64,
}

impl Payload {
    /// The mode the first instruction runs in.
    pub fn start_mode(&self) -> StartMode {
        match self.firmware {
            Firmware::Builtin => StartMode::Supervisor,
            Firmware::None | Firmware::File(_) => StartMode::Machine,
        }
    }

    /// Puts everything but the device tree into guest memory, which must read as
    /// zero or hold what an earlier run left (a reset).
    ///
    /// # Errors
    /// [`LoadError`]: something does not fit, or cannot be read or unpacked. Guest
    /// memory is then in no particular state.
    pub fn load(&self, ram: &mut dyn GuestWriter) -> Result<Loaded, LoadError> {
        let firmware = match &self.firmware {
            Firmware::File(source) => Some(load_firmware(source, ram)?),
            Firmware::None | Firmware::Builtin => None,
        };
        let program = match &self.program {
            Some(program) => Some(program.load(ram)?),
            None => None,
        };
        self.check_apart(firmware.as_ref(), program.as_ref())?;
        let mut taken: Vec<Range<u64>> = [&firmware, &program]
            .into_iter()
            .flatten()
            .map(|e| e.extent.clone())
            .collect();
        let fdt = self.place_fdt(&taken, &ram.ram())?;
        taken.push(fdt..fdt + FDT_ROOM);
        let initrd = if self.initrd.is_empty() {
            None
        } else {
            // What is in flash leaves all of RAM free.
            let in_ram = |entry: &&Entry| entry.extent.start >= ram.ram().start;
            let after = program.as_ref().filter(in_ram);
            let start = ram.ram().start;
            let after = after.map_or(start..start, |entry| entry.extent.clone());
            Some(self.load_initrd(&after, &taken, ram)?)
        };
        Ok(Loaded {
            firmware,
            program,
            initrd,
            fdt,
        })
    }

    fn name_of_program(&self) -> String {
        self.program
            .as_ref()
            .map_or("the program", |p| p.source().name())
            .to_owned()
    }

    /// Firmware and program must not overwrite each other.
    fn check_apart(
        &self,
        firmware: Option<&Entry>,
        program: Option<&Entry>,
    ) -> Result<(), LoadError> {
        let (Some(firmware), Some(program), Firmware::File(source)) =
            (firmware, program, &self.firmware)
        else {
            return Ok(());
        };
        if !overlap(&firmware.extent, &program.extent) {
            return Ok(());
        }
        Err(LoadError::Overlap {
            first: format!("the firmware {}", source.name()),
            second: self.name_of_program(),
            at: (firmware.extent.clone(), program.extent.clone()),
            advice: "a program for the start of RAM brings its own firmware: run it with --bios none",
        })
    }

    /// The device tree's place: the end of RAM's first GiB, or of all RAM.
    fn place_fdt(&self, taken: &[Range<u64>], ram: &Range<u64>) -> Result<u64, LoadError> {
        let below = |end: u64| end.saturating_sub(FDT_ROOM) / FDT_ALIGN * FDT_ALIGN;
        let low = below(ram.end.min(ram.start.saturating_add(FDT_BELOW)));
        let high = below(ram.end);
        let free =
            |at: u64| at >= ram.start && taken.iter().all(|t| !overlap(t, &(at..at + FDT_ROOM)));
        [low, high]
            .into_iter()
            .find(|&at| free(at))
            .ok_or_else(|| LoadError::Overlap {
                first: self.name_of_program(),
                second: "the device tree".to_owned(),
                at: (
                    taken
                        .iter()
                        .find(|t| overlap(t, &(high..high + FDT_ROOM)))
                        .cloned()
                        .unwrap_or_else(|| ram.clone()),
                    high..high + FDT_ROOM,
                ),
                advice: "give the guest more with --memory",
            })
    }

    /// Places and copies the initrd: its parts in a row, each at a multiple of
    /// four bytes, as the kernel wants its cpio archives.
    fn load_initrd(
        &self,
        program: &Range<u64>,
        taken: &[Range<u64>],
        ram: &mut dyn GuestWriter,
    ) -> Result<Range<u64>, LoadError> {
        let file = self
            .initrd
            .iter()
            .map(Source::name)
            .collect::<Vec<_>>()
            .join("+");
        let mut offsets = Vec::new();
        let mut size = 0_u64;
        for part in &self.initrd {
            if part.is_empty() {
                return Err(part.malformed("it is empty, and an initrd cannot be"));
            }
            offsets.push(size);
            // Files are shorter than 2^63, so these sums do not overflow before the check.
            size = size.saturating_add(part.len()).saturating_add(3) & !3;
        }
        let last = self.initrd.last().map_or(0, Source::len);
        let size = offsets.last().map_or(0, |at| at.saturating_add(last));
        let start = place_initrd(size, program, taken, &ram.ram())
            .map_err(|room| LoadError::InitrdTooLarge { file, size, room })?;
        for (part, offset) in self.initrd.iter().zip(offsets) {
            let at = start + offset;
            let copied = image::copy(&mut part.reader(0, part.len()), at, part.len(), ram)?
                .map_err(|e| LoadError::read(part.name(), e))?;
            if copied != part.len() {
                return Err(part.truncated("end as it was when opened"));
            }
            ram.zero(
                at + copied,
                (start + size - at - copied).min(copied.wrapping_neg() & 3),
            )?;
        }
        Ok(start..start + size)
    }
}

/// Where an initrd of `size` bytes goes: the preferred distance above the kernel,
/// or as high as possible. The error is the longest stretch there is.
fn place_initrd(
    size: u64,
    program: &Range<u64>,
    taken: &[Range<u64>],
    ram: &Range<u64>,
) -> Result<u64, u64> {
    let distance = INITRD_ABOVE.min((ram.end - ram.start) / 2);
    let preferred = program
        .start
        .saturating_add(distance)
        .max(program.end)
        .next_multiple_of(PAGE);
    let wants = preferred..preferred.saturating_add(size);
    if wants.end <= ram.end && taken.iter().all(|t| !overlap(t, &wants)) {
        return Ok(preferred);
    }
    // Below the kernel nothing is mapped when it looks for its initrd.
    let mut gaps = Vec::new();
    let mut at = program.end.max(ram.start);
    let mut sorted: Vec<&Range<u64>> = taken.iter().filter(|t| t.end > at).collect();
    sorted.sort_by_key(|t| t.start);
    for t in sorted {
        gaps.push(at..t.start.max(at));
        at = at.max(t.end);
    }
    gaps.push(at..ram.end.max(at));
    let rooms = gaps.iter().map(|gap| {
        let start = gap.start.next_multiple_of(PAGE).min(gap.end);
        (gap.end - start, gap.end)
    });
    let fitting = rooms.clone().find(|(room, _)| *room >= size);
    match fitting {
        // Fits from the aligned start on, so also from the aligned-down end.
        Some((_, end)) => Ok((end - size) / PAGE * PAGE),
        None => Err(rooms.map(|(room, _)| room).max().unwrap_or(0)),
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Firmware is an ELF, or a raw binary for the start of RAM.
fn load_firmware(source: &Source, ram: &mut dyn GuestWriter) -> Result<Entry, LoadError> {
    let head = source.read_up_to(0, 4)?;
    if Elf::is_elf(&head) {
        return Elf::read(source)?.load(source, ram);
    }
    if source.is_empty() {
        return Err(source.malformed("it is empty, and firmware cannot be"));
    }
    load_raw(source, 0, "firmware", ram)
}

/// Loads a raw binary, called `what`, so far above the start of RAM.
pub(super) fn load_raw(
    source: &Source,
    above: u64,
    what: &str,
    ram: &mut dyn GuestWriter,
) -> Result<Entry, LoadError> {
    let bounds = ram.ram();
    let start = bounds.start.saturating_add(above);
    let extent = start..start.saturating_add(source.len());
    if extent.end > bounds.end {
        return Err(LoadError::OutsideRam {
            file: source.name().to_owned(),
            what: what.to_owned(),
            wants: extent,
            ram: bounds,
            advice: "check that it is the firmware you mean, or give the guest more with --memory",
        });
    }
    image::copy(
        &mut source.reader(0, source.len()),
        extent.start,
        source.len(),
        ram,
    )?
    .map_err(|e| LoadError::read(source.name(), e))?;
    Ok(Entry::at(extent.start, extent))
}

/// Reads a device tree blob and checks its header (Devicetree Specification 5.2).
///
/// # Errors
/// Where it cannot be read, is none, is cut off, or exceeds [`FDT_ROOM`].
pub fn device_tree(path: &Path) -> Result<Vec<u8>, LoadError> {
    let source = Source::open(path)?;
    if source.len() > FDT_ROOM {
        return Err(LoadError::Unsupported {
            file: source.name().to_owned(),
            what: format!("{} bytes long", source.len()),
            advice: format!("a device tree here has at most {FDT_ROOM} bytes"),
        });
    }
    let bytes = source.read_up_to(0, FDT_ROOM)?;
    let word = |at: usize| {
        bytes
            .get(at..)
            .and_then(|tail| tail.first_chunk())
            .map(|b| u32::from_be_bytes(*b))
    };
    if word(0) != Some(0xd00d_feed) {
        return Err(LoadError::Unsupported {
            file: source.name().to_owned(),
            what: "no device tree blob".into(),
            advice: "compile a source with `dtc -O dtb` first".into(),
        });
    }
    match word(4).and_then(|total| usize::try_from(total).ok()) {
        Some(total) if total > bytes.len() => Err(source.truncated("device tree's end")),
        Some(total) if total < 40 => Err(source.malformed("its header is longer than the whole")),
        Some(total) => Ok(bytes.into_iter().take(total).collect()),
        None => Err(source.truncated("device tree header")),
    }
}
