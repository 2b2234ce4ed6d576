//! PCI Express, as far as functions on the root complex's own bus need it: no bridges,
//! no links, no hot plug.
//!
//! * [`Root`]: bus 0, with the windows through which vCPUs reach it: configuration
//!   spaces (ECAM), memory, ports.
//! * [`ConfigSpace`]: a header of type 0 with BARs and capabilities.
//! * [`Endpoint`]: what functions share that interrupt and can be reset: pin, MSI-X,
//!   function-level reset.
//! * [`Intx`]: the four lines that all pins lead to.
//! * [`HostBridge`]: the root complex's own function.
//!
//! The guest may put regions anywhere: over each other (then the function in the slot
//! attached first answers), outside of the windows or over something else (then they
//! answer where a window is, if anywhere). An access that nobody answers reads as all
//! ones.
//!
//! Invariant: a vCPU that accesses a function takes that function's lock and no other.

pub mod address;
pub mod bridge;
pub mod config;
pub mod endpoint;
pub mod intx;
pub mod msix;
pub mod region;
pub mod root;
pub mod spec;
#[cfg(test)]
mod tests;

pub use address::Place;
pub use bridge::HostBridge;
pub use config::{BarKind, ConfigSpace, Identity};
pub(crate) use endpoint::restore;
pub use endpoint::{Endpoint, EndpointState};
pub use intx::Intx;
pub use region::Region;
pub use root::{Function, Root, SlotError};
