//! Memory balloon (Virtio 1.2, section 5.5): the driver says which pages it does not
//! use, and their memory goes back to the host. They read as zero from then on, and are
//! there again as soon as somebody touches them.
//!
//! Pages come in two ways. The host asks for a size of the balloon (`num_pages`), and the
//! driver inflates or deflates it; and the driver reports what is free by itself, and takes
//! it back without a word. Any page of RAM may be named, in use or not, many times: that
//! is a write of zeroes, which hurts nobody but the guest. Each call works on one chain,
//! and on no more of it than [`PFNS_MAX`] or [`REPORT_MAX`]: giving memory back is a
//! favour, and what a longer chain names just stays.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::chain::Chain;
use super::{NeedsReset, QueueSlot, Queues, Transport, VirtioDevice};
use spec::{ACTUAL, CONFIG_BYTES, Features, PAGE_BYTES, PFN_BYTES, POISON_VAL};

pub use saved::BalloonState;

const INFLATE: u16 = 0;
const DEFLATE: u16 = 1;
/// The specification gives reports queue 4, behind those of features that are not
/// offered; drivers (Linux's among them) leave no gaps, and use queue 2. None of the
/// three can be anything else.
const REPORTING: std::ops::RangeInclusive<u16> = 2..=4;
const QUEUE_SIZE: u16 = 128;

/// Numbers of pages that one chain may bring: Linux has 256.
pub const PFNS_MAX: usize = 1024;
/// Bytes that one chain may report: twice of what Linux does.
pub const REPORT_MAX: u64 = 256 << 20;

/// The memory balloon. See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Balloon {
    // --- guest-visible state
    /// Pages that the balloon is to have.
    num_pages: u32,
    /// That it has, as the driver says.
    actual: u32,
    /// What the driver fills free pages with.
    poison_val: u32,
}

impl Balloon {
    /// Pages in the balloon, as the driver says.
    pub fn actual(&self) -> u32 {
        self.actual
    }

    /// Takes the pages that a chain lists.
    fn inflate(&self, ram: &Ram, chain: &Chain) -> Result<(), NeedsReset> {
        let listed = chain.readable.len() / PFN_BYTES as u64;
        let mut bytes = vec![0; listed.min(PFNS_MAX as u64) as usize * PFN_BYTES];
        chain.readable.read(ram, 0, &mut bytes)?;
        let (numbers, _) = bytes.as_chunks::<PFN_BYTES>();
        let mut pfns: Vec<u32> = numbers.iter().map(|b| u32::from_le_bytes(*b)).collect();
        pfns.sort_unstable();
        pfns.dedup();
        for run in pfns.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            if let [first, ..] = run {
                give_back(
                    ram,
                    u64::from(*first) * PAGE_BYTES,
                    run.len() as u64 * PAGE_BYTES,
                );
            }
        }
        Ok(())
    }

    /// Takes the pages that are a chain's buffers, those that lie in them wholly.
    fn report(&self, ram: &Ram, chain: &Chain) {
        let mut left = REPORT_MAX;
        for (addr, len) in chain.writable.ranges() {
            let start = addr.next_multiple_of(PAGE_BYTES);
            let end = (addr + len) / PAGE_BYTES * PAGE_BYTES;
            let taken = end.saturating_sub(start).min(left);
            left -= taken;
            give_back(ram, start, taken);
        }
    }

    /// Whether free pages may become zero: the driver has to find in them what it filled
    /// them with (5.5.6.5).
    fn may_zero(&self, queues: &Queues<'_>) -> bool {
        self.poison_val == 0 || !queues.has(Features::PAGE_POISON.bits())
    }
}

/// Gives pages back to the host. Those outside of RAM have nothing to give; where the
/// host refuses, they stay as they are.
fn give_back(ram: &Ram, gpa: u64, bytes: u64) {
    let _ = ram.discard(gpa, bytes);
}

/// What the run loop needs of a balloon, whatever its transport.
pub trait BalloonSlot: QueueSlot {
    /// Asks the driver for a balloon of so many pages.
    fn ask(&mut self, pages: u32);
}

impl<T: Transport<Inner = Balloon>> BalloonSlot for T {
    fn ask(&mut self, pages: u32) {
        self.with(|balloon, _| {
            balloon.num_pages = pages;
            Ok(())
        });
        self.config_changed();
    }
}

impl VirtioDevice for Balloon {
    const NAME: &'static str = "virtio-balloon";
    const ID: u32 = super::spec::id::BALLOON;
    type State = BalloonState;
    const VERSION: u8 = 1;

    fn features(&self) -> u64 {
        (Features::DEFLATE_ON_OOM | Features::PAGE_POISON | Features::REPORTING).bits()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; usize::from(*REPORTING.end()) + 1]
    }

    /// `struct virtio_balloon_config` (5.5.4). `free_page_hint_cmd_id` is always 0.
    fn config(&self) -> Vec<u8> {
        let words = [self.num_pages, self.actual, 0, self.poison_val];
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    fn write_config(&mut self, offset: u64, bytes: &[u8]) {
        let mut config: [u8; CONFIG_BYTES] = self.config().try_into().unwrap_or_default();
        let at = usize::try_from(offset).unwrap_or(CONFIG_BYTES);
        for (to, from) in config.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
        let word = |at: usize| {
            let bytes = config.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |word| u32::from_le_bytes(*word))
        };
        (self.actual, self.poison_val) = (word(ACTUAL), word(POISON_VAL));
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        let Some(chain) = queues.pop(queue)? else {
            return Ok(());
        };
        match queue {
            INFLATE => self.inflate(queues.ram(), &chain)?,
            // The pages come back when they are touched.
            DEFLATE => {}
            queue if REPORTING.contains(&queue) && self.may_zero(queues) => {
                self.report(queues.ram(), &chain);
            }
            _ => {}
        }
        queues.push(queue, chain.head, 0)?;
        queues.again(queue);
        Ok(())
    }

    fn queue_stopped(&mut self, _queue: u16) {}

    /// What the host asks for outlives a reset.
    fn reset(&mut self) {
        (self.actual, self.poison_val) = (0, 0);
    }

    fn state(&self) -> BalloonState {
        self.saved()
    }

    fn set_state(&mut self, state: BalloonState, _ram: &Ram) -> Result<(), RestoreError> {
        self.put_back(state);
        Ok(())
    }
}
