//! Saved state of the flash: its contents, as far as they are not erased, and where it is
//! in a sequence of commands.

use super::spec::{BUFFER, Status};
use super::{Next, Pflash, Reads};
use isoform_core::{RestoreError, Saved};
use isoform_memory::PAGE;
use serde::{Deserialize, Serialize};

/// The guest-visible state of a [`Pflash`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlashState {
    pub(super) reads: Reads,
    pub(super) next: Next,
    pub(super) status: u8,
    pub(super) locked: Vec<bool>,
    /// Empty where no buffered write is under way.
    pub(super) buffer: Vec<u8>,
    /// Pages that are not erased, by number, ascending.
    pub(super) pages: Vec<(u32, Vec<u8>)>,
}

/// Why a state is none of this flash.
fn mismatch(reason: &str) -> RestoreError {
    RestoreError::Mismatch {
        name: Pflash::NAME,
        reason: reason.into(),
    }
}

impl FlashState {
    /// Whether the state fits a flash of `size` bytes.
    fn check(&self, size: u64, blocks: usize) -> Result<(), RestoreError> {
        let pages = &self.pages;
        let ascending = pages.is_sorted_by(|a, b| a.0 < b.0);
        let inside = pages.iter().all(|(n, _)| u64::from(*n) < size / PAGE);
        let whole = pages.iter().all(|(_, b)| b.len() as u64 == PAGE);
        if !ascending || !inside || !whole {
            return Err(mismatch("its contents have another size"));
        }
        if self.locked.len() != blocks {
            return Err(mismatch("it has another number of blocks"));
        }
        let needed = match self.next {
            Next::Data { .. } | Next::Buffer { .. } => BUFFER,
            _ => 0,
        };
        if self.buffer.len() != needed {
            return Err(mismatch("its write buffer has another size"));
        }
        let misplaced = |at: u64| at >= size || !at.is_multiple_of(BUFFER as u64);
        let bad = match self.next {
            Next::Command | Next::Word | Next::Erase | Next::Lock => false,
            Next::Count { block } => misplaced(block),
            Next::Data { block, left, part } => {
                let most = (BUFFER as u64 / super::BANK_WIDTH) as u16;
                misplaced(block) || part.is_some_and(misplaced) || left == 0 || left > most
            }
            Next::Buffer { part } => misplaced(part),
        };
        if bad {
            return Err(mismatch("a write is under way where there is no flash"));
        }
        Ok(())
    }
}

impl Pflash {
    fn page(&self, gpa: u64) -> Vec<u8> {
        let mut bytes = vec![0xff; PAGE as usize];
        // A page of the contents is always readable.
        let _ = self.rom.read(gpa, &mut bytes);
        bytes
    }
}

impl Saved for Pflash {
    type State = FlashState;
    const NAME: &'static str = "pflash";
    const VERSION: u16 = 1;

    fn state(&self) -> FlashState {
        let Self {
            block: _,
            read_only: _,
            rom,
            port: _,
            reads,
            next,
            status,
            locked,
            buffer,
        } = self;
        let buffered = matches!(next, Next::Data { .. } | Next::Buffer { .. });
        let pages = rom.used_pages().map(|gpa| {
            let number = (gpa - rom.base()) / PAGE;
            (number as u32, self.page(gpa))
        });
        FlashState {
            reads: *reads,
            next: *next,
            status: status.bits(),
            locked: locked.clone(),
            buffer: if buffered {
                buffer.to_vec()
            } else {
                Vec::new()
            },
            pages: pages
                .filter(|(_, bytes)| bytes.iter().any(|b| *b != 0xff))
                .collect(),
        }
    }

    fn set_state(&mut self, state: FlashState) -> Result<(), RestoreError> {
        state.check(self.rom.size(), self.locked.len())?;
        let FlashState {
            reads,
            next,
            status,
            locked,
            buffer,
            pages,
        } = state;
        // What the file behind the port holds follows the contents, also here.
        let used: Vec<u64> = self.rom.used_pages().collect();
        for gpa in used {
            let offset = gpa - self.rom.base();
            let number = (offset / PAGE) as u32;
            if pages.binary_search_by_key(&number, |p| p.0).is_err() {
                self.put(offset, &[0xff; PAGE as usize]);
            }
        }
        for (number, bytes) in &pages {
            self.put(u64::from(*number) * PAGE, bytes);
        }
        self.reads = reads;
        self.next = next;
        self.status = Status::from_bits_truncate(status) | Status::READY;
        self.locked = locked;
        self.buffer
            .iter_mut()
            .zip(&buffer)
            .for_each(|(place, byte)| *place = *byte);
        self.sync();
        Ok(())
    }
}
