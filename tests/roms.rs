//! The guest programs of `test-roms`, each run by the built program, through every
//! backend and under both clocks, with the machine and the verdict that
//! `test-roms/roms.toml` names.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// All backends there are.
const BACKENDS: &[&str] = &["interp", "jit"];
/// Both clocks.
const CLOCKS: &[&str] = &["host", "insn"];
/// What a program may take; it is seconds on an idle machine.
const PATIENCE: &str = "180";
/// What `isoform run` exits with when `--timeout` ends it.
const TIMED_OUT: i32 = 124;

/// What is read of the list here; `xtask/src/roms/manifest.rs` documents all of it.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "rom")]
    roms: Vec<Rom>,
}

#[derive(Deserialize)]
struct Rom {
    name: String,
    kind: String,
    #[serde(default = "one")]
    harts: u32,
    #[serde(default)]
    exit: i32,
    clock: Option<String>,
}

fn one() -> u32 {
    1
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-roms")
}

fn roms(kind: &str) -> Vec<Rom> {
    let text = std::fs::read_to_string(folder().join("roms.toml")).expect("roms.toml");
    let manifest: Manifest = toml::from_str(&text).expect("a list of programs");
    let roms: Vec<_> = manifest
        .roms
        .into_iter()
        .filter(|rom| rom.kind == kind)
        .collect();
    assert!(!roms.is_empty(), "no program of kind {kind}");
    roms
}

/// The built program. Where it is another processor's, `ISOFORM_RUNNER` names what runs it.
fn isoform() -> Command {
    let program = env!("CARGO_BIN_EXE_isoform");
    let Some(runner) = std::env::var_os("ISOFORM_RUNNER") else {
        return Command::new(program);
    };
    let mut command = Command::new(runner);
    command.arg(program);
    command
}

/// One way to run one program.
struct Run<'a> {
    rom: &'a Rom,
    backend: &'a str,
    clock: &'a str,
}

/// Every program in every form.
fn runs<'a>(roms: &'a [Rom], clocks: &'a [&str]) -> Vec<Run<'a>> {
    let forms = BACKENDS
        .iter()
        .flat_map(|backend| clocks.iter().map(move |clock| (*backend, *clock)));
    forms
        .flat_map(|(backend, clock)| {
            let fits = move |rom: &&Rom| rom.clock.as_ref().is_none_or(|c| c == clock);
            roms.iter().filter(fits).map(move |rom| Run {
                rom,
                backend,
                clock,
            })
        })
        .collect()
}

impl Run<'_> {
    fn name(&self) -> String {
        format!("{} ({}, {})", self.rom.name, self.backend, self.clock)
    }

    fn output(&self, timeout: &str, more: &[&str]) -> Output {
        isoform()
            .arg("run")
            .arg(folder().join("bin").join(format!("{}.elf", self.rom.name)))
            .args(["--smp", &self.rom.harts.to_string()])
            .args(["--backend", self.backend, "--clock", self.clock])
            .args(["--serial", "null", "--memory", "256M", "--timeout", timeout])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }
}

/// Does `check` for every run, two at a time, and fails with all that went wrong.
fn all(runs: &[Run<'_>], check: impl Fn(&Run<'_>) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            let result = check(run);
            println!("{:<40} {:>6} ms", run.name(), start.elapsed().as_millis());
            if let Err(why) = result {
                wrong
                    .lock()
                    .expect("nobody panics with it")
                    .push(format!("{}: {why}", run.name()));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let wrong = wrong.into_inner().expect("nobody panics with it");
    assert!(
        wrong.is_empty(),
        "{} of {} failed:\n{}",
        wrong.len(),
        runs.len(),
        wrong.join("\n")
    );
}

/// Runs to its end, with the exit status of the list.
fn verdict(run: &Run<'_>) -> Result<(), String> {
    let output = run.output(PATIENCE, &[]);
    if output.status.code() == Some(run.rom.exit) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{}, not {}; it said: {said}",
        output.status, run.rom.exit
    ))
}

/// More code than the cache has room for, while it changes under the harts that run it.
#[test]
fn code_changes_while_the_cache_of_translated_code_is_emptied() {
    let roms = roms("test");
    let rewrites = |run: &Run<'_>| run.rom.name == "smp_rewrite" && run.backend == "jit";
    let runs: Vec<_> = runs(&roms, CLOCKS).into_iter().filter(rewrites).collect();
    assert!(!runs.is_empty());
    all(&runs, |run| {
        let more = [
            "--code-cache",
            "1M",
            "--translation-cache",
            "off",
            "--stats",
        ];
        let output = run.output(PATIENCE, &more);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(run.rom.exit) {
            return Err(format!("{}; it said: {said}", output.status));
        }
        match said.contains("cache emptied 0 times") {
            true => Err(format!("the cache was never full: {said}")),
            false => Ok(()),
        }
    });
}

#[test]
fn tests_give_their_verdict() {
    all(&runs(&roms("test"), CLOCKS), verdict);
}

/// They check what they computed. On another processor's emulation they take minutes where
/// they are interpreted.
#[test]
fn benches_compute_what_they_should() {
    let (roms, emulated) = (roms("bench"), std::env::var_os("ISOFORM_RUNNER").is_some());
    let mut runs = runs(&roms, &["host"]);
    runs.retain(|run| !emulated || run.backend == "jit");
    all(&runs, verdict);
}

/// A guest that has lost its way stays its own problem: the program neither fails
/// nor hangs, and tells what the guest did.
#[test]
fn endless_programs_are_survived() {
    all(&runs(&roms("endless"), CLOCKS), |run| {
        let start = Instant::now();
        let output = run.output("1", &["--stats"]);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(TIMED_OUT) {
            return Err(format!("{}, not a timeout; it said: {said}", output.status));
        }
        if start.elapsed() > Duration::from_secs(30) {
            return Err(format!("a timeout of 1 s took {:?}", start.elapsed()));
        }
        let told = |what: &str| said.contains(what);
        if !told("fault") && !told("illegal instruction") && !told("misaligned") {
            return Err(format!("--stats does not tell of its traps: {said}"));
        }
        Ok(())
    });
}

/// What a program prints that is given `input`, which then ends.
fn echoed(clock: &str, input: &'static [u8]) -> String {
    let mut process = isoform()
        .arg("run")
        .arg(folder().join("bin/htif.elf"))
        .args(["--clock", clock, "--timeout", PATIENCE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = process.stdin.take().expect("piped");
    // A program that ends early leaves the rest unread.
    let typist = std::thread::spawn(move || drop(stdin.write_all(input)));
    let output = process.wait_with_output().expect("it ends");
    typist.join().expect("no panic");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{clock}: {}, {said}",
        output.status
    );
    said
}

#[test]
fn what_is_typed_is_read_through_the_host_interface() {
    for clock in CLOCKS {
        let said = echoed(clock, b"one character\nafter the other. And no more");
        assert_eq!(said, "one character\nafter the other.", "{clock}");
    }
}

/// The program asks for a character that never comes: it goes on, unanswered.
#[test]
fn the_end_of_input_stops_no_program() {
    for clock in CLOCKS {
        assert_eq!(echoed(clock, b"more!"), "more!?", "{clock}");
    }
}

/// A reader that is slow gets everything, and no hart waits for it: under the host's
/// clock the guest sees a busy line, under the instruction clock nothing.
#[test]
fn a_slow_reader_gets_everything_and_stops_no_hart() {
    const PART: usize = 150 * 4096;
    for (clock, line) in [("host", "\nbusy\n"), ("insn", "\nfree\n")] {
        let mut process = isoform()
            .arg("run")
            .arg(folder().join("bin/flood.elf"))
            .args(["--clock", clock, "--timeout", PATIENCE])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = process.stdout.take().expect("piped");
        // Long enough for the guest to fill all that lies between.
        std::thread::sleep(Duration::from_secs(1));
        let mut said = vec![0; PART];
        stdout.read_exact(&mut said).expect("it goes on");
        std::thread::sleep(Duration::from_secs(1));
        stdout.read_to_end(&mut said).expect("it ends");
        let text = (0..PART).map(|i| b'a' + (i % 23) as u8);
        let expected = text.clone().chain(text).chain(line.bytes());
        assert!(
            said.iter().copied().eq(expected),
            "{clock}: something is lost"
        );
        assert!(process.wait().expect("it ends").success(), "{clock}");
    }
}

/// The check can fail: a program that fails on purpose is not taken for a pass.
#[test]
fn a_failure_is_seen() {
    let rom = Rom {
        name: "fails".into(),
        kind: "test".into(),
        harts: 1,
        exit: 0,
        clock: None,
    };
    let result = verdict(&Run {
        rom: &rom,
        backend: "interp",
        clock: "host",
    });
    assert!(result.is_err_and(|why| why.contains('6')));
}
