//! Host-target interface: how bare-metal test programs end and print.
//!
//! Two words in RAM, `tohost` and `fromhost`, whose addresses come from the
//! program's symbols. It is no device on the bus: the run loop calls [`Htif::poll`]
//! after `tohost` may have been written, and acts on the event.
//!
//! Commands known: exit, the console's read and write, and of the proxied system
//! calls `write` to descriptors 1 and 2, and `exit`. Others answer "not implemented".

pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use isoform_core::{RestoreError, Saved, Size};
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};

use spec::Word;

/// Bytes that one `write` passes on at most; a longer one is answered as short.
pub const WRITE_MAX: u64 = 64 << 10;
/// Answers kept for a program that does not take them.
const ANSWERS_MAX: usize = 16;

/// What the program asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HtifEvent {
    /// It ended with this code; 0 is success.
    Exit(u64),
    /// It printed these bytes, 65536 at most.
    Output(Vec<u8>),
    /// It reads a character: [`Htif::receive`] takes one.
    Read,
}

/// The interface. See the [module documentation](self).
#[derive(Debug)]
pub struct Htif {
    // --- fixed configuration
    tohost: u64,
    fromhost: Option<u64>,

    // --- state
    /// Answers that wait until the program has taken the one before.
    answers: VecDeque<Word>,
    /// A console read that waits for input. After a restore it is to be offered some.
    reading: Option<Word>,
}

impl Htif {
    /// An interface at the guest-physical addresses of the symbols `tohost` and, if
    /// the program has it, `fromhost`. Both must be 8-byte aligned in RAM to work.
    pub fn new(tohost: u64, fromhost: Option<u64>) -> Self {
        Self {
            tohost,
            fromhost,
            answers: VecDeque::new(),
            reading: None,
        }
    }

    /// Guest-physical address of `tohost`.
    pub fn tohost(&self) -> u64 {
        self.tohost
    }

    /// Characters typed at the console; how many were taken: one, for a read that
    /// waits. The rest stays with the caller, as the program may listen elsewhere next.
    pub fn receive(&mut self, ram: &Ram, bytes: &[u8]) -> usize {
        let Some((&byte, _)) = bytes.split_first() else {
            return 0;
        };
        let Some(word) = self.reading.take() else {
            return 0;
        };
        self.answer(word.answer(spec::CONSOLE_HAS_INPUT | u64::from(byte)));
        self.deliver(ram);
        1
    }

    /// Serves the command in `tohost`, if there is one, and delivers answers. At most
    /// one command a call: the program cannot keep the caller here.
    pub fn poll(&mut self, ram: &Ram) -> Option<HtifEvent> {
        let event = self.serve(ram);
        self.deliver(ram);
        event
    }

    fn serve(&mut self, ram: &Ram) -> Option<HtifEvent> {
        let word = Word(ram.load(self.tohost, Size::B8)?);
        if word.0 == 0 {
            return None;
        }
        // Taken before it is served, and only if it is still the one looked at.
        if ram.compare_exchange(self.tohost, Size::B8, word.0, 0)? != word.0 {
            return None;
        }
        match (word.device(), word.command()) {
            (spec::DEVICE_SYSCALL, 0) if word.payload() & 1 != 0 => {
                Some(HtifEvent::Exit(word.payload() >> 1))
            }
            (spec::DEVICE_SYSCALL, 0) => self.system_call(ram, word),
            (spec::DEVICE_CONSOLE, spec::CONSOLE_WRITE) => {
                Some(HtifEvent::Output(vec![word.payload() as u8]))
            }
            (spec::DEVICE_CONSOLE, spec::CONSOLE_READ) => {
                self.reading = Some(word);
                Some(HtifEvent::Read)
            }
            _ => None,
        }
    }

    /// The payload is the address of eight words: the call's number and arguments,
    /// and its result in place of the number.
    fn system_call(&mut self, ram: &Ram, word: Word) -> Option<HtifEvent> {
        let block = word.payload();
        let mut args = [0; 4];
        for (at, arg) in (block..).step_by(8).zip(&mut args) {
            *arg = ram.load(at, Size::B8)?;
        }
        let [number, a0, a1, a2] = args;
        let (result, event) = match number {
            spec::SYS_EXIT => return Some(HtifEvent::Exit(a0)),
            spec::SYS_WRITE if matches!(a0, 1 | 2) => {
                let mut bytes = vec![0; a2.min(WRITE_MAX) as usize];
                match ram.read(a1, &mut bytes) {
                    Some(()) => (bytes.len() as u64, Some(HtifEvent::Output(bytes))),
                    None => (spec::EFAULT, None),
                }
            }
            spec::SYS_WRITE => (spec::EBADF, None),
            _ => (spec::ENOSYS, None),
        };
        ram.store(block, Size::B8, result)?;
        self.answer(word.answer(1));
        event
    }

    /// Queues an answer. A program that never takes them cannot make them pile up.
    fn answer(&mut self, word: Word) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back(word);
        }
    }

    fn deliver(&mut self, ram: &Ram) {
        if let Some(fromhost) = self.fromhost
            && let Some(&word) = self.answers.front()
            && ram.compare_exchange(fromhost, Size::B8, 0, word.0) == Some(0)
        {
            self.answers.pop_front();
        }
    }
}

/// The state of an [`Htif`] outside of RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HtifState {
    answers: Vec<u64>,
    reading: Option<u64>,
}

impl Saved for Htif {
    type State = HtifState;
    const NAME: &'static str = "htif";
    const VERSION: u16 = 1;

    fn state(&self) -> HtifState {
        let Self {
            tohost: _,
            fromhost: _,
            answers,
            reading,
        } = self;
        HtifState {
            answers: answers.iter().map(|w| w.0).collect(),
            reading: reading.map(|w| w.0),
        }
    }

    fn set_state(&mut self, state: HtifState) -> Result<(), RestoreError> {
        let HtifState { answers, reading } = state;
        self.answers = answers.into_iter().take(ANSWERS_MAX).map(Word).collect();
        self.reading = reading.map(Word);
        Ok(())
    }
}
