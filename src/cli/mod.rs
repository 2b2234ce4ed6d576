//! The command line: words in, one exit status and at most one error message out.
//!
//! Each subcommand is a file with its `Args` and a `run` function. Exit statuses
//! are in [`status`]; `failure` prints errors. Nothing here knows a device or an
//! instruction: `run` makes a [`MachineConfig`](crate::config::MachineConfig) and
//! hands it over.

mod completions;
mod disasm;
mod disk;
mod explain;
mod failure;
mod firmware;
mod guest;
mod handed;
mod image;
mod images;
mod lockstep;
mod log;
mod machine;
mod progress;
mod run;
pub mod status;
mod system;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;

/// Columns `--help` uses at most.
const WIDTH: usize = 80;

/// Run any machine on any machine.
///
/// Isoform is a full-system emulator: it gives a guest a CPU, memory and
/// devices, and boots unmodified operating systems on them.
#[derive(Debug, Parser)]
#[command(name = "isoform", version, max_term_width = WIDTH, after_long_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more: -v what is done and the causes of errors, -vv details, -vvv all
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

const AFTER: &str = "\
Exit status: 0 when all went well or the guest powered off, the guest's own \
code where it ended with one, 1 for an error of the host, 2 for a command line \
that makes no sense, 124 when --timeout ended the run, 125 for an error of the \
host under --exec or `lockstep`, where 1 says that the forms differ.

Try `isoform run` for a guest that is built in, and `isoform run \
debian:riscv64` for a real system.";

// A variant's help is its `Args`' own.
#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Image(image::Args),
    Images(images::Args),
    Disk(disk::Args),
    Disasm(disasm::Args),
    Explain(explain::Args),
    Lockstep(Box<lockstep::Args>),
    Completions(completions::Args),
}

/// The command line as clap knows it, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program on the process's own command line.
pub fn main() -> ExitCode {
    ExitCode::from(main_with(std::env::args_os()))
}

/// Runs the program on `words`, the program's name first; returns the exit status.
pub fn main_with(words: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    log::start(cli.verbose);
    let result = match &cli.command {
        Command::Run(args) => run::run(args, cli.verbose),
        Command::Image(args) => image::run(args),
        Command::Images(args) => images::run(args),
        Command::Disk(args) => disk::run(args),
        Command::Disasm(args) => disasm::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Lockstep(args) => lockstep::run(args, cli.verbose),
        Command::Completions(args) => completions::run(args),
    };
    match result {
        Ok(status) => status,
        Err(failure) => failure.report(cli.verbose),
    }
}

/// A complaint about the command line as a whole, in clap's words and colours.
fn conflict(message: impl std::fmt::Display) -> Failure {
    Failure::Usage(usage_error(
        &["run"],
        clap::error::ErrorKind::ArgumentConflict,
        message,
    ))
}

/// An error as if clap had found it in the subcommand `path`.
fn usage_error(
    path: &[&str],
    kind: clap::error::ErrorKind,
    message: impl std::fmt::Display,
) -> clap::Error {
    let mut command = command();
    command.build();
    let mut at = &mut command;
    for name in path {
        // Names are this file's own; without one the error is the program's.
        if at.find_subcommand(name).is_none() {
            break;
        }
        at = at.find_subcommand_mut(name).expect("found the line above");
    }
    at.error(kind, message)
}

/// Writes to standard output; a reader that went away is no error.
///
/// # Errors
/// Other failures of the host, a full disk for one.
fn print(text: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write to standard output: {error}").into())
        }
        _ => Ok(()),
    }
}
