//! Platform-level interrupt controller, as on QEMU's `virt` board.
//!
//! Devices drive its inputs through [`IrqSink`] from whatever thread they run on;
//! harts claim and complete through [`PlicDevice`]. Both take the same leaf lock, and
//! the outputs, one line a context, are set with that lock held, so that they always
//! show the state last computed.
//!
//! Inputs are level-triggered: a gateway passes one request on while the level is
//! high, and none more until the one passed on has been completed (PLIC spec,
//! "Interrupt Gateways").

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoform_core::{BusFault, Device, IrqLine, IrqSink, RestoreError, Saved, Size};

use spec::{CLAIM_COMPLETE, CONTEXT, ENABLE, PENDING, PRIORITY_MASK, THRESHOLD};

pub use saved::{ContextState, PlicState};

/// The controller, shared between its inputs and its registers.
pub struct Plic {
    inner: Mutex<Inner>,
}

struct Inner {
    // --- connections
    outputs: Vec<IrqLine>,

    // --- guest-visible state. Bit `n % 32` of word `n / 32` belongs to source `n`.
    /// By source; entry 0 is unused and stays 0. Its length is the configuration.
    priority: Vec<u32>,
    level: Vec<u32>,
    pending: Vec<u32>,
    /// Claimed and not completed: the gateway is shut.
    in_service: Vec<u32>,
    contexts: Vec<Context>,
}

/// What one context (a hart's mode) sees of the controller.
#[derive(Clone, Debug)]
struct Context {
    enable: Vec<u32>,
    threshold: u32,
}

impl Plic {
    /// A controller with sources 1 to `sources` (at most 1023), and one context for
    /// each of `outputs`: on `virt`, M and S of hart 0, M and S of hart 1, and so on.
    pub fn new(sources: u32, outputs: Vec<IrqLine>) -> Arc<Self> {
        let count = sources.min(spec::MAX_SOURCES - 1) as usize + 1;
        let words = count.div_ceil(32);
        let context = Context {
            enable: vec![0; words],
            threshold: 0,
        };
        Arc::new(Self {
            inner: Mutex::new(Inner {
                priority: vec![0; count],
                level: vec![0; words],
                pending: vec![0; words],
                in_service: vec![0; words],
                contexts: vec![context; outputs.len()],
                outputs,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IrqSink for Plic {
    /// Source 0 and sources beyond the last do not exist: setting them does nothing.
    fn set(&self, input: u32, level: bool) {
        self.lock().set_level(input, level);
    }
}

/// Bit `source` of a bit map; `false` beyond its end.
fn bit(map: &[u32], source: u32) -> bool {
    map.get(source as usize / 32)
        .is_some_and(|word| word >> (source % 32) & 1 != 0)
}

/// Sets bit `source` of a bit map, where it has one.
fn set_bit(map: &mut [u32], source: u32, value: bool) {
    if let Some(word) = map.get_mut(source as usize / 32) {
        let mask = 1 << (source % 32);
        *word = if value { *word | mask } else { *word & !mask };
    }
}

impl Inner {
    fn exists(&self, source: u32) -> bool {
        source != 0 && (source as usize) < self.priority.len()
    }

    /// The bits of word `index` that belong to sources.
    fn word_mask(&self, index: usize) -> u32 {
        let first = index * 32;
        let count = self.priority.len().saturating_sub(first).min(32);
        let mask = u32::MAX.checked_shr(32 - count as u32).unwrap_or(0);
        if index == 0 { mask & !1 } else { mask }
    }

    fn set_level(&mut self, source: u32, level: bool) {
        if !self.exists(source) || bit(&self.level, source) == level {
            return;
        }
        set_bit(&mut self.level, source, level);
        // A request passed on stays, even when the level falls before the claim.
        if level && !bit(&self.in_service, source) {
            set_bit(&mut self.pending, source, true);
            self.sync();
        }
    }

    /// The pending and enabled source of the highest priority; the lowest number
    /// among equals, 0 if there is none.
    fn best(&self, context: &Context) -> (u32, u32) {
        let (mut source, mut priority) = (0, 0);
        for (index, (pending, enable)) in self.pending.iter().zip(&context.enable).enumerate() {
            let mut word = pending & enable;
            while word != 0 {
                let n = index * 32 + word.trailing_zeros() as usize;
                word &= word - 1;
                let p = self.priority.get(n).copied().unwrap_or(0);
                if p > priority {
                    (source, priority) = (n as u32, p);
                }
            }
        }
        (source, priority)
    }

    /// Computes the outputs from state.
    fn sync(&self) {
        for (context, output) in self.contexts.iter().zip(&self.outputs) {
            output.set(self.best(context).1 > context.threshold);
        }
    }

    /// The threshold plays no part in a claim (PLIC spec, "Interrupt Claims").
    fn claim(&mut self, index: usize) -> u32 {
        let Some(context) = self.contexts.get(index) else {
            return 0;
        };
        let source = self.best(context).0;
        if source != 0 {
            set_bit(&mut self.pending, source, false);
            set_bit(&mut self.in_service, source, true);
            self.sync();
        }
        source
    }

    /// Completion of a source not enabled for the context is ignored (PLIC spec,
    /// "Interrupt Completion"); nobody checks who claimed it.
    fn complete(&mut self, index: usize, source: u32) {
        let enabled = self
            .contexts
            .get(index)
            .is_some_and(|c| bit(&c.enable, source));
        if !enabled || !bit(&self.in_service, source) {
            return;
        }
        set_bit(&mut self.in_service, source, false);
        if bit(&self.level, source) {
            set_bit(&mut self.pending, source, true);
        }
        self.sync();
    }

    fn read(&mut self, offset: u64) -> u32 {
        match Register::at(offset) {
            Register::Priority(source) => self.priority.get(source).copied().unwrap_or(0),
            Register::Pending(word) => self.pending.get(word).copied().unwrap_or(0),
            Register::Enable(context, word) => self
                .contexts
                .get(context)
                .and_then(|c| c.enable.get(word))
                .copied()
                .unwrap_or(0),
            Register::Threshold(context) => self.contexts.get(context).map_or(0, |c| c.threshold),
            Register::Claim(context) => self.claim(context),
            Register::Reserved => 0,
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        match Register::at(offset) {
            Register::Priority(0) => {}
            Register::Priority(source) => {
                if let Some(priority) = self.priority.get_mut(source) {
                    *priority = value & PRIORITY_MASK;
                }
            }
            Register::Enable(context, word) => {
                let mask = self.word_mask(word);
                if let Some(enable) = self
                    .contexts
                    .get_mut(context)
                    .and_then(|c| c.enable.get_mut(word))
                {
                    *enable = value & mask;
                }
            }
            Register::Threshold(context) => {
                if let Some(context) = self.contexts.get_mut(context) {
                    context.threshold = value & PRIORITY_MASK;
                }
            }
            Register::Claim(context) => return self.complete(context, value),
            Register::Pending(_) | Register::Reserved => return,
        }
        self.sync();
    }

    fn reset(&mut self) {
        self.priority.fill(0);
        self.level.fill(0);
        self.pending.fill(0);
        self.in_service.fill(0);
        for context in &mut self.contexts {
            context.enable.fill(0);
            context.threshold = 0;
        }
        self.sync();
    }
}

/// What lies at an offset.
enum Register {
    Priority(usize),
    Pending(usize),
    Enable(usize, usize),
    Threshold(usize),
    Claim(usize),
    Reserved,
}

impl Register {
    /// The register at a four-byte aligned offset. Numbers may lie beyond what the
    /// instance has.
    fn at(offset: u64) -> Self {
        let word = |base: u64| ((offset - base) / 4) as usize;
        match offset {
            0..PENDING => Self::Priority(word(0)),
            PENDING..ENABLE => Self::Pending(word(PENDING)),
            ENABLE..CONTEXT => {
                let within = offset - ENABLE;
                Self::Enable(
                    (within / spec::ENABLE_STRIDE) as usize,
                    (within % spec::ENABLE_STRIDE / 4) as usize,
                )
            }
            CONTEXT..spec::END => {
                let within = offset - CONTEXT;
                let context = (within / spec::CONTEXT_STRIDE) as usize;
                match within % spec::CONTEXT_STRIDE {
                    THRESHOLD => Self::Threshold(context),
                    CLAIM_COMPLETE => Self::Claim(context),
                    _ => Self::Reserved,
                }
            }
            _ => Self::Reserved,
        }
    }
}

/// The controller's registers, as the bus sees them. Only four-byte accesses are
/// answered.
pub struct PlicDevice(Arc<Plic>);

impl PlicDevice {
    /// The register window of `plic`.
    pub fn new(plic: Arc<Plic>) -> Self {
        Self(plic)
    }
}

impl Device for PlicDevice {
    fn name(&self) -> &'static str {
        "plic"
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        match size {
            Size::B4 => Ok(u64::from(self.0.lock().read(offset))),
            _ => Err(BusFault),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match size {
            Size::B4 => {
                self.0.lock().write(offset, value as u32);
                Ok(())
            }
            _ => Err(BusFault),
        }
    }

    /// The inputs are taken to be low until a device sets them again.
    fn reset(&mut self) {
        self.0.lock().reset();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}
