//! `cargo xtask soak`: the long forms of the tests. A short sample of each runs with
//! the ordinary tests; here the numbers are large, and what takes hours may.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{process, roms, skips};

/// How long, and what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds of each seeded test, and cases of each property
    #[arg(long, default_value_t = 1000)]
    seeds: u32,
    /// Repetitions of what runs on several harts
    #[arg(long, default_value_t = 100)]
    repeat: u32,
    /// Seconds for each fuzz target
    #[arg(long, default_value_t = 300)]
    fuzz: u32,
    /// Only the fuzz targets whose names contain one of these words
    #[arg(long)]
    target: Vec<String>,
    /// Only these parts (default: all)
    #[arg(value_enum)]
    parts: Vec<Part>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The ordinary tests with many cases, and the long ones that they leave out
    Tests,
    /// Programs for several harts, again and again
    Smp,
    /// The deterministic clock: many seeds, each run twice
    Insn,
    /// Debian on several harts, again and again
    Boots,
    /// The fuzz targets
    Fuzz,
}

const ALL: &[Part] = &[Part::Tests, Part::Smp, Part::Insn, Part::Boots, Part::Fuzz];

/// Carries out `cargo xtask soak`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let parts = if args.parts.is_empty() {
        ALL
    } else {
        &args.parts
    };
    let mut failed = Vec::new();
    for part in parts {
        let (name, work): (_, fn(&Args) -> Result<()>) = match part {
            Part::Tests => ("tests", tests),
            Part::Smp => ("smp", smp),
            Part::Insn => ("insn", insn),
            Part::Boots => ("boots", boots),
            Part::Fuzz => ("fuzz", fuzz),
        };
        let start = Instant::now();
        let result = work(args);
        println!("{name}: {:.0} s", start.elapsed().as_secs_f64());
        if let Err(error) = result {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// `PROPTEST_CASES` is proptest's own variable, the others are read by tests of ours:
/// the fuzz targets' sample, the comparison with QEMU, the real guests.
fn tests(args: &Args) -> Result<()> {
    let seeds = args.seeds.to_string();
    let mut command = process::cargo_release("test", &["--workspace", "--no-fail-fast"]);
    command
        .args(["--", "--include-ignored"])
        .env("ISOFORM_SOAK", "1");
    for name in ["PROPTEST_CASES", "ISOFORM_SEEDS", "ISOFORM_DIFF_SEEDS"] {
        command.env(name, &seeds);
    }
    process::visible(&mut command)
}

fn smp(args: &Args) -> Result<()> {
    let isoform = process::isoform()?;
    for (name, harts) in roms::on_several_harts()? {
        for turn in 1..=args.repeat {
            let mut command = Command::new(&isoform);
            command.arg("run").arg(roms::elf(&name));
            command.args([
                "--smp",
                &harts.to_string(),
                "--serial",
                "null",
                "--timeout",
                "300",
            ]);
            if turn % 2 == 0 {
                // So little that translated code is forgotten now and then.
                command.args(["--code-cache", "1M", "--translation-cache", "off"]);
            }
            passes(&mut command).with_context(|| format!("{name}, run {turn}"))?;
        }
        println!("{name}: {} runs", args.repeat);
    }
    Ok(())
}

/// Two runs of one seed do the same number of instructions and device accesses.
fn insn(args: &Args) -> Result<()> {
    let isoform = process::isoform()?;
    for (name, harts) in roms::on_several_harts()? {
        for seed in 0..args.repeat {
            let ledger = || {
                let mut command = Command::new(&isoform);
                command
                    .arg("run")
                    .arg(roms::elf(&name))
                    .args(["--smp", &harts.to_string()]);
                command.args(["--serial", "null", "--timeout", "300", "--stats", "--clock"]);
                command.arg(format!("insn,seed={seed}"));
                ledger(&mut command)
            };
            let (first, second) = (ledger()?, ledger()?);
            ensure!(
                first == second,
                "{name}, seed {seed}:\n{first}\nand then\n{second}"
            );
        }
        println!("{name}: {} seeds", args.repeat);
    }
    Ok(())
}

fn boots(args: &Args) -> Result<()> {
    let isoform = process::isoform()?;
    let boot = |harts: u32| -> Result<()> {
        let mut command = Command::new(&isoform);
        command.args(["run", "debian:riscv64", "--smp", &harts.to_string()]);
        command.args(["--timeout", "300", "--exec", "nproc"]);
        let output = process::captured(&mut command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{harts} harts: {}: {error}",
            output.status
        );
        ensure!(
            said.trim() == harts.to_string(),
            "{harts} harts, but nproc says {said:?}"
        );
        Ok(())
    };
    if let Err(error) = boot(1) {
        if skips::are_failures() {
            return Err(error);
        }
        skips::note("boots", &format!("{error:#}"));
        return Ok(());
    }
    for turn in 1..=args.repeat {
        let harts = 1 << (turn % 4);
        boot(harts).with_context(|| format!("boot {turn}"))?;
    }
    println!("{} boots", args.repeat);
    Ok(())
}

/// libFuzzer's instrumentation needs unstable flags of the compiler, which
/// `RUSTC_BOOTSTRAP` unlocks; nothing else here does so.
fn fuzz(args: &Args) -> Result<()> {
    if !process::captured(&mut process::cargo(&["fuzz", "--version"]))?
        .status
        .success()
    {
        skips::note(
            "fuzz",
            "no cargo-fuzz on this machine; `cargo install cargo-fuzz`",
        );
        return Ok(());
    }
    let cargo = |words: &[&str]| {
        let mut command = process::cargo(&["fuzz"]);
        command.args(words).env("RUSTC_BOOTSTRAP", "1");
        command
    };
    let listed = process::captured(&mut cargo(&["list"]))?;
    let listed = String::from_utf8(listed.stdout)?;
    if listed.trim().is_empty() {
        bail!("`cargo fuzz list` names no target");
    }
    let wanted = |target: &&str| {
        args.target.is_empty()
            || args
                .target
                .iter()
                .any(|word| target.contains(word.as_str()))
    };
    let targets: Vec<_> = listed.lines().filter(wanted).collect();
    if targets.is_empty() {
        bail!("no fuzz target is named so; `cargo fuzz list` names them");
    }
    let seconds = format!("-max_total_time={}", args.fuzz);
    for target in targets {
        // What is found goes into the first folder; the second has what is kept.
        let (corpus, kept) = (
            format!("fuzz/corpus/{target}"),
            format!("fuzz/seeds/{target}"),
        );
        std::fs::create_dir_all(crate::repository().join(&corpus))?;
        let mut run = cargo(&[
            "run",
            "--features",
            "libfuzzer",
            target,
            &corpus,
            &kept,
            "--",
            &seconds,
            "-rss_limit_mb=4096",
            "-timeout=60",
        ]);
        process::visible(&mut run).with_context(|| target.to_owned())?;
    }
    Ok(())
}

fn passes(command: &mut Command) -> Result<()> {
    let output = process::captured(command)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {error}", output.status);
    Ok(())
}

/// What `--stats` says, without what depends on the host: its speed, and which form ran
/// what.
fn ledger(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {said}", output.status);
    let of_host = |line: &&str| {
        let forms = [
            "  translated: ",
            "  interpreted: ",
            "  soft TLB: ",
            "translator: ",
        ];
        line.contains(" instructions in ") || forms.iter().any(|form| line.starts_with(form))
    };
    let lines = said.lines().filter(|line| !of_host(line));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
