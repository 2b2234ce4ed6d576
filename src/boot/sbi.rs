//! The supervisor binary interface, answered by Isoform itself (RISC-V SBI 2.0).
//!
//! What a call needs of the machine lies behind [`Machine`]; this file knows the
//! calls, their arguments and their errors.

use isoform_core::Requests;
use isoform_riscv::Hart;

/// What became of a call, for the hart's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Go on behind the call.
    Continue,
    /// The hart is stopped; it waits to be started again.
    Stop,
    /// The hart sleeps until an interrupt is pending (suspend).
    Wait,
}

/// How the guest asked for the machine to end or begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Power off.
    Shutdown,
    /// Start again.
    Reboot,
}

/// A hart's state (HSM extension), with the specification's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum HartStatus {
    /// Runs.
    Started = 0,
    /// Does not run.
    Stopped = 1,
    /// Was asked to start.
    StartPending = 2,
    /// Sleeps until an interrupt.
    Suspended = 4,
}

/// What calls need of the machine.
pub trait Machine {
    /// Harts there are.
    fn harts(&self) -> usize;
    /// The state of a hart, below [`Machine::harts`].
    fn status(&self, hart: usize) -> HartStatus;
    /// Starts a stopped hart in S mode at `pc` with `opaque` in a1. False if it is not
    /// stopped.
    fn start(&self, hart: usize, pc: u64, opaque: u64) -> bool;
    /// Makes a supervisor software interrupt pending.
    fn interrupt(&self, hart: usize);
    /// Has the harts of the mask serve requests, and waits until they have.
    fn fence(&self, harts: &[usize], requests: Requests);
    /// Writes to the console what it takes now; how much that was.
    fn console_write(&self, bytes: &[u8]) -> usize;
    /// Writes all of it to the console, however long that takes.
    fn console_print(&self, bytes: &[u8]);
    /// Reads from the console what there is.
    fn console_read(&self, bytes: &mut [u8]) -> usize;
    /// The machine ends or begins anew, soon.
    fn reset(&self, reset: Reset);
}

/// Error codes (table "Standard SBI Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    Failed = -1,
    NotSupported = -2,
    InvalidParam = -3,
    InvalidAddress = -5,
    AlreadyAvailable = -6,
}

type Answer = Result<u64, Error>;

/// Extension identifiers.
mod eid {
    pub(super) const SET_TIMER: u64 = 0;
    pub(super) const CONSOLE_PUTCHAR: u64 = 1;
    pub(super) const CONSOLE_GETCHAR: u64 = 2;
    pub(super) const CLEAR_IPI: u64 = 3;
    pub(super) const SEND_IPI: u64 = 4;
    pub(super) const REMOTE_FENCE_I: u64 = 5;
    pub(super) const REMOTE_SFENCE_VMA: u64 = 6;
    pub(super) const REMOTE_SFENCE_VMA_ASID: u64 = 7;
    pub(super) const SHUTDOWN: u64 = 8;
    pub(super) const BASE: u64 = 0x10;
    pub(super) const TIME: u64 = 0x5449_4d45;
    pub(super) const IPI: u64 = 0x73_5049;
    pub(super) const RFENCE: u64 = 0x5246_4e43;
    pub(super) const HSM: u64 = 0x48_534d;
    pub(super) const SRST: u64 = 0x5352_5354;
    pub(super) const DBCN: u64 = 0x4442_434e;
}

const EXTENSIONS: &[u64] = &[
    eid::SET_TIMER,
    eid::CONSOLE_PUTCHAR,
    eid::CONSOLE_GETCHAR,
    eid::CLEAR_IPI,
    eid::SEND_IPI,
    eid::REMOTE_FENCE_I,
    eid::REMOTE_SFENCE_VMA,
    eid::REMOTE_SFENCE_VMA_ASID,
    eid::SHUTDOWN,
    eid::BASE,
    eid::TIME,
    eid::IPI,
    eid::RFENCE,
    eid::HSM,
    eid::SRST,
    eid::DBCN,
];

/// Version 2.0.
const SPEC_VERSION: u64 = 2 << 24;
/// No registered implementation's number.
const IMPLEMENTATION: u64 = 0x49_534f;
const IMPLEMENTATION_VERSION: u64 = 1;
/// Bytes that one console call moves at most; the caller sees how many it were.
const CONSOLE_MAX: u64 = 4096;

const A0: usize = 10;
const A6: usize = 16;
const A7: usize = 17;

/// Answers the call that `hart` has just made.
pub fn call(hart: &mut Hart, machine: &dyn Machine) -> After {
    let x = &hart.state.x;
    let (extension, function) = (x[A7], x[A6]);
    let args = [x[A0], x[A0 + 1], x[A0 + 2], x[A0 + 3], x[A0 + 4]];
    if extension <= eid::SHUTDOWN {
        hart.state.x[A0] = legacy(hart, machine, extension, args);
        return if extension == eid::SHUTDOWN {
            After::Stop
        } else {
            After::Continue
        };
    }
    let (answer, after) = match (extension, function) {
        (eid::HSM, 1) => (Ok(0), After::Stop),
        (eid::HSM, 3) => suspend(hart, args[0]),
        // What succeeds does not return (SBI 10.1).
        (eid::SRST, 0) => match reset(machine, args[0]) {
            Ok(_) => (Ok(0), After::Stop),
            error => (error, After::Continue),
        },
        _ => (
            dispatch(hart, machine, extension, function, args),
            After::Continue,
        ),
    };
    let (error, value) = match answer {
        Ok(value) => (0, value),
        Err(e) => (e as i64 as u64, 0),
    };
    (hart.state.x[A0], hart.state.x[A0 + 1]) = (error, value);
    after
}

fn dispatch(
    hart: &mut Hart,
    machine: &dyn Machine,
    extension: u64,
    function: u64,
    args: [u64; 5],
) -> Answer {
    let [a0, a1, a2, a3, a4] = args;
    match (extension, function) {
        (eid::BASE, _) => base(function, a0),
        (eid::TIME, 0) => {
            hart.set_stimecmp(a0);
            Ok(0)
        }
        (eid::IPI, 0) => {
            select(machine, a0, a1)?
                .into_iter()
                .for_each(|h| machine.interrupt(h));
            Ok(0)
        }
        (eid::RFENCE, _) => remote_fence(machine, function, [a0, a1, a2, a3, a4]),
        (eid::HSM, 0) => start(machine, a0, a1, a2),
        (eid::HSM, 2) => {
            let target = usize::try_from(a0).ok().filter(|h| *h < machine.harts());
            Ok(machine.status(target.ok_or(Error::InvalidParam)?) as u64)
        }
        (eid::DBCN, _) => debug_console(hart, machine, function, a0, a1, a2),
        _ => Err(Error::NotSupported),
    }
}

fn reset(machine: &dyn Machine, kind: u64) -> Answer {
    let reset = match kind as u32 {
        0 => Reset::Shutdown,
        1 | 2 => Reset::Reboot,
        _ => return Err(Error::InvalidParam),
    };
    machine.reset(reset);
    Ok(0)
}

fn base(function: u64, arg: u64) -> Answer {
    match function {
        0 => Ok(SPEC_VERSION),
        1 => Ok(IMPLEMENTATION),
        2 => Ok(IMPLEMENTATION_VERSION),
        3 => Ok(EXTENSIONS.contains(&arg).into()),
        // mvendorid, marchid, mimpid.
        4..=6 => Ok(0),
        _ => Err(Error::NotSupported),
    }
}

/// The harts that a mask and its base name: all where the base is -1 (SBI 3.2).
fn select(machine: &dyn Machine, mask: u64, base: u64) -> Result<Vec<usize>, Error> {
    if base == u64::MAX {
        return Ok((0..machine.harts()).collect());
    }
    let bits = (0..64u64).filter(|b| mask >> b & 1 != 0);
    bits.map(|b| {
        let hart = base.checked_add(b).and_then(|h| usize::try_from(h).ok());
        hart.filter(|h| *h < machine.harts())
            .ok_or(Error::InvalidParam)
    })
    .collect()
}

/// Fences of address ranges and of address spaces drop all translations: more than
/// asked for is allowed.
fn remote_fence(machine: &dyn Machine, function: u64, [mask, base, ..]: [u64; 5]) -> Answer {
    let requests = match function {
        0 => Requests::FLUSH_CODE,
        1 | 2 => Requests::FLUSH_TLB,
        // The others are for hypervisors.
        _ => return Err(Error::NotSupported),
    };
    machine.fence(&select(machine, mask, base)?, requests);
    Ok(0)
}

fn start(machine: &dyn Machine, hart: u64, pc: u64, opaque: u64) -> Answer {
    let hart = usize::try_from(hart).ok().filter(|h| *h < machine.harts());
    let hart = hart.ok_or(Error::InvalidParam)?;
    if pc & 1 != 0 {
        return Err(Error::InvalidAddress);
    }
    if machine.start(hart, pc, opaque) {
        Ok(0)
    } else {
        Err(Error::AlreadyAvailable)
    }
}

/// Retentive suspend is a wait for an interrupt. Non-retentive suspend would lose the
/// hart's state to save power, of which there is none to be saved here (SBI 9.4).
fn suspend(hart: &Hart, kind: u64) -> (Answer, After) {
    const RETENTIVE: u64 = 0;
    const NON_RETENTIVE: u64 = 0x8000_0000;
    match kind & 0xffff_ffff {
        RETENTIVE if hart.is_awake() => (Ok(0), After::Continue),
        RETENTIVE => (Ok(0), After::Wait),
        NON_RETENTIVE => (Err(Error::NotSupported), After::Continue),
        _ => (Err(Error::InvalidParam), After::Continue),
    }
}

fn debug_console(
    hart: &Hart,
    machine: &dyn Machine,
    function: u64,
    count: u64,
    low: u64,
    high: u64,
) -> Answer {
    match function {
        0 | 1 if high != 0 => Err(Error::InvalidParam),
        0 => {
            let mut bytes = vec![0; count.min(CONSOLE_MAX) as usize];
            hart.read_memory(low, &mut bytes)
                .ok_or(Error::InvalidParam)?;
            // Does not wait: the caller goes on with the rest (SBI 12.1).
            Ok(machine.console_write(&bytes) as u64)
        }
        1 => {
            // Checked before input is taken, so that none is lost.
            let mut bytes = vec![0; count.min(CONSOLE_MAX) as usize];
            hart.ram()
                .read(low, &mut bytes)
                .ok_or(Error::InvalidParam)?;
            let n = machine.console_read(&mut bytes);
            hart.ram()
                .write(low, bytes.get(..n).unwrap_or(&[]))
                .ok_or(Error::Failed)?;
            Ok(n as u64)
        }
        2 => {
            // Waits (SBI 12.3).
            machine.console_print(&[count as u8]);
            Ok(0)
        }
        _ => Err(Error::NotSupported),
    }
}

/// The legacy extensions: one value comes back, in a0 (SBI 5).
fn legacy(hart: &mut Hart, machine: &dyn Machine, extension: u64, args: [u64; 5]) -> u64 {
    let failed = Error::Failed as i64 as u64;
    let all = || (0..machine.harts()).collect::<Vec<_>>();
    // The mask lies in guest memory, at a virtual address; none means all harts.
    let named = |hart: &Hart| {
        if args[0] == 0 {
            return Some(all());
        }
        let gpa = hart.debug_translate(args[0])?;
        let mask = hart.load_memory(gpa, isoform_core::Size::B8)?;
        Some(
            all()
                .into_iter()
                .filter(|h| *h < 64 && mask >> h & 1 != 0)
                .collect(),
        )
    };
    match extension {
        eid::SET_TIMER => hart.set_stimecmp(args[0]),
        // Waits (SBI 5.2).
        eid::CONSOLE_PUTCHAR => machine.console_print(&[args[0] as u8]),
        eid::CONSOLE_GETCHAR => {
            let mut byte = [0];
            return if machine.console_read(&mut byte) == 1 {
                byte[0].into()
            } else {
                failed
            };
        }
        eid::CLEAR_IPI => hart.clear_software_interrupt(),
        eid::SEND_IPI => match named(hart) {
            Some(harts) => harts.into_iter().for_each(|h| machine.interrupt(h)),
            None => return failed,
        },
        eid::SHUTDOWN => machine.reset(Reset::Shutdown),
        _ => {
            let code = extension == eid::REMOTE_FENCE_I;
            let requests = if code {
                Requests::FLUSH_CODE
            } else {
                Requests::FLUSH_TLB
            };
            match named(hart) {
                Some(harts) => machine.fence(&harts, requests),
                None => return failed,
            }
        }
    }
    0
}
