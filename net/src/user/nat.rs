//! The network itself, as a machine with explicit inputs: frames of the guest's, sockets
//! that became ready, the time. It has no thread and waits for nothing.
//!
//! What goes to the guest is queued in [`Lan`]. While that queue is full nobody is
//! served and no frame is to be given ([`Nat::has_room`]), so a guest that takes nothing
//! costs no more memory than the queue.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, TcpPacket,
    UdpPacket,
};

use super::agenda::{Agenda, Kind, Readiness, Token};
use super::dhcp::{self, Dhcp, Told};
use super::fragments::Fragments;
use super::host::Host;
use super::icmp::{self, Pings, Reason, unreachable};
use super::lan::{DNS, ETHERNET, Endpoint, GATEWAY, Lan, MAC, Trust, is_guests, on_network};
use super::publish::Published;
use super::tcp::{self, Around, Key};
use super::tftp::{self, Tftp};
use super::{NetError, UserConfig, dns, udp};

/// The longest datagram (RFC 791), and a byte more.
const SCRATCH: usize = 1 << 16;
/// Destinations of which it is remembered whether they are the host's own, and for how
/// long.
const OWN: usize = 256;
const OWN_KNOWN: Duration = Duration::from_secs(5);
/// Where clouds tell a host its secrets beside link-local addresses: Alibaba's, Azure's,
/// Oracle's.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

pub(crate) struct Nat<H> {
    config: UserConfig,
    pub(crate) host: H,
    pub(crate) lan: Lan,
    agenda: Agenda,
    fragments: Fragments,
    tcp: tcp::Flows,
    udp: udp::Flows,
    pings: Pings,
    published: Published,
    dhcp: Dhcp,
    tftp: Tftp,
    /// Destinations lately asked for: whether they are the host's own, and since when.
    own: HashMap<Ipv4Addr, (bool, Instant)>,
    scratch: Vec<u8>,
}

/// Where a destination leads.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// To an address of the host's side.
    Out(SocketAddrV4),
    /// To the host's name servers.
    Dns,
    /// To nothing that we have: refused as by a machine without such a port.
    Closed,
    /// Nowhere by our own rules.
    Prohibited,
    /// To no single machine, or to none: not answered.
    Void,
}

impl<H: Host> Nat<H> {
    /// Opens published ports and the folder of files.
    pub(crate) fn new(config: UserConfig, mut host: H) -> Result<Self, NetError> {
        let (least, most) = (super::MTU.start(), super::MTU.end());
        if !super::MTU.contains(&config.mtu) {
            let mtu = config.mtu;
            let (least, most) = (*least, *most);
            return Err(NetError::Mtu { mtu, least, most });
        }
        let mut agenda = Agenda::default();
        let published = Published::open(&config.publish, &mut host, &mut agenda)?;
        let tftp = Tftp::new(config.tftp.as_deref()).map_err(|error| NetError::Tftp {
            folder: config.tftp.clone().unwrap_or_default(),
            source: error.into(),
        })?;
        let told = Told {
            mtu: config.mtu,
            hostname: config.hostname.clone(),
            search: match config.restrict {
                true => Vec::new(),
                false => host.search(),
            },
            tftp_server: config.tftp.as_ref().map(|_| GATEWAY.to_string()),
            bootfile: config.bootfile.clone(),
        };
        Ok(Self {
            lan: Lan::new(usize::from(config.mtu)),
            config,
            host,
            agenda,
            fragments: Fragments::default(),
            tcp: tcp::Flows::default(),
            udp: udp::Flows::default(),
            pings: Pings::default(),
            published,
            dhcp: Dhcp::new(told),
            tftp,
            own: HashMap::new(),
            scratch: vec![0; SCRATCH],
        })
    }

    /// Whether a frame may be given, and [`work`](Self::work) gets anywhere.
    pub(crate) fn has_room(&self) -> bool {
        self.lan.has_room()
    }

    /// Whether nothing is to be done but wait.
    pub(crate) fn is_idle(&self) -> bool {
        self.agenda.is_idle()
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.agenda.deadline()
    }

    /// Says which checksums count from now on. When all do again, the NIC was reset: its
    /// next driver may take less than the last.
    pub(crate) fn trust(&mut self, trust: Trust) {
        if trust != self.lan.trust && trust == Trust::default() {
            self.lan.forget_guest_mtu();
        }
        self.lan.trust = trust;
    }

    /// A frame from the guest.
    pub(crate) fn frame(&mut self, frame: Vec<u8>, now: Instant) {
        let Ok(ethernet) = EthernetFrame::new_checked(&frame[..]) else {
            return;
        };
        let (from, to) = (ethernet.src_addr(), ethernet.dst_addr());
        if !from.is_unicast() || from == MAC || !(to == MAC || to.is_broadcast()) {
            return;
        }
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.lan.arp(ethernet.payload()),
            EthernetProtocol::Ipv4 => self.ipv4(frame, from, now),
            _ => {}
        }
    }

    fn ipv4(&mut self, mut frame: Vec<u8>, mac: EthernetAddress, now: Instant) {
        let Ok(packet) = Ipv4Packet::new_checked(frame.get(ETHERNET..).unwrap_or_default()) else {
            return;
        };
        if packet.version() != 4 || !packet.verify_checksum() {
            return;
        }
        let (from, udp) = (packet.src_addr(), packet.next_header() == IpProtocol::Udp);
        // Who asks for an address has none yet, or calls for a server with one that it had
        // on another network (RFC 2131 4.4.5).
        let elsewhere = !on_network(from) && packet.dst_addr().is_broadcast();
        let asks = udp && (from.is_unspecified() || elsewhere);
        if !(is_guests(from) || asks) {
            return;
        }
        self.lan.learn(from, mac);
        frame.truncate(ETHERNET + usize::from(packet.total_len())); // padding
        let Ok(packet) = Ipv4Packet::new_checked(frame.get(ETHERNET..).unwrap_or_default()) else {
            return;
        };
        if packet.more_frags() || packet.frag_offset() != 0 {
            if let Some(whole) = self.fragments.add(&frame, &mut self.agenda, now) {
                self.protocol(whole, now);
            }
            return;
        }
        // Of TCP a NIC may make several packets.
        if packet.next_header() != IpProtocol::Tcp {
            self.lan.guest_takes(usize::from(packet.total_len()));
        }
        self.protocol(frame, now);
    }

    /// A whole packet.
    fn protocol(&mut self, frame: Vec<u8>, now: Instant) {
        let Ok(packet) = Ipv4Packet::new_checked(frame.get(ETHERNET..).unwrap_or_default()) else {
            return;
        };
        match packet.next_header() {
            IpProtocol::Tcp => self.tcp(frame, now),
            IpProtocol::Udp => self.udp(&packet, now),
            IpProtocol::Icmp => self.icmp(&packet, now),
            _ => {}
        }
    }

    fn tcp(&mut self, frame: Vec<u8>, now: Instant) {
        let Ok(packet) = Ipv4Packet::new_checked(frame.get(ETHERNET..).unwrap_or_default()) else {
            return;
        };
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let Ok(segment) = TcpPacket::new_checked(packet.payload()) else {
            return;
        };
        let (near, far) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
        if !self.lan.trust.from_guest && !segment.verify_checksum(&near, &far) {
            return;
        }
        let key = Key {
            guest: (from, segment.src_port()),
            remote: (to, segment.dst_port()),
        };
        if key.guest.1 == 0 || key.remote.1 == 0 {
            return;
        }
        let begins = segment.syn() && !segment.ack() && !segment.rst() && !segment.fin();
        if segment.syn() {
            self.learn_mss(&segment);
        }
        let mut around = around(&mut self.host, &mut self.lan, &mut self.agenda, now);
        let Some(frame) = self.tcp.receive(&key, frame, &mut around) else {
            return;
        };
        let Ok(packet) = Ipv4Packet::new_checked(frame.get(ETHERNET..).unwrap_or_default()) else {
            return;
        };
        match self.way(IpProtocol::Tcp, key.remote, now) {
            Way::Void => {}
            Way::Prohibited if begins => unreachable(&packet, Reason::Prohibited, &mut self.lan),
            Way::Out(to) if begins => self.open(key, &[SocketAddr::V4(to)], frame, now),
            Way::Dns if begins => {
                let servers = self.nameservers();
                let servers = self.udp.nameservers(&servers, now);
                self.open(key, &servers, frame, now);
            }
            _ => {
                if let Ok(segment) = TcpPacket::new_checked(packet.payload()) {
                    self.lan.reset(key.remote.0, key.guest.0, &segment);
                }
            }
        }
    }

    fn open(&mut self, key: Key, to: &[SocketAddr], frame: Vec<u8>, now: Instant) {
        let mut around = around(&mut self.host, &mut self.lan, &mut self.agenda, now);
        self.tcp.open(key, to, frame, &mut around);
    }

    /// A SYN says how much the guest's interface takes.
    fn learn_mss(&mut self, segment: &TcpPacket<&[u8]>) {
        use smoltcp::wire::TcpOption;
        let mut options = segment.options();
        while let Ok((rest, option)) = TcpOption::parse(options) {
            if let TcpOption::MaxSegmentSize(mss) = option {
                self.lan.guest_takes(usize::from(mss) + 40);
            }
            if option == TcpOption::EndOfList || rest.is_empty() {
                break;
            }
            options = rest;
        }
    }

    fn udp(&mut self, packet: &Ipv4Packet<&[u8]>, now: Instant) {
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let Ok(datagram) = UdpPacket::new_checked(packet.payload()) else {
            return;
        };
        let (near, far) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
        if !self.lan.trust.from_guest && !datagram.verify_checksum(&near, &far) {
            return;
        }
        let (port, to_port) = (datagram.src_port(), datagram.dst_port());
        let payload = datagram.payload();
        if to_port == dhcp::SERVER && (to == GATEWAY || to.is_broadcast()) {
            return self.dhcp.receive(payload, &mut self.lan);
        }
        if !is_guests(from) || port == 0 || to_port == 0 {
            return;
        }
        let guest = (from, port);
        if to == GATEWAY {
            let Self {
                tftp, lan, agenda, ..
            } = self;
            let taken = match to_port {
                tftp::PORT if tftp.serves() => {
                    tftp.request(guest, payload, lan, agenda, now);
                    true
                }
                _ => tftp.receive(guest, to_port, payload, lan, agenda, now),
            };
            if taken || self.published.answer(guest, to_port, payload, now) {
                return;
            }
        }
        let way = self.way(IpProtocol::Udp, (to, to_port), now);
        let servers = match way {
            Way::Dns => self.nameservers(),
            _ => Vec::new(),
        };
        let mut around = around(&mut self.host, &mut self.lan, &mut self.agenda, now);
        match way {
            Way::Out(to) => self.udp.send(packet, port, to, payload, &mut around),
            Way::Dns => self.udp.query(packet, port, &servers, payload, &mut around),
            Way::Closed => unreachable(packet, Reason::Port, &mut self.lan),
            Way::Prohibited => unreachable(packet, Reason::Prohibited, &mut self.lan),
            Way::Void => {}
        }
    }

    fn icmp(&mut self, packet: &Ipv4Packet<&[u8]>, now: Instant) {
        if !icmp::is_echo(packet, self.lan.trust.from_guest) || packet.src_addr().is_unspecified() {
            return;
        }
        let to = packet.dst_addr();
        if to == GATEWAY || to == DNS {
            return icmp::answer(packet, &mut self.lan);
        }
        match self.way(IpProtocol::Icmp, (to, 0), now) {
            Way::Out(_) => {
                let mut around = around(&mut self.host, &mut self.lan, &mut self.agenda, now);
                self.pings.request(packet, &mut around);
            }
            Way::Prohibited | Way::Closed => unreachable(packet, Reason::Prohibited, &mut self.lan),
            Way::Dns | Way::Void => {}
        }
    }

    /// Where a destination leads. The host's own addresses are as closed as the gateway,
    /// unless that stands for the host; so are those that only the host's own link has.
    fn way(&mut self, protocol: IpProtocol, (to, port): Endpoint, now: Instant) -> Way {
        let [first, ..] = to.octets();
        if to.is_multicast() || to.is_broadcast() || first >= 240 {
            return Way::Void;
        }
        let names = matches!(protocol, IpProtocol::Udp | IpProtocol::Tcp) && port == dns::PORT;
        match to {
            _ if on_network(to) && to != GATEWAY && to != DNS => Way::Void,
            _ if self.config.restrict && (to == GATEWAY || to == DNS) => Way::Closed,
            _ if self.config.restrict => Way::Prohibited,
            DNS if names => Way::Dns,
            DNS => Way::Closed,
            GATEWAY if self.config.host => Way::Out(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)),
            GATEWAY => Way::Closed,
            // As closed as the host itself.
            _ if is_metadata(to) && !self.config.host => Way::Closed,
            _ if first == 0 || first == 127 || self.is_own(to, now) => Way::Closed,
            _ => Way::Out(SocketAddrV4::new(to, port)),
        }
    }

    /// Whether an address is the host's; asked again after a while, as it may get others.
    /// One of which that cannot be found out, for want of descriptors, counts as such.
    fn is_own(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        if let Some((own, asked)) = self.own.get(&address)
            && now < *asked + OWN_KNOWN
        {
            return *own;
        }
        if self.own.len() >= OWN {
            self.own.clear();
        }
        let Ok(own) = self.host.is_own(address) else {
            return true;
        };
        self.own.insert(address, (own, now));
        own
    }

    fn nameservers(&mut self) -> Vec<SocketAddr> {
        match self.config.nameservers.is_empty() {
            true => self.host.nameservers(),
            false => self.config.nameservers.clone(),
        }
    }

    /// A socket became ready.
    pub(crate) fn ready(&mut self, token: Token, ready: Readiness) {
        let agenda = &mut self.agenda;
        match token.kind() {
            Kind::Tcp => self.tcp.ready(token, ready, agenda),
            Kind::Udp if ready.readable => self.udp.ready(token, agenda),
            Kind::Ping if ready.readable => self.pings.ready(token, agenda),
            Kind::Listener | Kind::PublishedUdp if ready.readable => {
                self.published.ready(token, agenda);
            }
            _ => {}
        }
    }

    /// Serves whoever is in line, one turn each, while there is room. At most `turns`.
    pub(crate) fn work(&mut self, turns: usize, now: Instant) {
        for _ in 0..turns {
            if !self.lan.has_room() {
                return;
            }
            let Some(token) = self.agenda.next() else {
                return;
            };
            let (scratch, published) = (&mut self.scratch[..], &mut self.published);
            let mut around = around(&mut self.host, &mut self.lan, &mut self.agenda, now);
            match token.kind() {
                Kind::Tcp => self.tcp.work(token, &mut around),
                Kind::Udp => self.udp.work(token, scratch, &mut around),
                Kind::Ping => self.pings.work(token, scratch, around.lan, around.agenda),
                Kind::Listener => published.accept(token, &mut self.tcp, &mut around),
                Kind::PublishedUdp => published.work(token, scratch, &mut around),
                Kind::Tftp | Kind::Fragments | Kind::Other => {}
            }
        }
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(token) = self.agenda.due(now) {
            let agenda = &mut self.agenda;
            match token.kind() {
                Kind::Tcp => self.tcp.rang(token, agenda),
                Kind::Udp => self.udp.rang(token, now, agenda),
                Kind::Ping => self.pings.rang(token, now, agenda),
                Kind::Listener | Kind::PublishedUdp => self.published.rang(token, agenda),
                Kind::Tftp => self.tftp.rang(token, &mut self.lan, agenda, now),
                Kind::Fragments => self.fragments.rang(agenda, now),
                Kind::Other => {}
            }
        }
    }

    /// Datagrams of which fragments came.
    #[cfg(test)]
    pub(crate) fn incomplete(&self) -> usize {
        self.fragments.len()
    }

    /// Connections, UDP ports, echo requests and transfers that exist.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> [usize; 4] {
        let (pings, tftp) = (self.pings.len(), self.tftp.len());
        [self.tcp.len(), self.udp.len(), pings, tftp]
    }
}

/// Whether a cloud's metadata service may be there.
fn is_metadata(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA.contains(&address)
}

fn around<'a, H>(
    host: &'a mut H,
    lan: &'a mut Lan,
    agenda: &'a mut Agenda,
    now: Instant,
) -> Around<'a, H> {
    Around {
        host,
        lan,
        agenda,
        now,
    }
}
