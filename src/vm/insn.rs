//! Running under the instruction clock: everything on one thread, in an order that
//! the guest alone decides.
//!
//! Harts take turns. An event that a device or driver causes happens at a virtual
//! time that follows from its cause; where all harts wait, the clock skips to the
//! next. Input from outside is taken between turns: the same input at the same
//! instruction gives the same run.

use super::event::{End, Event, Post};
use super::hart::Next;
use super::machine::Machine;
use isoform_core::Clock;
use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::InsnClock;
use super::shared::lock;

/// Instructions of a turn.
const TURN: u64 = 10_000;
/// From a doorbell to the device's look at its queue, in nanoseconds.
const DOORBELL_DELAY: u64 = 5_000;
/// From a request to its completion, in nanoseconds.
const BLOCK_DELAY: u64 = 100_000;
/// How long the host sleeps at a time when no hart can run and nothing is due.
const IDLE: Duration = Duration::from_millis(50);
/// How long it sleeps at a time while output waits to be written.
const PAUSE: Duration = Duration::from_millis(1);

/// A number for the next event, and the events by time and number.
type Queue = (u64, BTreeMap<(u64, u64), Event>);

/// Events by the virtual time at which they happen, then by the order in which they
/// were caused.
pub(super) struct Agenda {
    clock: Arc<InsnClock>,
    queue: Mutex<Queue>,
}

impl Agenda {
    pub(super) fn new(clock: Arc<InsnClock>) -> Self {
        Self {
            clock,
            queue: Mutex::default(),
        }
    }

    fn due(&self, now: u64) -> Option<Event> {
        let mut queue = lock(&self.queue);
        let first = queue.1.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn next(&self) -> Option<u64> {
        lock(&self.queue)
            .1
            .first_key_value()
            .map(|((time, _), _)| *time)
    }

    /// Takes everything off: the machine starts anew.
    pub(super) fn clear(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.queue).1)
            .into_values()
            .collect()
    }
}

impl Post for Agenda {
    fn post(&self, event: Event) {
        let delay = match event {
            Event::Doorbell { .. } | Event::OutputRoom { .. } => DOORBELL_DELAY,
            Event::Block { .. } => BLOCK_DELAY,
            _ => 0,
        };
        let mut queue = lock(&self.queue);
        let order = queue.0;
        queue.0 += 1;
        queue.1.insert((self.clock.now() + delay, order), event);
    }
}

/// Runs until the machine ends.
pub(super) fn run(machine: &mut Machine) -> End {
    let Some((clock, agenda)) = machine.insn.clone() else {
        return End::Broken("the machine has no instruction clock".into());
    };
    loop {
        // Events from outside: the person and the host.
        while let Ok(event) = machine.events.try_recv() {
            if let Some(end) = machine.handle(event) {
                return end;
            }
        }
        if machine.is_behind() {
            // A reader's pace is no input: the machine stands still meanwhile.
            std::thread::sleep(PAUSE);
            continue;
        }
        if let Some(end) = settle(machine, &agenda) {
            return end;
        }
        if turns(machine, &clock, &agenda) {
            continue;
        }
        // All harts wait.
        match [agenda.next(), machine.next_deadline()]
            .into_iter()
            .flatten()
            .min()
        {
            Some(time) => clock.skip_to(time),
            None => match machine.events.recv_timeout(IDLE) {
                Ok(event) => {
                    if let Some(end) = machine.handle(event) {
                        return end;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return End::Broken("nobody is left to wake the machine".into());
                }
            },
        }
    }
}

/// Does all that is due now.
fn settle(machine: &mut Machine, agenda: &Agenda) -> Option<End> {
    machine.expire();
    while let Some(event) = agenda.due(machine.clock.now()) {
        if let Some(end) = machine.handle(event) {
            return Some(end);
        }
    }
    None
}

/// A turn for each hart that can run. False where none can.
fn turns(machine: &mut Machine, clock: &InsnClock, agenda: &Agenda) -> bool {
    let mut ran = false;
    for n in 0..machine.runners.len() {
        let due = [agenda.next(), machine.next_deadline()]
            .into_iter()
            .flatten()
            .min();
        // Up to the next event, so that it comes at its instruction.
        let left = due.map_or(TURN, |t| t.saturating_sub(clock.now()).clamp(1, TURN));
        let Some(runner) = machine.runners.get_mut(n) else {
            break;
        };
        if runner.next == Next::Sleep && !runner.hart.lines().attention().is_set() {
            continue;
        }
        runner.run(left);
        ran = true;
    }
    ran
}
