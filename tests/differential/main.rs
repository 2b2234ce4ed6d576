//! Random instruction streams, here and on Debian's user-mode QEMU: all registers,
//! `fcsr`, memory and faults agree.
//!
//! A seeded sample of about 400,000 instructions runs by default;
//! `ISOFORM_DIFF_SEEDS=n` runs `n` programs of each kind, and
//! `ISOFORM_DIFF_FIRST=n` starts at another seed. Where the peer is absent the test
//! is skipped by name, and fails under `ISOFORM_REQUIRE_GUESTS=1`.

mod asm;
mod deviations;
mod frame;
mod ours;
mod peer;
mod report;

use frame::{AREA, BASES, Block, Image, REACH};
use isoform_riscv::Cpu;
use isoform_riscv::generate::{Program, Random, Rules};

/// Blocks in a program of the sample.
const BLOCKS: usize = 500;
/// Instructions generated for a block.
const LENGTH: usize = 48;

/// How code is made.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Forms of the table with sensible operands.
    Sensible,
    /// Any bits.
    Wild,
}

/// Programs of each kind that were asked for, and the first one's seed.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|n: String| n.parse::<u64>().ok())
    };
    let first = number("ISOFORM_DIFF_FIRST").unwrap_or(0);
    first..first + number("ISOFORM_DIFF_SEEDS").unwrap_or(8)
}

/// Whether the peer is there. Says so where it is not.
fn peer_is_there(test: &str) -> bool {
    match peer::version() {
        Ok(_) => true,
        Err(why) => {
            let required = std::env::var("ISOFORM_REQUIRE_GUESTS").is_ok_and(|v| v == "1");
            assert!(!required, "{test}: {why}");
            println!("skipped: {test}: {why}");
            false
        }
    }
}

/// The programs of the blocks of one seed.
fn programs(kind: Kind, seed: u64) -> Vec<Program> {
    let allows = |e, line: Option<&_>, insn| match kind {
        Kind::Sensible => deviations::allowed(e, line, insn),
        Kind::Wild => deviations::allowed_wild(e, line, insn),
    };
    let rules = Rules {
        ext: Cpu::default().ext,
        bases: &BASES,
        kept: &[frame::AREA_REG],
        reach: REACH,
        allows: &allows,
    };
    let mut r = Random(seed << 8 | kind as u64);
    let program = |r: &mut Random| match kind {
        Kind::Sensible => Program::random(&rules, LENGTH, r),
        Kind::Wild => Program::wild(&rules, LENGTH, r),
    };
    (0..BLOCKS).map(|_| program(&mut r)).collect()
}

/// What became of one seed's programs.
#[derive(Default)]
struct Compared {
    /// Instructions of the blocks.
    instructions: u64,
    /// Blocks that the peer does not survive (see [`peer::Failure::Division`]).
    dropped: u64,
}

/// Runs the programs of one seed on both sides.
fn compare(kind: Kind, seed: u64) -> Compared {
    let programs = programs(kind, seed);
    let mut r = Random(!seed);
    let block = |(n, p): (usize, &Program)| Block::new(p.bytes(), n as u64, &mut r);
    let mut blocks: Vec<Block> = programs.iter().enumerate().map(block).collect();
    let mut compared = Compared::default();
    let (image, theirs) = loop {
        let image = Image::new(&blocks);
        match peer::run(&image, blocks.len()) {
            Ok(theirs) => break (image, theirs),
            Err(peer::Failure::Division) => {
                let n = report::fatal(&blocks);
                blocks[n].code.clear();
                compared.dropped += 1;
            }
            Err(peer::Failure::Other(why)) => panic!("{kind:?} seed {seed}: {why}"),
        }
    };
    let ran = ours::run(&image, Cpu::default(), blocks.len());
    let size = AREA as usize;
    let pairs = ran.areas.chunks(size).zip(theirs.chunks(size)).enumerate();
    let differing: Vec<usize> = pairs.filter(|(_, (a, b))| a != b).map(|(n, _)| n).collect();
    if !differing.is_empty() {
        let total = differing.len();
        let shown = differing.iter().take(report::MOST);
        let each: String = shown
            .map(|n| report::narrow(&programs[*n], &blocks[*n]))
            .collect();
        panic!(
            "{kind:?} seed {seed}: {total} of {} blocks differ\n{each}",
            blocks.len()
        );
    }
    compared.instructions = ran.instructions.saturating_sub(image.around);
    compared
}

fn compare_all(kind: Kind, test: &str) {
    if !peer_is_there(test) {
        return;
    }
    let mut all = Compared::default();
    for seed in seeds() {
        let Compared {
            instructions,
            dropped,
        } = compare(kind, seed);
        all.instructions += instructions;
        all.dropped += dropped;
    }
    let Compared {
        instructions,
        dropped,
    } = all;
    println!("{test}: {instructions} instructions agree; {dropped} blocks crash the peer");
}

/// Blocks of a program that is compared between forms: every way in is compiled.
const TRANSLATED_BLOCKS: usize = 200;

/// What faults, and where, is compared with the rest: each fault is logged.
#[test]
fn translated_programs_do_what_interpreted_ones_do() {
    for (kind, seed) in seeds()
        .take(2)
        .flat_map(|s| [(Kind::Sensible, s), (Kind::Wild, s)])
    {
        let programs = programs(kind, seed);
        let mut r = Random(!seed);
        let block = |(n, p): (usize, &Program)| Block::new(p.bytes(), n as u64, &mut r);
        let few = programs.iter().take(TRANSLATED_BLOCKS).enumerate();
        let blocks: Vec<Block> = few.map(block).collect();
        let image = Image::new(&blocks);
        let run = |run: fn(&Image, Cpu, usize) -> _| run(&image, Cpu::default(), blocks.len());
        let interpreted: ours::Ran = run(ours::run);
        for translated in [ours::run_translated, ours::run_baseline].map(run) {
            assert_eq!(
                interpreted.instructions, translated.instructions,
                "{kind:?} {seed}"
            );
            let size = AREA as usize;
            let areas = interpreted
                .areas
                .chunks(size)
                .zip(translated.areas.chunks(size));
            let differs = areas.enumerate().find(|(_, (a, b))| a != b);
            assert_eq!(
                differs.map(|(n, _)| n),
                None,
                "{kind:?} {seed}: a block differs"
            );
        }
    }
}

#[test]
fn sensible_programs_agree_with_the_peer() {
    compare_all(Kind::Sensible, "sensible_programs_agree_with_the_peer");
}

#[test]
fn wild_bits_agree_with_the_peer() {
    compare_all(Kind::Wild, "wild_bits_agree_with_the_peer");
}
