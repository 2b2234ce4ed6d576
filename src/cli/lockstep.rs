//! `isoform lockstep`: one machine in two forms, side by side, to the first difference.

use std::fmt::Write;

use super::{Failure, guest, machine, print, run, status, usage_error};
use crate::config;
use crate::vm::lockstep::{Lockstep, Part, Verdict, Way, compare};

/// Run one machine in two forms side by side, and find where they differ
///
/// The forms are interp (the interpreter), jit (the translator, as it works on warm
/// code), and all code translated before it is executed, by the translator's two
/// compilers: jit:baseline and jit:eager.
/// Both run under the instruction clock, with no console and with private copies of
/// the disks, and are compared every N instructions: registers, interrupts and the
/// clock each time, memory and devices as often as it costs little, and in the end.
///
/// Where they differ, the instruction is searched for by running both again, and
/// shown. Exit status: 0 no difference, 1 a difference, 2 a command line that makes
/// no sense, 125 an error of the host.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first form: interp, jit, jit:baseline or jit:eager
    #[arg(value_name = "A", value_parser = Form::read)]
    first: Form,
    /// The second form
    #[arg(value_name = "B", value_parser = Form::read)]
    second: Form,
    #[command(flatten)]
    guest: guest::Args,
    /// Compare every N instructions (of all harts together)
    #[arg(long, value_name = "N", default_value = "100k",
          value_parser = config::count, help_heading = COMPARISON)]
    every: u64,
    /// End after N instructions; else when the machine powers off, resets itself or
    /// waits for a person
    #[arg(long, value_name = "N", value_parser = config::count, help_heading = COMPARISON)]
    insns: Option<u64>,
    /// Where everything random in the guest's view comes from
    #[arg(long, value_name = "N", default_value_t = config::DEFAULT_SEED,
          help_heading = COMPARISON)]
    seed: u64,
}

const COMPARISON: &str = "The comparison";

/// A form by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Interp,
    Jit,
    Baseline,
    Eager,
}

impl Form {
    fn read(text: &str) -> Result<Form, String> {
        match text {
            "interp" => Ok(Form::Interp),
            "jit" => Ok(Form::Jit),
            "jit:baseline" => Ok(Form::Baseline),
            "jit:eager" => Ok(Form::Eager),
            _ => Err("it is interp, jit, jit:baseline or jit:eager".to_owned()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Form::Interp => "interp",
            Form::Jit => "jit",
            Form::Baseline => "jit:baseline",
            Form::Eager => "jit:eager",
        }
    }

    fn way(self) -> Way<'static> {
        match self {
            Form::Interp => Way::Interp,
            Form::Jit => Way::Jit,
            Form::Baseline => Way::Baseline,
            Form::Eager => Way::Eager,
        }
    }
}

/// Compares, and tells what came of it.
pub(super) fn run(args: &Args, verbose: u8) -> Result<u8, Failure> {
    let guest = &args.guest;
    let programs = [
        guest.image.is_some(),
        guest.kernel.is_some(),
        guest.bios.is_some(),
    ];
    if !programs.contains(&true) && guest.pflash.is_empty() {
        let message = "it needs what to run: FILE, or a name such as debian:riscv64";
        let kind = clap::error::ErrorKind::MissingRequiredArgument;
        return Err(Failure::Usage(usage_error(&["lockstep"], kind, message)));
    }
    compared(args, verbose).map_err(Failure::under_exec)
}

fn compared(args: &Args, verbose: u8) -> Result<u8, Failure> {
    let (mut config, payload) = machine::build(&run::Args::of(args.guest.clone()), verbose > 0)?;
    for drive in &mut config.drives {
        drive.request.snapshot |= !drive.request.read_only;
    }
    for bank in &mut config.pflash {
        bank.snapshot |= !bank.readonly;
    }
    let verdict = compare(&Lockstep {
        config,
        seed: args.seed,
        payload: &payload,
        ways: [args.first.way(), args.second.way()],
        every: args.every,
        insns: args.insns.unwrap_or(u64::MAX),
    });
    let verdict = verdict.map_err(anyhow::Error::from)?;
    let (text, status) = told(args, &verdict);
    print(text.as_bytes())?;
    Ok(status)
}

fn told(args: &Args, verdict: &Verdict) -> (String, u8) {
    let (a, b) = (args.first.name(), args.second.name());
    match verdict {
        Verdict::Same {
            instructions,
            ended,
            comparisons,
            thorough,
        } => {
            let end = if *ended { " to the end" } else { "" };
            let text = format!(
                "{a} and {b}: the same for {instructions} instructions{end} \
                 ({comparisons} comparisons, {thorough} of them of memory)\n"
            );
            (text, status::OK)
        }
        Verdict::Part(part) => (parted(part, &repeat(part.seen)), status::DIFFERENT),
        Verdict::Unsteady { seen } => {
            let text = format!(
                "{a} and {b}: they differed after {seen} instructions, and did not when run \
                 again: one of them does not repeat\n"
            );
            (text, status::DIFFERENT)
        }
    }
}

/// The command line that shows a difference again, with as few instructions as it takes.
fn repeat(seen: u64) -> String {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let mut words: Vec<String> = words.collect();
    for option in ["--every", "--insns"] {
        while let Some(at) = words.iter().position(|w| w == option) {
            words.drain(at..(at + 2).min(words.len()));
        }
        words.retain(|w| !w.starts_with(&format!("{option}=")));
    }
    words.extend(
        ["--every", "--insns"]
            .into_iter()
            .flat_map(|o| [o.to_owned(), seen.to_string()]),
    );
    let quoted = words.iter().map(|word| quote(word));
    quoted.collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The difference as a person reads it.
fn parted(part: &Part, repeat: &str) -> String {
    let mut text = String::new();
    let seen = part.seen;
    // Writing to a string cannot fail, here and below.
    let _ = match part.begins {
        Some(begins) if begins == seen => writeln!(text, "the forms part at instruction {seen}:"),
        Some(begins) => writeln!(
            text,
            "the forms part in instructions {begins} to {seen}, which the second executes \
             as one piece:"
        ),
        None => writeln!(
            text,
            "the forms differ after instruction {seen}, but not where they are stopped on the way:"
        ),
    };
    let first = part.begins.unwrap_or(seen);
    for executed in &part.executed {
        let mark = if executed.number >= first { '>' } else { ' ' };
        let _ = writeln!(
            text,
            "{mark} {:>12}  hart {} {:#018x}  {}",
            executed.number, executed.hart, executed.pc, executed.text
        );
    }
    text.push_str("what differs then (first form, second form):\n");
    for difference in &part.differences {
        for line in difference.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    let _ = writeln!(text, "again:\n  {repeat}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::lockstep::Executed;

    #[test]
    fn a_difference_names_its_instruction_and_says_how_to_see_it_again() {
        let executed = |number, text: &str| Executed {
            number,
            hart: 1,
            pc: 0x8000_0000 + 4 * number,
            text: text.into(),
        };
        let part = Part {
            begins: Some(7),
            seen: 7,
            executed: vec![executed(6, "nop"), executed(7, "add a0,a0,a1")],
            differences: vec!["hart 1 a0".into(), "memory 0x80000000:\n  01\n  02".into()],
        };
        let text = parted(&part, "isoform lockstep");
        assert!(
            text.starts_with("the forms part at instruction 7:\n"),
            "{text}"
        );
        assert!(
            text.contains(">            7  hart 1 0x000000008000001c  add a0,a0,a1"),
            "{text}"
        );
        assert!(text.contains("             6  hart 1"), "{text}");
        assert!(
            text.contains("\n  hart 1 a0\n  memory 0x80000000:\n    01\n"),
            "{text}"
        );
        assert!(text.ends_with("again:\n  isoform lockstep\n"), "{text}");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("--every=5"), "--every=5");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote(""), "''");
    }
}
