//! The run loop's end of a character device.

/// Takes what a character device sends, and hears when it can take more.
///
/// All methods are called with the device's lock held: they pass a message on and
/// return, and never call back into the device.
pub trait CharSink: Send {
    /// Takes bytes that the guest sent; how many of them were taken, from the front.
    ///
    /// A device keeps what was not taken and offers it again when the run loop says
    /// that there is room. A sink that must not influence the guest (as under the
    /// instruction clock) takes everything.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// The device can take input again, after it took less than it was offered.
    fn input_room(&mut self) {}

    /// The guest opened or closed its end, where the device can tell.
    fn guest_open(&mut self, open: bool) {
        let _ = open;
    }
}

/// A closure takes everything it is given.
impl<F: FnMut(&[u8]) + Send> CharSink for F {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self(bytes);
        bytes.len()
    }
}
