//! Advanced platform-level interrupt controller (Advanced Interrupt Architecture 1.0,
//! chapter 4), which sends each interrupt on as a message.
//!
//! It has two domains, each with registers of its own: the root, of M mode, and its only
//! child, of S mode. A source belongs to the child where the root delegates it, else to
//! the root. Direct delivery is not implemented, which the harts' IMSICs would hide anyway.
//!
//! Devices drive its inputs through [`IrqSink`] from whatever thread they run on. Inputs
//! and registers take the same lock, and messages are sent with it held.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoform_core::{BusFault, Device, IrqSink, MsiSink, RestoreError, Saved, Size};

use spec::SourceMode;

pub use saved::{AplicState, DomainState, SourceState};

/// Whose interrupts a domain has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// M mode: the root.
    Machine,
    /// S mode: its child.
    Supervisor,
}

/// The controller, shared between its inputs and its domains.
pub struct Aplic {
    inner: Mutex<Inner>,
}

struct Inner {
    // --- fixed configuration
    /// The page of S mode's first interrupt file, where nobody else sets the controller
    /// up: then everything is delegated from the start.
    delegated_to: Option<u64>,

    // --- connections
    messages: Arc<dyn MsiSink>,

    // --- guest-visible state
    /// The wires, by source; entry 0 is unused. Its length is the configuration.
    wires: Vec<bool>,
    root: Domain,
    child: Domain,
    addresses: Addresses,
}

/// Where messages go: page numbers, and how hart numbers are part of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Addresses {
    mmsiaddrcfg: u32,
    mmsiaddrcfgh: u32,
    smsiaddrcfg: u32,
    smsiaddrcfgh: u32,
}

/// What one level sees of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Domain {
    enabled: bool,
    genmsi: u32,
    /// By source, as [`Inner::wires`].
    sources: Vec<Source>,
}

/// A source in a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Source {
    sourcecfg: u32,
    target: u32,
    pending: bool,
    enabled: bool,
}

impl Source {
    fn mode(self) -> SourceMode {
        match self.sourcecfg & spec::SOURCECFG_D {
            0 => SourceMode::from_bits(self.sourcecfg),
            _ => SourceMode::Inactive,
        }
    }

    fn is_active(self) -> bool {
        self.mode() != SourceMode::Inactive
    }

    fn is_level(self) -> bool {
        matches!(self.mode(), SourceMode::Level0 | SourceMode::Level1)
    }

    /// The rectified input value (4.5.2).
    fn input(self, wire: bool) -> bool {
        match self.mode() {
            SourceMode::Inactive | SourceMode::Detached => false,
            SourceMode::Edge1 | SourceMode::Level1 => wire,
            SourceMode::Edge0 | SourceMode::Level0 => !wire,
        }
    }
}

impl Domain {
    fn new(sources: usize) -> Self {
        Self {
            enabled: false,
            genmsi: 0,
            sources: vec![Source::default(); sources],
        }
    }
}

impl Addresses {
    /// As firmware leaves them for S mode alone: pages of harts one behind the other.
    fn of_supervisor(page: u64) -> Self {
        // All bits of a hart's number are low ones: LHXW is as wide as it can be.
        const LHXW: u32 = 15 << 12;
        Self {
            mmsiaddrcfg: 0,
            mmsiaddrcfgh: spec::MMSIADDRCFGH_L | LHXW,
            smsiaddrcfg: (page >> 12) as u32,
            smsiaddrcfgh: (page >> 44) as u32 & 0xfff,
        }
    }

    fn is_locked(&self) -> bool {
        self.mmsiaddrcfgh & spec::MMSIADDRCFGH_L != 0
    }

    /// The address of a hart's interrupt file (4.9.1).
    fn of(&self, level: Level, hart: u32) -> u64 {
        let field = |shift: u32, width: u32| self.mmsiaddrcfgh >> shift & ((1 << width) - 1);
        let (hhxs, hhxw, lhxw) = (field(24, 5), field(16, 3), field(12, 4));
        let (low, high) = match level {
            Level::Machine => (self.mmsiaddrcfg, self.mmsiaddrcfgh),
            Level::Supervisor => (self.smsiaddrcfg, self.smsiaddrcfgh),
        };
        let lhxs = high >> 20 & 7;
        let base = u64::from(high & 0xfff) << 32 | u64::from(low);
        let group = u64::from(hart >> lhxw & ((1 << hhxw) - 1));
        let within = u64::from(hart & ((1 << lhxw) - 1));
        (base | group << (hhxs + 12) | within << lhxs) << 12
    }
}

impl Aplic {
    /// A controller with sources 1 to `sources` (at most 1023) that sends to `messages`.
    ///
    /// Where no firmware of M mode runs, `delegated_to` is the address of the interrupt
    /// files of S mode: the controller is as such firmware would leave it.
    pub fn new(sources: u32, messages: Arc<dyn MsiSink>, delegated_to: Option<u64>) -> Arc<Self> {
        let count = sources.min(spec::MAX_SOURCES - 1) as usize + 1;
        let mut inner = Inner {
            delegated_to,
            messages,
            wires: vec![false; count],
            root: Domain::new(count),
            child: Domain::new(count),
            addresses: Addresses::default(),
        };
        inner.reset();
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IrqSink for Aplic {
    /// Source 0 and sources beyond the last do not exist: setting them does nothing.
    fn set(&self, input: u32, level: bool) {
        self.lock().set_wire(input as usize, level);
    }
}

impl Inner {
    /// The wires keep what devices put on them.
    fn reset(&mut self) {
        let count = self.wires.len();
        (self.root, self.child) = (Domain::new(count), Domain::new(count));
        self.addresses = Addresses::default();
        if let Some(page) = self.delegated_to {
            self.addresses = Addresses::of_supervisor(page);
            for source in self.root.sources.iter_mut().skip(1) {
                source.sourcecfg = spec::SOURCECFG_D;
            }
        }
    }

    fn domain(&self, level: Level) -> &Domain {
        match level {
            Level::Machine => &self.root,
            Level::Supervisor => &self.child,
        }
    }

    fn domain_mut(&mut self, level: Level) -> &mut Domain {
        match level {
            Level::Machine => &mut self.root,
            Level::Supervisor => &mut self.child,
        }
    }

    /// The source in a domain that has it.
    fn source_mut(&mut self, level: Level, number: usize) -> Option<&mut Source> {
        let owned = number != 0 && (level == Level::Machine || self.is_delegated(number));
        let sources = &mut self.domain_mut(level).sources;
        sources.get_mut(number).filter(|_| owned)
    }

    fn is_delegated(&self, number: usize) -> bool {
        let source = self.root.sources.get(number);
        source.is_some_and(|s| s.sourcecfg & spec::SOURCECFG_D != 0)
    }

    fn set_wire(&mut self, number: usize, wire: bool) {
        let Some(old) = self.wires.get_mut(number).filter(|_| number != 0) else {
            return;
        };
        let before = std::mem::replace(old, wire);
        let level = match self.is_delegated(number) {
            true => Level::Supervisor,
            false => Level::Machine,
        };
        let Some(source) = self.source_mut(level, number) else {
            return;
        };
        // 4.7: a rise makes pending; of a level, its end takes that back.
        match (source.input(before), source.input(wire)) {
            (false, true) => source.pending = true,
            (_, false) if source.is_level() => source.pending = false,
            _ => {}
        }
        self.forward(level, number);
    }

    /// Sends a source's message where it is pending and enabled (4.9).
    fn forward(&mut self, level: Level, number: usize) {
        if !self.domain(level).enabled {
            return;
        }
        let Some(source) = self.source_mut(level, number) else {
            return;
        };
        if source.pending && source.enabled {
            source.pending = false;
            let target = source.target;
            self.send(level, target);
        }
    }

    fn send(&self, level: Level, target: u32) {
        let hart = target >> spec::TARGET_HART_SHIFT;
        let address = self.addresses.of(level, hart);
        self.messages.send(address, target & spec::TARGET_EIID);
    }

    /// Software makes a source pending, or no longer so, where it may (4.7).
    fn set_pending(&mut self, level: Level, number: usize, pending: bool) {
        let wire = self.wires.get(number).copied().unwrap_or(false);
        if let Some(source) = self.source_mut(level, number) {
            let may = !pending || !source.is_level() || source.input(wire);
            if source.is_active() && may {
                source.pending = pending;
            }
        }
        self.forward(level, number);
    }

    fn set_enabled(&mut self, level: Level, number: usize, enabled: bool) {
        if let Some(source) = self.source_mut(level, number)
            && source.is_active()
        {
            source.enabled = enabled;
        }
        self.forward(level, number);
    }

    fn write_sourcecfg(&mut self, level: Level, number: usize, value: u32) {
        let wire = self.wires.get(number).copied().unwrap_or(false);
        let delegates = value & spec::SOURCECFG_D != 0;
        let Some(source) = self.source_mut(level, number) else {
            return;
        };
        source.sourcecfg = match (delegates, level) {
            (true, Level::Machine) => spec::SOURCECFG_D,
            // A leaf has nobody to delegate to (4.5.2).
            (true, Level::Supervisor) => 0,
            (false, _) => SourceMode::from_bits(value) as u32,
        };
        if !source.is_active() {
            let sourcecfg = source.sourcecfg;
            *source = Source {
                sourcecfg,
                ..Source::default()
            };
        } else if source.is_level() {
            // An interrupt that is there already is not lost.
            source.pending = source.input(wire);
        }
        if level == Level::Machine
            && !delegates
            && let Some(source) = self.child.sources.get_mut(number)
        {
            *source = Source::default();
        }
        self.forward(level, number);
    }

    fn write_target(&mut self, level: Level, number: usize, value: u32) {
        if let Some(source) = self.source_mut(level, number)
            && source.is_active()
        {
            source.target = value & spec::TARGET_MASK;
        }
        self.forward(level, number);
    }

    /// The address registers are the root's, until they are locked.
    fn write_address(&mut self, offset: u64, value: u32) {
        let addresses = &mut self.addresses;
        if addresses.is_locked() {
            return;
        }
        match offset {
            spec::MMSIADDRCFG => addresses.mmsiaddrcfg = value,
            spec::MMSIADDRCFGH => addresses.mmsiaddrcfgh = value & spec::MMSIADDRCFGH_MASK,
            spec::SMSIADDRCFG => addresses.smsiaddrcfg = value,
            _ => addresses.smsiaddrcfgh = value & spec::SMSIADDRCFGH_MASK,
        }
    }

    fn read_address(&self, offset: u64) -> u32 {
        match offset {
            spec::MMSIADDRCFG => self.addresses.mmsiaddrcfg,
            spec::MMSIADDRCFGH => self.addresses.mmsiaddrcfgh,
            spec::SMSIADDRCFG => self.addresses.smsiaddrcfg,
            _ => self.addresses.smsiaddrcfgh,
        }
    }

    /// A bit of each of 32 sources.
    fn gather(&self, level: Level, word: usize, bit: impl Fn(&Source, bool) -> bool) -> u32 {
        let sources = self.domain(level).sources.iter().zip(&self.wires);
        let sources = sources.skip(word * 32).take(32).enumerate();
        sources.fold(0, |bits, (n, (source, wire))| {
            bits | u32::from(bit(source, *wire)) << n
        })
    }

    /// Calls `change` with each source whose bit is one.
    fn scatter(&mut self, word: usize, bits: u32, mut change: impl FnMut(&mut Self, usize)) {
        for n in (0..32).filter(|n| bits >> n & 1 != 0) {
            change(self, word * 32 + n);
        }
    }

    fn read(&self, level: Level, offset: u64) -> u32 {
        let domain = self.domain(level);
        let source = |number: usize| domain.sources.get(number).copied().unwrap_or_default();
        match Register::at(offset) {
            Register::DomainCfg => match domain.enabled {
                true => spec::DOMAINCFG_FIXED | spec::DOMAINCFG_IE,
                false => spec::DOMAINCFG_FIXED,
            },
            Register::SourceCfg(number) => source(number).sourcecfg,
            Register::Address if level == Level::Machine => self.read_address(offset),
            Register::Pending(word) => self.gather(level, word, |s, _| s.pending),
            Register::Input(word) => self.gather(level, word, |s, wire| s.input(wire)),
            Register::Enable(word) => self.gather(level, word, |s, _| s.enabled),
            Register::GenMsi => domain.genmsi,
            Register::Target(number) => source(number).target,
            _ => 0,
        }
    }

    fn write(&mut self, level: Level, offset: u64, value: u32) {
        let number = value as usize;
        match Register::at(offset) {
            Register::DomainCfg => {
                self.domain_mut(level).enabled = value & spec::DOMAINCFG_IE != 0;
                (1..self.wires.len()).for_each(|n| self.forward(level, n));
            }
            Register::SourceCfg(number) => self.write_sourcecfg(level, number, value),
            Register::Address if level == Level::Machine => self.write_address(offset, value),
            Register::Pending(word) => {
                self.scatter(word, value, |s, n| s.set_pending(level, n, true));
            }
            Register::Input(word) => {
                self.scatter(word, value, |s, n| s.set_pending(level, n, false));
            }
            Register::Enable(word) => {
                self.scatter(word, value, |s, n| s.set_enabled(level, n, true));
            }
            Register::Disable(word) => {
                self.scatter(word, value, |s, n| s.set_enabled(level, n, false));
            }
            Register::SetPending => self.set_pending(level, number, true),
            Register::ClearPending => self.set_pending(level, number, false),
            Register::SetEnable => self.set_enabled(level, number, true),
            Register::ClearEnable => self.set_enabled(level, number, false),
            Register::GenMsi => {
                // It has left at once: Busy is never seen.
                let target = value & spec::TARGET_MASK;
                self.domain_mut(level).genmsi = target;
                self.send(level, target);
            }
            Register::Target(number) => self.write_target(level, number, value),
            Register::Address | Register::Reserved => {}
        }
    }
}

/// What lies at an offset.
enum Register {
    DomainCfg,
    SourceCfg(usize),
    Address,
    Pending(usize),
    SetPending,
    Input(usize),
    ClearPending,
    Enable(usize),
    SetEnable,
    Disable(usize),
    ClearEnable,
    GenMsi,
    Target(usize),
    Reserved,
}

impl Register {
    /// The register at a four-byte aligned offset. Numbers may lie beyond what the
    /// instance has.
    fn at(offset: u64) -> Self {
        const LAST: u64 = 4 * (spec::MAX_SOURCES as u64 - 1);
        let word = |base: u64| ((offset - base) / 4) as usize;
        let array = |base: u64| (base..base + spec::ARRAY_BYTES).contains(&offset);
        match offset {
            spec::DOMAINCFG => Self::DomainCfg,
            spec::SOURCECFG..=LAST => Self::SourceCfg(word(0)),
            spec::MMSIADDRCFG..=spec::SMSIADDRCFGH => Self::Address,
            _ if array(spec::SETIP) => Self::Pending(word(spec::SETIP)),
            spec::SETIPNUM | spec::SETIPNUM_LE => Self::SetPending,
            _ if array(spec::IN_CLRIP) => Self::Input(word(spec::IN_CLRIP)),
            spec::CLRIPNUM => Self::ClearPending,
            _ if array(spec::SETIE) => Self::Enable(word(spec::SETIE)),
            spec::SETIENUM => Self::SetEnable,
            _ if array(spec::CLRIE) => Self::Disable(word(spec::CLRIE)),
            spec::CLRIENUM => Self::ClearEnable,
            spec::GENMSI => Self::GenMsi,
            spec::TARGET..spec::SIZE => Self::Target(word(spec::GENMSI)),
            _ => Self::Reserved,
        }
    }
}

/// A domain's registers, as the bus sees them. Only four-byte accesses are answered.
pub struct AplicDomain {
    aplic: Arc<Aplic>,
    level: Level,
}

impl AplicDomain {
    /// The register window of a domain of `aplic`.
    pub fn new(aplic: Arc<Aplic>, level: Level) -> Self {
        Self { aplic, level }
    }
}

impl Device for AplicDomain {
    fn name(&self) -> &'static str {
        "aplic"
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        match size {
            Size::B4 => Ok(u64::from(self.aplic.lock().read(self.level, offset))),
            _ => Err(BusFault),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match size {
            Size::B4 => {
                self.aplic.lock().write(self.level, offset, value as u32);
                Ok(())
            }
            _ => Err(BusFault),
        }
    }

    /// Both domains are reset, whichever is asked: they share their sources.
    fn reset(&mut self) {
        self.aplic.lock().reset();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.restore_bytes(bytes)
    }
}
