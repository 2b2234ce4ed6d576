//! The real thing: Debian's archive, and the image made of it in QEMU, which knows
//! nothing of this project and so judges kernel choice, initramfs and `/init`.
//!
//! Without a reachable mirror, QEMU or mkfs.ext4 a test prints that it is skipped;
//! with `ISOFORM_REQUIRE_GUESTS=1` it fails instead.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use isoform_images::cache::Cache;
use isoform_images::initramfs::read_busybox_package;
use isoform_images::{
    ERR_PORT, Error, Image, OUT_PORT, Options, STATUS_PORT, Silent, exec_overlay, fetch,
};

const QEMU: &str = "qemu-system-riscv64";
const PATIENCE: Duration = Duration::from_secs(180);

fn skip(test: &str, why: &str) {
    let required = std::env::var("ISOFORM_REQUIRE_GUESTS").is_ok_and(|v| v == "1");
    assert!(!required, "{test}: {why}, but ISOFORM_REQUIRE_GUESTS=1");
    println!("skipped: {test} ({why})");
}

/// The image, from the person's own cache or the network.
fn image(test: &str) -> Option<Image> {
    match fetch("debian:riscv64", &Options::new(&Silent)) {
        Ok(image) => Some(image),
        Err(
            error @ (Error::NoMirror { .. }
            | Error::Unreachable { .. }
            | Error::Interrupted { .. }
            | Error::NotDebian { .. }
            | Error::Status { .. }
            | Error::AllMirrors { .. }),
        ) => {
            skip(test, &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Skips where one of these programs cannot be started.
fn have(test: &str, programs: &[&str]) -> bool {
    for program in programs {
        if Command::new(program).arg("--version").output().is_err() {
            skip(test, &format!("there is no {program}"));
            return false;
        }
    }
    true
}

fn qemu(image: &Image, initrd: &Path, append: &str) -> Command {
    let mut command = Command::new(QEMU);
    command.args([
        "-M",
        "virt",
        "-m",
        "512",
        "-display",
        "none",
        "-monitor",
        "none",
        "-no-reboot",
    ]);
    command
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(initrd);
    command.args(["-append", &format!("{} {append}", image.append)]);
    command
}

/// A machine that does not outlive its test.
struct Machine(Child);

impl Machine {
    fn start(command: &mut Command) -> Machine {
        Machine(command.spawn().unwrap())
    }

    /// Waits for it to power off, but not for ever.
    fn finish(mut self) {
        let begun = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the guest did not power off");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Outcome {
    out: Vec<u8>,
    err: Vec<u8>,
    status: String,
}

fn exec(image: &Image, command: &[u8]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut initrd = fs::read(&image.initrd).unwrap();
    initrd.extend(exec_overlay(command));
    fs::write(at("initrd"), initrd).unwrap();
    let mut machine = qemu(image, &at("initrd"), "quiet");
    machine.args(["-serial", "null", "-device", "virtio-serial-device"]);
    for port in [OUT_PORT, ERR_PORT, STATUS_PORT] {
        machine
            .arg("-chardev")
            .arg(format!("file,id={port},path={}", at(port).display()));
        machine
            .arg("-device")
            .arg(format!("virtserialport,chardev={port},name={port}"));
    }
    Machine::start(machine.stdin(Stdio::null())).finish();
    let read = |port| fs::read(at(port)).unwrap();
    let status = String::from_utf8(read(STATUS_PORT)).unwrap();
    Outcome {
        out: read(OUT_PORT),
        err: read(ERR_PORT),
        status,
    }
}

#[test]
fn a_shell_answers_and_leaving_it_powers_off() {
    let test = "a_shell_answers_and_leaving_it_powers_off";
    let Some(image) = image(test) else { return };
    if !have(test, &[QEMU]) {
        return;
    }
    let mut machine = qemu(&image, &image.initrd, "");
    machine.args(["-serial", "stdio", "-device", "virtio-rng-device"]);
    let mut machine = Machine::start(machine.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut input = machine.0.stdin.take().unwrap();
    let mut output = machine.0.stdout.take().unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = output.read(&mut buffer) {
            if send.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut seen = String::new();
    let mut wait_for = |what: &str| {
        while !seen.contains(what) {
            let more = receive
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no `{what}` in {seen}"));
            seen.push_str(&String::from_utf8_lossy(&more));
        }
        seen.clone()
    };
    wait_for("~ #");
    input
        .write_all(b"echo $((6*7))=answer; lsmod; tty; set -o; echo the $((1+0))nd\n")
        .unwrap();
    let seen = wait_for("the 1nd");
    assert!(
        seen.contains("42=answer") && seen.contains("virtio_rng"),
        "{seen}"
    );
    let monitor = seen
        .lines()
        .find(|line| line.starts_with("monitor"))
        .unwrap_or_default();
    assert!(
        monitor.trim_end().ends_with("on"),
        "there is no job control: {seen}"
    );
    input.write_all(b"exit\n").unwrap();
    machine.finish();
}

#[test]
fn a_command_is_run_byte_for_byte() {
    let test = "a_command_is_run_byte_for_byte";
    let Some(image) = image(test) else { return };
    if !have(test, &[QEMU]) {
        return;
    }
    // Longer than an argument may be, with every byte but NUL and the quote.
    let bytes: Vec<u8> = (1..=255).filter(|b| *b != b'\'').collect();
    let text = bytes.repeat(800);
    let mut command = b"printf '%s' '".to_vec();
    command.extend_from_slice(&text);
    command.extend_from_slice(
        b"'\necho \"a  b\" 'c' $0 $# >/dev/stderr; sleep 1000 &\ncat; readlink /proc/self/fd/0 >&2\n\
          head -c 65536 /dev/urandom > /tmp/block; i=0\n\
          while [ $i -lt 160 ]; do cat /tmp/block; i=$((i+1)); done\n\
          sha256sum < /tmp/block >&2; exit 42",
    );
    let Outcome { out, err, status } = exec(&image, &command);
    assert_eq!(status, "42\n");
    assert!(out.starts_with(&text));
    let random = &out[text.len()..];
    assert_eq!(random.len(), 160 * 65536, "10 MiB of binary output");
    let err = String::from_utf8(err).unwrap();
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines[..2], ["a  b c sh 0", "/dev/null"]);
    for block in random.chunks(65536) {
        let sum = isoform_images::digest::Sha256::of(block).to_string();
        assert!(lines[2].starts_with(&sum), "{err}");
    }
}

#[test]
fn statuses_of_odd_commands_are_those_of_a_shell() {
    let test = "statuses_of_odd_commands_are_those_of_a_shell";
    let Some(image) = image(test) else { return };
    if !have(test, &[QEMU]) {
        return;
    }
    let syntax = exec(&image, b"if then");
    assert_eq!((syntax.status.as_str(), syntax.out.len()), ("2\n", 0));
    assert!(String::from_utf8_lossy(&syntax.err).contains("syntax error"));
    let killed = exec(&image, b"kill -9 $$");
    assert_eq!(
        (killed.status.as_str(), killed.out, killed.err),
        ("137\n", vec![], vec![])
    );
}

#[test]
fn a_root_file_system_takes_over() {
    let test = "a_root_file_system_takes_over";
    let Some(image) = image(test) else { return };
    if !have(test, &[QEMU]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = root_disk(test, folder.path()) else {
        return;
    };
    let console = folder.path().join("console");
    let mut machine = qemu(
        &image,
        &image.initrd,
        "quiet root=LABEL=theroot rw init=/start",
    );
    machine
        .arg("-serial")
        .arg(format!("file:{}", console.display()));
    machine
        .arg("-drive")
        .arg(format!("file={},format=raw,if=none,id=d", disk.display()));
    machine.args(["-device", "virtio-blk-device,drive=d"]);
    Machine::start(machine.stdin(Stdio::null())).finish();
    let seen = String::from_utf8_lossy(&fs::read(console).unwrap()).into_owned();
    assert!(seen.contains("process 1 of the disk"), "{seen}");
    assert!(seen.contains("/dev/vda / ext4 rw"), "{seen}");
    assert!(seen.contains("devtmpfs /dev devtmpfs"), "{seen}");
}

/// An ext4 disk with the cached package's busybox and a first process of its own.
fn root_disk(test: &str, folder: &Path) -> Option<PathBuf> {
    let cache = Cache::locate(None, |name| std::env::var(name).ok()).unwrap();
    let sum = cache
        .manifest("debian:riscv64")
        .unwrap()
        .busybox_package
        .sha256;
    let busybox = read_busybox_package(File::open(cache.object(sum)).unwrap(), "busybox").unwrap();
    let root = folder.join("root");
    for name in ["bin", "dev", "proc", "sys", "run", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let start = "#!/bin/busybox sh\n/bin/busybox echo process $$ of the disk\n\
                 /bin/busybox cat /proc/mounts\n/bin/busybox poweroff -f\n";
    for (name, content) in [("bin/busybox", &busybox[..]), ("start", start.as_bytes())] {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(root.join(name), content).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let disk = folder.join("disk");
    let mkfs = ["mkfs.ext4", "/sbin/mkfs.ext4"].iter().find_map(|mkfs| {
        let mut command = Command::new(mkfs);
        command
            .args(["-q", "-L", "theroot", "-d"])
            .arg(&root)
            .arg(&disk)
            .arg("32M")
            .output()
            .ok()
    });
    match mkfs {
        Some(output) if output.status.success() => Some(disk),
        Some(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        None => {
            skip(test, "there is no mkfs.ext4");
            None
        }
    }
}
