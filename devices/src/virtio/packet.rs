//! What devices have in common that send and receive whole packets: the port that these go
//! to and come from, and how they hear of it.

use super::{NeedsReset, QueueSlot, Queues, Transport, VirtioDevice};

/// Where packets go to and come from. Called with the device's lock held: it must not
/// block or call back.
pub trait PacketPort: Send {
    /// Sends a packet.
    ///
    /// # Errors
    /// There is no room: the packet. [`PacketSlot::look`] is to be called when there is.
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Vec<u8>>;

    /// The next packet for the guest. Where none came, [`PacketSlot::look`] is to be called
    /// when one does.
    fn receive(&mut self) -> Option<Vec<u8>>;
}

/// A device with such a port.
pub trait PacketDevice: VirtioDevice {
    /// The port has packets, or room for them.
    ///
    /// # Errors
    /// The driver broke the rules.
    fn look(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset>;
}

/// What the run loop needs of such a device, whatever its transport.
pub trait PacketSlot: QueueSlot {
    /// The port has packets, or room for them.
    fn look(&mut self);
}

impl<T: Transport<Inner: PacketDevice>> PacketSlot for T {
    fn look(&mut self) {
        self.with(|device, queues| device.look(queues));
    }
}
