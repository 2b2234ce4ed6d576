//! `--drive`: which file, how it may be written, and which slot it takes.

use std::path::{Path, PathBuf};

use super::words;

/// The virtio-mmio slots of the board; slot 0 is at 0x10001000.
pub const VIRTIO_SLOTS: usize = 8;

/// A drive as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveSpec {
    /// The raw disk image or block device.
    pub file: PathBuf,
    /// Writes go to a private overlay that vanishes with the machine.
    pub snapshot: bool,
    /// The guest sees a read-only disk.
    pub readonly: bool,
    /// The slot asked for with `bus=`.
    pub bus: Option<usize>,
    /// `format=raw` was given: the file's contents are not second-guessed.
    pub raw: bool,
}

/// A drive with its place on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The raw disk image or block device.
    pub file: PathBuf,
    /// Writes go to a private overlay that vanishes with the machine.
    pub snapshot: bool,
    /// The guest sees a read-only disk.
    pub readonly: bool,
    /// Its virtio-mmio slot, below [`VIRTIO_SLOTS`].
    pub slot: usize,
    /// `format=raw` was given: the file's contents are not second-guessed.
    pub raw: bool,
}

impl DriveSpec {
    /// A writable drive on `file`, in the first slot that is free.
    pub fn of(file: &Path) -> DriveSpec {
        DriveSpec {
            file: file.to_owned(),
            snapshot: false,
            readonly: false,
            bus: None,
            raw: false,
        }
    }
}

/// Reads `file=F[,snapshot=on|off][,readonly=on|off][,bus=N][,format=raw]`.
///
/// # Errors
/// An unknown key, a bad value, a key given twice, no `file`.
pub fn drive(text: &str) -> Result<DriveSpec, String> {
    let mut spec = DriveSpec::of(Path::new(""));
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
            "bus" => spec.bus = Some(bus(words::value(&word)?)?),
            "format" => match words::value(&word)? {
                "raw" => spec.raw = true,
                other => {
                    return Err(format!(
                        "only raw disks can be used, not `{other}`; convert it with `qemu-img convert -O raw`"
                    ));
                }
            },
            other => {
                return Err(format!(
                    "there is no `{other}` here; known are file, snapshot, readonly, bus and format"
                ));
            }
        }
    }
    if spec.file.as_os_str().is_empty() {
        return Err("it names no file: --drive file=disk.img".to_owned());
    }
    Ok(spec)
}

/// A slot: its number, or QEMU's name of it.
fn bus(text: &str) -> Result<usize, String> {
    let number = text.strip_prefix("virtio-mmio-bus.").unwrap_or(text);
    match number.parse() {
        Ok(slot) if slot < VIRTIO_SLOTS => Ok(slot),
        _ => Err(format!(
            "`bus` is a virtio-mmio slot, 0 to {} or virtio-mmio-bus.0 and so on, not `{text}`",
            VIRTIO_SLOTS - 1
        )),
    }
}

/// Gives every drive its slot: the Nth of `specs` takes slot N, unless its `bus=`
/// says otherwise; those of `extra` (an IMAGE that is a disk) take the lowest free.
///
/// # Errors
/// Two drives in one slot, more drives than slots, or one file used by two drives
/// of which one writes to it.
pub fn place(specs: &[DriveSpec], extra: &[DriveSpec]) -> Result<Vec<Drive>, String> {
    let mut taken: [Option<&DriveSpec>; VIRTIO_SLOTS] = [None; VIRTIO_SLOTS];
    for (nth, spec) in specs.iter().enumerate() {
        let slot = spec.bus.unwrap_or(nth);
        let Some(place) = taken.get_mut(slot) else {
            return Err(format!(
                "there are {VIRTIO_SLOTS} slots for drives; give fewer of them"
            ));
        };
        if let Some(other) = place.replace(spec) {
            return Err(format!(
                "the drives {} and {} both want slot {slot}; move one with bus=",
                other.file.display(),
                spec.file.display()
            ));
        }
    }
    for spec in extra {
        match taken.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(spec),
            None => {
                return Err(format!(
                    "all {VIRTIO_SLOTS} slots for drives are taken; give fewer of them"
                ));
            }
        }
    }
    check_sharing(&taken)?;
    let drive = |(slot, spec): (usize, &DriveSpec)| Drive {
        file: spec.file.clone(),
        snapshot: spec.snapshot,
        readonly: spec.readonly,
        slot,
        raw: spec.raw,
    };
    let placed = taken
        .iter()
        .enumerate()
        .filter_map(|(slot, spec)| Some((slot, (*spec)?)));
    Ok(placed.map(drive).collect())
}

/// One file may serve several drives only where none of them writes to it.
fn check_sharing(taken: &[Option<&DriveSpec>]) -> Result<(), String> {
    let drives: Vec<&DriveSpec> = taken.iter().flatten().copied().collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(specs: &[&str], extra: &[&str]) -> Result<Vec<(usize, String)>, String> {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| drive(t))
                .collect::<Result<Vec<_>, _>>()
        };
        let placed = place(&parse(specs)?, &parse(extra)?)?;
        Ok(placed
            .iter()
            .map(|d| (d.slot, d.file.display().to_string()))
            .collect())
    }

    #[test]
    fn keys_are_read() {
        let spec = drive("file=a,,b.img,snapshot=on,readonly=off,bus=virtio-mmio-bus.3,format=raw");
        let expected = DriveSpec {
            file: "a,b.img".into(),
            snapshot: true,
            readonly: false,
            bus: Some(3),
            raw: true,
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
            "file=a,format=qcow2",
            "file=a,cache=none",
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
                .map(|(n, f)| (*n, (*f).to_owned()))
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
    fn a_file_is_written_by_one_drive_only() {
        assert!(slots(&["file=a", "file=a"], &[]).is_err());
        assert!(slots(&["file=a,readonly=on", "file=a"], &[]).is_err());
        assert!(slots(&["file=a,readonly=on", "file=a,snapshot=on"], &[]).is_ok());
        assert!(slots(&["file=a"], &["file=a"]).is_err());
    }
}
