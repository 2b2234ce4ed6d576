//! Puts the guest's IPv4 fragments together (RFC 791 3.2, RFC 815).
//!
//! A few datagrams at a time, and only fragments that fit without overlap: what overlaps
//! is of an attack, and is not taken. So a datagram takes no more bytes than it has.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpProtocol, Ipv4Packet};

use super::agenda::{Agenda, Alarm, Kind, Token};
use super::lan::{ETHERNET, IPV4};

/// Datagrams that are put together at a time.
const DATAGRAMS: usize = 16;
/// Fragments of one: enough for 64 KiB over the least MTU of 576.
const PARTS: usize = 128;
/// How long the first fragment waits for the last (RFC 791: at least 15 s).
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes that an IPv4 packet carries at most.
const LONGEST: usize = u16::MAX as usize - IPV4;

#[derive(PartialEq, Eq)]
struct Key {
    from: Ipv4Addr,
    to: Ipv4Addr,
    ident: u16,
    protocol: IpProtocol,
}

struct Datagram {
    key: Key,
    since: Instant,
    /// The frame up to its IPv4 payload, of whichever fragment came first.
    header: Vec<u8>,
    /// Offsets and bytes, in the order of arrival.
    parts: Vec<(usize, Vec<u8>)>,
    /// Bytes of the whole payload, once the last fragment came.
    total: Option<usize>,
}

#[derive(Default)]
pub(crate) struct Fragments {
    /// In the order of their first fragments.
    datagrams: VecDeque<Datagram>,
    token: Option<Token>,
    alarm: Alarm,
}

impl Fragments {
    /// Takes a fragment; the whole frame when it was the last that was missing.
    pub(crate) fn add(
        &mut self,
        frame: &[u8],
        agenda: &mut Agenda,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let packet = Ipv4Packet::new_checked(frame.get(ETHERNET..)?).ok()?;
        let key = Key {
            from: packet.src_addr(),
            to: packet.dst_addr(),
            ident: packet.ident(),
            protocol: packet.next_header(),
        };
        self.forget(agenda, now);
        let mut known = self.datagrams.iter();
        let at = match known.position(|datagram| datagram.key == key) {
            Some(at) => at,
            None => {
                if self.datagrams.len() == DATAGRAMS {
                    self.datagrams.pop_front();
                }
                self.datagrams.push_back(Datagram {
                    key,
                    since: now,
                    header: frame.get(..ETHERNET + IPV4)?.to_vec(),
                    parts: Vec::new(),
                    total: None,
                });
                self.wake(agenda);
                self.datagrams.len() - 1
            }
        };
        let offset = usize::from(packet.frag_offset());
        let datagram = self.datagrams.get_mut(at)?;
        datagram.add(offset, packet.payload(), packet.more_frags());
        let whole = datagram.whole()?;
        self.datagrams.remove(at);
        Some(whole)
    }

    /// The alarm went off.
    pub(crate) fn rang(&mut self, agenda: &mut Agenda, now: Instant) {
        self.alarm.rang();
        self.forget(agenda, now);
    }

    /// Forgets what has waited for too long.
    fn forget(&mut self, agenda: &mut Agenda, now: Instant) {
        self.datagrams
            .retain(|datagram| now < datagram.since + PATIENCE);
        self.wake(agenda);
    }

    /// Sees to it that the oldest is forgotten in time.
    fn wake(&mut self, agenda: &mut Agenda) {
        if let Some(oldest) = self.datagrams.front() {
            let token = *self
                .token
                .get_or_insert_with(|| agenda.token(Kind::Fragments));
            agenda.wake(token, &mut self.alarm, oldest.since + PATIENCE);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }
}

impl Datagram {
    fn add(&mut self, offset: usize, payload: &[u8], more: bool) {
        let end = offset + payload.len();
        let parts = self.parts.iter();
        let mut ends = parts.map(|(at, part)| (*at, at + part.len()));
        let overlaps = ends.any(|(from, to)| from < end && offset < to);
        let fits = end <= self.total.unwrap_or(LONGEST) && self.parts.len() < PARTS;
        // All fragments but the last are of whole eight bytes.
        let ragged = more && !payload.len().is_multiple_of(8);
        if overlaps || !fits || ragged || payload.is_empty() {
            return;
        }
        if !more {
            self.total = Some(end);
        }
        self.parts.push((offset, payload.to_vec()));
    }

    /// The frame, if nothing is missing.
    fn whole(&mut self) -> Option<Vec<u8>> {
        let total = self.total?;
        let have: usize = self.parts.iter().map(|(_, part)| part.len()).sum();
        if have != total {
            return None;
        }
        self.parts.sort_by_key(|(offset, _)| *offset);
        let mut frame = self.header.clone();
        for (offset, part) in &self.parts {
            if frame.len() - self.header.len() != *offset {
                return None;
            }
            frame.extend_from_slice(part);
        }
        let mut packet = Ipv4Packet::new_unchecked(frame.get_mut(ETHERNET..)?);
        packet.set_header_len(IPV4 as u8); // options, if any, are left out
        packet.set_total_len(u16::try_from(IPV4 + total).ok()?);
        packet.clear_flags();
        packet.set_frag_offset(0);
        packet.fill_checksum();
        Some(frame)
    }
}
