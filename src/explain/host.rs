//! Host code in assembly.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use isoform_cranelift::{Explanation, Span};

/// A host instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInsn {
    /// Offset of its first byte in the code.
    pub start: usize,
    /// Its length in bytes.
    pub length: usize,
    /// In assembly; jumps within the code name offsets in it.
    pub text: String,
    /// Offset in the page of the guest instruction that it is for, if for one.
    pub guest: Option<u64>,
    /// It lies where control seldom comes.
    pub cold: bool,
}

/// The instructions of a region's code. Where they cannot be told on this host, its
/// bytes.
pub fn host_insns(explanation: &Explanation) -> Vec<HostInsn> {
    if !cfg!(target_arch = "x86_64") {
        return explanation
            .spans
            .iter()
            .flat_map(|span| bytes(explanation, span))
            .collect();
    }
    let mut decoder = Decoder::with_ip(64, &explanation.code, 0, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(false);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    options.set_small_hex_numbers_in_decimal(true);
    let mut all = Vec::new();
    while decoder.can_decode() {
        let decoded = decoder.decode();
        let (start, end) = (decoded.ip() as usize, decoded.next_ip() as usize);
        let called = explanation.calls.iter().find(|(at, _)| *at == end);
        let mut text = String::new();
        formatter.format(&decoded, &mut text);
        if let Some((_, name)) = called {
            let mnemonic = text.split(' ').next().unwrap_or_default();
            text = format!("{mnemonic} <{name}>");
        }
        let span = explanation
            .spans
            .iter()
            .find(|s| (s.start..s.end).contains(&start));
        all.push(HostInsn {
            start,
            length: end - start,
            text,
            guest: span.and_then(|s| s.guest),
            cold: span.is_some_and(|s| s.cold),
        });
    }
    all
}

/// A span's bytes, as if each eight were an instruction.
fn bytes(explanation: &Explanation, span: &Span) -> Vec<HostInsn> {
    let code = explanation
        .code
        .get(span.start..span.end)
        .unwrap_or_default();
    let pieces = code.chunks(8).enumerate();
    let insn = |(n, piece): (usize, &[u8])| HostInsn {
        start: span.start + 8 * n,
        length: piece.len(),
        text: piece.iter().map(|b| format!("{b:02x} ")).collect(),
        guest: span.guest,
        cold: span.cold,
    };
    pieces.map(insn).collect()
}
