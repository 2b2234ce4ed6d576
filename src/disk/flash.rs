//! The file behind a flash bank, and the thread that writes it.
//!
//! A file may be shorter than its bank: the rest is erased flash. It grows when the guest
//! first writes there, so that nothing is lost.
//!
//! What the guest changes is in the file soon after (the thread writes at once what it
//! hears of), and all of it is once the machine has ended.

use super::DiskError;
use super::image::open_locked;
use crate::config::firmware::{FLASH_BANK, PflashSpec};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What erased flash reads.
const ERASED: u8 = 0xff;

/// An open file.
#[derive(Debug)]
pub struct FlashFile {
    file: File,
    length: u64,
    read_only: bool,
    keeps: bool,
}

impl FlashFile {
    /// Opens and locks it: many may read it, or one may write it.
    pub fn open(spec: &PflashSpec) -> Result<Self, DiskError> {
        let keeps = !spec.readonly && !spec.snapshot;
        let (file, length) = open_locked(&spec.file, keeps)?;
        if length > FLASH_BANK {
            return Err(DiskError::FlashSize {
                path: spec.file.clone(),
                size: length,
            });
        }
        Ok(Self {
            file,
            length,
            read_only: spec.readonly,
            keeps,
        })
    }

    /// Whether the guest may not write.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Whether the file takes what the guest changes.
    pub fn keeps_changes(&self) -> bool {
        self.keeps
    }

    /// What it holds.
    pub fn contents(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Takes over a change; a file that is too short grows by erased flash.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if let Err(e) = self.try_write(offset, bytes) {
            log::warn!("flash: what the guest changed at {offset:#x} is lost: {e}");
        }
    }

    fn try_write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.length < offset {
            let gap = vec![ERASED; (offset - self.length) as usize];
            self.file.write_all_at(&gap, self.length)?;
        }
        self.file.write_all_at(bytes, offset)?;
        self.length = self.length.max(offset + bytes.len() as u64);
        Ok(())
    }
}

/// Bytes of the pieces in which changes wait.
const PIECE: usize = 4096;

/// A piece of the bank, with what of it changed.
struct Piece {
    bytes: [u8; PIECE],
    changed: [bool; PIECE],
}

/// What waits to be written: the last content of each byte and no more, so that a guest
/// that writes faster than the host cannot make it grow beyond the bank.
#[derive(Default)]
struct Waiting {
    pieces: BTreeMap<u64, Box<Piece>>,
    ended: bool,
}

impl Waiting {
    fn add(&mut self, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let piece = self.pieces.entry(at / PIECE as u64).or_insert_with(|| {
                Box::new(Piece {
                    bytes: [0; PIECE],
                    changed: [false; PIECE],
                })
            });
            let within = (at % PIECE as u64) as usize;
            (piece.bytes[within], piece.changed[within]) = (*byte, true);
        }
    }
}

impl Piece {
    /// Each run of changed bytes, with where it begins.
    fn runs(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut at = 0;
        self.changed.chunk_by(|a, b| a == b).filter_map(move |run| {
            let start = at;
            at += run.len();
            let changed = run.first() == Some(&true);
            changed.then(|| self.bytes.get(start..at).map(|bytes| (start, bytes)))?
        })
    }
}

/// Where changes go.
#[derive(Clone, Default)]
pub struct Changes(Arc<(Mutex<Waiting>, Condvar)>);

impl Changes {
    /// From `offset` on the bank now holds `bytes`. Never waits for the host's storage.
    pub fn add(&self, offset: u64, bytes: &[u8]) {
        self.with(|waiting| waiting.add(offset, bytes));
    }

    fn with(&self, change: impl FnOnce(&mut Waiting)) {
        let (waiting, told) = &*self.0;
        change(&mut waiting.lock().unwrap_or_else(PoisonError::into_inner));
        told.notify_one();
    }

    /// Waits for changes; `None` at the end.
    fn take(&self) -> Option<BTreeMap<u64, Box<Piece>>> {
        let (waiting, told) = &*self.0;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |w: &mut Waiting| w.pieces.is_empty() && !w.ended;
        let mut waiting = told
            .wait_while(waiting, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let pieces = std::mem::take(&mut waiting.pieces);
        (!pieces.is_empty()).then_some(pieces)
    }
}

/// A bank's thread. Dropped, it finishes what it was told.
pub struct FlashWorker {
    changes: Changes,
    thread: Option<JoinHandle<()>>,
}

impl FlashWorker {
    /// Writes to `file`.
    pub fn start(mut file: FlashFile) -> io::Result<Self> {
        let changes = Changes::default();
        let heard = changes.clone();
        let thread = std::thread::Builder::new()
            .name("flash".into())
            .spawn(move || {
                while let Some(pieces) = heard.take() {
                    for (number, piece) in pieces {
                        for (within, bytes) in piece.runs() {
                            file.write(number * PIECE as u64 + within as u64, bytes);
                        }
                    }
                }
                if let Err(e) = file.file.sync_data() {
                    log::warn!("flash: {e}");
                }
            })?;
        Ok(Self {
            changes,
            thread: Some(thread),
        })
    }

    /// Where changes go.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }
}

impl Drop for FlashWorker {
    fn drop(&mut self) {
        self.changes.with(|waiting| waiting.ended = true);
        // A thread that is gone has panicked, which has been reported.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn spec(file: &Path) -> PflashSpec {
        PflashSpec {
            file: file.to_owned(),
            readonly: false,
            snapshot: false,
        }
    }

    #[test]
    fn a_short_file_grows_by_erased_flash() {
        let f = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(f.path(), [1, 2]).expect("written");
        let file = FlashFile::open(&spec(f.path())).expect("flash");
        assert_eq!(file.contents().expect("read"), [1, 2]);
        let worker = FlashWorker::start(file).expect("a thread");
        for (offset, bytes) in [(5, vec![7]), (0, vec![9]), (3, vec![6, 8]), (3, vec![8])] {
            worker.changes().add(offset, &bytes);
        }
        drop(worker);
        let bytes = std::fs::read(f.path()).expect("read");
        assert_eq!(bytes, [9, 2, 0xff, 8, 8, 7]);
    }

    #[test]
    fn what_waits_is_bounded_by_what_there_is() {
        let mut waiting = Waiting::default();
        for n in 0..100_000u32 {
            waiting.add(4094, &n.to_le_bytes());
        }
        assert_eq!(waiting.pieces.len(), 2);
        let runs: Vec<_> = waiting.pieces.values().flat_map(|p| p.runs()).collect();
        let last = 99_999u32.to_le_bytes();
        assert_eq!(runs, [(4094, &last[..2]), (0, &last[2..])]);
    }

    #[test]
    fn a_writer_is_alone_and_large_files_are_refused() {
        let f = tempfile::NamedTempFile::new().expect("a temporary file");
        let writer = FlashFile::open(&spec(f.path())).expect("empty flash");
        let second = FlashFile::open(&spec(f.path()));
        assert!(matches!(second, Err(DiskError::InUse(_))));
        drop(writer);
        f.as_file().set_len(FLASH_BANK + 1).expect("sparse");
        let large = FlashFile::open(&spec(f.path()));
        assert!(matches!(large, Err(DiskError::FlashSize { .. })));
    }
}
