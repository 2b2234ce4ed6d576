//! Blocks of the baseline compiler's, in shapes that random programs do not have.

use isoform_core::Exit;
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram};
use isoform_riscv::{Cpu, Hart, State, Wiring};
use std::sync::Arc;

const BASE: u64 = 0x8000_0000;
const CACHE: usize = 1 << 20;

/// A hart in M mode, to begin at an offset of this code.
fn hart(code: &[u32], at: u64) -> Hart {
    let ram = Arc::new(Ram::new(BASE, 1 << 20).expect("a little RAM"));
    let bytes: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
    ram.write(BASE, &bytes).expect("it fits");
    Hart::new(0, Cpu::default(), BASE + at, Wiring::alone(Bus::new(ram)))
}

/// So many instructions in both forms, compared; the state that they come to.
fn same(code: &[u32], at: u64, insns: u64) -> State {
    let (mut one, mut other) = (hart(code, at), hart(code, at));
    let attention = one.lines().attention().clone();
    let translator = Translator::new(8 << 20, [attention], None).expect("a host with one");
    let mut jit = Jit::new(Arc::new(translator), 0, Interp::new(CACHE)).baseline();
    assert_eq!(jit.run(&mut one, insns), Exit::Budget);
    assert_eq!(Interp::new(CACHE).run(&mut other, insns), Exit::Budget);
    assert_eq!(one.state, other.state);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(jit.counts().translated, insns, "all of it was translated");
    } else {
        eprintln!("there is no baseline compiler for this host: all of it was interpreted");
    }
    other.state.clone()
}

/// A block goes on along jumps back, from where an address may be more than 2 GiB below
/// its entry.
#[test]
fn addresses_behind_a_jump_back_are_whole() {
    // auipc x10, 0x80000; jal x0, 0; …; jal x0, -16
    let code = [0x8000_0517, 0x0000_006f, 0, 0, 0xff1f_f06f];
    let state = same(&code, 16, 3);
    assert_eq!(state.x[10], BASE.wrapping_sub(1 << 31));
}

/// Division takes all registers that there are.
#[test]
fn all_divisions_are_blocks() {
    for (w, funct3) in [(0x33, 4), (0x33, 5), (0x33, 6), (0x33, 7)]
        .into_iter()
        .flat_map(|(w, f)| [(w, f), (w | 8, f)])
    {
        // li x11, -7; li x12, 2; div[u][w] or rem[u][w] x10, x11, x12
        let divide = 0x02c5_8533 & !0x7f | w | funct3 << 12;
        same(&[0xff90_0593, 0x0020_0613, divide], 0, 3);
    }
}
