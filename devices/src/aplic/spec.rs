//! Registers of an interrupt domain of the APLIC (Advanced Interrupt Architecture 1.0,
//! 4.5), 32 bits each.

/// Bytes of a domain's registers; without direct delivery there are no more.
pub const SIZE: u64 = 0x4000;
/// Sources the register map has room for, source 0 counted.
pub const MAX_SOURCES: u32 = 1024;

/// Global enable, and how interrupts are delivered.
pub const DOMAINCFG: u64 = 0x0000;
/// How source `n` is looked at, or that it is delegated: at `4 * n`.
pub const SOURCECFG: u64 = 0x0004;
/// Where messages to M mode go.
pub const MMSIADDRCFG: u64 = 0x1bc0;
/// Its upper half, and how hart numbers are part of it.
pub const MMSIADDRCFGH: u64 = 0x1bc4;
/// Where messages to S mode go.
pub const SMSIADDRCFG: u64 = 0x1bc8;
/// Its upper half.
pub const SMSIADDRCFGH: u64 = 0x1bcc;
/// Pending bits: ones make pending.
pub const SETIP: u64 = 0x1c00;
/// Makes a source pending by its number.
pub const SETIPNUM: u64 = 0x1cdc;
/// Reads the inputs; ones make no longer pending.
pub const IN_CLRIP: u64 = 0x1d00;
/// Makes a source no longer pending by its number.
pub const CLRIPNUM: u64 = 0x1ddc;
/// Enables: ones enable.
pub const SETIE: u64 = 0x1e00;
/// Enables a source by its number.
pub const SETIENUM: u64 = 0x1edc;
/// Ones disable.
pub const CLRIE: u64 = 0x1f00;
/// Disables a source by its number.
pub const CLRIENUM: u64 = 0x1fdc;
/// As [`SETIPNUM`], always little-endian.
pub const SETIPNUM_LE: u64 = 0x2000;
/// Sends a message at once.
pub const GENMSI: u64 = 0x3000;
/// Where source `n` is sent: at `GENMSI + 4 * n`.
pub const TARGET: u64 = 0x3004;
/// Bytes of an array of a bit a source.
pub const ARRAY_BYTES: u64 = MAX_SOURCES as u64 / 8;

/// What [`DOMAINCFG`] always reads, with the delivery mode, which is by messages.
pub const DOMAINCFG_FIXED: u32 = 0x8000_0004;
/// The global enable.
pub const DOMAINCFG_IE: u32 = 1 << 8;

/// Of [`SOURCECFG`]: the source is delegated, to the only child domain.
pub const SOURCECFG_D: u32 = 1 << 10;

/// Of [`MMSIADDRCFGH`]: the address registers are locked.
pub const MMSIADDRCFGH_L: u32 = 1 << 31;
/// Of [`MMSIADDRCFGH`]: all fields, L included.
pub const MMSIADDRCFGH_MASK: u32 = 0x9f77_ffff;
/// Of [`SMSIADDRCFGH`]: all fields.
pub const SMSIADDRCFGH_MASK: u32 = 0x0070_0fff;

/// Hart and identity in [`TARGET`] and [`GENMSI`]: no hart has guests.
pub const TARGET_MASK: u32 = 0xfffc_07ff;
/// The identity.
pub const TARGET_EIID: u32 = 0x7ff;
/// Where the number of the hart begins.
pub const TARGET_HART_SHIFT: u32 = 18;

/// How a source is looked at (4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMode {
    /// Not at all.
    Inactive = 0,
    /// Its wire is ignored; software makes it pending.
    Detached = 1,
    /// Rising edges.
    Edge1 = 4,
    /// Falling edges.
    Edge0 = 5,
    /// High levels.
    Level1 = 6,
    /// Low levels.
    Level0 = 7,
}

impl SourceMode {
    /// Of the field SM; the reserved ones count as inactive.
    pub fn from_bits(bits: u32) -> Self {
        match bits & 7 {
            1 => Self::Detached,
            4 => Self::Edge1,
            5 => Self::Edge0,
            6 => Self::Level1,
            7 => Self::Level0,
            _ => Self::Inactive,
        }
    }
}
