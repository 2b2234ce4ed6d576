//! What a machine costs the host, and that it starts again.

use crate::image::{DEBIAN, debian};
use crate::program::{PATIENCE, isoform_run};
use crate::session::Session;
use std::time::{Duration, Instant};

/// What a process may take beside its guest's memory, kB.
const OWN_MEMORY: u64 = 40 << 10;
/// How long an idle guest is watched; a soak watches longer.
const WATCH: Duration = Duration::from_secs(10);
/// Parts of a processor that an idle guest may use.
const IDLE_SHARE: f64 = 0.01;

/// A field of `/proc/PID/status`, in kB.
fn status(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let value = value.and_then(|v| v.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or_else(|| panic!("no {field} in {text}"))
}

/// What is resident of guest memory, kB: the mappings of its memfd, and of no other.
fn guest_memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it runs");
    let (mut of_guest, mut sum) = (false, 0);
    for line in text.lines() {
        match line.strip_prefix("Rss:") {
            Some(rss) if of_guest => {
                let rss = rss.trim().trim_end_matches(" kB");
                sum += rss.parse::<u64>().expect("a number of kB");
            }
            Some(_) => {}
            // A line with addresses begins a mapping, and ends with its file.
            None if [" rw", " r-", " --"]
                .iter()
                .any(|rights| line.contains(rights)) =>
            {
                of_guest = line.contains("memfd:isoform-ram");
            }
            None => {}
        }
    }
    assert!(sum > 0, "no guest memory in {text}");
    sum
}

/// Processor time used so far: `utime` and `stime` in `/proc/PID/stat` (proc(5)), in
/// ticks, of which Linux shows 100 a second everywhere.
fn processor_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The name in parentheses may hold anything.
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let fields: Vec<u64> = fields
        .split_whitespace()
        .map(|f| f.parse().unwrap_or(0))
        .collect();
    let ticks = fields[11] + fields[12];
    Duration::from_millis(ticks * 10)
}

fn watched() -> Duration {
    match std::env::var("ISOFORM_SOAK").is_ok_and(|v| v == "1") {
        true => Duration::from_secs(60),
        false => WATCH,
    }
}

#[test]
fn a_guest_at_its_prompt_is_cheap_and_starts_again() {
    if debian("a_guest_at_its_prompt_is_cheap_and_starts_again").is_none() {
        return;
    }
    let begun = Instant::now();
    let mut guest = Session::on_pipes(isoform_run().args([DEBIAN, "--smp", "2"]));
    let pid = guest.process.0.id();
    guest.expect("~ # ");
    println!("from start to prompt: {:?}", begun.elapsed());

    guest.keys(b"nproc; echo $((6 * 7))=answer\n");
    guest.expect("\n2\r\n42=answer\r\n");
    guest.expect("~ # ");

    // What it does once it is up is over soon.
    std::thread::sleep(Duration::from_secs(2));
    let before = processor_time(pid);
    let watch = watched();
    std::thread::sleep(watch);
    let used = processor_time(pid) - before;
    let share = used.as_secs_f64() / watch.as_secs_f64();
    println!("idle: {used:?} in {watch:?}");
    // A tick of the host's clock more, as it counts in those.
    let tick = 0.01 / watch.as_secs_f64();
    assert!(share <= IDLE_SHARE + tick, "{used:?} of {watch:?}");

    let (rss, guests) = (status(pid, "VmRSS"), guest_memory(pid));
    println!("resident: {rss} kB, {guests} kB of it the guest's memory");
    assert!(
        rss - guests <= OWN_MEMORY,
        "{rss} kB, {guests} kB of it the guest's"
    );

    guest.keys(b"reboot -f\n");
    guest.expect("~ # ");
    guest.keys(b"poweroff -f\n");
    assert_eq!(guest.end().code(), Some(0));
}

/// Fills a file system in memory, so that the kernel has used it, and empties it.
const USE_MEMORY: &str = "mkdir -p /m; mount -t tmpfs m /m; \
    head -c 209715200 /dev/zero > /m/f; echo full=$?; rm /m/f; echo empty=$?\n";
/// Memory that this takes at least, and that comes back at least, kB.
const USED: u64 = 200 << 10;

#[test]
fn memory_that_a_guest_frees_goes_back_to_the_host() {
    if debian("memory_that_a_guest_frees_goes_back_to_the_host").is_none() {
        return;
    }
    let mut guest = Session::on_a_terminal(isoform_run().args([DEBIAN]));
    let pid = guest.process.0.id();
    guest.expect("~ # ");
    let before = guest_memory(pid);
    guest.keys(USE_MEMORY.as_bytes());
    guest.expect("full=0");
    let full = guest_memory(pid);
    println!("{before} kB at the prompt, {full} kB with the file");
    assert!(full >= USED, "{full} kB");
    guest.expect("empty=0");
    // The kernel reports free pages every two seconds, a part of them each time.
    let begun = Instant::now();
    while guest_memory(pid) + USED * 9 / 10 > full {
        let now = guest_memory(pid);
        assert!(begun.elapsed() < PATIENCE, "{now} kB are still there");
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{} kB after {:?}", guest_memory(pid), begun.elapsed());

    // With less memory the guest goes on, and what it gives up is gone.
    guest.keys(b"\x01cballoon 256M\r\x01c");
    let fall = "while [ $(free -m | awk '/Mem:/ { print $4 }') -gt 256 ]; do sleep 1; done\n";
    guest.keys(fall.as_bytes());
    guest.keys(b"echo small=$?\n");
    guest.expect("small=0");
    guest.keys(b"poweroff -f\n");
    assert_eq!(guest.end().code(), Some(0));
}
