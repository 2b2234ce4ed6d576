//! 16550A serial port, as firmware, boot loaders and kernels expect it on QEMU's
//! `virt` board: registers one byte apart, no baud rate.
//!
//! A character is sent the moment it is written. One that the sink does not take
//! waits in the transmitter FIFO, and shows in LSR as on a slow line.
//!
//! The character time-out is taken to have passed at once: characters below the
//! trigger level raise it as soon as they are there. Rejected: a timer of four
//! character times, which would make input latency depend on a baud rate that
//! nothing else honours.
//!
//! Not modelled: parity, framing and break conditions, which the run loop's byte
//! stream cannot carry.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use isoform_core::{BusFault, Device, IrqLine, RestoreError, Saved, Size};

use crate::CharSink;
use spec::{FIFO_DEPTH, Fcr, Ier, Lcr, Lsr, Mcr, Msr, iir};

pub use saved::UartState;

/// LSR reads in a row by which a guest that polls for input is recognised: one that
/// polls to send is satisfied by the first that finds the transmitter empty.
const LISTENING_POLLS: u8 = 16;

/// The serial port. See the [module documentation](self).
pub struct Uart {
    // --- connections
    irq: IrqLine,
    output: Box<dyn CharSink>,
    /// Input was refused; the sink is told when there is room. Saved state does not
    /// hold it: after a restore the sink is told once too often instead.
    input_waits: bool,
    /// The sender waits for a listener (see [`Uart::await_listener`]); not saved, as
    /// above.
    listener_awaited: bool,
    /// LSR was read this often in a row, nothing being sent or to be sent: not saved, since a guest
    /// that polls goes on to do so.
    polls: u8,

    // --- guest-visible state
    ier: Ier,
    fcr: Fcr,
    lcr: Lcr,
    mcr: Mcr,
    /// The changes seen since MSR was read; its levels are computed.
    msr_deltas: Msr,
    overrun: bool,
    scratch: u8,
    divisor: u16,
    /// The THRE interrupt, which reading IIR clears while the FIFO stays empty.
    thre_pending: bool,
    rx: VecDeque<u8>,
    tx: VecDeque<u8>,
}

impl Uart {
    /// A port after power-on, sending to `output`, interrupting on `irq`.
    pub fn new(irq: IrqLine, output: Box<dyn CharSink>) -> Self {
        Self {
            irq,
            output,
            input_waits: false,
            listener_awaited: false,
            polls: 0,
            ier: Ier::empty(),
            fcr: Fcr::empty(),
            lcr: Lcr::empty(),
            mcr: Mcr::empty(),
            msr_deltas: Msr::empty(),
            overrun: false,
            scratch: 0,
            divisor: 0,
            thre_pending: false,
            rx: VecDeque::with_capacity(FIFO_DEPTH),
            tx: VecDeque::with_capacity(FIFO_DEPTH),
        }
    }

    /// Characters arrive on the line; how many were taken. The rest stays with the
    /// caller, who hears of room by [`CharSink::input_room`].
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let room = match self.mcr.contains(Mcr::LOOP) {
            // The serial input is disconnected (8.6.8, bit 4).
            true => 0,
            false => self.depth().saturating_sub(self.rx.len()),
        };
        let taken = room.min(bytes.len());
        self.rx.extend(&bytes[..taken]);
        self.input_waits = taken < bytes.len();
        self.sync();
        taken
    }

    /// Whether the guest takes input: it has enabled the interrupt for it, or polls the
    /// line status over and over without sending.
    ///
    /// Drivers clear the receiver while they set the port up. A sender that knows the
    /// beginning of its text to matter waits until this holds, as a person would.
    pub fn is_listening(&self) -> bool {
        self.ier.contains(Ier::ERBFI) || self.polls == LISTENING_POLLS
    }

    /// Asks for [`CharSink::input_room`] once the guest takes input.
    pub fn await_listener(&mut self) {
        self.listener_awaited = true;
        self.greet_listener();
    }

    fn greet_listener(&mut self) {
        if self.listener_awaited && self.is_listening() {
            self.listener_awaited = false;
            self.output.input_room();
        }
    }

    /// Whether a character written now would be sent, at once or later.
    pub fn has_room(&self) -> bool {
        self.tx.len() < self.depth()
    }

    /// The sink has room again: sends what waits.
    pub fn output_room(&mut self) {
        self.transmit();
        self.sync();
    }

    /// Characters that either side holds at most: 16, or 1 with the FIFOs off.
    fn depth(&self) -> usize {
        match self.fcr.contains(Fcr::ENABLE) {
            true => FIFO_DEPTH,
            false => 1,
        }
    }

    /// Offers what the transmitter holds to the sink.
    fn transmit(&mut self) {
        if self.tx.is_empty() {
            return;
        }
        let taken = self.output.write(self.tx.make_contiguous());
        self.tx.drain(..taken.min(self.tx.len()));
        if self.tx.is_empty() {
            self.thre_pending = true;
        }
    }

    fn write_thr(&mut self, byte: u8) {
        self.polls = 0;
        self.thre_pending = false;
        if self.mcr.contains(Mcr::LOOP) {
            if self.rx.len() < self.depth() {
                self.rx.push_back(byte);
            } else {
                self.overrun = true;
            }
            self.thre_pending = self.tx.is_empty();
            return;
        }
        // A full transmitter loses the character, as the hardware does.
        if self.has_room() {
            self.tx.push_back(byte);
        }
        self.transmit();
    }

    fn read_rbr(&mut self) -> u8 {
        let byte = self.rx.pop_front().unwrap_or(0);
        self.tell_room();
        byte
    }

    /// Says that input is welcome, if some was refused. Only an empty receiver says
    /// so: the run loop then delivers FIFOs, not single characters.
    fn tell_room(&mut self) {
        if self.input_waits && self.rx.is_empty() && !self.mcr.contains(Mcr::LOOP) {
            self.input_waits = false;
            self.output.input_room();
        }
    }

    fn write_ier(&mut self, value: u8) {
        let old = self.ier;
        self.ier = Ier::from_bits_truncate(value);
        self.greet_listener();
        // Enabling the interrupt with the transmitter empty raises it at once:
        // drivers prime their transmission that way.
        if (self.ier - old).contains(Ier::ETBEI) && self.tx.is_empty() {
            self.thre_pending = true;
        }
    }

    fn write_fcr(&mut self, value: u8) {
        let new = match value & Fcr::ENABLE.bits() {
            0 => Fcr::empty(),
            _ => Fcr::from_bits_truncate(value),
        };
        // Turning the FIFOs on or off clears them (8.6.4, bit 0).
        let toggled = (new ^ self.fcr).contains(Fcr::ENABLE);
        if toggled || new.contains(Fcr::CLEAR_RX) {
            self.rx.clear();
        }
        if toggled || new.contains(Fcr::CLEAR_TX) {
            self.tx.clear();
            self.thre_pending = true;
        }
        self.fcr = new - (Fcr::CLEAR_RX | Fcr::CLEAR_TX);
        self.tell_room();
    }

    fn write_mcr(&mut self, value: u8) {
        let before = self.modem_levels();
        self.mcr = Mcr::from_bits_truncate(value);
        let after = self.modem_levels();
        let changed = before ^ after;
        self.msr_deltas
            .set(Msr::DCTS, self.delta(Msr::DCTS, changed, Msr::CTS));
        self.msr_deltas
            .set(Msr::DDSR, self.delta(Msr::DDSR, changed, Msr::DSR));
        self.msr_deltas
            .set(Msr::DDCD, self.delta(Msr::DDCD, changed, Msr::DCD));
        // Only the trailing edge of RI counts.
        let fell = before - after;
        self.msr_deltas
            .set(Msr::TERI, self.delta(Msr::TERI, fell, Msr::RI));
        self.tell_room();
    }

    fn delta(&self, delta: Msr, changed: Msr, level: Msr) -> bool {
        self.msr_deltas.contains(delta) || changed.contains(level)
    }

    /// The modem inputs: a peer that is always there, or in loopback the outputs.
    fn modem_levels(&self) -> Msr {
        if !self.mcr.contains(Mcr::LOOP) {
            return Msr::CTS | Msr::DSR | Msr::DCD;
        }
        let mut levels = Msr::empty();
        levels.set(Msr::CTS, self.mcr.contains(Mcr::RTS));
        levels.set(Msr::DSR, self.mcr.contains(Mcr::DTR));
        levels.set(Msr::RI, self.mcr.contains(Mcr::OUT1));
        levels.set(Msr::DCD, self.mcr.contains(Mcr::OUT2));
        levels
    }

    fn lsr(&self) -> Lsr {
        let mut lsr = Lsr::empty();
        lsr.set(Lsr::DR, !self.rx.is_empty());
        lsr.set(Lsr::OE, self.overrun);
        lsr.set(Lsr::THRE | Lsr::TEMT, self.tx.is_empty());
        lsr
    }

    /// The pending interrupt of the highest priority (8.6.5, table IV).
    fn pending(&self) -> u8 {
        if self.ier.contains(Ier::ELSI) && self.overrun {
            iir::LINE
        } else if self.ier.contains(Ier::ERBFI) && !self.rx.is_empty() {
            match self.fcr.contains(Fcr::ENABLE) && self.rx.len() < self.fcr.trigger_level() {
                true => iir::TIMEOUT,
                false => iir::DATA,
            }
        } else if self.ier.contains(Ier::ETBEI) && self.thre_pending {
            iir::THRE
        } else if self.ier.contains(Ier::EDSSI) && !self.msr_deltas.is_empty() {
            iir::MODEM
        } else {
            iir::NONE
        }
    }

    fn read_iir(&mut self) -> u8 {
        let pending = self.pending();
        // Reading clears this one source only, and only when it is the one reported.
        if pending == iir::THRE {
            self.thre_pending = false;
        }
        match self.fcr.contains(Fcr::ENABLE) {
            true => pending | iir::FIFOS_ON,
            false => pending,
        }
    }

    /// Computes the interrupt line from state.
    fn sync(&self) {
        self.irq.set(self.pending() != iir::NONE);
    }

    fn read_register(&mut self, offset: u64) -> Result<u8, BusFault> {
        let dlab = self.lcr.contains(Lcr::DLAB);
        let [dll, dlm] = self.divisor.to_le_bytes();
        Ok(match offset {
            spec::RBR_THR_DLL if dlab => dll,
            spec::RBR_THR_DLL => self.read_rbr(),
            spec::IER_DLM if dlab => dlm,
            spec::IER_DLM => self.ier.bits(),
            spec::IIR_FCR => self.read_iir(),
            spec::LCR => self.lcr.bits(),
            spec::MCR => self.mcr.bits(),
            spec::LSR => {
                let lsr = self.lsr();
                self.overrun = false;
                if self.tx.is_empty() {
                    self.polls = (self.polls + 1).min(LISTENING_POLLS);
                }
                self.greet_listener();
                lsr.bits()
            }
            spec::MSR => {
                let msr = self.modem_levels() | self.msr_deltas;
                self.msr_deltas = Msr::empty();
                msr.bits()
            }
            spec::SCR => self.scratch,
            _ => return Err(BusFault),
        })
    }

    fn write_register(&mut self, offset: u64, value: u8) -> Result<(), BusFault> {
        let dlab = self.lcr.contains(Lcr::DLAB);
        let [dll, dlm] = self.divisor.to_le_bytes();
        match offset {
            spec::RBR_THR_DLL if dlab => self.divisor = u16::from_le_bytes([value, dlm]),
            spec::RBR_THR_DLL => self.write_thr(value),
            spec::IER_DLM if dlab => self.divisor = u16::from_le_bytes([dll, value]),
            spec::IER_DLM => self.write_ier(value),
            spec::IIR_FCR => self.write_fcr(value),
            spec::LCR => self.lcr = Lcr::from_bits_retain(value),
            spec::MCR => self.write_mcr(value),
            // Factory test only (8.6.3), and read-only (8.6.9).
            spec::LSR | spec::MSR => {}
            spec::SCR => self.scratch = value,
            _ => return Err(BusFault),
        }
        Ok(())
    }
}

impl Device for Uart {
    fn name(&self) -> &'static str {
        "uart"
    }

    /// Any size reads the one register at the offset, zero-extended.
    fn read(&mut self, offset: u64, _size: Size) -> Result<u64, BusFault> {
        let value = self.read_register(offset)?;
        self.sync();
        Ok(u64::from(value))
    }

    /// Any size writes the one register at the offset, with the low byte.
    fn write(&mut self, offset: u64, _size: Size, value: u64) -> Result<(), BusFault> {
        self.write_register(offset, value as u8)?;
        self.sync();
        Ok(())
    }

    fn reset(&mut self) {
        self.ier = Ier::empty();
        self.fcr = Fcr::empty();
        self.lcr = Lcr::empty();
        self.mcr = Mcr::empty();
        self.msr_deltas = Msr::empty();
        self.overrun = false;
        self.scratch = 0;
        self.divisor = 0;
        self.thre_pending = false;
        self.rx.clear();
        self.tx.clear();
        self.polls = 0;
        self.tell_room();
        self.sync();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}
