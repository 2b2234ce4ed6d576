//! Buffers that the driver offered: one descriptor chain, checked and flattened.

use isoform_memory::{Dma, Ram};
use serde::{Deserialize, Serialize};
use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions};

use super::NeedsReset;

/// Descriptors a chain may have. A driver must not make one longer than its queue
/// (2.7.5.3.1); drivers that do so by indirect tables are let go this far.
pub const CHAIN_MAX: usize = 1024;

/// A run of guest-physical bytes in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    addr: u64,
    len: u32,
}

/// Bytes scattered over RAM, in order. Less than 4 GiB, all of them in RAM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segments(Vec<Segment>);

/// The buffers of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// What names the chain when it is given back.
    pub head: u16,
    /// Bytes for the device to read.
    pub readable: Segments,
    /// Bytes for the device to write.
    pub writable: Segments,
}

impl Chain {
    /// Walks the chain. One that loops, is cut short, leaves RAM, or has readable
    /// buffers after writable ones (2.7.4.2) is not a chain.
    pub(super) fn collect(dma: &Dma, chain: DescriptorChain<&Dma>) -> Result<Self, NeedsReset> {
        let head = chain.head_index();
        let mut this = Self {
            head,
            readable: Segments::default(),
            writable: Segments::default(),
        };
        let mut whole = false;
        for (count, descriptor) in chain.enumerate() {
            let (list, access) = match descriptor.is_write_only() {
                true => (&mut this.writable, Permissions::Write),
                false if this.writable.0.is_empty() => (&mut this.readable, Permissions::Read),
                false => return Err(NeedsReset),
            };
            let (addr, len) = (descriptor.addr(), descriptor.len());
            if count >= CHAIN_MAX || !dma.check_range(addr, len as usize, access) {
                return Err(NeedsReset);
            }
            list.0.push(Segment { addr: addr.0, len });
            // The iterator ends early where the chain is broken: then the last
            // descriptor it gave names another.
            whole = !descriptor.has_next();
        }
        if whole { Ok(this) } else { Err(NeedsReset) }
    }

    /// Whether all of it lies in RAM, for chains that come from a saved state.
    pub fn is_valid(&self, ram: &Ram) -> bool {
        let check = |list: &Segments, access| {
            list.0.len() <= CHAIN_MAX
                && list.len() <= u64::from(u32::MAX)
                && list.0.iter().all(|s| {
                    ram.dma()
                        .check_range(GuestAddress(s.addr), s.len as usize, access)
                })
        };
        check(&self.readable, Permissions::Read) && check(&self.writable, Permissions::Write)
    }
}

impl Segments {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|s| u64::from(s.len)).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The runs as the driver gave them: guest-physical address and bytes.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|s| (s.addr, u64::from(s.len)))
    }

    /// Copies bytes out of guest memory, `offset` from the start; all or an error.
    pub fn read(&self, ram: &Ram, offset: u64, bytes: &mut [u8]) -> Result<(), NeedsReset> {
        let mut rest = bytes;
        for (addr, len) in self.runs(offset, rest.len()) {
            let (now, later) = rest.split_at_mut_checked(len).ok_or(NeedsReset)?;
            ram.dma().read_slice(now, addr).map_err(|_| NeedsReset)?;
            rest = later;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(NeedsReset)
        }
    }

    /// Copies bytes into guest memory, `offset` from the start; all or an error.
    pub fn write(&self, ram: &Ram, offset: u64, bytes: &[u8]) -> Result<(), NeedsReset> {
        let mut rest = bytes;
        for (addr, len) in self.runs(offset, rest.len()) {
            let (now, later) = rest.split_at_checked(len).ok_or(NeedsReset)?;
            ram.dma().write_slice(now, addr).map_err(|_| NeedsReset)?;
            rest = later;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(NeedsReset)
        }
    }

    /// Where `count` bytes from `offset` on lie.
    fn runs(&self, offset: u64, count: usize) -> impl Iterator<Item = (GuestAddress, usize)> {
        let (mut skip, mut left) = (offset, count as u64);
        self.0.iter().filter_map(move |segment| {
            let len = u64::from(segment.len);
            let skipped = skip.min(len);
            skip -= skipped;
            let taken = left.min(len - skipped);
            left -= taken;
            (taken > 0).then(|| (GuestAddress(segment.addr + skipped), taken as usize))
        })
    }
}
