//! Features that a driver sets and gets (5.13, 5.21). None is kept over a reset.

use super::command::{Command, Refused};
use super::spec::feature;
use super::spec::{IO_QUEUES, status};

/// A plain feature: its identifier, its default and the bits of dword 11 that it has.
/// Where other bits are set, the value is refused if the last field says so.
struct Plain {
    id: u8,
    default: u32,
    bits: u32,
    strict: bool,
}

const fn plain(id: u8, default: u32, bits: u32) -> Plain {
    Plain {
        id,
        default,
        bits,
        strict: false,
    }
}

/// Features that are kept and change nothing, but for the write cache.
const PLAIN: [Plain; 7] = [
    // A burst without limit: queues take turns anyway.
    plain(feature::ARBITRATION, 7, 0xffff_ff07),
    // There is one power state.
    Plain {
        strict: true,
        ..plain(feature::POWER_MANAGEMENT, 0, 0)
    },
    plain(feature::ERROR_RECOVERY, 0, 0xffff),
    plain(feature::VOLATILE_WRITE_CACHE, 1, 1),
    // Completions that come together interrupt once, whatever is asked for.
    plain(feature::INTERRUPT_COALESCING, 0, 0xffff),
    plain(feature::WRITE_ATOMICITY, 0, 1),
    plain(feature::ASYNC_EVENTS, 0, 0xff),
];

/// Degrees Kelvin at which a driver is warned, unless it says otherwise.
pub(super) const WARNING_TEMPERATURE: u16 = 343;

/// The values of all features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// By place in [`PLAIN`].
    pub(super) plain: [u32; PLAIN.len()],
    /// Temperature thresholds: over and under, in degrees Kelvin.
    pub(super) temperatures: [u16; 2],
    /// By interrupt vector: that it is not coalesced.
    pub(super) uncoalesced: Vec<bool>,
}

impl Features {
    /// As after a reset, of a controller with so many interrupt vectors.
    pub(super) fn new(vectors: usize) -> Self {
        Self {
            plain: PLAIN.map(|Plain { default, .. }| default),
            temperatures: [WARNING_TEMPERATURE, 0],
            uncoalesced: vec![false; vectors.max(1)],
        }
    }

    /// Whether writes may be in a cache when they are completed.
    pub(super) fn caches_writes(&self) -> bool {
        let mut values = PLAIN.iter().zip(&self.plain);
        values.any(|(plain, value)| plain.id == feature::VOLATILE_WRITE_CACHE && *value != 0)
    }

    /// Whether a temperature is beyond a threshold.
    pub(super) fn warns_of(&self, temperature: u16) -> bool {
        let [over, under] = self.temperatures;
        temperature >= over || temperature <= under
    }

    /// Get Features; dword 0 of the completion.
    pub(super) fn get(&self, command: &Command) -> Result<u32, Refused> {
        let dword = command.dword::<10>();
        // Only current values can be selected (ONCS).
        if dword >> 8 & 7 != 0 {
            return Err(status::INVALID_FIELD);
        }
        match dword as u8 {
            feature::TEMPERATURE_THRESHOLD => {
                let threshold = threshold(command.dword::<11>())?;
                let value = self.temperatures.get(threshold);
                value.map(|t| u32::from(*t)).ok_or(status::INVALID_FIELD)
            }
            feature::NUMBER_OF_QUEUES => Ok(number_of_queues()),
            feature::INTERRUPT_VECTOR => {
                let vector = command.dword::<11>() as u16;
                let value = self.uncoalesced.get(usize::from(vector));
                let value = value.ok_or(status::INVALID_FIELD)?;
                Ok(u32::from(vector) | u32::from(*value) << 16)
            }
            id => {
                let mut values = PLAIN.iter().zip(&self.plain);
                let found = values.find(|(plain, _)| plain.id == id);
                found.map(|(_, value)| *value).ok_or(status::INVALID_FIELD)
            }
        }
    }

    /// Set Features; dword 0 of the completion. `queues`: there are I/O queues.
    pub(super) fn set(&mut self, command: &Command, queues: bool) -> Result<u32, Refused> {
        let (dword, value) = (command.dword::<10>(), command.dword::<11>());
        if dword >> 31 != 0 {
            return Err(status::FEATURE_NOT_SAVEABLE);
        }
        match dword as u8 {
            feature::TEMPERATURE_THRESHOLD => {
                let place = self.temperatures.get_mut(threshold(value)?);
                *place.ok_or(status::INVALID_FIELD)? = value as u16;
            }
            feature::NUMBER_OF_QUEUES => {
                let (submission, completion) = command.halves::<11>();
                if submission == u16::MAX || completion == u16::MAX {
                    return Err(status::INVALID_FIELD);
                }
                // Once, before there is any.
                if queues {
                    return Err(status::COMMAND_SEQUENCE_ERROR);
                }
                return Ok(number_of_queues());
            }
            feature::INTERRUPT_VECTOR => {
                let (vector, flags) = command.halves::<11>();
                let place = self.uncoalesced.get_mut(usize::from(vector));
                *place.ok_or(status::INVALID_FIELD)? = flags & 1 != 0;
            }
            id => {
                let mut values = PLAIN.iter().zip(&mut self.plain);
                let found = values.find(|(plain, _)| plain.id == id);
                let (plain, place) = found.ok_or(status::INVALID_FIELD)?;
                if plain.strict && value & !plain.bits != 0 {
                    return Err(status::INVALID_FIELD);
                }
                *place = value & plain.bits;
            }
        }
        Ok(0)
    }
}

/// As many as there are, whatever was asked for: they count from 0.
fn number_of_queues() -> u32 {
    let most = u32::from(IO_QUEUES - 1);
    most | most << 16
}

/// Which threshold dword 11 is about: over or under, of the composite temperature, which
/// is the only one.
fn threshold(dword: u32) -> Result<usize, Refused> {
    match (dword >> 16 & 0xf, dword >> 20 & 3) {
        (0, threshold @ (0 | 1)) => Ok(threshold as usize),
        _ => Err(status::INVALID_FIELD),
    }
}
