//! Parallel NOR flash: two chips of 16 bits side by side that take Intel's basic command
//! set, as the `virt` board of QEMU has it.
//!
//! The contents are a [`Rom`]: while nobody gives commands, harts read it without coming
//! here. Fetches always go there; real chips would give a status where code is wanted.
//!
//! Both chips get the same commands and do the same; the low byte of a write is the
//! command. Operations are over at once. Programming only clears bits, as in NOR flash.
//!
//! Changed contents are passed on through a [`FlashPort`], in the order of the changes;
//! what is not changed is not passed on. Reset keeps the contents.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use isoform_core::{BusFault, Device, RestoreError, Saved, Size};
use isoform_memory::Rom;
use serde::{Deserialize, Serialize};
use spec::{BANK_WIDTH, BUFFER, Status, command};

pub use saved::FlashState;

/// Hears of changed contents. Called with the device's lock held: passes them on and
/// returns.
pub trait FlashPort: Send {
    /// From `offset` on the flash now holds `bytes`.
    fn changed(&mut self, offset: u64, bytes: &[u8]);
}

/// A closure is a port.
impl<F: FnMut(u64, &[u8]) + Send> FlashPort for F {
    fn changed(&mut self, offset: u64, bytes: &[u8]) {
        self(offset, bytes);
    }
}

/// What reads give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reads {
    Array,
    Status,
    Identifier,
    Query,
}

/// What the next write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Next {
    /// A command.
    Command,
    /// Data to program.
    Word,
    /// The confirmation of an erase.
    Erase,
    /// Which lock operation.
    Lock,
    /// The number of words, less one, for a block.
    Count { block: u64 },
    /// One of `left` words for a block, in the part of it that begins at `part`.
    Data {
        block: u64,
        left: u16,
        part: Option<u64>,
    },
    /// The confirmation of a buffered write to the part at this offset.
    Buffer { part: u64 },
}

/// The flash. See the [module documentation](self).
pub struct Pflash {
    // --- configuration
    /// Bytes of a block of both chips, a power of two.
    block: u64,
    read_only: bool,

    // --- connections
    rom: Arc<Rom>,
    port: Option<Box<dyn FlashPort>>,

    // --- guest-visible state, beside the contents
    reads: Reads,
    next: Next,
    status: Status,
    /// By block.
    locked: Vec<bool>,
    /// What a buffered write collects.
    buffer: Box<[u8; BUFFER]>,
}

impl Pflash {
    /// Flash that holds `rom`, in blocks of `block` bytes: a power of two, of at least
    /// [`BUFFER`]. With `read_only` its write-protect pin is low. Without a port the
    /// contents end with the machine.
    pub fn new(
        rom: Arc<Rom>,
        block: u64,
        read_only: bool,
        port: Option<Box<dyn FlashPort>>,
    ) -> Self {
        let block = block.next_power_of_two().max(BUFFER as u64);
        Self {
            block,
            read_only,
            locked: vec![false; rom.size().div_ceil(block) as usize],
            rom,
            port,
            reads: Reads::Array,
            next: Next::Command,
            status: Status::READY,
            buffer: Box::new([0xff; BUFFER]),
        }
    }

    /// The contents answer harts themselves while they are what reads give.
    fn sync(&mut self) {
        self.rom.set_direct(self.reads == Reads::Array);
    }

    fn is_locked(&self, offset: u64) -> bool {
        let block = (offset / self.block) as usize;
        self.locked.get(block).copied().unwrap_or(false)
    }

    /// Whether a block cannot be changed; notes why.
    fn refuses(&mut self, offset: u64, error: Status) -> bool {
        let refused = self.read_only || self.is_locked(offset);
        if refused {
            self.status |= error | Status::LOCKED;
        }
        refused
    }

    /// Changes contents, where they differ.
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let gpa = self.rom.base() + offset;
        let mut old = vec![0; bytes.len()];
        let readable = self.rom.read(gpa, &mut old).is_some();
        if !readable || old == bytes || self.rom.write(gpa, bytes).is_none() {
            return;
        }
        if let Some(port) = &mut self.port {
            port.changed(offset, bytes);
        }
    }

    /// Clears the bits that `bytes` have clear.
    fn program(&mut self, offset: u64, bytes: &[u8]) {
        if self.refuses(offset, Status::PROGRAM_ERROR) {
            return;
        }
        let mut merged = vec![0xff; bytes.len()];
        if self
            .rom
            .read(self.rom.base() + offset, &mut merged)
            .is_some()
        {
            merged
                .iter_mut()
                .zip(bytes)
                .for_each(|(old, new)| *old &= new);
            self.put(offset, &merged);
        }
    }

    fn erase(&mut self, offset: u64) {
        if self.refuses(offset, Status::ERASE_ERROR) {
            return;
        }
        let start = offset & !(self.block - 1);
        let length = self.block.min(self.rom.size() - start.min(self.rom.size()));
        self.put(start, &vec![0xff; length as usize]);
    }

    /// A sequence of commands that there is not: it is forgotten, and the status says so.
    fn sequence_error(&mut self) {
        self.status |= Status::PROGRAM_ERROR | Status::ERASE_ERROR;
        self.next = Next::Command;
    }

    /// A write of at most four bytes, the width of both chips.
    fn write_bank(&mut self, offset: u64, size: Size, value: u64) {
        let command = value as u8;
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..size.bytes() as usize).unwrap_or(&bytes);
        match std::mem::replace(&mut self.next, Next::Command) {
            Next::Command => self.begin(offset, command),
            Next::Word => self.program(offset, bytes),
            Next::Erase if command == command::CONFIRM => self.erase(offset),
            Next::Lock => self.lock(offset, command),
            Next::Count { block } => self.count(block, value as u16),
            Next::Data { block, left, part } => self.collect(block, left, part, offset, bytes),
            Next::Buffer { part } if command == command::CONFIRM => {
                let buffer = *self.buffer;
                self.program(part, &buffer);
            }
            Next::Erase | Next::Buffer { .. } => self.sequence_error(),
        }
    }

    /// The first write of a sequence.
    fn begin(&mut self, offset: u64, command: u8) {
        let block = offset & !(self.block - 1);
        let (reads, next) = match command {
            command::PROGRAM | command::PROGRAM_ALTERNATE => (Reads::Status, Next::Word),
            command::ERASE => (Reads::Status, Next::Erase),
            command::LOCK_SETUP => (Reads::Status, Next::Lock),
            command::WRITE_BUFFER => (Reads::Status, Next::Count { block }),
            command::READ_STATUS | command::SUSPEND | command::CONFIRM => {
                (Reads::Status, Next::Command)
            }
            command::READ_ID => (Reads::Identifier, Next::Command),
            command::QUERY => (Reads::Query, Next::Command),
            command::CLEAR_STATUS => {
                self.status = Status::READY;
                (Reads::Array, Next::Command)
            }
            // Whatever is no command: also drivers that look for other chips write them.
            _ => (Reads::Array, Next::Command),
        };
        (self.reads, self.next) = (reads, next);
    }

    fn lock(&mut self, offset: u64, command: u8) {
        let to = match command {
            command::LOCK => true,
            command::CONFIRM => false,
            command::READ_ARRAY => {
                self.reads = Reads::Array;
                return;
            }
            _ => return self.sequence_error(),
        };
        if let Some(locked) = self.locked.get_mut((offset / self.block) as usize) {
            *locked = to;
        }
    }

    /// How many words follow, less one. More than the buffers hold are none.
    fn count(&mut self, block: u64, count: u16) {
        if u64::from(count) >= BUFFER as u64 / BANK_WIDTH {
            return self.sequence_error();
        }
        self.buffer.fill(0xff);
        self.next = Next::Data {
            block,
            left: count + 1,
            part: None,
        };
    }

    /// Takes a word into the buffers. All of them lie in the block that was named, and in
    /// the part of it that the first one lies in.
    fn collect(&mut self, block: u64, left: u16, part: Option<u64>, offset: u64, bytes: &[u8]) {
        let here = offset & !(BUFFER as u64 - 1);
        if offset & !(self.block - 1) != block || part.is_some_and(|part| part != here) {
            return self.sequence_error();
        }
        let room = self.buffer.iter_mut().skip((offset - here) as usize);
        room.zip(bytes).for_each(|(place, byte)| *place = *byte);
        self.next = match left.checked_sub(1) {
            Some(left @ 1..) => Next::Data {
                block,
                left,
                part: Some(here),
            },
            _ => Next::Buffer { part: here },
        };
    }

    /// What both chips answer at an offset, other than contents.
    fn answer(&self, offset: u64) -> u32 {
        let word = offset / BANK_WIDTH;
        let chip = match self.reads {
            Reads::Array | Reads::Status => u16::from(self.status.bits()),
            Reads::Identifier => match word & 0xff {
                0 => spec::MANUFACTURER,
                1 => spec::CHIP,
                2 => self.is_locked(offset).into(),
                _ => 0,
            },
            Reads::Query if word < spec::QUERY_WORDS => {
                spec::query(word, self.rom.size() / 2, self.block / 2).into()
            }
            Reads::Query => 0,
        };
        u32::from(chip) << 16 | u32::from(chip)
    }
}

impl Device for Pflash {
    fn name(&self) -> &'static str {
        "pflash"
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        if self.reads == Reads::Array {
            let content = self.rom.content(self.rom.base() + offset, size);
            return content.ok_or(BusFault);
        }
        let low = u64::from(self.answer(offset));
        let high = u64::from(self.answer(offset | BANK_WIDTH));
        let words = high << 32 | low;
        Ok(size.truncate(words >> (offset % BANK_WIDTH * 8)))
    }

    /// Eight bytes are two writes, since the chips have four.
    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        if size == Size::B8 {
            self.write_bank(offset, Size::B4, value & 0xffff_ffff);
            self.write_bank(offset + BANK_WIDTH, Size::B4, value >> 32);
        } else {
            self.write_bank(offset, size, value);
        }
        self.sync();
        Ok(())
    }

    fn reset(&mut self) {
        self.reads = Reads::Array;
        self.next = Next::Command;
        self.status = Status::READY;
        self.locked.fill(false);
        self.buffer.fill(0xff);
        self.sync();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}
