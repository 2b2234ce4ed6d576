//! Raw images: the disk's bytes as they are.

use crate::Extent;
use crate::host::HostFile;
use std::io;

/// A raw file or block device.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) host: HostFile,
    /// Bytes of the disk; the file may not become shorter.
    pub(crate) size: u64,
    discard: bool,
}

impl Raw {
    /// The file's whole length is the disk. `discard` passes discards on to the host.
    pub(crate) fn new(host: HostFile, discard: bool) -> Self {
        let size = host.len();
        Self {
            host,
            size,
            discard,
        }
    }

    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.host.read(bytes, offset)
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.host.write(bytes, offset)
    }

    pub(crate) fn write_zeroes(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        self.host.zero(offset, len, unmap && self.discard)
    }

    pub(crate) fn discard(&mut self, offset: u64, len: u64) {
        if self.discard {
            self.host.discard(offset, len);
        }
    }

    pub(crate) fn extent(&self, offset: u64, most: u64) -> (Extent, u64) {
        let (data, end) = self.host.extent(offset);
        let len = end.saturating_sub(offset).clamp(1, most.max(1));
        match data {
            true => (Extent::Data, len),
            false => (Extent::Zero, len),
        }
    }
}
