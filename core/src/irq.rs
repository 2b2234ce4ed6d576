//! Interrupt lines: a device holds one and sets its level; where it leads is the
//! board's business.

use std::sync::Arc;

/// Something with interrupt inputs: an interrupt controller or a vCPU.
///
/// A sink is called with the caller's device lock held. It may take its own lock,
/// and must not call back into a device.
pub trait IrqSink: Send + Sync {
    /// Sets input `input` to `level`.
    fn set(&self, input: u32, level: bool);
}

/// Where message-signalled interrupts go: a device writes 32 bits to an address of its
/// driver's choice (PCI 3.0, 6.8). What is no address of an interrupt controller is lost;
/// a message never reaches memory or another device.
///
/// Called as an [`IrqSink`] is.
pub trait MsiSink: Send + Sync {
    /// Writes `data` to `address`.
    fn send(&self, address: u64, data: u32);
}

/// One end of an interrupt wire.
#[derive(Clone)]
pub struct IrqLine {
    sink: Option<Arc<dyn IrqSink>>,
    input: u32,
}

impl IrqLine {
    /// A wire to input `input` of `sink`.
    pub fn new(sink: Arc<dyn IrqSink>, input: u32) -> Self {
        Self {
            sink: Some(sink),
            input,
        }
    }

    /// A wire that leads nowhere.
    pub fn unconnected() -> Self {
        Self {
            sink: None,
            input: 0,
        }
    }

    /// Sets the level.
    pub fn set(&self, level: bool) {
        if let Some(sink) = &self.sink {
            sink.set(self.input, level);
        }
    }
}

impl std::fmt::Debug for IrqLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "IrqLine({}{})",
            self.input,
            if self.sink.is_some() { "" } else { ", open" }
        )
    }
}
