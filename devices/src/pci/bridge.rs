//! The host bridge: the function by which the root complex shows itself on its bus.

use std::sync::Arc;

use isoform_core::{BusFault, Device, RestoreError, Saved, Size};
use serde::{Deserialize, Serialize};

use super::address::Place;
use super::config::{ConfigSpace, Identity};
use super::region::Region;
use super::root::Function;
use super::spec::class;

/// That of QEMU's generic host bridge, by which drivers and firmware may know it.
const IDENTITY: Identity = Identity {
    vendor: 0x1b36,
    device: 0x0008,
    revision: 0,
    class: class::BRIDGE_HOST,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// The host bridge: a header, and nothing behind it.
#[derive(Debug)]
pub struct HostBridge {
    config: ConfigSpace,
}

/// The state of a [`HostBridge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeState {
    config: Vec<u8>,
}

impl Default for HostBridge {
    fn default() -> Self {
        Self {
            config: ConfigSpace::new(IDENTITY),
        }
    }
}

impl Function for HostBridge {
    fn regions(&self) -> Vec<Arc<Region>> {
        Vec::new()
    }
}

impl Device for HostBridge {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        Ok(match Place::from(offset) {
            Place::Config(at) => self.config.read(at, size),
            Place::Bar { .. } => size.truncate(u64::MAX),
        })
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        if let Place::Config(at) = Place::from(offset) {
            self.config.write(at, size, value);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.config.reset();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}

impl Saved for HostBridge {
    type State = BridgeState;
    const NAME: &'static str = "pci-host";
    const VERSION: u16 = 1;

    fn state(&self) -> BridgeState {
        let Self { config } = self;
        BridgeState {
            config: config.state(),
        }
    }

    fn set_state(&mut self, state: BridgeState) -> Result<(), RestoreError> {
        let BridgeState { config } = state;
        match self.config.set_state(&config) {
            true => Ok(()),
            false => Err(RestoreError::Mismatch {
                name: Self::NAME,
                reason: "its configuration space is of another function".to_owned(),
            }),
        }
    }
}
