//! The guest's network: its addresses, who is where on it, and packets on their way to
//! the guest.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress,
    IpProtocol, Ipv4Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket,
};

/// The network is 10.0.2.0/24, as with other emulators' user-mode networks.
pub(crate) const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 0);
/// Its mask.
pub(crate) const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
/// The gateway, which also stands for the host.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The name server.
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// What DHCP gives to the guest.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const DIRECTED_BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 255);
/// The hardware address behind all of our addresses: locally administered, the gateway's
/// address in its last four bytes.
pub(crate) const MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// Bytes of an ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Bytes of an IPv4 header without options.
pub(crate) const IPV4: usize = 20;
const UDP: usize = 8;
/// Frames on their way out before everybody waits. A single packet may bring about
/// some more (an answer in fragments).
const OUT_FRAMES: usize = 64;
/// Frames that wait for an answer to ARP.
const WAITING: usize = 16;
/// What a guest can take unless it said more (RFC 894).
const ETHERNET_MTU: usize = 1500;
const TTL: u8 = 64;

/// A UDP or TCP endpoint of this network.
pub(crate) type Endpoint = (Ipv4Addr, u16);

/// Which checksums of TCP, UDP and ICMP count on this cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Frames from the guest may come without.
    pub(crate) from_guest: bool,
    /// The guest does not look at them.
    pub(crate) to_guest: bool,
}

pub(crate) struct Lan {
    mtu: usize,
    /// The largest packet that the guest is known to take.
    guest_mtu: usize,
    pub(crate) trust: Trust,
    neighbours: HashMap<Ipv4Addr, EthernetAddress>,
    waiting: VecDeque<(Ipv4Addr, Vec<u8>)>,
    out: VecDeque<Vec<u8>>,
    ident: u16,
}

/// Whether a guest may send from the address: one of the network that is not ours.
pub(crate) fn is_guests(address: Ipv4Addr) -> bool {
    let ours = [NETWORK, GATEWAY, DNS, DIRECTED_BROADCAST];
    on_network(address) && !ours.contains(&address)
}

pub(crate) fn on_network(address: Ipv4Addr) -> bool {
    address & MASK == NETWORK
}

impl Lan {
    pub(crate) fn new(mtu: usize) -> Self {
        Self {
            mtu,
            guest_mtu: ETHERNET_MTU.min(mtu),
            trust: Trust::default(),
            neighbours: HashMap::new(),
            waiting: VecDeque::new(),
            out: VecDeque::new(),
            ident: 0,
        }
    }

    /// The largest packet that the guest is known to take.
    pub(crate) fn guest_mtu(&self) -> usize {
        self.guest_mtu
    }

    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Whether whoever has something to send may do so now.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < OUT_FRAMES
    }

    /// The next frame for the guest.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// Puts a frame back that the cable had no room for.
    pub(crate) fn put_back(&mut self, frame: Vec<u8>) {
        self.out.push_front(frame);
    }

    /// Of a guest that begins anew it is not known how large packets it takes.
    pub(crate) fn forget_guest_mtu(&mut self) {
        self.guest_mtu = ETHERNET_MTU.min(self.mtu);
    }

    /// Learns how large packets are that the guest takes: it says so by the MSS of a
    /// connection, or sends such itself.
    pub(crate) fn guest_takes(&mut self, mtu: usize) {
        self.guest_mtu = self.guest_mtu.max(mtu.min(self.mtu));
    }

    /// Learns who is where. Bounded by the size of the network.
    pub(crate) fn learn(&mut self, address: Ipv4Addr, mac: EthernetAddress) {
        if !is_guests(address) {
            return;
        }
        if self.neighbours.insert(address, mac) == Some(mac) || self.waiting.is_empty() {
            return;
        }
        for (to, frame) in std::mem::take(&mut self.waiting) {
            match to == address {
                true => self.address(frame, mac),
                false => self.waiting.push_back((to, frame)),
            }
        }
    }

    /// ARP (RFC 826): all that can be asked for is us.
    pub(crate) fn arp(&mut self, payload: &[u8]) {
        let Ok(packet) = ArpPacket::new_checked(payload) else {
            return;
        };
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        if !source_hardware_addr.is_unicast() {
            return;
        }
        self.learn(source_protocol_addr, source_hardware_addr);
        let ours = [GATEWAY, DNS].contains(&target_protocol_addr);
        if operation == ArpOperation::Request && ours {
            self.send_arp(ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: MAC,
                source_protocol_addr: target_protocol_addr,
                target_hardware_addr: source_hardware_addr,
                target_protocol_addr: source_protocol_addr,
            });
        }
    }

    /// Asks where an address is.
    fn ask(&mut self, address: Ipv4Addr) {
        self.send_arp(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: MAC,
            source_protocol_addr: GATEWAY,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: address,
        });
    }

    fn send_arp(&mut self, repr: ArpRepr) {
        let ArpRepr::EthernetIpv4 {
            operation,
            target_hardware_addr,
            ..
        } = repr
        else {
            return;
        };
        let mut frame = vec![0; ETHERNET + repr.buffer_len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_src_addr(MAC);
        ethernet.set_dst_addr(match operation {
            ArpOperation::Request => EthernetAddress::BROADCAST,
            _ => target_hardware_addr,
        });
        ethernet.set_ethertype(EthernetProtocol::Arp);
        repr.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
        self.out.push_back(frame);
    }

    /// Sends a frame that is whole but for its ethernet header, to where its IPv4
    /// header says.
    pub(crate) fn send(&mut self, mut frame: Vec<u8>) {
        let Some(packet) = frame.get_mut(ETHERNET..) else {
            return;
        };
        let Ok(packet) = Ipv4Packet::new_checked(packet) else {
            return;
        };
        let to = packet.dst_addr();
        if !self.trust.to_guest {
            fill_checksum(packet);
        }
        if to.is_broadcast() {
            return self.address(frame, EthernetAddress::BROADCAST);
        }
        if let Some(mac) = self.neighbours.get(&to) {
            return self.address(frame, *mac);
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((to, frame));
        self.ask(to);
    }

    /// Sends a frame that is whole but for its ethernet header.
    fn address(&mut self, mut frame: Vec<u8>, to: EthernetAddress) {
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_src_addr(MAC);
        ethernet.set_dst_addr(to);
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        self.out.push_back(frame);
    }

    /// A frame with an IPv4 header, for a payload of `length` bytes that is written to
    /// what is returned second.
    fn packet(&mut self, from: Ipv4Addr, to: Ipv4Addr, of: IpProtocol, length: usize) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET + IPV4 + length];
        self.ident = self.ident.wrapping_add(1);
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]);
        packet.set_version(4);
        packet.set_header_len(IPV4 as u8);
        // Callers stay below 64 KiB; a length that does not is of no packet.
        packet.set_total_len(u16::try_from(IPV4 + length).unwrap_or(0));
        packet.set_ident(self.ident);
        packet.clear_flags();
        packet.set_hop_limit(TTL);
        packet.set_next_header(of);
        packet.set_src_addr(from);
        packet.set_dst_addr(to);
        packet.fill_checksum();
        frame
    }

    /// Sends a datagram, in fragments where the guest may not take it whole.
    pub(crate) fn udp(&mut self, from: Endpoint, to: Endpoint, payload: &[u8]) {
        let Ok(length) = u16::try_from(IPV4 + UDP + payload.len()) else {
            return; // no datagram is as long
        };
        let mut frame = self.packet(from.0, to.0, IpProtocol::Udp, UDP + payload.len());
        let mut udp = UdpPacket::new_unchecked(&mut frame[ETHERNET + IPV4..]);
        udp.set_src_port(from.1);
        udp.set_dst_port(to.1);
        udp.set_len(length - IPV4 as u16);
        udp.payload_mut().copy_from_slice(payload);
        if usize::from(length) <= self.guest_mtu {
            return self.send(frame);
        }
        udp.fill_checksum(&IpAddress::Ipv4(from.0), &IpAddress::Ipv4(to.0));
        self.fragments(&frame);
    }

    /// Sends a packet in fragments (RFC 791 3.2).
    fn fragments(&mut self, whole: &[u8]) {
        let (header, payload) = whole.split_at(ETHERNET + IPV4);
        let step = (self.guest_mtu - IPV4) & !7;
        let count = payload.len().div_ceil(step);
        for (number, part) in payload.chunks(step).enumerate() {
            let mut frame = [header, part].concat();
            let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]);
            packet.set_total_len((IPV4 + part.len()) as u16);
            packet.set_frag_offset((number * step) as u16);
            packet.set_more_frags(number + 1 < count);
            packet.fill_checksum();
            self.send(frame);
        }
    }

    /// Sends an ICMP message, in fragments where the guest may not take it whole.
    pub(crate) fn icmp(&mut self, from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) {
        let length = IPV4 + message.len();
        if length > usize::from(u16::MAX) {
            return; // no message is as long
        }
        let mut frame = self.packet(from, to, IpProtocol::Icmp, message.len());
        frame[ETHERNET + IPV4..].copy_from_slice(message);
        match length <= self.guest_mtu {
            true => self.send(frame),
            false => self.fragments(&frame),
        }
    }

    /// Answers a segment that belongs to no connection (RFC 9293 3.10.7.1).
    pub(crate) fn reset(&mut self, from: Ipv4Addr, to: Ipv4Addr, segment: &TcpPacket<&[u8]>) {
        if segment.rst() {
            return;
        }
        let (seq_number, ack_number) = match segment.ack() {
            true => (segment.ack_number(), None),
            false => {
                let end = segment.seq_number() + segment.segment_len();
                (TcpSeqNumber(0), Some(end))
            }
        };
        let repr = TcpRepr {
            src_port: segment.dst_port(),
            dst_port: segment.src_port(),
            control: TcpControl::Rst,
            seq_number,
            ack_number,
            window_len: 0,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let mut frame = self.packet(from, to, IpProtocol::Tcp, repr.header_len());
        repr.emit(
            &mut TcpPacket::new_unchecked(&mut frame[ETHERNET + IPV4..]),
            &IpAddress::Ipv4(from),
            &IpAddress::Ipv4(to),
            &ChecksumCapabilities::ignored(),
        );
        self.send(frame);
    }
}

/// Writes the checksum of what an unfragmented packet carries.
fn fill_checksum(mut packet: Ipv4Packet<&mut [u8]>) {
    if packet.more_frags() || packet.frag_offset() != 0 {
        return;
    }
    let (from, to) = (
        IpAddress::Ipv4(packet.src_addr()),
        IpAddress::Ipv4(packet.dst_addr()),
    );
    let protocol = packet.next_header();
    let payload = packet.payload_mut();
    match protocol {
        IpProtocol::Tcp if payload.len() >= 20 => {
            TcpPacket::new_unchecked(payload).fill_checksum(&from, &to);
        }
        IpProtocol::Udp if payload.len() >= UDP => {
            UdpPacket::new_unchecked(payload).fill_checksum(&from, &to);
        }
        _ => {}
    }
}
