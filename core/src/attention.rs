//! How other threads get a running vCPU to stop at its next boundary, and how a
//! vCPU without work sleeps.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

bitflags::bitflags! {
    /// What is asked of a vCPU. Any set bit stops it at a block boundary.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Requests: u32 {
        /// An interrupt line or timer changed: look at the pending interrupts.
        const INTERRUPT = 1 << 0;
        /// Drop all address translations.
        const FLUSH_TLB = 1 << 1;
        /// Forget which code was validated: the architectural instruction fence.
        const FLUSH_CODE = 1 << 2;
        /// Drop write permission for pages that now hold decoded code.
        const DROP_WRITES = 1 << 3;
        /// Return to the run loop (pause, reset, shutdown, firmware calls).
        const STOP = 1 << 4;
        /// Execute one instruction, then return to the run loop.
        const STEP = 1 << 5;
        /// Come out of translated code: its memory is to be used anew.
        const LEAVE = 1 << 6;
    }
}

/// The attention word where nothing is asked. Generated code goes round a loop only while
/// it has at least so many instructions left as the word says: this many are enough for
/// any way ahead, and what is asked stands in the bits above [`MOST_LEFT`].
pub const CALM: u64 = 128;
/// Instructions that generated code may be given at once are fewer.
pub const MOST_LEFT: u64 = 1 << 40;

// The word is compared as a signed number.
const _: () = assert!(Requests::all().bits() < 1 << (62 - MOST_LEFT.ilog2()));

fn word(requests: Requests) -> u64 {
    CALM | u64::from(requests.bits()) << MOST_LEFT.ilog2()
}

fn requests(word: u64) -> Requests {
    Requests::from_bits_truncate((word >> MOST_LEFT.ilog2()) as u32)
}

/// The attention word of one vCPU, and its bed.
#[derive(Debug)]
pub struct Attention {
    word: AtomicU64,
    /// Set while the vCPU runs no guest code: whoever waits for it to have served a
    /// request need not, since requests are served before guest code runs again.
    quiescent: AtomicBool,
    /// Odd while requests are being served: from before they are taken until after.
    serving: AtomicU32,
    asleep: Mutex<bool>,
    wake: Condvar,
}

impl Default for Attention {
    fn default() -> Self {
        Self::new()
    }
}

impl Attention {
    /// Nothing asked, awake, not running guest code.
    pub fn new() -> Self {
        Self {
            word: AtomicU64::new(CALM),
            quiescent: AtomicBool::new(true),
            serving: AtomicU32::new(0),
            asleep: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    fn asked(&self) -> Requests {
        requests(self.word.load(Ordering::SeqCst))
    }

    /// Asks, and wakes the vCPU if it sleeps.
    pub fn raise(&self, asked: Requests) {
        let old = self.word.fetch_or(word(asked), Ordering::SeqCst);
        if !requests(old).contains(asked) {
            let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
            if *asleep {
                self.wake.notify_all();
            }
        }
    }

    /// Whether anything is asked. This is what the hot loop polls.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        // Ordered after `set_quiescent(false)`; on x86 it costs what any load costs.
        self.word.load(Ordering::SeqCst) != CALM
    }

    /// Address of the word, for generated code to poll: 64 bits, [`CALM`] where nothing is
    /// asked.
    pub fn word_address(&self) -> usize {
        self.word.as_ptr() as usize
    }

    /// Whether anything is asked that is more than housekeeping, of which the guest sees
    /// nothing: a vCPU that waits for an interrupt need not go on for that.
    pub fn is_woken(&self) -> bool {
        let housekeeping = Requests::DROP_WRITES | Requests::LEAVE;
        !(self.asked() - housekeeping).is_empty()
    }

    /// Takes what is asked, leaving nothing. Say [`Attention::served`] afterwards.
    pub fn take(&self) -> Requests {
        self.serving.fetch_add(1, Ordering::SeqCst);
        requests(self.word.swap(CALM, Ordering::SeqCst))
    }

    /// Says that the requests taken have been served.
    pub fn served(&self) {
        self.serving.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether requests raised before this call are served, or will be before guest
    /// code runs again.
    pub fn has_served(&self, asked: Requests) -> bool {
        let taken = !self.asked().intersects(asked);
        // Read after the word: what was taken is served once nobody serves.
        let idle = self.serving.load(Ordering::SeqCst).is_multiple_of(2);
        (taken && idle) || self.is_quiescent()
    }

    /// Whether no guest code runs on this vCPU right now.
    pub fn is_quiescent(&self) -> bool {
        self.quiescent.load(Ordering::SeqCst)
    }

    /// Says whether guest code runs. Call with `false` before entering guest code
    /// and look at [`Attention::is_set`] afterwards; with `true` after leaving it.
    pub fn set_quiescent(&self, quiescent: bool) {
        self.quiescent.store(quiescent, Ordering::SeqCst);
    }

    /// Sleeps until something is asked, or for `timeout` at most (`None`: forever).
    pub fn sleep(&self, timeout: Option<Duration>) {
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_set() {
            return;
        }
        *asleep = true;
        // A spurious wake is harmless: the caller looks again.
        let mut asleep = match timeout {
            Some(t) => {
                self.wake
                    .wait_timeout(asleep, t)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self
                .wake
                .wait(asleep)
                .unwrap_or_else(PoisonError::into_inner),
        };
        *asleep = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Instant;

    #[test]
    fn a_request_before_sleep_is_not_lost() {
        let a = Attention::new();
        a.raise(Requests::INTERRUPT);
        a.sleep(None);
        assert_eq!(a.take(), Requests::INTERRUPT);
        assert!(!a.is_set());
    }

    #[test]
    fn a_request_is_served_once_taken_and_done() {
        let a = Attention::new();
        a.raise(Requests::FLUSH_TLB);
        assert!(a.has_served(Requests::FLUSH_TLB), "nothing runs");
        a.set_quiescent(false);
        assert!(!a.has_served(Requests::FLUSH_TLB));
        a.take();
        assert!(!a.has_served(Requests::FLUSH_TLB), "taken, not served");
        a.served();
        assert!(a.has_served(Requests::FLUSH_TLB));
    }

    #[test]
    fn a_request_wakes_a_sleeper() {
        let a = Arc::new(Attention::new());
        let b = a.clone();
        let t = std::thread::spawn(move || {
            while !b.is_set() {
                b.sleep(Some(Duration::from_secs(10)));
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        a.raise(Requests::STOP);
        t.join().expect("the sleeper does not panic");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
