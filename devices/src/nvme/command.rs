//! A command as the driver wrote it, and the status that answers it.

use super::spec::SQE_BYTES;

/// The bytes of a submission queue's entry.
pub(super) type Entry = [u8; SQE_BYTES as usize];

/// What a completion says of its command: 15 bits, above the phase tag (4.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u16);

/// Status code types.
const TYPE_SHIFT: u16 = 8;
const SPECIFIC: u16 = 1;
const MEDIA: u16 = 2;
/// DNR: the same command would fail again.
const DO_NOT_RETRY: u16 = 1 << 14;

impl Status {
    /// A generic status. All but success come with DNR.
    pub(super) const fn generic(code: u16) -> Self {
        match code {
            0 => Self(0),
            _ => Self(code | DO_NOT_RETRY),
        }
    }

    /// One of the command's own.
    pub(super) const fn specific(code: u16) -> Self {
        Self(SPECIFIC << TYPE_SHIFT | code | DO_NOT_RETRY)
    }

    /// One of media and data. The host may have room again, or not.
    pub(super) const fn media(code: u16) -> Self {
        Self(MEDIA << TYPE_SHIFT | code)
    }

    /// The same without DNR.
    pub(super) const fn retryable(self) -> Self {
        Self(self.0 & !DO_NOT_RETRY)
    }

    /// Whether it is about media and data.
    pub(super) fn is_media_error(self) -> bool {
        self.0 >> TYPE_SHIFT & 7 == MEDIA
    }

    /// The 15 bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

/// Why a command ends: a status that is no success.
pub(super) type Refused = Status;

/// A command (4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Opcode (OPC).
    pub(super) opcode: u8,
    /// Fused operation (FUSE) and kind of data pointer (PSDT), which have to be 0.
    flags: u8,
    /// Its identifier (CID), which the driver chose.
    pub(super) id: u16,
    /// Namespace (NSID).
    pub(super) namespace: u32,
    /// Where data is: PRP entries 1 and 2.
    pub(super) prp: [u64; 2],
    /// Dwords 10 to 15.
    dwords: [u32; 6],
}

impl Command {
    pub(super) fn new(entry: &Entry) -> Self {
        let (words, _) = entry.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or_default();
        let first = next();
        let namespace = next();
        // Reserved, and the metadata pointer.
        let _ = [next(), next(), next(), next()];
        let mut wide = || u64::from(next()) | u64::from(next()) << 32;
        let prp = [wide(), wide()];
        let [opcode, flags, id @ ..] = first.to_le_bytes();
        Self {
            opcode,
            flags,
            id: u16::from_le_bytes(id),
            namespace,
            prp,
            dwords: std::array::from_fn(|_| next()),
        }
    }

    /// Whether it is a command by itself with PRPs, of which there are no others here.
    pub(super) fn is_plain(&self) -> bool {
        const FUSE: u8 = 0x03;
        const PSDT: u8 = 0xc0;
        self.flags & (FUSE | PSDT) == 0
    }

    /// Command dword `N`, 10 to 15.
    pub(super) fn dword<const N: usize>(&self) -> u32 {
        const { assert!(N >= 10 && N < 16, "a command has no such dword of its own") };
        let [d10, d11, d12, d13, d14, d15] = self.dwords;
        match N {
            10 => d10,
            11 => d11,
            12 => d12,
            13 => d13,
            14 => d14,
            _ => d15,
        }
    }

    /// The halves of a dword, the lower first.
    pub(super) fn halves<const N: usize>(&self) -> (u16, u16) {
        let value = self.dword::<N>();
        (value as u16, (value >> 16) as u16)
    }

    /// First block (dwords 10 and 11) and number of blocks (dword 12, which counts from 0).
    pub(super) fn blocks(&self) -> (u64, u64) {
        let first = u64::from(self.dword::<10>()) | u64::from(self.dword::<11>()) << 32;
        (first, u64::from(self.dword::<12>() as u16) + 1)
    }
}
