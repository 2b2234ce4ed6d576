//! One machine in two forms, side by side, to the first instruction that they do not
//! execute the same.
//!
//! Both run under the instruction clock, so that each is the same run every time.
//! [`compare`] lets them run in pieces and compares what they came to (`side`). Where
//! that differs it starts both anew and halves the piece until it knows the instruction
//! (`search`), and tells of it (`part`, `registers`).
//!
//! A form that executes several instructions at once cannot be looked at between them.
//! So two numbers are found: after how many instructions the difference is *seen*, and
//! after how many, at most, the second machine may stop and still come to differ. The
//! instruction that follows is where the wrong piece begins: the culprit itself where
//! code can be entered at any instruction, as it can by [`Way::Eager`].

mod part;
mod registers;
mod search;
mod side;

use super::VmError;
use super::form::MakeForm;
use crate::boot::load::Payload;
use crate::config::{BackendChoice, ClockChoice, MachineConfig, SerialSpec};
pub use part::{Executed, Part};
use side::Pair;
use std::time::{Duration, Instant};

/// How one of the machines executes.
#[derive(Clone, Copy)]
pub enum Way<'a> {
    /// The interpreter.
    Interp,
    /// The translator, as it works on warm code, but waiting for its compiler.
    Jit,
    /// The translator's baseline compiler, all code translated before it is executed.
    Baseline,
    /// The translator, all code translated before it is executed, in regions.
    Eager,
    /// Something else, for tests.
    Other(MakeForm<'a>),
}

/// What is to be compared.
pub struct Lockstep<'a> {
    /// The machine. Clock, serial line and backend are set as a comparison needs them.
    pub config: MachineConfig,
    /// Seed of the instruction clock.
    pub seed: u64,
    /// What it starts.
    pub payload: &'a Payload,
    /// The forms.
    pub ways: [Way<'a>; 2],
    /// Instructions, of all harts, from one comparison to the next; 1 or more.
    pub every: u64,
    /// Instructions, of all harts, after which it is enough.
    pub insns: u64,
}

/// What came of it.
#[derive(Debug)]
pub enum Verdict {
    /// No difference.
    Same {
        /// Instructions executed by all harts.
        instructions: u64,
        /// The machine ended by itself; otherwise there were enough.
        ended: bool,
        /// How often registers, clock and interrupts were compared.
        comparisons: u64,
        /// How often memory and devices were, too.
        thorough: u64,
    },
    /// The forms part.
    Part(Box<Part>),
    /// They differed, and did not when they were started anew.
    Unsteady {
        /// After how many instructions the difference was seen.
        seen: u64,
    },
}

/// The share of the time that comparisons of memory and devices may take: one of so
/// many parts.
const THOROUGH_SHARE: u32 = 6;

/// Runs the machine in both forms.
pub fn compare(lockstep: &Lockstep<'_>) -> Result<Verdict, VmError> {
    let mut pair = Pair::new(lockstep)?;
    let mut done = Schedule::new();
    let mut now = 0;
    loop {
        let enough = now >= lockstep.insns;
        let ended = pair.has_ended();
        let mut same = pair.is_same();
        done.comparisons += 1;
        if same && (enough || ended || done.is_due()) {
            same = done.thorough(|| pair.is_all_the_same())?;
            if same {
                done.agreed = now;
            }
        }
        if !same {
            // They take memory that the search needs.
            drop(pair);
            return search::part(lockstep, done.agreed, now);
        }
        if enough || ended {
            return Ok(Verdict::Same {
                instructions: pair.instructions(),
                ended,
                comparisons: done.comparisons,
                thorough: done.count,
            });
        }
        now = now.saturating_add(lockstep.every).min(lockstep.insns);
        pair.advance(now);
    }
}

impl Lockstep<'_> {
    /// The machine's configuration in one of the forms.
    fn config(&self, way: Way<'_>) -> MachineConfig {
        let backend = match way {
            Way::Jit | Way::Baseline | Way::Eager => BackendChoice::Jit,
            Way::Interp | Way::Other(_) => BackendChoice::Interp,
        };
        MachineConfig {
            backend,
            serial: SerialSpec::Null,
            clock: ClockChoice::Insn { seed: self.seed },
            ..self.config.clone()
        }
    }
}

/// When memory and devices are compared: as often as it costs little. Where that is
/// follows from the host, but what is found by it does not.
struct Schedule {
    /// Instructions after which all was the same.
    agreed: u64,
    comparisons: u64,
    /// How often memory was compared.
    count: u64,
    last: Instant,
    took: Duration,
}

impl Schedule {
    fn new() -> Self {
        Self {
            agreed: 0,
            comparisons: 0,
            count: 0,
            last: Instant::now(),
            took: Duration::ZERO,
        }
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= self.took * THOROUGH_SHARE
    }

    fn thorough<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.count += 1;
        self.last = Instant::now();
        self.took = self.last - start;
        result
    }
}
