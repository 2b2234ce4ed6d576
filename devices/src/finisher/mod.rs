//! Test finisher: the guest powers off, resets the machine, or ends with a code.
//!
//! It has no state. Every command is passed on; the run loop decides what becomes
//! of it, and in its own time: the writing hart may execute a few more instructions.

pub mod spec;

use isoform_core::{BusFault, Device, RestoreError, Saved, Size};

/// What the guest asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Power off: the work is done.
    Pass,
    /// Power off with this code.
    Fail(u16),
    /// Start again.
    Reset,
}

/// Hears of outcomes. Called with the device's lock held; must not call back.
pub trait OutcomeSink: Send {
    /// The guest asked for this.
    fn finish(&mut self, outcome: Outcome);
}

impl<F: FnMut(Outcome) + Send> OutcomeSink for F {
    fn finish(&mut self, outcome: Outcome) {
        self(outcome);
    }
}

/// The finisher. See the [module documentation](self).
pub struct Finisher {
    sink: Box<dyn OutcomeSink>,
}

impl Finisher {
    /// A finisher that tells `sink`.
    pub fn new(sink: Box<dyn OutcomeSink>) -> Self {
        Self { sink }
    }
}

impl Device for Finisher {
    fn name(&self) -> &'static str {
        "finisher"
    }

    fn read(&mut self, _offset: u64, _size: Size) -> Result<u64, BusFault> {
        Ok(0)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        // A single byte cannot be a command.
        if offset != spec::FINISH || size == Size::B1 {
            return Ok(());
        }
        let value = size.truncate(value);
        match value as u16 {
            spec::PASS => self.sink.finish(Outcome::Pass),
            spec::FAIL => self.sink.finish(Outcome::Fail((value >> 16) as u16)),
            spec::RESET => self.sink.finish(Outcome::Reset),
            _ => {}
        }
        Ok(())
    }

    fn reset(&mut self) {}

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.restore_bytes(bytes)
    }
}

/// The version alone is saved, so that state added later has a place.
impl Saved for Finisher {
    type State = ();
    const NAME: &'static str = "finisher";
    const VERSION: u16 = 1;

    fn state(&self) {
        let Self { sink: _ } = self;
    }

    fn set_state(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::{any_access, transfer};
    use proptest::prelude::*;

    fn outcomes(writes: &[(u64, Size, u64)]) -> Vec<Outcome> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inner = seen.clone();
        let mut finisher = Finisher::new(Box::new(move |o| {
            inner.lock().expect("no test panics with it").push(o);
        }));
        for &(offset, size, value) in writes {
            assert_eq!(finisher.write(offset, size, value), Ok(()));
            assert_eq!(finisher.read(offset, size), Ok(0));
        }
        seen.lock().expect("no test panics with it").clone()
    }

    #[test]
    fn commands_are_passed_on() {
        assert_eq!(
            outcomes(&[
                (0, Size::B4, 0x5555),
                (0, Size::B4, 0x002a_3333),
                (0, Size::B2, 0xdead_7777),
                (0, Size::B8, 0xffff_ffff_ffff_3333),
            ]),
            [
                Outcome::Pass,
                Outcome::Fail(42),
                Outcome::Reset,
                Outcome::Fail(0xffff)
            ]
        );
    }

    #[test]
    fn what_is_no_command_is_ignored() {
        assert_eq!(
            outcomes(&[
                (4, Size::B4, 0x5555),
                (0, Size::B4, 0x1234),
                (0, Size::B1, 0x55)
            ]),
            []
        );
    }

    #[test]
    fn state_survives() {
        let fresh = || Finisher::new(Box::new(|_| {}));
        transfer(&fresh(), &mut fresh());
    }

    proptest! {
        #[test]
        fn garbage_is_harmless(accesses in prop::collection::vec(any_access(0x1000), 0..50)) {
            let mut finisher = Finisher::new(Box::new(|_| {}));
            for access in accesses {
                access.run(&mut finisher);
            }
        }
    }
}
