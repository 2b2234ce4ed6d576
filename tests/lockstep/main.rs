//! Forms in lockstep: the guest programs of `test-roms` run side by side in two ways,
//! and every state on the way is the same.
//!
//! `ISOFORM_LOCKSTEP_INSNS=n` compares the first `n` instructions of each program
//! (default: a million).

#[path = "../common/image.rs"]
mod image;

use image::debian;
use isoform::boot::load::{Firmware, Payload, Source, detect_path};
use isoform::config::MachineConfig;
use isoform::vm::Execute;
use isoform::vm::lockstep::{Lockstep, Part, Verdict, Way, compare};
use isoform_core::attention::CALM;
use isoform_core::{Attention, Exit, Saved};
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_riscv::Hart;
use isoform_riscv::generate::Random;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Instructions after which the states are compared, each time.
const EVERY: u64 = 1_000;
/// Memory of the machine, which is compared as a whole now and then.
const MEMORY: u64 = 16 << 20;
const CODE_CACHE: usize = 4 << 20;
/// Bytes of translated code: little, so that it is full at times.
const TRANSLATED: usize = 1 << 20;

/// The interpreter, each instruction a unit of its own.
struct Steps(Interp);

impl Execute for Steps {
    fn run(&mut self, hart: &mut Hart, _: u64) -> Exit {
        self.0.run(hart, 1)
    }
}

/// The interpreter, in units of random length, which now and then forgets all that it
/// decoded.
struct Pieces(Interp, Random);

impl Execute for Pieces {
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

impl Execute for Restores {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        let piece = budget.min(1 + self.1.below(2_000));
        let exit = self.0.run(hart, piece);
        // A hart that is restored looks at its timer, as the run loop has it do an
        // instant later where something is due: not where states are compared.
        if piece == budget || !self.1.one_in(8) {
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

/// Regions, blocks that become regions, and the interpreter by turns of random length, and
/// now and then a translator that knows nothing yet.
struct Tiers([Jit<Hart, Interp>; 2], Interp, Random);

impl Execute for Tiers {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        // Translated loops go round only while CALM are left.
        let budget = budget.min(1 + self.2.below(2 * (CALM + 100)));
        if self.2.one_in(4096) {
            self.0 = jits();
        }
        match self.2.below(3) {
            0 => self.1.run(hart, budget),
            n => self.0[n as usize - 1].run(hart, budget),
        }
    }
}

fn jits() -> [Jit<Hart, Interp>; 2] {
    let jit = || {
        let attention = Arc::new(Attention::new());
        let translator = Translator::new(TRANSLATED, [attention], None);
        let translator = Arc::new(translator.expect("a host with a translator"));
        Jit::new(translator, 0, Interp::new(CODE_CACHE))
    };
    [jit().eager(), jit().hurried(20)]
}

fn tiers(hart: usize) -> Box<dyn Execute> {
    let random = Random(hart as u64);
    Box::new(Tiers(jits(), Interp::new(CODE_CACHE), random))
}

fn steps(_: usize) -> Box<dyn Execute> {
    Box::new(Steps(Interp::new(CODE_CACHE)))
}

fn pieces(hart: usize) -> Box<dyn Execute> {
    Box::new(Pieces(Interp::new(CODE_CACHE), Random(hart as u64)))
}

fn restores(hart: usize) -> Box<dyn Execute> {
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
    ways: [Way<'a>; 2],
}

impl Pair<'_> {
    /// Runs both for so many instructions, or to the program's end.
    fn run(&self, insns: u64) -> Verdict {
        let program = folder().join(format!("bin/{}.elf", self.rom.name));
        let payload = Payload {
            firmware: Firmware::None,
            program: Some(detect_path(&program).expect("a program")),
            initrd: Vec::new(),
            dtb: None,
        };
        let config = MachineConfig {
            memory: MEMORY,
            smp: self.rom.harts as u32,
            code_cache: TRANSLATED,
            ..Default::default()
        };
        let lockstep = Lockstep {
            config,
            seed: 0,
            payload: &payload,
            ways: self.ways,
            every: EVERY,
            insns,
        };
        compare(&lockstep).expect("machines can be made")
    }

    /// The same, and they do the same; instructions executed.
    fn agree(&self, insns: u64) -> u64 {
        match self.run(insns) {
            Verdict::Same { instructions, .. } => instructions,
            other => panic!("{}: {other:#?}", self.rom.name),
        }
    }
}

/// All programs interpreted, and in the second form; instructions executed.
fn all_agree(second: Way<'_>) -> u64 {
    all_agree_for(second, |_| length())
}

/// A program whose harts, after so many instructions, run code while another one changes
/// it, with no fence in between. They may see the old or the new (Unpriv. "Zifencei"),
/// and translated code sees the old for longer.
const RACE: (&str, u64) = ("smp_ipi", 1_200_000);

/// As [`all_agree`], for translated code.
fn all_agree_translated(second: Way<'_>) -> u64 {
    all_agree_for(second, |rom| match rom.name == RACE.0 {
        true => length().min(RACE.1),
        false => length(),
    })
}

fn all_agree_for(second: Way<'_>, length: impl Fn(&Rom) -> u64) -> u64 {
    let run = |rom: &Rom| {
        let ways = [Way::Interp, second];
        Pair { rom, ways }.agree(length(rom))
    };
    roms().iter().map(run).sum()
}

#[test]
fn single_instructions_do_what_units_do() {
    println!("{} instructions", all_agree(Way::Other(&steps)));
}

#[test]
fn units_of_any_length_do_what_units_do() {
    println!("{} instructions", all_agree(Way::Other(&pieces)));
}

#[test]
fn a_hart_saved_and_restored_on_the_way_goes_on_the_same() {
    println!("{} instructions", all_agree(Way::Other(&restores)));
}

#[test]
fn translated_code_does_what_units_do() {
    println!("{} instructions", all_agree_translated(Way::Eager));
}

#[test]
fn blocks_of_the_baseline_compiler_do_what_units_do() {
    println!("{} instructions", all_agree_translated(Way::Baseline));
}

#[test]
fn changes_between_forms_are_not_seen() {
    println!("{} instructions", all_agree_translated(Way::Other(&tiers)));
}

/// What a form that errs does wrong at one instruction.
type Slip = fn(&mut Hart);

/// A form that errs at instruction `1`, counted from 0, and executes up to `2`
/// instructions before it can be stopped again.
struct Errs(Interp, u64, u64, Slip);

impl Execute for Errs {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        let Self(interp, at, piece, slip) = self;
        // A piece begins where it would in translated code, if it is granted whole.
        let now = hart.state.icount;
        let begin = *at - *at % *piece;
        if now > begin || now + budget < begin + *piece {
            let budget = if now < begin {
                budget.min(begin - now)
            } else {
                budget
            };
            return interp.run(hart, budget);
        }
        if now < begin {
            return interp.run(hart, begin - now);
        }
        let exit = interp.run(hart, *at + 1 - now);
        slip(hart);
        exit
    }
}

fn found(at: u64, piece: u64, slip: Slip) -> Part {
    let errs = move |_: usize| -> Box<dyn Execute> {
        Box::new(Errs(Interp::new(CODE_CACHE), at, piece, slip))
    };
    let rom = Rom {
        name: "bench_crc".into(),
        harts: 1,
    };
    let pair = Pair {
        rom: &rom,
        ways: [Way::Interp, Way::Other(&errs)],
    };
    match pair.run(100_000) {
        Verdict::Part(part) => *part,
        other => panic!("{other:?}"),
    }
}

/// The harness sees a form that errs once, and names the instruction.
#[test]
fn a_form_that_errs_is_found() {
    let part = found(5_431, 1, |hart| hart.state.x[4] ^= 1 << 40);
    assert_eq!((part.begins, part.seen), (Some(5_432), 5_432));
    let last = part.executed.last().expect("it is told");
    assert_eq!((last.number, last.hart), (5_432, 0));
    assert_eq!(part.differences.len(), 1, "{part:?}");
    assert!(part.differences[0].starts_with("hart 0 tp "), "{part:?}");
}

/// It is found in memory before anything reads it from there.
#[test]
fn a_form_that_errs_in_memory_only_is_found() {
    let slip: Slip = |hart| {
        let written = hart.ram().write(0x8070_0004, &[7]);
        written.expect("it is RAM");
    };
    let part = found(61_234, 1, slip);
    assert_eq!((part.begins, part.seen), (Some(61_235), 61_235));
    assert_eq!(part.differences.len(), 1, "{part:?}");
    assert!(
        part.differences[0].starts_with("memory 0x80700000:"),
        "{part:?}"
    );
    assert!(part.differences[0].ends_with("00 00 00 00 07 00 00 00 00 00 00 00 00 00 00 00 "));
}

/// A form that executes code in pieces errs only where it executes a whole one.
#[test]
fn a_form_that_errs_in_the_midst_of_a_piece_is_found() {
    let part = found(5_436, 10, |hart| hart.state.x[4] ^= 1);
    assert_eq!((part.begins, part.seen), (Some(5_431), 5_440));
}

/// The first instructions of a boot, compared each time that so many were executed.
fn boot(test: &str, way: Way<'_>, insns: u64, every: u64) {
    let Some(image) = debian(test) else {
        return;
    };
    let payload = Payload {
        firmware: Firmware::Builtin,
        program: Some(detect_path(&image.kernel).expect("a kernel")),
        initrd: vec![Source::open(&image.initrd).expect("it is there")],
        dtb: None,
    };
    let config = MachineConfig {
        append: Some(image.append.clone()),
        ..Default::default()
    };
    let verdict = compare(&Lockstep {
        config,
        seed: 0,
        payload: &payload,
        ways: [Way::Interp, way],
        every,
        insns,
    });
    match verdict.expect("machines can be made") {
        Verdict::Same { instructions, .. } => assert_eq!(instructions, insns, "it ended early"),
        other => panic!("{other:#?}"),
    }
}

#[test]
fn linux_begins_the_same_instruction_by_instruction() {
    let test = "linux_begins_the_same_instruction_by_instruction";
    boot(test, Way::Eager, 1_000_000, 1);
}

#[test]
fn linux_boots_the_same_in_translated_code() {
    let test = "linux_boots_the_same_in_translated_code";
    for way in [Way::Eager, Way::Baseline] {
        boot(test, way, 300_000_000, EVERY);
    }
    boot(test, Way::Other(&tiers), 30_000_000, EVERY);
}
