//! The controller, by the sentences of NVMe 1.4, with a driver that makes every mistake.

mod admin;
mod hostile;
mod io;
mod life;

use isoform_core::Size;
use proptest::prelude::*;

use super::testing::{
    BLOCKS, CC, CSTS, Cmd, DATA, ENABLED, RAM, Rig, config, cq, ready, rig_of, sq, started,
};
use super::*;
use crate::block::{BlockOp, DISCARD_MAX};
use crate::testing::{Access, any_access, transfer};

const READY: u32 = 1;
const FATAL: u32 = 2;
/// Status codes, with their types above.
const INVALID_OPCODE: u16 = 0x001;
const INVALID_FIELD: u16 = 0x002;
const TRANSFER_ERROR: u16 = 0x004;
const INTERNAL: u16 = 0x006;
const INVALID_NAMESPACE: u16 = 0x00b;
const SEQUENCE_ERROR: u16 = 0x00c;
const INVALID_OFFSET: u16 = 0x013;
const PROTECTED: u16 = 0x020;
const OUT_OF_RANGE: u16 = 0x080;
const NO_COMPLETION_QUEUE: u16 = 0x100;
const INVALID_QUEUE: u16 = 0x101;
const INVALID_SIZE: u16 = 0x102;
const EVENT_LIMIT: u16 = 0x105;
const INVALID_VECTOR: u16 = 0x108;
const INVALID_LOG: u16 = 0x109;
const INVALID_DELETION: u16 = 0x10c;
const NOT_SAVEABLE: u16 = 0x10d;
const WRITE_FAULT: u16 = 0x280;
const READ_ERROR: u16 = 0x281;

const FLUSH: u8 = 0;
const WRITE: u8 = 1;
const READ: u8 = 2;
const ZEROES: u8 = 8;
const DATASET: u8 = 9;

fn read(block: u64, count: u32) -> Cmd {
    Cmd::new(READ).prp(DATA, 0).blocks(block, count)
}

fn write(block: u64, count: u32) -> Cmd {
    Cmd::new(WRITE).prp(DATA, 0).blocks(block, count)
}

/// Content that no other block has.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 512 * 7 + i % 251) as u8).collect()
}

/// A list of PRP entries.
fn list(t: &Rig, at: u64, entries: &[u64]) {
    let bytes: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
    t.ram.write(at, &bytes).expect("in RAM");
}
