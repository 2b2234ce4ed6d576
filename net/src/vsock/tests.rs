//! Connections both ways, seen from the guest's packets and the host's sockets.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::connection::BUF_ALLOC;
use super::mux::{CONNECTIONS, Connect};
use super::spec::{HOST_CID, Header, SHUTDOWN_RCV, SHUTDOWN_SEND, TYPE_STREAM, op};
use super::*;
use crate::cable::{NicEnd, cable};

const CID: u32 = 7;
/// What a guest has room for.
const ROOM: u32 = 64 << 10;
const SECONDS: Duration = Duration::from_secs(20);

/// A guest's side: packets by hand.
struct Guest {
    nic: NicEnd,
    news: Receiver<()>,
    path: PathBuf,
    _folder: tempfile::TempDir,
    vsock: Vsock,
}

fn guest() -> Guest {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("v");
    let (tell, news) = channel();
    let tell = Mutex::new(tell);
    let wake = move || {
        let _ = tell.lock().expect("nobody panics with it").send(());
    };
    let (nic, host) = cable(wake).expect("a cable");
    let config = VsockConfig {
        cid: CID,
        path: path.clone(),
    };
    let vsock = Vsock::start(&config, host).expect("it listens");
    Guest {
        nic,
        news,
        path,
        _folder: folder,
        vsock,
    }
}

fn header(op: u16, (host, guest): (u32, u32)) -> Header {
    Header {
        src_cid: u64::from(CID),
        dst_cid: HOST_CID,
        src_port: guest,
        dst_port: host,
        kind: TYPE_STREAM,
        op,
        flags: 0,
        buf_alloc: ROOM,
        fwd_cnt: 0,
    }
}

impl Guest {
    fn send(&self, header: Header, payload: &[u8]) {
        self.nic.send(header.with(payload)).expect("there is room");
    }

    fn raw(&self) -> Vec<u8> {
        loop {
            if let Some(packet) = self.nic.receive() {
                return packet;
            }
            self.news.recv_timeout(SECONDS).expect("a packet comes");
        }
    }

    fn next(&self) -> (Header, Vec<u8>) {
        let packet = self.raw();
        let (header, payload) = Header::split(&packet).expect("a packet");
        assert_eq!(header.dst_cid, u64::from(CID));
        (header, payload.to_vec())
    }

    fn expect(&self, op: u16, (host, guest): (u32, u32)) -> (Header, Vec<u8>) {
        let (header, payload) = self.next();
        assert_eq!(
            (header.op, header.src_port, header.dst_port),
            (op, host, guest)
        );
        (header, payload)
    }

    /// A program of the host's that is connected to the guest's port.
    fn called(&self, port: u32) -> (UnixStream, (u32, u32)) {
        let mut program = UnixStream::connect(&self.path).expect("it listens");
        program.set_read_timeout(Some(SECONDS)).expect("a time");
        writeln!(program, "CONNECT {port}").expect("written");
        let (request, _) = self.next();
        assert_eq!((request.op, request.dst_port), (op::REQUEST, port));
        let key = (request.src_port, port);
        self.send(header(op::RESPONSE, key), b"");
        let mut line = [0; "OK 1073741824\n".len()];
        program.read_exact(&mut line).expect("an answer");
        assert_eq!(line, format!("OK {}\n", key.0).as_bytes());
        (program, key)
    }

    /// A connection to a program that serves the host's port, from the guest's port 99.
    fn calls(&self, port: u32) -> (UnixStream, (u32, u32)) {
        let listener = UnixListener::bind(format!("{}_{port}", self.path.display()));
        let listener = listener.expect("it listens");
        let key = (port, 99);
        self.send(header(op::REQUEST, key), b"");
        self.expect(op::RESPONSE, key);
        let (program, _) = listener.accept().expect("it has come");
        program.set_read_timeout(Some(SECONDS)).expect("a time");
        (program, key)
    }
}

#[test]
fn a_program_calls_the_guest() {
    let guest = guest();
    let (mut program, key) = guest.called(1234);
    program.write_all(b"ask").expect("written");
    let (header_of, data) = guest.expect(op::RW, key);
    assert_eq!((&data[..], header_of.buf_alloc), (&b"ask"[..], BUF_ALLOC));
    guest.send(header(op::RW, key), b"answer");
    let mut answer = [0; 6];
    program.read_exact(&mut answer).expect("it comes");
    assert_eq!(&answer, b"answer");
    // The program has said all it wants, the guest has not.
    program
        .shutdown(std::net::Shutdown::Write)
        .expect("connected");
    let (ended, _) = guest.expect(op::SHUTDOWN, key);
    assert_eq!((ended.flags, ended.fwd_cnt), (SHUTDOWN_SEND, 6));
    guest.send(header(op::RW, key), b" more");
    let closes = Header {
        flags: SHUTDOWN_RCV | SHUTDOWN_SEND,
        ..header(op::SHUTDOWN, key)
    };
    guest.send(closes, b"");
    guest.expect(op::RST, key);
    let mut rest = String::new();
    program.read_to_string(&mut rest).expect("it ends");
    assert_eq!(rest, " more");
}

#[test]
fn the_guest_calls_a_program() {
    let guest = guest();
    let (mut program, key) = guest.calls(80);
    guest.send(header(op::RW, key), b"ask");
    let mut ask = [0; 3];
    program.read_exact(&mut ask).expect("it comes");
    program.write_all(b"answer").expect("written");
    drop(program);
    assert_eq!(guest.expect(op::RW, key).1, b"answer");
    let (ended, _) = guest.expect(op::SHUTDOWN, key);
    assert_eq!(ended.flags, SHUTDOWN_RCV | SHUTDOWN_SEND);
    guest.send(header(op::RST, key), b"");
    // Where nobody serves.
    guest.send(header(op::REQUEST, (81, 99)), b"");
    guest.expect(op::RST, (81, 99));
}

#[test]
fn credit_bounds_both_ways() {
    let guest = guest();
    let (mut program, key) = guest.calls(80);
    program.set_nonblocking(true).expect("ours");
    let mut written = 0_usize;
    let (mut came, mut asked) = (0, 0);
    // Far more than there is room for: the guest gets what it has room for.
    while came < ROOM as usize {
        match program.write(&[7; 10_000]) {
            Ok(count) => written += count,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        while let Some(packet) = guest.nic.receive() {
            let (header, payload) = Header::split(&packet).expect("a packet");
            asked += usize::from(header.op == op::CREDIT_REQUEST);
            came += payload.len();
        }
    }
    assert_eq!(came, ROOM as usize);
    assert!(written >= came);
    if asked == 0 {
        guest.expect(op::CREDIT_REQUEST, key);
    }
    // A lie about what was taken is no room.
    let lie = Header {
        fwd_cnt: u32::MAX / 2,
        ..header(op::CREDIT_UPDATE, key)
    };
    guest.send(lie, b"");
    guest.send(header(op::CREDIT_REQUEST, key), b"");
    guest.expect(op::CREDIT_UPDATE, key);
    let truth = Header {
        fwd_cnt: ROOM,
        ..header(op::CREDIT_UPDATE, key)
    };
    program.write_all(&[7; 100]).ok();
    guest.send(truth, b"");
    assert!(!guest.expect(op::RW, key).1.is_empty());

    // The other way a program that does not read holds the guest up, as far as it was
    // told; who sends more is reset.
    let piece = [1; 32 << 10];
    let mut sent = 0_u64;
    let reset = loop {
        guest.nic.send(header(op::RW, key).with(&piece)).ok();
        sent += piece.len() as u64;
        assert!(sent < 64 << 20, "it is never too much");
        match guest.nic.receive().as_deref().and_then(Header::split) {
            Some((header, _)) if header.op == op::RST => break header,
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!((reset.src_port, reset.dst_port), key);
}

#[test]
fn packets_that_make_no_sense() {
    let guest = guest();
    let (_program, key) = guest.calls(80);
    let foreign = Header {
        src_cid: 8,
        ..header(op::RST, key)
    };
    guest.send(foreign, b"");
    // Cut short, or longer than it says.
    guest.nic.send(vec![1; 43]).expect("room");
    let mut long = header(op::RST, key).with(b"");
    long.push(0);
    guest.nic.send(long).expect("room");
    // The connection has not noticed.
    guest.send(header(op::CREDIT_REQUEST, key), b"");
    guest.expect(op::CREDIT_UPDATE, key);
    // To another guest; another kind; of no connection; no operation.
    let elsewhere = Header {
        dst_cid: 9,
        ..header(op::REQUEST, key)
    };
    guest.send(elsewhere, b"");
    assert_eq!(guest.expect(op::RST, key).0.src_cid, 9);
    let other = Header {
        kind: 2,
        ..header(op::REQUEST, key)
    };
    guest.send(other, b"");
    assert_eq!(guest.expect(op::RST, key).0.kind, 2);
    guest.send(header(op::RW, (80, 1)), b"x");
    guest.expect(op::RST, (80, 1));
    guest.send(header(op::RST, (80, 1)), b"");
    // Asked for twice; then it is gone.
    for odd in [op::REQUEST, op::RESPONSE, 0, 99] {
        guest.send(header(odd, key), b"");
        guest.expect(op::RST, key);
    }
}

#[test]
fn a_guest_that_starts_anew_has_no_connections() {
    let guest = guest();
    let (mut program, key) = guest.called(5);
    guest.nic.send(Vec::new()).expect("room");
    assert_eq!(guest.raw(), b"");
    assert_eq!(program.read(&mut [0]).expect("its end"), 0);
    guest.send(header(op::RW, key), b"x");
    guest.expect(op::RST, key);
}

#[test]
fn programs_that_say_something_else_are_sent_away() {
    let guest = guest();
    for line in [
        "HELLO\n",
        "CONNECT\n",
        "CONNECT -1\n",
        "CONNECT +1\n",
        "CONNECT 4294967296\n",
    ] {
        let mut program = UnixStream::connect(&guest.path).expect("it listens");
        program.set_read_timeout(Some(SECONDS)).expect("a time");
        program.write_all(line.as_bytes()).expect("written");
        assert!(matches!(program.read(&mut [0]), Ok(0) | Err(_)), "{line}");
    }
    let mut endless = UnixStream::connect(&guest.path).expect("it listens");
    endless.set_read_timeout(Some(SECONDS)).expect("a time");
    endless.write_all(&[b'C'; 100]).expect("written");
    let error = endless.read(&mut [0]).map_err(|e| e.kind());
    assert!(
        matches!(error, Ok(0) | Err(ErrorKind::ConnectionReset)),
        "{error:?}"
    );
    // In pieces, and with what follows it.
    let mut program = UnixStream::connect(&guest.path).expect("it listens");
    program.write_all(b"CONN").expect("written");
    std::thread::sleep(Duration::from_millis(20));
    program.write_all(b"ECT 6\r\nand more").expect("written");
    let (request, _) = guest.next();
    let key = (request.src_port, 6);
    guest.send(header(op::RESPONSE, key), b"");
    assert_eq!(guest.expect(op::RW, key).1, b"and more");
    // One that the guest does not want.
    let mut program = UnixStream::connect(&guest.path).expect("it listens");
    program.write_all(b"CONNECT 6\n").expect("written");
    let (request, _) = guest.next();
    guest.send(header(op::RST, (request.src_port, 6)), b"");
    assert_eq!(program.read(&mut [0]).expect("its end"), 0);
}

/// A host on which everybody serves; the other ends are kept.
#[derive(Default)]
struct All(Vec<std::os::fd::OwnedFd>);

fn pair() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a pair")
}

impl Connect for All {
    fn connect(&mut self, _port: u32) -> Result<std::os::fd::OwnedFd, Errno> {
        let (ours, theirs) = pair();
        // One end is enough to be counted.
        self.0 = vec![theirs];
        Ok(ours)
    }
}

fn said(mux: &mut Mux<All>) -> Vec<u16> {
    let mut said = Vec::new();
    mux.speak(&mut |packet| {
        said.push(Header::split(&packet).map_or(0, |(h, _)| h.op));
        Ok(())
    });
    said
}

#[test]
fn connections_are_bounded() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(4096, |most| most.min(4096));
    let raised = Rlimit {
        current: Some(most),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("below the maximum");
    let mut mux = Mux::new(CID, All::default());
    for port in 0..CONNECTIONS as u32 + 10 {
        mux.hear(&header(op::REQUEST, (1, port)).with(b""));
    }
    assert_eq!(mux.len(), CONNECTIONS);
    assert!(!mux.welcomes());
    let said = said(&mut mux);
    assert_eq!(said.iter().filter(|op| **op == op::RST).count(), 10);
}

#[test]
fn who_takes_too_long_is_given_up() {
    let mut mux = Mux::new(CID, All::default());
    let now = Instant::now();
    let ((ours, theirs), (asks, program)) = (pair(), pair());
    mux.greet(ours, now);
    mux.greet(asks, now);
    rustix::io::write(&program, b"CONNECT 5\n").expect("written");
    let shown: Vec<_> = mux.sources().into_iter().map(|(s, _, f)| (s, f)).collect();
    mux.serve(&shown, now, &mut |_| Ok(()));
    assert_eq!(said(&mut mux), [op::REQUEST]);
    let until = mux.deadline().expect("both are waited for");
    mux.expire(until - Duration::from_millis(1));
    assert_eq!((mux.len(), said(&mut mux)), (1, vec![]));
    mux.expire(until);
    assert_eq!((mux.len(), said(&mut mux)), (0, vec![op::RST]));
    for end in [theirs, program] {
        assert_eq!(rustix::io::read(&end, &mut [0; 4]), Ok(0), "closed");
    }
    assert_eq!(mux.deadline(), None);
}

#[test]
fn the_socket_is_this_users_and_goes_with_the_machine() {
    let guest = guest();
    let meta = fs::metadata(&guest.path).expect("there");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let config = VsockConfig {
        cid: CID,
        path: guest.path.clone(),
    };
    let start = || {
        let (_nic, host) = cable(|| ()).expect("a cable");
        Vsock::start(&config, host)
    };
    assert!(
        matches!(start(), Err(VsockError::Taken(_))),
        "somebody is there"
    );
    let Guest { vsock, _folder, .. } = guest;
    drop(vsock);
    assert!(!config.path.exists());
    // A dead machine's.
    drop(UnixListener::bind(&config.path).expect("bound"));
    let old = fs::metadata(&config.path).expect("left behind").ino();
    let vsock = start().expect("nobody is there");
    // A successor's stays.
    fs::remove_file(&config.path).expect("ours");
    let _successor = UnixListener::bind(&config.path).expect("bound");
    drop(vsock);
    assert!(config.path.exists());
    fs::remove_file(&config.path).expect("ours");
    fs::write(&config.path, "precious").expect("written");
    assert!(
        matches!(start(), Err(VsockError::Taken(_))),
        "no socket, {old}"
    );
    assert_eq!(fs::read_to_string(&config.path).expect("there"), "precious");
}
