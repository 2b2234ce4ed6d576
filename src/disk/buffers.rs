//! Memory for disks' data, used again and again: fresh memory of this size comes from the
//! host's kernel, which zeroes it page by page, and goes back there.

use isoform_devices::block::{BlockPort, BlockRequest};
use std::sync::{Arc, Mutex, PoisonError};

/// Shorter buffers are not worth keeping.
const SHORT: usize = 64 << 10;
/// So many are kept.
const KEPT: usize = 8;

/// Buffers that nobody uses now, shared by a disk's device and whoever does its work.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of `len` bytes, whatever they are.
    pub fn take(&self, len: usize) -> Vec<u8> {
        if len < SHORT {
            return vec![0; len];
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept.unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    /// Takes one back.
    pub fn give_back(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() >= SHORT && kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// A port that passes requests on by a function, their data in [`Buffers`].
pub struct Pooled<F> {
    /// The function.
    pub submit: F,
    /// The buffers.
    pub buffers: Buffers,
}

impl<F: FnMut(BlockRequest) + Send> BlockPort for Pooled<F> {
    fn submit(&mut self, request: BlockRequest) {
        (self.submit)(request);
    }

    fn buffer(&mut self, len: usize) -> Vec<u8> {
        self.buffers.take(len)
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        self.buffers.give_back(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_buffers_are_used_again_and_few_are_kept() {
        let buffers = Buffers::default();
        let mut long = buffers.take(SHORT * 2);
        long.fill(7);
        let address = long.as_ptr();
        buffers.give_back(long);
        let again = buffers.take(SHORT);
        assert_eq!((again.as_ptr(), again.len()), (address, SHORT));
        assert_eq!(buffers.take(SHORT - 1).len(), SHORT - 1);
        for _ in 0..KEPT * 2 {
            buffers.give_back(vec![0; SHORT]);
            buffers.give_back(vec![0; SHORT - 1]);
        }
        let kept = buffers.0.lock().expect("nobody panics with it");
        assert_eq!(kept.len(), KEPT);
    }
}
