//! What instructions mean, written down: one file a chapter in `golden/`, read by
//! eye and compared from then on. `ISOFORM_BLESS=1` writes the files anew.

use isoform_record::record;
use isoform_riscv::csr::csr_number;
use isoform_riscv::decode;
use isoform_riscv::disasm::disassemble;
use isoform_riscv::table::{FORMS, SHORT_FORMS};
use isoform_riscv::{Cpu, Hart, Mode, Priv};
use std::fmt::Write;
use std::path::Path;

/// A chapter and its instructions: mnemonics, and a CSR where they take one. The other
/// operands are those of [`OPERANDS`].
const CHAPTERS: &[(&str, &[&str])] = &[
    (
        "alu",
        &[
            "lui",
            "auipc",
            "addi",
            "slti",
            "sltiu",
            "xori",
            "slli",
            "srai",
            "add",
            "sub",
            "sll",
            "slt",
            "sra",
            "addiw",
            "sraiw",
            "subw",
            "srlw",
            "c.addi16sp",
            "c.li",
            "c.lui",
            "c.mv",
            "c.add",
            "c.subw",
            "c.slli",
        ],
    ),
    (
        "mul",
        &[
            "mul", "mulh", "mulhsu", "mulhu", "div", "remu", "remw", "divuw", "c.mul",
        ],
    ),
    (
        "bits",
        &[
            "sh2add",
            "sh3add.uw",
            "add.uw",
            "slli.uw",
            "andn",
            "max",
            "minu",
            "rol",
            "rolw",
            "rori",
            "roriw",
            "clz",
            "ctzw",
            "cpop",
            "sext.b",
            "zext.h",
            "orc.b",
            "rev8",
            "clmul",
            "bclr",
            "bexti",
            "binv",
            "bset",
            "czero.eqz",
            "czero.nez",
            "c.not",
            "c.zext.w",
            "c.sext.h",
        ],
    ),
    (
        "control",
        &[
            "jal",
            "jalr",
            "beq",
            "bltu",
            "c.j",
            "c.beqz",
            "c.jalr",
            "prefetch.w",
            "pause",
        ],
    ),
    (
        "mem",
        &[
            "lb", "lhu", "lw", "ld", "sb", "sd", "fence", "c.lw", "c.sdsp", "c.lbu", "c.sh",
        ],
    ),
    (
        "atomic",
        &[
            "lr.w",
            "sc.d",
            "amoadd.w",
            "amomaxu.d",
            "amocas.w",
            "amocas.d",
            "amocas.q",
        ],
    ),
    (
        "float",
        &[
            "flh",
            "flw",
            "fsd",
            "fsw",
            "fadd.s",
            "fmsub.d",
            "fsqrt.h",
            "fsgnjn.d",
            "fmin.s",
            "feq.d",
            "fcvt.w.s",
            "fcvt.d.lu",
            "fcvt.s.d",
            "fclass.h",
            "fmv.x.w",
            "fmv.d.x",
            "fmv.h.x",
            "c.fld",
            "c.fsdsp",
        ],
    ),
    (
        "system",
        &[
            "ecall",
            "ebreak",
            "mret",
            "sret",
            "wfi",
            "fence.i",
            "sfence.vma",
            "sfence.w.inval",
            "cbo.zero",
            "wrs.nto",
            "csrrw mstatus",
            "csrrs mscratch",
            "csrrci fcsr",
            "csrrw pmpcfg0",
            "c.ebreak",
        ],
    ),
];

/// Operand bits of 32-bit forms: rd a0, rs1 a1, rs2 a2, rs3 a3 and the like.
const OPERANDS: u32 = 10 << 7 | 11 << 15 | 12 << 20 | 13 << 27;
/// Operand bits of 16-bit forms, likewise arbitrary.
const SHORT_OPERANDS: u16 = 10 << 7 | 11 << 2;

const MODE: Mode = Mode {
    privilege: Priv::M,
    fp_off: false,
    zeroes: true,
    ialign_32: false,
};

/// The encoding that stands for a mnemonic.
fn encoding(name: &str, csr: Option<&str>) -> Vec<u8> {
    if let Some(f) = FORMS.iter().find(|f| f.mnemonic == name) {
        let operands = match csr {
            Some(csr) => {
                let number = csr_number(csr).unwrap_or_else(|| panic!("{csr} is no CSR"));
                OPERANDS & 0xf_ffff | u32::from(number) << 20
            }
            None => OPERANDS,
        };
        return (f.bits | operands & !f.mask).to_le_bytes().to_vec();
    }
    let f = SHORT_FORMS.iter().find(|f| f.mnemonic == name);
    let f = f.unwrap_or_else(|| panic!("{name} is not in the table"));
    (f.bits | SHORT_OPERANDS & !f.mask).to_le_bytes().to_vec()
}

fn dump(entry: &str, mode: Mode) -> String {
    let mut words = entry.split(' ');
    let name = words.next().unwrap_or_default();
    let (bytes, ext) = (encoding(name, words.next()), Cpu::default().ext);
    let (insn, line) = decode::decode(&bytes, ext).expect("the encoding is whole");
    let line = line.unwrap_or_else(|| panic!("{name} decodes to nothing"));
    assert_eq!(line.mnemonic(), name, "another form stands before it");
    let (text, _) = disassemble(&bytes, 0, ext).expect("the encoding is whole");
    format!("{text}\n{}", record::<Hart>(mode, insn))
}

fn compare(chapter: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{chapter}.txt"));
    if std::env::var_os("ISOFORM_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        golden == text,
        "{} differs from line {}; ISOFORM_BLESS=1 writes it anew. Now:\n{text}",
        path.display(),
        differs.unwrap_or(golden.lines().count().min(text.lines().count())) + 1
    );
}

#[test]
fn instructions_mean_what_was_read_by_eye() {
    for (chapter, names) in CHAPTERS {
        let all: String = names.iter().map(|name| dump(name, MODE)).collect();
        compare(chapter, &all);
    }
}

#[test]
fn modes_change_what_was_read_by_eye() {
    let mut text = String::new();
    for name in ["fadd.s", "flw", "fmv.x.w", "c.fld"] {
        let _ = write!(
            text,
            "fp off: {}",
            dump(
                name,
                Mode {
                    fp_off: true,
                    ..MODE
                }
            )
        );
    }
    for name in ["jal", "jalr", "beq"] {
        let _ = write!(
            text,
            "without C: {}",
            dump(
                name,
                Mode {
                    zeroes: true,
                    ialign_32: true,
                    ..MODE
                }
            )
        );
    }
    compare("modes", &text);
}
