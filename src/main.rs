//! The `isoform` program; everything is in the library, so that tests and chores
//! reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    isoform::cli::main()
}
