//! `cargo xtask bench peers`: the programs of `test-roms/bench` here and on QEMU,
//! each several times in turn, so that a noisy machine is noisy for both. What
//! counts is the ratio of the medians; process start is in both.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{process, roms, skips};

/// How often, and what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of each program on each side
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these programs (default: all of kind "bench")
    names: Vec<String>,
}

/// Carries out `cargo xtask bench peers`.
pub(super) fn run(args: &Args) -> Result<()> {
    if !process::works(roms::QEMU, "--version") {
        skips::note("bench peers", &format!("no {} on this machine", roms::QEMU));
        return Ok(());
    }
    let isoform = process::isoform()?;
    let programs: Vec<_> = roms::benches()?
        .into_iter()
        .filter(|name| args.names.is_empty() || args.names.contains(name))
        .collect();
    ensure!(
        !programs.is_empty(),
        "no bench of that name in test-roms/roms.toml"
    );
    println!(
        "medians of {} runs, in seconds; below 1, Isoform is faster",
        args.runs
    );
    println!(
        "{:<20} {:>9} {:>9} {:>8}",
        "program", "isoform", "qemu", "ratio"
    );
    let mut logarithms = 0.0;
    for name in &programs {
        let elf = roms::elf(name);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.runs {
            ours.push(time(&mut here(&isoform, &elf))?);
            theirs.push(time(&mut qemu(&elf))?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours / theirs;
        logarithms += ratio.ln();
        println!("{name:<20} {ours:>9.3} {theirs:>9.3} {ratio:>8.2}");
    }
    let mean = (logarithms / programs.len() as f64).exp();
    println!("{:<20} {:>9} {:>9} {mean:>8.2}", "geometric mean", "", "");
    Ok(())
}

fn here(isoform: &Path, elf: &Path) -> Command {
    let mut command = Command::new(isoform);
    command
        .arg("run")
        .arg(elf)
        .args(["--serial", "null", "--memory", "256M"]);
    command
}

fn qemu(elf: &Path) -> Command {
    let mut command = Command::new(roms::QEMU);
    command
        .args(["-machine", "virt", "-bios", "none", "-m", "256M"])
        .args([
            "-display", "none", "-serial", "null", "-monitor", "none", "-kernel",
        ])
        .arg(elf);
    command
}

/// Seconds that a run takes; it must end with success.
fn time(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| process::named(command))?;
    let taken: Duration = start.elapsed();
    ensure!(status.success(), "{}: {status}", process::named(command));
    Ok(taken.as_secs_f64())
}

/// The middle one, or of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
