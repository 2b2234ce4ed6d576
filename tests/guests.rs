//! Real operating systems, run as a person runs them.
//!
//! Where no mirror can be reached, or a program that a test needs is not installed,
//! the test says that it is skipped and why; with `ISOFORM_REQUIRE_GUESTS=1` that is
//! a failure. Boots cost seconds, so each does the work of several checks.

#[path = "guests/command.rs"]
mod command;
#[path = "guests/disk.rs"]
mod disk;
#[path = "guests/efi.rs"]
mod efi;
#[path = "guests/ext4.rs"]
mod ext4;
#[path = "common/fat.rs"]
mod fat;
#[path = "guests/firmware.rs"]
mod firmware;
#[path = "common/image.rs"]
mod image;
#[path = "guests/interrupts.rs"]
mod interrupts;
#[path = "guests/lasting.rs"]
mod lasting;
#[path = "guests/machine.rs"]
mod machine;
#[path = "guests/netboot.rs"]
mod netboot;
#[path = "guests/network.rs"]
mod network;
#[path = "guests/nvme.rs"]
mod nvme;
#[path = "common/program.rs"]
mod program;
#[path = "guests/session.rs"]
mod session;
#[path = "guests/share.rs"]
mod share;
#[path = "guests/terminal.rs"]
mod terminal;
#[path = "guests/unpacked.rs"]
mod unpacked;
#[path = "guests/vsock.rs"]
mod vsock;
