//! Code that one translator kept is executed by another, whose code, vCPU, tables and RAM
//! lie elsewhere.

use crate::WHOLE;
use crate::program::Program;
use crate::rig::{FAULTS, Rig, Stopped};
use isoform_cranelift::Jit;
use isoform_riscv::Cpu;
use isoform_riscv::generate::Random;

/// The program from start to end, each access faulting once and then not.
fn run(rig: &mut Rig, program: &Program, seed: u64) {
    for (fault, page) in FAULTS.into_iter().zip(program.accesses.iter().cycle()) {
        for broken in [None, Some((*page, fault))] {
            rig.prepare(broken, seed);
            for _ in 0..10 {
                match rig.run(WHOLE, false) {
                    Stopped::Running => {}
                    Stopped::Ended => break,
                    Stopped::Trap { .. } => rig.resume(None),
                }
            }
        }
    }
}

fn is_kept(seed: u64, loops: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = || Some(folder.path().to_owned());
    let program = Program::random(Cpu::default().ext, loops, &mut Random(seed));
    let mut first = Rig::new(&program, kept(), Jit::eager);
    run(&mut first, &program, seed);
    let made = first.translator().stats();
    assert!(made.units > 0 && made.kept == 0, "{made:?}");
    let places = first.translator().stubs().to_vec();
    // The code is in the file when the translator is gone. What is made next may take its
    // place; as long as that is held, nothing else does.
    drop(first);
    let shared = |(a, b): (&(_, std::ops::Range<usize>), &(_, _))| a.1 == b.1;
    let mut held = Vec::new();
    let mut second = loop {
        let rig = Rig::new(&program, kept(), Jit::eager);
        if !places.iter().zip(rig.translator().stubs()).any(shared) {
            break rig;
        }
        held.push(rig);
        assert!(held.len() < 8, "it always lies there again");
    };
    run(&mut second, &program, seed);
    let used = second.translator().stats();
    // What else it runs than the first follows from where pieces end.
    assert_eq!(
        (used.units, used.kept),
        (made.units, made.units),
        "seed {seed}"
    );
}

#[test]
fn code_runs_wherever_it_lies() {
    for seed in 0..6 {
        is_kept(seed, seed % 2 == 0);
    }
}
