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
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// What erased flash reads.
const ERASED: u8 = 0xff;

/// A change: where, and what is there now.
type Change = (u64, Vec<u8>);

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

/// A bank's thread. Dropped, it finishes what it was told.
#[derive(Debug)]
pub struct FlashWorker {
    changes: Sender<Option<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl FlashWorker {
    /// Writes to `file`.
    pub fn start(mut file: FlashFile) -> io::Result<Self> {
        let (changes, queue) = channel::<Option<Change>>();
        let thread = std::thread::Builder::new()
            .name("flash".into())
            .spawn(move || {
                // `None` is the end, whoever may still hold a sender.
                for (offset, bytes) in queue.into_iter().map_while(|change| change) {
                    file.write(offset, &bytes);
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
    pub fn changes(&self) -> Sender<Option<Change>> {
        self.changes.clone()
    }
}

impl Drop for FlashWorker {
    fn drop(&mut self) {
        // A thread that is gone has panicked, which has been reported.
        let _ = self.changes.send(None);
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
        for change in [(5, vec![7]), (0, vec![9]), (3, vec![8, 8])] {
            worker.changes().send(Some(change)).expect("it listens");
        }
        drop(worker);
        let bytes = std::fs::read(f.path()).expect("read");
        assert_eq!(bytes, [9, 2, 0xff, 8, 8, 7]);
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
