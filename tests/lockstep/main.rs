//! Forms in lockstep: the guest programs of `test-roms` run side by side in two ways,
//! and every state on the way is the same.
//!
//! `ISOFORM_LOCKSTEP_INSNS=n` compares the first `n` instructions of each program
//! (default: a million).

mod machine;

use isoform_core::{Attention, Exit, Saved};
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_riscv::Hart;
use isoform_riscv::generate::Random;
use machine::{Form, Forms, Machine, MachineState};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Instructions of a turn: the states are compared after each.
const TURN: u64 = 1_000;
const CODE_CACHE: usize = 4 << 20;
/// Bytes of translated code: little, so that it is full at times.
const TRANSLATED: usize = 1 << 20;

/// The interpreter, in units as long as it likes.
struct Units(Interp);

impl Form for Units {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        self.0.run(hart, budget)
    }
}

/// The interpreter, each instruction a unit of its own.
struct Steps(Interp);

impl Form for Steps {
    fn run(&mut self, hart: &mut Hart, _: u64) -> Exit {
        self.0.run(hart, 1)
    }
}

/// The interpreter, in units of random length, which now and then forgets all that it
/// decoded.
struct Pieces(Interp, Random);

impl Form for Pieces {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        let budget = budget.min(1 + self.1.below(40));
        if self.1.one_in(256) {
            self.0 = Interp::new(CODE_CACHE);
        }
        self.0.run(hart, budget)
    }
}

/// The interpreter, with the hart saved and restored at random: what is not in the
/// saved state is lost.
struct Restores(Interp, Random);

impl Form for Restores {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        let exit = self.0.run(hart, budget.min(1 + self.1.below(2_000)));
        if !self.1.one_in(8) {
            return exit;
        }
        let saved = hart.save_bytes();
        let attention = hart.lines().attention().is_set();
        hart.reset(0);
        hart.restore_bytes(&saved).expect("just written");
        // Asked for anew while an interrupt pends: more than before is no harm, but
        // what was asked must not be lost.
        assert!(
            !attention || hart.lines().attention().is_set(),
            "a request was lost"
        );
        self.0 = Interp::new(CODE_CACHE);
        exit
    }
}

/// Translated code wherever it can be: all that runs twice is translated first.
struct Translated(Jit<Hart, Interp>);

impl Form for Translated {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        self.0.run(hart, budget)
    }
}

/// Translated code and the interpreter by turns of random length, and now and then a
/// translator that knows nothing yet.
struct Tiers(Jit<Hart, Interp>, Interp, Random);

impl Form for Tiers {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        let budget = budget.min(1 + self.2.below(300));
        if self.2.one_in(4096) {
            self.0 = jit();
        }
        match self.2.one_in(3) {
            true => self.1.run(hart, budget),
            false => self.0.run(hart, budget),
        }
    }
}

fn jit() -> Jit<Hart, Interp> {
    let attention = Arc::new(Attention::new());
    let translator =
        Translator::new(TRANSLATED, [attention], None).expect("a host with a translator");
    Jit::new(Arc::new(translator), 0, Interp::new(CODE_CACHE)).eager()
}

fn translated(_: usize) -> Box<dyn Form> {
    Box::new(Translated(jit()))
}

fn tiers(hart: usize) -> Box<dyn Form> {
    let random = Random(hart as u64);
    Box::new(Tiers(jit(), Interp::new(CODE_CACHE), random))
}

fn units(_: usize) -> Box<dyn Form> {
    Box::new(Units(Interp::new(CODE_CACHE)))
}

fn steps(_: usize) -> Box<dyn Form> {
    Box::new(Steps(Interp::new(CODE_CACHE)))
}

fn pieces(hart: usize) -> Box<dyn Form> {
    Box::new(Pieces(Interp::new(CODE_CACHE), Random(hart as u64)))
}

fn restores(hart: usize) -> Box<dyn Form> {
    Box::new(Restores(Interp::new(CODE_CACHE), Random(hart as u64)))
}

#[derive(Deserialize)]
struct Manifest {
    rom: Vec<Rom>,
}

#[derive(Deserialize)]
struct Rom {
    name: String,
    #[serde(default = "one")]
    harts: usize,
}

fn one() -> usize {
    1
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-roms")
}

fn roms() -> Vec<Rom> {
    let text = std::fs::read_to_string(folder().join("roms.toml")).expect("roms.toml");
    let manifest: Manifest = toml::from_str(&text).expect("a list of programs");
    assert!(manifest.rom.len() > 30, "the list is short");
    manifest.rom
}

fn length() -> u64 {
    let asked = std::env::var("ISOFORM_LOCKSTEP_INSNS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}

/// One program, and the two forms it runs in.
struct Pair<'a> {
    rom: &'a Rom,
    forms: [Forms<'a>; 2],
}

impl Pair<'_> {
    fn machines(&self) -> [Machine; 2] {
        let program = folder().join(format!("bin/{}.elf", self.rom.name));
        self.forms
            .map(|forms| Machine::new(&program, self.rom.harts, forms))
    }

    /// Runs both; how many instructions that were. Panics where they part.
    fn run(&self, length: u64) -> u64 {
        let [mut a, mut b] = self.machines();
        let mut turns = 0;
        while !a.has_ended() && a.instructions() < length {
            a.turn(TURN);
            b.turn(TURN);
            if a.state() != b.state() {
                self.part(turns);
            }
            turns += 1;
        }
        assert_eq!(
            a.has_ended(),
            b.has_ended(),
            "{}: only one has ended",
            self.rom.name
        );
        assert_eq!(a.memory(), b.memory(), "{}: memory differs", self.rom.name);
        a.instructions()
    }

    /// They part in the turn after these: finds the instruction.
    fn part(&self, turns: u64) -> ! {
        let differ = |instructions: u64| {
            let [mut a, mut b] = self.machines();
            for _ in 0..turns {
                a.turn(TURN);
                b.turn(TURN);
            }
            let before = a.state();
            a.turn(instructions);
            b.turn(instructions);
            (before, a.state(), b.state())
        };
        let (mut low, mut high) = (0, TURN);
        while low + 1 < high {
            let middle = low.midpoint(high);
            let (_, a, b) = differ(middle);
            if a == b { low = middle } else { high = middle }
        }
        let (_, a, b) = differ(high);
        let before = differ(low).1;
        panic!(
            "{}: the forms part in turn {turns}, instruction {high}\n{}",
            self.rom.name,
            differences(&before, &a, &b)
        );
    }
}

/// What the last common state was where two states differ.
fn differences(before: &MachineState, a: &MachineState, b: &MachineState) -> String {
    let text = |state: &MachineState| format!("{state:#x?}");
    let (before, a, b) = (text(before), text(a), text(b));
    let mut lines = String::new();
    for ((before, a), b) in before.lines().zip(a.lines()).zip(b.lines()) {
        let pc = a.trim_start().starts_with("pc:");
        if a != b || pc {
            let (before, a, b) = (before.trim(), a.trim(), b.trim());
            lines += &format!("  before {before} first {a} second {b}\n");
        }
    }
    lines
}

fn compare(second: Forms<'_>) -> u64 {
    compare_for(second, |_| length())
}

/// A program whose harts, after so many instructions, run code while another one changes
/// it, with no fence in between. They may see the old or the new (Unpriv. "Zifencei"),
/// and translated code sees the old for longer.
const RACE: (&str, u64) = ("smp_ipi", 1_200_000);

/// As [`compare`], for translated code.
fn compare_translated(second: Forms<'_>) -> u64 {
    compare_for(second, |rom| match rom.name == RACE.0 {
        true => length().min(RACE.1),
        false => length(),
    })
}

fn compare_for(second: Forms<'_>, length: impl Fn(&Rom) -> u64) -> u64 {
    let run = |rom: &Rom| {
        let forms: [Forms<'_>; 2] = [&units, second];
        Pair { rom, forms }.run(length(rom))
    };
    roms().iter().map(run).sum()
}

#[test]
fn single_instructions_do_what_units_do() {
    println!("{} instructions", compare(&steps));
}

#[test]
fn units_of_any_length_do_what_units_do() {
    println!("{} instructions", compare(&pieces));
}

#[test]
fn a_hart_saved_and_restored_on_the_way_goes_on_the_same() {
    println!("{} instructions", compare(&restores));
}

#[test]
fn translated_code_does_what_units_do() {
    println!("{} instructions", compare_translated(&translated));
}

#[test]
fn changes_between_forms_are_not_seen() {
    println!("{} instructions", compare_translated(&tiers));
}

/// The harness sees a form that errs once in a while, and names the instruction.
#[test]
fn a_form_that_errs_is_found() {
    struct Errs(Interp);
    impl Form for Errs {
        fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
            let at = 5_432_u64.saturating_sub(hart.state.icount);
            let exit = self
                .0
                .run(hart, if at == 0 { budget } else { budget.min(at) });
            if hart.state.icount == 5_432 {
                hart.state.x[4] ^= 1 << 40;
            }
            exit
        }
    }
    let errs = |_: usize| -> Box<dyn Form> { Box::new(Errs(Interp::new(CODE_CACHE))) };
    let rom = Rom {
        name: "bench_crc".into(),
        harts: 1,
    };
    let pair = Pair {
        rom: &rom,
        forms: [&units, &errs],
    };
    let run = std::panic::AssertUnwindSafe(|| pair.run(100_000));
    let found = std::panic::catch_unwind(run).expect_err("it errs");
    let text = found.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains("turn 5, instruction 432"), "{text}");
}
