//! The console device (Virtio 1.2, section 5.3).

use bitflags::bitflags;

bitflags! {
    /// Feature bits (5.3.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// `cols` and `rows` are valid.
        const SIZE = 1 << 0;
        /// More than one port, and control queues.
        const MULTIPORT = 1 << 1;
        /// `emerg_wr` prints before there are queues.
        const EMERG_WRITE = 1 << 2;
    }
}

/// Offset of `emerg_wr` in the configuration space.
pub const EMERG_WR: u64 = 8;

/// Queue of messages to the driver.
pub const CONTROL_RX: u16 = 2;
/// Queue of messages from the driver.
pub const CONTROL_TX: u16 = 3;
/// Bytes of a control message without what follows it.
pub const CONTROL_BYTES: u64 = 8;

/// What control messages say (5.3.6.2).
pub mod event {
    /// Driver: it is ready for messages (value 1).
    pub const DEVICE_READY: u16 = 0;
    /// Device: there is a port.
    pub const PORT_ADD: u16 = 1;
    /// Driver: it is ready to use the port (value 1).
    pub const PORT_READY: u16 = 3;
    /// Device: the port is for a console.
    pub const CONSOLE_PORT: u16 = 4;
    /// Both: this end was opened (value 1) or closed.
    pub const PORT_OPEN: u16 = 6;
    /// Device: the port's name follows.
    pub const PORT_NAME: u16 = 7;
}

/// The receive queue of a port: bytes to the guest (5.3.2).
pub const fn rx_queue(port: u16) -> u16 {
    if port == 0 { 0 } else { 2 * port + 2 }
}

/// The transmit queue of a port: bytes from the guest.
pub const fn tx_queue(port: u16) -> u16 {
    rx_queue(port) + 1
}
