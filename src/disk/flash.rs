//! The file behind a flash bank, and the thread that writes it.
//!
//! A file may be shorter than its bank: the rest is erased flash. It grows when the guest
//! first writes there, so that nothing is lost.
//!
//! What the guest changes is in the file soon after (the thread writes at once what it
//! hears of), and all of it is once the machine has ended.

use crate::config::firmware::{FLASH_BANK, PflashSpec};
use isoform_disk::{Access, DiskError, LockedFile, open_locked};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What erased flash reads.
const ERASED: u8 = 0xff;

/// Why flash cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// Its file cannot.
    #[error(transparent)]
    File(#[from] DiskError),
    /// It is more than a bank holds.
    #[error("{} has {size} bytes, and a flash bank holds 32 MiB", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
}

/// An open file.
#[derive(Debug)]
pub struct FlashFile {
    file: LockedFile,
    length: u64,
    read_only: bool,
    keeps: bool,
    /// Something was lost, and told.
    told: bool,
}

impl Drop for FlashFile {
    fn drop(&mut self) {
        if self.keeps
            && let Err(e) = self.file.sync_data()
        {
            log::warn!("flash: {e}");
        }
    }
}

impl FlashFile {
    /// Opens and locks it: many may read it, or one may write it.
    pub fn open(spec: &PflashSpec) -> Result<Self, FlashError> {
        let keeps = !spec.readonly && !spec.snapshot;
        let access = match keeps {
            true => Access::Write,
            false => Access::Read,
        };
        let (file, length) = open_locked(&spec.file, access)?;
        if length > FLASH_BANK {
            return Err(FlashError::Size {
                path: spec.file.clone(),
                size: length,
            });
        }
        Ok(Self {
            file,
            length,
            read_only: spec.readonly,
            keeps,
            told: false,
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
        if let Err(e) = self.try_write(offset, bytes)
            && !std::mem::replace(&mut self.told, true)
        {
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

/// Bytes of changes that wait in the order in which they were made.
const IN_ORDER: usize = 4 << 20;
/// Bytes that a change takes besides its own, roughly.
const EACH: usize = 64;
/// Bytes of the pieces in which changes wait otherwise.
const PIECE: usize = 4096;

/// A change: where, and what is there now.
type Change = (u64, Vec<u8>);

/// A piece of the bank, with what of it changed.
struct Piece {
    bytes: [u8; PIECE],
    changed: [bool; PIECE],
}

/// What waits to be written. In order, since firmware relies on it; but where the host is
/// so slow that too much waits, the last content of each byte and no more, so that a
/// guest cannot make it grow beyond the bank.
#[derive(Default)]
struct Waiting {
    queue: Vec<Change>,
    queued: usize,
    /// What came after the queue.
    pieces: BTreeMap<u64, Box<Piece>>,
    ended: bool,
}

impl Waiting {
    fn add(&mut self, offset: u64, bytes: &[u8]) {
        let more = bytes.len() + EACH;
        if self.pieces.is_empty() && self.queued + more <= IN_ORDER {
            self.queue.push((offset, bytes.to_vec()));
            self.queued += more;
        } else {
            self.merge(offset, bytes);
        }
    }

    fn merge(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = (offset % PIECE as u64) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - within));
            let empty = || {
                Box::new(Piece {
                    bytes: [0; PIECE],
                    changed: [false; PIECE],
                })
            };
            let number = offset / PIECE as u64;
            self.pieces
                .entry(number)
                .or_insert_with(empty)
                .put(within, now);
            (offset, bytes) = (offset + now.len() as u64, later);
        }
    }

    /// What is to be written next.
    fn take(&mut self) -> Vec<Change> {
        if !self.queue.is_empty() {
            self.queued = 0;
            return std::mem::take(&mut self.queue);
        }
        let pieces = std::mem::take(&mut self.pieces).into_iter();
        pieces
            .flat_map(|(number, piece)| piece.runs(number * PIECE as u64))
            .collect()
    }
}

impl Piece {
    fn put(&mut self, within: usize, bytes: &[u8]) {
        let range = within..within + bytes.len();
        if let Some(place) = self.bytes.get_mut(range.clone()) {
            place.copy_from_slice(bytes);
        }
        if let Some(changed) = self.changed.get_mut(range) {
            changed.fill(true);
        }
    }

    /// Each run of changed bytes, of a piece that begins at `offset`.
    fn runs(&self, offset: u64) -> Vec<Change> {
        let mut at = 0;
        let mut runs = Vec::new();
        for run in self.changed.chunk_by(|a, b| a == b) {
            let end = at + run.len();
            if let (Some(true), Some(bytes)) = (run.first(), self.bytes.get(at..end)) {
                runs.push((offset + at as u64, bytes.to_vec()));
            }
            at = end;
        }
        runs
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

    /// Waits for changes; none at the end.
    fn take(&self) -> Vec<Change> {
        let (waiting, told) = &*self.0;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |w: &mut Waiting| w.queue.is_empty() && w.pieces.is_empty() && !w.ended;
        let mut waiting = told
            .wait_while(waiting, idle)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.take()
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
                loop {
                    let changes = heard.take();
                    if changes.is_empty() {
                        break;
                    }
                    for (offset, bytes) in changes {
                        file.write(offset, &bytes);
                    }
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
    fn what_waits_is_in_order_and_bounded() {
        let mut waiting = Waiting::default();
        for n in 0..1_000_000u32 {
            waiting.add(u64::from(n % 2) * 4094, &n.to_le_bytes());
        }
        assert!(waiting.queued <= IN_ORDER);
        let first = waiting.take();
        let in_order = first.iter().zip(0u32..);
        in_order.for_each(|((_, bytes), n)| assert_eq!(*bytes, n.to_le_bytes()));
        let (even, odd) = (999_998u32.to_le_bytes(), 999_999u32.to_le_bytes());
        let last = [
            (0, even.to_vec()),
            (4094, odd[..2].to_vec()),
            (4096, odd[2..].to_vec()),
        ];
        assert_eq!(waiting.take(), last);
        assert_eq!(waiting.take(), []);
    }

    #[test]
    fn a_writer_is_alone_and_large_files_are_refused() {
        let f = tempfile::NamedTempFile::new().expect("a temporary file");
        let writer = FlashFile::open(&spec(f.path())).expect("empty flash");
        let second = FlashFile::open(&spec(f.path()));
        assert!(matches!(second, Err(FlashError::File(DiskError::InUse(_)))));
        drop(writer);
        f.as_file().set_len(FLASH_BANK + 1).expect("sparse");
        let large = FlashFile::open(&spec(f.path()));
        assert!(matches!(large, Err(FlashError::Size { .. })));
    }
}
