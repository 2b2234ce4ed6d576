//! Helpers do what they declare and nothing else: each is called with random operands
//! on a hart in random states, and the state compared.

use super::encodings;
use super::rig::{Rig, Snapshot, operand};
use isoform_core::ops::Effects;
use isoform_core::{Guest, Helper, Insn, Translate};
use isoform_record::{Op, Recording, record};
use isoform_riscv::csr::csr_name;
use isoform_riscv::format::{Format, Operands};
use isoform_riscv::generate::{Encoding, Random, format_of};
use isoform_riscv::table::{FORMS, Op as Name};
use isoform_riscv::{Cpu, Hart, Mode, Priv};
use std::collections::BTreeMap;

/// States in which each call is made.
const REPEATS: usize = 4;

/// `mstatus.FS` and `SD`: any write of floating-point state sets them.
const FS_SD: u64 = 3 << 13 | 1 << 63;
/// `mstatus.SIE` and `mstatus.MIE`.
const ENABLES: u64 = 1 << 1 | 1 << 3;

/// A call as an instruction makes it: constants are the instruction's, the rest is
/// random.
struct Call {
    insn: Insn,
    helper: &'static Helper<Hart>,
    constants: [Option<u64>; 4],
}

impl Call {
    fn of(insn: Insn, meaning: &Recording<Hart>) -> Option<Self> {
        let op = meaning.ops.iter().find(|op| op.helper().is_some())?;
        let helper = op.helper()?;
        let constants = match op {
            Op::Helper(_, args) => args.map(|v| match meaning.ops[v.0 as usize] {
                Op::Imm(value) => Some(value),
                _ => None,
            }),
            Op::Float(_, _, rm) => [None, None, None, Some((*rm).into())],
            _ => return None,
        };
        Some(Self {
            insn,
            helper,
            constants,
        })
    }
}

/// Calls of every helper that an instruction makes, with every CSR among them.
fn calls(r: &mut Random) -> Vec<Call> {
    let ext = Cpu::default().ext;
    let mut all = encodings(r);
    let csr = |f: &&isoform_riscv::table::Form| matches!(f.format, Format::Csr | Format::CsrI);
    for form in FORMS.iter().filter(csr) {
        for number in (0..0x1000).filter(|n| csr_name(*n as u16).is_some()) {
            for _ in 0..4 {
                let operands = r.next() as u32 & 0xf_8f80 | number << 20;
                all.push(Encoding::Long(form.bits | operands));
            }
        }
    }
    let of = |e: Encoding| {
        let (insn, line) = e.decode(ext);
        format_of(&line?);
        // `CHECK_TARGET` is called where there is no C alone.
        let no_c = insn.is(Name::Jal) || insn.is(Name::Jalr);
        let mode = Mode {
            privilege: Priv::M,
            fp_off: false,
            zeroes: false,
            ialign_32: no_c,
        };
        Call::of(insn, &record(mode, insn))
    };
    all.into_iter().filter_map(of).collect()
}

/// What decides how later instructions run: privilege, translation, protection and
/// interrupts. Registers that helpers consult when they are called are not among it.
fn governing(s: &Snapshot) -> impl PartialEq + use<> {
    let state = &s.saved.state;
    let interrupts = (
        state.mideleg,
        state.mie,
        state.stimecmp,
        s.saved.pending,
        s.attention,
    );
    let memory = (
        state.satp,
        state.mseccfg,
        state.pmpcfg,
        state.pmpaddr,
        state.menvcfg,
    );
    (state.privilege, state.mstatus & !FS_SD, interrupts, memory)
}

fn differences(a: &Snapshot, b: &Snapshot) -> String {
    let (a, b) = (format!("{a:#x?}"), format!("{b:#x?}"));
    let pairs = a.lines().zip(b.lines()).filter(|(a, b)| a != b);
    pairs
        .map(|(a, b)| format!("  {} -> {}\n", a.trim(), b.trim()))
        .collect()
}

/// Calls a helper and checks what it did. Whether it trapped.
fn check(rig: &mut Rig, call: &Call, r: &mut Random) -> bool {
    let args: [u64; 4] = std::array::from_fn(|n| call.constants[n].unwrap_or_else(|| operand(r)));
    let (name, effects) = (call.helper.name, call.helper.effects);
    let mut listed = Hart::HELPERS.iter();
    assert!(
        listed.any(|helper| std::ptr::eq(*helper, call.helper)),
        "{name} is not in the list of all helpers"
    );
    let (before, mode) = (rig.snapshot(), rig.hart.mode());
    let result = (call.helper.call)(&mut rig.hart, args);
    let (after, mode_after) = (rig.snapshot(), rig.hart.mode());
    let exit = rig.hart.take_exit();
    let unit_end = rig.hart.take_unit_end();
    rig.settle();
    let insn = call.insn;
    let context = || format!("{name}({args:x?}) of {insn:?} gave {result:x?}");
    let same = |what, same: bool| {
        assert!(
            same,
            "{} and changed {what}\n{}",
            context(),
            differences(&before, &after)
        );
    };

    assert_eq!(after.saved.state.x[0], 0, "{}", context());
    if result.is_err() {
        assert!(effects.traps, "{}", context());
        same(
            "something before it trapped",
            before == after && mode == mode_after,
        );
        return true;
    }
    if !effects.registers {
        same("x", before.saved.state.x == after.saved.state.x);
        same("f", before.saved.state.f == after.saved.state.f);
    }
    if !effects.jumps {
        same("pc", before.saved.state.pc == after.saved.state.pc);
    }
    same(
        "the clock",
        before.saved.state.icount == after.saved.state.icount,
    );
    if !effects.ends_unit {
        same("the mode", mode == mode_after);
        // What it disables cannot come any more; nothing waits for that.
        let mut before = before.clone();
        if name == "CSR_DISABLE" {
            let kept = !ENABLES | after.saved.state.mstatus;
            before.saved.state.mstatus &= kept;
        }
        same("what governs", governing(&before) == governing(&after));
        assert!(
            exit.is_none() && !unit_end,
            "{} and wants to leave",
            context()
        );
    }
    if effects == Effects::NONE {
        let mut flags = before.clone();
        flags.saved.state.fcsr = after.saved.state.fcsr;
        flags.saved.state.mstatus |= after.saved.state.mstatus & FS_SD;
        same("more than flags", flags == after);
    }
    false
}

#[test]
fn helpers_do_what_they_declare() {
    let mut r = Random(11);
    let mut rig = Rig::new();
    let mut seen: BTreeMap<&str, (Effects, usize, usize)> = BTreeMap::new();
    for call in calls(&mut r) {
        for _ in 0..REPEATS {
            rig.scramble(&mut r);
            if r.one_in(64) {
                rig.fill(&mut r);
            }
            let trapped = check(&mut rig, &call, &mut r);
            let (declared, calls, traps) = seen.entry(call.helper.name).or_default();
            *declared = call.helper.effects;
            *calls += 1;
            *traps += usize::from(trapped);
        }
    }
    // A check of nothing would pass, too.
    assert!(seen.len() > 100, "{} helpers", seen.len());
    for (name, (declared, calls, traps)) in seen {
        // What cannot trap must not say that it may: a translator would prepare for it.
        // At the end of a unit it does so anyway.
        if !declared.ends_unit {
            assert_eq!(declared.traps, traps > 0, "{name} traps {traps} times");
        }
        assert!(calls > REPEATS, "{name}: {calls} calls");
        let always = ["EBREAK", "ECALL"].contains(&name);
        assert_eq!(
            traps == calls,
            always,
            "{name} traps {traps} times of {calls}"
        );
    }
}
