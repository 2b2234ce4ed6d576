//! A device whose deadline somebody wants to know.

use isoform_core::{BusFault, Device, RestoreError, Size};
use std::sync::Arc;

/// Passes everything on to a device, and says when an access changed its deadline.
pub(super) struct Watched<D> {
    device: D,
    changed: Arc<dyn Fn() + Send + Sync>,
}

impl<D: Device> Watched<D> {
    /// Calls `changed`, with the device's lock held, after the deadline changed.
    pub(super) fn new(device: D, changed: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { device, changed }
    }

    fn watch<T>(&mut self, access: impl FnOnce(&mut D) -> T) -> T {
        let before = self.device.deadline();
        let result = access(&mut self.device);
        if self.device.deadline() != before {
            (self.changed)();
        }
        result
    }
}

impl<D: Device> Device for Watched<D> {
    fn name(&self) -> &'static str {
        self.device.name()
    }
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        self.device.read(offset, size)
    }
    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        self.watch(|d| d.write(offset, size, value))
    }
    fn reset(&mut self) {
        self.watch(|d| d.reset());
    }
    fn expire(&mut self) {
        self.device.expire();
    }
    fn deadline(&self) -> Option<u64> {
        self.device.deadline()
    }
    fn save(&self) -> Vec<u8> {
        self.device.save()
    }
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.watch(|d| d.restore(bytes))
    }
}
