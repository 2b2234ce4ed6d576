//! Boards: which devices a machine has, where they are, and how the guest is told.
//!
//! [`virt::MAP`] is the one description that both the bus and the device tree come
//! from. [`Board`] is a board built: RAM, bus, the devices that the run loop talks to.

pub mod fdt;
mod interrupts;
mod slots;
mod virt;
mod watched;

pub use slots::{Slot, Virtio};
pub use virt::{Board, BoardError, Connections, FlashBank, MAP, Place};
