//! `isoform explain`: what a piece of guest code is translated to.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

use isoform_riscv::disasm::X_NAMES;

use super::{Failure, print, status};
use crate::boot::load::Source;
use crate::config::Arch;
use crate::explain::{
    Code, Explained, Explanation, HostInsn, Processor, Unit, explain, host_insns,
};

/// Show what guest code is translated to
///
/// Takes the code at the entry point of an ELF file, or at --at; or instructions
/// themselves, as hexadecimal words of 4 or 8 digits. Shows the region that would
/// be translated together (it depends on nothing but the code), and for each of
/// its instructions the CLIF that it becomes, on the left, and the host code, on
/// the right. What is seldom executed follows behind `seldom`.
///
/// Code is interpreted first, and where the first line says so, always. What is
/// executed some times becomes a block of the baseline compiler's (--tier block),
/// on x86-64 hosts; what is hot, a region of Cranelift's (--tier region). The hart
/// is taken to be in M mode, floating point on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An ELF file, or instructions: 00a28293 8082
    #[arg(value_name = "FILE|HEX", required = true)]
    what: Vec<String>,
    /// The guest's architecture
    #[arg(long, value_enum, default_value_t, value_name = "ARCH")]
    arch: Arch,
    /// Where in the file: a symbol, or an address as in 0x80000000
    #[arg(long, value_name = "ADDR")]
    at: Option<String>,
    /// What it is translated to: a block at first, a region where it is hot
    #[arg(long, value_enum, default_value_t, value_name = "TIER")]
    tier: Tier,
}

/// Which compiler's code is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Tier {
    /// The baseline compiler's
    Block,
    /// Cranelift's
    #[default]
    Region,
}

impl Tier {
    fn unit(self) -> Unit {
        match self {
            Tier::Block => Unit::Block,
            Tier::Region => Unit::Region,
        }
    }
}

/// Prints it.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let Arch::Riscv64 = args.arch;
    let words = || args.what.iter().map(String::as_str);
    let code = match &args.what[..] {
        [file] if args.at.is_some() || Path::new(file).exists() || file.contains(['/', '.']) => {
            Code::of_elf(&Source::open(Path::new(file))?, args.at.as_deref())?
        }
        _ => Code::of_words(words())?,
    };
    let explained = explain(&code, args.tier.unit(), Processor::Host)?;
    let paint = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print(told(&code, &explained, Paint(paint)).as_bytes())?;
    Ok(status::OK)
}

/// Whether there are colours.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn bold(self, text: &str) -> String {
        self.in_style("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.in_style("2", text)
    }

    fn in_style(self, style: &str, text: &str) -> String {
        match self.0 && !text.is_empty() {
            true => format!("\x1b[{style}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn told(code: &Code, explained: &Explained, paint: Paint) -> String {
    let mut text = format!("{:#x}", code.page + code.entry);
    if let Some(label) = &code.label {
        let _ = write!(text, " <{label}>");
    }
    match explained {
        Explained::Interpreted(why) => {
            let (bits, insn) = code.instruction(code.entry);
            let _ = write!(text, ": interpreted: {why}\n  {bits:8}  {insn}\n");
        }
        Explained::Region(region) => {
            let _ = writeln!(text, ": translated");
            let host = host_insns(region);
            text += &summary(region, &host);
            text += &listing(code, region, &host, paint);
        }
    }
    text
}

/// Sizes and shape.
fn summary(region: &Explanation, host: &[HostInsn]) -> String {
    let mut text = String::new();
    let (insns, blocks) = (region.insns.len(), region.blocks.len());
    let shape = if region.loops { ", with a loop" } else { "" };
    let kept = (0..32).filter(|r| region.kept >> r & 1 != 0);
    let kept: Vec<&str> = kept.map(|r| X_NAMES[r]).collect();
    let guest: u64 = region.insns.iter().map(|(_, length)| length).sum();
    let bytes = region.code.len();
    let often = host.iter().filter(|h| !h.cold).count();
    let often_bytes: usize = host.iter().filter(|h| !h.cold).map(|h| h.length).sum();
    let each = |n: usize| n as f64 / insns.max(1) as f64;
    // Writing to a string cannot fail, here and below.
    let (insns_told, blocks_told) = (plural(insns, "instruction"), plural(blocks, "block"));
    if region.is_block {
        let _ = writeln!(text, "block: {insns_told}, {guest} bytes");
    } else {
        let _ = writeln!(
            text,
            "region: {insns_told} in {blocks_told}{shape}, {guest} bytes"
        );
        let kept = match kept.is_empty() {
            true => "none".into(),
            false => kept.join(" "),
        };
        let _ = writeln!(text, "registers kept in variables: {kept}");
    }
    let _ = writeln!(
        text,
        "host: {} instructions, {bytes} bytes; {:.1} bytes a guest instruction",
        host.len(),
        each(bytes)
    );
    let _ = writeln!(
        text,
        "seldom executed ones aside: {often}, {often_bytes} bytes; {:.1} for each of the guest's",
        each(often)
    );
    text
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Columns of the left side.
const LEFT: usize = 43;
/// Columns in all.
const WIDTH: usize = 80;

fn listing(code: &Code, region: &Explanation, host: &[HostInsn], paint: Paint) -> String {
    let mut text = String::new();
    let heading = paint.bold(match region.is_block {
        true => "for all of it: ways in and out",
        false => "for all of it: registers, and instructions taken off the budget",
    });
    group(&mut text, region, host, None, &heading, paint);
    for (at, _) in &region.insns {
        if !region.is_block
            && let Some((_, insns)) = region.blocks.iter().find(|(start, _)| start == at)
        {
            let insns = plural(*insns, "instruction");
            let block = format!("block {:#x}, {insns}", code.page + at);
            let _ = writeln!(text, "\n{}", paint.bold(&block));
        }
        let (bits, insn) = code.instruction(*at);
        let heading = paint.bold(&format!("{:8x}  {bits:8}  {insn}", code.page + at));
        group(&mut text, region, host, Some(*at), &heading, paint);
    }
    text
}

/// What one guest instruction became, or what belongs to none.
fn group(
    text: &mut String,
    region: &Explanation,
    host: &[HostInsn],
    at: Option<u64>,
    heading: &str,
    paint: Paint,
) {
    let _ = writeln!(text, "\n{heading}");
    let wide = if region.is_block { 2 } else { LEFT };
    for cold in [false, true] {
        let left = region
            .clif
            .iter()
            .filter(|c| (c.guest, c.cold) == (at, cold));
        let left: Vec<String> = left.flat_map(|c| wrapped(&c.text, LEFT - 2)).collect();
        let right = host.iter().filter(|h| (h.guest, h.cold) == (at, cold));
        let right: Vec<String> = right
            .flat_map(|h| wrapped(&format!("{:4x} {}", h.start, h.text), WIDTH - wide))
            .collect();
        if cold && !(left.is_empty() && right.is_empty()) {
            let _ = writeln!(text, "{}", paint.dim("  seldom:"));
        }
        for n in 0..left.len().max(right.len()) {
            let side = |lines: &[String]| lines.get(n).cloned().unwrap_or_default();
            let line = format!("  {:width$}{}", side(&left), side(&right), width = wide - 2);
            let line = line.trim_end();
            let line = if cold {
                paint.dim(line)
            } else {
                line.to_owned()
            };
            let _ = writeln!(text, "{line}");
        }
    }
}

/// A line in pieces of less than `width` columns, cut at spaces where there are any.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for word in line.split_inclusive(' ') {
        if !piece.trim().is_empty() && piece.len() + word.trim_end().len() >= width {
            pieces.push(std::mem::replace(&mut piece, "      ".to_owned()));
        }
        piece += word;
    }
    pieces.push(piece);
    // Of one word that is too long only the beginning is shown.
    pieces
        .iter()
        .map(|piece| piece.chars().take(width - 1).collect::<String>())
        .map(|piece| piece.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_spaces() {
        assert_eq!(wrapped("  a b", 10), ["  a b"]);
        assert_eq!(
            wrapped("  aaaa bbbb cccc", 12),
            ["  aaaa bbbb", "      cccc"]
        );
        assert_eq!(wrapped(&"x".repeat(50), 20), ["x".repeat(19)]);
    }
}
