//! How a driver's notifications come to a device's work: the vCPU that notifies only
//! rings, and the run loop has the work done later.

use isoform_core::Device;

/// Where notifications from the driver go. Called with the device's lock held: it
/// passes the message on, and must not call back.
pub trait Doorbell: Send + Sync {
    /// Queue `queue` may have work: call [`QueueSlot::process`] for it soon.
    fn ring(&self, queue: u16);
}

impl<F: Fn(u16) + Send + Sync> Doorbell for F {
    fn ring(&self, queue: u16) {
        self(queue);
    }
}

/// What the run loop needs of a device with queues, whatever its kind.
pub trait QueueSlot: Device {
    /// Works on `queue`, as the doorbell asked. A queue that does not exist, or has
    /// nothing to do, is no error.
    fn process(&mut self, queue: u16);
}
