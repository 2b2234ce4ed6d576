//! `struct virtio_net_hdr`, the header before each frame (Virtio 1.2, 5.1.6), and what
//! a sent frame still lacks.

use super::Offloads;
use super::spec::{
    Features, GSO_ECN, GSO_NONE, GSO_TCPV4, HEADER_BYTES, HeaderFlags, LEGACY_HEADER_BYTES,
};
use crate::virtio::{Queues, spec};

/// Bytes of the header under what was negotiated.
pub(super) fn bytes(queues: &Queues<'_>) -> usize {
    let counts = spec::Features::VERSION_1.bits();
    if queues.has(counts) || queues.has(Features::MRG_RXBUF.bits()) {
        HEADER_BYTES
    } else {
        LEGACY_HEADER_BYTES
    }
}

/// What was negotiated about checksums.
pub(super) fn offloads(queues: &Queues<'_>) -> Offloads {
    Offloads {
        sent: queues.has(Features::CSUM.bits()),
        received: queues.has(Features::GUEST_CSUM.bits()),
    }
}

/// The header of a received frame that takes `buffers` buffers.
pub(super) fn received(valid: bool, buffers: u16) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let [flags, .., low, high] = &mut header;
    if valid {
        *flags = HeaderFlags::DATA_VALID.bits();
    }
    [*low, *high] = buffers.to_le_bytes();
    header
}

/// Does to a frame what its header asks for. `false`: the header makes no sense for it,
/// or asks for what was not negotiated.
///
/// Where the link is `local`, neither partial checksums nor frames longer than the
/// MTU are of any harm.
pub(super) fn finish(header: &[u8], frame: &mut [u8], local: bool, queues: &Queues<'_>) -> bool {
    let &[flags, gso, _, _, _, _, s0, s1, o0, o1, ..] = header else {
        return false;
    };
    let flags = HeaderFlags::from_bits_truncate(flags);
    let cut = match gso & !GSO_ECN {
        GSO_NONE => true,
        GSO_TCPV4 => local && queues.has(Features::HOST_TSO4.bits()),
        _ => false,
    };
    if !cut || !flags.contains(HeaderFlags::NEEDS_CSUM) {
        return cut;
    }
    let start = usize::from(u16::from_le_bytes([s0, s1]));
    let offset = usize::from(u16::from_le_bytes([o0, o1]));
    queues.has(Features::CSUM.bits())
        && (local || frame.get_mut(start..).is_some_and(|f| complete(f, offset)))
}

/// Puts the Internet checksum (RFC 1071) of `bytes` at `offset`, where their pseudo
/// header's sum stands. `false`: there is no room for it.
fn complete(bytes: &mut [u8], offset: usize) -> bool {
    let (pairs, last) = bytes.as_chunks::<2>();
    let tail = last.first().map_or(0, |byte| u64::from(*byte) << 8);
    let sum = pairs
        .iter()
        .fold(tail, |sum, pair| sum + u64::from(u16::from_be_bytes(*pair)));
    let folded = |sum: u64| (sum & 0xffff) + (sum >> 16);
    // A sum of at most 2^16 words has 32 bits: three times are enough.
    let sum = folded(folded(folded(sum))) as u16;
    // Zero would say that there is none (RFC 768); to others the two are the same.
    let checksum = if sum == u16::MAX { sum } else { !sum };
    let Some(place) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) else {
        return false;
    };
    *place = checksum.to_be_bytes();
    true
}
