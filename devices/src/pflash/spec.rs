//! Commands and answers of Intel's basic command set for parallel NOR flash (Intel
//! AP-646; StrataFlash J3 and P30 datasheets) and the Common Flash Interface's query
//! (JEDEC JESD68).

/// Commands: the low byte of a write.
pub mod command {
    /// Read array, as some drivers write it.
    pub const READ_ARRAY_ZERO: u8 = 0x00;
    /// Program a word: data follow.
    pub const PROGRAM_ALTERNATE: u8 = 0x10;
    /// Erase a block: [`CONFIRM`] follows.
    pub const ERASE: u8 = 0x20;
    /// Program a word: data follow.
    pub const PROGRAM: u8 = 0x40;
    /// Forget errors.
    pub const CLEAR_STATUS: u8 = 0x50;
    /// Lock or unlock a block: [`LOCK`] or [`CONFIRM`] follows.
    pub const LOCK_SETUP: u8 = 0x60;
    /// Reads give the status.
    pub const READ_STATUS: u8 = 0x70;
    /// Reads give identifiers and locks.
    pub const READ_ID: u8 = 0x90;
    /// Reads give the query.
    pub const QUERY: u8 = 0x98;
    /// Suspend what runs; nothing ever does.
    pub const SUSPEND: u8 = 0xb0;
    /// Confirms an erase, a buffered write, an unlock.
    pub const CONFIRM: u8 = 0xd0;
    /// Program many words: their number less one, the words, [`CONFIRM`] follow.
    pub const WRITE_BUFFER: u8 = 0xe8;
    /// Read array.
    pub const READ_ARRAY: u8 = 0xff;
    /// After [`LOCK_SETUP`]: lock the block.
    pub const LOCK: u8 = 0x01;
}

bitflags::bitflags! {
    /// The status register of a chip.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u8 {
        /// The block is locked.
        const LOCKED = 1 << 1;
        /// Programming failed.
        const PROGRAM_ERROR = 1 << 4;
        /// Erasing failed; with [`Status::PROGRAM_ERROR`]: a wrong sequence of commands.
        const ERASE_ERROR = 1 << 5;
        /// Nothing runs.
        const READY = 1 << 7;
    }
}

/// Bytes that the chips' data bus has together: two of 16 bits.
pub const BANK_WIDTH: u64 = 4;
/// Bytes of the write buffers of both chips, and what a buffered write may not cross.
pub const BUFFER: usize = 4096;
/// Identifier of the manufacturer: Intel.
pub const MANUFACTURER: u16 = 0x89;
/// Identifier of the chip: 128 Mbit.
pub const CHIP: u16 = 0x18;

/// Words of [`query`].
pub const QUERY_WORDS: u64 = 0x40;

/// A byte of the query of one chip of `size` bytes in blocks of `block` bytes: of its
/// word `word`.
pub fn query(word: u64, size: u64, block: u64) -> u8 {
    let blocks = size / block.max(1);
    let low = |value: u64| value as u8;
    match word {
        0x10 => b'Q',
        0x11 => b'R',
        0x12 => b'Y',
        // Intel's command set, its table at 0x31.
        0x13 => 0x01,
        0x15 => 0x31,
        // 4.5 to 5.5 V, none for programming.
        0x1b => 0x45,
        0x1c => 0x55,
        // Typical times, powers of two: a word and a buffer in µs, a block in ms.
        0x1f | 0x20 => 0x07,
        0x21 => 0x0a,
        // The longest, as powers of two times these.
        0x23..=0x25 => 0x04,
        0x27 => low(u64::from(size.max(1).ilog2())),
        // x8 and x16.
        0x28 => 0x02,
        // Of the buffers each chip has half.
        0x2a => low(u64::from((BUFFER / 2).ilog2())),
        // One region of equal blocks: their number less one, and their size by 256.
        0x2c => 0x01,
        0x2d => low(blocks.saturating_sub(1)),
        0x2e => low(blocks.saturating_sub(1) >> 8),
        0x2f => low(block >> 8),
        0x30 => low(block >> 16),
        // Intel's table, version 1.0, without optional features.
        0x31 => b'P',
        0x32 => b'R',
        0x33 => b'I',
        0x34 => b'1',
        0x35 => b'0',
        0x3f => 0x01,
        _ => 0,
    }
}
