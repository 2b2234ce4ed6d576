//! Where a command's data is in guest memory (4.3): PRP entries and lists, checked and
//! flattened.
//!
//! A transfer has at most as many pages as MDTS says and one more, and a list that leads
//! to another does so at the end of its page, so that what is walked is bounded.

use isoform_core::Size;
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions};

use super::command::Refused;
use super::spec::{PAGE, TRANSFER_MAX, status};

/// Bytes of an entry.
const ENTRY_BYTES: u64 = 8;
/// Pages that the largest transfer touches.
const PIECES_MAX: usize = (TRANSFER_MAX / PAGE) as usize + 1;

/// A run of bytes in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    addr: u64,
    len: u32,
}

/// Bytes scattered over RAM, in order: at most [`TRANSFER_MAX`], all of them in RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Buffer(Vec<Piece>);

impl Buffer {
    /// What the PRP entries of a command name, of a transfer of `len` bytes.
    pub(super) fn walk(ram: &Ram, prp: [u64; 2], len: u64) -> Result<Self, Refused> {
        let [first, second] = prp;
        if len > TRANSFER_MAX {
            return Err(status::INVALID_FIELD);
        }
        // Dwords are the unit of addresses.
        if !first.is_multiple_of(4) {
            return Err(status::INVALID_PRP_OFFSET);
        }
        let mut this = Self(Vec::new());
        let now = len.min(PAGE - first % PAGE);
        this.add(ram, first, now)?;
        match len - now {
            0 => {}
            rest if rest <= PAGE => this.add_page(ram, second, rest)?,
            rest => this.walk_list(ram, second, rest)?,
        }
        Ok(this)
    }

    /// Adds the pages of a list, of `rest` bytes.
    fn walk_list(&mut self, ram: &Ram, list: u64, mut rest: u64) -> Result<(), Refused> {
        if !list.is_multiple_of(ENTRY_BYTES) {
            return Err(status::INVALID_PRP_OFFSET);
        }
        let mut at = list;
        while rest > 0 {
            let entry = ram.load(at, Size::B8).ok_or(status::DATA_TRANSFER_ERROR)?;
            at += ENTRY_BYTES;
            // The last entry of a page leads to the next list, where it is not the last
            // of all.
            if at.is_multiple_of(PAGE) && rest > PAGE {
                if !entry.is_multiple_of(PAGE) {
                    return Err(status::INVALID_PRP_OFFSET);
                }
                at = entry;
                continue;
            }
            let now = rest.min(PAGE);
            self.add_page(ram, entry, now)?;
            rest -= now;
        }
        Ok(())
    }

    /// Adds bytes from the start of a page.
    fn add_page(&mut self, ram: &Ram, addr: u64, len: u64) -> Result<(), Refused> {
        match addr.is_multiple_of(PAGE) {
            true => self.add(ram, addr, len),
            false => Err(status::INVALID_PRP_OFFSET),
        }
    }

    /// Adds bytes, to the last piece where they follow it.
    fn add(&mut self, ram: &Ram, addr: u64, len: u64) -> Result<(), Refused> {
        if !in_ram(ram, addr, len) {
            return Err(status::DATA_TRANSFER_ERROR);
        }
        match self.0.last_mut() {
            Some(last) if last.addr + u64::from(last.len) == addr => last.len += len as u32,
            _ => self.0.push(Piece {
                addr,
                len: len as u32,
            }),
        }
        Ok(())
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|piece| u64::from(piece.len)).sum()
    }

    /// Whether there is no byte.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies all of it out of guest memory, to as many bytes.
    pub(super) fn read(&self, ram: &Ram, bytes: &mut [u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        for piece in &self.0 {
            let (now, later) = rest
                .split_at_mut_checked(piece.len as usize)
                .ok_or(status::DATA_TRANSFER_ERROR)?;
            ram.dma()
                .read_slice(now, GuestAddress(piece.addr))
                .map_err(|_| status::DATA_TRANSFER_ERROR)?;
            rest = later;
        }
        Ok(())
    }

    /// Copies bytes into guest memory, as many as there is room for.
    pub(super) fn write(&self, ram: &Ram, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        for piece in &self.0 {
            let (now, later) = rest.split_at(rest.len().min(piece.len as usize));
            ram.dma()
                .write_slice(now, GuestAddress(piece.addr))
                .map_err(|_| status::DATA_TRANSFER_ERROR)?;
            rest = later;
        }
        Ok(())
    }

    /// Whether it could have come from a command, for those that come from a saved state.
    pub(super) fn is_valid(&self, ram: &Ram) -> bool {
        self.0.len() <= PIECES_MAX
            && self.len() <= TRANSFER_MAX
            && self
                .0
                .iter()
                .all(|piece| in_ram(ram, piece.addr, piece.len.into()))
    }
}

/// Whether bytes lie wholly in RAM: registers, the controller's own included, are not
/// reached by DMA.
pub(super) fn in_ram(ram: &Ram, addr: u64, len: u64) -> bool {
    usize::try_from(len).is_ok_and(|len| {
        ram.dma()
            .check_range(GuestAddress(addr), len, Permissions::ReadWrite)
    })
}
