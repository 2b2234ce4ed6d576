//! SSWI: supervisor software interrupts (ACLINT 4).

use isoform_core::{BusFault, Device, IrqLine, RestoreError, Saved, Size};

use super::spec::SETSSIP;

/// The SETSSIP registers, one a hart.
///
/// A write is an event, not a level: SSIP lives in the hart, which clears it. The
/// line is raised and lowered at once; the hart latches the rise.
pub struct Sswi {
    lines: Vec<IrqLine>,
}

impl Sswi {
    /// An SSWI for the harts that `lines` lead to, hart 0 first. The sink sets the
    /// hart's SSIP on a rise, and does nothing on a fall.
    pub fn new(lines: Vec<IrqLine>) -> Self {
        Self { lines }
    }
}

impl Device for Sswi {
    fn name(&self) -> &'static str {
        "sswi"
    }

    /// SETSSIP reads as zero.
    fn read(&mut self, _offset: u64, size: Size) -> Result<u64, BusFault> {
        match size {
            Size::B4 => Ok(0),
            _ => Err(BusFault),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        if size != Size::B4 {
            return Err(BusFault);
        }
        let hart = ((offset - SETSSIP) / 4) as usize;
        if let Some(line) = self.lines.get(hart)
            && value & 1 != 0
        {
            line.set(true);
            line.set(false);
        }
        Ok(())
    }

    fn reset(&mut self) {}

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.restore_bytes(bytes)
    }
}

/// The version alone is saved: the state is the harts'.
impl Saved for Sswi {
    type State = ();
    const NAME: &'static str = "sswi";
    const VERSION: u16 = 1;

    fn state(&self) {
        let Self { lines: _ } = self;
    }

    fn set_state(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}
