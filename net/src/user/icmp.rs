//! ICMP: echo requests to us and through us, and why something did not arrive.
//!
//! Echo requests to the world go through the host's unprivileged echo sockets, where its
//! `net.ipv4.ping_group_range` lets us have them; else the guest is told that it is
//! prohibited. Such a socket chooses an identifier of its own, so the guest's is put
//! back into answers.

use std::net::Ipv4Addr;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Ipv4Packet};

use super::agenda::{Agenda, Kind, Token};
use super::host::Host;
use super::lan::{IPV4, Lan};
use super::table::{Row, Table};
use super::tcp::Around;

/// Echo "connections" at a time: pairs of identifier and destination.
const FLOWS: usize = 64;
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of a packet that an error repeats (RFC 1812 4.3.2.3 allows for more).
const QUOTED: usize = IPV4 + 40 + 8;
const ECHO_HEADER: usize = 8;
/// Answers that one flow gets before the next has its turn.
const TURN: usize = 32;

/// Codes of "destination unreachable" (RFC 792, RFC 1122 3.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Network = 0,
    Host = 1,
    Port = 3,
    Prohibited = 13,
}

/// What an error of sending says to the guest, if anything.
pub(crate) fn reason(error: Errno) -> Option<Reason> {
    match error {
        Errno::CONNREFUSED => Some(Reason::Port),
        Errno::NETUNREACH => Some(Reason::Network),
        Errno::HOSTUNREACH | Errno::HOSTDOWN => Some(Reason::Host),
        Errno::ACCESS | Errno::PERM => Some(Reason::Prohibited),
        _ => None,
    }
}

/// Tells the sender of `packet` that it did not arrive.
pub(crate) fn unreachable(packet: &Ipv4Packet<&[u8]>, reason: Reason, lan: &mut Lan) {
    let (whole, length) = (packet.as_ref(), usize::from(packet.total_len()));
    let quoted = whole.get(..length.min(QUOTED)).unwrap_or_default();
    unreachable_quoted(packet.dst_addr(), packet.src_addr(), quoted, reason, lan);
}

/// The same with the packet's beginning alone.
pub(crate) fn unreachable_quoted(
    from: Ipv4Addr,
    to: Ipv4Addr,
    quoted: &[u8],
    reason: Reason,
    lan: &mut Lan,
) {
    let mut message = vec![0; ECHO_HEADER];
    message.extend_from_slice(quoted);
    let mut icmp = Icmpv4Packet::new_unchecked(&mut message[..]);
    icmp.set_msg_type(Icmpv4Message::DstUnreachable);
    icmp.set_msg_code(reason as u8);
    icmp.fill_checksum();
    lan.icmp(from, to, &message);
}

/// The beginning of a packet, for an error that comes later.
pub(crate) fn quote(packet: &Ipv4Packet<&[u8]>, into: &mut Vec<u8>) {
    into.clear();
    let whole = packet.as_ref();
    let length = usize::from(packet.total_len()).min(QUOTED);
    into.extend_from_slice(whole.get(..length).unwrap_or_default());
}

/// An echo request's answer by ourselves.
pub(crate) fn answer(packet: &Ipv4Packet<&[u8]>, lan: &mut Lan) {
    let mut message = packet.payload().to_vec();
    let mut icmp = Icmpv4Packet::new_unchecked(&mut message[..]);
    icmp.set_msg_type(Icmpv4Message::EchoReply);
    icmp.fill_checksum();
    lan.icmp(packet.dst_addr(), packet.src_addr(), &message);
}

/// Whether it is an echo request, with all that belongs to one.
pub(crate) fn is_echo(packet: &Ipv4Packet<&[u8]>, trusted: bool) -> bool {
    let Ok(icmp) = Icmpv4Packet::new_checked(packet.payload()) else {
        return false;
    };
    let whole = packet.payload().len() >= ECHO_HEADER;
    let valid = trusted || icmp.verify_checksum();
    icmp.msg_type() == Icmpv4Message::EchoRequest && icmp.msg_code() == 0 && whole && valid
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    guest: Ipv4Addr,
    to: Ipv4Addr,
    ident: u16,
}

/// Echo requests that went to the world, each with the beginning of the last one.
pub(crate) struct Pings(Table<Key, Vec<u8>>);

impl Default for Pings {
    fn default() -> Self {
        Self(Table::new(Kind::Ping, FLOWS))
    }
}

impl Pings {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends the guest's echo request on.
    pub(crate) fn request<H: Host>(
        &mut self,
        packet: &Ipv4Packet<&[u8]>,
        around: &mut Around<'_, H>,
    ) {
        let key = Key {
            guest: packet.src_addr(),
            to: packet.dst_addr(),
            ident: Icmpv4Packet::new_unchecked(packet.payload()).echo_ident(),
        };
        let sent = self.flow(key, around).and_then(|flow| {
            flow.used(around.now, around.agenda);
            quote(packet, &mut flow.of);
            send(&flow.socket, packet.payload(), SendFlags::NOSIGNAL)
        });
        if let Some(reason) = sent.err().and_then(reason) {
            unreachable(packet, reason, around.lan);
        }
    }

    /// The socket of a guest's requests to an address, made if there is none.
    fn flow<H: Host>(
        &mut self,
        key: Key,
        around: &mut Around<'_, H>,
    ) -> Result<&mut Row<Key, Vec<u8>>, Errno> {
        if self.0.by_key(&key).is_none() {
            let socket = around.host.ping(key.to)?;
            self.0.add((key, socket, Vec::new()), IDLE, around)?;
        }
        self.0.by_key(&key).ok_or(Errno::NOBUFS)
    }

    pub(crate) fn ready(&mut self, token: Token, agenda: &mut Agenda) {
        self.0.ready(token, agenda);
    }

    pub(crate) fn rang(&mut self, token: Token, now: Instant, agenda: &mut Agenda) {
        self.0.rang(token, now, agenda);
    }

    /// Answers for the guest.
    pub(crate) fn work(
        &mut self,
        token: Token,
        scratch: &mut [u8],
        lan: &mut Lan,
        agenda: &mut Agenda,
    ) {
        let Some(flow) = self.0.by_token(token) else {
            return;
        };
        flow.served();
        let mut failures = 0;
        for _ in 0..TURN {
            if !lan.has_room() {
                break;
            }
            let Key { guest, to, ident } = flow.key;
            match recv(&flow.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((count, _)) => {
                    let message = scratch.get_mut(..count).unwrap_or_default();
                    if count < ECHO_HEADER {
                        continue;
                    }
                    let mut icmp = Icmpv4Packet::new_unchecked(&mut *message);
                    if icmp.msg_type() == Icmpv4Message::EchoReply {
                        icmp.set_echo_ident(ident);
                        icmp.fill_checksum();
                        lan.icmp(to, guest, message);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => match reason(error) {
                    Some(reason) => unreachable_quoted(to, guest, &flow.of, reason, lan),
                    // Of whatever else, what is behind it is not told of again.
                    None => failures += 1,
                },
            }
        }
        // One that only fails waits for its next event.
        if failures < TURN {
            flow.again(agenda);
        }
    }
}
