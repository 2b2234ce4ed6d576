//! `cargo xtask test`: everything there is to check, a step at a time.
//!
//! A step's output is shown when it fails (or with `--verbose`); what its tests
//! skipped is collected from it, by the lines that [`skips::said`] knows.
//! Nothing is installed: a tool that is missing is a skip, and a failure in
//! continuous integration or with `ISOFORM_REQUIRE_GUESTS=1`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{man, process, roms, skips};

/// What to check; everything, unless steps are named.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show the output of steps that pass, too
    #[arg(long)]
    verbose: bool,
    /// List the steps
    #[arg(long)]
    list: bool,
    /// Only the steps whose names contain one of these words
    steps: Vec<String>,
}

/// A step: its name, and what it does.
struct Step {
    name: String,
    work: Work,
}

enum Work {
    /// A command that passes by its exit status.
    Run(Command),
    /// A command, where cargo has this subcommand. (cargo's components can be absent.)
    Tool(&'static str, Command),
    /// A chore of this crate.
    Chore(fn() -> Result<()>),
}

/// How a step went.
enum Verdict {
    Passed,
    Skipped,
    Failed(String),
}

/// Numbers from the lines with which libtest ends.
#[derive(Default, Debug, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Carries out `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = |step: &Step| {
        args.steps.is_empty()
            || args
                .steps
                .iter()
                .any(|word| step.name.contains(word.as_str()))
    };
    let steps: Vec<_> = steps()?.into_iter().filter(wanted).collect();
    if steps.is_empty() {
        bail!("no step is named so; `cargo xtask test --list` names them");
    }
    if args.list {
        steps.iter().for_each(|step| println!("{}", step.name));
        return Ok(());
    }
    let start = Instant::now();
    let mut tests = Tally::default();
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for step in steps {
        print!("{:<44}", step.name);
        std::io::stdout().flush()?;
        let begun = Instant::now();
        let verdict = carry_out(step.work, args.verbose, &mut tests)?;
        let seconds = begun.elapsed().as_secs_f64();
        match verdict {
            Verdict::Passed => {
                passed += 1;
                println!("ok      {seconds:>7.1} s");
            }
            Verdict::Skipped => {
                skipped += 1;
                println!("skipped {seconds:>7.1} s");
            }
            Verdict::Failed(output) => {
                println!("FAILED  {seconds:>7.1} s\n{output}");
                failed.push(step.name);
            }
        }
    }
    let noted = skips::all();
    if !noted.is_empty() {
        println!("\nskipped:");
        noted.iter().for_each(|line| println!("  {line}"));
    }
    println!(
        "\n{passed} steps passed, {} failed, {skipped} skipped in {:.0} s",
        failed.len(),
        start.elapsed().as_secs_f64()
    );
    println!(
        "tests: {} passed, {} failed, {} ignored (long forms: `cargo xtask soak`), {} skipped",
        tests.passed,
        tests.failed,
        tests.ignored,
        noted.len()
    );
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    if skips::are_failures() && !noted.is_empty() {
        bail!(
            "this machine is said to have everything, but {} checks were skipped",
            noted.len()
        );
    }
    Ok(())
}

/// All steps, the quick and the telling ones first.
fn steps() -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut step = |name: &str, work| {
        steps.push(Step {
            name: name.to_owned(),
            work,
        })
    };
    step(
        "formatting",
        Work::Tool(
            "fmt",
            process::cargo(&["fmt", "--all", "--", "--check", "-l"]),
        ),
    );
    let lints = ["--workspace", "--all-targets", "--", "-D", "warnings"];
    step(
        "lints",
        Work::Tool("clippy", process::cargo_release("clippy", &lints)),
    );
    let mut docs = process::cargo_release("doc", &["--workspace", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", Work::Run(docs));
    let build = process::cargo_release("test", &["--workspace", "--no-run"]);
    step("build", Work::Run(build));
    step(
        "unit and table tests",
        Work::Run(tests(&["--lib", "--bins"])),
    );
    step(
        "examples in the documentation",
        Work::Run(tests(&["--doc"])),
    );
    for name in integration_tests(&crate::repository())? {
        let work = Work::Run(integration_test(&name));
        step(&format!("tests: {name}"), work);
    }
    step("manual pages", Work::Chore(manual_pages));
    step(
        "guest programs are what their sources say",
        Work::Chore(roms_check),
    );
    step("guest programs on QEMU", Work::Chore(roms_on_qemu));
    Ok(steps)
}

/// Tests of the workspace, with what passing ones print, so that skips are seen.
fn tests(which: &[&str]) -> Command {
    let mut command = process::cargo_release("test", &["--workspace", "--no-fail-fast"]);
    command.args(which).args(["--", "--show-output"]);
    command
}

/// The names of all integration tests of the workspace, each once.
fn integration_tests(root: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for member in crates(root)? {
        let Ok(entries) = std::fs::read_dir(member.join("tests")) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let is_test =
                path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file();
            if let (true, Some(name)) = (is_test, path.file_stem()) {
                names.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    Ok(names)
}

/// The folders of the workspace's packages.
fn crates(root: &Path) -> Result<Vec<std::path::PathBuf>> {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: toml::Table = manifest.parse().context("in Cargo.toml")?;
    let members = manifest.get("workspace").and_then(|w| w.get("members"));
    let members = members
        .and_then(|m| m.as_array())
        .context("Cargo.toml names no members")?;
    Ok(members
        .iter()
        .filter_map(|m| m.as_str())
        .map(|m| root.join(m))
        .collect())
}

fn carry_out(work: Work, verbose: bool, tests: &mut Tally) -> Result<Verdict> {
    let mut command = match work {
        Work::Run(command) => command,
        Work::Tool(tool, command) => {
            if !process::captured(&mut process::cargo(&[tool, "--version"]))?
                .status
                .success()
            {
                skips::note(&format!("cargo {tool}"), "not installed");
                return Ok(Verdict::Skipped);
            }
            command
        }
        Work::Chore(chore) => {
            println!();
            let before = skips::all().len();
            return Ok(match chore() {
                Ok(()) if skips::all().len() > before => Verdict::Skipped,
                Ok(()) => Verdict::Passed,
                Err(error) => Verdict::Failed(format!("{error:#}")),
            });
        }
    };
    let output = process::captured(&mut command)?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    for line in out.lines().chain(err.lines()) {
        tests.add(line);
        if let Some(what) = skips::said(line) {
            skips::record(what.to_owned());
        }
    }
    if verbose {
        print!("\n{err}{out}");
    }
    Ok(if output.status.success() {
        Verdict::Passed
    } else {
        Verdict::Failed(format!("$ {}\n{err}{out}", process::named(&command)))
    })
}

impl Tally {
    /// Adds what a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …` says.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<_> = result.split([' ', ';']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// The tests of an integration test's name. The soft float's have a second oracle in C
/// where a compiler and CMake can build it; where not, they say themselves that it is
/// skipped. Its feature is given to that package alone, since others would be compiled
/// again for it.
fn integration_test(name: &str) -> Command {
    let tools = ["cc", "cmake"]
        .iter()
        .all(|tool| process::works(tool, "--version"));
    if name != "oracles" || !tools {
        return tests(&["--test", name]);
    }
    let words = ["--package", "isoform-softfloat", "--features", "berkeley"];
    let mut command = process::cargo_release("test", &words);
    command.args(["--test", name, "--", "--show-output"]);
    command
}

/// The program and its main subcommand have pages.
fn manual_pages() -> Result<()> {
    let folder = process::target().join("man");
    man::write(&folder)?;
    for page in ["isoform.1", "isoform-run.1"] {
        let text = std::fs::read_to_string(folder.join(page)).context(page)?;
        if !text.contains(".SH SYNOPSIS") {
            bail!("{page} is no manual page");
        }
    }
    Ok(())
}

fn roms_check() -> Result<()> {
    roms::check_all()
}

fn roms_on_qemu() -> Result<()> {
    roms::verify_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out");
        tally.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        tally.add("12 passed, as a guest might print");
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: 2,
                ignored: 1
            }
        );
    }

    #[test]
    fn every_integration_test_has_a_step() {
        let names = integration_tests(&crate::repository()).expect("readable");
        for name in ["tidy", "roms", "cli", "oracles"] {
            assert!(names.contains(name), "{name} is not in {names:?}");
        }
        assert!(!names.contains("fixtures"));
    }

    #[test]
    fn a_step_that_fails_shows_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'skipped: a: b'; echo why >&2; exit 3"]);
        let verdict = carry_out(Work::Run(command), false, &mut Tally::default());
        assert!(matches!(verdict, Ok(Verdict::Failed(text)) if text.contains("why")));
        assert!(skips::all().contains(&"a: b".to_owned()));
    }
}
