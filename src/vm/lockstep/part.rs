//! What is told of the instruction at which the forms part.

use super::super::error::VmError;
use super::super::machine::Machine;
use super::Lockstep;
use super::registers;
use super::side::{Pair, Side};
use isoform_core::Guest;
use isoform_riscv::disasm::disassemble;
use isoform_riscv::{Ext, ExtSet, Hart};
use std::fmt::Write;

/// Instructions told from before the forms part.
const BEFORE: u64 = 12;
/// Most instructions told from there to where the difference is seen.
const WITHIN: u64 = 100;
/// Differing stretches of memory told.
const STRETCHES: usize = 8;
/// Bytes of each that are told.
const STRETCH: usize = 16;

/// An instruction, as the first machine executed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Its number, from 1, among all that the machine executed.
    pub number: u64,
    /// The hart.
    pub hart: usize,
    /// Its virtual address.
    pub pc: u64,
    /// In assembly; what cannot be fetched says so.
    pub text: String,
}

/// Where two forms part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The number of the first instruction of the code that goes wrong: the culprit,
    /// where it is also where the difference is seen, or code was entered at every
    /// instruction. `None` where stopping anywhere before hides the difference.
    pub begins: Option<u64>,
    /// The number of the instruction after which the machines differ.
    pub seen: u64,
    /// Instructions before that, the last being number `seen`.
    pub executed: Vec<Executed>,
    /// What differs, one thing a line, the first form's before the second's.
    pub differences: Vec<String>,
}

/// Tells of a pair that agreed after `from` instructions, if that is known, and differs
/// after `seen`.
pub(super) fn tell(
    lockstep: &Lockstep<'_>,
    pair: &Pair,
    from: Option<u64>,
    seen: u64,
) -> Result<Part, VmError> {
    let begin = from.unwrap_or(seen.saturating_sub(1));
    let begin = begin.max(seen.saturating_sub(WITHIN));
    let executed = trace(lockstep, begin.saturating_sub(BEFORE), seen)?;
    Ok(Part {
        begins: from.map(|from| from + 1),
        seen,
        executed,
        differences: differences(pair)?,
    })
}

/// The first machine's instructions after number `from`, to number `to`.
fn trace(lockstep: &Lockstep<'_>, from: u64, to: u64) -> Result<Vec<Executed>, VmError> {
    let mut side = Side::new(lockstep, lockstep.ways[0])?;
    side.advance(from);
    let mut executed = Vec::new();
    for number in from + 1..=to {
        let before = next_of_each(&mut side.machine);
        side.advance(number);
        let counts = side.machine.runners.iter().map(|r| r.hart.state.icount);
        let moved = before.into_iter().zip(counts).enumerate();
        let mut moved = moved.filter(|(_, ((count, ..), now))| now > count);
        if let Some((hart, ((_, pc, text), _))) = moved.next() {
            executed.push(Executed {
                number,
                hart,
                pc,
                text,
            });
        }
    }
    Ok(executed)
}

/// Of each hart: how many instructions it executed, and what it executes next.
fn next_of_each(machine: &mut Machine) -> Vec<(u64, u64, String)> {
    let harts = machine.runners.iter_mut().map(|runner| &mut runner.hart);
    let next = |hart: &mut Hart| (hart.state.icount, hart.state.pc, next(hart));
    harts.map(next).collect()
}

/// What a hart executes next, if no interrupt comes.
fn next(hart: &mut Hart) -> String {
    let pc = hart.state.pc;
    let Ok(page) = hart.fetch_page() else {
        return "(cannot be fetched)".into();
    };
    let at = pc % isoform_memory::PAGE;
    let mut bytes = [0; 4];
    let within = (isoform_memory::PAGE - at).min(4) as usize;
    let (here, beyond) = bytes.split_at_mut(within);
    let read = hart.read_memory(page.gpa + at, here);
    if !beyond.is_empty() {
        // Its second half, from wherever that is: told only, never executed.
        hart.state.pc = pc.wrapping_add(within as u64);
        let page = hart.fetch_page();
        hart.state.pc = pc;
        let _ = page.map(|page| hart.read_memory(page.gpa, beyond));
    }
    let all = Ext::ALL.iter().fold(ExtSet::NONE, |set, e| set.with(*e));
    match read.and_then(|()| disassemble(&bytes, pc, all)) {
        Some((text, _)) => text,
        None => "(no instruction)".into(),
    }
}

/// What is not the same in the two machines.
fn differences(pair: &Pair) -> Result<Vec<String>, VmError> {
    let (a, b) = (&pair.a, &pair.b);
    let mut lines = Vec::new();
    let ends = (format!("{:?}", a.end), format!("{:?}", b.end));
    let times = (a.machine.clock.now(), b.machine.clock.now());
    if ends.0 != ends.1 {
        lines.push(format!("end: {} and {}", ends.0, ends.1));
    }
    if times.0 != times.1 {
        lines.push(format!("clock: {} and {} ns", times.0, times.1));
    }
    for (a, b) in a.machine.runners.iter().zip(&b.machine.runners) {
        hart(&mut lines, &a.hart, &b.hart);
        if a.next != b.next {
            let id = a.hart.id();
            lines.push(format!("hart {id} goes on: {:?} and {:?}", a.next, b.next));
        }
    }
    for name in pair.devices_that_differ() {
        lines.push(format!("the state of the device {name}"));
    }
    memory(&mut lines, pair)?;
    Ok(lines)
}

fn hart(lines: &mut Vec<String>, a: &Hart, b: &Hart) {
    let id = a.id();
    let mut all = |name: &str, a: u64, b: u64| {
        if a != b {
            lines.push(format!("hart {id} {name:<10} {a:#018x} {b:#018x}"));
        }
    };
    let (first, second) = (registers::named(&a.state), registers::named(&b.state));
    for ((name, a), (_, b)) in first.iter().zip(&second) {
        all(name, *a, *b);
    }
    all("mip", a.lines().pending(), b.lines().pending());
}

fn memory(lines: &mut Vec<String>, pair: &Pair) -> Result<(), VmError> {
    let (a, b) = (pair.a.machine.board.ram(), pair.b.machine.board.ram());
    let pages = pair.pages_that_differ()?;
    let mut told = 0;
    for page in &pages {
        let mut contents = [[0; 4096]; 2];
        let read = a
            .read(*page, &mut contents[0])
            .and(b.read(*page, &mut contents[1]));
        if read.is_none() {
            continue;
        }
        let [a, b] = &contents;
        let mut at = 0;
        while let Some(next) = (at..a.len()).find(|n| a[*n] != b[*n]) {
            if told == STRETCHES {
                lines.push(format!("memory: more, in {} pages", pages.len()));
                return Ok(());
            }
            let start = next & !7;
            let end = (start + STRETCH).min(a.len());
            let address = page + start as u64;
            let (a, b) = (hex(&a[start..end]), hex(&b[start..end]));
            lines.push(format!("memory {address:#x}:\n  {a}\n  {b}"));
            told += 1;
            at = end;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x} ");
        text
    })
}
