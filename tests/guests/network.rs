//! A guest on a network of its own: it takes an address, is reached by a published port,
//! and reaches the host only where that is allowed.

use crate::image::{DEBIAN, debian};
use crate::program::{Process, isoform_run};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A port that nobody listens on for the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// What the guest says on its port, once it listens: connections from before are closed
/// without a word.
fn heard(port: u16) -> String {
    let end = Instant::now() + Duration::from_secs(100);
    while Instant::now() < end {
        let mut text = String::new();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let read = stream.and_then(|mut stream| stream.read_to_string(&mut text));
        if read.is_ok() && !text.is_empty() {
            return text;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nobody answers at the published port");
}

#[test]
fn a_guest_has_a_network_of_its_own() {
    if debian("a_guest_has_a_network_of_its_own").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("pcap");
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let (port, refused) = (free_port(), host.local_addr().expect("bound").port());
    let command = format!(
        "ip -o -4 addr show eth0 | awk '{{print $4}}'; cat /sys/class/net/eth0/mtu
         grep nameserver /etc/resolv.conf; ping -c 1 -q 10.0.2.2 | grep -o '1 packets received'
         nc -w 5 10.0.2.2 {refused} < /dev/null || echo refused
         echo hello from the guest | nc -l -p 7000"
    );
    let mut run = isoform_run();
    run.arg(DEBIAN).args(["--net", "user,mtu=9000"]);
    run.args(["--publish", &format!("{port}:7000")]);
    run.arg("--pcap").arg(&capture).args(["--exec", &command]);
    let mut process = Process::start(run.stdout(Stdio::piped()).stderr(Stdio::inherit()));
    assert_eq!(heard(port), "hello from the guest\n");
    let mut out = String::new();
    let mut from = process.0.stdout.take().expect("piped");
    from.read_to_string(&mut out).expect("text");
    let expected = "10.0.2.15/24\n9000\nnameserver 10.0.2.3\n1 packets received\nrefused\n";
    assert_eq!(out, expected);
    assert!(process.wait().success());
    let captured = std::fs::read(&capture).expect("written");
    assert!(captured.len() > 1000, "{} bytes", captured.len());
}

#[test]
fn a_taken_port_is_said_before_anything_runs() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let mut run = isoform_run();
    run.args(["--publish", &format!("{port}:22"), "--serial", "null"]);
    let ran = crate::program::run(&mut run);
    assert_eq!(ran.status, 1);
    let expected = format!("cannot publish TCP 127.0.0.1:{port} as the guest's 22");
    assert!(ran.err.contains(&expected), "{}", ran.err);
}
