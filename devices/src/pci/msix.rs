//! MSI-X (PCI Local Bus 3.0, 6.8.2): interrupts that are messages, by a table that the
//! driver fills.
//!
//! A message that may not be sent, because its vector or the function is masked or the
//! function may not write to memory, is pending, and is sent when it may.

use std::sync::Arc;

use isoform_core::{MsiSink, RestoreError, Size};
use serde::{Deserialize, Serialize};

use super::spec::{MSIX_ENTRY_BYTES, MSIX_VECTOR_MASKED, MsixControl};

/// Vectors of one function at most: what fits half a page.
pub const VECTORS_MAX: usize = 128;
/// Bytes of the BAR with the table, from its start on, and what is pending.
pub const BAR_BYTES: u64 = 4096;
/// Where in the BAR the pending bits are.
pub const PENDING: u64 = 2048;

/// A function's vectors.
pub struct Msix {
    // --- connections
    sink: Arc<dyn MsiSink>,

    // --- guest-visible state
    vectors: Vec<Vector>,
    /// Messages may be sent. Computed from the configuration space.
    open: bool,
}

/// An entry of the table with its pending bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    address: u64,
    data: u32,
    masked: bool,
    pending: bool,
}

impl Vector {
    /// Masked after a reset (6.8.2.9).
    const INITIAL: Self = Self {
        address: 0,
        data: 0,
        masked: true,
        pending: false,
    };

    /// The entry as the guest sees it.
    fn bytes(&self) -> [u8; MSIX_ENTRY_BYTES as usize] {
        let control = if self.masked { MSIX_VECTOR_MASKED } else { 0 };
        let upper = u64::from(self.data) | u64::from(control) << 32;
        (u128::from(self.address) | u128::from(upper) << 64).to_le_bytes()
    }

    /// Sends what is pending, if it may be.
    fn flush(&mut self, open: bool, sink: &dyn MsiSink) {
        if self.pending && open && !self.masked {
            self.pending = false;
            sink.send(self.address, self.data);
        }
    }
}

impl Msix {
    /// A table of `vectors` entries, at least one and at most [`VECTORS_MAX`], whose
    /// messages go to `sink`.
    pub fn new(vectors: usize, sink: Arc<dyn MsiSink>) -> Self {
        Self {
            sink,
            vectors: vec![Vector::INITIAL; vectors.clamp(1, VECTORS_MAX)],
            open: false,
        }
    }

    /// The capability: message control, and where table and pending bits are, in BAR
    /// `bar`.
    pub(super) fn capability(&self, bar: u8) -> ([u8; 10], [u8; 2]) {
        let control = (self.vectors.len() - 1) as u16;
        let table = u32::from(bar);
        let pending = PENDING as u32 | u32::from(bar);
        let mut content = [0; 10];
        let parts = control
            .to_le_bytes()
            .into_iter()
            .chain(table.to_le_bytes())
            .chain(pending.to_le_bytes());
        content
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = from);
        (content, MsixControl::all().bits().to_le_bytes())
    }

    /// Vectors in the table.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether there is none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    /// Sends a vector's message, now or when it may be sent. A vector that does not
    /// exist has none.
    pub(super) fn raise(&mut self, vector: u16) {
        if let Some(vector) = self.vectors.get_mut(usize::from(vector)) {
            vector.pending = true;
            vector.flush(self.open, &*self.sink);
        }
    }

    /// Messages may be sent from now on, or may not.
    pub(super) fn set_open(&mut self, open: bool) {
        self.open = open;
        for vector in &mut self.vectors {
            vector.flush(open, &*self.sink);
        }
    }

    /// Forgets what is pending.
    pub fn forget(&mut self) {
        self.vectors.iter_mut().for_each(|v| v.pending = false);
    }

    /// Reads the table or the pending bits.
    pub(super) fn read(&self, offset: u64, size: Size) -> u64 {
        let word = match offset.checked_sub(PENDING) {
            Some(at) => self.pending_word(at / 8) >> (8 * (at % 8)),
            None => {
                let vector = self.vectors.get(number(offset));
                let bytes = vector.map_or(0, |v| u128::from_le_bytes(v.bytes()));
                (bytes >> (8 * (offset % MSIX_ENTRY_BYTES))) as u64
            }
        };
        size.truncate(word)
    }

    /// 64 pending bits.
    fn pending_word(&self, word: u64) -> u64 {
        let vectors = self.vectors.chunks(64).nth(word as usize);
        let bits = vectors.into_iter().flatten().enumerate();
        bits.fold(0, |word, (n, v)| word | u64::from(v.pending) << n)
    }

    /// Writes the table, with 4 or 8 bytes (6.8.2). Nothing else can be written.
    pub(super) fn write(&mut self, offset: u64, size: Size, value: u64) {
        if offset >= PENDING || !matches!(size, Size::B4 | Size::B8) {
            return;
        }
        let Some(vector) = self.vectors.get_mut(number(offset)) else {
            return;
        };
        let shift = 8 * (offset % MSIX_ENTRY_BYTES);
        let mask = u128::from(size.truncate(u64::MAX)) << shift;
        let bytes = u128::from_le_bytes(vector.bytes());
        let bytes = bytes & !mask | u128::from(size.truncate(value)) << shift;
        // Messages are whole words: the lowest bits of the address are zero (6.8.2).
        vector.address = bytes as u64 & !3;
        vector.data = (bytes >> 64) as u32;
        vector.masked = (bytes >> 96) as u32 & MSIX_VECTOR_MASKED != 0;
        vector.flush(self.open, &*self.sink);
    }

    pub(super) fn reset(&mut self) {
        self.vectors.fill(Vector::INITIAL);
        self.open = false;
    }

    pub(super) fn state(&self) -> Vec<Vector> {
        let Self {
            sink: _,
            vectors,
            open: _,
        } = self;
        vectors.clone()
    }

    /// Puts a table back. Nothing is sent before [`Msix::set_open`] is called.
    pub(super) fn set_state(
        &mut self,
        name: &'static str,
        state: Vec<Vector>,
    ) -> Result<(), RestoreError> {
        if state.len() != self.vectors.len() {
            return Err(RestoreError::Mismatch {
                name,
                reason: "the function has another number of interrupt vectors".to_owned(),
            });
        }
        self.vectors = state;
        for vector in &mut self.vectors {
            vector.address &= !3;
        }
        self.open = false;
        Ok(())
    }
}

/// The entry at an offset.
fn number(offset: u64) -> usize {
    usize::try_from(offset / MSIX_ENTRY_BYTES).unwrap_or(usize::MAX)
}
