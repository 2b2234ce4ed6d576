//! How fast it is. `cargo test --release -p isoform-net speed -- --ignored --nocapture`

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Instant;

use super::guest::{Guest, HOST, open};

/// Bytes of each measurement.
const AMOUNT: usize = 2 << 30;

/// Seconds that the network's threads have computed for.
fn computed() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let nanoseconds = |task: std::path::PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let spent = std::fs::read_to_string(task.join("schedstat")).ok()?;
        let ours = name.trim() == "user-net";
        spent
            .split(' ')
            .next()?
            .parse::<f64>()
            .ok()
            .filter(|_| ours)
    };
    tasks
        .flatten()
        .filter_map(|task| nanoseconds(task.path()))
        .sum::<f64>()
        / 1e9
}

/// What happens in wall time and for each second that the network computes, which is
/// the same on a machine that others use as well.
fn measured(bytes: usize, run: impl FnOnce()) -> String {
    let (began, before) = (Instant::now(), computed());
    run();
    let gigabits = bytes as f64 * 8.0 / 1e9;
    let (passed, spent) = (began.elapsed().as_secs_f64(), computed() - before);
    format!(
        "{:.1} Gbit/s ({:.1} a CPU second)",
        gigabits / passed,
        gigabits / spent
    )
}

/// From the guest to the host.
fn upload(guest: &mut Guest, amount: usize) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        let (mut buffer, mut total) = (vec![0; 1 << 18], 0);
        while total < amount {
            total += stream.read(&mut buffer).expect("readable");
        }
    });
    let stream = guest.connected(HOST, port);
    let mut sent = 0;
    guest.until("an upload", |guest| {
        while sent < amount && guest.tcp(stream).can_send() {
            let put = guest.tcp(stream).send(|room| (room.len(), room.len()));
            sent += put.expect("open");
        }
        server.is_finished().then_some(())
    });
}

/// From the host to the guest.
fn download(guest: &mut Guest, amount: usize) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        let buffer = vec![1; 1 << 18];
        for _ in 0..amount.div_ceil(buffer.len()) {
            stream.write_all(&buffer).expect("writable");
        }
    });
    let stream = guest.connected(HOST, port);
    let mut total = 0;
    guest.until("a download", |guest| {
        while guest.tcp(stream).can_recv() {
            let got = guest.tcp(stream).recv(|data| (data.len(), data.len()));
            total += got.expect("open");
        }
        (total >= amount).then_some(())
    });
    server.join().expect("no panic");
}

#[test]
#[ignore = "a measurement"]
fn gigabits_a_second() {
    for (mtu, trusting) in [(65520, true), (65520, false), (1500, true), (1500, false)] {
        let mut guest = Guest::with_mtu(open(), mtu);
        if trusting {
            guest = guest.trusting();
        }
        let amount = AMOUNT / if mtu == 1500 { 8 } else { 1 };
        let up = measured(amount, || upload(&mut guest, amount));
        let down = measured(amount, || download(&mut guest, amount));
        let checksums = if trusting {
            "no checksums"
        } else {
            "checksums"
        };
        println!("MTU {mtu}, {checksums}: up {up}, down {down}");
    }
}
