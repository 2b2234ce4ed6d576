//! Virtio devices (Virtual I/O Device specification 1.2) and what they share.
//!
//! * [`mmio`]: the transport over MMIO, modern and legacy.
//! * [`pci`]: the transport over PCI.
//! * [`transport`]: what transports share: status, negotiation, queue setup.
//! * [`queue`], [`chain`]: split virtqueues and the buffers in them.
//! * [`device`]: what a device is to its transport.
//! * [`packet`]: what devices share that send and receive packets.
//! * [`balloon`], [`blk`], [`console`], [`net`], [`p9`], [`rng`], [`vsock`]: the
//!   devices.
//!
//! A notification from the driver only rings the [`Doorbell`]. Whoever hears it locks
//! the device later and calls [`QueueSlot::process`]; so a vCPU never waits for
//! device work. Buffers lie in RAM and nowhere else: a device cannot reach registers,
//! its own included, through DMA.
//!
//! A driver that breaks the rules (a chain that loops, a ring outside of RAM) gets
//! DEVICE_NEEDS_RESET, and is not served until it resets the device.

pub mod balloon;
pub mod blk;
pub mod chain;
pub mod console;
pub mod device;
pub mod mmio;
pub mod net;
pub mod p9;
pub mod packet;
pub mod pci;
pub mod queue;
pub mod rng;
pub mod spec;
#[cfg(test)]
pub(crate) mod testing;
pub mod transport;
pub mod vsock;

pub use crate::doorbell::{Doorbell, QueueSlot};
pub use device::{NeedsReset, Queues, VirtioDevice};
pub use mmio::{EmptySlot, VirtioMmio};
pub use packet::{PacketPort, PacketSlot};
pub use pci::VirtioPci;
pub use transport::{Interface, Transport};
