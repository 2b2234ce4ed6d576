//! Code kept by one process and executed by others, where everything lies elsewhere: the
//! host places programs, memory and code anew each time (on Linux unless it is told not
//! to), so an address in the code would lead nowhere.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run said of itself.
#[derive(Debug)]
struct Ran {
    /// The number of instructions, and the digest of all state at the end.
    result: [String; 2],
    /// Regions translated, and those of them that were kept from before.
    regions: Option<(u64, u64)>,
}

fn run(program: &str, backend: &str, kept: &Path) -> Ran {
    let elf = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-roms/bin");
    let output = Command::new(env!("CARGO_BIN_EXE_isoform"))
        .arg("run")
        .arg(elf.join(format!("{program}.elf")))
        .args(["--backend", backend, "--clock", "insn", "--serial", "null"])
        .args(["--stats", "--memory", "64M", "--timeout", "120"])
        .arg("--translation-cache")
        .arg(kept)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program}: {said}");
    let word = |line: &str, n: usize| line.split_whitespace().nth(n).map(str::to_owned);
    let find = |start: &str, n| {
        said.lines()
            .find(|l| l.starts_with(start))
            .map(|l| word(l, n))
    };
    let number = |n| {
        let word = find("translator:", n)??;
        word.trim_start_matches('(').parse::<u64>().ok()
    };
    Ran {
        result: [find("hart 0:", 2), find("state hash:", 2)]
            .map(|word| word.flatten().expect("a line of the ledger")),
        regions: number(1).zip(number(3)),
    }
}

fn kept_code_runs(program: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let interpreted = run(program, "interp", folder.path());
    let first = run(program, "jit", folder.path());
    assert_eq!(first.result, interpreted.result);
    let (made, kept) = first.regions.expect("a line of the translator's");
    assert!(made > 0 && kept == 0, "{first:?}");
    for _ in 0..2 {
        let later = run(program, "jit", folder.path());
        assert_eq!(later.result, interpreted.result);
        let (_, kept) = later.regions.expect("a line of the translator's");
        assert!(kept > 0, "nothing was used of {made} regions: {later:?}");
    }
}

#[test]
fn integers() {
    kept_code_runs("bench_table");
}

#[test]
fn calls_and_helpers() {
    kept_code_runs("bench_sort");
}

#[test]
fn floating_point() {
    kept_code_runs("bench_nbody");
}
