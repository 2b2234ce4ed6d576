//! Running other programs: cargo above all.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// One profile for everything: guests must run fast, and two cores compile once.
/// No dependency may change on the way.
pub(crate) const PROFILE: &[&str] = &["--release", "--locked"];

/// Cargo, in the repository's root, as the one that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(crate::repository()).args(arguments);
    command
}

/// `cargo <first> --release --locked <rest>`.
pub(crate) fn cargo_release(first: &str, rest: &[&str]) -> Command {
    let mut command = cargo(&[first]);
    command.args(PROFILE).args(rest);
    command
}

/// Whether `program` can be started with `argument`, and says it is well.
pub(crate) fn works(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs `command` with its output where this program's goes.
pub(crate) fn visible(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| named(command))?;
    if !status.success() {
        bail!("{}: {status}", named(command));
    }
    Ok(())
}

/// Runs `command` and gives what it printed, whatever its verdict.
pub(crate) fn captured(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| named(command))
}

/// The command as a person would type it.
pub(crate) fn named(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Builds the product and gives the path of the program.
pub(crate) fn isoform() -> Result<PathBuf> {
    build("--bin", "isoform")?;
    Ok(target().join("release/isoform"))
}

/// Builds an example and gives the path of the program.
pub(crate) fn example(name: &str) -> Result<PathBuf> {
    build("--example", name)?;
    Ok(target().join("release/examples").join(name))
}

/// Always the whole workspace's: built alone, a package may get other features of
/// its dependencies, and all of them would be compiled again.
fn build(kind: &str, name: &str) -> Result<()> {
    let words = ["--quiet", "--workspace", kind, name];
    visible(&mut cargo_release("build", &words))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => crate::repository().join(folder),
        None => crate::repository().join("target"),
    }
}
