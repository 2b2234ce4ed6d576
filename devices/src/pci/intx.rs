//! Interrupt pins on their way to the interrupt controller: all functions share four
//! lines (PCI Express 5.0, 2.2.8.1).

use std::sync::{Arc, Mutex, PoisonError};

use isoform_core::{IrqLine, IrqSink};

/// Lines, and pins that a function can have.
pub const LINES: usize = 4;

/// The four lines. A line is high while any pin is that leads to it; a device's pin A
/// leads to the line of its slot's number modulo four, pin B to the next, and so on.
pub struct Intx {
    lines: [IrqLine; LINES],
    /// By line: which inputs are high. Computed from the functions' states, and not
    /// saved.
    high: Mutex<[u128; LINES]>,
}

impl Intx {
    /// Pins that lead to these lines.
    pub fn new(lines: [IrqLine; LINES]) -> Arc<Self> {
        Arc::new(Self {
            lines,
            high: Mutex::default(),
        })
    }

    /// Pin A of the function in a slot.
    pub fn pin_a(self: &Arc<Self>, slot: u8) -> IrqLine {
        IrqLine::new(self.clone(), u32::from(slot) * LINES as u32)
    }
}

/// The line that an input leads to: its slot times four, plus its pin.
pub fn line_of(input: u32) -> usize {
    let lines = LINES as u32;
    ((input / lines + input % lines) % lines) as usize
}

impl IrqSink for Intx {
    fn set(&self, input: u32, level: bool) {
        let mut high = self.high.lock().unwrap_or_else(PoisonError::into_inner);
        let number = line_of(input);
        let (Some(inputs), Some(line), Some(bit)) = (
            high.get_mut(number),
            self.lines.get(number),
            1u128.checked_shl(input),
        ) else {
            return;
        };
        let was = *inputs != 0;
        *inputs = if level { *inputs | bit } else { *inputs & !bit };
        if (*inputs != 0) != was {
            // With the lock held: the line shows the state last computed.
            line.set(!was);
        }
    }
}
