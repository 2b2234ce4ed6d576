//! Writes the manual pages into a folder: `cargo xtask man`.
//!
//! `isoform.1` and one page a subcommand, `isoform-run.1` and so on, all from the
//! definition that `--help` comes from.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: man FOLDER");
        return ExitCode::from(2);
    };
    let pages = std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(isoform::cli::command(), &folder));
    match pages {
        Ok(()) => {
            println!("manual pages in {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!(
                "error: cannot write manual pages to {}: {error}",
                folder.display()
            );
            ExitCode::FAILURE
        }
    }
}
