//! Writes frames to a file that Wireshark and tcpdump read: the classic pcap format with
//! nanoseconds, in the host's byte order.
//!
//! Each frame is one `write`, so the file ends with a whole record whenever the emulator
//! does. The backend's thread does it ([`crate::cable::HostEnd::capture`]), so that no
//! vCPU waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

/// Nanosecond resolution, and by its order of bytes the file's.
const MAGIC: u32 = 0xA1B2_3C4D;
const VERSION: [u16; 2] = [2, 4];
/// No frame is cut: the largest is 64 KiB and some.
const SNAPLEN: u32 = 256 << 10;
const LINKTYPE_ETHERNET: u32 = 1;

/// A file of frames.
#[derive(Debug)]
pub struct Pcap {
    file: File,
}

impl Pcap {
    /// Creates the file, or empties it. It has to be a regular one: a pipe or a device
    /// could make the network's thread wait for whoever reads from it.
    ///
    /// # Errors
    /// When it cannot be created or written to, or is none.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut header = MAGIC.to_ne_bytes().to_vec();
        header.extend(VERSION.iter().flat_map(|part| part.to_ne_bytes()));
        for field in [0, 0, SNAPLEN, LINKTYPE_ETHERNET] {
            header.extend(field.to_ne_bytes());
        }
        let mut file = open(path.as_ref())?;
        file.write_all(&header)?;
        Ok(Self { file })
    }

    /// Appends a frame, with the time.
    ///
    /// # Errors
    /// When the file cannot be written to; it may then end with a part of the frame.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        // A clock before 1970 is wrong anyhow. Seconds end in 2106, as the format does.
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let kept = frame.len().min(SNAPLEN as usize);
        let fields = [
            time.as_secs() as u32,
            time.subsec_nanos(),
            kept as u32,
            u32::try_from(frame.len()).unwrap_or(u32::MAX),
        ];
        let mut record = Vec::with_capacity(16 + kept);
        record.extend(fields.iter().flat_map(|field| field.to_ne_bytes()));
        record.extend(frame.iter().take(kept));
        self.file.write_all(&record)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let irregular = || {
        let text = "it is no regular file; name one, or a new one";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    // What is none may not be opened, nor be emptied.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return Err(irregular());
    }
    // Not to wait for a pipe's other end, if it became one since, nor to get a terminal.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(irregular());
    }
    file.set_len(0)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cable::{FRAMES, cable};

    /// The frames of a file, by the format's description.
    fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four"));
        assert_eq!((word(0), word(16), word(20)), (0xA1B2_3C4D, 262_144, 1));
        assert_eq!(
            bytes[4..8],
            [2_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat()
        );
        let (mut at, mut frames) = (24, Vec::new());
        while at < bytes.len() {
            let length = word(at + 8) as usize;
            assert!(word(at + 4) < 1_000_000_000 && word(at + 12) as usize == length);
            frames.push(bytes[at + 16..at + 16 + length].to_vec());
            at += 16 + length;
        }
        frames
    }

    #[test]
    fn only_a_regular_file_is_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("a pipe");
        for path in [&fifo, Path::new("/dev/null")] {
            let error = Pcap::create(path).expect_err("no file");
            assert!(error.to_string().contains("no regular file"), "{error}");
        }
        let path = folder.path().join("old");
        std::fs::write(&path, [0; 100]).expect("writable");
        Pcap::create(&path).expect("writable");
        assert_eq!(std::fs::read(&path).expect("readable").len(), 24);
    }

    #[test]
    fn frames_of_both_ways_are_written_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("frames.pcap");
        let (nic, mut host) = cable(|| {}).expect("a cable");
        host.capture(Pcap::create(&path).expect("writable"));
        nic.send(vec![1; 60]).expect("room");
        assert!(host.receive().is_some());
        for _ in 0..FRAMES {
            host.send(vec![2; 70]).expect("room");
        }
        // Refused is not sent.
        assert!(host.send(vec![3; 80]).is_err());
        let frames = frames(&std::fs::read(&path).expect("readable"));
        assert_eq!(frames.len(), 1 + FRAMES);
        assert_eq!(frames.first(), Some(&vec![1; 60]));
        assert_eq!(frames.last(), Some(&vec![2; 70]));
    }
}
