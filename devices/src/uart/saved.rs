//! Saved state of the serial port.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::Uart;
use super::spec::{FIFO_DEPTH, Fcr, Ier, Lcr, Mcr, Msr};

/// The guest-visible state of a [`Uart`]: registers as the guest would read them,
/// and the content of both FIFOs, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UartState {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    msr_deltas: u8,
    overrun: bool,
    scratch: u8,
    divisor: u16,
    thre_pending: bool,
    rx: Vec<u8>,
    tx: Vec<u8>,
}

impl Saved for Uart {
    type State = UartState;
    const NAME: &'static str = "uart";
    const VERSION: u16 = 1;

    fn state(&self) -> UartState {
        let Self {
            irq: _,
            output: _,
            input_waits: _,
            listener_awaited: _,
            polls: _,
            ier,
            fcr,
            lcr,
            mcr,
            msr_deltas,
            overrun,
            scratch,
            divisor,
            thre_pending,
            rx,
            tx,
        } = self;
        UartState {
            ier: ier.bits(),
            fcr: fcr.bits(),
            lcr: lcr.bits(),
            mcr: mcr.bits(),
            msr_deltas: msr_deltas.bits(),
            overrun: *overrun,
            scratch: *scratch,
            divisor: *divisor,
            thre_pending: *thre_pending,
            rx: rx.iter().copied().collect(),
            tx: tx.iter().copied().collect(),
        }
    }

    fn set_state(&mut self, state: UartState) -> Result<(), RestoreError> {
        let UartState {
            ier,
            fcr,
            lcr,
            mcr,
            msr_deltas,
            overrun,
            scratch,
            divisor,
            thre_pending,
            rx,
            tx,
        } = state;
        if rx.len() > FIFO_DEPTH || tx.len() > FIFO_DEPTH {
            return Err(RestoreError::Damaged {
                name: Self::NAME,
                reason: format!("a FIFO holds more than {FIFO_DEPTH} bytes"),
            });
        }
        self.ier = Ier::from_bits_truncate(ier);
        self.fcr = Fcr::from_bits_truncate(fcr) - (Fcr::CLEAR_RX | Fcr::CLEAR_TX);
        self.lcr = Lcr::from_bits_retain(lcr);
        self.mcr = Mcr::from_bits_truncate(mcr);
        self.msr_deltas = Msr::from_bits_truncate(msr_deltas & 0x0f);
        self.overrun = overrun;
        self.scratch = scratch;
        self.divisor = divisor;
        self.thre_pending = thre_pending;
        self.rx = rx.into();
        self.tx = tx.into();
        self.input_waits = true;
        self.tell_room();
        self.sync();
        Ok(())
    }
}
