//! `cargo xtask man`: the manual pages, one for the program and one for each
//! subcommand. They come from the same definition as `--help`, by way of
//! `examples/man.rs`, which is linked with the product; this crate is not.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;

/// Where the pages go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder to write to; made if it is not there [default: man, where cargo
    /// puts what it builds]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Carries out `cargo xtask man`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let here = std::env::current_dir()?;
    let folder = match &args.out {
        Some(folder) => here.join(folder),
        None => process::target().join("man"),
    };
    write(&folder)
}

/// Writes the pages into `folder`.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let program = process::example("man")?;
    process::visible(Command::new(program).arg(folder))
}
