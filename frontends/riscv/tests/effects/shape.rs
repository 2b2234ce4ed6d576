//! What the list of operations alone tells.

use super::{Case, cases};
use isoform_core::{Guest, Reg};
use isoform_record::Op;
use isoform_riscv::decode::Line;
use isoform_riscv::format::{Format, Operands};
use isoform_riscv::generate::{Touches, format_of};
use isoform_riscv::table;
use isoform_riscv::{Ext, Hart};

fn first(case: &Case, what: impl Fn(&Op<Hart>) -> bool) -> Option<usize> {
    case.meaning.ops.iter().position(what)
}

fn last(case: &Case, what: impl Fn(&Op<Hart>) -> bool) -> Option<usize> {
    case.meaning.ops.iter().rposition(what)
}

fn count(case: &Case, what: impl Fn(&Op<Hart>) -> bool) -> usize {
    case.meaning.ops.iter().filter(|op| what(op)).count()
}

#[test]
fn what_may_trap_precedes_what_is_written() {
    for case in cases() {
        let Some(trap) = last(&case, Op::may_trap) else {
            continue;
        };
        let written = first(&case, |op| op.writes_register() || op.goes());
        // A helper may do both, and orders them itself.
        assert!(written.is_none_or(|w| trap <= w), "{case}");
        // After one that changed memory a second could not be taken back.
        assert_eq!(count(&case, Op::may_trap), 1, "{case}");
    }
}

#[test]
fn nothing_follows_a_trap_that_is_certain() {
    for case in cases() {
        let Some(trap) = first(&case, |op| matches!(op, Op::Trap(_))) else {
            continue;
        };
        assert_eq!(trap, case.meaning.ops.len() - 1, "{case}");
    }
}

#[test]
fn an_instruction_goes_one_way_and_writes_once() {
    for case in cases() {
        assert!(count(&case, Op::goes) <= 1, "{case}");
        assert!(count(&case, Op::writes_register) <= 1, "{case}");
        assert!(
            count(&case, |op| op.helper().is_some() || op.accesses_memory()) <= 1,
            "{case}"
        );
    }
}

/// In a translator a read after a write would see the new value, or the old one, as
/// it keeps registers; and nothing may rest on a write to x0.
#[test]
fn registers_are_read_before_any_is_written() {
    for case in cases() {
        let read = last(&case, |op| matches!(op, Op::Reg(_) | Op::FReg(_)));
        let written = first(&case, Op::writes_register);
        let apart = read.zip(written).is_none_or(|(r, w)| r < w);
        assert!(apart, "{case}");
    }
}

/// The registers that an instruction's format names are those it touches: no other
/// is waited for, and the destination is the one that a generator keeps off.
#[test]
fn only_operands_are_touched() {
    for case in cases() {
        let (format, i) = (format_of(&case.line), case.insn);
        let touches = Touches::new(&case.line, i);
        for op in &case.meaning.ops {
            match op {
                Op::SetReg(Reg(rd), _) => assert_eq!(touches.rd, Some(*rd), "{case}"),
                Op::SetFreg(fd, _) => assert_eq!(*fd, i.frd(), "{case}"),
                Op::Reg(Reg(x)) => {
                    let named = match format {
                        Format::S | Format::B => [i.rs1(), i.rs2_s()],
                        Format::R | Format::Rs12 => [i.rs1(), i.rs2()],
                        // `amocas` reads rd, too.
                        Format::Amo => [i.rs2(), if *x == i.rd().0 { i.rd() } else { i.rs1() }],
                        _ => [i.rs1(), i.rs1()],
                    };
                    assert!(named.contains(&Reg(*x)), "{case}");
                }
                Op::FReg(f) => {
                    let named = match format {
                        Format::FStore => vec![i.frs2_s()],
                        Format::F4 => vec![i.frs1(), i.frs2(), i.frs3()],
                        Format::F3 | Format::F3NoRm | Format::FCmp => vec![i.frs1(), i.frs2()],
                        _ => vec![i.frs1()],
                    };
                    assert!(named.contains(f), "{case}");
                }
                _ => {}
            }
        }
    }
}

/// Priv. 3.1.6.6: all of floating point is illegal while FS is Off.
#[test]
fn without_floating_point_its_instructions_trap_at_once() {
    for case in cases().iter().filter(|c| c.mode.fp_off) {
        let form = table::FORMS.iter().find(|f| case.insn.is(f.op));
        let ext = form.expect("every operation has a long form").ext;
        let float = matches!(ext, Ext::F | Ext::D | Ext::Zfh | Ext::Zfhmin);
        let traps = matches!(case.meaning.ops[..], [Op::Trap(_)]);
        // `amocas.q` of odd registers is reserved.
        assert!(
            traps == float || case.line.mnemonic() == "amocas.q",
            "{case}"
        );
    }
}

#[test]
fn loads_and_stores_take_one_access_each() {
    for case in cases().iter().filter(|c| !c.mode.fp_off) {
        let memory = count(case, Op::accesses_memory);
        let by_format = match format_of(&case.line) {
            Format::Load | Format::S | Format::FLoad | Format::FStore | Format::Lr => 1,
            Format::Amo => usize::from(case.line.mnemonic() != "amocas.q"),
            _ => 0,
        };
        let jalr = case.insn.is(table::Op::Jalr);
        assert_eq!(memory, if jalr { 0 } else { by_format }, "{case}");
    }
}

#[test]
fn the_length_said_is_that_of_the_encoding() {
    for case in cases() {
        let bytes = match case.line {
            Line::Long(_) => 4,
            Line::Short(_) => 2,
        };
        assert_eq!(Hart::length(case.insn), bytes, "{case}");
        assert_eq!(case.meaning.length, Some(bytes), "{case}");
    }
}
