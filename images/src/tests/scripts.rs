//! Scripts for guests, as far as a host can judge them.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Whether a shell can read it to its end.
fn is_read(script: &str) -> bool {
    let mut shell = Command::new("sh");
    let mut shell = shell.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    shell.wait().unwrap().success()
}

#[test]
fn shells_read_them() {
    assert!(!is_read("if"));
    for script in [
        include_str!("../../guest/init.sh"),
        include_str!("../../guest/udhcpc.sh"),
        crate::system::INSTALL,
    ] {
        assert!(is_read(script), "{script}");
    }
}

/// The host shows its progress by these lines.
#[test]
fn the_installer_reports_its_steps() {
    let print = format!("echo \"{}$1 $2\"", crate::system::STEP);
    assert!(crate::system::INSTALL.contains(&print));
}
