//! Where a register of a function is.

/// Bits of an offset within a space.
const SPACE_SHIFT: u32 = 60;

/// A register's place in a function. A [`Device`](isoform_core::Device) knows its
/// registers by one number; that of a function says in its upper bits which space it is
/// about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration space.
    Config(u64),
    /// Behind a base address register.
    Bar {
        /// Which: 0 to 5.
        bar: u8,
        /// From its start.
        offset: u64,
    },
}

impl Place {
    /// As a device's offset.
    pub fn number(self) -> u64 {
        match self {
            Place::Config(offset) => offset,
            Place::Bar { bar, offset } => (u64::from(bar) + 1) << SPACE_SHIFT | offset,
        }
    }
}

impl From<u64> for Place {
    fn from(number: u64) -> Self {
        let offset = number & ((1 << SPACE_SHIFT) - 1);
        match (number >> SPACE_SHIFT).checked_sub(1) {
            None => Place::Config(offset),
            Some(bar) => Place::Bar {
                bar: bar as u8,
                offset,
            },
        }
    }
}
