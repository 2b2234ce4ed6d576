//! Sockets between Linux and programs of this host, both ways.

use crate::image::{DEBIAN, debian};
use crate::program::{PATIENCE, Process, isoform_run};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What the guest sends and is sent, bytes.
const BYTES: usize = 10 << 20;
/// `test-roms/user/vsock.c`, once as the one who calls and once as the one who is called;
/// a port at which nobody is.
const SCRIPT: &str = "\
    set -e; mkdir /b; mount -t 9p -o trans=virtio,version=9p2000.L bin /b
    cp /b/vsock.elf /v; chmod 755 /v
    /v call 5000; echo called
    /v call 5001 || echo status $?
    /v serve 1234; echo served";

/// The stream of `vsock.c`: Knuth's MMIX generator.
fn stream() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..BYTES).map(|_| next()).collect()
}

/// Gives one connection back what it sends; all of it, in the end.
fn echo(listener: &UnixListener) -> Vec<u8> {
    let begun = Instant::now();
    listener.set_nonblocking(true).expect("ours");
    let mut guest = loop {
        match listener.accept() {
            Ok((guest, _)) => break guest,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        assert!(begun.elapsed() < PATIENCE, "the guest does not come");
        std::thread::sleep(Duration::from_millis(20));
    };
    guest.set_nonblocking(false).expect("ours");
    guest.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut all = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match guest.read(&mut piece).expect("it is there") {
            0 => return all,
            count => {
                guest.write_all(&piece[..count]).expect("it reads");
                all.extend_from_slice(&piece[..count]);
            }
        }
    }
}

/// A connection to a port of the guest's, as soon as somebody listens there.
fn call(path: &Path, port: u32) -> BufReader<UnixStream> {
    let begun = Instant::now();
    loop {
        let mut guest = UnixStream::connect(path).expect("the machine listens");
        guest.set_read_timeout(Some(PATIENCE)).expect("a time");
        writeln!(guest, "CONNECT {port}").expect("it reads");
        let mut guest = BufReader::new(guest);
        let mut line = String::new();
        let answered = guest.read_line(&mut line);
        if answered.is_ok_and(|n| n > 0) {
            assert!(line.starts_with("OK "), "{line}");
            return guest;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody listens in the guest");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn sockets_lead_both_ways() {
    if debian("sockets_lead_both_ways").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("guest");
    let listener = UnixListener::bind(folder.path().join("guest_5000")).expect("bound");
    let content = stream();

    let mut command = isoform_run();
    command.arg(DEBIAN).args(["--smp", "2"]);
    command.args([
        "--share",
        concat!(env!("CARGO_MANIFEST_DIR"), "/test-roms/bin:bin:ro"),
    ]);
    command
        .arg("--vsock")
        .arg(format!("cid=7,uds={}", path.display()));
    command.args(["--exec", SCRIPT]).stdout(Stdio::piped());
    let mut process = Process::start(&mut command);
    let begun = Instant::now();
    assert!(echo(&listener) == content, "it has changed on the way");
    println!("the guest has called after {:?}", begun.elapsed());

    let mut guest = call(&path, 1234);
    let begun = Instant::now();
    let mut writer = guest.get_ref().try_clone().expect("a duplicate");
    let back = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&content).expect("the guest reads");
            writer.shutdown(Shutdown::Write).expect("connected");
        });
        let mut back = Vec::new();
        guest.read_to_end(&mut back).expect("the guest ends");
        back
    });
    println!("there and back in {:?}", begun.elapsed());
    assert!(back == content, "it has changed on the way");

    assert_eq!(process.wait().code(), Some(0));
    let mut said = String::new();
    let out = process.0.stdout.as_mut().expect("piped");
    out.read_to_string(&mut said).expect("text");
    // Connecting to nobody is step 11 of the program.
    assert_eq!(said, "called\nstatus 11\nserved\n");
    assert!(!path.exists(), "the socket goes with the machine");
}
