//! Disassembly, from the decode table.

use crate::csr;
use crate::decode::{self, Line};
use crate::ext::ExtSet;
use crate::format::{CFormat, Format, Operands};
use isoform_core::{FReg, Insn, Reg};
use std::fmt::Write;

/// ABI names of the integer registers (psABI, "Integer Register Convention").
pub const X_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

/// ABI names of the floating-point registers.
pub const F_NAMES: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

const ROUNDING: [&str; 8] = ["rne", "rtz", "rdn", "rup", "rmm", "rm5", "rm6", "dyn"];

fn x(r: Reg) -> &'static str {
    X_NAMES[usize::from(r.0 & 31)]
}

fn f(r: FReg) -> &'static str {
    F_NAMES[usize::from(r.0 & 31)]
}

/// Text of the instruction at the start of `bytes`, which lies at `pc`, and its
/// length. `None` where the bytes end too early. What is no instruction reads
/// `.insn` with its bits.
pub fn disassemble(bytes: &[u8], pc: u64, ext: ExtSet) -> Option<(String, usize)> {
    let (insn, line) = decode::decode(bytes, ext)?;
    let length = if bytes.first().is_some_and(|b| b & 3 != 3) {
        2
    } else {
        4
    };
    let Some(line) = line else {
        let raw = bytes
            .iter()
            .take(length)
            .rev()
            .fold(0u32, |v, b| v << 8 | u32::from(*b));
        return Some((
            format!(".insn   {raw:#0width$x}", width = 2 + 2 * length),
            length,
        ));
    };
    let (format, short) = match line {
        Line::Long(form) => (form.format, None),
        Line::Short(form) => {
            let format = decode::form_of(form.op as u16)?.format;
            (format, short_operands(form.format, insn, pc))
        }
    };
    let mut text = mnemonic(line, insn);
    if matches!(format, Format::Amo | Format::Lr) {
        text.push_str(match (insn.aq(), insn.rl()) {
            (false, false) => "",
            (true, false) => ".aq",
            (false, true) => ".rl",
            (true, true) => ".aqrl",
        });
    }
    let operands = short.unwrap_or_else(|| operands(format, insn, pc));
    if !operands.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{:pad$} {operands}",
            "",
            pad = 7usize.saturating_sub(text.len())
        );
    }
    Some((text, length))
}

/// The assembler's name for an instruction.
fn mnemonic(line: Line, i: Insn) -> String {
    match line {
        // Unpriv. 2.7: a mode of its own, of which only this combination is defined.
        Line::Long(f) if f.format == Format::Fence && i.imm == 0x833 => "fence.tso".into(),
        _ => line.mnemonic().into(),
    }
}

/// Operands of the 16-bit formats that name fewer than the instruction they stand for;
/// `None` for the others.
fn short_operands(format: CFormat, i: Insn, pc: u64) -> Option<String> {
    let (rd, rs1, rs2) = (x(i.rd()), x(i.rs1()), x(i.rs2()));
    let (imm, target) = (i.imm, pc.wrapping_add(i.simm() as u64));
    Some(match format {
        CFormat::None => String::new(),
        // `c.nop`: anything but 0 is a hint.
        CFormat::Imm if i.rd().0 == 0 && imm == 0 => String::new(),
        CFormat::Imm if i.rd().0 == 0 => format!("{imm}"),
        CFormat::Imm
        | CFormat::ImmNot0
        | CFormat::Li
        | CFormat::Addi16sp
        | CFormat::Shift
        | CFormat::Slli
        | CFormat::Andi => format!("{rd}, {imm}"),
        CFormat::Arith | CFormat::Mv | CFormat::Add => format!("{rd}, {rs2}"),
        CFormat::Jump => format!("{target:#x}"),
        CFormat::Branch => format!("{rs1}, {target:#x}"),
        CFormat::Jr | CFormat::Jalr => rs1.into(),
        CFormat::Unary(_) => rd.into(),
        CFormat::Addi4spn
        | CFormat::Lui
        | CFormat::LoadB
        | CFormat::LoadH
        | CFormat::LoadW
        | CFormat::LoadD
        | CFormat::StoreB
        | CFormat::StoreH
        | CFormat::StoreW
        | CFormat::StoreD
        | CFormat::LoadWSp
        | CFormat::LoadDSp
        | CFormat::FLoadDSp
        | CFormat::StoreWSp
        | CFormat::StoreDSp => return None,
    })
}

/// Operands in the assembler's order.
fn operands(format: Format, i: Insn, pc: u64) -> String {
    let (rd, rs1, rs2) = (x(i.rd()), x(i.rs1()), x(i.rs2()));
    let (frd, frs1, frs2, frs3) = (f(i.frd()), f(i.frs1()), f(i.frs2()), f(i.frs3()));
    let (imm, target) = (i.imm, pc.wrapping_add(i.simm() as u64));
    // The dynamic rounding mode is the default and not written.
    let rm = match i.rm() {
        7 => String::new(),
        m => format!(", {}", ROUNDING[usize::from(m & 7)]),
    };
    let csr = || match csr::csr_name(i.csr()) {
        Some(name) => name.to_string(),
        None => format!("{:#x}", i.csr()),
    };
    match format {
        Format::None => String::new(),
        Format::R => format!("{rd}, {rs1}, {rs2}"),
        Format::R1 => format!("{rd}, {rs1}"),
        Format::Rs1 => format!("({rs1})"),
        Format::Rs12 => format!("{rs1}, {rs2}"),
        Format::I | Format::Shift6 | Format::Shift5 => format!("{rd}, {rs1}, {imm}"),
        Format::Load => format!("{rd}, {imm}({rs1})"),
        Format::S => format!("{}, {imm}({rs1})", x(i.rs2_s())),
        Format::B => format!("{rs1}, {}, {target:#x}", x(i.rs2_s())),
        Format::U => format!("{rd}, {:#x}", imm as u32 >> 12),
        Format::J => format!("{rd}, {target:#x}"),
        Format::Fence if imm == 0x833 => String::new(),
        Format::Fence => format!("{}, {}", fence_set(imm >> 4), fence_set(imm)),
        Format::Csr => format!("{rd}, {}, {rs1}", csr()),
        Format::CsrI => format!("{rd}, {}, {}", csr(), i.rs1().0),
        Format::Amo => format!("{rd}, {rs2}, ({rs1})"),
        Format::Lr => format!("{rd}, ({rs1})"),
        Format::F4 => format!("{frd}, {frs1}, {frs2}, {frs3}{rm}"),
        Format::F3 => format!("{frd}, {frs1}, {frs2}{rm}"),
        Format::F3NoRm => format!("{frd}, {frs1}, {frs2}"),
        Format::F2 => format!("{frd}, {frs1}{rm}"),
        Format::FCmp => format!("{rd}, {frs1}, {frs2}"),
        Format::FToX => format!("{rd}, {frs1}{rm}"),
        Format::FToXNoRm => format!("{rd}, {frs1}"),
        Format::XToF => format!("{frd}, {rs1}{rm}"),
        Format::XToFNoRm => format!("{frd}, {rs1}"),
        Format::FLoad => format!("{frd}, {imm}({rs1})"),
        Format::FStore => format!("{}, {imm}({rs1})", f(i.frs2_s())),
        Format::Prefetch => format!("{imm}({rs1})"),
    }
}

/// `iorw`, as far as set.
fn fence_set(bits: i32) -> String {
    let set = "iorw"
        .chars()
        .zip([8, 4, 2, 1])
        .filter(|(_, bit)| bits & bit != 0);
    let text: String = set.map(|(c, _)| c).collect();
    if text.is_empty() { "0".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;

    fn text(raw: u32) -> String {
        let ext = Cpu::default().ext;
        disassemble(&raw.to_le_bytes(), 0x1000, ext)
            .map(|d| d.0)
            .unwrap_or_default()
    }

    /// What GNU as assembles these to.
    #[test]
    fn known_encodings() {
        assert_eq!(text(0xfff5_0513), "addi    a0, a0, -1");
        assert_eq!(text(0x00b5_0863), "beq     a0, a1, 0x1010");
        assert_eq!(text(0x0ff0_000f), "fence   iorw, iorw");
        assert_eq!(text(0x1005_272f), "lr.w    a4, (a0)");
        assert_eq!(text(0x3000_2573), "csrrs   a0, mstatus, zero");
        assert_eq!(text(0x02c5_f553), "fadd.d  fa0, fa1, fa2");
        assert_eq!(text(0x0000_0013), "addi    zero, zero, 0");
        assert_eq!(text(0x0000_8082), "c.jr    ra");
        assert_eq!(text(0x0000_4501), "c.li    a0, 0");
        assert_eq!(text(0x0000_0001), "c.nop");
        assert_eq!(text(0x8330_000f), "fence.tso");
        assert_eq!(text(0xffff_ffff), ".insn   0xffffffff");
    }
}
