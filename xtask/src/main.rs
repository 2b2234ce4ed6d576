//! Chores of the repository, run as `cargo xtask <chore>`.
//!
//! Each chore is a module with a clap `Args` struct and a `run` function; this
//! file only dispatches. A new chore is a module, a line in [`Chore`] and a line
//! in [`main`]. Chores install nothing: a tool that is missing is reported as a
//! skip, by name.

mod roms;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of Isoform's repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the guest programs of test-roms, compare them with the committed
    /// ones, or try them on QEMU
    Roms(roms::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Roms(args) => roms::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository: the folder above this crate's.
fn repository() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Say on standard output that `what` was not done, and why. Skips are never silent.
fn skipped(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
}
