//! The instructions of F and D that compute, by their encodings (Unpriv. 35, "RV32/64G
//! Instruction Set Listings").

/// Where an instruction's operands and result are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `f[1]` to `f[3]`, to `f[4]`.
    Float,
    /// `f[1]` and `f[2]`, to `x[5]`.
    ToInt,
    /// `x[6]`, to `f[4]`.
    FromInt,
}

/// An instruction in one rounding mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    /// What it is called here.
    pub(crate) name: &'static str,
    pub(crate) encoding: u32,
    pub(crate) shape: Shape,
    pub(crate) operands: u32,
    /// Whether its operands are binary64.
    pub(crate) double: bool,
    /// The rounding mode, or what else the field chooses.
    pub(crate) rm: u32,
}

/// The fields of an OP-FP encoding.
pub(crate) fn op_fp(funct5: u32, fmt: u32, rs2: u32, rs1: u32, rm: u32, rd: u32) -> u32 {
    funct5 << 27 | fmt << 25 | rs2 << 20 | rs1 << 15 | rm << 12 | rd << 7 | 0x53
}

/// Rounding modes: all static ones, a reserved one, the dynamic one.
const ROUNDED: [u32; 7] = [0, 1, 2, 3, 4, 5, 7];

/// Name, funct5, what stands in rs2 if no register, operands, shape, values of rm.
type Line = (&'static str, u32, Option<u32>, u32, Shape, &'static [u32]);

const OP_FP: &[Line] = &[
    ("fadd", 0x00, None, 2, Shape::Float, &ROUNDED),
    ("fsub", 0x01, None, 2, Shape::Float, &ROUNDED),
    ("fmul", 0x02, None, 2, Shape::Float, &ROUNDED),
    ("fdiv", 0x03, None, 2, Shape::Float, &ROUNDED),
    ("fsqrt", 0x0b, Some(0), 1, Shape::Float, &ROUNDED),
    ("fsgnj", 0x04, None, 2, Shape::Float, &[0, 1, 2]),
    ("fmin, fmax", 0x05, None, 2, Shape::Float, &[0, 1]),
    ("fle, flt, feq", 0x14, None, 2, Shape::ToInt, &[0, 1, 2]),
    ("fcvt.w", 0x18, Some(0), 1, Shape::ToInt, &ROUNDED),
    ("fcvt.wu", 0x18, Some(1), 1, Shape::ToInt, &ROUNDED),
    ("fcvt.l", 0x18, Some(2), 1, Shape::ToInt, &ROUNDED),
    ("fcvt.lu", 0x18, Some(3), 1, Shape::ToInt, &ROUNDED),
    ("fcvt from w", 0x1a, Some(0), 1, Shape::FromInt, &ROUNDED),
    ("fcvt from wu", 0x1a, Some(1), 1, Shape::FromInt, &ROUNDED),
    ("fcvt from l", 0x1a, Some(2), 1, Shape::FromInt, &ROUNDED),
    ("fcvt from lu", 0x1a, Some(3), 1, Shape::FromInt, &ROUNDED),
    ("fmv.x, fclass", 0x1c, Some(0), 1, Shape::ToInt, &[0, 1]),
    ("fmv from x", 0x1e, Some(0), 1, Shape::FromInt, &[0]),
];

fn op_fp_line(&(name, funct5, rs2, operands, shape, rms): &Line, fmt: u32) -> Vec<Instruction> {
    let rs1 = if shape == Shape::FromInt { 6 } else { 1 };
    let rd = if shape == Shape::ToInt { 5 } else { 4 };
    let one = |rm: &u32| Instruction {
        name,
        encoding: op_fp(funct5, fmt, rs2.unwrap_or(2), rs1, *rm, rd),
        shape,
        operands,
        double: fmt == 1,
        rm: if rms.len() == ROUNDED.len() { *rm } else { 0 },
    };
    rms.iter().map(one).collect()
}

/// All of them.
pub(crate) fn all() -> Vec<Instruction> {
    let mut all = Vec::new();
    for fmt in [0, 1] {
        all.extend(OP_FP.iter().flat_map(|line| op_fp_line(line, fmt)));
        let fused = [0x43, 0x47, 0x4b, 0x4f];
        let names = ["fmadd", "fmsub", "fnmsub", "fnmadd"];
        for (opcode, name) in fused.into_iter().zip(names) {
            all.extend(ROUNDED.map(|rm| Instruction {
                name,
                encoding: 3 << 27 | fmt << 25 | 2 << 20 | 1 << 15 | rm << 12 | 4 << 7 | opcode,
                shape: Shape::Float,
                operands: 3,
                double: fmt == 1,
                rm,
            }));
        }
        // fcvt.s.d and fcvt.d.s: the format converted from stands in rs2.
        let name = "fcvt between formats";
        let line: Line = (name, 0x08, Some(1 - fmt), 1, Shape::Float, &ROUNDED);
        all.extend(op_fp_line(&line, fmt).into_iter().map(|i| Instruction {
            double: fmt == 0,
            ..i
        }));
    }
    all
}
