//! What a device is to the bus.
//!
//! A device is a deterministic function of its inputs: register accesses, time
//! from its [`Clock`](crate::Clock), bytes and completions delivered by the run
//! loop. It never touches host time, randomness, files or sockets.

use crate::ops::Size;
use crate::saved::RestoreError;

/// The access is not answered: the guest takes an access fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusFault;

/// A device with memory-mapped registers.
///
/// Offsets are relative to the start of the device's window and lie inside it. The
/// bus passes accesses of 1 to 8 bytes, naturally aligned, as the guest made them; a
/// device decides which sizes it answers.
pub trait Device: Send {
    /// The name people know it by: `uart`, `virtio-blk`.
    fn name(&self) -> &'static str;

    /// Reads `size` at `offset`; bits above the size are ignored.
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault>;

    /// Writes the low `size` of `value` at `offset`.
    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault>;

    /// Back to the state after power-on. Lines are lowered.
    fn reset(&mut self);

    /// Looks at the clock: called at the deadline that [`Device::deadline`] named, and
    /// maybe at other times.
    fn expire(&mut self) {}

    /// When the device wants [`Device::expire`], in clock nanoseconds.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// The device's state, versioned (see [`Saved`](crate::Saved)).
    fn save(&self) -> Vec<u8>;

    /// Puts back what [`Device::save`] gave. On error the device is as after reset.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError>;
}
