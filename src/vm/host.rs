//! Running under the host's clock: a thread per hart, and the VM thread.

use super::event::{End, Event};
use super::hart::{Next, Runner};
use super::machine::Machine;
use super::shared::Shared;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Instructions a hart runs before it looks up; it stops earlier where asked.
const SLICE: u64 = 1 << 16;

/// Instructions that each hart runs before any runs more.
const FIRST_SLICE: u64 = 256;

/// Ends the harts' loops, also where the VM thread panics: their threads are waited for.
struct EndHarts<'a>(&'a Shared);

impl Drop for EndHarts<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Says that the machine is broken if a hart's thread panics.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = "a hart's thread panicked".to_string();
            self.0.post.post(Event::End(End::Broken(what)));
        }
    }
}

/// Runs until the machine ends.
pub(super) fn run(machine: &mut Machine) -> End {
    let shared = machine.shared.clone();
    let mut runners = std::mem::take(&mut machine.runners);
    // Harts leave reset together. Firmware that lets them race for who boots relies on
    // all of them being there before the winner is done, which threads that the host
    // starts one after the other are not.
    for runner in &mut runners {
        runner.run(FIRST_SLICE);
    }
    let end = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let _ending = EndHarts(&shared);
        for runner in &mut runners {
            let shared = &*shared;
            let name = format!("hart {}", runner.hart.id());
            let spawned = std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || {
                    let _watch = Watch(shared);
                    run_hart(runner, shared);
                });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(e) => return End::Broken(format!("the host gives no thread for a hart: {e}")),
            }
        }
        let end = run_devices(machine);
        shared.end();
        // A panic has been reported where it happened, and by `Watch`.
        threads.into_iter().for_each(|thread| drop(thread.join()));
        end
    });
    machine.runners = runners;
    end
}

fn run_hart(runner: &mut Runner, shared: &Shared) {
    while !shared.is_ending() {
        match runner.run(SLICE) {
            Next::Run => {}
            Next::Yield => std::thread::yield_now(),
            Next::Sleep if shared.is_ending() => {}
            Next::Sleep => runner.hart.lines().attention().sleep(None),
        }
    }
}

/// The VM thread: device work and timers.
fn run_devices(machine: &mut Machine) -> End {
    loop {
        machine.wakes();
        machine.expire();
        let next = machine.next_deadline();
        machine.sleeps_until(next);
        let left = next.map(|t| Duration::from_nanos(t.saturating_sub(machine.clock.now())));
        let event = match left {
            Some(left) => machine.events.recv_timeout(left),
            None => machine
                .events
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
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
