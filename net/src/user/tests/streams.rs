//! TCP both ways.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use smoltcp::socket::tcp::State;

use super::super::{Proto, Publish, UserConfig};
use super::guest::{Guest, HOST, open};

/// A server for one connection, and its port.
fn serve(with: impl FnOnce(TcpStream) + Send + 'static) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || with(listener.accept().expect("a connection").0));
    (port, server)
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer).expect("readable") {
            0 => break,
            count => stream.write_all(&buffer[..count]).expect("writable"),
        }
    }
}

/// Bytes in which a piece out of place shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn megabytes_come_back_as_they_were_sent() {
    let bytes = pattern(24 << 20);
    let (port, server) = serve(echo);
    let mut guest = Guest::new(open());
    let stream = guest.connected(HOST, port);
    assert!(guest.exchange(stream, &bytes, true) == bytes);
    server.join().expect("no panic");
}

#[test]
fn a_guest_with_small_packets_gets_them_all() {
    let bytes = pattern(4 << 20);
    let (port, server) = serve(echo);
    let mut guest = Guest::with_mtu(open(), 1500);
    let stream = guest.connected(HOST, port);
    assert!(guest.exchange(stream, &bytes, true) == bytes);
    server.join().expect("no panic");
}

#[test]
fn without_checksums_too() {
    let bytes = pattern(4 << 20);
    let (port, server) = serve(echo);
    let mut guest = Guest::new(open()).trusting();
    let stream = guest.connected(HOST, port);
    assert!(guest.exchange(stream, &bytes, true) == bytes);
    server.join().expect("no panic");
}

#[test]
fn either_side_may_finish_first() {
    // The guest: the answer comes after its end.
    let (port, server) = serve(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("readable");
        assert_eq!(all, b"question");
        stream.write_all(b"answer").expect("writable");
    });
    let mut guest = Guest::new(open());
    let stream = guest.connected(HOST, port);
    assert_eq!(guest.exchange(stream, b"question", true), b"answer");
    server.join().expect("no panic");

    // The host: it reads on after its own.
    let (port, server) = serve(|mut stream| {
        stream.write_all(b"greeting").expect("writable");
        stream.shutdown(Shutdown::Write).expect("open");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("readable");
        assert_eq!(all, b"thanks");
    });
    let stream = guest.connected(HOST, port);
    guest.until("the host's end", |guest| {
        let socket = guest.tcp(stream);
        (socket.state() == State::CloseWait && socket.recv_queue() == 8).then_some(())
    });
    assert_eq!(guest.exchange(stream, b"thanks", true), b"greeting");
    server.join().expect("no panic");
}

#[test]
fn resets_pass_through_both_ways() {
    let (port, server) = serve(|mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("readable");
        let error = stream.read(&mut byte).expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    let mut guest = Guest::new(open());
    let stream = guest.connected(HOST, port);
    guest.tcp(stream).send_slice(b"x").expect("open");
    guest.until("an acknowledgement", |guest| {
        (guest.tcp(stream).send_queue() == 0).then_some(())
    });
    guest.tcp(stream).abort();
    guest.until("the reset", |_| server.is_finished().then_some(()));
    server.join().expect("no panic");

    // Closing with unread bytes resets.
    let (port, server) = serve(
        |stream| {
            while stream.peek(&mut [0]).expect("readable") == 0 {}
        },
    );
    let stream = guest.connected(HOST, port);
    guest.tcp(stream).send_slice(b"unread").expect("open");
    guest.until("the reset", |guest| {
        (guest.tcp(stream).state() == State::Closed).then_some(())
    });
    server.join().expect("no panic");
}

#[test]
fn a_closed_port_refuses() {
    let mut guest = Guest::new(open());
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    assert!(guest.is_refused(HOST, port));
}

#[test]
fn five_hundred_connections_at_once() {
    const COUNT: usize = 500;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || {
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            streams.push(listener.accept().expect("a connection").0);
        }
        // All of them stand; now each gets its answer.
        for stream in &mut streams {
            let mut word = [0; 8];
            stream.read_exact(&mut word).expect("readable");
            stream.write_all(&word).expect("writable");
        }
        streams
    });
    let mut guest = Guest::new(open());
    let handles: Vec<_> = (0..COUNT).map(|_| guest.connect(HOST, port)).collect();
    let mut sent = vec![false; COUNT];
    guest.until("all of them", |guest| {
        for (number, handle) in handles.iter().enumerate() {
            let socket = guest.tcp(*handle);
            if socket.can_send() && !sent[number] {
                socket.send_slice(&number.to_ne_bytes()).expect("open");
                sent[number] = true;
            }
        }
        let done = |handle| guest.tcp(handle).recv_queue() == 8;
        handles.iter().copied().all(done).then_some(())
    });
    for (number, handle) in handles.iter().enumerate() {
        let mut word = [0; 8];
        guest.tcp(*handle).recv_slice(&mut word).expect("open");
        assert_eq!(usize::from_ne_bytes(word), number);
    }
    server.join().expect("no panic");
}

/// A configuration that publishes the guest's port 80, and where.
pub(super) fn published(proto: Proto) -> (UserConfig, SocketAddr) {
    let bind = match proto {
        Proto::Tcp => {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            free.local_addr().expect("bound")
        }
        Proto::Udp => {
            let free = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            free.local_addr().expect("bound")
        }
    };
    let publish = Publish {
        proto,
        bind,
        guest_port: 80,
    };
    let config = UserConfig {
        restrict: true,
        publish: vec![publish],
        ..UserConfig::default()
    };
    (config, bind)
}

#[test]
fn a_published_port_leads_to_the_guest() {
    let (config, bind) = published(Proto::Tcp);
    let mut guest = Guest::new(config);
    let handle = guest.listen(80);
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(bind).expect("published");
        let port = stream.local_addr().expect("bound").port();
        stream.write_all(b"from outside").expect("writable");
        stream.shutdown(Shutdown::Write).expect("open");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("readable");
        assert_eq!(all, b"from the guest");
        port
    });
    guest.until("a connection", |guest| {
        guest.tcp(handle).may_send().then_some(())
    });
    let peer = guest.tcp(handle).remote_endpoint().expect("connected");
    assert_eq!(
        guest.exchange(handle, b"from the guest", true),
        b"from outside"
    );
    guest.until("the end", |_| client.is_finished().then_some(()));
    let port = client.join().expect("no panic");
    assert_eq!((peer.addr, peer.port), (HOST.into(), port));
}

#[test]
fn a_published_port_that_the_guest_does_not_serve_is_closed() {
    let (config, bind) = published(Proto::Tcp);
    let mut guest = Guest::new(config);
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(bind).expect("published");
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("closed, not reset"), 0);
    });
    guest.until("the end", |_| client.is_finished().then_some(()));
    client.join().expect("no panic");
}

#[test]
fn a_taken_port_is_named() {
    let (config, bind) = published(Proto::Tcp);
    let _taken = TcpListener::bind(bind).expect("free");
    let (_, end) = crate::cable::cable(|| {}).expect("a cable");
    let error = super::super::UserNet::start(config, end).expect_err("taken");
    assert!(error.to_string().contains(&bind.to_string()), "{error}");
}
