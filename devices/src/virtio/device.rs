//! What a virtio device is to its transport, and the transport to the device.

use isoform_core::RestoreError;
use isoform_memory::Ram;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::chain::Chain;
use super::queue::VirtQueue;

/// The driver broke the rules: DEVICE_NEEDS_RESET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsReset;

/// A kind of virtio device, without its transport.
///
/// It works on its queues only when called, and keeps no reference to them.
pub trait VirtioDevice: Send {
    /// The name people know it by: `virtio-blk`.
    const NAME: &'static str;
    /// What the driver recognises it by (5).
    const ID: u32;
    /// The plain form of its state.
    type State: Serialize + DeserializeOwned;
    /// Raised whenever `State` changes its shape; at most 255.
    const VERSION: u8;

    /// The device's own feature bits, 0 to 23.
    fn features(&self) -> u64;

    /// The largest size of each queue: powers of two.
    fn queue_sizes(&self) -> Vec<u16>;

    /// The configuration space. Beyond its end reads give zero.
    fn config(&self) -> Vec<u8>;

    /// The driver wrote the configuration space.
    fn write_config(&mut self, offset: u64, bytes: &[u8]) {
        let _ = (offset, bytes);
    }

    /// The driver notified `queue`, or the run loop asks to look at it again.
    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset>;

    /// A queue went out of use: its chains must not be given back any more.
    fn queue_stopped(&mut self, queue: u16);

    /// Back to the state after power-on.
    fn reset(&mut self);

    /// The state now.
    fn state(&self) -> Self::State;

    /// Puts a state back, checking all that a hostile file could have wrong. Queues
    /// in use are processed once afterwards; work in flight is taken up again then.
    fn set_state(&mut self, state: Self::State, ram: &Ram) -> Result<(), RestoreError>;
}

/// Chains that one call may take: more wait for another call, so that a driver that
/// keeps adding cannot keep the caller.
const BUDGET: u32 = 1024;

/// A device's queues, while it works on them.
pub struct Queues<'a> {
    ram: &'a Ram,
    queues: &'a mut [VirtQueue],
    features: u64,
    /// The device is live: set up by its driver, and not in need of a reset.
    live: bool,
    budget: u32,
    /// Queues to be processed again soon.
    again: Vec<u16>,
}

impl<'a> Queues<'a> {
    pub(super) fn new(
        ram: &'a Ram,
        queues: &'a mut [VirtQueue],
        features: u64,
        live: bool,
    ) -> Self {
        Self {
            ram,
            queues,
            features,
            live,
            budget: BUDGET,
            again: Vec::new(),
        }
    }

    /// Guest memory.
    pub fn ram(&self) -> &'a Ram {
        self.ram
    }

    /// Whether the driver has accepted all of these feature bits.
    pub fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// Whether the device may touch its queues.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The next chain of a queue, if there is one.
    pub fn pop(&mut self, queue: u16) -> Result<Option<Chain>, NeedsReset> {
        if !self.live {
            return Ok(None);
        }
        if self.budget == 0 {
            self.again(queue);
            return Ok(None);
        }
        self.budget -= 1;
        match self.queues.get_mut(usize::from(queue)) {
            Some(q) => q.pop(self.ram),
            None => Ok(None),
        }
    }

    /// Gives a chain back, the first `len` bytes of its writable part written.
    pub fn push(&mut self, queue: u16, head: u16, len: u32) -> Result<(), NeedsReset> {
        self.push_all(queue, &[(head, len)])
    }

    /// Gives chains back as [`Queues::push`] does, which the driver sees all at once.
    pub fn push_all(&mut self, queue: u16, chains: &[(u16, u32)]) -> Result<(), NeedsReset> {
        match self.queues.get_mut(usize::from(queue)) {
            Some(q) if self.live => q.push(self.ram, chains),
            _ => Ok(()),
        }
    }

    /// Asks for `queue` to be processed again, once others had their turn.
    pub fn again(&mut self, queue: u16) {
        if !self.again.contains(&queue) {
            self.again.push(queue);
        }
    }

    pub(super) fn take_again(self) -> Vec<u16> {
        self.again
    }
}
