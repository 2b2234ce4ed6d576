//! Running under the instruction clock: everything on one thread, in an order that
//! the guest alone decides.
//!
//! Harts take turns. An event that a device or driver causes happens at a virtual
//! time that follows from its cause; where all harts wait, the clock skips to the
//! next. A turn is cut at what is due, and cut anew where the hart itself causes
//! something earlier, so that all of it happens at its very instruction. Input from
//! outside is taken between cuts: the same input at the same instruction gives the
//! same run.

use super::event::{End, Event, Post};
use super::hart::{Next, Runner};
use super::machine::Machine;
use isoform_core::{Attention, Clock, Requests};
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
    /// The hart that runs, and until when.
    running: Mutex<Option<(Arc<Attention>, u64)>>,
}

impl Agenda {
    pub(super) fn new(clock: Arc<InsnClock>) -> Self {
        Self {
            clock,
            queue: Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// Has the hart that runs, if any, return after its instruction where it would not
    /// return by `time`.
    fn cut(&self, time: u64) {
        if let Some((attention, until)) = &*lock(&self.running)
            && time < *until
        {
            attention.raise(Requests::STOP);
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
            // Nothing to do but to look at the deadlines again.
            Event::Deadline => return self.cut(0),
            Event::Doorbell { .. } | Event::OutputRoom { .. } => DOORBELL_DELAY,
            Event::Block { .. } | Event::Share { .. } => BLOCK_DELAY,
            _ => 0,
        };
        let time = self.clock.now() + delay;
        let mut queue = lock(&self.queue);
        let order = queue.0;
        queue.0 += 1;
        queue.1.insert((time, order), event);
        drop(queue);
        self.cut(time);
    }
}

/// Runs until the machine ends.
pub(super) fn run(machine: &mut Machine) -> End {
    let mut course = Course::new();
    loop {
        if let Some(end) = course.go(machine, u64::MAX) {
            return end;
        }
        // All harts wait, for somebody outside.
        match machine.events.recv_timeout(IDLE) {
            Ok(event) => {
                if let Some(end) = machine.handle(event) {
                    return end;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return End::Broken("nobody is left to wake the machine".into());
            }
        }
    }
}

/// A run that can be looked at on its way: pieces of it put together are the run as a
/// whole.
pub(super) struct Course {
    turn: Turn,
}

impl Course {
    /// From the machine's start.
    pub(super) fn new() -> Self {
        let turn = Turn {
            hart: 0,
            left: TURN,
        };
        Self { turn }
    }

    /// Goes on until the machine ends; `None` where its harts have attempted `limit`
    /// instructions since its start, or all wait for what only the host can cause.
    pub(super) fn go(&mut self, machine: &mut Machine, limit: u64) -> Option<End> {
        let Some((clock, agenda)) = machine.insn.clone() else {
            return Some(End::Broken("the machine has no instruction clock".into()));
        };
        while let Some(left) = limit.checked_sub(machine.instructions()).filter(|n| *n > 0) {
            match self.piece(machine, &clock, &agenda, left) {
                After::Goes => {}
                After::Waits => return None,
                After::Ends(end) => return Some(end),
            }
        }
        None
    }

    /// Lets one hart run, or the time pass, until something is due or `most`
    /// instructions were done.
    fn piece(
        &mut self,
        machine: &mut Machine,
        clock: &InsnClock,
        agenda: &Agenda,
        most: u64,
    ) -> After {
        // Events from outside: the person and the host.
        while let Ok(event) = machine.events.try_recv() {
            if let Some(end) = machine.handle(event) {
                return After::Ends(end);
            }
        }
        if machine.is_behind() {
            // A reader's pace is no input: the machine stands still meanwhile.
            std::thread::sleep(PAUSE);
            return After::Goes;
        }
        if let Some(end) = settle(machine, agenda) {
            return After::Ends(end);
        }
        if self.turn.go_on(machine, clock, agenda, most) {
            return After::Goes;
        }
        // All harts wait.
        match next_due(machine, agenda) {
            Some(time) => clock.skip_to(time),
            None => return After::Waits,
        }
        After::Goes
    }
}

/// How a machine is after a piece of its course.
enum After {
    Goes,
    /// For what only the host can cause.
    Waits,
    Ends(End),
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

/// When something is due next.
fn next_due(machine: &Machine, agenda: &Agenda) -> Option<u64> {
    let due = [agenda.next(), machine.next_deadline()];
    due.into_iter().flatten().min()
}

/// Whose turn it is, and how many instructions of it are left.
struct Turn {
    hart: usize,
    left: u64,
}

impl Turn {
    /// Goes on with the turn, or with that of the next hart that can run, until
    /// something is due or `most` instructions were done. False where no hart can run.
    fn go_on(
        &mut self,
        machine: &mut Machine,
        clock: &InsnClock,
        agenda: &Agenda,
        most: u64,
    ) -> bool {
        if !self.choose(&machine.runners) {
            return false;
        }
        machine.wakes();
        let now = clock.now();
        let end = now + self.left;
        let until = next_due(machine, agenda).map_or(end, |due| due.clamp(now + 1, end));
        machine.sleeps_until(Some(until));
        let Some(runner) = machine.runners.get_mut(self.hart) else {
            return false;
        };
        let attention = runner.hart.lines().attention().clone();
        *lock(&agenda.running) = Some((attention, until));
        let next = runner.run((until - now).min(most));
        *lock(&agenda.running) = None;
        // A call to the host may take no time, but harts that only make such calls must
        // not keep the others from running.
        let spent = (clock.now() - now).max(1);
        self.left = match next {
            Next::Run => self.left.saturating_sub(spent),
            Next::Yield | Next::Sleep => 0,
        };
        true
    }

    /// Finds a hart that can run: the same as long as its turn lasts, then those that
    /// follow, in a circle. False where there is none.
    fn choose(&mut self, runners: &[Runner]) -> bool {
        if self.left > 0 && runners.get(self.hart).is_some_and(can_run) {
            return true;
        }
        let circle = (0..runners.len()).cycle().skip(self.hart + 1);
        let mut others = circle.take(runners.len());
        let found = others.find(|n| runners.get(*n).is_some_and(can_run));
        if let Some(hart) = found {
            *self = Self { hart, left: TURN };
        }
        found.is_some()
    }
}

fn can_run(runner: &Runner) -> bool {
    runner.next != Next::Sleep || runner.hart.lines().attention().is_woken()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 1_000_000;

    /// An agenda at time 7, while a hart runs until `until`.
    fn agenda(until: u64) -> (Agenda, Arc<Attention>) {
        let clock = Arc::new(InsnClock::default());
        clock.skip_to(7);
        let (agenda, attention) = (Agenda::new(clock), Arc::new(Attention::new()));
        *lock(&agenda.running) = Some((attention.clone(), until));
        (agenda, attention)
    }

    #[test]
    fn what_a_hart_causes_within_its_turn_cuts_the_turn() {
        let slot = crate::config::SlotId::Mmio(0);
        let doorbell = || Event::Doorbell { slot, queue: 0 };
        let rings = 7 + DOORBELL_DELAY;
        for (event, until, cut) in [
            (doorbell(), FAR, true),
            (doorbell(), rings + 1, true),
            (doorbell(), rings, false),
            (Event::InputRoom, FAR, true),
            (Event::Deadline, FAR, true),
            (Event::End(End::PowerOff), 8, true),
        ] {
            let what = format!("{event:?} {until}");
            let (agenda, attention) = agenda(until);
            agenda.post(event);
            assert_eq!(attention.is_set(), cut, "{what}");
        }
    }

    #[test]
    fn between_turns_nobody_is_stopped() {
        let (agenda, attention) = agenda(FAR);
        *lock(&agenda.running) = None;
        agenda.post(Event::InputRoom);
        agenda.post(Event::Deadline);
        assert!(!attention.is_set());
        assert_eq!(agenda.next(), Some(7), "a deadline is no event of its own");
    }
}
