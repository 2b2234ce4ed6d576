//! The terminal is restored, however a run ends.
//!
//! Each case starts this program again on a pseudo-terminal, as a child that opens
//! a console there; the case then does something to the child, waits for its end
//! and compares the terminal's settings with those before. Without a harness of
//! cargo's, since the child must be a plain process.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use isoform::config::SerialSpec;
use isoform::console::{Console, ConsoleEvent, Policy};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// Says what the child is to do; without it, this is the test.
const ROLE: &str = "ISOFORM_TERMINAL_TEST_ROLE";
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return child(&role);
    }
    let cases: [(&str, fn()); 11] = [
        (
            "raw_while_it_runs_and_restored_at_the_end",
            raw_while_it_runs,
        ),
        ("restored_after_a_panic", after_a_panic),
        ("restored_after_a_panic_elsewhere", after_a_panic_elsewhere),
        ("restored_after_process_exit", after_exit),
        ("restored_after_signals", after_signals),
        ("restored_while_stopped", while_stopped),
        ("ignored_signals_stay_ignored", ignored_signals),
        ("keys_reach_the_guest", keys_reach_the_guest),
        ("the_monitor_answers", the_monitor_answers),
        ("a_pipe_passes_ctrl_a", a_pipe_passes_ctrl_a),
        ("the_program_with_its_own_guest", the_program),
    ];
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    for (name, case) in cases {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            // A failing case panics, which ends the process with a status of its own.
            println!("test {name} ...");
            case();
        }
    }
    ExitCode::SUCCESS
}

/// The child: a console on standard input and output, and one way to end.
fn child(role: &str) -> ExitCode {
    let (send, events) = channel();
    let info = || "two harts\nall asleep".to_owned();
    // The console lets go of its end when input ends; the child goes on.
    let _listening = send.clone();
    let callback = move |event| send.send(event).expect("the child still listens");
    let console = Console::open(&SerialSpec::Stdio, Policy::Refuse, callback, info);
    let console = console.expect("a console");
    let output = console.output();
    output.write(b"ready\r\n");
    assert!(output.flush(PATIENCE));
    match role {
        "panic" => panic!("as asked"),
        "panic-elsewhere" => {
            let thread = std::thread::spawn(|| panic!("as asked"));
            thread.join().expect_err("it panicked");
            // The process goes on; its terminal must be usable already.
            wait_for_quit(&events, &console);
        }
        "exit" => {
            isoform::console::restore_terminal();
            std::process::exit(7);
        }
        _ => wait_for_quit(&events, &console),
    }
    drop(console);
    ExitCode::SUCCESS
}

/// Echoes input in brackets until told to quit.
fn wait_for_quit(events: &Receiver<ConsoleEvent>, console: &Console) {
    let output = console.output();
    for event in events {
        match event {
            ConsoleEvent::Bytes(bytes) => {
                console.consumed(bytes.len());
                output.write(format!("[{}]", bytes.escape_ascii()).as_bytes());
            }
            ConsoleEvent::Balloon(bytes) => {
                output.write(format!("[balloon {bytes}]").as_bytes());
            }
            ConsoleEvent::Reset => drop(output.write(b"[reset]")),
            ConsoleEvent::Eof => drop(output.write(b"[end]")),
            ConsoleEvent::OutputRoom => {}
            ConsoleEvent::Quit => return,
        }
    }
}

/// A pseudo-terminal and the child on it.
struct Session {
    master: File,
    peer: OwnedFd,
    before: String,
    child: Child,
    seen: Vec<u8>,
}

fn pseudo_terminal() -> (File, OwnedFd) {
    let master =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let path = PathBuf::from(name.into_string().expect("an ASCII name"));
    let peer = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("it opens");
    (master.into(), peer.into())
}

fn child_command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(ROLE, role);
    command
}

impl Session {
    fn start(role: &str) -> Session {
        Session::start_with(child_command(role), "ready")
    }

    /// Starts `command` and waits until it writes `ready`.
    fn start_with(mut command: Command, ready: &str) -> Session {
        let (master, peer) = pseudo_terminal();
        let before = settings(&peer);
        let end = || Stdio::from(peer.try_clone().expect("a duplicate"));
        let child = command
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("it starts");
        let mut session = Session {
            master,
            peer,
            before,
            child,
            seen: Vec::new(),
        };
        session.expect(ready);
        session
    }

    /// Reads what the child writes until `text` is in it.
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.windows(text.len()).any(|w| w == text.as_bytes()) {
            assert!(
                Instant::now() < deadline,
                "`{text}` is not in {:?}",
                self.text()
            );
            let mut fds = [rustix::event::PollFd::new(
                &self.master,
                rustix::event::PollFlags::IN,
            )];
            let tick = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 100_000_000,
            };
            if rustix::event::poll(&mut fds, Some(&tick)).expect("poll works") > 0 {
                let mut buf = [0; 4096];
                let n = self.master.read(&mut buf).expect("the child writes");
                self.seen.extend(&buf[..n]);
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    fn keys(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("typed");
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.peer).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is ours");
    }

    /// Waits for the end and checks the terminal.
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("it is ours") {
                Some(status) => break status,
                None => assert!(
                    Instant::now() < deadline,
                    "it does not end: {:?}",
                    self.text()
                ),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(settings(&self.peer), self.before, "the terminal's settings");
        status
    }

    /// Waits until the terminal is raw, or is not.
    fn wait_raw(&self, raw: bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_raw() != raw {
            assert!(
                Instant::now() < deadline,
                "the terminal does not become raw={raw}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only a failed case leaves it running; it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(terminal: &OwnedFd) -> String {
    let t = tcgetattr(terminal).expect("a terminal");
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        t.input_modes, t.output_modes, t.control_modes, t.local_modes, t.special_codes
    )
}

fn raw_while_it_runs() {
    let mut session = Session::start("wait");
    assert!(session.is_raw());
    session.keys(b"\x01x");
    assert_eq!(session.end().code(), Some(0));
}

fn after_a_panic() {
    let mut session = Session::start("panic");
    assert_eq!(session.end().code(), Some(101));
}

fn after_a_panic_elsewhere() {
    let mut session = Session::start("panic-elsewhere");
    session.expect("as asked");
    session.wait_raw(false);
    session.keys(b"\x01x\n");
    assert_eq!(session.end().code(), Some(0));
}

fn after_exit() {
    let mut session = Session::start("exit");
    assert_eq!(session.end().code(), Some(7));
}

fn after_signals() {
    use std::os::unix::process::ExitStatusExt;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut session = Session::start("wait");
        session.signal(signal);
        let status = session.end();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
    }
}

fn while_stopped() {
    let mut session = Session::start("wait");
    session.signal(Signal::TSTP);
    session.wait_raw(false);
    session.signal(Signal::CONT);
    session.wait_raw(true);
    session.keys(b"\x01x");
    assert_eq!(session.end().code(), Some(0));
}

/// As under nohup.
fn ignored_signals() {
    let exe = std::env::current_exe().expect("this program");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\""])
        .arg(exe)
        .env(ROLE, "wait");
    let mut session = Session::start_with(shell, "ready");
    session.signal(Signal::HUP);
    session.keys(b"still");
    session.expect("[still]");
    session.keys(b"\x01x");
    assert_eq!(session.end().code(), Some(0));
}

fn keys_reach_the_guest() {
    let mut session = Session::start("wait");
    // What a cooked terminal would swallow or act upon.
    session.keys(b"\x03");
    session.expect("[\\x03]");
    session.keys(b"\r");
    session.expect("[\\r]");
    session.keys(b"\x1a\x1c\x13\x04");
    session.expect("[\\x1a\\x1c\\x13\\x04]");
    session.keys(b"\x01\x01");
    session.expect("[\\x01]");
    session.keys(b"\x01x");
    session.end();
}

fn the_monitor_answers() {
    let mut session = Session::start("wait");
    session.keys(b"\x01h");
    session.expect("Ctrl-A x");
    session.keys(b"\x01cinfo\r");
    session.expect("two harts\r\nall asleep\r\n");
    session.keys(b"reset\r");
    session.expect("[reset]");
    session.keys(b"\x01cback");
    session.expect("[back]");
    session.keys(b"\x01cquit\r");
    assert_eq!(session.end().code(), Some(0));
}

/// Standard input that is no terminal is the guest's, every byte; its end is no end.
fn a_pipe_passes_ctrl_a() {
    let mut child = child_command("wait")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = child.stdout.take().expect("piped");
    stdin.write_all(b"\x01x\x01c").expect("sent");
    drop(stdin);
    let mut seen = Vec::new();
    while !seen.ends_with(b"[end]") {
        let mut byte = [0];
        stdout
            .read_exact(&mut byte)
            .expect("it goes on until [end]");
        seen.extend(byte);
    }
    assert_eq!(seen, b"ready\r\n[\\x01x\\x01c][end]");
    assert!(
        child.try_wait().expect("it is ours").is_none(),
        "end of input is no end"
    );
    child.kill().expect("it still runs");
    child.wait().expect("it is ours");
}

/// Guest, monitor, restart and the way out, in the program itself.
fn the_program() {
    const GREETING: &str = "Type help";
    let mut program = Command::new(env!("CARGO_BIN_EXE_isoform"));
    program.arg("run");
    let mut session = Session::start_with(program, GREETING);
    assert!(session.is_raw());
    session.keys(b"\x01cinfo\r");
    session.expect("hart 0");
    session.seen.clear();
    session.keys(b"reset\r\x01c");
    session.expect(GREETING);
    session.keys(b"\x01x");
    assert_eq!(session.end().code(), Some(0));
}
