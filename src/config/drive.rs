//! `--drive`: which file, how it may be written, and which slot it takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isoform_disk::{Cache, Format, Request};

use super::slot::{PCI_BUS, PCI_SLOTS, SlotId, VIRTIO_SLOTS};
use super::words;

/// What `--drive` knows.
const KEYS: &str =
    "file, if, snapshot, readonly, bus, addr, format, cache, backing, discard and serial";

/// What `bus=` and `addr=` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusChoice {
    /// A virtio-mmio slot.
    Mmio(usize),
    /// A device number on the PCI bus, or the lowest that is free.
    Pci(Option<usize>),
}

/// Which device shows a drive to the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriveInterface {
    /// A virtio block device.
    #[default]
    Virtio,
    /// An NVMe controller, which is on the PCI bus.
    Nvme,
}

/// A drive as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveSpec {
    /// The disk image or block device.
    pub file: PathBuf,
    /// Writes go to a private overlay that vanishes with the machine.
    pub snapshot: bool,
    /// The guest sees a read-only disk.
    pub readonly: bool,
    /// The device that shows it.
    pub interface: DriveInterface,
    /// What was asked for with `bus=` and `addr=`.
    pub bus: Option<BusChoice>,
    /// The format, if it was given: then the file's contents are not second-guessed.
    pub format: Option<Format>,
    /// What the host keeps in memory, and what a flush does.
    pub cache: Cache,
    /// A qcow2 image's backing file may be opened.
    pub backing: bool,
    /// Room that the guest gives back is given back to the host.
    pub discard: bool,
    /// The disk's serial number, if it was given; 20 bytes at most.
    pub serial: Option<String>,
}

/// A drive with its place on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The image, and how it is opened.
    pub request: Request,
    /// The device that shows it.
    pub interface: DriveInterface,
    /// Where it is.
    pub slot: SlotId,
    /// The serial number that the guest sees.
    pub serial: String,
}

impl DriveSpec {
    /// A writable drive on `file`, in the first slot that is free.
    pub fn of(file: &Path) -> DriveSpec {
        DriveSpec {
            file: file.to_owned(),
            snapshot: false,
            readonly: false,
            interface: DriveInterface::default(),
            bus: None,
            format: None,
            cache: Cache::default(),
            backing: false,
            discard: true,
            serial: None,
        }
    }
}

impl DriveSpec {
    /// How its image is opened.
    pub fn request(&self) -> Request {
        Request {
            path: self.file.clone(),
            format: self.format,
            read_only: self.readonly,
            snapshot: self.snapshot,
            cache: self.cache,
            backing: self.backing,
            discard: self.discard,
        }
    }
}

/// Reads `file=F` and the keys of `KEYS`.
///
/// # Errors
/// An unknown key, a bad value, a key given twice, no `file`, `addr` without the PCI bus,
/// NVMe without it.
pub fn drive(text: &str) -> Result<DriveSpec, String> {
    let mut spec = DriveSpec::of(Path::new(""));
    let mut address = None;
    let mut seen: Vec<String> = Vec::new();
    for word in words::split(text)? {
        if seen.contains(&word.key) {
            return Err(format!("`{}` is given twice", word.key));
        }
        seen.push(word.key.clone());
        let switch = || words::switch(&word.key, word.value.as_deref());
        match word.key.as_str() {
            "file" => spec.file = PathBuf::from(words::value(&word)?),
            "snapshot" => spec.snapshot = switch()?,
            "readonly" => spec.readonly = switch()?,
            "if" => spec.interface = interface(words::value(&word)?)?,
            "bus" => spec.bus = Some(bus(words::value(&word)?)?),
            "addr" => address = Some(pci_address(words::value(&word)?)?),
            "format" => spec.format = Some(format(words::value(&word)?)?),
            "cache" => spec.cache = cache(words::value(&word)?)?,
            "backing" => spec.backing = switch()?,
            "discard" => spec.discard = discard(words::value(&word)?)?,
            "serial" => spec.serial = Some(serial(words::value(&word)?)?),
            other => return Err(format!("there is no `{other}` here; known are {KEYS}")),
        }
    }
    if spec.file.as_os_str().is_empty() {
        return Err("it names no file: --drive file=disk.img".to_owned());
    }
    if spec.interface == DriveInterface::Nvme {
        spec.bus = spec.bus.or(Some(BusChoice::Pci(None)));
    }
    spec.bus = match (spec.bus, address) {
        (Some(BusChoice::Mmio(_)), None) if spec.interface == DriveInterface::Nvme => {
            return Err(format!("an NVMe drive is on the PCI bus: bus={PCI_BUS}"));
        }
        (bus, None) => bus,
        (Some(BusChoice::Pci(_)), address) => Some(BusChoice::Pci(address)),
        (_, Some(_)) => return Err(format!("`addr` is a place on the PCI bus: bus={PCI_BUS}")),
    };
    Ok(spec)
}

fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| {
        format!("`format` is raw or qcow2, not `{text}`; convert it with `qemu-img convert`")
    })
}

fn interface(text: &str) -> Result<DriveInterface, String> {
    match text {
        "virtio" => Ok(DriveInterface::Virtio),
        "nvme" => Ok(DriveInterface::Nvme),
        _ => Err(format!("`if` is virtio or nvme, not `{text}`")),
    }
}

fn cache(text: &str) -> Result<Cache, String> {
    match text {
        "writeback" => Ok(Cache::Writeback),
        "none" => Ok(Cache::None),
        "unsafe" => Ok(Cache::Unsafe),
        _ => Err(format!(
            "`cache` is writeback, none or unsafe, not `{text}`"
        )),
    }
}

/// `on` and `off`; QEMU's drives say `unmap` and `ignore`.
fn discard(text: &str) -> Result<bool, String> {
    match text {
        "on" | "unmap" => Ok(true),
        "off" | "ignore" => Ok(false),
        _ => Err(format!("`discard` is on or off, not `{text}`")),
    }
}

fn serial(text: &str) -> Result<String, String> {
    match text.len() <= 20 && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`serial` is up to 20 letters, digits and signs, not `{text}`"
        )),
    }
}

/// The PCI bus; or a virtio-mmio slot: its number, or QEMU's name of it.
fn bus(text: &str) -> Result<BusChoice, String> {
    if text == PCI_BUS {
        return Ok(BusChoice::Pci(None));
    }
    let number = text.strip_prefix("virtio-mmio-bus.").unwrap_or(text);
    match number.parse() {
        Ok(slot) if slot < VIRTIO_SLOTS => Ok(BusChoice::Mmio(slot)),
        _ => Err(format!(
            "`bus` is {PCI_BUS} or a virtio-mmio slot, 0 to {} or virtio-mmio-bus.0 and so on, not `{text}`",
            VIRTIO_SLOTS - 1
        )),
    }
}

/// A device number as QEMU takes it: `3`, `0x3`, with its function `3.0`.
fn pci_address(text: &str) -> Result<usize, String> {
    let device = text.strip_suffix(".0").unwrap_or(text);
    let number = match device.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16),
        None => device.parse(),
    };
    match number {
        Ok(number) if (1..PCI_SLOTS).contains(&number) => Ok(number),
        _ => Err(format!(
            "`addr` is a device number on the PCI bus, 1 to {}, not `{text}`",
            PCI_SLOTS - 1
        )),
    }
}

/// What a guest may tell a disk by, wherever it is.
fn serial_of(slot: SlotId) -> String {
    match slot {
        SlotId::Mmio(slot) => format!("isoform{slot}"),
        SlotId::Pci(device) => format!("isoform-pci{device}"),
    }
}

/// Gives every drive its slot: the Nth of `specs` takes virtio-mmio slot N, unless its
/// `bus=` says otherwise; those of `extra` (an IMAGE that is a disk) take the lowest
/// free.
///
/// # Errors
/// Two drives in one slot, more drives than slots, or one file used by two drives
/// of which one writes to it.
pub fn place(specs: &[DriveSpec], extra: &[DriveSpec]) -> Result<Vec<Drive>, String> {
    let mut taken: BTreeMap<SlotId, &DriveSpec> = BTreeMap::new();
    for (nth, spec) in specs.iter().enumerate() {
        let slot = match spec.bus {
            None if nth >= VIRTIO_SLOTS => {
                return Err(format!(
                    "there are {VIRTIO_SLOTS} slots for drives; put more of them on bus={PCI_BUS}"
                ));
            }
            None => SlotId::Mmio(nth),
            Some(BusChoice::Mmio(slot)) => SlotId::Mmio(slot),
            Some(BusChoice::Pci(Some(device))) => SlotId::Pci(device),
            Some(BusChoice::Pci(None)) => continue,
        };
        if let Some(other) = taken.insert(slot, spec) {
            return Err(format!(
                "the drives {} and {} both want bus={slot}; move one with bus=",
                other.file.display(),
                spec.file.display()
            ));
        }
    }
    let anywhere = |spec: &&DriveSpec| spec.bus == Some(BusChoice::Pci(None));
    for spec in specs.iter().filter(anywhere) {
        let slot = SlotId::pci().find(|slot| !taken.contains_key(slot));
        let slot = slot.ok_or_else(|| format!("the bus {PCI_BUS} is full; give fewer drives"))?;
        taken.insert(slot, spec);
    }
    for spec in extra {
        let slot = SlotId::mmio().find(|slot| !taken.contains_key(slot));
        let slot = slot.ok_or_else(|| {
            format!(
                "all {VIRTIO_SLOTS} slots for drives are taken; put some of them on bus={PCI_BUS}"
            )
        })?;
        taken.insert(slot, spec);
    }
    check_sharing(taken.values().copied())?;
    check_serials(taken.values().copied())?;
    let drive = |(slot, spec): (&SlotId, &&DriveSpec)| Drive {
        request: spec.request(),
        interface: spec.interface,
        slot: *slot,
        serial: spec.serial.clone().unwrap_or_else(|| serial_of(*slot)),
    };
    Ok(taken.iter().map(drive).collect())
}

/// One file may serve several drives only where none of them writes to it.
fn check_sharing<'a>(drives: impl Iterator<Item = &'a DriveSpec>) -> Result<(), String> {
    let drives: Vec<&DriveSpec> = drives.collect();
    for (i, a) in drives.iter().enumerate() {
        for b in drives.iter().skip(i + 1) {
            let writes = |d: &DriveSpec| !d.readonly && !d.snapshot;
            if a.file == b.file && (writes(a) || writes(b)) {
                return Err(format!(
                    "{} is given for two drives, and one would write to it; add readonly=on or snapshot=on to both",
                    a.file.display()
                ));
            }
        }
    }
    Ok(())
}

/// NVMe controllers are told apart by their serial numbers: of two that have the same, a
/// guest refuses one.
fn check_serials<'a>(drives: impl Iterator<Item = &'a DriveSpec>) -> Result<(), String> {
    let mut seen: BTreeMap<&str, &DriveSpec> = BTreeMap::new();
    for spec in drives.filter(|d| d.interface == DriveInterface::Nvme) {
        let Some(serial) = spec.serial.as_deref() else {
            continue;
        };
        if let Some(other) = seen.insert(serial, spec) {
            return Err(format!(
                "the NVMe drives {} and {} both have serial={serial}; give each its own",
                other.file.display(),
                spec.file.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(specs: &[&str], extra: &[&str]) -> Result<Vec<(SlotId, String)>, String> {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| drive(t))
                .collect::<Result<Vec<_>, _>>()
        };
        let placed = place(&parse(specs)?, &parse(extra)?)?;
        Ok(placed
            .iter()
            .map(|d| (d.slot, d.request.path.display().to_string()))
            .collect())
    }

    #[test]
    fn keys_are_read() {
        let spec = drive(
            "file=a,,b.img,snapshot=on,readonly=off,bus=virtio-mmio-bus.3,format=qcow2,\
             cache=none,backing=on,discard=off,serial=S-1,if=virtio",
        );
        let expected = DriveSpec {
            file: "a,b.img".into(),
            snapshot: true,
            readonly: false,
            interface: DriveInterface::Virtio,
            bus: Some(BusChoice::Mmio(3)),
            format: Some(Format::Qcow2),
            cache: Cache::None,
            backing: true,
            discard: false,
            serial: Some("S-1".to_owned()),
        };
        assert_eq!(spec, Ok(expected));
    }

    #[test]
    fn bad_specs_are_refused() {
        let bad = [
            "disk.img",
            "",
            "file=",
            "snapshot=on",
            "file=a,snapshot=perhaps",
            "file=a,readonly",
            "file=a,file=b",
            "file=a,bus=8",
            "file=a,bus=-1",
            "file=a,bus=pci.0",
            "file=a,bus=pcie.1",
            "file=a,addr=1",
            "file=a,bus=1,addr=1",
            "file=a,bus=pcie.0,addr=0",
            "file=a,bus=pcie.0,addr=32",
            "file=a,bus=pcie.0,addr=1.1",
            "file=a,bus=pcie.0,addr=x",
            "file=a,if=ide",
            "file=a,if=nvme,bus=1",
            "file=a,if=nvme,bus=1,addr=1",
            "file=a,format=vmdk",
            "file=a,cache=writethrough",
            "file=a,discard=perhaps",
            "file=a,serial=more-than-twenty-bytes",
            "file=a,",
        ];
        for text in bad {
            assert!(drive(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nth_drive_takes_slot_n_unless_bus_says_otherwise() {
        let owned = |list: &[(usize, &str)]| {
            Ok(list
                .iter()
                .map(|(n, f)| (SlotId::Mmio(*n), (*f).to_owned()))
                .collect::<Vec<_>>())
        };
        assert_eq!(
            slots(&["file=a", "file=b"], &[]),
            owned(&[(0, "a"), (1, "b")])
        );
        assert_eq!(
            slots(&["file=a,bus=5", "file=b"], &[]),
            owned(&[(1, "b"), (5, "a")])
        );
        assert_eq!(
            slots(&["file=a,bus=5", "file=b"], &["file=i"]),
            owned(&[(0, "i"), (1, "b"), (5, "a")])
        );
        assert!(slots(&["file=a,bus=1", "file=b"], &[]).is_err());
        assert!(slots(&["file=a"; 9], &[]).is_err());
    }

    #[test]
    fn drives_go_onto_pci_where_asked() {
        let text = |specs: &[&str]| {
            let placed = slots(specs, &["file=i"])?;
            let placed: Vec<String> = placed.iter().map(|(s, f)| format!("{f}:{s}")).collect();
            Ok::<_, String>(placed.join(" "))
        };
        let specs = [
            "file=a,bus=pcie.0",
            "addr=0x1f.0,file=b,bus=pcie.0",
            "file=c",
            "file=d,bus=pcie.0,addr=1",
            "file=e,bus=pcie.0",
        ];
        assert_eq!(
            text(&specs).as_deref(),
            Ok(
                "i:virtio-mmio-bus.0 c:virtio-mmio-bus.2 d:pcie.0,addr=1 a:pcie.0,addr=2 \
                 e:pcie.0,addr=3 b:pcie.0,addr=31"
            )
        );
        let twice = ["file=a,bus=pcie.0,addr=7", "file=b,bus=pcie.0,addr=0x7"];
        let error = text(&twice).expect_err("one place");
        assert!(error.contains("bus=pcie.0,addr=7"), "{error}");
        assert!(slots(&["file=a,snapshot=on,bus=pcie.0"; 31], &[]).is_ok());
        assert!(slots(&["file=a,snapshot=on,bus=pcie.0"; 32], &[]).is_err());
        let indices = SlotId::mmio().chain(SlotId::pci()).map(SlotId::index);
        let indices: std::collections::BTreeSet<usize> = indices.collect();
        assert_eq!(indices.len(), 39);
        assert!(indices.iter().all(|n| *n < SlotId::COUNT));
    }

    #[test]
    fn nvme_drives_are_on_pci_and_have_serial_numbers_of_their_own() {
        let specs = ["file=a,if=nvme", "file=b", "file=c,if=nvme,addr=9,serial=x"];
        let placed = slots(&specs, &[]).expect("there is room");
        let expected = [
            (SlotId::Mmio(1), "b"),
            (SlotId::Pci(1), "a"),
            (SlotId::Pci(9), "c"),
        ];
        assert_eq!(placed, expected.map(|(slot, file)| (slot, file.to_owned())));
        let twice = ["file=a,if=nvme,serial=x", "file=b,if=nvme,serial=x"];
        let error = slots(&twice, &[]).expect_err("one serial number");
        assert!(error.contains("serial=x"), "{error}");
        assert!(slots(&[twice[0], "file=b,serial=x"], &[]).is_ok());
    }

    #[test]
    fn a_file_is_written_by_one_drive_only() {
        assert!(slots(&["file=a", "file=a"], &[]).is_err());
        assert!(slots(&["file=a,readonly=on", "file=a"], &[]).is_err());
        assert!(slots(&["file=a,readonly=on", "file=a,snapshot=on"], &[]).is_ok());
        assert!(slots(&["file=a"], &["file=a"]).is_err());
    }
}
