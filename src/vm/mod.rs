//! The run loop: harts, the VM thread, time.
//!
//! [`run`] builds a machine, loads it and runs it until it ends. Under the host's
//! clock each hart has a thread and the calling thread is the VM thread, which does
//! device work and timers (`host`); under the instruction clock all of it happens
//! on the calling thread in an order that depends on nothing but the guest
//! (`insn`). Both share `machine::Machine`, and speak in `event::Event`s. [`lockstep`]
//! runs two machines side by side and compares them.

mod cable;
mod channel;
mod clock;
mod error;
mod event;
mod form;
mod hart;
mod host;
mod insn;
mod limit;
pub mod lockstep;
mod machine;
mod network;
mod perf_map;
mod report;
mod shared;
mod sharing;
mod vsock;
mod watchdog;
mod wiring;

use crate::boot::load::Payload;
use crate::config::{ClockChoice, MachineConfig, Outcome};
pub use error::VmError;
use event::End;
pub use form::{Execute, MakeForm};
use machine::Machine;

/// Runs a machine until it ends.
pub fn run(config: MachineConfig, payload: &Payload) -> Result<Outcome, VmError> {
    let mut machine = Machine::new(config, payload)?;
    if machine.dump_device_tree(payload)? {
        return Ok(Outcome::Dumped);
    }
    let outcome = run_until_end(&mut machine, payload);
    // The terminal is the person's again before anything is said.
    let outcome = machine.finish(outcome);
    if machine.config.stats {
        eprint!("{}", report::statistics(&machine));
    }
    outcome
}

fn run_until_end(machine: &mut Machine, payload: &Payload) -> Result<Outcome, VmError> {
    loop {
        machine.start(payload)?;
        let end = match machine.config.clock {
            ClockChoice::Host => host::run(machine),
            ClockChoice::Insn { .. } => insn::run(machine),
        };
        match end {
            // A command that is run again and again would never come to an end.
            End::Reset if machine.config.exec.is_some() => {
                return Err(VmError::NoStatus("reset itself"));
            }
            End::Reset if machine.config.reboot => machine.reset(),
            End::Restart => machine.reset(),
            End::Reset => return Ok(Outcome::Reset),
            End::PowerOff => return machine.powered_off(),
            End::Exit(code) => return Ok(Outcome::Exit(code)),
            End::Quit | End::Unheard => return Ok(Outcome::Quit),
            End::Timeout => return Ok(Outcome::Timeout),
            End::Broken(what) => return Err(VmError::Broken(what)),
        }
    }
}
