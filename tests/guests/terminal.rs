//! The built-in guest at a person's terminal: keys, monitor, restart. Needs nothing
//! from outside.

use crate::program::isoform_run;
use crate::session::Session;

#[test]
fn the_keys_of_a_persons_terminal() {
    let mut guest = Session::on_a_terminal(&mut isoform_run());
    guest.expect("isoform> ");
    guest.keys(b"\x01cinfo\r");
    let info = guest.expect("uart");
    assert!(info.contains("hart 0: Started, M mode"), "{info}");
    // A reset from the monitor: it greets again.
    guest.keys(b"reset\r");
    guest.expect("Hello from");
    guest.expect("isoform> ");
    guest.keys(b"\x01cno such thing\r");
    guest.expect("no command no;");
    guest.keys(b"\x01x");
    assert_eq!(guest.end().code(), Some(0));
}

#[test]
fn the_monitor_quits() {
    let mut guest = Session::on_a_terminal(&mut isoform_run());
    guest.expect("isoform> ");
    guest.keys(b"\x01cquit\r");
    assert_eq!(guest.end().code(), Some(0));
}

#[test]
fn input_from_a_pipe_reaches_the_guest_whole() {
    let mut guest = Session::on_pipes(&mut isoform_run());
    // Before the guest has so much as set up its serial port.
    guest.keys(b"help\npoweroff\n");
    guest.expect("isoform> help");
    assert_eq!(guest.end().code(), Some(0));
}
