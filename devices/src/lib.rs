//! Emulated devices, one folder each: the model, its registers (`spec.rs`), its
//! saved state.
//!
//! A device is a deterministic function of its inputs. It sees register accesses
//! from the bus, time from a [`Clock`](isoform_core::Clock), and input and I/O
//! completions that the run loop delivers through methods of its own
//! ([`uart::Uart::receive`], for one). What it produces leaves through a connection
//! given at construction: an [`IrqLine`](isoform_core::IrqLine), a
//! [`CharSink`], a port trait. It never touches files, sockets or host time.
//!
//! Fields come in three groups: fixed configuration, connections, and the state
//! that the guest can see, which is what is saved. Interrupt lines are computed
//! from state in one place, a function called `sync`.
//!
//! * [`uart`]: 16550A serial port.
//! * [`plic`]: platform-level interrupt controller.
//! * [`imsic`]: the pages that message-signalled interrupts are written to.
//! * [`aplic`]: from interrupt lines to messages.
//! * [`aclint`]: timers and inter-processor interrupts.
//! * [`finisher`]: power off, reset, exit code.
//! * [`rtc`]: Goldfish real-time clock.
//! * [`htif`]: host-target interface of bare-metal test programs.
//! * [`pflash`]: parallel NOR flash that firmware runs from.
//! * [`fw_cfg`]: items that the machine hands to its firmware.
//! * [`nvme`]: NVM Express controller.
//! * [`pci`]: the bus, and what functions on it share.
//! * [`block`]: what block devices ask of whoever has the disk.
//! * [`doorbell`]: how a driver's notifications come to a device's work.
//! * [`virtio`]: transports, block device, console, network card, entropy.
//!
//! Invariant: a device imports no other device. `virtio` holds what virtio
//! devices share, `pci` what functions of PCI do.

pub mod aclint;
pub mod aplic;
pub mod block;
pub mod doorbell;
pub mod finisher;
pub mod fw_cfg;
pub mod htif;
pub mod imsic;
pub mod nvme;
pub mod pci;
pub mod pflash;
pub mod plic;
pub mod rtc;
pub mod sink;
pub mod uart;
pub mod virtio;

pub use sink::CharSink;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod testing;
