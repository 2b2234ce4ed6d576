//! `cargo xtask bench`: the criterion benches of the workspace, and the comparison
//! with others ([`peers`]).

mod peers;

use anyhow::Result;

use crate::process;

/// What to measure; without a subcommand, all of Isoform's own benches.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Only benches whose names contain this
    filter: Option<String>,
}

#[derive(clap::Subcommand)]
enum What {
    /// The same work in Isoform and in QEMU, where it is installed
    Peers(peers::Args),
}

/// Carries out `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        Some(What::Peers(args)) => peers::run(args),
        None => {
            let benches = [
                "--workspace",
                "--bench",
                "decode",
                "--bench",
                "interpret",
                "--bench",
                "translate",
                "--bench",
                "boot",
            ];
            // `cargo bench` builds optimised anyway and knows no --release.
            let mut command = process::cargo(&["bench", "--locked"]);
            command.args(benches).arg("--").args(&args.filter);
            process::visible(&mut command)
        }
    }
}
