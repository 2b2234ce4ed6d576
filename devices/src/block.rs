//! The vocabulary of block devices: what they ask of whoever has the disk, and how they
//! hear of what came of it.
//!
//! A device makes [`BlockRequest`]s of what its driver asks for and passes them on to
//! its [`BlockPort`]; each is answered once, by [`BlockSlot::complete`]. What of it a
//! driver sees, and how, is the device's affair.

/// Bytes of a sector, the unit of addresses here, whatever a device's block size.
pub const SECTOR: u64 = 512;
/// Bytes of data of one request: as many as drivers mostly ask for at once, since each
/// costs the way to another thread and back.
pub const PIECE: u64 = 1 << 20;
/// Sectors of one range to discard: 1 GiB.
pub const DISCARD_MAX: u32 = 1 << 21;
/// Sectors of one range to make zeros: 64 MiB, which a host may have to write.
pub const ZEROES_MAX: u32 = 1 << 17;

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
