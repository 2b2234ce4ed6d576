//! The command line as a person meets it: what is said, and the exit status.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use tempfile::TempDir;

/// One run of the program.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

/// A folder for a test's files; runs happen in it, with an empty cache.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("written");
    }

    fn command(&self) -> Command {
        let mut command = cargo_bin_cmd!("isoform");
        command
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.path("cache"));
        command.timeout(std::time::Duration::from_secs(120));
        command
    }

    fn run(&self, words: &str) -> Ran {
        self.run_words(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn run_words(&self, words: &[&str]) -> Ran {
        let output = self.command().args(words).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran {
            status: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(!ran.err.contains("panicked"), "{words:?}: {}", ran.err);
        ran
    }

    /// Runs `words` and checks status and what standard error says.
    fn fails(&self, words: &str, status: i32, says: &[&str]) {
        let ran = self.run(words);
        assert_eq!(ran.status, status, "{words}: {}", ran.err);
        for part in says {
            assert!(
                ran.err.contains(part),
                "{words}: `{part}` is not in: {}",
                ran.err
            );
        }
        assert_eq!(ran.out, "", "{words}: errors go to standard error");
    }
}

fn rom(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("test-roms/bin")
        .join(name)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A Linux Image as far as its header goes.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    put(&mut bytes, 8, &0x20_0000_u64.to_le_bytes());
    put(&mut bytes, 0x30, b"RISCV\0\0\0RSC\x05");
    bytes
}

#[test]
fn command_lines_that_make_no_sense() {
    let place = Place::new();
    let cases: [(&str, &[&str]); 48] = [
        ("", &["Usage: isoform"]),
        ("rum", &["'rum'", "run"]),
        ("run --nonsense", &["--nonsense"]),
        ("run --arch riscv32", &["riscv32", "riscv64"]),
        ("run -m 0", &["--memory", "16 MiB"]),
        ("run -m 512", &["512M"]),
        ("run -m 65G", &["64 GiB"]),
        ("run -m 1.5G", &["whole number"]),
        ("run -m 16777217", &["4096"]),
        ("run -m 99999999999999999999G", &["64 bits"]),
        ("run --smp 0", &["--smp", "1..=32"]),
        ("run --smp 33", &["--smp"]),
        ("run --smp two", &["two"]),
        ("run --machine pc", &["pc", "virt"]),
        ("run --machine virt,virtio-mmio=new", &["legacy or modern"]),
        ("run --cpu max", &["rv64"]),
        ("run --cpu rv64,sv48", &["sv48=on"]),
        ("run --drive disk.img", &["disk.img", "file"]),
        ("run --drive file=", &["file"]),
        (
            "run --drive file=a,snapshot=perhaps",
            &["snapshot", "on or off"],
        ),
        ("run --drive file=a,bus=9", &["bus", "0 to 7"]),
        ("run --serial tcp:1", &["unix:PATH"]),
        ("run --serial file:", &["path"]),
        ("run --backend kvm", &["jit", "interp"]),
        ("run --code-cache 1K", &["1M"]),
        ("run --clock wall", &["insn"]),
        ("run --clock insn,seed=x", &["seed"]),
        ("run --timeout 0", &["above 0"]),
        ("run --timeout soon", &["seconds"]),
        ("run --initrd x", &["--kernel"]),
        ("run --exec ls", &["debian:riscv64"]),
        ("run debian:riscv64 --exec ls --initrd x", &["--initrd"]),
        ("run debian:riscv64 --exec ls --serial stdio", &["--serial"]),
        ("run x.elf --mirror http://localhost", &["--mirror"]),
        ("run --disk x.img", &["--disk", "named systems"]),
        ("run debian:riscv64 --disk x.img --exec ls", &["--exec"]),
        ("image", &["build"]),
        ("image build debian:riscv64", &["--output"]),
        ("image build debian:riscv64 -o d --format vdi", &["raw"]),
        ("image build debian:riscv64 -o d --size 1000000", &["MiB"]),
        (
            "image build debian:riscv64 -o d --hostname a_b",
            &["hyphens"],
        ),
        ("completions tcsh", &["tcsh", "zsh"]),
        ("explain", &["FILE|HEX"]),
        ("explain 8082 --arch z80", &["z80", "riscv64"]),
        ("lockstep interp kvm x.elf", &["kvm", "jit:eager"]),
        ("lockstep interp", &["<B>"]),
        ("lockstep interp jit", &["FILE", "debian:riscv64"]),
        ("lockstep interp jit x.elf --every 0", &["above 0"]),
    ];
    for (words, says) in cases {
        place.fails(words, 2, says);
    }
}

#[test]
fn files_that_cannot_be_used() {
    let place = Place::new();
    place.write("empty", b"");
    place.write("text", b"Dear machine, please run.");
    place.write("arm", &[&[0; 0x38][..], b"ARM\x64", &[0; 64]].concat());
    place.write("deb", b"!<arch>\ndebian-binary");
    place.write("qcow2", b"QFI\xfb\0\0\0\x03");
    let mut bootless = vec![0; 8192];
    put(&mut bootless, 512, b"EFI PART");
    place.write("bootless", &bootless);
    let mut foreign = fs::read(rom("hello.elf")).expect("committed");
    place.write("cut.elf", &foreign[..foreign.len() / 2]);
    put(&mut foreign, 18, &62_u16.to_le_bytes());
    place.write("x86.elf", &foreign);
    let cases: [(&str, &[&str]); 17] = [
        (
            "run missing",
            &["missing", "No such file", "isoform images"],
        ),
        ("run .", &[" . ", "folder"]),
        ("run empty", &["empty", "no form"]),
        ("run text", &["text", "ELF", "Image"]),
        ("run arm", &["arm", "arm64", "riscv64"]),
        ("run deb", &["deb", "archive"]),
        ("run qcow2", &["qcow2", "cut off"]),
        ("run cut.elf", &["cut.elf", "truncated"]),
        ("run x86.elf", &["x86.elf", "x86-64", "riscv64"]),
        ("run --kernel missing", &["missing", "check the path"]),
        ("run --bios missing", &["missing"]),
        ("run debian:arm64", &["debian:arm64", "debian:riscv64"]),
        (
            "image build debian:arm64 -o d",
            &["debian:arm64", "debian:riscv64"],
        ),
        ("image build debian:riscv64 -o text", &["text", "--force"]),
        (
            "image build debian:riscv64 -o d --ssh-key text",
            &["text", "public key"],
        ),
        (
            "image build debian:riscv64 -o d --ssh-key missing",
            &["missing"],
        ),
        ("run bootless", &["bootless", "extlinux.conf", "--kernel"]),
    ];
    for (words, says) in cases {
        // Some name a file in a sentence, some begin with it.
        let ran = place.run(words);
        assert_eq!(ran.status, 1, "{words}: {}", ran.err);
        let padded = ran.err.replace("error: ", "error:  ");
        for part in says {
            assert!(
                padded.contains(part),
                "{words}: `{part}` is not in: {}",
                ran.err
            );
        }
    }
}

#[test]
fn options_whose_files_cannot_be_used() {
    let place = Place::new();
    place.write("kernel", &image());
    place.write("qcow2", b"QFI\xfb\0\0\0\x03");
    place.write("text", b"Dear machine");
    place.write("big", &vec![1; 20 << 20]);
    place.write("hole", b"");
    let mut disk = vec![0; 8192];
    put(&mut disk, 512, b"EFI PART");
    place.write("disk", &disk);
    let cases: [(&str, &[&str]); 11] = [
        ("run --drive file=missing", &["missing"]),
        ("run --drive file=qcow2", &["qcow2", "cut off"]),
        ("run --dtb missing", &["missing"]),
        ("run --dtb text", &["text", "device tree"]),
        ("run kernel --initrd missing", &["missing"]),
        ("run kernel --initrd hole", &["hole", "empty"]),
        (
            "run kernel --initrd big -m 16M",
            &["big", "20971520", "--memory"],
        ),
        ("run --kernel disk", &["disk", "GPT", "--drive"]),
        ("run disk", &["disk", "GPT", "--kernel", "root=/dev/vda1"]),
        ("run --bios big -m 16M", &["big", "--memory"]),
        (
            "run --serial file:/nonexistent/x",
            &["/nonexistent/x", "--serial"],
        ),
    ];
    for (words, says) in cases {
        let ran = place.run(words);
        assert_eq!(ran.status, 1, "{words}: {}", ran.err);
        for part in says {
            assert!(
                ran.err.contains(part),
                "{words}: `{part}` is not in: {}",
                ran.err
            );
        }
        assert_eq!(ran.out, "", "{words}");
    }
}

#[test]
fn a_segment_outside_ram_is_named() {
    let place = Place::new();
    let mut bytes = fs::read(rom("hello.elf")).expect("committed");
    let headers = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes")) as usize;
    let count = u16::from_le_bytes(bytes[56..58].try_into().expect("two bytes")) as usize;
    // The first segment that is loaded (type 1) moves to 0x1000.
    let load = (0..count)
        .map(|i| headers + 56 * i)
        .find(|&at| bytes[at..at + 4] == [1, 0, 0, 0]);
    put(
        &mut bytes,
        load.expect("it loads something") + 24,
        &0x1000_u64.to_le_bytes(),
    );
    place.write("low.elf", &bytes);
    let ran = place.run("run low.elf");
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(
        ran.err.contains("low.elf") && ran.err.contains("0x1000.."),
        "{}",
        ran.err
    );
}

#[test]
fn options_that_exclude_each_other() {
    let place = Place::new();
    place.write("kernel", &image());
    place.write("d", &[0; 512]);
    place.fails("run kernel --kernel kernel", 2, &["kernel", "one of them"]);
    place.fails(
        "run --drive file=d --drive file=d",
        2,
        &["d is given for two drives"],
    );
    place.fails(
        "run --drive file=d,bus=1 --drive file=d,readonly=on",
        2,
        &["virtio-mmio-bus.1"],
    );
}

/// Under `--exec` a 1 could be the command's own, so host errors are 125.
#[test]
fn host_errors_under_exec_are_125() {
    let place = Place::new();
    let mirror = place.path("no-mirror-here");
    let url = format!("file://{}", mirror.display());
    let with = |more: &[&str]| {
        let words = [&["run", "debian:riscv64", "--mirror", url.as_str()], more].concat();
        place.run_words(&words)
    };
    let plain = with(&[]);
    assert_eq!(plain.status, 1, "{}", plain.err);
    assert!(plain.err.contains("no-mirror-here"), "{}", plain.err);
    let exec = with(&["--exec", "true"]);
    assert_eq!((exec.status, exec.out.as_str()), (125, ""), "{}", exec.err);
}

#[test]
fn verbose_shows_the_chain() {
    let place = Place::new();
    let quiet = place.run("run missing").err;
    let verbose = place.run("run missing -v").err;
    assert!(
        !quiet.contains("caused by") && verbose.contains("caused by: No such file"),
        "{verbose}"
    );
}

#[test]
fn help_is_for_80_columns() {
    let place = Place::new();
    for words in [
        "--help",
        "-h",
        "run --help",
        "run -h",
        "images --help",
        "image --help",
        "image build --help",
        "disk --help",
        "disk create --help",
        "disk check --help",
        "disasm --help",
        "explain --help",
        "lockstep --help",
        "completions --help",
    ] {
        let ran = place.run(words);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{words}");
        for line in ran.out.lines() {
            assert!(line.chars().count() <= 80, "{words}: {line}");
        }
    }
    assert_eq!(
        place.run("--version").out,
        format!("isoform {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// Every option of the contract is in the help of `run`.
#[test]
fn the_options_there_are() {
    let help = Place::new().run("run --help").out;
    let options = "--arch --memory --smp --kernel --initrd --append --bios --dtb --dump-dtb --drive \
        --serial --machine --cpu --backend --code-cache --clock --exec --no-reboot --timeout --stats --perf-map --mirror --verbose";
    for option in options.split_whitespace() {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn images_lists_the_catalogue() {
    let ran = Place::new().run("images");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.out.contains("debian:riscv64") && ran.out.contains("not cached"),
        "{}",
        ran.out
    );
}

#[test]
fn completions_are_scripts() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(&format!("completions {shell}"));
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(
            ran.out.contains("isoform") && ran.out.contains("snapshot")
                || ran.out.contains("drive")
        );
        place.write("script", ran.out.as_bytes());
        match std::process::Command::new(shell)
            .arg("-n")
            .arg(place.path("script"))
            .status()
        {
            Ok(status) => assert!(status.success(), "{shell} does not take its script"),
            Err(_) => eprintln!("skipped: syntax of the {shell} completions: no {shell} here"),
        }
    }
}

#[test]
fn disasm_lists_code() {
    let place = Place::new();
    let file = rom("rv64i.elf");
    let ran = place.run_words(&["disasm", file.to_str().expect("UTF-8")]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.out.contains("<_start>:") && ran.out.contains("80000000:"),
        "{}",
        ran.out
    );
    place.write("text", b"no code");
    place.fails("disasm text", 1, &["text", "no ELF file"]);
    place.fails("disasm missing", 1, &["missing"]);
    place.fails("disasm", 2, &["<FILE>"]);
}

#[test]
fn explain_shows_what_code_becomes() {
    let place = Place::new();
    let file = rom("bench_crc.elf");
    let file = file.to_str().expect("UTF-8");
    // addi a0, a0, -1; bnez a0, to itself; ret
    let loops = place.run("explain 157d fd7d 8082");
    let start = place.run_words(&["explain", file, "--at", "crc"]);
    let words = place.run("explain 00a28293 8082");
    let always_traps = place.run("explain 0000");
    if cfg!(target_arch = "x86_64") {
        assert!(start.out.contains("<crc>: translated\n"), "{}", start.out);
        assert!(loops.out.contains("with a loop"), "{}", loops.out);
        // The guest's instruction, CLIF and host code in one place.
        let after = words.out.split("00a28293  addi").nth(1);
        let after = after.expect("the instruction is shown");
        let rows: Vec<_> = after
            .lines()
            .skip(1)
            .take_while(|l| !l.is_empty())
            .collect();
        assert!(rows.iter().any(|r| r.contains("iadd")), "{}", words.out);
        assert!(rows.iter().any(|r| r.len() > 45), "{}", words.out);
        assert!(words.out.contains("jmp <dispatch>"), "{}", words.out);
    }
    for ran in [&loops, &start, &words, &always_traps] {
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(!ran.out.contains('\x1b'), "no colours but on a terminal");
        let wide = ran.out.lines().find(|l| l.chars().count() > 80);
        assert_eq!(wide, None);
    }
    assert!(
        always_traps.out.contains("interpreted"),
        "{}",
        always_traps.out
    );
    place.fails(&format!("explain {file} --at nowhere"), 1, &["nowhere"]);
    place.fails(&format!("explain {file} --at 0x10"), 1, &["0x10"]);
    place.fails("explain missing.elf", 1, &["missing.elf"]);
    place.fails("explain 123", 1, &["123", "hexadecimal"]);
}

#[test]
fn lockstep_compares_forms() {
    let place = Place::new();
    let file = rom("smp_atomics.elf");
    let file = file.to_str().expect("UTF-8");
    let words = ["lockstep", "interp", "jit:eager", file, "--smp", "4"];
    let ran = place.run_words(&[&words[..], &["--insns", "200k", "--every", "1k"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.err);
    let same = "the same for 200000 instructions (201 comparisons";
    assert!(ran.out.contains(same), "{}", ran.out);
    let ended = place.run_words(&words);
    assert!(ended.out.contains("to the end"), "{}", ended.out);
    // A 1 would say that the forms differ.
    place.fails("lockstep interp jit missing", 125, &["missing"]);
}

/// As when the listing goes to a pager that is left, or a disk that is full.
#[test]
fn standard_output_that_cannot_be_written() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: standard_output_that_cannot_be_written: no /dev/full");
        return;
    }
    let full = || {
        fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("it opens")
    };
    for words in [
        &["images"][..],
        &["completions", "bash"],
        &["disasm", rom("rv64i.elf").to_str().expect("UTF-8")],
    ] {
        let place = Place::new();
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("isoform"));
        command
            .env("XDG_CACHE_HOME", place.path("cache"))
            .args(words);
        let output = command.stdout(full()).output().expect("it starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {err}");
        assert!(err.contains("standard output"), "{words:?}: {err}");
    }
}

/// The style of the official tests: `tohost` decides the exit status.
#[test]
fn a_test_program_exits_with_its_verdict() {
    let file = rom("rv64i.elf");
    let ran = Place::new().run_words(&["run", file.to_str().expect("UTF-8"), "--timeout", "60"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains("reports through tohost; starts in M-mode"),
        "{}",
        ran.err
    );
}

/// perf finds names by the number of the process.
#[test]
fn translated_code_has_names_for_perf() {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: translated_code_has_names_for_perf: for x86-64 hosts");
        return;
    }
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("isoform"));
    command.arg("run").arg(rom("bench_crc.elf"));
    command.args([
        "--backend",
        "jit",
        "--perf-map",
        "--translation-cache",
        "off",
        "--timeout",
        "120",
        "--stats",
    ]);
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null());
    let child = command.stderr(std::process::Stdio::piped()).spawn();
    let child = child.expect("it starts");
    let path = format!("/tmp/perf-{}.map", child.id());
    let output = child.wait_with_output().expect("it ends");
    let map = fs::read_to_string(&path).expect("the map is there");
    fs::remove_file(&path).expect("it is ours");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    for line in map.lines() {
        let mut words = line.splitn(3, ' ');
        let mut number = || u64::from_str_radix(words.next().unwrap_or("?"), 16);
        assert!(
            number().is_ok() && number().is_ok_and(|size| size > 0),
            "{line}"
        );
    }
    assert!(map.contains(" isoform:dispatch\n"), "{map}");
    assert!(
        map.contains(" M:0x80000") && map.contains(" crc+0x"),
        "{map}"
    );
    for part in ["for want of a unit", "soft TLB: ", "bytes an instruction"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn a_timeout_ends_the_run_with_124() {
    let ran = Place::new().run("run --timeout 0.5");
    assert_eq!(ran.status, 124, "{}", ran.err);
    assert!(ran.err.contains("0.5 s"), "{}", ran.err);
}
