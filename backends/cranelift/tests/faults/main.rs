//! Every access of a program faults once, in each way there is, in every round of a loop:
//! what a translated hart then has is what an interpreted one has, in all registers and
//! all of memory, wherever the two are looked at.

mod panics;
mod program;
mod relocation;
mod rig;

use isoform_core::attention::CALM;
use isoform_cranelift::Jit;
use isoform_riscv::Cpu;
use isoform_riscv::generate::Random;
use program::{Program, ROUNDS};
use rig::{FAULTS, FORMS, Fault, Form, Rig, START, Stopped};
use std::collections::HashSet;

/// Programs that are tried; `ISOFORM_SEEDS` says otherwise.
const PROGRAMS: u64 = 12;
/// More instructions than a program has in all of its rounds.
const WHOLE: u64 = 600;

/// What faulted: how the page was wrong, the instruction, and the address.
type Seen = HashSet<(u8, u64, u64)>;

struct Tried<'a> {
    program: &'a Program,
    rig: Rig,
    seen: Seen,
    faults: u64,
}

impl Tried<'_> {
    /// A run with something wrong with a page, in pieces.
    fn run(&mut self, page: u64, fault: Fault, r: &mut Random) {
        self.rig.prepare(Some((page, fault)), r.next());
        for _ in 0..40 {
            // In one piece three times out of four.
            let budget = match r.below(8) {
                0 => 1 + r.below(40),
                // Translated loops go round only while so many are left.
                1 => CALM + r.below(40),
                _ => WHOLE,
            };
            let mended = match self.rig.run(budget, r.one_in(8)) {
                Stopped::Running => continue,
                Stopped::Ended => return,
                Stopped::Trap { cause, pc, address } => {
                    // Page and access faults of loads and stores (Priv. 3.1.15).
                    let faulted = matches!(cause, 5 | 7 | 13 | 15);
                    self.faults += u64::from(faulted);
                    if faulted {
                        self.seen.insert((fault as u8, pc - START, address));
                    }
                    (faulted && r.one_in(2)).then_some(page)
                }
            };
            if mended.is_some() && r.one_in(2) {
                return;
            }
            self.rig.resume(mended);
        }
    }

    fn all(&mut self, r: &mut Random) {
        let rounds = if self.program.loops { ROUNDS } else { 1 };
        for fault in FAULTS {
            for (access, round) in (self.program.accesses.clone().into_iter())
                .flat_map(|access| (0..rounds).map(move |round| (access, round)))
            {
                for beyond in 0..2 {
                    self.run(access + 2 * round + beyond, fault, r);
                }
            }
        }
    }
}

fn programs(loops: bool, form: Form) {
    let asked = std::env::var("ISOFORM_SEEDS").ok();
    let count = asked.map_or(PROGRAMS, |n| n.parse().expect("ISOFORM_SEEDS is a number"));
    let (mut wanted, mut faults, mut all, mut left) = (0, 0, 0, 0);
    for seed in 0..count {
        println!("seed {seed}, loops: {loops}");
        let r = &mut Random(seed << 1 | u64::from(loops));
        let program = Program::random(Cpu::default().ext, loops, r);
        let mut tried = Tried {
            rig: Rig::new(&program, None, form),
            program: &program,
            seen: Seen::new(),
            faults: 0,
        };
        tried.all(r);
        wanted += program.accesses.len();
        let unmapped = tried.seen.iter().filter(|(fault, ..)| *fault == 0);
        faults += unmapped.count();
        (all, left) = (all + tried.faults, left + tried.rig.left());
    }
    let rounds = if loops { ROUNDS as usize } else { 1 };
    println!("{wanted} accesses, {faults} places met unmapped pages");
    println!("{all} faults, {left} of them or of device accesses in translated code");
    // Some accesses stay in the page of their first round, some are misaligned atomics.
    assert!(faults * 3 > wanted * rounds * 2, "few accesses faulted");
    assert!(left > all / 2, "few were in translated code");
}

#[test]
fn each_access_of_straight_code_faults_alike() {
    FORMS.into_iter().for_each(|form| programs(false, form));
}

#[test]
fn each_access_faults_alike_in_each_round_of_a_loop() {
    FORMS.into_iter().for_each(|form| programs(true, form));
}

#[test]
fn a_unit_whose_accesses_cross_pages_is_made_anew() {
    let mut rig = Rig::new(&Program::crossing(2_000), None, Jit::eager);
    rig.prepare(None, 1);
    assert!(matches!(rig.run(10_000, false), Stopped::Ended));
    // Once a round at first; afterwards each access looks for itself.
    let left = rig.left();
    assert!((1_000..1_100).contains(&left), "{left}");
}
