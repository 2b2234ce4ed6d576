//! The generator keeps its promises: whoever runs its programs relies on them.

use isoform_riscv::Cpu;
use isoform_riscv::decode::Line;
use isoform_riscv::format::{Format, Operands};
use isoform_riscv::generate::{Program, Random, Rules, Touches, format_of};
use isoform_riscv::table::{FORMS, Op, SHORT_FORMS};
use std::collections::BTreeSet;

const BASES: [u8; 2] = [2, 9];
const KEPT: [u8; 2] = [3, 1];

fn rules<'a>() -> Rules<'a> {
    Rules {
        ext: Cpu::default().ext,
        bases: &BASES,
        kept: &KEPT,
        reach: -64..=256,
        allows: &|_, line, _| line.is_none_or(|l| l.mnemonic() != "ebreak"),
    }
}

/// The names of the forms in programs, each program checked.
fn forms(make: impl Fn(&Rules<'_>, &mut Random) -> Program) -> BTreeSet<&'static str> {
    let (rules, mut r, mut seen) = (rules(), Random(5), BTreeSet::new());
    for _ in 0..2_000 {
        let program = make(&rules, &mut r);
        let mut starts = vec![0];
        for e in &program.code {
            starts.push(starts.last().unwrap_or(&0) + e.length() as i64);
        }
        assert_eq!(
            *starts.last().expect("one at least"),
            program.bytes().len() as i64
        );
        for (e, at) in program.code.iter().zip(&starts) {
            let (insn, line) = e.decode(rules.ext);
            let Some(line) = line else { continue };
            seen.insert(line.mnemonic());
            assert_ne!(line.mnemonic(), "ebreak", "it is not allowed");
            let touched = Touches::new(&line, insn);
            // It is undone at once.
            let undone = line.mnemonic() == "c.addi16sp";
            for rd in [touched.rd.filter(|_| !undone), touched.pair]
                .into_iter()
                .flatten()
            {
                assert!(
                    !BASES.contains(&rd) && !KEPT.contains(&rd),
                    "{line:?} {insn:?}"
                );
            }
            if let Some(base) = touched.base {
                assert!(BASES.contains(&base), "{line:?} {insn:?}");
                assert!(
                    rules.reach.contains(&touched.displacement),
                    "{line:?} {insn:?}"
                );
            }
            if matches!(format_of(&line), Format::B | Format::J) {
                let target = at + insn.simm();
                assert!(
                    insn.simm() > 0 && starts.contains(&target),
                    "{line:?} {insn:?}"
                );
            }
        }
    }
    seen
}

#[test]
fn programs_obey_and_have_every_form() {
    let seen = forms(|rules, r| Program::random(rules, 40, r));
    // `c.jalr` would write ra, which is kept; `ebreak` is not allowed.
    let absent = ["ebreak", "c.jalr"];
    let long = FORMS.iter().map(|f| f.mnemonic);
    for name in long.chain(SHORT_FORMS.iter().map(|f| f.mnemonic)) {
        assert_eq!(!seen.contains(name), absent.contains(&name), "{name}");
    }
}

#[test]
fn wild_programs_obey_and_do_not_jump() {
    let seen = forms(|rules, r| {
        let program = Program::wild(rules, 40, r);
        let mut decoded = program.code.iter().map(|e| e.decode(rules.ext));
        let jumps = |(i, line): (_, Option<Line>)| line.is_some_and(|l| Touches::new(&l, i).jumps);
        assert!(!decoded.any(jumps));
        program
    });
    assert!(seen.len() > 200, "{}", seen.len());
    let invalid = forms(|rules, r| Program::wild(rules, 40, r)).is_empty();
    assert!(!invalid);
}

/// Computed jumps: the register holds the address of `auipc`, and the displacements
/// behind it lead to the start of an instruction.
#[test]
fn computed_jumps_arrive() {
    let (rules, mut r, mut jumps) = (rules(), Random(6), 0);
    for _ in 0..500 {
        let program = Program::random(&rules, 40, &mut r);
        let mut starts = vec![0i64];
        for e in &program.code {
            starts.push(starts.last().unwrap_or(&0) + e.length() as i64);
        }
        for (n, e) in program.code.iter().enumerate() {
            let (insn, _) = e.decode(rules.ext);
            if !insn.is(Op::Jalr) {
                continue;
            }
            jumps += 1;
            let (before, _) = program.code[n - 1].decode(rules.ext);
            let (from, to) = match before.is(Op::Auipc) {
                true => (starts[n - 1], insn.simm()),
                false => (starts[n - 2], before.simm()),
            };
            assert!(starts[n + 1..].contains(&(from + to)), "{insn:?}");
        }
    }
    assert!(jumps > 100, "{jumps}");
}

#[test]
fn a_prefix_is_as_long_as_the_whole() {
    let mut r = Random(8);
    let program = Program::random(&rules(), 30, &mut r);
    for keep in 0..=program.code.len() {
        let prefix = program.prefix(keep);
        assert_eq!(prefix.bytes().len(), program.bytes().len());
        assert_eq!(prefix.code[..keep], program.code[..keep]);
    }
}
