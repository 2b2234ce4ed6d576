//! Two harts with the same program: one translated, one interpreted.

use crate::instructions::{Instruction, op_fp};
use crate::values::{DOUBLES, NANS_64, ODD_32, SINGLES, boxed};
use isoform_core::attention::CALM;
use isoform_core::{Exit, Guest, Size};
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram};
use isoform_riscv::{Cpu, Hart, State, Wiring};
use std::sync::Arc;

const BASE: u64 = 0x8000_0000;
/// Where programs begin; before it, FS is switched on.
const CODE: u64 = BASE + 0x1000;
const DATA: u64 = BASE + 0x10_0000;
const CACHE: usize = 1 << 20;
/// mstatus.FS: Clean, Dirty; and SD (Priv. 3.1.6).
const CLEAN: u64 = 2 << 13;
const DIRTY: u64 = 3 << 13;
const FS_SD: u64 = DIRTY | 1 << 63;

/// Reproducible numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ b >> 31
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn register(&mut self) -> u32 {
        self.below(6) as u32 + 1
    }
}

/// A hart in M mode with floating point on, and code at [`CODE`].
fn hart(code: &[u32]) -> Hart {
    let ram = Arc::new(Ram::new(BASE, 4 << 20).expect("a little RAM"));
    // lui x5, 4; csrs mstatus, x5
    let start = [0x0000_42b7, 0x3002_a073];
    for (at, words) in [(BASE, &start[..]), (CODE, code)] {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        ram.write(at, &bytes).expect("it fits");
    }
    let wiring = Wiring::alone(Bus::new(ram));
    let mut hart = Hart::new(0, Cpu::default(), BASE, wiring);
    assert_eq!(Interp::new(CACHE).run(&mut hart, 2), Exit::Budget);
    assert_eq!(hart.state.mstatus & DIRTY, CLEAN);
    hart
}

/// The two.
pub(crate) struct Rig {
    translated: Hart,
    interpreted: Hart,
    jit: Jit<Hart, Interp>,
    interp: Interp,
    loops: bool,
}

/// Which of its compilers the translator has.
pub(crate) type Form = fn(Jit<Hart, Interp>) -> Jit<Hart, Interp>;

/// What an instruction is tried on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The instruction's number.
    pub(crate) slot: usize,
    pub(crate) operands: [u64; 3],
    pub(crate) fcsr: u8,
    /// Whether FS is Dirty before.
    pub(crate) dirty: bool,
}

impl Rig {
    /// Each instruction with an illegal one after it, which ends its region, or with a jump
    /// back to it.
    pub(crate) fn new(instructions: &[Instruction], loops: bool, form: Form) -> Self {
        let after = if loops { 0xffdf_f06f } else { 0 };
        let code = instructions.iter().flat_map(|i| [i.encoding, after]);
        Self::with(&code.collect::<Vec<_>>(), loops, form)
    }

    fn with(code: &[u32], loops: bool, form: Form) -> Self {
        let translated = hart(code);
        let attention = translated.lines().attention().clone();
        let translator = Translator::new(32 << 20, [attention], None).expect("a host with one");
        Self {
            jit: form(Jit::new(Arc::new(translator), 0, Interp::new(CACHE))),
            interp: Interp::new(CACHE),
            translated,
            interpreted: hart(code),
            loops,
        }
    }

    /// Instructions that were executed as host code.
    pub(crate) fn translated(&self) -> u64 {
        self.jit.counts().translated
    }

    /// Executes one instruction both ways.
    pub(crate) fn check(&mut self, instruction: &Instruction, case: Case) {
        let budget = if self.loops { 2 } else { 1 };
        for hart in [&mut self.translated, &mut self.interpreted] {
            prepare(&mut hart.state, case);
        }
        self.jit.run(&mut self.translated, budget);
        self.interp.run(&mut self.interpreted, budget);
        self.compare(|| format!("{}: {instruction:x?}, {case:x?}", instruction.name));
    }

    fn compare(&self, what: impl Fn() -> String) {
        let (found, wanted) = (&self.translated.state, &self.interpreted.state);
        if found == wanted {
            return;
        }
        let text = |state: &State| format!("{state:#x?}");
        let (found, wanted) = (text(found), text(wanted));
        let lines = found.lines().zip(wanted.lines()).enumerate();
        let differ: Vec<_> = lines.filter(|(_, (a, b))| a != b).collect();
        panic!("{}: line, (translated, interpreted): {differ:?}", what());
    }
}

fn prepare(state: &mut State, case: Case) {
    let [a, b, c] = case.operands;
    state.f = [0x7ff8_dead_beef_0000; 32];
    (state.f[1], state.f[2], state.f[3]) = (a, b, c);
    (state.x[5], state.x[6]) = (0x55, a);
    state.pc = CODE + 8 * case.slot as u64;
    state.fcsr = case.fcsr;
    state.mstatus &= !FS_SD;
    state.mstatus |= if case.dirty { FS_SD } else { CLEAN };
}

/// Registers of a random program: `f[1]` to `f[6]`; `x[10]` leads to data, `x[11]` counts.
fn random_instruction(r: &mut Random) -> u32 {
    let fmt = (r.below(3) != 0) as u32;
    let (rd, rs1, rs2, rs3) = (r.register(), r.register(), r.register(), r.register());
    let rm = [0, 7, 7, 7, 1][r.below(5)];
    let offset = 8 * r.below(16) as u32;
    match r.below(18) {
        0..=2 => op_fp(0, fmt, rs2, rs1, rm, rd),
        3 => op_fp(1, fmt, rs2, rs1, rm, rd),
        4..=5 => op_fp(2, fmt, rs2, rs1, rm, rd),
        6 => op_fp(3, fmt, rs2, rs1, rm, rd),
        7 => op_fp(0x0b, fmt, 0, rs1, rm, rd),
        8 => rs3 << 27 | fmt << 25 | rs2 << 20 | rs1 << 15 | rm << 12 | rd << 7 | 0x43,
        9 => op_fp(4 + r.below(2) as u32, fmt, rs2, rs1, r.below(2) as u32, rd),
        // Between formats.
        10 => op_fp(8, fmt, 1 - fmt, rs1, rm, rd),
        // Comparisons and conversions to x[5], and back.
        11 => op_fp(0x14, fmt, rs2, rs1, r.below(3) as u32, 5),
        12 => op_fp(0x18, fmt, r.below(4) as u32, rs1, rm, 5),
        13 => op_fp(0x1a, fmt, r.below(4) as u32, 5, rm, rd),
        // csrwi frm, reserved modes among them, and csrwi fflags.
        16 => 2 << 20 | [0, 0, 1, 3, 5][r.below(5)] << 15 | 5 << 12 | 0x73,
        17 => 1 << 20 | (r.below(2) as u32) << 15 | 5 << 12 | 0x73,
        // flw and fld, fsw and fsd.
        14 => offset << 20 | 10 << 15 | (2 + fmt) << 12 | rd << 7 | 0x07,
        _ => {
            let (high, low) = (offset >> 5, offset & 31);
            high << 25 | rs2 << 20 | 10 << 15 | (2 + fmt) << 12 | low << 7 | 0x27
        }
    }
}

/// A loop of random instructions, or a sequence of them, from random values.
pub(crate) fn random_program(seed: u64, form: Form) {
    let r = &mut Random(seed * 1_000_003);
    let loops = !seed.is_multiple_of(4);
    let mut code: Vec<u32> = (0..4 + r.below(24))
        .map(|_| random_instruction(r))
        .collect();
    if loops {
        // addi x11, x11, -1; bne x11, x0, to the start
        let back = -4 * (code.len() as i32 + 1);
        let bits = |from: i32, count: i32| (back >> from) as u32 & ((1 << count) - 1);
        let branch = bits(12, 1) << 31 | bits(5, 6) << 25 | bits(1, 4) << 8 | bits(11, 1) << 7;
        code.extend([0xfff5_8593, branch | 11 << 15 | 1 << 12 | 0x63]);
    }
    // ebreak
    let length = code.len() as u64;
    code.push(0x0010_0073);
    let mut rig = Rig::with(&code, loops, form);
    let values: Vec<u64> = (DOUBLES.iter().map(|v| v.to_bits()))
        .chain(boxed(SINGLES))
        .chain(NANS_64)
        .chain(ODD_32)
        .collect();
    for round in 0..40 {
        for hart in [&mut rig.translated, &mut rig.interpreted] {
            let r = &mut Random(seed << 16 | round);
            start(hart, &values, r);
        }
        for piece in 0..12 {
            // Translated loops go round only while so many are left.
            let rounds = if r.below(2) == 0 { CALM } else { 0 };
            let budget = 1 + r.below(3 * length as usize) as u64 + rounds;
            rig.jit.run(&mut rig.translated, budget);
            // It may have been at the ebreak.
            let done = rig.translated.state.icount - rig.interpreted.state.icount;
            rig.interp.run(&mut rig.interpreted, done);
            rig.compare(|| format!("seed {seed}, round {round}, piece {piece}, {code:x?}"));
            if !(CODE..CODE + 4 * length).contains(&rig.translated.state.pc) {
                break;
            }
        }
        let data = |hart: &Hart| {
            (0..16)
                .map(|n| hart.ram().load(DATA + 8 * n, Size::B8))
                .collect::<Vec<_>>()
        };
        assert_eq!(data(&rig.translated), data(&rig.interpreted), "seed {seed}");
    }
    assert!(rig.translated() > 0, "nothing was translated");
}

fn start(hart: &mut Hart, values: &[u64], r: &mut Random) {
    // Mostly what arithmetic is on: then the common case goes on for longer.
    let usual = |r: &mut Random| match r.below(4) {
        0 => values[r.below(values.len())],
        1 => !0 << 32 | u64::from((r.next() as u32 as f32 / 1e8).to_bits()),
        2 => (r.below(100) as f64).to_bits(),
        _ => (r.next() as f64 / 1e18).to_bits(),
    };
    let state = &mut hart.state;
    state.f.iter_mut().for_each(|f| *f = usual(r));
    (state.x[5], state.x[10], state.x[11]) = (r.next(), DATA, 5);
    state.pc = CODE;
    state.fcsr = [0, 1, 0x1f, 1, 1 << 5, 0x21][r.below(6)];
    state.mstatus = state.mstatus & !FS_SD | [CLEAN, FS_SD][r.below(2)];
    for n in 0..16 {
        let value = usual(r);
        hart.ram().store(DATA + 8 * n, Size::B8, value);
    }
    debug_assert_eq!(hart.pc(), CODE);
}
