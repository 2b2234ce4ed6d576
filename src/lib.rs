//! Isoform, the product: a command line, boards, the run loop and the ways into
//! and out of a virtual machine.
//!
//! Rooms: [`cli`] turns words into a [`config::MachineConfig`], [`boot`] loads what
//! is to run, [`console`] is the host's side of the serial line.

pub mod board;
pub mod boot;
pub mod cli;
pub mod config;
pub mod console;
pub mod disk;
pub mod explain;
pub mod install;
pub mod vm;
