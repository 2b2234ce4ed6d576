//! The decoder: finds the line of the table that an encoding matches.

use crate::ext::ExtSet;
use crate::table::{FORMS, Form, Op, SHORT_FORMS, ShortForm};
use isoform_core::Insn;
use std::sync::LazyLock;

/// What a decoded instruction came from.
#[derive(Debug, Clone, Copy)]
pub enum Line {
    /// 32 bits.
    Long(&'static Form),
    /// 16 bits.
    Short(&'static ShortForm),
}

impl Line {
    /// The assembler's name.
    pub fn mnemonic(&self) -> &'static str {
        match self {
            Line::Long(f) => f.mnemonic,
            Line::Short(f) => f.mnemonic,
        }
    }
}

/// Forms by major opcode and funct3 (10 bits), in the table's order.
static LONG: LazyLock<Vec<Vec<&'static Form>>> = LazyLock::new(|| {
    let key_mask = 0x707f;
    (0..1024u32)
        .map(|key| {
            let raw = (key & 0x7f) | (key >> 7) << 12;
            let may = |f: &&Form| (raw ^ f.bits) & f.mask & key_mask == 0;
            FORMS.iter().filter(may).collect()
        })
        .collect()
});

/// Short forms by quadrant and funct3 (5 bits), in the table's order.
static SHORT: LazyLock<Vec<Vec<&'static ShortForm>>> = LazyLock::new(|| {
    (0..32u16)
        .map(|key| {
            let raw = (key & 3) | (key >> 2) << 13;
            let may = |f: &&ShortForm| (raw ^ f.bits) & f.mask & 0xe003 == 0;
            SHORT_FORMS.iter().filter(may).collect()
        })
        .collect()
});

/// The extension that an operation's 32-bit form comes with.
static OP_FORM: LazyLock<Vec<Option<&'static Form>>> = LazyLock::new(|| {
    let mut forms = vec![None; FORMS.len() + 2];
    for f in FORMS {
        forms[f.op as usize] = Some(f);
    }
    forms
});

/// The 32-bit form of an operation.
pub fn form_of(op: u16) -> Option<&'static Form> {
    OP_FORM.get(usize::from(op)).copied().flatten()
}

/// Whether the encoding that starts with this halfword has 16 bits (Unpriv. 1.5).
pub const fn is_short(half: u16) -> bool {
    half & 3 != 3
}

const ILLEGAL: Insn = Insn {
    op: Op::Illegal as u16,
    a: 0,
    b: 0,
    imm: 0,
};
const ILLEGAL_SHORT: Insn = Insn {
    op: Op::Illegal as u16 | crate::format::SHORT,
    ..ILLEGAL
};

/// Decodes 32 bits, with the line it came from.
pub fn long(raw: u32, ext: ExtSet) -> (Insn, Option<Line>) {
    let key = (raw & 0x7f) | (raw >> 12 & 7) << 7;
    let lines = LONG.get(key as usize).map_or(&[][..], Vec::as_slice);
    let found = lines
        .iter()
        .find(|f| raw & f.mask == f.bits && ext.has(f.ext));
    match found {
        Some(f) => (
            Insn {
                op: f.op as u16,
                ..f.format.operands(raw)
            },
            Some(Line::Long(f)),
        ),
        None => (ILLEGAL, None),
    }
}

/// Decodes 16 bits, with the line it came from.
pub fn short(raw: u16, ext: ExtSet) -> (Insn, Option<Line>) {
    let key = (raw & 3) | (raw >> 13) << 2;
    let lines = SHORT.get(usize::from(key)).map_or(&[][..], Vec::as_slice);
    let found = lines.iter().find(|f| raw & f.mask == f.bits);
    let enabled = |f: &&&ShortForm| {
        ext.has(f.ext) && form_of(f.op as u16).is_some_and(|base| ext.has(base.ext))
    };
    let decoded = found
        .filter(enabled)
        .and_then(|f| Some((f, f.format.operands(raw)?)));
    match decoded {
        Some((f, i)) => (
            Insn {
                op: f.op as u16 | i.op,
                ..i
            },
            Some(Line::Short(f)),
        ),
        None => (ILLEGAL_SHORT, None),
    }
}

/// Decodes the instruction at the start of `bytes`; `None` where it needs more.
pub fn decode(bytes: &[u8], ext: ExtSet) -> Option<(Insn, Option<Line>)> {
    let (half, rest) = bytes.split_first_chunk::<2>()?;
    let half = u16::from_le_bytes(*half);
    if is_short(half) {
        return Some(short(half, ext));
    }
    let (upper, _) = rest.split_first_chunk::<2>()?;
    Some(long(
        u32::from(half) | u32::from(u16::from_le_bytes(*upper)) << 16,
        ext,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::format::Operands;

    #[test]
    fn every_line_decodes_to_itself() {
        let ext = Cpu::default().ext;
        for f in FORMS {
            let (i, line) = long(f.bits, ext);
            let name = line.map(|l| l.mnemonic());
            // Operand bits all zero may be a special case that stands before.
            let special = FORMS
                .iter()
                .take_while(|g| g.op != f.op)
                .any(|g| f.bits & g.mask == g.bits);
            assert!(special || i.op == f.op as u16, "{}: {name:?}", f.mnemonic);
        }
    }

    #[test]
    fn no_line_is_hidden_by_those_before() {
        for (n, f) in FORMS.iter().enumerate() {
            let hidden = FORMS[..n]
                .iter()
                .find(|g| g.mask & !f.mask == 0 && f.bits & g.mask == g.bits);
            assert!(hidden.is_none(), "{} by {hidden:?}", f.mnemonic);
        }
        for (n, f) in SHORT_FORMS.iter().enumerate() {
            let hidden = SHORT_FORMS[..n]
                .iter()
                .find(|g| g.mask & !f.mask == 0 && f.bits & g.mask == g.bits);
            assert!(hidden.is_none(), "{} by {hidden:?}", f.mnemonic);
        }
    }

    #[test]
    fn zero_and_ones_are_illegal() {
        let ext = Cpu::default().ext;
        let illegal = |bytes: &[u8]| decode(bytes, ext).is_some_and(|(i, _)| i.is(Op::Illegal));
        assert!(illegal(&[0, 0]));
        assert!(illegal(&[0xff; 4]));
        assert!(decode(&[0x13, 0], ext).is_none());
    }
}
