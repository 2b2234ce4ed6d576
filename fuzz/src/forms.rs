//! One program in three forms: interpreted, as blocks of the baseline compiler's, as
//! regions of Cranelift's. What comes of it is the same. Skipped where the host has no
//! translator.

use isoform_core::Exit;
use isoform_core::attention::CALM;
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram};
use isoform_riscv::generate::{Encoding, Random, long, short};
use isoform_riscv::table::{FORMS, SHORT_FORMS};
use isoform_riscv::{Cpu, Hart, Wiring};
use std::sync::Arc;

use crate::input::Input;

const BASE: u64 = 0x8000_0000;
const SIZE: u64 = 1 << 18;
/// Two pages of code, which nobody can write to: stores that no fence follows may be seen
/// later in one form than in the other.
const CODE: u64 = 2 << 12;
/// Where traps go: behind the instruction, or somewhere in the code where that lies outside.
const HANDLER: u64 = BASE + CODE - 64;
/// csrr x31, mepc; addi x31, x31, 4; slli x31, x31, 51; srli x31, x31, 51; li x30, 1; slli
/// x30, x30, 31; add x31, x31, x30; csrw mepc, x31; mret
const HANDLER_CODE: [u32; 9] = [
    0x3410_2ff3,
    0x004f_8f93,
    0x033f_9f93,
    0x033f_df93,
    0x0010_0f13,
    0x01ff_1f13,
    0x01ef_8fb3,
    0x341f_9073,
    0x3020_0073,
];
const CACHE: usize = 1 << 20;
/// Pieces that the forms run in, from one comparison to the next.
const PIECES: usize = 12;

/// Runs the program that `data` is.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let seed = input.word();
    let budgets: Vec<u64> = (0..PIECES).map(|_| u64::from(input.byte())).collect();
    let code = program(&mut input);
    let forms: [fn(_) -> _; 2] = [Jit::baseline, Jit::eager];
    for form in forms {
        let (mut one, mut other) = (hart(&code, seed), hart(&code, seed));
        let mut interp = Interp::new(CACHE);
        let attention = one.lines().attention().clone();
        let Ok(translator) = Translator::new(4 << 20, [attention], None) else {
            return;
        };
        let mut jit: Jit<Hart, Interp> =
            form(Jit::new(Arc::new(translator), 0, Interp::new(CACHE)));
        for budget in &budgets {
            // Loops go round in translated code only while so many are left.
            let budget = 1 + budget + if budget & 1 == 0 { CALM } else { 0 };
            let exits = (jit.run(&mut one, budget), interp.run(&mut other, budget));
            assert_eq!(one.state, other.state);
            assert_eq!(exits.0, exits.1);
            if !matches!(exits.0, Exit::Budget) {
                break;
            }
        }
        assert!(memory(&one) == memory(&other), "memory differs");
    }
}

/// Instructions of the decode table's, and some bits that are none; over and over, so that
/// no way leads out of them.
fn program(input: &mut Input<'_>) -> Vec<u8> {
    let ext = Cpu::default().ext;
    let mut code = Vec::new();
    while !input.is_empty() {
        let (kind, choice) = (input.byte(), input.word());
        let r = &mut Random(choice);
        let encoding = match kind {
            0..160 => {
                long(&FORMS[r.below(FORMS.len() as u64) as usize], ext, r).map(Encoding::Long)
            }
            160..248 => {
                let form = &SHORT_FORMS[r.below(SHORT_FORMS.len() as u64) as usize];
                short(form, ext, r).map(Encoding::Short)
            }
            _ => Some(Encoding::of(choice as u32)),
        };
        if let Some(encoding) = encoding {
            encoding.write(&mut code);
        }
    }
    let room = (HANDLER - BASE) as usize;
    code.iter().copied().cycle().take(room).collect()
}

/// A hart in M mode at the start of the code. Many registers lead to memory.
fn hart(code: &[u8], seed: u64) -> Hart {
    let ram = Arc::new(Ram::new(BASE, SIZE).expect("a little RAM"));
    let handler: Vec<u8> = HANDLER_CODE.iter().flat_map(|w| w.to_le_bytes()).collect();
    for (at, bytes) in [(BASE, code), (HANDLER, &handler[..])] {
        ram.write(at, bytes).expect("it fits");
    }
    let mut hart = Hart::new(0, Cpu::default(), BASE, Wiring::alone(Bus::new(ram)));
    let r = &mut Random(seed);
    for x in &mut hart.state.x[1..] {
        *x = match r.below(3) {
            0 => r.word(),
            _ => BASE + CODE + r.below(SIZE - CODE),
        };
    }
    hart.state.f.iter_mut().for_each(|f| *f = r.word());
    hart.state.mtvec = HANDLER;
    // Floating point on (Priv. 3.1.6.6); the code locked, to read and execute (Priv. 3.7.1).
    hart.state.mstatus |= 1 << 13;
    hart.state.pmpaddr[0] = BASE >> 2 | (CODE / 8 - 1);
    hart.state.pmpcfg[0] = 0x9d;
    hart.refresh();
    hart
}

fn memory(hart: &Hart) -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    hart.ram().read(BASE, &mut bytes).expect("all of it");
    bytes
}
