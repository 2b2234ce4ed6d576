//! `--perf-map`: names for translated code, where `perf report` looks for them.
//!
//! perf reads `/tmp/perf-PID.map`: a line a piece of code, its address and size in
//! hexadecimal and its name (Linux, tools/perf/Documentation/jit-interface.txt). Names
//! are those of units: the mode and guest-physical address at which each is entered, and
//! the symbol there if the program is an ELF file that has symbols. Where the code cache
//! has been full, places are used anew and lines for them come twice.

use super::error::VmError;
use crate::boot::load::{Payload, elf};
use isoform_cranelift::{Made, Translator};
use isoform_riscv::Hart;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::sync::Mutex;

use super::shared::lock;

/// Writes the map of a translator's code, from now on.
pub(super) fn start(
    translator: &Translator<Hart>,
    payload: &Payload,
    ram: Range<u64>,
) -> Result<(), VmError> {
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let failed = |source| VmError::PerfMap {
        path: path.clone(),
        source,
    };
    let mut file = create(&path).map_err(failed)?;
    for (name, code) in translator.stubs() {
        let written = line(&mut file, code, &format!("isoform:{name}"));
        written.map_err(failed)?;
    }
    let program = payload.program.as_ref().map(|program| program.source());
    // A program without symbols, or no ELF file: addresses are all there is.
    let labels = program.and_then(|source| elf::loaded_labels(source, &ram).ok());
    let labels = labels.unwrap_or_default();
    let file = Mutex::new(Some(file));
    translator.watch(move |made| {
        let name = name(&made, &labels);
        let mut file = lock(&file);
        let written = file.as_mut().map(|file| line(file, &made.code, &name));
        if let Some(Err(e)) = written {
            log::warn!("no more names for perf: {e}");
            *file = None;
        }
    });
    log::info!("names for perf are in {path}");
    Ok(())
}

/// A new file; an old one of a process that had the number before goes. Nobody else's
/// link is followed.
fn create(path: &str) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn line(file: &mut File, code: &Range<usize>, name: &str) -> std::io::Result<()> {
    // In one write: perf may read at any time.
    let line = format!("{:x} {:x} {name}\n", code.start, code.len());
    file.write_all(line.as_bytes())
}

/// What a unit is called.
fn name(made: &Made<Hart>, labels: &[(u64, String)]) -> String {
    let mode = made.mode.privilege;
    let tier = if made.baseline { "baseline:" } else { "" };
    let address = format!("{tier}{mode:?}:{:#x}", made.gpa);
    let before = labels.partition_point(|(at, _)| *at <= made.gpa);
    match before.checked_sub(1).and_then(|n| labels.get(n)) {
        Some((at, label)) => format!("{address} {label}+{:#x}", made.gpa - at),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isoform_riscv::{Mode, Priv};

    #[test]
    fn units_are_called_by_their_place() {
        let made = |gpa| Made {
            gpa,
            mode: Mode {
                privilege: Priv::S,
                fp_off: false,
                zeroes: true,
                ialign_32: false,
            },
            baseline: gpa < 0x100,
            code: 0..16,
        };
        let labels = [(0x100, "first".to_owned()), (0x200, "second".to_owned())];
        assert_eq!(name(&made(0x80), &labels), "baseline:S:0x80");
        assert_eq!(name(&made(0x1fe), &labels), "S:0x1fe first+0xfe");
        assert_eq!(name(&made(0x200), &labels), "S:0x200 second+0x0");
    }
}
