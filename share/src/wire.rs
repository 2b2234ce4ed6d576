//! Numbers and strings as they stand in messages: little-endian, strings with two bytes
//! of length before them. Strings are bytes: names on Linux need not be UTF-8.

use rustix::io::Errno;

/// What was expected is not there.
const TRUNCATED: Errno = Errno::PROTO;

/// Takes a message apart, from its front. Everything refers to the message's own bytes,
/// so that no length in it makes anything be allocated.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (taken, left) = self.0.split_at_checked(count).ok_or(TRUNCATED)?;
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        let (taken, left) = self.0.split_first_chunk().ok_or(TRUNCATED)?;
        self.0 = left;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Errno> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Errno> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Errno> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Errno> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Errno> {
        let len = self.u16()?;
        self.bytes(len.into())
    }

    /// Data: bytes with four bytes of length before them.
    pub(crate) fn data(&mut self) -> Result<&'a [u8], Errno> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }
}

/// Puts a message together: its length is filled in at the end.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

/// Bytes of a message's length, kind and tag.
pub(crate) const HEADER_BYTES: usize = 7;

impl Writer {
    /// A message of this kind and tag, with room for `body` bytes behind its header.
    pub(crate) fn new(kind: u8, tag: u16, body: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body);
        bytes.extend([0; 4]);
        bytes.push(kind);
        bytes.extend(tag.to_le_bytes());
        Self(bytes)
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string. Names and symbolic links of Linux are shorter than its length can say.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> Result<&mut Self, Errno> {
        let len = u16::try_from(bytes.len()).map_err(|_| Errno::NAMETOOLONG)?;
        self.u16(len);
        self.0.extend(bytes);
        Ok(self)
    }

    /// Data: what `fill` writes, of which at most `count` bytes stay, behind their number.
    pub(crate) fn data<T>(
        &mut self,
        count: usize,
        fill: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let at = self.0.len();
        self.u32(0);
        let from = self.0.len();
        let result = fill(self)?;
        self.0.truncate(from + count);
        let filled = (self.0.len() - from) as u32;
        self.put(at, filled);
        Ok(result)
    }

    /// What is written so far, to be appended to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Overwrites four bytes that were written before.
    fn put(&mut self, at: usize, value: u32) {
        let bytes = self.0.get_mut(at..at + 4);
        bytes
            .expect("they were written before")
            .copy_from_slice(&value.to_le_bytes());
    }

    /// The whole message.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.put(0, len);
        self.0
    }
}
