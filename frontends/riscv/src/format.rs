//! Instruction formats: where operands lie in an encoding, and where they go in a
//! decoded [`Insn`].
//!
//! In a decoded instruction `b` is rs1 (or the CSR instructions' zimm). `a` is rd,
//! or rs2 in the formats without rd (S and B). `imm` is the immediate, or, in the
//! formats that have none, further operands packed: rs2 in bits 4:0, rs3 in bits
//! 12:8, the rounding mode or aq/rl in bits 18:16.

use crate::table::Op;
use isoform_core::{FReg, Insn, Reg};

/// Set in `op` when the encoding has two bytes, and greater than any [`Op`]. Not
/// much greater: the executor's jump table reaches up to the last short operation.
pub const SHORT: u16 = 0x200;

/// The formats of 32-bit encodings (Unpriv. 2.2, and the chapters named).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// No operands.
    None,
    /// rd, rs1, rs2.
    R,
    /// rd, rs1.
    R1,
    /// rs1 alone (`cbo`).
    Rs1,
    /// rs1, rs2 (`sfence.vma`).
    Rs12,
    /// rd, rs1, 12-bit immediate.
    I,
    /// rd, 12-bit displacement, rs1 (loads, `jalr`).
    Load,
    /// rd, rs1, 6-bit shift amount.
    Shift6,
    /// rd, rs1, 5-bit shift amount.
    Shift5,
    /// rs2, 12-bit displacement, rs1.
    S,
    /// rs1, rs2, 13-bit displacement.
    B,
    /// rd, upper 20 bits.
    U,
    /// rd, 21-bit displacement.
    J,
    /// pred, succ.
    Fence,
    /// rd, csr, rs1.
    Csr,
    /// rd, csr, 5-bit immediate.
    CsrI,
    /// rd, rs2, (rs1), aq and rl.
    Amo,
    /// rd, (rs1), aq and rl.
    Lr,
    /// frd, frs1, frs2, frs3, rm.
    F4,
    /// frd, frs1, frs2, rm.
    F3,
    /// frd, frs1, frs2, without rm.
    F3NoRm,
    /// frd, frs1, rm.
    F2,
    /// rd, frs1, frs2 (comparisons).
    FCmp,
    /// rd, frs1, rm.
    FToX,
    /// rd, frs1, without rm.
    FToXNoRm,
    /// frd, rs1, rm.
    XToF,
    /// frd, rs1, without rm.
    XToFNoRm,
    /// frd, displacement, rs1.
    FLoad,
    /// frs2, displacement, rs1.
    FStore,
    /// offset, rs1 (`prefetch`).
    Prefetch,
}

/// Bits `hi:lo` of `raw`.
const fn field(raw: u32, hi: u32, lo: u32) -> u32 {
    (raw >> lo) & ((1 << (hi - lo + 1)) - 1)
}

/// Bits `hi:lo` of `raw`, moved to start at `to`.
const fn place(raw: u32, hi: u32, lo: u32, to: u32) -> u32 {
    field(raw, hi, lo) << to
}

/// Sign-extends the low `bits`.
const fn signed(value: u32, bits: u32) -> i32 {
    ((value << (32 - bits)) as i32) >> (32 - bits)
}

impl Format {
    /// Takes the operands out of a 32-bit encoding.
    pub fn operands(self, raw: u32) -> Insn {
        let (rd, rs1, rs2) = (
            field(raw, 11, 7) as u8,
            field(raw, 19, 15) as u8,
            field(raw, 24, 20),
        );
        let imm_i = raw as i32 >> 20;
        let imm_s = (raw as i32 >> 25 << 5) | field(raw, 11, 7) as i32;
        let packed = rs2 | place(raw, 31, 27, 8) | place(raw, 14, 12, 16);
        let (a, imm) = match self {
            Format::None | Format::Rs1 => (0, 0),
            Format::R | Format::R1 | Format::Rs12 => (rd, rs2 as i32),
            Format::I | Format::Load | Format::FLoad => (rd, imm_i),
            Format::Shift6 => (rd, field(raw, 25, 20) as i32),
            Format::Shift5 => (rd, rs2 as i32),
            Format::S | Format::FStore => (rs2 as u8, imm_s),
            Format::B => {
                let low = place(raw, 30, 25, 5) | place(raw, 11, 8, 1) | place(raw, 7, 7, 11);
                (rs2 as u8, signed(low | place(raw, 31, 31, 12), 13))
            }
            Format::U => (rd, (raw & 0xffff_f000) as i32),
            Format::J => {
                let low = place(raw, 30, 21, 1) | place(raw, 20, 20, 11) | place(raw, 19, 12, 12);
                (rd, signed(low | place(raw, 31, 31, 20), 21))
            }
            Format::Fence => (rd, field(raw, 31, 20) as i32),
            Format::Csr | Format::CsrI => (rd, field(raw, 31, 20) as i32),
            Format::Amo | Format::Lr => (rd, (rs2 | place(raw, 26, 25, 16)) as i32),
            Format::F4 | Format::F3 | Format::F3NoRm | Format::F2 | Format::FCmp => {
                (rd, packed as i32)
            }
            Format::FToX | Format::FToXNoRm | Format::XToF | Format::XToFNoRm => {
                (rd, packed as i32)
            }
            Format::Prefetch => (0, imm_s & !31),
        };
        Insn {
            op: 0,
            a,
            b: rs1,
            imm,
        }
    }
}

/// The formats of 16-bit encodings (Unpriv. "C" and "Zcb"): like the 32-bit ones,
/// with the operands of the instruction that they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CFormat {
    /// `c.addi4spn`: rd', sp, scaled unsigned immediate, not 0.
    Addi4spn,
    /// rd', rs1', offset scaled by 4.
    LoadW,
    /// rd', rs1', offset scaled by 8.
    LoadD,
    /// rs2', rs1', offset scaled by 4.
    StoreW,
    /// rs2', rs1', offset scaled by 8.
    StoreD,
    /// rd = rs1, signed immediate.
    Imm,
    /// As `Imm`, rd not x0 (`c.addiw`).
    ImmNot0,
    /// rd, x0, signed immediate (`c.li`).
    Li,
    /// `c.addi16sp`.
    Addi16sp,
    /// `c.lui`.
    Lui,
    /// rd' = rs1', 6-bit shift amount.
    Shift,
    /// rd = rs1, 6-bit shift amount (`c.slli`).
    Slli,
    /// rd' = rs1', signed immediate (`c.andi`).
    Andi,
    /// rd' = rs1', rs2'.
    Arith,
    /// x0, jump offset (`c.j`).
    Jump,
    /// rs1', x0, branch offset.
    Branch,
    /// rd not x0, sp, offset scaled by 4.
    LoadWSp,
    /// rd not x0, sp, offset scaled by 8.
    LoadDSp,
    /// frd, sp, offset scaled by 8.
    FLoadDSp,
    /// rs2, sp, offset scaled by 4.
    StoreWSp,
    /// rs2, sp, offset scaled by 8.
    StoreDSp,
    /// x0, rs1 not x0 (`c.jr`).
    Jr,
    /// ra, rs1 not x0 (`c.jalr`).
    Jalr,
    /// rd, x0, rs2 not x0 (`c.mv`).
    Mv,
    /// rd = rs1, rs2 not x0 (`c.add`).
    Add,
    /// No operands.
    None,
    /// rd', rs1', 2-bit byte offset.
    LoadB,
    /// rd', rs1', 1-bit halfword offset.
    LoadH,
    /// rs2', rs1', 2-bit byte offset.
    StoreB,
    /// rs2', rs1', 1-bit halfword offset.
    StoreH,
    /// rd' = rs1'; what the immediate is follows from the operation.
    Unary(i32),
}

impl CFormat {
    /// Takes the operands out of a 16-bit encoding; `None` where they make it
    /// reserved.
    pub fn operands(self, raw: u16) -> Option<Insn> {
        let raw = u32::from(raw);
        let (full, full2) = (field(raw, 11, 7) as u8, field(raw, 6, 2) as u8);
        let (high, low) = (8 + field(raw, 9, 7) as u8, 8 + field(raw, 4, 2) as u8);
        let imm6 = place(raw, 12, 12, 5) | field(raw, 6, 2);
        let simm6 = signed(imm6, 6);
        let off_w = place(raw, 12, 10, 3) | place(raw, 6, 6, 2) | place(raw, 5, 5, 6);
        let off_d = place(raw, 12, 10, 3) | place(raw, 6, 5, 6);
        let off_wsp = place(raw, 12, 12, 5) | place(raw, 6, 4, 2) | place(raw, 3, 2, 6);
        let off_dsp = place(raw, 12, 12, 5) | place(raw, 6, 5, 3) | place(raw, 4, 2, 6);
        let byte = place(raw, 6, 6, 0) | place(raw, 5, 5, 1);
        let half = place(raw, 5, 5, 1);
        const SP: u8 = 2;
        let (a, b, imm) = match self {
            CFormat::Addi4spn => {
                let imm = place(raw, 12, 11, 4)
                    | place(raw, 10, 7, 6)
                    | place(raw, 6, 6, 2)
                    | place(raw, 5, 5, 3);
                (imm != 0).then_some((low, SP, imm as i32))?
            }
            CFormat::LoadW | CFormat::StoreW => (low, high, off_w as i32),
            CFormat::LoadD | CFormat::StoreD => (low, high, off_d as i32),
            CFormat::Imm => (full, full, simm6),
            CFormat::ImmNot0 => (full != 0).then_some((full, full, simm6))?,
            CFormat::Li => (full, 0, simm6),
            CFormat::Addi16sp => {
                let imm = place(raw, 12, 12, 9)
                    | place(raw, 6, 6, 4)
                    | place(raw, 5, 5, 6)
                    | place(raw, 4, 3, 7)
                    | place(raw, 2, 2, 5);
                (imm != 0).then_some((SP, SP, signed(imm, 10)))?
            }
            CFormat::Lui => (simm6 != 0).then_some((full, 0, simm6 << 12))?,
            CFormat::Shift => (high, high, imm6 as i32),
            CFormat::Slli => (full, full, imm6 as i32),
            CFormat::Andi => (high, high, simm6),
            CFormat::Arith => (high, high, i32::from(low)),
            CFormat::Jump => {
                let imm = place(raw, 12, 12, 11)
                    | place(raw, 11, 11, 4)
                    | place(raw, 10, 9, 8)
                    | place(raw, 8, 8, 10)
                    | place(raw, 7, 7, 6)
                    | place(raw, 6, 6, 7)
                    | place(raw, 5, 3, 1)
                    | place(raw, 2, 2, 5);
                (0, 0, signed(imm, 12))
            }
            CFormat::Branch => {
                let imm = place(raw, 12, 12, 8)
                    | place(raw, 11, 10, 3)
                    | place(raw, 6, 5, 6)
                    | place(raw, 4, 3, 1)
                    | place(raw, 2, 2, 5);
                (0, high, signed(imm, 9))
            }
            CFormat::LoadWSp => (full != 0).then_some((full, SP, off_wsp as i32))?,
            CFormat::LoadDSp => (full != 0).then_some((full, SP, off_dsp as i32))?,
            CFormat::FLoadDSp => (full, SP, off_dsp as i32),
            CFormat::StoreWSp => (
                full2,
                SP,
                (place(raw, 12, 9, 2) | place(raw, 8, 7, 6)) as i32,
            ),
            CFormat::StoreDSp => (
                full2,
                SP,
                (place(raw, 12, 10, 3) | place(raw, 9, 7, 6)) as i32,
            ),
            CFormat::Jr => (full != 0).then_some((0, full, 0))?,
            CFormat::Jalr => (full != 0).then_some((1, full, 0))?,
            CFormat::Mv => (full2 != 0).then_some((full, 0, i32::from(full2)))?,
            CFormat::Add => (full2 != 0).then_some((full, full, i32::from(full2)))?,
            CFormat::None => (0, 0, 0),
            CFormat::LoadB | CFormat::StoreB => (low, high, byte as i32),
            CFormat::LoadH | CFormat::StoreH => (low, high, half as i32),
            CFormat::Unary(imm) => (high, high, imm),
        };
        Some(Insn {
            op: SHORT,
            a,
            b,
            imm,
        })
    }
}

/// The operands of a decoded instruction by the manual's names.
pub trait Operands {
    /// Whether it is this operation, in an encoding of either length.
    fn is(self, op: Op) -> bool;
    /// Destination register.
    fn rd(self) -> Reg;
    /// First source.
    fn rs1(self) -> Reg;
    /// Second source, in the formats that have rd.
    fn rs2(self) -> Reg;
    /// Second source, in the S and B formats.
    fn rs2_s(self) -> Reg;
    /// Floating-point destination.
    fn frd(self) -> FReg;
    /// First floating-point source.
    fn frs1(self) -> FReg;
    /// Second floating-point source.
    fn frs2(self) -> FReg;
    /// Third floating-point source.
    fn frs3(self) -> FReg;
    /// Floating-point source of a store.
    fn frs2_s(self) -> FReg;
    /// Rounding mode.
    fn rm(self) -> u8;
    /// The aq bit.
    fn aq(self) -> bool;
    /// The rl bit.
    fn rl(self) -> bool;
    /// The immediate, sign-extended.
    fn simm(self) -> i64;
    /// CSR number.
    fn csr(self) -> u16;
}

impl Operands for Insn {
    #[inline(always)]
    fn is(self, op: Op) -> bool {
        self.op & !SHORT == op as u16
    }
    #[inline(always)]
    fn rd(self) -> Reg {
        Reg(self.a & 31)
    }
    #[inline(always)]
    fn rs1(self) -> Reg {
        Reg(self.b & 31)
    }
    #[inline(always)]
    fn rs2(self) -> Reg {
        Reg(self.imm as u8 & 31)
    }
    #[inline(always)]
    fn rs2_s(self) -> Reg {
        Reg(self.a & 31)
    }
    #[inline(always)]
    fn frd(self) -> FReg {
        FReg(self.a & 31)
    }
    #[inline(always)]
    fn frs1(self) -> FReg {
        FReg(self.b & 31)
    }
    #[inline(always)]
    fn frs2(self) -> FReg {
        FReg(self.imm as u8 & 31)
    }
    #[inline(always)]
    fn frs3(self) -> FReg {
        FReg((self.imm >> 8) as u8 & 31)
    }
    #[inline(always)]
    fn frs2_s(self) -> FReg {
        FReg(self.a & 31)
    }
    #[inline(always)]
    fn rm(self) -> u8 {
        (self.imm >> 16) as u8 & 7
    }
    #[inline(always)]
    fn aq(self) -> bool {
        self.imm & 1 << 17 != 0
    }
    #[inline(always)]
    fn rl(self) -> bool {
        self.imm & 1 << 16 != 0
    }
    #[inline(always)]
    fn simm(self) -> i64 {
        i64::from(self.imm)
    }
    #[inline(always)]
    fn csr(self) -> u16 {
        self.imm as u16 & 0xfff
    }
}
