//! Host ends as peers see them. The terminal needs a process of its own: see
//! `tests/terminal.rs`.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::console::input::MAX_OUTSTANDING;
use crate::console::output::CAPACITY;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(spec: &SerialSpec) -> (Console, Receiver<ConsoleEvent>) {
    let (events, received) = channel();
    let callback = move |event| {
        // The test may be over.
        let _ = events.send(event);
    };
    let console = Console::open(spec, Policy::Refuse, callback, String::new).expect("it opens");
    (console, received)
}

/// Writes all of it, as a guest does: what is refused, once there is room.
fn write_all(output: &Output, events: &Receiver<ConsoleEvent>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let taken = output.write(bytes);
        bytes = &bytes[taken..];
        if !bytes.is_empty() {
            let told = events.recv_timeout(PATIENCE);
            assert_eq!(told, Ok(ConsoleEvent::OutputRoom));
        }
    }
}

/// An output to a pipe, and the pipe's other end.
fn piped(policy: Policy) -> (Output, Receiver<ConsoleEvent>, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (events, received) = channel();
    let events = Events(Arc::new(move |event| drop(events.send(event))));
    let output = Output::start(Some(writer.into()), policy, "test", events);
    (output.expect("a thread"), received, reader)
}

/// Bytes from the host's end until there are `len` of them.
fn input(console: &Console, events: &Receiver<ConsoleEvent>, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        match events.recv_timeout(PATIENCE) {
            Ok(ConsoleEvent::Bytes(more)) => {
                console.consumed(more.len());
                bytes.extend(more);
            }
            other => panic!("{other:?} after {} of {len} bytes", bytes.len()),
        }
    }
    bytes
}

fn connect(path: &Path) -> UnixStream {
    let peer = UnixStream::connect(path).expect("it listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    peer
}

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn a_file_gets_every_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log");
    let (console, events) = open(&SerialSpec::File(path.clone()));
    let output = console.output();
    let expected: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    for piece in expected.chunks(777) {
        write_all(&output, &events, piece);
    }
    drop(console);
    assert!(std::fs::read(&path).expect("it is there") == expected);
    let late = b"after the end, this goes nowhere";
    assert_eq!(output.write(late), late.len());
}

#[test]
fn a_file_that_cannot_be_is_an_error_with_its_name() {
    let spec = SerialSpec::File("/nonexistent/log".into());
    let error = Console::open(&spec, Policy::Refuse, |_| {}, String::new)
        .map(|_| ())
        .expect_err("no such folder");
    assert!(error.to_string().contains("/nonexistent/log"));
}

#[test]
fn a_full_disk_does_not_stop_the_guest() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: a_full_disk_does_not_stop_the_guest: no /dev/full");
        return;
    }
    let (console, events) = open(&SerialSpec::File("/dev/full".into()));
    for _ in 0..100 {
        write_all(&console.output(), &events, &[b'x'; 4096]);
    }
}

#[test]
fn a_socket_serves_one_peer_after_the_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("serial");
    let (console, events) = open(&SerialSpec::Unix(path.clone()));
    for _ in 0..3 {
        let mut peer = connect(&path);
        peer.write_all(&all_bytes()).expect("sent");
        assert_eq!(input(&console, &events, 256), all_bytes());
        console.output().write(&all_bytes());
        let mut back = [0; 256];
        peer.read_exact(&mut back).expect("received");
        assert_eq!(back.to_vec(), all_bytes());
    }
    drop(console);
    assert!(!path.exists(), "the socket goes with the console");
}

#[test]
fn a_peer_that_stops_sending_still_receives() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("serial");
    let (console, events) = open(&SerialSpec::Unix(path.clone()));
    let mut peer = connect(&path);
    peer.write_all(b"last").expect("sent");
    peer.shutdown(std::net::Shutdown::Write)
        .expect("half closed");
    assert_eq!(input(&console, &events, 4), b"last");
    console.output().write(b"answer");
    drop(console);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).expect("received");
    assert_eq!(rest, b"answer");
}

#[test]
fn without_a_peer_the_latest_output_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("serial");
    let (console, _events) = open(&SerialSpec::Unix(path.clone()));
    let output = console.output();
    let begin = Instant::now();
    let all: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for piece in all.chunks(1000) {
        output.write(piece);
    }
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(output.dropped(), (all.len() - CAPACITY) as u64);
    let mut latest = vec![0; CAPACITY];
    connect(&path).read_exact(&mut latest).expect("received");
    assert!(latest == all[all.len() - CAPACITY..]);
}

#[test]
fn sockets_of_dead_runs_are_replaced_and_others_respected() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("serial");
    drop(UnixListener::bind(&path).expect("bound"));
    assert!(path.exists(), "a dead run leaves its socket");
    let (console, _events) = open(&SerialSpec::Unix(path.clone()));
    let refused = |path: &Path| {
        let spec = SerialSpec::Unix(path.to_owned());
        Console::open(&spec, Policy::Refuse, |_| {}, String::new)
            .map(|_| ())
            .expect_err("taken")
            .to_string()
    };
    assert!(refused(&path).contains("another program listens"));
    drop(console);
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").expect("written");
    assert!(refused(&file).contains("a file of that name"));
    assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
}

fn open_peer(console: &Console) -> File {
    let path = console.pty().expect("it has a name");
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("it opens")
}

#[test]
fn a_pseudo_terminal_passes_every_byte_both_ways() {
    let (console, events) = open(&SerialSpec::Pty);
    let mut peer = open_peer(&console);
    peer.write_all(&all_bytes()).expect("sent");
    assert_eq!(input(&console, &events, 256), all_bytes());
    console.output().write(&all_bytes());
    let mut back = [0; 256];
    peer.read_exact(&mut back).expect("received");
    assert_eq!(back.to_vec(), all_bytes());
    drop(peer);
    // Hanging up is not the end: another program may open it.
    let mut peer = open_peer(&console);
    peer.write_all(b"again").expect("sent");
    assert_eq!(input(&console, &events, 5), b"again");
}

#[test]
fn an_unread_pseudo_terminal_never_stops_the_guest() {
    let (console, events) = open(&SerialSpec::Pty);
    let begin = Instant::now();
    for _ in 0..1000 {
        console.output().write(&[b'x'; 1000]);
    }
    assert!(console.output().dropped() > 0);
    drop(console);
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(
        events.try_iter().count(),
        0,
        "output must not come back as input"
    );
}

#[test]
fn input_waits_for_a_machine_that_takes_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("serial");
    let (console, events) = open(&SerialSpec::Unix(path.clone()));
    let mut peer = connect(&path);
    let sent: Vec<u8> = (0..500_000_u32).map(|i| (i % 253) as u8).collect();
    let copy = sent.clone();
    let sender = std::thread::spawn(move || peer.write_all(&copy).map(|()| peer));
    // Nothing is acknowledged, so no more than the limit comes.
    let mut got = Vec::new();
    while let Ok(ConsoleEvent::Bytes(more)) = events.recv_timeout(Duration::from_millis(300)) {
        got.extend(more);
    }
    assert_eq!(got.len(), MAX_OUTSTANDING);
    console.consumed(got.len());
    got.extend(input(&console, &events, sent.len() - got.len()));
    assert!(got == sent);
    sender.join().expect("no panic").expect("all sent");
}

#[test]
fn a_full_output_refuses_and_tells_of_room() {
    let (output, events, mut reader) = piped(Policy::Refuse);
    let sent: Vec<u8> = (0..3 * CAPACITY).map(|i| (i % 251) as u8).collect();
    let taken = output.write(&sent);
    assert_eq!(taken, CAPACITY, "more than the buffer holds");
    // The thread takes what the pipe takes, and tells of that.
    let told = events.recv_timeout(PATIENCE);
    assert_eq!(told, Ok(ConsoleEvent::OutputRoom));
    let mut at = taken;
    loop {
        let more = output.write(&sent[at..]);
        at += more;
        if more == 0 && events.recv_timeout(Duration::from_millis(100)).is_err() {
            break;
        }
    }
    assert!(at < sent.len(), "nobody reads the pipe");
    let mut first = vec![0; CAPACITY];
    reader.read_exact(&mut first).expect("read");
    let told = events.recv_timeout(PATIENCE);
    assert_eq!(told, Ok(ConsoleEvent::OutputRoom), "there is room again");
    let rest = sent[CAPACITY..].to_vec();
    let reads = std::thread::spawn(move || {
        let mut got = vec![0; rest.len()];
        reader.read_exact(&mut got).map(|()| got == rest)
    });
    write_all(&output, &events, &sent[at..]);
    let whole = reads.join().expect("no panic").expect("read");
    assert!(first == sent[..CAPACITY] && whole, "not what was sent");
    output.close();
}

#[test]
fn an_output_that_grows_takes_all_and_says_that_it_is_behind() {
    let (output, events, mut reader) = piped(Policy::Grow);
    let sent = vec![b'x'; 3 * CAPACITY];
    assert_eq!(output.write(&sent), sent.len());
    assert!(output.is_behind());
    let mut got = vec![0; sent.len()];
    reader.read_exact(&mut got).expect("read");
    assert!(got == sent && !output.is_behind());
    assert_eq!(events.try_iter().count(), 0, "nothing was refused");
    output.close();
}

#[test]
fn at_the_end_an_output_waits_for_no_reader() {
    let (output, events, reader) = piped(Policy::Refuse);
    while output.write(&[b'x'; CAPACITY]) > 0 {
        // Until neither pipe nor buffer takes more.
        let _ = events.recv_timeout(Duration::from_millis(100));
    }
    output.never_wait();
    let told = events.recv_timeout(PATIENCE);
    assert_eq!(told, Ok(ConsoleEvent::OutputRoom), "who waits need not");
    let more = [b'y'; 2 * CAPACITY];
    assert_eq!(output.write(&more), more.len());
    assert!(!output.flush(Duration::from_millis(50)));
    output.close();
    drop(reader);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_guest() {
    let (output, events, reader) = piped(Policy::Refuse);
    output.write(b"hello");
    assert!(output.flush(PATIENCE));
    drop(reader);
    write_all(&output, &events, &vec![b'x'; 10 * CAPACITY]);
    output.close();
}
