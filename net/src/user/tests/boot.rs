//! DHCP to the letter, and TFTP.

use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{DhcpPacket, EthernetAddress};

use smoltcp::time::Instant;

use super::super::UserConfig;
use super::super::agenda::Agenda;
use super::super::dhcp::{Dhcp, Told};
use super::super::lan::Lan;
use super::super::tftp::Tftp;
use super::guest::{Guest, HOST};

/// What a DHCP server says to a message of that type, with options.
fn dhcp(server: &mut Dhcp, message: u8, mac: u8, options: &[u8]) -> Option<Vec<u8>> {
    let mut request = vec![0; 240];
    request[..3].copy_from_slice(&[1, 1, 6]);
    request[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, mac]);
    request[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    request.extend([53, 1, message]);
    request.extend(options);
    request.push(255);
    let mut lan = Lan::new(1500);
    server.receive(&request, &mut lan);
    Some(lan.take()?[42..].to_vec())
}

fn option(reply: &[u8], kind: u8) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(reply).expect("whole");
    let found = packet.options().find(|option| option.kind == kind);
    found.map(|option| option.data.to_vec())
}

#[test]
fn dhcp_tells_what_a_guest_boots_from() {
    let mut server = Dhcp::new(Told {
        mtu: 9000,
        hostname: Some("guest".to_owned()),
        search: vec!["lab.example".to_owned(), "example".to_owned()],
        tftp_server: Some("10.0.2.2".to_owned()),
        bootfile: Some("grub/boot.efi".to_owned()),
    });
    let offer = dhcp(&mut server, 1, 1, &[55, 2, 1, 26]).expect("an offer");
    let packet = DhcpPacket::new_checked(&offer[..]).expect("whole");
    assert_eq!(packet.your_ip(), Ipv4Addr::new(10, 0, 2, 15));
    assert_eq!(packet.server_ip(), HOST);
    assert_eq!(packet.get_boot_file(), Ok("grub/boot.efi"));
    assert_eq!(
        packet.client_hardware_address(),
        EthernetAddress([0x52, 0x54, 0, 0, 0, 1])
    );
    let is = |kind, data: &[u8]| assert_eq!(option(&offer, kind).as_deref(), Some(data), "{kind}");
    is(53, &[2]);
    is(54, &[10, 0, 2, 2]);
    is(1, &[255, 255, 255, 0]);
    is(3, &[10, 0, 2, 2]);
    is(6, &[10, 0, 2, 3]);
    is(26, &9000_u16.to_be_bytes());
    is(12, b"guest");
    is(15, b"lab.example");
    is(119, b"\x03lab\x07example\0\x07example\0");
    is(66, b"10.0.2.2");
    is(67, b"grub/boot.efi");
}

#[test]
fn dhcp_gives_each_client_its_own_address_and_no_other() {
    let mut server = Dhcp::new(Told::default());
    let kind = |reply: Option<Vec<u8>>| option(&reply?, 53);
    let request = |last| [50, 4, 10, 0, 2, last];
    assert_eq!(kind(dhcp(&mut server, 3, 1, &request(15))), Some(vec![5]));
    assert_eq!(
        kind(dhcp(&mut server, 3, 2, &request(15))),
        Some(vec![6]),
        "another's"
    );
    assert_eq!(kind(dhcp(&mut server, 3, 2, &request(16))), Some(vec![5]));
    assert_eq!(
        kind(dhcp(&mut server, 3, 1, &request(15))),
        Some(vec![5]),
        "still"
    );
    let elsewhere = [&request(15)[..], &[54, 4, 10, 0, 2, 9]].concat();
    assert_eq!(
        kind(dhcp(&mut server, 3, 1, &elsewhere)),
        None,
        "another server's"
    );
    let inform = dhcp(&mut server, 8, 1, &[]).expect("an answer");
    assert_eq!(option(&inform, 53), Some(vec![5]));
    assert_eq!(option(&inform, 51), None, "no lease");
    for message in [0, 2, 4, 5, 6, 7, 9, 255] {
        assert_eq!(dhcp(&mut server, message, 1, &[]), None, "{message}");
    }
    for mac in 0..=255 {
        dhcp(&mut server, 1, mac, &[]).expect("an offer");
    }
}

/// A client's side of TFTP.
struct Client {
    guest: Guest,
    socket: SocketHandle,
}

impl Client {
    fn new(folder: &std::path::Path) -> Self {
        let config = UserConfig {
            tftp: Some(folder.to_owned()),
            ..UserConfig::default()
        };
        let mut guest = Guest::with_mtu(config, 1500);
        let buffer =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 32], vec![0; 1 << 16]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(2000).expect("a port");
        let socket = guest.sockets.add(socket);
        Self { guest, socket }
    }

    fn send(&mut self, port: u16, packet: &[u8]) {
        let socket = self.guest.get::<udp::Socket<'_>>(self.socket);
        socket.send_slice(packet, (HOST, port)).expect("room");
    }

    fn receive(&mut self) -> (u16, Vec<u8>) {
        let socket = self.socket;
        self.guest.until("a packet", |guest| {
            let socket = guest.get::<udp::Socket<'_>>(socket);
            let (data, from) = socket.recv().ok()?;
            Some((from.endpoint.port, data.to_vec()))
        })
    }

    /// Reads a file; or the code of the error.
    fn read(&mut self, name: &str, options: &str) -> Result<Vec<u8>, u16> {
        // What is late of the transfer before.
        while let Ok(_late) = self.guest.get::<udp::Socket<'_>>(self.socket).recv() {}
        let request = format!("\0\u{1}{name}\0octet\0{options}");
        self.send(69, request.as_bytes());
        let (mut all, mut block, mut expected) = (Vec::new(), 512, 1_u16);
        loop {
            let (port, packet) = self.receive();
            match packet[1] {
                6 => {
                    let text = String::from_utf8_lossy(&packet[2..]).into_owned();
                    let words: Vec<_> = text.split('\0').collect();
                    let at = words.iter().position(|word| *word == "blksize");
                    block = at.map_or(512, |at| words[at + 1].parse().expect("a number"));
                    self.send(port, &[0, 4, 0, 0]);
                }
                3 => {
                    let number = u16::from_be_bytes([packet[2], packet[3]]);
                    if number == expected {
                        expected = expected.wrapping_add(1);
                        all.extend_from_slice(&packet[4..]);
                    }
                    self.send(port, &[0, 4, packet[2], packet[3]]);
                    if packet.len() < block + 4 {
                        self.guest.linger(Duration::from_millis(5));
                        return Ok(all);
                    }
                }
                _ => return Err(u16::from_be_bytes([packet[2], packet[3]])),
            }
        }
    }
}

#[test]
fn files_are_read_by_tftp() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n / 7) as u8).collect();
    std::fs::create_dir(folder.path().join("grub")).expect("writable");
    std::fs::write(folder.path().join("grub/boot.efi"), &bytes).expect("writable");
    std::fs::write(folder.path().join("even"), &bytes[..1024]).expect("writable");
    std::fs::write(folder.path().join("empty"), b"").expect("writable");
    let mut client = Client::new(folder.path());
    assert_eq!(client.read("/grub/boot.efi", "").as_ref(), Ok(&bytes));
    for options in [
        "blksize\x001468\0tsize\x000\0",
        "BLKSIZE\x0065464\0",
        "windowsize\x008\0timeout\x002\0",
    ] {
        assert_eq!(
            client.read("grub/boot.efi", options).as_ref(),
            Ok(&bytes),
            "{options}"
        );
    }
    assert_eq!(client.read("even", ""), Ok(bytes[..1024].to_vec()));
    assert_eq!(client.read("empty", ""), Ok(Vec::new()));
}

#[test]
fn tftp_paths_do_not_leave_the_folder() {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("served");
    std::fs::create_dir(&folder).expect("writable");
    std::fs::write(outside.path().join("secret"), b"secret").expect("writable");
    std::fs::write(folder.join("file"), b"content").expect("writable");
    symlink("../secret", folder.join("relative")).expect("writable");
    symlink(outside.path().join("secret"), folder.join("absolute")).expect("writable");
    symlink("file", folder.join("inner")).expect("writable");
    symlink("/proc/self/cwd/Cargo.toml", folder.join("magic")).expect("writable");
    let mut client = Client::new(&folder);
    for name in [
        "../secret",
        "/../secret",
        "x/../../secret",
        "relative",
        "absolute",
        "magic",
        "",
        "/",
        ".",
        "..",
        "missing",
        "file/x",
    ] {
        client.read(name, "").expect_err(name);
    }
    assert_eq!(client.read("inner", ""), Ok(b"content".to_vec()));
    // Writing, and nonsense.
    for (request, code) in [
        (&b"\0\x02file\0octet\0"[..], 2),
        (b"\0\x01file", 4),
        (b"\0\x09", 4),
        (b"\0\x01file\0mail\0", 4),
    ] {
        client.send(69, request);
        assert_eq!(client.receive().1[3], code);
    }
}

/// A transfer that has begun of a file of two blocks, without a client.
fn transfer(folder: &std::path::Path, lan: &mut Lan, agenda: &mut Agenda) -> Tftp {
    std::fs::write(folder.join("file"), [1; 600]).expect("writable");
    let mut tftp = Tftp::new(Some(folder)).expect("a server");
    let guest = (Ipv4Addr::new(10, 0, 2, 15), 2000);
    lan.learn(guest.0, EthernetAddress([0x52, 0x54, 0, 0, 0, 1]));
    tftp.request(guest, b"\0\x01file\0octet\0", lan, agenda, Instant::ZERO);
    assert!(lan.take().is_some(), "the first block");
    tftp
}

#[test]
fn a_guest_that_takes_nothing_gets_no_more_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut lan, mut agenda) = (Lan::new(1500), Agenda::default());
    let mut tftp = transfer(folder.path(), &mut lan, &mut agenda);
    let guest = (Ipv4Addr::new(10, 0, 2, 15), 2000);
    while lan.has_room() {
        lan.udp((HOST, 9), guest, b"not taken");
    }
    let full = std::iter::from_fn(|| lan.take()).collect::<Vec<_>>();
    full.iter().rev().for_each(|f| lan.put_back(f.clone()));
    for second in 1..100 {
        let now = Instant::from_secs(second);
        while let Some(token) = agenda.due(now) {
            tftp.rang(token, &mut lan, &mut agenda, now);
        }
    }
    assert_eq!(tftp.len(), 1, "no try was counted");
    assert_eq!(std::iter::from_fn(|| lan.take()).count(), full.len());
}

#[test]
fn a_transfer_of_a_file_that_became_shorter_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut lan, mut agenda) = (Lan::new(1500), Agenda::default());
    let mut tftp = transfer(folder.path(), &mut lan, &mut agenda);
    std::fs::write(folder.path().join("file"), b"").expect("writable");
    let now = Instant::from_secs(2);
    let token = agenda.due(now).expect("an alarm");
    tftp.rang(token, &mut lan, &mut agenda, now);
    let frame = lan.take().expect("an error");
    assert_eq!(frame[42..44], [0, 5]);
    assert_eq!((tftp.len(), agenda.deadline()), (0, None));
}
