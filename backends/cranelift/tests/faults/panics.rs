//! A panic on the compiler's thread costs the region that it was at, and nothing else.

use crate::WHOLE;
use crate::program::Program;
use crate::rig::{Rig, Stopped};
use isoform_riscv::Cpu;
use isoform_riscv::generate::Random;

/// Whoever is told of units that were made may panic: on the compiler's thread, with a
/// unit half made known. An eager vCPU waits for what it asked for.
#[test]
fn a_compiler_that_panics_leaves_the_code_interpreted() {
    let program = Program::random(Cpu::default().ext, true, &mut Random(5));
    let mut rig = Rig::new(&program, None);
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
    assert_eq!(rig.translator().stats().units, 0, "none was made known");
}
