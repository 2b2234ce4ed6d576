//! Packets of the socket device (Virtio 1.2, section 5.10.6).

/// Bytes of `struct virtio_vsock_hdr`.
pub(super) const HEADER_BYTES: usize = 44;
/// The host's number (5.10.4).
pub(super) const HOST_CID: u64 = 2;
/// `VIRTIO_VSOCK_TYPE_STREAM`.
pub(super) const TYPE_STREAM: u16 = 1;

/// Operations.
pub(super) mod op {
    /// Asks for a connection.
    pub(crate) const REQUEST: u16 = 1;
    /// It is there.
    pub(crate) const RESPONSE: u16 = 2;
    /// There is none, or it is gone.
    pub(crate) const RST: u16 = 3;
    /// One side will not send or receive any more.
    pub(crate) const SHUTDOWN: u16 = 4;
    /// Data.
    pub(crate) const RW: u16 = 5;
    /// Says how much room there is.
    pub(crate) const CREDIT_UPDATE: u16 = 6;
    /// Asks for that.
    pub(crate) const CREDIT_REQUEST: u16 = 7;
}

/// Flags of a shutdown: who sent it will not receive.
pub(super) const SHUTDOWN_RCV: u32 = 1;
/// Will not send.
pub(super) const SHUTDOWN_SEND: u32 = 2;

/// `struct virtio_vsock_hdr`, without the length of what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) src_cid: u64,
    pub(super) dst_cid: u64,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    pub(super) kind: u16,
    pub(super) op: u16,
    pub(super) flags: u32,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
}

impl Header {
    /// Takes a packet apart. `None` if it is not as long as it says.
    pub(super) fn split(packet: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = packet;
        let header = Self {
            src_cid: u64::from_le_bytes(take(&mut rest)?),
            dst_cid: u64::from_le_bytes(take(&mut rest)?),
            src_port: u32::from_le_bytes(take(&mut rest)?),
            dst_port: u32::from_le_bytes(take(&mut rest)?),
            ..Self::default()
        };
        let len = u32::from_le_bytes(take(&mut rest)?);
        let header = Self {
            kind: u16::from_le_bytes(take(&mut rest)?),
            op: u16::from_le_bytes(take(&mut rest)?),
            flags: u32::from_le_bytes(take(&mut rest)?),
            buf_alloc: u32::from_le_bytes(take(&mut rest)?),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)?),
            ..header
        };
        (rest.len() == len as usize).then_some((header, rest))
    }

    /// A packet with this header.
    pub(super) fn with(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER_BYTES + payload.len());
        packet.extend(self.src_cid.to_le_bytes());
        packet.extend(self.dst_cid.to_le_bytes());
        packet.extend(self.src_port.to_le_bytes());
        packet.extend(self.dst_port.to_le_bytes());
        packet.extend((payload.len() as u32).to_le_bytes());
        packet.extend(self.kind.to_le_bytes());
        packet.extend(self.op.to_le_bytes());
        packet.extend(self.flags.to_le_bytes());
        packet.extend(self.buf_alloc.to_le_bytes());
        packet.extend(self.fwd_cnt.to_le_bytes());
        packet.extend_from_slice(payload);
        packet
    }

    /// The header of the reset that answers this packet.
    pub(super) fn reset(&self) -> Self {
        Self {
            src_cid: self.dst_cid,
            dst_cid: self.src_cid,
            src_port: self.dst_port,
            dst_port: self.src_port,
            kind: self.kind,
            op: op::RST,
            ..Self::default()
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, later) = rest.split_first_chunk()?;
    *rest = later;
    Some(*bytes)
}
