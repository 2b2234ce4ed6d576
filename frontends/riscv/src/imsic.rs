//! The interrupt files of a hart (Advanced Interrupt Architecture 1.0, chapter 3,
//! "IMSIC"): where message-signalled interrupts arrive, one file for M mode and one for
//! S mode.
//!
//! The hart reaches them by CSRs, devices by writes to a page of each, which are an
//! [`IrqSink`] here whose inputs are identities. The file's signal is MEIP or SEIP.

#[cfg(test)]
mod tests;

use crate::csr::mip;
use crate::lines::Lines;
use isoform_core::IrqSink;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The highest identity.
pub const MAX_IDENTITY: u32 = 255;
/// 64-bit registers that an array of bits by identity takes.
const WORDS: usize = (MAX_IDENTITY as usize + 1) / 64;

/// `*iselect` values of an interrupt file's registers (3.7).
mod select {
    pub(super) const EIDELIVERY: u64 = 0x70;
    pub(super) const EITHRESHOLD: u64 = 0x72;
    pub(super) const EIP: std::ops::RangeInclusive<u64> = 0x80..=0xbf;
    pub(super) const EIE: std::ops::RangeInclusive<u64> = 0xc0..=0xff;
}

/// Whose interrupts a file or CSR is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// M mode.
    Machine,
    /// S mode.
    Supervisor,
}

impl Level {
    /// The bit of `mip` that the level's file drives.
    fn signal(self) -> u64 {
        match self {
            Level::Machine => mip::MEIP,
            Level::Supervisor => mip::SEIP,
        }
    }
}

/// An interrupt file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptFile {
    /// 1 delivers, 0 does not; other controllers are not delivered through it.
    eidelivery: bool,
    eithreshold: u32,
    eip: [u64; WORDS],
    eie: [u64; WORDS],
}

/// Bits of an array that belong to identities: there is no identity 0.
fn implemented(word: usize) -> u64 {
    if word == 0 { !1 } else { !0 }
}

/// The word of an array that a register holds: with 64 bits the odd ones do not exist.
fn word(select: u64, range: &std::ops::RangeInclusive<u64>) -> Option<usize> {
    let at = select.checked_sub(*range.start())?;
    range.contains(&select).then_some(at as usize / 2)
}

impl InterruptFile {
    /// The identity that counts most and its priority, as `*topei` has them; 0 where
    /// there is none (3.9).
    pub(crate) fn top(&self) -> u64 {
        let pending = self.eip.iter().zip(&self.eie).map(|(p, e)| p & e);
        let first = pending.enumerate().find(|(_, bits)| *bits != 0);
        let identity = first.map_or(0, |(word, bits)| word as u32 * 64 + bits.trailing_zeros());
        match self.eithreshold {
            0 => {}
            limit if identity < limit => {}
            _ => return 0,
        }
        u64::from(identity) << 16 | u64::from(identity)
    }

    /// The bit of an identity, where there is such.
    fn bit(array: &mut [u64; WORDS], identity: u32) -> Option<(&mut u64, u64)> {
        let word = array.get_mut(identity as usize / 64)?;
        Some((word, 1 << (identity % 64)))
    }

    /// A message arrives (3.5).
    fn arrive(&mut self, identity: u32) {
        if identity != 0
            && let Some((word, bit)) = Self::bit(&mut self.eip, identity)
        {
            *word |= bit;
        }
    }

    /// Claims what `top` read.
    fn claim(&mut self, top: u64) {
        if let Some((word, bit)) = Self::bit(&mut self.eip, (top >> 16) as u32) {
            *word &= !bit;
        }
    }

    fn read(&self, select: u64) -> u64 {
        let of = |array: &[u64; WORDS], at: usize| array.get(at).copied().unwrap_or(0);
        match select {
            select::EIDELIVERY => self.eidelivery.into(),
            select::EITHRESHOLD => self.eithreshold.into(),
            _ => match (word(select, &select::EIP), word(select, &select::EIE)) {
                (Some(at), _) => of(&self.eip, at),
                (_, Some(at)) => of(&self.eie, at),
                _ => 0,
            },
        }
    }

    fn change(&mut self, select: u64, ones: u64, zeros: u64) {
        let new = |old: u64| old & !zeros | ones;
        match select {
            // Of what is no value of the register nothing changes.
            select::EIDELIVERY => {
                if let value @ 0..=1 = new(self.eidelivery.into()) {
                    self.eidelivery = value == 1;
                }
            }
            select::EITHRESHOLD => {
                self.eithreshold = new(self.eithreshold.into()) as u32 & MAX_IDENTITY;
            }
            _ => {
                let (array, at) = match (word(select, &select::EIP), word(select, &select::EIE)) {
                    (Some(at), _) => (&mut self.eip, at),
                    (_, Some(at)) => (&mut self.eie, at),
                    _ => return,
                };
                if let Some(bits) = array.get_mut(at) {
                    *bits = new(*bits) & implemented(at);
                }
            }
        }
    }

    /// The nearest state that a file can be in.
    pub(crate) fn sanitised(mut self) -> Self {
        self.eithreshold &= MAX_IDENTITY;
        for array in [&mut self.eip, &mut self.eie] {
            array
                .iter_mut()
                .enumerate()
                .for_each(|(n, bits)| *bits &= implemented(n));
        }
        self
    }
}

/// Whether `*ireg` exists while `*iselect` has this value (2.1): priorities, which are
/// all zero, and the interrupt file; of 64 bits each, so by twos.
pub(crate) fn is_selectable(select: u64) -> bool {
    match select {
        0x30..=0x3f | 0x80..=0xff => select.is_multiple_of(2),
        0x70..=0x7f => true,
        _ => false,
    }
}

/// The two files of one hart.
#[derive(Debug, Default)]
pub(crate) struct Files {
    machine: Mutex<InterruptFile>,
    supervisor: Mutex<InterruptFile>,
}

impl Files {
    fn lock(&self, level: Level) -> MutexGuard<'_, InterruptFile> {
        let file = match level {
            Level::Machine => &self.machine,
            Level::Supervisor => &self.supervisor,
        };
        file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Whether the hart has interrupt files.
    pub(crate) fn has_files(&self) -> bool {
        self.files().is_some()
    }

    /// Does something with a file and sets its signal accordingly; `None` where there are
    /// no files.
    fn with_file<R>(&self, level: Level, f: impl FnOnce(&mut InterruptFile) -> R) -> Option<R> {
        // The signal is set with the file locked: it always shows the last state.
        let mut file = self.files()?.lock(level);
        let result = f(&mut file);
        match file.eidelivery && file.top() != 0 {
            true => self.change(level.signal(), 0),
            false => self.change(0, level.signal()),
        }
        Some(result)
    }

    /// `*topei`
    pub(crate) fn top_external(&self, level: Level) -> u64 {
        self.with_file(level, |file| file.top()).unwrap_or(0)
    }

    /// A write to `*topei` that goes with a read of `top`.
    pub(crate) fn claim_external(&self, level: Level, top: u64) {
        self.with_file(level, |file| file.claim(top));
    }

    /// `*ireg`
    pub(crate) fn read_file(&self, level: Level, select: u64) -> u64 {
        self.with_file(level, |file| file.read(select)).unwrap_or(0)
    }

    /// Changes bits of `*ireg`.
    pub(crate) fn change_file(&self, level: Level, select: u64, ones: u64, zeros: u64) {
        self.with_file(level, |file| file.change(select, ones, zeros));
    }

    /// What both files hold, M mode's first.
    pub(crate) fn save_files(&self) -> Option<[InterruptFile; 2]> {
        let files = self.files()?;
        Some([Level::Machine, Level::Supervisor].map(|level| files.lock(level).clone()))
    }

    /// Puts the content of both files back.
    pub(crate) fn restore_files(&self, [machine, supervisor]: [InterruptFile; 2]) {
        for (level, content) in [(Level::Machine, machine), (Level::Supervisor, supervisor)] {
            self.with_file(level, |file| *file = content.sanitised());
        }
    }
}

/// The page of an interrupt file, as an interrupt controller or device sees it: an input
/// that rises makes the identity of its number pending; nothing makes it fall.
#[derive(Debug)]
pub struct FileSink {
    lines: Arc<Lines>,
    level: Level,
}

impl FileSink {
    /// The page of a hart's file.
    pub fn new(lines: Arc<Lines>, level: Level) -> Self {
        Self { lines, level }
    }
}

impl IrqSink for FileSink {
    fn set(&self, input: u32, level: bool) {
        if level {
            self.lines.with_file(self.level, |file| file.arrive(input));
        }
    }
}
