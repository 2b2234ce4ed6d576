//! Addresses, names, datagrams, and what a guest may not reach.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpEndpoint, Ipv4Address};

use super::super::{Proto, UserConfig};
use super::guest::{Guest, HOST, open};
use super::streams::published;

const DNS: Ipv4Address = Ipv4Address::new(10, 0, 2, 3);

/// A UDP socket of the guest's.
fn bound(guest: &mut Guest, port: u16) -> SocketHandle {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 1 << 17]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).expect("a port");
    guest.sockets.add(socket)
}

/// The next datagram for a socket of the guest's, and who sent it.
fn received(guest: &mut Guest, handle: SocketHandle) -> (Vec<u8>, IpEndpoint) {
    guest.until("a datagram", |guest| {
        let (data, from) = guest.get::<udp::Socket<'_>>(handle).recv().ok()?;
        Some((data.to_vec(), from.endpoint))
    })
}

fn ask(guest: &mut Guest, handle: SocketHandle, to: (Ipv4Address, u16), what: &[u8]) -> Vec<u8> {
    guest
        .get::<udp::Socket<'_>>(handle)
        .send_slice(what, to)
        .expect("room");
    let (data, from) = received(guest, handle);
    assert_eq!((from.addr, from.port), (to.0.into(), to.1));
    data
}

/// Answers datagrams with the same and a mark.
fn answering(count: usize) -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = socket.local_addr().expect("bound");
    let server = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        for _ in 0..count {
            let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
            // Long ones come back as long as they came.
            let kept = if length < 1000 { length } else { length - 1 };
            let answer = [&buffer[..kept], b"!"].concat();
            socket.send_to(&answer, from).expect("sent");
        }
    });
    (address, server)
}

#[test]
fn a_guest_gets_its_address_by_dhcp() {
    let mut guest = Guest::plugged(UserConfig::default(), 1500);
    let config = guest.dhcp();
    assert_eq!(config.address.to_string(), "10.0.2.15/24");
    assert_eq!(config.router, Some(HOST));
    assert_eq!(config.dns_servers.to_vec(), [DNS]);
}

#[test]
fn names_are_asked_for_at_the_given_server() {
    let (server, thread) = answering(2);
    let config = UserConfig {
        nameservers: vec![server],
        ..UserConfig::default()
    };
    let mut guest = Guest::new(config);
    let handle = bound(&mut guest, 5353);
    assert_eq!(ask(&mut guest, handle, (DNS, 53), b"who"), b"who!");
    assert_eq!(ask(&mut guest, handle, (DNS, 53), b"where"), b"where!");
    thread.join().expect("no panic");
}

#[test]
fn a_silent_name_server_is_passed_over() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let (server, thread) = answering(2);
    let config = UserConfig {
        nameservers: vec![silent.local_addr().expect("bound"), server],
        ..UserConfig::default()
    };
    let mut guest = Guest::new(config);
    let handle = bound(&mut guest, 5353);
    let socket = guest.get::<udp::Socket<'_>>(handle);
    socket.send_slice(b"who", (DNS, 53)).expect("room");
    guest.linger(Duration::from_millis(1000));
    assert_eq!(ask(&mut guest, handle, (DNS, 53), b"who"), b"who!");
    // Who asks next need not find it out again.
    let other = bound(&mut guest, 5354);
    assert_eq!(ask(&mut guest, other, (DNS, 53), b"what"), b"what!");
    thread.join().expect("no panic");
}

#[test]
fn a_name_server_that_cannot_be_reached_is_passed_over() {
    let (server, thread) = answering(1);
    let listener = TcpListener::bind(server).expect("free for TCP");
    // Without its interface it is of no link.
    let nowhere = "[fe80::1]:53".parse().expect("an address");
    let config = UserConfig {
        nameservers: vec![nowhere, server],
        ..UserConfig::default()
    };
    let mut guest = Guest::new(config);
    guest.connected(DNS, 53);
    listener.accept().expect("a connection");
    let handle = bound(&mut guest, 5353);
    assert_eq!(ask(&mut guest, handle, (DNS, 53), b"who"), b"who!");
    thread.join().expect("no panic");
}

#[test]
fn names_go_over_tcp_too() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let config = UserConfig {
        nameservers: vec![listener.local_addr().expect("bound")],
        ..UserConfig::default()
    };
    let mut guest = Guest::new(config);
    guest.connected(DNS, 53);
    listener.accept().expect("a connection");
}

#[test]
fn datagrams_of_any_length_pass_both_ways() {
    let (server, thread) = answering(4);
    for mtu in [1500, 65520] {
        let mut guest = Guest::with_mtu(open(), mtu);
        let handle = bound(&mut guest, 4000);
        let most = mtu.min(40_000) - 28;
        for (length, expected) in [(1, 2), (most, most)] {
            let sent = vec![7; length];
            let back = ask(&mut guest, handle, (HOST, server.port()), &sent);
            assert_eq!(back.len(), expected);
        }
    }
    thread.join().expect("no panic");
}

/// What comes to a socket of the host's, while the guest goes on.
fn receive(guest: &mut Guest, socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    socket.set_nonblocking(true).expect("a socket");
    guest.until("a datagram", |_| {
        let mut buffer = [0; 64];
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        Some((buffer[..length].to_vec(), from))
    })
}

/// Two servers see the same port of the host's, and both their answers come.
#[test]
fn a_port_is_the_same_to_everybody() {
    let servers = [0; 2].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    let mut guest = Guest::new(open());
    let handle = bound(&mut guest, 4000);
    let mut seen = Vec::new();
    for server in &servers {
        let port = server.local_addr().expect("bound").port();
        let socket = guest.get::<udp::Socket<'_>>(handle);
        socket.send_slice(b"hello", (HOST, port)).expect("room");
        seen.push(receive(&mut guest, server).1.port());
    }
    assert_eq!(seen.first(), seen.last());
    for server in &servers {
        let to = (Ipv4Addr::LOCALHOST, seen[0]);
        server.send_to(b"back", to).expect("sent");
        let (data, from) = received(&mut guest, handle);
        assert_eq!(data, b"back");
        assert_eq!(from.port, server.local_addr().expect("bound").port());
    }
}

/// ICMP that comes for a UDP port of the guest's.
fn watch_errors(guest: &mut Guest, port: u16) -> SocketHandle {
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 4096]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket
        .bind(icmp::Endpoint::Udp(port.into()))
        .expect("a port");
    guest.sockets.add(socket)
}

fn unreachable_code(guest: &mut Guest, errors: SocketHandle) -> u8 {
    let message = guest.until("an error", |guest| {
        let socket = guest.get::<icmp::Socket<'_>>(errors);
        socket.recv().ok().map(|(data, _)| data.to_vec())
    });
    let packet = Icmpv4Packet::new_checked(&message[..]).expect("a message");
    assert_eq!(packet.msg_type(), Icmpv4Message::DstUnreachable);
    packet.msg_code()
}

#[test]
fn an_unreachable_port_is_told() {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let mut guest = Guest::new(open());
    let (handle, errors) = (bound(&mut guest, 4000), watch_errors(&mut guest, 4000));
    let socket = guest.get::<udp::Socket<'_>>(handle);
    socket.send_slice(b"anybody?", (HOST, port)).expect("room");
    assert_eq!(unreachable_code(&mut guest, errors), 3);
}

#[test]
fn the_gateway_answers_echo_requests() {
    let mut guest = Guest::new(UserConfig::default());
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 4096]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket.bind(icmp::Endpoint::Ident(7)).expect("free");
    let handle = guest.sockets.add(socket);
    let mut request = vec![0; 24];
    let mut packet = Icmpv4Packet::new_unchecked(&mut request[..]);
    packet.set_msg_type(Icmpv4Message::EchoRequest);
    packet.set_echo_ident(7);
    packet.set_echo_seq_no(1);
    packet.fill_checksum();
    let socket = guest.get::<icmp::Socket<'_>>(handle);
    socket.send_slice(&request, HOST.into()).expect("room");
    let answer = guest.until("an answer", |guest| {
        let socket = guest.get::<icmp::Socket<'_>>(handle);
        socket.recv().ok().map(|(data, _)| data.to_vec())
    });
    let packet = Icmpv4Packet::new_checked(&answer[..]).expect("a message");
    assert_eq!(packet.msg_type(), Icmpv4Message::EchoReply);
    assert_eq!((packet.echo_ident(), packet.echo_seq_no()), (7, 1));
}

#[test]
fn the_host_is_out_of_reach_unless_allowed() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut guest = Guest::new(UserConfig::default());
    let mut own = vec![
        HOST,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(127, 1, 2, 3),
        Ipv4Addr::new(0, 1, 2, 3),
    ];
    own.extend(address_of_an_interface());
    for address in own {
        if !address.is_loopback() && address.octets()[0] != 0 {
            assert!(guest.is_refused(address, port), "{address}");
        }
    }
    listener.set_nonblocking(true).expect("a socket");
    assert!(listener.accept().is_err(), "something came through");
}

/// An address of the host that is not its loopback, if it has one.
fn address_of_an_interface() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(own) => Some(*own.ip()),
        SocketAddr::V6(_) => None,
    }
}

#[test]
fn a_restricted_guest_reaches_nothing() {
    let (server, _) = answering(0);
    let config = UserConfig {
        restrict: true,
        host: true,
        nameservers: vec![server],
        ..UserConfig::default()
    };
    let mut guest = Guest::new(config);
    assert!(guest.is_refused(HOST, server.port()));
    assert!(guest.is_refused(DNS, 53));
    let (handle, errors) = (bound(&mut guest, 4000), watch_errors(&mut guest, 4000));
    for (to, code) in [((DNS, 53), 3), ((Ipv4Address::new(192, 0, 2, 1), 9), 13)] {
        let socket = guest.get::<udp::Socket<'_>>(handle);
        socket.send_slice(b"out?", to).expect("room");
        assert_eq!(unreachable_code(&mut guest, errors), code);
    }
}

#[test]
fn a_published_udp_port_leads_to_the_guest() {
    let (config, bind) = published(Proto::Udp);
    let mut guest = Guest::new(config);
    let handle = bound(&mut guest, 80);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    client.send_to(b"from outside", bind).expect("sent");
    let (data, from) = received(&mut guest, handle);
    assert_eq!(data, b"from outside");
    assert_eq!(from.addr, HOST.into());
    let socket = guest.get::<udp::Socket<'_>>(handle);
    socket.send_slice(b"answer", from).expect("room");
    assert_eq!(receive(&mut guest, &client), (b"answer".to_vec(), bind));
}
