//! Under the instruction clock the same machine runs the same way, bit for bit,
//! whatever else the host does and in whichever form: `--stats` ends with a hash of time, RAM, harts and
//! devices.

#[path = "common/image.rs"]
mod image;
#[path = "common/program.rs"]
mod program;

use image::{DEBIAN, debian};
use program::{Ran, isoform_run, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// A guest program of ours.
fn rom(name: &str) -> PathBuf {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-roms/bin");
    bin.join(name).with_extension("elf")
}

/// What a run shows of itself: all but the time it took, and the forms it ran in.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    status: i32,
    out: String,
    err: String,
}

fn shown(ran: Ran) -> Shown {
    let of_forms = [
        "  translated: ",
        "  interpreted: ",
        "  soft TLB: ",
        "translator: ",
    ];
    let took = |line: &&str| {
        !line.contains(" instructions in ") && !of_forms.iter().any(|form| line.starts_with(form))
    };
    let err = ran.err.lines().filter(took).collect::<Vec<_>>().join("\n");
    assert!(err.contains("state hash: "), "{err}");
    let out = String::from_utf8_lossy(&ran.out).into_owned();
    Shown {
        status: ran.status,
        out,
        err,
    }
}

fn hash(shown: &Shown) -> &str {
    let hash = shown
        .err
        .lines()
        .find_map(|l| l.strip_prefix("state hash: "));
    hash.expect("it is there")
}

/// Does something while all processors are busy otherwise as well.
fn under_load<T>(work: impl FnOnce() -> T) -> T {
    /// Says so when it goes, by a panic too: whoever is busy would be for ever.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let _over = Over(&done);
        work()
    })
}

fn program(name: &str, clock: &str, harts: &str, form: &str) -> Command {
    let mut command = isoform_run();
    command.arg(rom(name)).args([
        "--stats",
        "--clock",
        clock,
        "--smp",
        harts,
        "--backend",
        form,
    ]);
    command
}

#[test]
fn small_programs_repeat_bit_for_bit_in_every_form() {
    let programs = [
        ("smp_atomics", "4"),
        ("smp_ipi", "4"),
        ("smp_litmus", "4"),
        ("interrupts", "1"),
    ];
    for (name, harts) in programs {
        let once = |form| shown(run(&mut program(name, "insn", harts, form)));
        let (quiet, busy) = (once("interp"), under_load(|| once("jit")));
        assert_eq!(quiet.status, 0, "{name}: {quiet:?}");
        assert_eq!(quiet, busy, "{name}");
    }
}

/// A hash that never differed would prove nothing.
#[test]
fn another_seed_or_another_machine_is_another_run() {
    let of = |clock, memory| {
        let mut command = program("smp_atomics", clock, "4", "auto");
        shown(run(command.args(["-m", memory])))
    };
    let first = of("insn,seed=1", "64M");
    assert_eq!(first, of("insn,seed=1", "64M"));
    let (seed, memory) = (of("insn,seed=2", "64M"), of("insn,seed=1", "65M"));
    assert_ne!(hash(&first), hash(&seed));
    assert_ne!(hash(&first), hash(&memory));
}

/// Disk I/O, random numbers, timer interrupts, migration between harts.
const WORK: &str = "set -e
    dd if=/dev/urandom of=/dev/vda bs=64k count=4 2> /dev/null &
    dd if=/dev/urandom of=/dev/vda bs=64k count=4 seek=60 2> /dev/null
    wait
    sync
    echo 3 > /proc/sys/vm/drop_caches
    md5sum < /dev/vda
    cat /proc/uptime
    grep timer /proc/interrupts >&2";

fn linux(disk: &Path, form: &str) -> Shown {
    let file = std::fs::File::create(disk).expect("a file");
    file.set_len(4 << 20).expect("room");
    let mut command = isoform_run();
    command.args([DEBIAN, "--stats", "--clock", "insn,seed=7", "--smp", "4"]);
    command
        .arg("--drive")
        .arg(format!("file={}", disk.display()));
    command.args(["--exec", WORK, "--backend", form]);
    shown(run(&mut command))
}

#[test]
fn linux_on_four_harts_with_a_disk_repeats_bit_for_bit_in_every_form() {
    if debian("linux_on_four_harts_with_a_disk_repeats_bit_for_bit_in_every_form").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disks = ["quiet", "busy"].map(|name| folder.path().join(name));
    let [quiet, busy] = &disks;
    // Side by side, one of them interpreted, the other translated, and with more threads
    // around it than there are processors.
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| linux(quiet, "interp"));
        let second = under_load(|| linux(busy, "jit"));
        (first.join().expect("it ran"), second)
    });
    assert_eq!(first.status, 0, "{first:?}");
    assert_eq!(first, second);
    let [quiet, busy] = disks.map(|disk| std::fs::read(disk).expect("it is there"));
    assert!(quiet == busy, "the disks differ");
    assert!(quiet.iter().any(|b| *b != 0), "nothing was written");
}
