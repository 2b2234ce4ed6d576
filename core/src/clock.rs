//! Time as the machine sees it.

/// A clock of the machine. Devices and vCPUs know no other.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the machine was started. Never goes back.
    fn now(&self) -> u64;

    /// Seconds since the Unix epoch at which the machine was started: what a
    /// real-time clock adds to [`Clock::now`]. Fixed under the instruction clock.
    fn epoch(&self) -> u64;

    /// A vCPU has executed instructions. Moves the instruction clock, and no other.
    fn advance(&self, instructions: u64) {
        let _ = instructions;
    }
}
