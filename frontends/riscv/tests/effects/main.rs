//! Every line of the table, written down with random operands and checked: what a
//! translator relies on holds for each instruction, and helpers do what they declare.

mod helpers;
mod rig;
mod shape;

use isoform_core::Insn;
use isoform_record::{Recording, record};
use isoform_riscv::decode::Line;
use isoform_riscv::generate::{self, Encoding, Random};
use isoform_riscv::table::{FORMS, SHORT_FORMS};
use isoform_riscv::{Cpu, Hart, Mode, Priv};

/// Encodings drawn for each line of the table.
const DRAWS: usize = 24;

/// An instruction, the line it comes from, and what it means in a mode.
struct Case {
    line: Line,
    insn: Insn,
    mode: Mode,
    meaning: Recording<Hart>,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, mode) = (self.line.mnemonic(), self.mode);
        writeln!(f, "{name} {:?} in {mode:?}:\n{}", self.insn, self.meaning)
    }
}

/// Random encodings of every line of the table.
fn encodings(r: &mut Random) -> Vec<Encoding> {
    let ext = Cpu::default().ext;
    let mut all = Vec::new();
    for form in FORMS {
        let drawn = (0..DRAWS)
            .filter_map(|_| generate::long(form, ext, r))
            .count();
        assert!(drawn > 0, "{} is never found", form.mnemonic);
        all.extend(
            (0..DRAWS)
                .filter_map(|_| generate::long(form, ext, r))
                .map(Encoding::Long),
        );
    }
    for form in SHORT_FORMS {
        let drawn = (0..DRAWS)
            .filter_map(|_| generate::short(form, ext, r))
            .count();
        assert!(drawn > 0, "{} is never found", form.mnemonic);
        all.extend(
            (0..DRAWS)
                .filter_map(|_| generate::short(form, ext, r))
                .map(Encoding::Short),
        );
    }
    all
}

/// Every case, in every mode that semantics tell apart.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for e in encodings(&mut Random(7)) {
        let (insn, Some(line)) = e.decode(Cpu::default().ext) else {
            unreachable!("the generator gives instructions");
        };
        for facts in [0, 1, 2, 4] {
            let mode = Mode {
                privilege: Priv::M,
                fp_off: facts & 1 != 0,
                zeroes: facts & 2 != 0,
                ialign_32: facts & 4 != 0,
            };
            cases.push(Case {
                line,
                insn,
                mode,
                meaning: record(mode, insn),
            });
        }
    }
    cases
}
