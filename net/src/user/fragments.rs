//! Puts the guest's IPv4 fragments together (RFC 791 3.2, RFC 815).
//!
//! A few datagrams at a time, and only fragments that fit without overlap: a datagram
//! whose fragments overlap is of an attack, and stays incomplete until it is forgotten.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpProtocol, Ipv4Packet};

use super::lan::{ETHERNET, IPV4};

/// Datagrams that are put together at a time.
const DATAGRAMS: usize = 16;
/// Fragments of one: enough for 64 KiB over the least MTU of 576.
const PARTS: usize = 128;
/// How long the first fragment waits for the last (RFC 791: at least 15 s).
const PATIENCE: Duration = Duration::from_secs(15);

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
pub(crate) struct Fragments(VecDeque<Datagram>);

impl Fragments {
    /// Takes a fragment; the whole frame when it was the last that was missing.
    pub(crate) fn add(&mut self, frame: &[u8], now: Instant) -> Option<Vec<u8>> {
        let packet = Ipv4Packet::new_checked(frame.get(ETHERNET..)?).ok()?;
        let key = Key {
            from: packet.src_addr(),
            to: packet.dst_addr(),
            ident: packet.ident(),
            protocol: packet.next_header(),
        };
        self.0.retain(|datagram| now < datagram.since + PATIENCE);
        let at = match self.0.iter().position(|datagram| datagram.key == key) {
            Some(at) => at,
            None => {
                if self.0.len() == DATAGRAMS {
                    self.0.pop_front();
                }
                self.0.push_back(Datagram {
                    key,
                    since: now,
                    header: frame.get(..ETHERNET + IPV4)?.to_vec(),
                    parts: Vec::new(),
                    total: None,
                });
                self.0.len() - 1
            }
        };
        let offset = usize::from(packet.frag_offset());
        let datagram = self.0.get_mut(at)?;
        datagram.add(offset, packet.payload(), packet.more_frags());
        let whole = datagram.whole()?;
        self.0.remove(at);
        Some(whole)
    }
}

impl Datagram {
    fn add(&mut self, offset: usize, payload: &[u8], more: bool) {
        let end = offset + payload.len();
        let known = self.parts.iter().any(|(at, _)| *at == offset);
        let fits = end <= usize::from(u16::MAX) - IPV4 && self.parts.len() < PARTS;
        // All fragments but the last are of whole eight bytes.
        let ragged = more && !payload.len().is_multiple_of(8);
        if known || !fits || ragged || payload.is_empty() {
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
