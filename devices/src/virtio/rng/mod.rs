//! Entropy device (Virtio 1.2, section 5.4): the driver offers buffers, and gets them
//! back filled. Where the bytes come from is the [`EntropyPort`]'s affair.

#[cfg(test)]
mod tests;

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::{NeedsReset, Queues, VirtioDevice};

/// The one queue.
const QUEUE: u16 = 0;
const QUEUE_SIZE: u16 = 8;
/// Bytes given for one buffer at most. A driver takes what it gets (5.4.6.1).
pub const FILL_MAX: usize = 4096;

/// Gives random bytes. Called with the device's lock held: it must not block. Under
/// the instruction clock the bytes come from the clock's seed.
pub trait EntropyPort: Send {
    /// Fills `bytes` wholly.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8]) + Send> EntropyPort for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

/// The entropy device. It has no state of its own.
pub struct Rng {
    port: Box<dyn EntropyPort>,
}

impl Rng {
    /// A device that gives what `port` gives.
    pub fn new(port: Box<dyn EntropyPort>) -> Self {
        Self { port }
    }
}

impl VirtioDevice for Rng {
    const NAME: &'static str = "virtio-rng";
    const ID: u32 = super::spec::id::ENTROPY;
    type State = ();
    const VERSION: u8 = 1;

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        if queue != QUEUE {
            return Ok(());
        }
        while let Some(chain) = queues.pop(QUEUE)? {
            let len = chain.writable.len().min(FILL_MAX as u64) as usize;
            let mut bytes = vec![0; len];
            self.port.fill(&mut bytes);
            chain.writable.write(queues.ram(), 0, &bytes)?;
            queues.push(QUEUE, chain.head, len as u32)?;
        }
        Ok(())
    }

    fn queue_stopped(&mut self, _queue: u16) {}

    fn reset(&mut self) {}

    fn state(&self) {
        let Self { port: _ } = self;
    }

    fn set_state(&mut self, (): (), _ram: &Ram) -> Result<(), RestoreError> {
        Ok(())
    }
}
