//! Taking numbers off the fuzzer's bytes.

/// What is left of the bytes. Past their end, everything is zero.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// From the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(count.min(self.0.len()));
        self.0 = left;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Eight bytes, little-endian.
    pub fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let taken = self.bytes(8);
        word[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(word)
    }

    /// A saved state with some bytes of it changed.
    pub fn damaged(&mut self, saved: &[u8]) -> Vec<u8> {
        let mut bytes = saved.to_vec();
        for _ in 0..self.byte() % 8 {
            let at = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
            let length = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at % length) {
                *byte = self.byte();
            }
        }
        bytes
    }
}
