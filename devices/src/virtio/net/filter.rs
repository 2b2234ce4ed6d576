//! Which frames a driver wants to see (Virtio 1.2, 5.1.6.5.1 and 5.1.6.5.2).

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use super::spec::command;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Addresses of one table at most. A longer table counts as "all of that kind".
const TABLE_MAX: usize = 64;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Mode: u8 {
        const PROMISC = 1 << command::RX_PROMISC;
        const ALLMULTI = 1 << command::RX_ALLMULTI;
        const ALLUNI = 1 << command::RX_ALLUNI;
        const NOMULTI = 1 << command::RX_NOMULTI;
        const NOUNI = 1 << command::RX_NOUNI;
        const NOBCAST = 1 << command::RX_NOBCAST;
    }
}

/// The addresses of one kind that are received besides the device's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Table {
    /// These.
    Some(Vec<Mac>),
    /// More than fit.
    All,
}

impl Table {
    fn has(&self, mac: &Mac) -> bool {
        match self {
            Table::Some(macs) => macs.contains(mac),
            Table::All => true,
        }
    }

    /// A table as the driver wrote it: the number of its entries, then they; and what
    /// follows it. `None`: it is cut short.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (count, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (entries, rest) = rest.split_at_checked(length.checked_mul(6)?)?;
        let table = match length {
            0..=TABLE_MAX => Table::Some(entries.as_chunks().0.to_vec()),
            _ => Table::All,
        };
        Some((table, rest))
    }
}

/// Which frames are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    mac: Mac,
    mode: Mode,
    unicast: Table,
    multicast: Table,
}

impl Filter {
    /// Everything, until a driver chooses: one that cannot choose expects it.
    pub(super) fn new(mac: Mac) -> Self {
        Self {
            mac,
            mode: Mode::PROMISC,
            unicast: Table::Some(Vec::new()),
            multicast: Table::Some(Vec::new()),
        }
    }

    /// The device's own address.
    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Sets the device's own address.
    pub(super) fn set_mac(&mut self, mac: Mac) {
        self.mac = mac;
    }

    /// Whether a frame to `to` is received.
    pub(super) fn takes(&self, to: &Mac) -> bool {
        let mode = |bit| self.mode.contains(bit);
        if mode(Mode::PROMISC) {
            return true;
        }
        let [first, ..] = to;
        if *to == [0xff; 6] {
            !mode(Mode::NOBCAST)
        } else if first & 1 != 0 {
            !mode(Mode::NOMULTI) && (mode(Mode::ALLMULTI) || self.multicast.has(to))
        } else {
            !mode(Mode::NOUNI) && (mode(Mode::ALLUNI) || *to == self.mac || self.unicast.has(to))
        }
    }

    /// Carries out a command of class RX. `None`: there is no such command.
    pub(super) fn set_mode(&mut self, command: u8, data: &[u8]) -> Option<()> {
        let bit = 1u8.checked_shl(command.into())?;
        let mode = Mode::from_bits(bit)?;
        let [on] = data else {
            return None;
        };
        self.mode.set(mode, *on != 0);
        Some(())
    }

    /// Carries out a command of class MAC. `None`: it is none, or is cut short.
    pub(super) fn set_addresses(&mut self, command: u8, data: &[u8]) -> Option<()> {
        match command {
            command::MAC_TABLE_SET => {
                let (unicast, rest) = Table::parse(data)?;
                let (multicast, _) = Table::parse(rest)?;
                (self.unicast, self.multicast) = (unicast, multicast);
            }
            command::MAC_ADDR_SET => self.mac = data.try_into().ok()?,
            _ => return None,
        }
        Some(())
    }
}

/// The saved state of the card's filter of frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterState {
    mac: Mac,
    mode: u8,
    unicast: Table,
    multicast: Table,
}

impl Filter {
    pub(super) fn state(&self) -> FilterState {
        let Self {
            mac,
            mode,
            unicast,
            multicast,
        } = self;
        FilterState {
            mac: *mac,
            mode: mode.bits(),
            unicast: unicast.clone(),
            multicast: multicast.clone(),
        }
    }

    /// `None`: no filter is ever in such a state.
    pub(super) fn from_state(state: FilterState) -> Option<Self> {
        let FilterState {
            mac,
            mode,
            unicast,
            multicast,
        } = state;
        let bounded = |table: &Table| match table {
            Table::Some(macs) => macs.len() <= TABLE_MAX,
            Table::All => true,
        };
        let sound = bounded(&unicast) && bounded(&multicast);
        let mode = Mode::from_bits(mode).filter(|_| sound)?;
        Some(Self {
            mac,
            mode,
            unicast,
            multicast,
        })
    }
}
