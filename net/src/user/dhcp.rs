//! The DHCP server (RFC 2131, options of RFC 2132).
//!
//! The first client gets 10.0.2.15; others (a bridge inside the guest) the addresses
//! after it.

use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpOption, DhcpOptionWriter, DhcpPacket, EthernetAddress};

use super::lan::{DNS, GATEWAY, GUEST, Lan, MASK, is_guests};

/// The server's port.
pub(crate) const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// Clients that have addresses of their own.
const LEASES: usize = 16;
/// Seconds until a client has to ask again.
const LEASE: u32 = 24 * 3600;
/// Bytes of a message: what every client has to take (RFC 2131 2), less the headers.
const LENGTH: usize = 576 - 28;
/// Where the options begin, after the magic number.
const OPTIONS: usize = 240;
/// The field of the boot file's name.
const FILE: std::ops::Range<usize> = 108..236;
const BOOTREQUEST: u8 = 1;
const BOOTREPLY: u8 = 2;
const ETHERNET: u8 = 1;

/// Message types (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
    Inform = 8,
}

/// What clients are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) mtu: u16,
    pub(crate) hostname: Option<String>,
    /// Domains in which short names are looked for.
    pub(crate) search: Vec<String>,
    pub(crate) tftp_server: Option<String>,
    pub(crate) bootfile: Option<String>,
}

pub(crate) struct Dhcp {
    told: Told,
    leases: Vec<EthernetAddress>,
}

/// What matters of a client's message.
struct Asked {
    message: Message,
    client: EthernetAddress,
    transaction: u32,
    client_ip: Ipv4Addr,
    broadcast: u16,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    wants_mtu: bool,
}

impl Dhcp {
    pub(crate) fn new(told: Told) -> Self {
        let leases = Vec::new();
        Self { told, leases }
    }

    /// A message of a client's, and perhaps an answer.
    pub(crate) fn receive(&mut self, payload: &[u8], lan: &mut Lan) {
        let Some(asked) = read(payload) else {
            return;
        };
        let offered = self.lease(asked.client);
        let (message, yours) = match asked.message {
            Message::Discover => (Message::Offer, offered),
            Message::Inform => (Message::Ack, Ipv4Addr::UNSPECIFIED),
            Message::Request => {
                if asked.server.is_some_and(|server| server != GATEWAY) {
                    return; // It took another server's offer.
                }
                let wanted = asked.requested.unwrap_or(asked.client_ip);
                match wanted == offered {
                    true => (Message::Ack, offered),
                    false => (Message::Nak, Ipv4Addr::UNSPECIFIED),
                }
            }
            _ => return,
        };
        let reply = self.reply(&asked, message, yours);
        // Clients that have an address are answered there, the others cannot be yet.
        let to = match message {
            Message::Ack if is_guests(asked.client_ip) => asked.client_ip,
            _ => Ipv4Addr::BROADCAST,
        };
        lan.udp((GATEWAY, SERVER), (to, CLIENT), &reply);
    }

    fn lease(&mut self, client: EthernetAddress) -> Ipv4Addr {
        let known = self.leases.iter().position(|lease| *lease == client);
        let at = known.unwrap_or_else(|| {
            self.leases.truncate(LEASES - 1); // the last one's is given anew
            self.leases.push(client);
            self.leases.len() - 1
        });
        Ipv4Addr::from(u32::from(GUEST) + at as u32)
    }

    fn reply(&self, asked: &Asked, message: Message, yours: Ipv4Addr) -> Vec<u8> {
        let mut reply = vec![0; LENGTH];
        if let Some([opcode, hardware, length]) = reply.first_chunk_mut() {
            (*opcode, *hardware, *length) = (BOOTREPLY, ETHERNET, 6);
        }
        if let Some(flags) = reply.get_mut(10..12) {
            flags.copy_from_slice(&asked.broadcast.to_be_bytes());
        }
        let mut packet = DhcpPacket::new_unchecked(&mut reply[..]);
        packet.set_transaction_id(asked.transaction);
        packet.set_client_hardware_address(asked.client);
        packet.set_magic_number(0x6382_5363);
        if message != Message::Nak {
            packet.set_client_ip(asked.client_ip);
            packet.set_your_ip(yours);
            packet.set_server_ip(GATEWAY); // whence its boot file comes
        }
        // Who is refused boots nothing (RFC 2131, table 3).
        let file = self.told.bootfile.as_ref();
        let file = file.filter(|_| message != Message::Nak);
        if let (Some(file), Some(field)) = (file, reply.get_mut(FILE)) {
            // One byte is left as the end; a longer name is in its option only.
            let fits = file.len() < field.len();
            let (to, _) = field.split_at_mut(if fits { file.len() } else { 0 });
            to.copy_from_slice(file.as_bytes().get(..to.len()).unwrap_or_default());
        }
        let options = reply.get_mut(OPTIONS..).unwrap_or_default();
        self.options(asked, message, DhcpOptionWriter::new(options));
        reply
    }

    /// Writes the options; what finds no room is left out.
    fn options(&self, asked: &Asked, message: Message, mut to: DhcpOptionWriter<'_>) {
        let mut put = |kind: u8, data: &[u8]| {
            if !data.is_empty() {
                let _ = to.emit(DhcpOption { kind, data });
            }
        };
        put(53, &[message as u8]);
        put(54, &GATEWAY.octets());
        if message != Message::Nak {
            if asked.message != Message::Inform {
                put(51, &LEASE.to_be_bytes());
            }
            put(1, &MASK.octets());
            put(3, &GATEWAY.octets());
            put(6, &DNS.octets());
            if asked.wants_mtu {
                put(26, &self.told.mtu.to_be_bytes());
            }
            let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
            put(12, &text(&self.told.hostname));
            put(66, &text(&self.told.tftp_server));
            put(67, &text(&self.told.bootfile));
            if let Some(first) = self.told.search.first() {
                put(15, first.as_bytes());
            }
            put(119, &encoded(&self.told.search));
        }
        let _ = to.end();
    }
}

/// Reads a client's message, if it is one.
fn read(payload: &[u8]) -> Option<Asked> {
    let packet = DhcpPacket::new_checked(payload).ok()?;
    let kinds = payload.first_chunk::<3>()?;
    if *kinds != [BOOTREQUEST, ETHERNET, 6] || packet.magic_number() != 0x6382_5363 {
        return None;
    }
    let client = packet.client_hardware_address();
    let option = |kind| packet.options().find(|o| o.kind == kind).map(|o| o.data);
    let address =
        |kind| option(kind).and_then(|data| Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)));
    let message = match option(53)? {
        [1] => Message::Discover,
        [3] => Message::Request,
        [8] => Message::Inform,
        _ => return None, // declined and released addresses stay its own
    };
    client.is_unicast().then(|| Asked {
        message,
        client,
        transaction: packet.transaction_id(),
        client_ip: packet.client_ip(),
        broadcast: packet.flags().bits(),
        requested: address(50),
        server: address(54),
        wants_mtu: option(55).is_some_and(|list| list.contains(&26)),
    })
}

/// Names as option 119 has them (RFC 3397), none compressed; those that do not fit are
/// left out.
fn encoded(names: &[String]) -> Vec<u8> {
    let mut all = Vec::new();
    for name in names {
        let mut one = Vec::new();
        for label in name.split('.') {
            match u8::try_from(label.len()) {
                Ok(length @ 1..=63) => one.push(length),
                _ => return all,
            }
            one.extend_from_slice(label.as_bytes());
        }
        one.push(0);
        if all.len() + one.len() > 255 {
            break;
        }
        all.extend(one);
    }
    all
}
