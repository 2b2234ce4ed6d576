//! What functions with interrupts have in common: configuration space, pin or messages,
//! reset.

use std::ops::Range;
use std::sync::Arc;

use isoform_core::{Device, IrqLine, MsiSink, RestoreError, Saved, Size};
use serde::{Deserialize, Serialize};

use super::config::{BarKind, ConfigSpace, touches};
use super::msix::{self, Msix, Vector};
use super::region::Region;
use super::spec::{Command, MsixControl, advanced, capability};

/// A function's common part.
pub struct Endpoint {
    // --- fixed configuration
    /// Where the BAR and the capability of MSI-X are, if the function has it.
    msix_place: Option<(u8, usize)>,
    /// The byte that resets the function.
    reset: Range<usize>,

    // --- connections
    irq: IrqLine,
    /// What the pin shows. Computed from state, and not saved: all functions share a lock
    /// behind it, which those that send messages need not take.
    shown: bool,

    // --- guest-visible state
    config: ConfigSpace,
    msix: Option<Msix>,
}

/// The state of an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    config: Vec<u8>,
    msix: Option<Vec<Vector>>,
}

/// Restores a function. Where that fails it is as after a reset.
pub(crate) fn restore<F: Device + Saved>(
    function: &mut F,
    bytes: &[u8],
) -> Result<(), RestoreError> {
    function.reset();
    let result = function.restore_bytes(bytes);
    if result.is_err() {
        function.reset();
    }
    result
}

impl Endpoint {
    /// A function whose pin is connected to `irq`.
    pub fn new(mut config: ConfigSpace, irq: IrqLine) -> Self {
        config.add_pin();
        let content = [advanced::LENGTH, advanced::CAPABILITIES, 0, 0];
        let at = config.add_capability(capability::ADVANCED_FEATURES, &content, &[]);
        let reset = at + advanced::CONTROL;
        Self {
            msix_place: None,
            reset: reset..reset + 1,
            irq,
            shown: false,
            config,
            msix: None,
        }
    }

    /// Gives the function MSI-X with `vectors` vectors, its table behind BAR `bar`.
    pub fn add_msix(&mut self, bar: u8, vectors: usize, sink: Arc<dyn MsiSink>) {
        let msix = Msix::new(vectors, sink);
        self.config.add_bar(bar, msix::BAR_BYTES, BarKind::Memory32);
        let (content, writable) = msix.capability(bar);
        let at = self
            .config
            .add_capability(capability::MSIX, &content, &writable);
        self.msix_place = Some((bar, at));
        self.msix = Some(msix);
    }

    /// The configuration space.
    pub fn config(&self) -> &ConfigSpace {
        &self.config
    }

    /// The configuration space, for what the function itself puts there.
    pub fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    /// What lies behind the BARs.
    pub fn regions(&self) -> Vec<Arc<Region>> {
        self.config.regions().to_vec()
    }

    /// Vectors that messages can have.
    pub fn vectors(&self) -> usize {
        self.msix.as_ref().map_or(0, Msix::len)
    }

    /// Whether the function may access memory.
    pub fn is_master(&self) -> bool {
        self.config.command().contains(Command::MASTER)
    }

    /// Whether the driver has chosen messages.
    pub fn uses_messages(&self) -> bool {
        self.msix_control().contains(MsixControl::ENABLE)
    }

    fn msix_control(&self) -> MsixControl {
        let word = self.msix_place.map_or(0, |(_, at)| self.config.word(at));
        MsixControl::from_bits_truncate((word >> 16) as u16)
    }

    /// Sends the message of a vector.
    pub fn message(&mut self, vector: u16) {
        if let Some(msix) = &mut self.msix {
            msix.raise(vector);
        }
    }

    /// The function wants its pin, or does not.
    pub fn set_pin(&mut self, wanted: bool) {
        self.config.want_interrupt(wanted);
        self.sync();
    }

    /// Computes the pin, and whether messages may be sent, from state.
    fn sync(&mut self) {
        let silent = self.config.command().contains(Command::INTX_DISABLE);
        let wanted = self.config.wants_interrupt() && !self.uses_messages();
        let level = wanted && !silent;
        if std::mem::replace(&mut self.shown, level) != level {
            self.irq.set(level);
        }
    }

    /// Forgets messages that were not sent.
    pub fn forget_messages(&mut self) {
        if let Some(msix) = &mut self.msix {
            msix.forget();
        }
    }

    fn open_messages(&mut self) {
        let control = self.msix_control();
        let masked = control.contains(MsixControl::FUNCTION_MASK);
        let open = self.uses_messages() && !masked && self.is_master();
        if let Some(msix) = &mut self.msix {
            msix.set_open(open);
        }
    }

    /// Writes the configuration space; whether the function is to be reset.
    #[must_use]
    pub fn write_config(&mut self, offset: u64, size: Size, value: u64) -> bool {
        self.config.write(offset, size, value);
        self.open_messages();
        self.sync();
        touches(offset, size, &self.reset) && {
            let at = self.reset.start as u64 - offset;
            (value >> (8 * at)) as u8 & advanced::INITIATE_FLR != 0
        }
    }

    /// Reads behind a BAR, if it is one of those here.
    pub fn read_bar(&self, bar: u8, offset: u64, size: Size) -> Option<u64> {
        let (own, msix) = (self.msix_place?.0, self.msix.as_ref()?);
        (bar == own).then(|| msix.read(offset, size))
    }

    /// Writes behind a BAR, if it is one of those here.
    pub fn write_bar(&mut self, bar: u8, offset: u64, size: Size, value: u64) {
        if let (Some((own, _)), Some(msix)) = (self.msix_place, &mut self.msix)
            && bar == own
        {
            msix.write(offset, size, value);
        }
    }

    /// As after power-on.
    pub fn reset(&mut self) {
        self.config.reset();
        if let Some(msix) = &mut self.msix {
            msix.reset();
        }
        self.sync();
    }

    /// The state now.
    pub fn state(&self) -> EndpointState {
        let Self {
            msix_place: _,
            reset: _,
            irq: _,
            shown: _,
            config,
            msix,
        } = self;
        EndpointState {
            config: config.state(),
            msix: msix.as_ref().map(Msix::state),
        }
    }

    /// Puts back a state of `name`. Messages that were pending and may be sent are sent.
    pub fn set_state(
        &mut self,
        name: &'static str,
        state: EndpointState,
    ) -> Result<(), RestoreError> {
        let EndpointState { config, msix } = state;
        let mismatch = |reason: &str| RestoreError::Mismatch {
            name,
            reason: reason.to_owned(),
        };
        if !self.config.set_state(&config) {
            return Err(mismatch("its configuration space is of another function"));
        }
        match (&mut self.msix, msix) {
            (Some(own), Some(state)) => own.set_state(name, state)?,
            (None, None) => {}
            _ => return Err(mismatch("one has MSI-X and the other has not")),
        }
        self.open_messages();
        self.sync();
        Ok(())
    }
}
