//! Block device. It knows requests and sectors; what they are read from and written
//! to lies behind a [`BlockPort`].
//!
//! A request is passed on in pieces of 1 MiB ([`PIECE`]), one piece at a time. At most 64
//! requests are in flight, and no more are taken while they have pieces of 16 MiB, so
//! that a guest cannot make the host hold more than that. Nor can it by a reset: that
//! forgets requests, but whoever has the disk still has them, and until they are answered
//! they count.
//!
//! Requests in flight are part of the saved state: their unfinished piece is passed on
//! again, with data read anew from guest memory, which a driver does not touch
//! meanwhile.
//!
//! Ordering between requests in flight is the driver's affair, as on any disk. All queues
//! are served through one port, whose flush covers what was completed on any of them.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::chain::Chain;
use super::{NeedsReset, Queues, Transport, VirtioDevice};
use crate::block::{
    BlockOp, BlockPort, BlockRequest, BlockSlot, DISCARD_MAX, DiskConfig, IN_FLIGHT_MAX, IoError,
    Outbox, PHYSICAL_BLOCK, PIECE, SECTOR, ZEROES_MAX,
};
use spec::{Features, HEADER_BYTES, ID_BYTES, RANGE_BYTES, RANGE_UNMAP, RequestStatus, kind};

pub use saved::{BlkState, RequestState};

/// Queues at most.
pub const QUEUES_MAX: u16 = 32;
/// Entries of a queue: enough for a MiB of scattered pages in one request.
const QUEUE_SIZE: u16 = 512;

/// What the guest is told about the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlkConfig {
    /// The disk.
    pub disk: DiskConfig,
    /// Preferred unit of requests in bytes; a power of two from 512 up.
    pub block_size: u32,
    /// Queues for requests, from 1 to [`QUEUES_MAX`]: one for each hart lets them ask
    /// side by side.
    pub queues: u16,
}

/// The block device. See the [module documentation](self).
pub struct Blk {
    // --- fixed configuration
    config: BlkConfig,

    // --- connections
    outbox: Outbox,

    // --- guest-visible state
    in_flight: BTreeMap<u64, Request>,
    /// The queue that a request is taken from next, if it has one: they take turns.
    turn: u16,
}

/// A request in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    /// The queue that it came from.
    queue: u16,
    work: Work,
    chain: Chain,
    /// Bytes of data finished.
    done: u64,
    /// Passed on; `false` only after a restore, until there is room.
    submitted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Read {
        sector: u64,
    },
    Write {
        sector: u64,
        through: bool,
    },
    Flush,
    Discard {
        sector: u64,
        sectors: u64,
    },
    WriteZeroes {
        sector: u64,
        sectors: u64,
        unmap: bool,
        through: bool,
    },
}

impl Work {
    /// Whether data is moved, piece by piece. What moves none is one piece.
    fn moves_data(self) -> bool {
        matches!(self, Work::Read { .. } | Work::Write { .. })
    }
}

impl Request {
    /// Bytes of data to be moved in all.
    fn total(&self) -> u64 {
        match self.work {
            // The last writable byte is the status.
            Work::Read { .. } => self.chain.writable.len().saturating_sub(1),
            Work::Write { .. } => self.chain.readable.len().saturating_sub(HEADER_BYTES),
            Work::Flush | Work::Discard { .. } | Work::WriteZeroes { .. } => 0,
        }
    }

    /// Bytes of the piece in flight.
    fn piece(&self) -> u64 {
        self.total().saturating_sub(self.done).min(PIECE)
    }

    /// Gives it back, with the data that it has written to guest memory.
    fn finish(&self, queues: &mut Queues<'_>, status: RequestStatus) -> Result<(), NeedsReset> {
        let written = match self.work {
            Work::Read { .. } => self.done,
            _ => 0,
        };
        finish(queues, self.queue, &self.chain, status, written)
    }
}

impl Blk {
    /// A disk as `config` says, its work passed on to `port`.
    pub fn new(config: BlkConfig, port: Box<dyn BlockPort>) -> Self {
        Self {
            config: BlkConfig {
                queues: config.queues.clamp(1, QUEUES_MAX),
                ..config
            },
            outbox: Outbox::new(port),
            in_flight: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Requests not completed yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes requests from the queues in turn while there is room.
    fn take(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        while self.outbox.has_room() && self.in_flight.len() < IN_FLIGHT_MAX {
            let Some((queue, chain)) = self.next_chain(queues)? else {
                break;
            };
            match self.classify(&chain, queues)? {
                Ok(work) => {
                    let request = Request {
                        queue,
                        work,
                        chain,
                        done: 0,
                        submitted: false,
                    };
                    self.advance(request, queues)?;
                }
                Err((status, written)) => finish(queues, queue, &chain, status, written)?,
            }
        }
        Ok(())
    }

    /// The next chain, and its queue.
    fn next_chain(&mut self, queues: &mut Queues<'_>) -> Result<Option<(u16, Chain)>, NeedsReset> {
        let count = self.config.queues;
        for queue in (self.turn..count).chain(0..self.turn.min(count)) {
            if let Some(chain) = queues.pop(queue)? {
                self.turn = queue + 1;
                return Ok(Some((queue, chain)));
            }
        }
        Ok(None)
    }

    /// Reads a request's header. The inner error is a request that ends at once, with
    /// its status and the bytes of data written.
    fn classify(
        &self,
        chain: &Chain,
        queues: &Queues<'_>,
    ) -> Result<Result<Work, (RequestStatus, u64)>, NeedsReset> {
        let mut header = [0; HEADER_BYTES as usize];
        chain.readable.read(queues.ram(), 0, &mut header)?;
        let [_, _, _, _, _, _, _, _, sector @ ..] = header;
        let sector = u64::from_le_bytes(sector);
        let data_in = chain.writable.len().checked_sub(1).ok_or(NeedsReset)?;
        let data_out = chain.readable.len() - HEADER_BYTES;
        let failed = Err((RequestStatus::IoErr, 0));
        Ok(match kind_of(header) {
            kind::IN if self.fits(sector, data_in) => Ok(Work::Read { sector }),
            kind::OUT if self.fits(sector, data_out) && !self.config.disk.read_only => {
                Ok(Work::Write {
                    sector,
                    through: !queues.has(Features::FLUSH.bits()),
                })
            }
            kind::IN | kind::OUT => failed,
            kind::FLUSH => Ok(Work::Flush),
            kind::DISCARD | kind::WRITE_ZEROES
                if queues.has(self.range_feature(kind_of(header)).bits()) =>
            {
                self.range(kind_of(header), chain, queues)?
            }
            kind::GET_ID => {
                let id = self.identifier();
                let len = data_in.min(ID_BYTES as u64);
                let (id, _) = id.split_at(len as usize);
                chain.writable.write(queues.ram(), 0, id)?;
                Err((RequestStatus::Ok, len))
            }
            _ => Err((RequestStatus::Unsupp, 0)),
        })
    }

    /// The feature that a kind of request with a range comes with.
    fn range_feature(&self, kind: u32) -> Features {
        match kind {
            kind::DISCARD => Features::DISCARD,
            _ => Features::WRITE_ZEROES,
        }
    }

    /// Reads the one range of a discard or of zeros to write (5.2.6.2). Flags that it
    /// must not have are not supported; a range that is not of the disk, is too long or
    /// not the only one fails. An empty one is done at once.
    fn range(
        &self,
        kind: u32,
        chain: &Chain,
        queues: &Queues<'_>,
    ) -> Result<Result<Work, (RequestStatus, u64)>, NeedsReset> {
        let failed = Ok(Err((RequestStatus::IoErr, 0)));
        if chain.readable.len() != HEADER_BYTES + RANGE_BYTES || self.config.disk.read_only {
            return failed;
        }
        let mut range = [0; RANGE_BYTES as usize];
        chain
            .readable
            .read(queues.ram(), HEADER_BYTES, &mut range)?;
        let [sector @ .., n0, n1, n2, n3, f0, f1, f2, f3] = range;
        let sector = u64::from_le_bytes(sector);
        let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
        let flags = u32::from_le_bytes([f0, f1, f2, f3]);
        let (known, most) = match kind {
            kind::DISCARD => (0, DISCARD_MAX),
            _ => (RANGE_UNMAP, ZEROES_MAX),
        };
        if flags & !known != 0 {
            return Ok(Err((RequestStatus::Unsupp, 0)));
        }
        let count = u64::from(sectors);
        if sectors > most || !self.fits(sector, count * SECTOR) {
            return failed;
        }
        if sectors == 0 {
            return Ok(Err((RequestStatus::Ok, 0)));
        }
        Ok(Ok(match kind {
            kind::DISCARD => Work::Discard {
                sector,
                sectors: count,
            },
            _ => Work::WriteZeroes {
                sector,
                sectors: count,
                unmap: flags & RANGE_UNMAP != 0,
                through: !queues.has(Features::FLUSH.bits()),
            },
        }))
    }

    /// Whether `bytes` from `sector` on are whole sectors of the disk.
    fn fits(&self, sector: u64, bytes: u64) -> bool {
        bytes.is_multiple_of(SECTOR)
            && sector
                .checked_add(bytes / SECTOR)
                .is_some_and(|end| end <= self.config.disk.capacity)
    }

    /// The serial number, cut or padded with zeros.
    fn identifier(&self) -> [u8; ID_BYTES] {
        let mut id = [0; ID_BYTES];
        for (to, from) in id.iter_mut().zip(self.config.disk.serial.bytes()) {
            *to = from;
        }
        id
    }

    /// Passes the next piece of a request on, or finishes it.
    fn advance(&mut self, mut request: Request, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        let piece = request.piece();
        if piece == 0 && request.work.moves_data() {
            return request.finish(queues, RequestStatus::Ok);
        }
        let at = request.done / SECTOR;
        let op = match request.work {
            Work::Read { sector } => BlockOp::Read {
                sector: sector + at,
                len: piece as usize,
            },
            Work::Write { sector, through } => {
                let mut data = self.outbox.buffer(piece);
                let from = HEADER_BYTES + request.done;
                request.chain.readable.read(queues.ram(), from, &mut data)?;
                BlockOp::Write {
                    sector: sector + at,
                    data,
                    through,
                }
            }
            Work::Flush => BlockOp::Flush,
            Work::Discard { sector, sectors } => BlockOp::Discard { sector, sectors },
            Work::WriteZeroes {
                sector,
                sectors,
                unmap,
                through,
            } => BlockOp::WriteZeroes {
                sector,
                sectors,
                unmap,
                through,
            },
        };
        let id = self.outbox.id();
        request.submitted = true;
        self.in_flight.insert(id, request);
        self.outbox.pass_on(BlockRequest { id, op }, piece);
        Ok(())
    }

    /// One piece is done, or failed; or it is nobody's any more.
    fn complete(
        &mut self,
        queues: &mut Queues<'_>,
        id: u64,
        result: Result<Vec<u8>, IoError>,
    ) -> Result<(), NeedsReset> {
        if !self.outbox.answered(id) {
            return Ok(());
        }
        let request = self.in_flight.remove(&id);
        if !queues.is_live() {
            return Ok(());
        }
        if let Some(request) = request {
            self.finish_piece(request, queues, result)?;
        }
        self.refill(queues)
    }

    /// Goes on with a request whose piece was answered.
    fn finish_piece(
        &mut self,
        mut request: Request,
        queues: &mut Queues<'_>,
        result: Result<Vec<u8>, IoError>,
    ) -> Result<(), NeedsReset> {
        let piece = request.piece();
        let data = match (request.work, result) {
            (Work::Read { .. }, Ok(data)) if data.len() as u64 == piece => data,
            (work, Ok(_)) if !matches!(work, Work::Read { .. }) => Vec::new(),
            _ => return request.finish(queues, RequestStatus::IoErr),
        };
        let chain = &request.chain;
        chain.writable.write(queues.ram(), request.done, &data)?;
        self.outbox.give_back(data);
        request.done += piece;
        match request.work {
            work if work.moves_data() => self.advance(request, queues),
            _ => request.finish(queues, RequestStatus::Ok),
        }
    }

    /// Passes on what there is room for: first what a restore brought back.
    fn refill(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        while self.outbox.has_room() {
            let mut idle = self.in_flight.extract_if(.., |_, r| !r.submitted);
            let Some((_, request)) = idle.next() else {
                break;
            };
            drop(idle);
            self.advance(request, queues)?;
        }
        self.take(queues)
    }
}

/// The kind in a request's header.
fn kind_of(header: [u8; HEADER_BYTES as usize]) -> u32 {
    let [k0, k1, k2, k3, ..] = header;
    u32::from_le_bytes([k0, k1, k2, k3])
}

/// Writes a request's status and gives it back. `written` bytes of data precede it; if
/// they do not reach up to the status, only they count as written (2.7.8.2).
fn finish(
    queues: &mut Queues<'_>,
    queue: u16,
    chain: &Chain,
    status: RequestStatus,
    written: u64,
) -> Result<(), NeedsReset> {
    let last = chain.writable.len().checked_sub(1).ok_or(NeedsReset)?;
    chain.writable.write(queues.ram(), last, &[status as u8])?;
    let len = if written == last { last + 1 } else { written };
    queues.push(queue, chain.head, len as u32)
}

impl<T: Transport<Inner = Blk>> BlockSlot for T {
    fn complete(&mut self, id: u64, result: Result<Vec<u8>, IoError>) {
        self.with(|device, queues| device.complete(queues, id, result));
    }
}

impl VirtioDevice for Blk {
    const NAME: &'static str = "virtio-blk";
    const ID: u32 = super::spec::id::BLOCK;
    type State = BlkState;
    const VERSION: u8 = 2;

    fn features(&self) -> u64 {
        let mut features =
            Features::SEG_MAX | Features::BLK_SIZE | Features::FLUSH | Features::TOPOLOGY;
        let writable = !self.config.disk.read_only;
        features.set(Features::RO, !writable);
        features.set(Features::WRITE_ZEROES, writable);
        features.set(Features::DISCARD, writable && self.config.disk.discard);
        features.set(Features::MQ, self.config.queues > 1);
        features.bits()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; self.config.queues.into()]
    }

    /// `struct virtio_blk_config` (5.2.4).
    fn config(&self) -> Vec<u8> {
        let mut config = Vec::with_capacity(spec::CONFIG_BYTES);
        config.extend(self.config.disk.capacity.to_le_bytes());
        // size_max: not offered.
        config.extend(0u32.to_le_bytes());
        // seg_max: header and status take a descriptor each.
        config.extend(u32::from(QUEUE_SIZE - 2).to_le_bytes());
        // geometry: not offered.
        config.extend([0; 4]);
        let block = self.config.block_size;
        config.extend(block.to_le_bytes());
        // topology: what real disks write at once, no offset, and sizes in blocks.
        let physical = PHYSICAL_BLOCK.max(block);
        config.push((physical / block.max(1)).trailing_zeros() as u8);
        config.push(0);
        config.extend(((physical / block.max(1)) as u16).to_le_bytes());
        let preferred = self.config.disk.preferred / u64::from(block.max(1));
        config.extend((preferred as u32).to_le_bytes());
        // writeback: not offered; and a byte that is unused.
        config.extend([0; 2]);
        config.extend(self.config.queues.to_le_bytes());
        // Discards and zeros: sectors and ranges at most.
        let unit = self.config.disk.preferred.max(physical.into()) / SECTOR;
        for field in [DISCARD_MAX, 1, unit as u32, ZEROES_MAX, 1] {
            config.extend(field.to_le_bytes());
        }
        config.extend([u8::from(self.config.disk.discard), 0, 0, 0]);
        config
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        if queue >= self.config.queues || !queues.is_live() {
            return Ok(());
        }
        self.refill(queues)
    }

    fn queue_stopped(&mut self, queue: u16) {
        self.in_flight.retain(|_, request| request.queue != queue);
    }

    fn reset(&mut self) {
        self.in_flight.clear();
        self.turn = 0;
    }

    fn state(&self) -> BlkState {
        self.saved()
    }

    fn set_state(&mut self, state: BlkState, ram: &Ram) -> Result<(), RestoreError> {
        self.restore(state, ram)
    }
}
