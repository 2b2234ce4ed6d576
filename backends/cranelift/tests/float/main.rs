//! Floating point in translated code against the interpreter, which computes all of it
//! in integers (`isoform-softfloat`, held against other implementations by its own
//! tests): results, flags, `mstatus.FS`, bit for bit.

mod instructions;
mod rig;
mod values;

use instructions::{Instruction, Shape, all};
use isoform_cranelift::Jit;
use rig::{Case, Form, Random, Rig};
use values::{DOUBLES, INTEGERS, SINGLES};

/// `fcsr` before an instruction: flags and dynamic rounding mode.
fn control(rm: u32) -> Vec<u8> {
    let flags = [0, 1, 0x1e, 0x1f];
    match rm {
        // Looks at `frm`; 5 is reserved.
        7 => (0..6)
            .flat_map(|frm| [0, 1, 0x1e].map(|f| frm << 5 | f))
            .collect(),
        _ => flags.into_iter().chain([2 << 5, 2 << 5 | 1]).collect(),
    }
}

/// Operands that matter for an instruction: all pairs, and of triples a sample.
fn operands(instruction: &Instruction, random: &mut Random) -> Vec<[u64; 3]> {
    let values = match (instruction.shape, instruction.double) {
        (Shape::FromInt, _) => INTEGERS.to_vec(),
        (_, true) => DOUBLES
            .iter()
            .map(|v| v.to_bits())
            .chain(values::NANS_64)
            .collect(),
        (_, false) => values::boxed(SINGLES)
            .chain(values::ODD_32)
            .collect::<Vec<_>>(),
    };
    let pick = |random: &mut Random| values[random.below(values.len())];
    match instruction.operands {
        1 => values.iter().map(|a| [*a, *a, *a]).collect(),
        2 => values
            .iter()
            .flat_map(|a| values.iter().map(|b| [*a, *b, *a]))
            .collect(),
        _ => (0..3_000)
            .map(|_| [pick(random), pick(random), pick(random)])
            .collect(),
    }
}

/// Every instruction in every rounding mode on every operand that matters, in a region
/// that is left at once, and in one that loops and keeps its registers in variables.
fn every_instruction(loops: bool, form: Form) {
    let instructions = all();
    let mut rig = Rig::new(&instructions, loops, form);
    let mut random = Random(1);
    let mut cases = 0u64;
    for (n, instruction) in instructions.iter().enumerate() {
        let controls = control(instruction.rm);
        for operands in operands(instruction, &mut random) {
            for fcsr in &controls {
                let case = Case {
                    slot: n,
                    operands,
                    fcsr: *fcsr,
                    dirty: random.below(8) == 0,
                };
                rig.check(instruction, case);
                cases += 1;
            }
        }
    }
    let translated = rig.translated();
    println!("{cases} cases, {translated} instructions translated");
    // Reserved rounding modes trap, which the interpreter does.
    assert!(translated > cases * 3 / 4, "little of it was translated");
}

#[test]
fn every_instruction_does_what_the_soft_float_does() {
    every_instruction(false, Jit::eager);
    every_instruction(false, Jit::baseline);
}

#[test]
fn every_instruction_in_a_loop_does_what_the_soft_float_does() {
    every_instruction(true, Jit::eager);
}

/// Random programs: values stay in registers from one instruction to the next, are
/// loaded, stored, and seen in both formats; the state is looked at anywhere.
#[test]
fn random_programs_leave_the_same_state() {
    for seed in 0..60 {
        rig::random_program(seed, Jit::eager);
        rig::random_program(seed, Jit::baseline);
    }
}
