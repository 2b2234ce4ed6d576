//! Chores of the repository, run as `cargo xtask <chore>`.
//!
//! Each chore is a module with a clap `Args` struct and a `run` function; this
//! file only dispatches. A new chore is a module, a line in [`Chore`] and a line
//! in [`main`]. Chores install nothing: a tool that is missing is reported as a
//! skip, by name ([`skips`]).
//!
//! The crate depends on nothing of Isoform, so that it is built in seconds; what
//! needs the product runs it.

mod bench;
mod cross;
mod man;
mod process;
mod roms;
mod skips;
mod soak;
mod test;

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
    /// Check everything: formatting, lints, tests, documents, guests
    Test(test::Args),
    /// The long forms of the tests: many seeds, many repetitions, fuzzing
    Soak(soak::Args),
    /// Measure: decoder, interpreter, translator, boot; or side by side with peers
    Bench(bench::Args),
    /// Build for another host architecture and test there, on QEMU: a quarter of an hour,
    /// so it is no step of `test`
    Cross(cross::Args),
    /// Write the manual pages
    Man(man::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Roms(args) => roms::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Soak(args) => soak::run(&args),
        Chore::Bench(args) => bench::run(&args),
        Chore::Cross(args) => cross::run(&args),
        Chore::Man(args) => man::run(&args),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Lines of code blocks that begin with `cargo xtask`, as words.
    fn commands(document: &str) -> Vec<Vec<&str>> {
        let blocks = document.split("```").skip(1).step_by(2);
        let lines = blocks
            .flat_map(str::lines)
            .map(|line| line.trim().trim_start_matches("$ "));
        let commands = lines.filter(|line| line.starts_with("cargo xtask "));
        commands
            .map(|line| {
                line.split_whitespace()
                    .take_while(|word| *word != "#")
                    .collect()
            })
            .collect()
    }

    fn understood(words: &[&str]) -> bool {
        // "cargo" is the program's name to clap, and "xtask" is no word of ours.
        match Cli::command().try_get_matches_from(words.iter().skip(1)) {
            Ok(_) => true,
            Err(error) => error.kind() == clap::error::ErrorKind::DisplayHelp,
        }
    }

    #[test]
    fn documents_show_chores_that_exist() {
        let mut count = 0;
        for name in ["README.md", "ARCHITECTURE.md", "test-roms/README.md"] {
            let text = std::fs::read_to_string(repository().join(name)).expect(name);
            for words in commands(&text) {
                // A part in brackets stands for itself or nothing.
                let words: Vec<_> = words.into_iter().filter(|w| !w.starts_with('[')).collect();
                assert!(understood(&words), "{name}: {}", words.join(" "));
                count += 1;
            }
        }
        assert!(count > 3, "only {count} commands found");
        assert_eq!(
            commands("```\ncargo xtask roms --list # x\n```\ncargo xtask no"),
            [["cargo", "xtask", "roms", "--list"]]
        );
        assert!(understood(&["cargo", "xtask", "roms", "--list"]));
        assert!(!understood(&["cargo", "xtask", "no-such-chore"]));
        assert!(!understood(&["cargo", "xtask", "roms", "--no-such-option"]));
    }
}
