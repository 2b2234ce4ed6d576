//! Finds the instruction after which two runs differ, and says what differs.

use super::frame::{AREA, Block, ENTRY, Image, MOST_FAULTS, at, word};
use super::{ours, peer};
use isoform_riscv::Cpu;
use isoform_riscv::disasm::{F_NAMES, X_NAMES, disassemble};
use isoform_riscv::generate::Program;
use std::fmt::Write;

/// Differing blocks that are narrowed down; the others are counted.
pub(crate) const MOST: usize = 8;
/// Instructions shown.
const SHOWN: usize = 6;

/// Runs every prefix of a block's program on both sides: the shortest that differs
/// ends in the instruction looked for.
pub(crate) fn narrow(program: &Program, block: &Block) -> String {
    let prefixes = (0..=program.code.len()).map(|keep| {
        let moved = block.moved(keep as u64);
        Block {
            code: program.prefix(keep).bytes(),
            ..moved
        }
    });
    let blocks: Vec<Block> = prefixes.collect();
    let image = Image::new(&blocks);
    let ours = ours::run(&image, Cpu::default(), blocks.len()).areas;
    let theirs = match peer::run(&image, blocks.len()) {
        Ok(theirs) => theirs,
        Err(why) => return format!("narrowing down: {why:?}\n"),
    };
    let size = AREA as usize;
    let mut pairs = ours.chunks(size).zip(theirs.chunks(size)).enumerate();
    let Some((keep, (a, b))) = pairs.find(|(_, (a, b))| a != b) else {
        return "a block differs only among its neighbours\n".into();
    };
    let Some(last) = keep.checked_sub(1) else {
        return format!(
            "an empty block differs:\n{}",
            differences(a, b, image.starts[0])
        );
    };
    let before = &ours[last * size..keep * size];
    let mut text = String::new();
    let (mut pc, mut listing) = (image.starts[keep], String::new());
    for e in &program.code[..keep] {
        let mut bytes = Vec::new();
        e.write(&mut bytes);
        listing = disassemble(&bytes, pc, Cpu::default().ext)
            .map(|d| d.0)
            .unwrap_or_default();
        let _ = writeln!(text, "  {pc:#x}: {bytes:02x?} {listing}");
        pc += e.length();
    }
    // The last ones tell most.
    let skipped = keep.saturating_sub(SHOWN);
    let shown: Vec<&str> = text.lines().skip(skipped).collect();
    let mut text = format!("after `{listing}`:\n{}\n", shown.join("\n"));
    let _ = writeln!(text, "  before: fcsr {:#x}", word(before, at::FCSR));
    for (n, (x, f)) in X_NAMES.iter().zip(F_NAMES).enumerate() {
        let n = 8 * n as u64;
        for (name, at) in [(*x, at::X + n), (f, at::F + n)] {
            let named = |w: &str| w.trim_matches(|c: char| !c.is_alphanumeric()) == name;
            if listing.split([' ', '(']).any(named) {
                let _ = writeln!(text, "  before: {name} {:#x}", word(before, at));
            }
        }
    }
    text + &differences(a, b, image.starts[keep])
}

/// The first of the blocks that the peer does not survive, of which there is one.
pub(crate) fn fatal(blocks: &[Block]) -> usize {
    // All before `low` are survived; among those before `high` is one that is not.
    let (mut low, mut high) = (0, blocks.len());
    while low + 1 < high {
        let middle = low.midpoint(high);
        let part = blocks[low..middle].iter().enumerate();
        let part: Vec<Block> = part.map(|(n, b)| b.moved(n as u64)).collect();
        match peer::run(&Image::new(&part), part.len()) {
            Ok(_) => low = middle,
            Err(_) => high = middle,
        }
    }
    low
}

/// Lists where two areas differ.
fn differences(ours: &[u8], theirs: &[u8], start: u64) -> String {
    let mut text = String::new();
    for at in (0..AREA).step_by(8) {
        let (a, b) = (word(ours, at), word(theirs, at));
        if a == b {
            continue;
        }
        let name = match at {
            at::X..at::F => X_NAMES[(at / 8) as usize].into(),
            at::F..at::FCSR => F_NAMES[((at - at::F) / 8) as usize].into(),
            at::FCSR => "fcsr".into(),
            at::FAULTS => "faults".into(),
            at::LOG.. if at < at::LOG + ENTRY * MOST_FAULTS => {
                let what = ["signal", "pc", "address"][((at - at::LOG) % ENTRY / 8) as usize];
                format!(
                    "fault {} {what} (code at {start:#x})",
                    (at - at::LOG) / ENTRY
                )
            }
            _ => format!("memory +{:#x}", at as i64 - at::SCRATCH as i64),
        };
        let _ = writeln!(text, "  {name}: here {a:#x}, peer {b:#x}");
    }
    text
}
