//! Registers of the 16550A (National Semiconductor PC16550D data sheet, section 8).

use bitflags::bitflags;

/// Receiver buffer (read), transmitter holding (write); divisor low with DLAB.
pub const RBR_THR_DLL: u64 = 0;
/// Interrupt enable; divisor high with DLAB.
pub const IER_DLM: u64 = 1;
/// Interrupt identification (read), FIFO control (write).
pub const IIR_FCR: u64 = 2;
/// Line control.
pub const LCR: u64 = 3;
/// Modem control.
pub const MCR: u64 = 4;
/// Line status.
pub const LSR: u64 = 5;
/// Modem status.
pub const MSR: u64 = 6;
/// Scratch.
pub const SCR: u64 = 7;

/// Depth of either FIFO in bytes.
pub const FIFO_DEPTH: usize = 16;

bitflags! {
    /// Interrupt enable register (8.6.7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ier: u8 {
        /// Received data available, and the time-out in FIFO mode.
        const ERBFI = 1 << 0;
        /// Transmitter holding register empty.
        const ETBEI = 1 << 1;
        /// Receiver line status.
        const ELSI = 1 << 2;
        /// Modem status.
        const EDSSI = 1 << 3;
    }

    /// FIFO control register (8.6.4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Fcr: u8 {
        /// Both FIFOs on. The other bits count only while this one is written as 1.
        const ENABLE = 1 << 0;
        /// Clears the receiver FIFO; clears itself.
        const CLEAR_RX = 1 << 1;
        /// Clears the transmitter FIFO; clears itself.
        const CLEAR_TX = 1 << 2;
        /// DMA mode, without effect here: the pins it drives lead nowhere.
        const DMA = 1 << 3;
        /// Receiver trigger level, two bits.
        const TRIGGER = 3 << 6;
    }

    /// Line control register (8.6.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Lcr: u8 {
        /// Word length, stop bits, parity and break: kept, without effect.
        const FORMAT = 0x7f;
        /// Divisor latch access.
        const DLAB = 1 << 7;
    }

    /// Modem control register (8.6.8).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mcr: u8 {
        /// Data terminal ready.
        const DTR = 1 << 0;
        /// Request to send.
        const RTS = 1 << 1;
        /// Auxiliary output 1.
        const OUT1 = 1 << 2;
        /// Auxiliary output 2.
        const OUT2 = 1 << 3;
        /// Local loopback.
        const LOOP = 1 << 4;
    }

    /// Line status register (8.6.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Lsr: u8 {
        /// Data ready.
        const DR = 1 << 0;
        /// Overrun: a character was lost.
        const OE = 1 << 1;
        /// Transmitter holding register (or FIFO) empty.
        const THRE = 1 << 5;
        /// Transmitter wholly empty.
        const TEMT = 1 << 6;
    }

    /// Modem status register (8.6.9).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Msr: u8 {
        /// CTS changed since the last read.
        const DCTS = 1 << 0;
        /// DSR changed.
        const DDSR = 1 << 1;
        /// RI went from on to off.
        const TERI = 1 << 2;
        /// DCD changed.
        const DDCD = 1 << 3;
        /// Clear to send.
        const CTS = 1 << 4;
        /// Data set ready.
        const DSR = 1 << 5;
        /// Ring indicator.
        const RI = 1 << 6;
        /// Data carrier detect.
        const DCD = 1 << 7;
    }
}

impl Fcr {
    /// Bytes in the receiver FIFO that make received data "available".
    pub fn trigger_level(self) -> usize {
        match (self & Self::TRIGGER).bits() >> 6 {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        }
    }
}

/// Interrupt identification (8.6.5), from the lowest priority to the highest.
pub mod iir {
    /// No interrupt is pending.
    pub const NONE: u8 = 0x01;
    /// Modem status.
    pub const MODEM: u8 = 0x00;
    /// Transmitter holding register empty.
    pub const THRE: u8 = 0x02;
    /// Characters below the trigger level have waited.
    pub const TIMEOUT: u8 = 0x0c;
    /// Received data available.
    pub const DATA: u8 = 0x04;
    /// Receiver line status.
    pub const LINE: u8 = 0x06;
    /// Set, both, while the FIFOs are on.
    pub const FIFOS_ON: u8 = 0xc0;
}
