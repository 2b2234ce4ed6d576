//! What stands above the table: who is compared, on what, and how busy that was.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use crate::{process, roms};

/// Prints versions, the host's CPU and its load. The tree's commit is that of Isoform
/// only where it was `built` of it.
pub(super) fn describe(isoform: &Path, built: bool) {
    let origin = match built {
        true => commit(),
        false => format!("({})", isoform.display()),
    };
    println!("{:<10} {} {origin}", "isoform", first(isoform));
    println!("{:<10} {}", "peer", first(Path::new(roms::QEMU)));
    println!("{:<10} {}, {} CPUs", "host", cpu(), cpus());
    println!("{:<10} {}", "load", load());
}

/// The first line of `program --version`.
fn first(program: &Path) -> String {
    said(Command::new(program).arg("--version"))
}

/// The commit that the tree is at, and whether it was changed since.
fn commit() -> String {
    let git = |words: &[&str]| {
        let root = crate::repository();
        said(Command::new("git").arg("-C").arg(root).args(words))
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let changed = if changed { ", changed" } else { "" };
    format!("({}{changed})", git(&["rev-parse", "--short", "HEAD"]))
}

/// The first line of what a command prints; nothing where it fails.
fn said(command: &mut Command) -> String {
    let output = process::captured(command);
    let text = output.map_or(Vec::new(), |output| output.stdout);
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().to_owned()
}

/// The CPU's name, as the host's kernel tells it.
fn cpu() -> String {
    let text = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| "unknown CPU".to_owned())
}

/// How many CPUs this process may use.
pub(super) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that ran or wanted to, over the last 1, 5 and 15 minutes.
pub(super) fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Seconds of CPU that children of this process used which have ended; differences
/// count. (`/proc/self/stat`, fields 16 and 17, in hundredths.)
pub(super) fn cpu_of_children() -> f64 {
    let text = read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields are counted behind the program's name, which may contain blanks.
    let rest = text.rsplit(") ").next().unwrap_or_default();
    let ticks = rest.split(' ').skip(13).take(2);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_children_is_seen() {
        let before = cpu_of_children();
        let loops = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = Command::new("sh").args(["-c", loops]).status();
        assert!(status.expect("a shell").success());
        assert!(cpu_of_children() > before);
    }
}
