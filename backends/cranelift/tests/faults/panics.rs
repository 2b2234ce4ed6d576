//! A panic of a compiler costs the code that it was at, and nothing else.

use crate::WHOLE;
use crate::program::Program;
use crate::rig::{FORMS, Form, Rig, Stopped};
use isoform_riscv::Cpu;
use isoform_riscv::generate::Random;

/// Whoever is told of units that were made may panic: on the compiler's thread or the
/// vCPU's, with a unit half made known. An eager vCPU waits for what it asked for.
#[test]
fn a_compiler_that_panics_leaves_the_code_interpreted() {
    let program = Program::random(Cpu::default().ext, true, &mut Random(5));
    for form in FORMS {
        panics(&program, form);
    }
}

fn panics(program: &Program, form: Form) {
    let mut rig = Rig::new(program, None, form);
    rig.translator().watch(|_| panic!("as the test wants it"));
    for seed in 0..3 {
        rig.prepare(None, seed);
        for _ in 0..10 {
            match rig.run(WHOLE, false) {
                Stopped::Running => {}
                Stopped::Ended => break,
                Stopped::Trap { .. } => rig.resume(None),
            }
        }
    }
    let made = rig.translator().stats();
    assert_eq!((made.units, made.blocks), (0, 0), "none was made known");
}
