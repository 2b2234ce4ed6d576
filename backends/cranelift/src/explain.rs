//! What becomes of a piece of guest code, for people to read: the region it is
//! translated with, its CLIF, the host code. Nothing of it is run or kept.
//!
//! Each instruction of the emitter's carries the guest instruction that it is for, as a
//! *source location*; Cranelift keeps these through all it does. What lies in a cold
//! block gets a mark besides.

use crate::TranslatorError;
use crate::abi::Name;
use crate::baseline;
use crate::code::PAGE;
use crate::emit;
use crate::host;
use crate::region::{self, Region};
use crate::scan::{Flow, scan};
use crate::target::Target;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, ExternalName, Function, Opcode, SourceLoc};
use cranelift_codegen::settings::Configurable;
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use isoform_core::Translate;
use std::collections::{BTreeSet, HashSet};

/// The processor that code is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// This host's.
    Host,
    /// This host's architecture, as common processors have it: the same code on every
    /// machine. On x86-64 level 3 of its psABI, on AArch64 Armv8 with LSE.
    Common,
}

impl Processor {
    fn target(self) -> Result<Target, TranslatorError> {
        let wrong = |e: &dyn std::fmt::Display| TranslatorError::Host(e.to_string());
        let infer = self == Processor::Host;
        let builder = cranelift_native::builder_with_options(infer);
        let mut builder = builder.map_err(|e| wrong(&e))?;
        if self == Processor::Common {
            for feature in host::common_features() {
                builder.enable(feature).map_err(|e| wrong(&e))?;
            }
        }
        Target::of(&builder)
    }
}

/// Which of the compilers is to translate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The baseline compiler, of which there is one for x86-64.
    Block,
    /// Cranelift.
    Region,
}

/// What becomes of code.
#[derive(Debug)]
pub enum Explained {
    /// It stays interpreted, and why.
    Interpreted(String),
    /// It is translated, to a region or a block.
    Region(Box<Explanation>),
}

/// A region or a block and its code. Guest instructions are named by their offsets in the page.
#[derive(Debug)]
pub struct Explanation {
    /// Control can come back to one of its blocks without leaving it.
    pub loops: bool,
    /// It is the baseline compiler's: there is no CLIF.
    pub is_block: bool,
    /// Its blocks: where each begins, and how many instructions it has.
    pub blocks: Vec<(u64, usize)>,
    /// Its instructions, with their length in bytes.
    pub insns: Vec<(u64, u64)>,
    /// Integer registers that it keeps in variables, a bit each.
    pub kept: u32,
    /// What is compiled, after Cranelift's own rewriting of it, in its order.
    pub clif: Vec<Clif>,
    /// Host code.
    pub code: Vec<u8>,
    /// Which stretch of it belongs to what, in its order, without gaps.
    pub spans: Vec<Span>,
    /// Where the code names a stub (the end of the address), and which.
    pub calls: Vec<(usize, &'static str)>,
}

/// A line of CLIF.
#[derive(Debug)]
pub struct Clif {
    /// The guest instruction that it is for, if for one.
    pub guest: Option<u64>,
    /// It lies where control seldom comes.
    pub cold: bool,
    /// The line.
    pub text: String,
}

/// A stretch of host code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte behind its last.
    pub end: usize,
    /// The guest instruction that it is for, if for one.
    pub guest: Option<u64>,
    /// It lies where control seldom comes.
    pub cold: bool,
}

/// The mark of what lies in a cold block.
const COLD: u32 = 1 << 16;

/// What an instruction of the emitter's is for: the guest's at offset `at` of its page.
pub(crate) fn location(at: u64) -> SourceLoc {
    SourceLoc::new(at as u32 + 1)
}

/// The reverse of [`location`], and whether it is marked as cold.
fn place(location: SourceLoc) -> (Option<u64>, bool) {
    if location.is_default() {
        return (None, false);
    }
    let at = (location.bits() & !COLD).checked_sub(1);
    (at.map(u64::from), location.bits() & COLD != 0)
}

/// What becomes of the code at offset `entry` of a page with this content, in the mode
/// that the vCPU is in.
///
/// # Errors
/// There is no translator for this host, or Cranelift does not take the code.
pub fn explain<G: Translate>(
    guest: &G,
    bytes: &[u8; PAGE],
    entry: u64,
    unit: Unit,
    processor: Processor,
) -> Result<Explained, TranslatorError> {
    let others = BTreeSet::new();
    let found = match unit {
        Unit::Block => baseline::find(guest, bytes, entry, &others),
        Unit::Region => region::find(guest, bytes, entry, &others, true),
    };
    let Some(region) = found else {
        return Ok(Explained::Interpreted(reason(guest, bytes, entry)));
    };
    let placed = || region.blocks.values().flatten();
    let blocks = region.blocks.iter().map(|(at, block)| (*at, block.len()));
    let mut explanation = Explanation {
        loops: unit == Unit::Region && region.loops(),
        is_block: unit == Unit::Block,
        blocks: blocks.collect(),
        insns: placed().map(|p| (p.at, p.length)).collect(),
        kept: region.registers(),
        clif: Vec::new(),
        code: Vec::new(),
        spans: Vec::new(),
        calls: Vec::new(),
    };
    match unit {
        Unit::Region => compile(guest, &region, processor, &mut explanation)?,
        Unit::Block if !processor.target()?.features().baseline => {
            let why = "the baseline compiler makes no code for this host";
            return Ok(Explained::Interpreted(why.into()));
        }
        Unit::Block if !compile_block(guest, &region, &mut explanation) => {
            let why = "an instruction needs more registers than there are";
            return Ok(Explained::Interpreted(why.into()));
        }
        Unit::Block => {}
    }
    Ok(Explained::Region(Box::new(explanation)))
}

/// Why the code that begins there is neither a region nor a block.
fn reason<G: Translate>(guest: &G, bytes: &[u8; PAGE], entry: u64) -> String {
    let at = bytes.get(entry as usize..).unwrap_or_default();
    let why = match guest.decode(at) {
        None if at.len() < 4 => "it goes on in the next page, which may change by itself",
        None => "there is no instruction",
        Some(insn) if scan::<G>(guest.mode(), insn).flow == Flow::Interpret => {
            "it always traps, or does in this mode"
        }
        Some(_) => "nothing can be translated from here",
    };
    why.to_owned()
}

/// By the baseline compiler; false where it takes no such code.
fn compile_block<G: Translate>(guest: &G, block: &Region, explanation: &mut Explanation) -> bool {
    let Some((object, marks)) = baseline::compile::<G>(block, guest.mode(), 0) else {
        return false;
    };
    let ends = marks.iter().skip(1).map(|mark| mark.start);
    let spans = marks.iter().zip(ends.chain([object.code.len()]));
    let spans = spans.map(|(mark, end)| Span {
        start: mark.start,
        end,
        guest: mark.guest,
        cold: mark.cold,
    });
    explanation.spans = spans.filter(|span| span.start < span.end).collect();
    let calls = object.relocations.iter();
    explanation.calls = calls
        .map(|reloc| (reloc.offset as usize + 4, reloc.to.label()))
        .collect();
    explanation.code = object.code;
    true
}

fn compile<G: Translate>(
    guest: &G,
    region: &Region,
    processor: Processor,
    explanation: &mut Explanation,
) -> Result<(), TranslatorError> {
    let refused = |what: String| TranslatorError::Host(what);
    let target = processor.target()?;
    let isa = target.for_region(region);
    let mut context = Context::for_function(emit::unit_function());
    let mut builder = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut context.func, &mut builder);
    emit::region::<G>(&mut b, region, guest.mode(), target.features());
    b.finalize(isa.frontend_config());
    mark_cold(&mut context.func);
    let compiled = context.compile(isa, &mut ControlPlane::default());
    let compiled = compiled.map_err(|e| refused(format!("{:?}", e.inner)))?;
    explanation.code = compiled.buffer.data().to_vec();
    explanation.spans = spans(
        compiled.buffer.get_srclocs_sorted().iter().map(|span| {
            let (guest, cold) = place(span.loc);
            Span {
                start: span.start as usize,
                end: span.end as usize,
                guest,
                cold,
            }
        }),
        explanation.code.len(),
    );
    let calls = compiled.buffer.relocs().iter();
    let calls: Vec<_> = calls
        .map(|reloc| (reloc.offset as usize + 4, reloc.target.clone()))
        .collect();
    explanation.calls = calls
        .into_iter()
        .map(|(at, target)| (at, stub_name(&context.func, &target)))
        .collect();
    explanation.clif = lines(&context.func);
    Ok(())
}

fn stub_name(function: &Function, target: &FinalizedRelocTarget) -> &'static str {
    let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = target else {
        return "?";
    };
    Name::of(&function.params.user_named_funcs()[*name]).label()
}

/// Blocks that are marked as cold, and those that control reaches from such alone.
fn cold_blocks(function: &Function) -> HashSet<Block> {
    let ways = ControlFlowGraph::with_function(function);
    let blocks = || function.layout.blocks();
    let mut cold: HashSet<_> = blocks().filter(|b| function.layout.is_cold(*b)).collect();
    loop {
        let known = cold.len();
        for block in blocks() {
            let mut from = ways.pred_iter(block).peekable();
            if from.peek().is_some() && from.all(|way| cold.contains(&way.block)) {
                cold.insert(block);
            }
        }
        if cold.len() == known {
            return cold;
        }
    }
}

/// Marks what lies in cold blocks.
fn mark_cold(function: &mut Function) {
    for block in cold_blocks(function) {
        let insts: Vec<_> = function.layout.block_insts(block).collect();
        for inst in insts {
            let location = function.srcloc(inst);
            let bits = match location.is_default() {
                true => 0,
                false => location.bits(),
            };
            function.set_srcloc(inst, SourceLoc::new(bits | COLD));
        }
    }
}

/// Spans in their order, those between them filled in.
fn spans(known: impl Iterator<Item = Span>, length: usize) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    let nothing = |start, end, cold| Span {
        start,
        end,
        guest: None,
        cold,
    };
    let mut at = 0;
    for span in known.filter(|span| span.start < span.end) {
        if span.start > at {
            let cold = all.last().is_some_and(|s| s.cold) && span.cold;
            all.push(nothing(at, span.start, cold));
        }
        at = span.end;
        all.push(span);
    }
    if at < length {
        let cold = all.last().is_some_and(|s| s.cold);
        all.push(nothing(at, length, cold));
    }
    all
}

/// The function's lines. Constants are told where they are used.
fn lines(function: &Function) -> Vec<Clif> {
    let colds = cold_blocks(function);
    let is_constant = |inst| function.dfg.insts[inst].opcode() == Opcode::Iconst;
    let mut lines = Vec::new();
    for block in function.layout.blocks() {
        let cold = colds.contains(&block);
        let params = function.dfg.block_params(block).iter();
        let params: Vec<_> = params.map(ToString::to_string).collect();
        let head = match params.is_empty() {
            true => format!("{block}:"),
            false => format!("{block}({}):", params.join(", ")),
        };
        let insts = function.layout.block_insts(block);
        let mut insts = insts.filter(|inst| !is_constant(*inst)).peekable();
        // The head stands with the first of its instructions.
        let first = insts.peek().map(|inst| place(function.srcloc(*inst)).0);
        lines.push(Clif {
            guest: first.flatten(),
            cold,
            text: head,
        });
        lines.extend(insts.map(|inst| Clif {
            guest: place(function.srcloc(inst)).0,
            cold,
            text: format!("  {}", function.dfg.display_inst(inst)),
        }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_as_locations() {
        for at in [0, 2, 0xffe] {
            assert_eq!(place(location(at)), (Some(at), false));
            let marked = SourceLoc::new(location(at).bits() | COLD);
            assert_eq!(place(marked), (Some(at), true));
        }
        assert_eq!(place(SourceLoc::default()), (None, false));
        assert_eq!(place(SourceLoc::new(COLD)), (None, true));
    }

    #[test]
    fn spans_leave_no_gaps() {
        let span = |start, end, guest, cold| Span {
            start,
            end,
            guest,
            cold,
        };
        let known = [span(2, 4, Some(0), false), span(4, 4, Some(1), false)];
        let known = known.into_iter().chain([span(6, 7, Some(2), true)]);
        let expected = [
            span(0, 2, None, false),
            span(2, 4, Some(0), false),
            span(4, 6, None, false),
            span(6, 7, Some(2), true),
            span(7, 9, None, true),
        ];
        assert_eq!(spans(known, 9), expected);
    }
}
