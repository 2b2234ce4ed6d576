//! Guests that mean no good: nothing panics, hangs, or grows.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr,
    TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::super::UserConfig;
use super::super::lan::{MAC, Trust};
use super::super::nat::Nat;
use super::super::sample::{self, Pairs, drive, network};
use super::super::{tcp, udp};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const GUEST_MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

fn nat() -> Nat<Pairs> {
    network(UserConfig::default()).expect("a network")
}

/// An IPv4 packet in a frame.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let repr = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut frame = vec![0; 34];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.set_src_addr(GUEST_MAC);
    ethernet.set_dst_addr(MAC);
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    repr.emit(&mut packet, &ChecksumCapabilities::default());
    frame.extend_from_slice(payload);
    frame
}

fn segment(
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    control: TcpControl,
    (seq, ack): (u32, Option<u32>),
    payload: &[u8],
) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: from.1,
        dst_port: to.1,
        control,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: ack.map(|ack| TcpSeqNumber(ack as i32)),
        window_len: 65535,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(
        &mut TcpPacket::new_unchecked(&mut bytes[..]),
        &IpAddress::Ipv4(from.0),
        &IpAddress::Ipv4(to.0),
        &ChecksumCapabilities::default(),
    );
    ipv4(from.0, to.0, IpProtocol::Tcp, &bytes)
}

fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    segment(from, to, TcpControl::Syn, (1, None), &[])
}

fn datagram(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr {
        src_port: from.1,
        dst_port: to.1,
    };
    let mut bytes = vec![0; 8 + payload.len()];
    repr.emit(
        &mut UdpPacket::new_unchecked(&mut bytes[..]),
        &IpAddress::Ipv4(from.0),
        &IpAddress::Ipv4(to.0),
        payload.len(),
        |room| room.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    ipv4(from.0, to.0, IpProtocol::Udp, &bytes)
}

fn give(nat: &mut Nat<Pairs>, frame: Vec<u8>, now: Instant) -> usize {
    nat.frame(frame, now);
    std::iter::from_fn(|| nat.lan.take()).count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

#[test]
fn a_flood_of_syns_holds_a_bounded_number_of_sockets() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    for number in 0..20_000_u32 {
        let port = 1 + (number % 60_000) as u16;
        let to = Ipv4Addr::from(u32::from(WORLD) + number / 60_000);
        give(&mut nat, syn((GUEST, port), (to, 80)), now);
        let [connections, ..] = nat.counts();
        assert!(connections <= tcp::FLOWS / 4, "{connections}");
    }
}

#[test]
fn a_reset_gives_a_connection_up_before_it_stands() {
    let (mut nat, mut now) = (nat(), Instant::ZERO);
    let (from, to) = ((GUEST, 4000), (WORLD, 80));
    nat.frame(syn(from, to), now);
    assert_eq!(nat.counts(), [1, 0, 0, 0]);
    nat.frame(segment(from, to, TcpControl::Rst, (2, None), &[]), now);
    assert!(drive(&mut nat, &mut now, Duration::from_millis(1)).is_empty());
    assert_eq!(nat.counts(), [0; 4]);
}

#[test]
fn a_scan_of_udp_ports_holds_a_bounded_number_of_sockets() {
    let (mut nat, mut now) = (nat(), Instant::ZERO);
    for port in 1..=20_000 {
        give(&mut nat, datagram((GUEST, port), (WORLD, port), b"?"), now);
        let [_, ports, ..] = nat.counts();
        assert!(ports <= udp::FLOWS, "{ports}");
    }
    // From one port to many addresses is one socket.
    let before = nat.host.asked;
    for n in 1..=20_000 {
        let to = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + n);
        give(&mut nat, datagram((GUEST, 20_000), (to, 9), b"?"), now);
    }
    assert_eq!(nat.host.asked, before);
    now += Duration::from_secs(61);
    drive(&mut nat, &mut now, Duration::from_secs(1));
    assert_eq!(nat.counts(), [0; 4], "after a minute nothing is left");
}

/// What a frame for the guest carries: its segment.
fn carried(frame: &[u8]) -> TcpPacket<&[u8]> {
    let length = usize::from(Ipv4Packet::new_unchecked(&frame[14..]).total_len());
    TcpPacket::new_checked(&frame[34..14 + length]).expect("a segment")
}

/// Opens a connection; the sequence number of the other side's first byte.
fn opened(nat: &mut Nat<Pairs>, now: &mut Instant) -> u32 {
    nat.frame(syn((GUEST, 4000), (WORLD, 80)), *now);
    let sent = drive(nat, now, Duration::from_millis(100));
    let theirs = carried(sent.last().expect("a SYN of its own"));
    assert!(theirs.syn() && theirs.ack());
    (theirs.seq_number().0 as u32).wrapping_add(1)
}

#[test]
fn a_silent_connection_that_owes_nothing_stays() {
    let (mut nat, mut now) = (nat(), Instant::ZERO);
    let next = opened(&mut nat, &mut now);
    let says = |control, seq, ack, bytes: &[u8]| {
        segment((GUEST, 4000), (WORLD, 80), control, (seq, Some(ack)), bytes)
    };
    nat.frame(says(TcpControl::None, 2, next, &[]), now);
    for idle in [301, 1000, 5000] {
        drive(&mut nat, &mut now, Duration::from_secs(idle));
        assert_eq!(nat.counts(), [1, 0, 0, 0], "after {idle} s");
    }
    nat.frame(says(TcpControl::Psh, 2, next, b"hello"), now);
    let sent = drive(&mut nat, &mut now, Duration::from_millis(100));
    assert!(
        sent.iter()
            .any(|frame| carried(frame).payload() == b"hello")
    );
    nat.frame(says(TcpControl::None, 7, next.wrapping_add(5), &[]), now);
    drive(&mut nat, &mut now, Duration::from_secs(301));
    // The end comes as such, however long nothing was said before it.
    nat.host.hang_up();
    let sent = drive(&mut nat, &mut now, Duration::from_millis(100));
    assert!(sent.iter().any(|frame| carried(frame).fin()));
    assert!(!sent.iter().any(|frame| carried(frame).rst()));
    // It is to be acknowledged.
    for _ in 0..4 {
        drive(&mut nat, &mut now, Duration::from_secs(100));
    }
    assert_eq!(nat.counts(), [0; 4]);
}

#[test]
fn a_guest_that_acknowledges_nothing_is_given_up() {
    let (mut nat, mut now) = (nat(), Instant::ZERO);
    let next = opened(&mut nat, &mut now);
    // Bytes that come back from the host, and are never acknowledged.
    let ack = Some(next);
    let data = [7; 1000];
    let bytes = segment((GUEST, 4000), (WORLD, 80), TcpControl::Psh, (2, ack), &data);
    nat.frame(bytes, now);
    let sent = drive(&mut nat, &mut now, Duration::from_secs(10));
    let total: usize = sent.iter().map(Vec::len).sum();
    assert!(total > 1000 && total < 20_000, "{total} bytes");
    for _ in 0..100 {
        drive(&mut nat, &mut now, Duration::from_secs(8));
    }
    assert_eq!(nat.counts(), [0; 4]);
}

#[test]
fn a_guest_that_reads_nothing_stops_the_rest() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    let mut given = 0;
    while nat.has_room() && given < 10_000 {
        nat.frame(
            datagram((GUEST, 5), (Ipv4Addr::new(10, 0, 2, 2), 7), b"?"),
            now,
        );
        given += 1;
    }
    assert!(
        given < 1000,
        "{given} frames were answered that nobody took"
    );
}

#[test]
fn malformed_headers_of_every_protocol_do_nothing_bad() {
    let (mut nat, mut now) = (nat(), Instant::ZERO);
    let whole = [
        syn((GUEST, 1), (WORLD, 80)),
        datagram((GUEST, 68), (Ipv4Addr::new(10, 0, 2, 2), 67), &[1; 300]),
        datagram((GUEST, 5), (Ipv4Addr::new(10, 0, 2, 3), 53), &[1; 40]),
        ipv4(GUEST, WORLD, IpProtocol::Icmp, &[8, 0, 0, 0, 0, 0, 0, 0, 1]),
        sample::frame(1, &[0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 10, 0, 2, 15]),
    ];
    for frame in &whole {
        for length in 0..frame.len() {
            give(&mut nat, frame[..length].to_vec(), now);
        }
        for at in 0..frame.len().min(80) {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut frame = frame.clone();
                frame[at] = value;
                give(&mut nat, frame.clone(), now);
                // The same with a header that passes.
                if at >= 14 && frame.len() >= 34 {
                    let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
                    if packet.header_len() == 20 {
                        packet.fill_checksum();
                    }
                    give(&mut nat, frame, now);
                }
            }
        }
        drive(&mut nat, &mut now, Duration::from_secs(1));
    }
}

#[test]
fn pseudo_random_frames_do_nothing_bad() {
    let before = descriptors();
    let mut state = 7_u64;
    for _ in 0..60 {
        let mut bytes = Vec::new();
        for _ in 0..2000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            bytes.push((state >> 56) as u8);
        }
        sample::run(&bytes);
    }
    // Other tests run beside this one.
    assert!(descriptors() < before + 3000);
}

#[test]
fn fragments_never_complete_are_forgotten_and_whole_ones_arrive() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    let fragment = |ident: u16, offset: u16, more: bool, payload: &[u8]| {
        let mut frame = ipv4(GUEST, Ipv4Addr::new(10, 0, 2, 2), IpProtocol::Udp, payload);
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
        packet.set_ident(ident);
        packet.set_more_frags(more);
        packet.set_frag_offset(offset);
        packet.fill_checksum();
        frame
    };
    for ident in 0..5000 {
        assert_eq!(give(&mut nat, fragment(ident, 8, true, &[0; 800]), now), 0);
    }
    // Past 64 KiB, and over one another.
    assert_eq!(give(&mut nat, fragment(9, 65528, false, &[0; 800]), now), 0);
    assert_eq!(give(&mut nat, fragment(10, 0, true, &[0; 16]), now), 0);
    assert_eq!(give(&mut nat, fragment(10, 8, false, &[0; 16]), now), 0);
    // All of it but a byte again and again, each time from elsewhere.
    for offset in 0..8 {
        let part = fragment(12, offset * 8, true, &[0; 8000]);
        assert_eq!(give(&mut nat, part, now), 0);
    }
    // One that is whole is answered: the port is closed.
    let whole = datagram((GUEST, 5), (Ipv4Addr::new(10, 0, 2, 2), 7), &[1; 100]);
    let (first, last) = whole[34..].split_at(56);
    assert_eq!(give(&mut nat, fragment(11, 56, false, last), now), 0);
    assert_eq!(give(&mut nat, fragment(11, 0, true, first), now), 1);
    // The others are forgotten though no more come.
    assert!(nat.incomplete() > 0);
    let later = now + Duration::from_secs(16);
    assert!(nat.deadline().is_some_and(|at| at <= later));
    nat.expire(later);
    assert_eq!((nat.incomplete(), nat.deadline()), (0, None));
}

/// An echo request that came in fragments is answered so, until the guest shows that it
/// takes more, and again once its NIC was reset.
#[test]
fn answers_longer_than_the_guest_takes_come_in_fragments() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    let gateway = Ipv4Addr::new(10, 0, 2, 2);
    let mut message = vec![7; 4000];
    message[..8].copy_from_slice(&[8, 0, 0, 0, 0, 1, 0, 1]);
    smoltcp::wire::Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum();
    let parts = [&message[..1480], &message[1480..2960], &message[2960..]];
    let ask = |nat: &mut Nat<Pairs>| {
        for (number, part) in parts.iter().enumerate() {
            let mut frame = ipv4(GUEST, gateway, IpProtocol::Icmp, part);
            let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
            packet.set_frag_offset(1480 * number as u16);
            packet.set_more_frags(number < 2);
            packet.fill_checksum();
            nat.frame(frame, now);
        }
        std::iter::from_fn(|| nat.lan.take())
            .map(|frame| frame.len() - 34)
            .collect::<Vec<_>>()
    };
    assert_eq!(ask(&mut nat), [1480, 1480, 1040]);
    let (from_guest, to_guest) = (true, true);
    nat.trust(Trust {
        from_guest,
        to_guest,
    });
    give(
        &mut nat,
        datagram((GUEST, 5), (gateway, 7), &[0; 8000]),
        now,
    );
    assert_eq!(ask(&mut nat), [4000]);
    nat.trust(Trust::default());
    assert_eq!(ask(&mut nat), [1480, 1480, 1040]);
}

#[test]
fn foreign_senders_get_nothing() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    let foreign = [
        WORLD,
        Ipv4Addr::new(10, 0, 2, 2),
        Ipv4Addr::new(10, 0, 2, 3),
        Ipv4Addr::new(10, 0, 2, 255),
        Ipv4Addr::new(10, 0, 3, 15),
        Ipv4Addr::BROADCAST,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(224, 0, 0, 1),
    ];
    for from in foreign {
        for to in [WORLD, Ipv4Addr::new(10, 0, 2, 2)] {
            assert_eq!(give(&mut nat, syn((from, 5), (to, 80)), now), 0);
            assert_eq!(give(&mut nat, datagram((from, 5), (to, 80), b"?"), now), 0);
        }
    }
    let mut spoofed = syn((GUEST, 5), (WORLD, 80));
    for mac in [
        MAC,
        EthernetAddress::BROADCAST,
        EthernetAddress([1, 0, 0x5E, 0, 0, 1]),
    ] {
        EthernetFrame::new_unchecked(&mut spoofed[..]).set_src_addr(mac);
        assert_eq!(give(&mut nat, spoofed.clone(), now), 0);
    }
    assert_eq!(nat.host.asked, 0);
    assert_eq!(nat.counts(), [0; 4]);
}

/// Whose address is of another network is told so, and boots nothing.
#[test]
fn a_client_from_elsewhere_has_to_ask_anew() {
    let config = UserConfig {
        bootfile: Some("boot.efi".to_owned()),
        ..UserConfig::default()
    };
    let (mut nat, now) = (network(config).expect("a network"), Instant::ZERO);
    let elsewhere = Ipv4Addr::new(192, 168, 1, 5);
    let mut request = vec![0; 240];
    request[..3].copy_from_slice(&[1, 1, 6]);
    request[12..16].copy_from_slice(&elsewhere.octets());
    request[28..34].copy_from_slice(&GUEST_MAC.0);
    request[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    request.extend([53, 1, 3, 255]);
    let rebinding = datagram((elsewhere, 68), (Ipv4Addr::BROADCAST, 67), &request);
    nat.frame(rebinding, now);
    let answer = nat.lan.take().expect("an answer");
    assert_eq!(answer[..6], [0xFF; 6]);
    let dhcp = &answer[42..];
    assert_eq!(dhcp[240..243], [53, 1, 6]);
    assert_eq!(dhcp[108..236], [0; 128]);
    let other = datagram((elsewhere, 68), (Ipv4Addr::BROADCAST, 53), &request);
    assert_eq!(give(&mut nat, other, now), 0);
}

#[test]
fn no_socket_is_opened_to_the_hosts_own_addresses() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    let own = [
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(127, 9, 9, 9),
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(0, 1, 2, 3),
        Ipv4Addr::new(192, 0, 2, 99), // the host's, as this one has it
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(169, 254, 0, 1),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(10, 0, 2, 2),
        Ipv4Addr::new(10, 0, 2, 77),
        Ipv4Addr::new(224, 0, 0, 251),
        Ipv4Addr::new(255, 255, 255, 255),
        Ipv4Addr::new(240, 0, 0, 1),
    ];
    for to in own {
        give(&mut nat, syn((GUEST, 5), (to, 80)), now);
        give(&mut nat, datagram((GUEST, 5), (to, 80), b"?"), now);
        give(
            &mut nat,
            ipv4(GUEST, to, IpProtocol::Icmp, &[8, 0, 0xF7, 0xFF, 0, 0, 0, 0]),
            now,
        );
    }
    assert_eq!(nat.host.asked, 0);
}

#[test]
fn an_address_of_which_nothing_can_be_found_out_is_closed_for_as_long() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    nat.host.blind = true;
    let answered = give(&mut nat, syn((GUEST, 5), (WORLD, 80)), now);
    assert_eq!((nat.host.asked, nat.counts()), (0, [0; 4]));
    nat.host.blind = false;
    give(&mut nat, syn((GUEST, 6), (WORLD, 80)), now);
    assert_eq!(nat.counts(), [1, 0, 0, 0]);
    assert!(answered > 0, "refused");
}

#[test]
fn what_a_cloud_tells_its_hosts_takes_leave() {
    let config = UserConfig {
        host: true,
        ..UserConfig::default()
    };
    let mut nat = network(config).expect("a network");
    let metadata = Ipv4Addr::new(169, 254, 169, 254);
    give(&mut nat, syn((GUEST, 5), (metadata, 80)), Instant::ZERO);
    assert_eq!(nat.counts(), [1, 0, 0, 0]);
}

#[test]
fn a_syn_with_much_data_is_not_kept() {
    let (mut nat, now) = (nat(), Instant::ZERO);
    let (from, to) = ((GUEST, 4000), (WORLD, 80));
    let long = segment(from, to, TcpControl::Syn, (1, None), &[0; 1400]);
    give(&mut nat, long, now);
    assert_eq!(nat.counts(), [0; 4]);
    give(&mut nat, syn(from, to), now);
    assert_eq!(nat.counts(), [1, 0, 0, 0]);
}

#[test]
fn echo_requests_go_out_and_their_number_is_bounded() {
    let (mut nat, mut now) = (nat(), Instant::ZERO);
    for ident in 0..1000_u16 {
        let [high, low] = ident.to_be_bytes();
        let mut message = [8, 0, 0, 0, high, low, 0, 1];
        smoltcp::wire::Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum();
        give(
            &mut nat,
            ipv4(GUEST, WORLD, IpProtocol::Icmp, &message),
            now,
        );
    }
    let [_, _, pings, _] = nat.counts();
    assert_eq!(pings, 64);
    drive(&mut nat, &mut now, Duration::from_secs(40));
    assert_eq!(nat.counts(), [0; 4]);
}
