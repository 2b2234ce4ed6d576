//! Files given to `isoform run`: recognised, described and loaded, as a program, as
//! firmware and as an initrd.

use std::ops::Range;

use isoform::boot::load::{
    Firmware, GuestWriter, OutOfRam, Payload, Source, detect, elf, foreign_disk,
};

const RAM: Range<u64> = 0x8000_0000..0x8400_0000;

/// Memory that only checks.
struct Checked;

impl GuestWriter for Checked {
    fn ram(&self) -> Range<u64> {
        RAM
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), OutOfRam> {
        self.zero(addr, bytes.len() as u64)
    }

    fn zero(&mut self, addr: u64, len: u64) -> Result<(), OutOfRam> {
        let end = addr.checked_add(len).ok_or(OutOfRam { addr, len })?;
        let inside = RAM.contains(&addr) && end <= RAM.end;
        if inside {
            Ok(())
        } else {
            Err(OutOfRam { addr, len })
        }
    }
}

/// Loads `data` in every role that a file can have.
pub fn run(data: &[u8]) {
    let source = || Source::from_bytes("fuzz", data.to_vec());
    let _ = foreign_disk(data);
    let _ = elf::labels(&source());
    let _ = elf::code(&source());
    let program = detect(source()).ok();
    for firmware in [Firmware::None, Firmware::Builtin, Firmware::File(source())] {
        let payload = Payload {
            firmware,
            program: program.clone(),
            initrd: vec![source()],
            dtb: None,
        };
        if let Ok(loaded) = payload.load(&mut Checked) {
            for entry in [loaded.firmware, loaded.program].into_iter().flatten() {
                assert!(entry.extent.start >= RAM.start && entry.extent.end <= RAM.end);
            }
            assert!(RAM.contains(&loaded.fdt));
        }
    }
    if let Some(program) = program {
        let _ = program.describe();
    }
}
