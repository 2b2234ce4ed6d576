//! `isoform completions`.

use super::{Failure, command, print, status};

/// Print a completion script for a shell.
///
/// For bash: isoform completions bash >
/// ~/.local/share/bash-completion/completions/isoform
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    // Into memory first: the generator panics where a pipe's reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "isoform", &mut script);
    print(&script)?;
    Ok(status::OK)
}
