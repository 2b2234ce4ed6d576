//! The vocabulary of block devices: what they ask of whoever has the disk, and how they
//! hear of what came of it.
//!
//! A device makes [`BlockRequest`]s of what its driver asks for and passes them on to
//! its [`BlockPort`]; each is answered once, by [`BlockSlot::complete`]. What of it a
//! driver sees, and how, is the device's affair. Devices pass requests on by an `Outbox`, so
//! that what the host holds for a guest is bounded.

use std::collections::BTreeMap;

/// Bytes of a sector, the unit of addresses here, whatever a device's block size.
pub const SECTOR: u64 = 512;
/// Bytes of data of one request: as many as drivers mostly ask for at once, since each
/// costs the way to another thread and back.
pub const PIECE: u64 = 1 << 20;
/// Sectors of one range to discard: 1 GiB.
pub const DISCARD_MAX: u32 = 1 << 21;
/// Sectors of one range to make zeros: 64 MiB, which a host may have to write.
pub const ZEROES_MAX: u32 = 1 << 17;

/// What real disks write at once, in bytes.
pub const PHYSICAL_BLOCK: u32 = 4096;
/// Requests of a device in flight, and requests passed on that were not answered yet.
pub const IN_FLIGHT_MAX: usize = 64;
/// Bytes of requests passed on from which on no further one is.
pub const HELD_MAX: u64 = 16 << 20;

/// What the guest is told about a disk, whatever device shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// Size in sectors.
    pub capacity: u64,
    /// Writes fail.
    pub read_only: bool,
    /// The serial number; its first 20 bytes count.
    pub serial: String,
    /// Discards are offered, and zeros may give room back.
    pub discard: bool,
    /// The unit of writes that costs the disk least, in bytes; 0 if there is none.
    pub preferred: u64,
}

/// What is to be done to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockOp {
    /// Read.
    Read {
        /// First sector.
        sector: u64,
        /// Bytes: a positive multiple of 512, at most [`PIECE`].
        len: usize,
    },
    /// Write.
    Write {
        /// First sector.
        sector: u64,
        /// A positive multiple of 512 bytes, at most [`PIECE`].
        data: Vec<u8>,
        /// To be durable when completed: the driver knows of no cache (5.2.6.2).
        through: bool,
    },
    /// Make durable what was completed before, whatever queue asked for it.
    Flush,
    /// Give room back; what is read there then is zeros, or what was there before.
    Discard {
        /// First sector.
        sector: u64,
        /// Sectors: positive, at most [`DISCARD_MAX`].
        sectors: u64,
    },
    /// Make sectors zeros.
    WriteZeroes {
        /// First sector.
        sector: u64,
        /// Sectors: positive, at most [`ZEROES_MAX`].
        sectors: u64,
        /// Their room may be given back.
        unmap: bool,
        /// As for a write.
        through: bool,
    },
}

/// A piece of work for whoever has the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRequest {
    /// Names the request in its completion; never used twice by one device.
    pub id: u64,
    /// The work. It lies within the capacity, and is no write to a read-only disk.
    pub op: BlockOp,
}

/// The disk could not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError;

/// Passes requests on. Called with the device's lock held: it must not block or call
/// back. Each request is answered by one call of [`BlockSlot::complete`], later. That
/// goes for requests that the device has forgotten by then (it was reset), too: the
/// answer is ignored, but until it comes the request takes up room.
pub trait BlockPort: Send {
    /// Passes one request on.
    fn submit(&mut self, request: BlockRequest);

    /// A buffer of `len` bytes for what is to be written; what it holds already is
    /// nobody's.
    fn buffer(&mut self, len: usize) -> Vec<u8> {
        vec![0; len]
    }

    /// Takes the buffer of an answer, which the device needs no longer.
    fn give_back(&mut self, buffer: Vec<u8>) {
        drop(buffer);
    }
}

impl<F: FnMut(BlockRequest) + Send> BlockPort for F {
    fn submit(&mut self, request: BlockRequest) {
        self(request);
    }
}

/// What the run loop needs of a disk, whatever device it is.
pub trait BlockSlot: Send {
    /// The answer to request `id`: the bytes read, or nothing for a write and a flush.
    /// A read of another length than asked counts as failed.
    fn complete(&mut self, id: u64, result: Result<Vec<u8>, IoError>);
}

/// A device's way to its port. It remembers what was passed on and not answered, requests
/// that the device has forgotten since (it was reset) among them: whoever has the disk still
/// has those. Nothing of it is saved, as it is about this port; and no identifier is used
/// twice, so that a completion from before a restore can never be taken for one from after
/// it.
pub(crate) struct Outbox {
    port: Box<dyn BlockPort>,
    next_id: u64,
    /// With the bytes of each.
    unanswered: BTreeMap<u64, u64>,
}

impl Outbox {
    pub(crate) fn new(port: Box<dyn BlockPort>) -> Self {
        Self {
            port,
            next_id: 0,
            unanswered: BTreeMap::new(),
        }
    }

    /// Whether one more request may be passed on.
    pub(crate) fn has_room(&self) -> bool {
        let held: u64 = self.unanswered.values().sum();
        self.unanswered.len() < IN_FLIGHT_MAX && held < HELD_MAX
    }

    /// Whether everything was answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// An identifier for a request.
    pub(crate) fn id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Passes a request on that has so many bytes of data, which the host holds meanwhile.
    pub(crate) fn pass_on(&mut self, request: BlockRequest, bytes: u64) {
        self.unanswered.insert(request.id, bytes);
        self.port.submit(request);
    }

    /// A request was answered; whether it was one that waited for that.
    pub(crate) fn answered(&mut self, id: u64) -> bool {
        self.unanswered.remove(&id).is_some()
    }

    /// See [`BlockPort::buffer`].
    pub(crate) fn buffer(&mut self, len: u64) -> Vec<u8> {
        self.port.buffer(len as usize)
    }

    /// See [`BlockPort::give_back`].
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        self.port.give_back(buffer);
    }
}
