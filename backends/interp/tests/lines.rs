//! Decoded code at the edges of its lines, and more of it than there is room for.

use isoform_core::Exit;
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram};
use isoform_riscv::{Cpu, Hart, Wiring};
use std::sync::Arc;

const BASE: u64 = 0x8000_0000;
/// Bytes of a line.
const LINE: u64 = 512;
/// `addi x10, x10, 1`.
const ADD_1: u32 = 0x0015_0513;

/// A hart in M mode, to begin at an offset in RAM.
fn hart(at: u64) -> (Hart, Arc<Ram>) {
    let ram = Arc::new(Ram::new(BASE, 1 << 20).expect("a little RAM"));
    let wiring = Wiring::alone(Bus::new(ram.clone()));
    (Hart::new(0, Cpu::default(), BASE + at, wiring), ram)
}

fn put(ram: &Ram, at: u64, word: u32) {
    ram.write(BASE + at, &word.to_le_bytes()).expect("RAM");
}

/// `jal x0` by an offset below 2 KiB, and even.
fn jump(offset: u32) -> u32 {
    0x6f | (offset & 0x7fe) << 20
}

#[test]
fn an_instruction_across_two_lines_follows_its_second_half() {
    let at = LINE - 2;
    let (mut hart, ram) = hart(at);
    put(&ram, at, ADD_1);
    let mut interp = Interp::new(1 << 20);
    assert_eq!(interp.run(&mut hart, 1), Exit::Budget);
    assert_eq!(hart.state.x[10], 1);
    // The immediate is in the upper half.
    put(&ram, at, ADD_1 | 2 << 20);
    hart.state.pc = BASE + at;
    assert_eq!(interp.run(&mut hart, 1), Exit::Budget);
    assert_eq!(hart.state.x[10], 4);
}

#[test]
fn more_lines_than_there_is_room_for_take_turns() {
    let (mut hart, ram) = hart(0);
    let lines = 7;
    for line in 0..lines {
        put(&ram, line * LINE, ADD_1);
        let there = jump(LINE as u32 - 4);
        put(&ram, line * LINE + 4, there);
    }
    // One set of four lines.
    let mut interp = Interp::new(0);
    for round in 1..4 {
        hart.state.pc = BASE;
        assert_eq!(interp.run(&mut hart, 2 * lines), Exit::Budget);
        assert_eq!(hart.state.x[10], round * lines);
        assert_eq!(hart.state.pc, BASE + lines * LINE);
    }
    assert!(interp.counts().lines > lines, "they did take turns");
}
