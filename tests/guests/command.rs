//! `--exec`: a command's output, error output and status, under each form of
//! translation and firmware.

use crate::image::{DEBIAN, debian, skip};
use crate::program::{Process, Ran, isoform_run, run};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// `isoform run debian:riscv64 ARGS --exec COMMAND`.
fn exec(args: &[&str], command: &[u8]) -> Command {
    let mut run = isoform_run();
    run.arg(DEBIAN).args(args).arg("--exec");
    run.arg(OsStr::from_bytes(command));
    run
}

fn text(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.out).expect("it is text")
}

/// Ten megabytes in which a lost, doubled or changed byte shows, whatever it is.
fn ten_megabytes() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        // xorshift64 (Marsaglia, "Xorshift RNGs").
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..10 << 17).flat_map(|_| word()).collect()
}

#[test]
fn output_is_byte_exact_on_four_harts() {
    if debian("output_is_byte_exact_on_four_harts").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let content = ten_megabytes();
    std::fs::write(&disk, &content).expect("written");
    let drive = format!("file={},readonly=on", disk.display());
    // Every byte that a command can have, in quotes.
    let bytes: Vec<u8> = (1..=255).filter(|b| *b != b'\'').collect();
    let mut command = b"printf '%s' '".to_vec();
    command.extend_from_slice(&bytes);
    command.extend_from_slice(
        b"' >&2; printf '%s|' \"a  b\" 'c\"d' e\\ f \"g\nh\" >&2\n\
          nproc >&2; echo /sys/block/vda/mq/* >&2\n\
          dd if=/dev/zero of=/dev/vda 2>/dev/null || echo read-only >&2\n\
          cat; cat /dev/vda; exit 255",
    );
    let ran = run(&mut exec(&["--smp", "4", "--drive", &drive], &command));
    let mut err = String::from_utf8_lossy(&bytes).into_owned();
    err.push_str("a  b|c\"d|e f|g\nh|4\n");
    // The disk has a queue for each hart.
    let queues = (0..4).map(|n| format!("/sys/block/vda/mq/{n}"));
    err.push_str(&queues.collect::<Vec<_>>().join(" "));
    err.push_str("\nread-only\n");
    assert_eq!(ran.err, err);
    assert_eq!(ran.out.len(), content.len());
    assert!(ran.out == content, "it has changed on the way");
    assert_eq!(ran.status, 255);
    assert!(
        std::fs::read(&disk).expect("it is there") == content,
        "the disk was written"
    );
}

/// The kernel finds bus, function and interrupt, and the disk behind it holds what is
/// written.
#[test]
fn a_disk_on_pci() {
    if debian("a_disk_on_pci").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let content = ten_megabytes();
    std::fs::write(&disk, &content).expect("written");
    let drive = format!("file={},bus=pcie.0,addr=5", disk.display());
    let command = b"cd /sys/bus/pci/devices
        for d in *; do read -r v < $d/vendor; read -r i < $d/device; echo $d $v $i >&2; done
        cat /sys/block/vda/serial >&2
        cat /dev/vda
        printf changed | dd of=/dev/vda bs=512 seek=3 conv=fsync 2>/dev/null
        while read -r irq count rest; do case $rest in
            *PLIC*virtio*) [ $count -gt 9 ] && echo ${rest#*PLIC} >&2
        esac; done < /proc/interrupts";
    let ran = run(&mut exec(&["--drive", &drive], command));
    // Slot 5 has the second of the four lines.
    let lines = [
        "0000:00:00.0 0x1b36 0x0008",
        "0000:00:05.0 0x1af4 0x1042",
        "isoform-pci533 Edge virtio0",
    ];
    let err: Vec<&str> = ran.err.lines().collect();
    assert!(lines.iter().all(|line| err.contains(line)), "{}", ran.err);
    assert!(ran.out == content, "it has changed on the way");
    let mut expected = content;
    expected[3 * 512..][..7].copy_from_slice(b"changed");
    let written = std::fs::read(&disk).expect("it is there");
    assert!(written == expected, "it does not hold what was written");
    assert_eq!(ran.status, 0);
}

#[test]
fn a_command_that_is_killed_and_says_nothing() {
    if debian("a_command_that_is_killed_and_says_nothing").is_none() {
        return;
    }
    let ran = run(&mut exec(&[], b"kill -9 $$"));
    assert_eq!(
        (ran.status, text(&ran), ran.err.as_str()),
        (128 + 9, "", "")
    );
}

#[test]
fn translation_with_three_levels_and_a_guest_that_resets_itself() {
    if debian("translation_with_three_levels_and_a_guest_that_resets_itself").is_none() {
        return;
    }
    let args = ["--cpu", "rv64,sv48=off,sv57=off"];
    let ran = run(&mut exec(&args, b"grep mmu /proc/cpuinfo; reboot -f"));
    assert_eq!(text(&ran), "mmu\t\t: sv39\n");
    assert_eq!(ran.status, 125, "a host error");
    assert!(ran.err.contains("the guest reset itself"), "{}", ran.err);
}

#[test]
fn translation_with_four_levels_and_a_command_without_end() {
    if debian("translation_with_four_levels_and_a_command_without_end").is_none() {
        return;
    }
    let args = ["--cpu", "rv64,sv57=off", "--timeout", "20"];
    let ran = run(&mut exec(&args, b"grep mmu /proc/cpuinfo; exec sleep 1000"));
    // It may be too busy a machine for the command to begin in time.
    assert!(["mmu\t\t: sv48\n", ""].contains(&text(&ran)), "{ran:?}");
    assert_eq!(ran.status, 124, "the time was up: {}", ran.err);
}

#[test]
fn translation_with_five_levels_and_a_reader_that_leaves() {
    if debian("translation_with_five_levels_and_a_reader_that_leaves").is_none() {
        return;
    }
    let mut command = exec(&[], b"grep mmu /proc/cpuinfo; exec yes");
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut first = [0; 14];
    let mut out = process.0.stdout.take().expect("piped");
    out.read_exact(&mut first).expect("it answers");
    drop(out);
    assert_eq!(first.escape_ascii().to_string(), r"mmu\t\t: sv57\ny\n");
    // As any program whose reader leaves: 128 + SIGPIPE.
    assert_eq!(process.wait().code(), Some(141));
    let mut err = String::new();
    let said = process
        .0
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut err);
    said.expect("text");
    assert_eq!(err, "");
}

#[test]
fn output_that_cannot_be_written_is_a_host_error() {
    if debian("output_that_cannot_be_written_is_a_host_error").is_none() {
        return;
    }
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let mut command = exec(&[], b"echo lost; exec sleep 1000");
    let mut process = Process::start(command.stdout(full).stderr(Stdio::piped()));
    assert_eq!(process.wait().code(), Some(125));
    let mut err = String::new();
    let said = process
        .0
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut err);
    said.expect("text");
    assert!(
        err.starts_with("error: the command's standard output cannot be written"),
        "{err}"
    );
}

/// Debian's OpenSBI, where it is installed.
const OPENSBI: &str = "/usr/lib/riscv64-linux-gnu/opensbi/generic";

fn under_opensbi(test: &str, form: &str, harts: &str) {
    let firmware = Path::new(OPENSBI).join(form);
    if debian(test).is_none() {
        return;
    }
    if !firmware.exists() {
        return skip(test, &format!("there is no {}", firmware.display()));
    }
    let bios = firmware.to_str().expect("it is ASCII");
    let args = ["--smp", harts, "--bios", bios];
    let command = b"nproc; dmesg | grep -o 'SBI implementation ID=0x[0-9a-f]*'";
    let ran = run(&mut exec(&args, command));
    // OpenSBI's number (SBI, "SBI Implementation IDs").
    assert_eq!(
        text(&ran),
        format!("{harts}\nSBI implementation ID=0x1\n"),
        "{}",
        ran.err
    );
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
}

#[test]
fn opensbi_that_jumps_to_a_fixed_place() {
    under_opensbi("opensbi_that_jumps_to_a_fixed_place", "fw_jump.bin", "1");
}

#[test]
fn opensbi_that_is_told_where_to_go_on_two_harts() {
    under_opensbi(
        "opensbi_that_is_told_where_to_go_on_two_harts",
        "fw_dynamic.bin",
        "2",
    );
}
