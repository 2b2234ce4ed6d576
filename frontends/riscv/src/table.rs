//! The decode table: one line an instruction form.
//!
//! Decoder, executor, disassembler and test generator all come from these lines. A
//! pattern is read from bit 31 (or 15) down: `0` and `1` are fixed, `.` is an operand
//! bit. Among forms of one encoding space the first that matches and is enabled wins,
//! so that a special case (`pause`) stands before the general one (`fence`).

use crate::ext::Ext;
use crate::format::{CFormat, Format, SHORT};
use crate::hart::Hart;
use crate::sem::{alu, atomic, bits, control, float, mem, mul, system};
use isoform_core::{Insn, Ops};

/// A form of 32 bits.
#[derive(Debug)]
pub struct Form {
    /// The operation.
    pub op: Op,
    /// The assembler's name for it.
    pub mnemonic: &'static str,
    /// The fixed bits' positions.
    pub mask: u32,
    /// The fixed bits' values.
    pub bits: u32,
    /// Where the operands are.
    pub format: Format,
    /// The extension that it comes with.
    pub ext: Ext,
}

/// A form of 16 bits, which stands for a form of 32 bits.
#[derive(Debug)]
pub struct ShortForm {
    /// The operation that it stands for.
    pub op: Op,
    /// The assembler's name for it.
    pub mnemonic: &'static str,
    /// The fixed bits' positions.
    pub mask: u16,
    /// The fixed bits' values.
    pub bits: u16,
    /// Where the operands are.
    pub format: CFormat,
    /// The extension that it comes with, beside that of the operation.
    pub ext: Ext,
}

/// Mask and value of a pattern of `width` bits.
const fn pattern(text: &str, width: u32) -> (u32, u32) {
    let (text, mut mask, mut bits, mut n, mut i) = (text.as_bytes(), 0u32, 0u32, 0, 0);
    while i < text.len() {
        let (fixed, value) = match text[i] {
            b' ' => {
                i += 1;
                continue;
            }
            b'.' => (0, 0),
            b'0' => (1, 0),
            b'1' => (1, 1),
            _ => panic!("a pattern is made of 0, 1, dots and spaces"),
        };
        mask = mask << 1 | fixed;
        bits = bits << 1 | value;
        n += 1;
        i += 1;
    }
    assert!(n == width, "a pattern has as many bits as its encoding");
    (mask, bits)
}

macro_rules! instructions {
    ($( $op:ident $mnemonic:literal $pattern:literal $format:ident $ext:ident $module:ident::$function:ident; )*) => {
        /// An operation: what the executor distinguishes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        #[expect(missing_docs, reason = "each is the mnemonic of its line in the table")]
        pub enum Op {
            /// Not decoded yet (all-zero).
            Undecoded = 0,
            /// No instruction: traps.
            Illegal,
            $( $op ),*
        }

        /// All forms of 32 bits.
        pub static FORMS: &[Form] = &[$( {
            const P: (u32, u32) = pattern($pattern, 32);
            Form { op: Op::$op, mnemonic: $mnemonic, mask: P.0, bits: P.1, format: Format::$format, ext: Ext::$ext }
        } ),*];

        #[expect(non_upper_case_globals, reason = "patterns must be constants, and these are the operations' names")]
        mod long {
            $( pub(super) const $op: u16 = super::Op::$op as u16; )*
        }
        #[expect(non_upper_case_globals, reason = "as above")]
        mod short {
            $( pub(super) const $op: u16 = super::Op::$op as u16 | super::SHORT; )*
        }

        /// Gives a decoded instruction its meaning.
        ///
        /// An operation's two lengths are two arms, so that each knows what follows it:
        /// a branch on the length, or a sum, would stand before each next instruction.
        #[inline(always)]
        pub(crate) fn execute<O: Ops<Guest = Hart>>(o: &mut O, i: &Insn) -> Result<(), O::Exit> {
            match i.op {
                $(
                    long::$op => {
                        o.length(4);
                        $module::$function(o, i)
                    }
                    short::$op if const { has_short_form(Op::$op) } => {
                        o.length(2);
                        $module::$function(o, i)
                    }
                )*
                _ => system::illegal(o, i),
            }
        }
    };
}

const _: () = assert!(
    FORMS.len() + 2 <= SHORT as usize,
    "each `Op` is less than `SHORT`"
);

/// Whether some form of 16 bits stands for the operation.
const fn has_short_form(op: Op) -> bool {
    let mut n = 0;
    while n < SHORT_FORMS.len() {
        if SHORT_FORMS[n].op as u16 == op as u16 {
            return true;
        }
        n += 1;
    }
    false
}

macro_rules! short_instructions {
    ($( $op:ident $mnemonic:literal $pattern:literal $format:ident $(($arg:literal))? $ext:ident; )*) => {
        /// All forms of 16 bits.
        pub static SHORT_FORMS: &[ShortForm] = &[$( {
            const P: (u32, u32) = pattern($pattern, 16);
            ShortForm {
                op: Op::$op, mnemonic: $mnemonic, mask: P.0 as u16, bits: P.1 as u16,
                format: CFormat::$format $(($arg))?, ext: Ext::$ext,
            }
        } ),*];
    };
}

instructions! {
    // RV64I (Unpriv. 2 and 4)
    Lui            "lui"             "....... ..... ..... ... ..... 0110111" U         I           alu::lui;
    Auipc          "auipc"           "....... ..... ..... ... ..... 0010111" U         I           alu::auipc;
    Jal            "jal"             "....... ..... ..... ... ..... 1101111" J         I           control::jal;
    Jalr           "jalr"            "....... ..... ..... 000 ..... 1100111" Load      I           control::jalr;
    Beq            "beq"             "....... ..... ..... 000 ..... 1100011" B         I           control::beq;
    Bne            "bne"             "....... ..... ..... 001 ..... 1100011" B         I           control::bne;
    Blt            "blt"             "....... ..... ..... 100 ..... 1100011" B         I           control::blt;
    Bge            "bge"             "....... ..... ..... 101 ..... 1100011" B         I           control::bge;
    Bltu           "bltu"            "....... ..... ..... 110 ..... 1100011" B         I           control::bltu;
    Bgeu           "bgeu"            "....... ..... ..... 111 ..... 1100011" B         I           control::bgeu;
    Lb             "lb"              "....... ..... ..... 000 ..... 0000011" Load      I           mem::lb;
    Lh             "lh"              "....... ..... ..... 001 ..... 0000011" Load      I           mem::lh;
    Lw             "lw"              "....... ..... ..... 010 ..... 0000011" Load      I           mem::lw;
    Ld             "ld"              "....... ..... ..... 011 ..... 0000011" Load      I           mem::ld;
    Lbu            "lbu"             "....... ..... ..... 100 ..... 0000011" Load      I           mem::lbu;
    Lhu            "lhu"             "....... ..... ..... 101 ..... 0000011" Load      I           mem::lhu;
    Lwu            "lwu"             "....... ..... ..... 110 ..... 0000011" Load      I           mem::lwu;
    Sb             "sb"              "....... ..... ..... 000 ..... 0100011" S         I           mem::sb;
    Sh             "sh"              "....... ..... ..... 001 ..... 0100011" S         I           mem::sh;
    Sw             "sw"              "....... ..... ..... 010 ..... 0100011" S         I           mem::sw;
    Sd             "sd"              "....... ..... ..... 011 ..... 0100011" S         I           mem::sd;
    PrefetchI      "prefetch.i"      "....... 00000 ..... 110 00000 0010011" Prefetch  Zicbop      control::nop;
    PrefetchR      "prefetch.r"      "....... 00001 ..... 110 00000 0010011" Prefetch  Zicbop      control::nop;
    PrefetchW      "prefetch.w"      "....... 00011 ..... 110 00000 0010011" Prefetch  Zicbop      control::nop;
    Addi           "addi"            "....... ..... ..... 000 ..... 0010011" I         I           alu::addi;
    Slti           "slti"            "....... ..... ..... 010 ..... 0010011" I         I           alu::slti;
    Sltiu          "sltiu"           "....... ..... ..... 011 ..... 0010011" I         I           alu::sltiu;
    Xori           "xori"            "....... ..... ..... 100 ..... 0010011" I         I           alu::xori;
    Ori            "ori"             "....... ..... ..... 110 ..... 0010011" I         I           alu::ori;
    Andi           "andi"            "....... ..... ..... 111 ..... 0010011" I         I           alu::andi;
    Slli           "slli"            "000000. ..... ..... 001 ..... 0010011" Shift6    I           alu::slli;
    Srli           "srli"            "000000. ..... ..... 101 ..... 0010011" Shift6    I           alu::srli;
    Srai           "srai"            "010000. ..... ..... 101 ..... 0010011" Shift6    I           alu::srai;
    Add            "add"             "0000000 ..... ..... 000 ..... 0110011" R         I           alu::add;
    Sub            "sub"             "0100000 ..... ..... 000 ..... 0110011" R         I           alu::sub;
    Sll            "sll"             "0000000 ..... ..... 001 ..... 0110011" R         I           alu::sll;
    Slt            "slt"             "0000000 ..... ..... 010 ..... 0110011" R         I           alu::slt;
    Sltu           "sltu"            "0000000 ..... ..... 011 ..... 0110011" R         I           alu::sltu;
    Xor            "xor"             "0000000 ..... ..... 100 ..... 0110011" R         I           alu::xor;
    Srl            "srl"             "0000000 ..... ..... 101 ..... 0110011" R         I           alu::srl;
    Sra            "sra"             "0100000 ..... ..... 101 ..... 0110011" R         I           alu::sra;
    Or             "or"              "0000000 ..... ..... 110 ..... 0110011" R         I           alu::or;
    And            "and"             "0000000 ..... ..... 111 ..... 0110011" R         I           alu::and;
    Addiw          "addiw"           "....... ..... ..... 000 ..... 0011011" I         I           alu::addiw;
    Slliw          "slliw"           "0000000 ..... ..... 001 ..... 0011011" Shift5    I           alu::slliw;
    Srliw          "srliw"           "0000000 ..... ..... 101 ..... 0011011" Shift5    I           alu::srliw;
    Sraiw          "sraiw"           "0100000 ..... ..... 101 ..... 0011011" Shift5    I           alu::sraiw;
    Addw           "addw"            "0000000 ..... ..... 000 ..... 0111011" R         I           alu::addw;
    Subw           "subw"            "0100000 ..... ..... 000 ..... 0111011" R         I           alu::subw;
    Sllw           "sllw"            "0000000 ..... ..... 001 ..... 0111011" R         I           alu::sllw;
    Srlw           "srlw"            "0000000 ..... ..... 101 ..... 0111011" R         I           alu::srlw;
    Sraw           "sraw"            "0100000 ..... ..... 101 ..... 0111011" R         I           alu::sraw;
    Pause          "pause"           "0000000 10000 00000 000 00000 0001111" None      Zihintpause system::pause;
    Fence          "fence"           "....... ..... ..... 000 ..... 0001111" Fence     I           mem::fence;
    FenceI         "fence.i"         "....... ..... ..... 001 ..... 0001111" None      Zifencei    system::fence_i;
    Ecall          "ecall"           "0000000 00000 00000 000 00000 1110011" None      I           system::ecall;
    Ebreak         "ebreak"          "0000000 00001 00000 000 00000 1110011" None      I           system::ebreak;
    // Zicsr (Unpriv. 6)
    Csrrw          "csrrw"           "....... ..... ..... 001 ..... 1110011" Csr       Zicsr       system::csrrw;
    Csrrs          "csrrs"           "....... ..... ..... 010 ..... 1110011" Csr       Zicsr       system::csrrs;
    Csrrc          "csrrc"           "....... ..... ..... 011 ..... 1110011" Csr       Zicsr       system::csrrc;
    Csrrwi         "csrrwi"          "....... ..... ..... 101 ..... 1110011" CsrI      Zicsr       system::csrrwi;
    Csrrsi         "csrrsi"          "....... ..... ..... 110 ..... 1110011" CsrI      Zicsr       system::csrrsi;
    Csrrci         "csrrci"          "....... ..... ..... 111 ..... 1110011" CsrI      Zicsr       system::csrrci;
    // Privileged (Priv. 3.3, 10.2, "Svinval")
    Sret           "sret"            "0001000 00010 00000 000 00000 1110011" None      I           system::sret;
    Mret           "mret"            "0011000 00010 00000 000 00000 1110011" None      I           system::mret;
    Wfi            "wfi"             "0001000 00101 00000 000 00000 1110011" None      I           system::wfi;
    SfenceVma      "sfence.vma"      "0001001 ..... ..... 000 00000 1110011" Rs12      I           system::sfence_vma;
    SinvalVma      "sinval.vma"      "0001011 ..... ..... 000 00000 1110011" Rs12      Svinval     system::sinval_vma;
    SfenceWInval   "sfence.w.inval"  "0001100 00000 00000 000 00000 1110011" None      Svinval     system::sfence_w_inval;
    SfenceInvalIr  "sfence.inval.ir" "0001100 00001 00000 000 00000 1110011" None      Svinval     system::sfence_inval_ir;
    WrsNto         "wrs.nto"         "0000000 01101 00000 000 00000 1110011" None      Zawrs       system::wrs_nto;
    WrsSto         "wrs.sto"         "0000000 11101 00000 000 00000 1110011" None      Zawrs       system::wrs_sto;
    // Cache-block operations (Unpriv. "CMO")
    CboInval       "cbo.inval"       "0000000 00000 ..... 010 00000 0001111" Rs1       Zicbom      system::cbo_inval;
    CboClean       "cbo.clean"       "0000000 00001 ..... 010 00000 0001111" Rs1       Zicbom      system::cbo_clean;
    CboFlush       "cbo.flush"       "0000000 00010 ..... 010 00000 0001111" Rs1       Zicbom      system::cbo_flush;
    CboZero        "cbo.zero"        "0000000 00100 ..... 010 00000 0001111" Rs1       Zicboz      system::cbo_zero;
    // M (Unpriv. 12)
    Mul            "mul"             "0000001 ..... ..... 000 ..... 0110011" R         M           mul::mul;
    Mulh           "mulh"            "0000001 ..... ..... 001 ..... 0110011" R         M           mul::mulh;
    Mulhsu         "mulhsu"          "0000001 ..... ..... 010 ..... 0110011" R         M           mul::mulhsu;
    Mulhu          "mulhu"           "0000001 ..... ..... 011 ..... 0110011" R         M           mul::mulhu;
    Div            "div"             "0000001 ..... ..... 100 ..... 0110011" R         M           mul::div;
    Divu           "divu"            "0000001 ..... ..... 101 ..... 0110011" R         M           mul::divu;
    Rem            "rem"             "0000001 ..... ..... 110 ..... 0110011" R         M           mul::rem;
    Remu           "remu"            "0000001 ..... ..... 111 ..... 0110011" R         M           mul::remu;
    Mulw           "mulw"            "0000001 ..... ..... 000 ..... 0111011" R         M           mul::mulw;
    Divw           "divw"            "0000001 ..... ..... 100 ..... 0111011" R         M           mul::divw;
    Divuw          "divuw"           "0000001 ..... ..... 101 ..... 0111011" R         M           mul::divuw;
    Remw           "remw"            "0000001 ..... ..... 110 ..... 0111011" R         M           mul::remw;
    Remuw          "remuw"           "0000001 ..... ..... 111 ..... 0111011" R         M           mul::remuw;
    // A, Zacas (Unpriv. 13, "Zacas")
    LrW            "lr.w"            "00010.. 00000 ..... 010 ..... 0101111" Lr        A           atomic::lr_w;
    ScW            "sc.w"            "00011.. ..... ..... 010 ..... 0101111" Amo       A           atomic::sc_w;
    AmoswapW       "amoswap.w"       "00001.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amoswap_w;
    AmoaddW        "amoadd.w"        "00000.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amoadd_w;
    AmoxorW        "amoxor.w"        "00100.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amoxor_w;
    AmoandW        "amoand.w"        "01100.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amoand_w;
    AmoorW         "amoor.w"         "01000.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amoor_w;
    AmominW        "amomin.w"        "10000.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amomin_w;
    AmomaxW        "amomax.w"        "10100.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amomax_w;
    AmominuW       "amominu.w"       "11000.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amominu_w;
    AmomaxuW       "amomaxu.w"       "11100.. ..... ..... 010 ..... 0101111" Amo       A           atomic::amomaxu_w;
    LrD            "lr.d"            "00010.. 00000 ..... 011 ..... 0101111" Lr        A           atomic::lr_d;
    ScD            "sc.d"            "00011.. ..... ..... 011 ..... 0101111" Amo       A           atomic::sc_d;
    AmoswapD       "amoswap.d"       "00001.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amoswap_d;
    AmoaddD        "amoadd.d"        "00000.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amoadd_d;
    AmoxorD        "amoxor.d"        "00100.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amoxor_d;
    AmoandD        "amoand.d"        "01100.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amoand_d;
    AmoorD         "amoor.d"         "01000.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amoor_d;
    AmominD        "amomin.d"        "10000.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amomin_d;
    AmomaxD        "amomax.d"        "10100.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amomax_d;
    AmominuD       "amominu.d"       "11000.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amominu_d;
    AmomaxuD       "amomaxu.d"       "11100.. ..... ..... 011 ..... 0101111" Amo       A           atomic::amomaxu_d;
    AmocasW        "amocas.w"        "00101.. ..... ..... 010 ..... 0101111" Amo       Zacas       atomic::amocas_w;
    AmocasD        "amocas.d"        "00101.. ..... ..... 011 ..... 0101111" Amo       Zacas       atomic::amocas_d;
    AmocasQ        "amocas.q"        "00101.. ..... ..... 100 ..... 0101111" Amo       Zacas       atomic::amocas_q;
    // Zba, Zbb, Zbc, Zbs, Zicond (Unpriv. "B", "Zicond")
    Sh1add         "sh1add"          "0010000 ..... ..... 010 ..... 0110011" R         Zba         bits::sh1add;
    Sh1addUw       "sh1add.uw"       "0010000 ..... ..... 010 ..... 0111011" R         Zba         bits::sh1add_uw;
    Sh2add         "sh2add"          "0010000 ..... ..... 100 ..... 0110011" R         Zba         bits::sh2add;
    Sh2addUw       "sh2add.uw"       "0010000 ..... ..... 100 ..... 0111011" R         Zba         bits::sh2add_uw;
    Sh3add         "sh3add"          "0010000 ..... ..... 110 ..... 0110011" R         Zba         bits::sh3add;
    Sh3addUw       "sh3add.uw"       "0010000 ..... ..... 110 ..... 0111011" R         Zba         bits::sh3add_uw;
    AddUw          "add.uw"          "0000100 ..... ..... 000 ..... 0111011" R         Zba         bits::add_uw;
    SlliUw         "slli.uw"         "000010. ..... ..... 001 ..... 0011011" Shift6    Zba         bits::slli_uw;
    Andn           "andn"            "0100000 ..... ..... 111 ..... 0110011" R         Zbb         bits::andn;
    Orn            "orn"             "0100000 ..... ..... 110 ..... 0110011" R         Zbb         bits::orn;
    Xnor           "xnor"            "0100000 ..... ..... 100 ..... 0110011" R         Zbb         bits::xnor;
    Max            "max"             "0000101 ..... ..... 110 ..... 0110011" R         Zbb         bits::max;
    Maxu           "maxu"            "0000101 ..... ..... 111 ..... 0110011" R         Zbb         bits::maxu;
    Min            "min"             "0000101 ..... ..... 100 ..... 0110011" R         Zbb         bits::min;
    Minu           "minu"            "0000101 ..... ..... 101 ..... 0110011" R         Zbb         bits::minu;
    Rol            "rol"             "0110000 ..... ..... 001 ..... 0110011" R         Zbb         bits::rol;
    Ror            "ror"             "0110000 ..... ..... 101 ..... 0110011" R         Zbb         bits::ror;
    Rolw           "rolw"            "0110000 ..... ..... 001 ..... 0111011" R         Zbb         bits::rolw;
    Rorw           "rorw"            "0110000 ..... ..... 101 ..... 0111011" R         Zbb         bits::rorw;
    Rori           "rori"            "011000. ..... ..... 101 ..... 0010011" Shift6    Zbb         bits::rori;
    Roriw          "roriw"           "0110000 ..... ..... 101 ..... 0011011" Shift5    Zbb         bits::roriw;
    Clz            "clz"             "0110000 00000 ..... 001 ..... 0010011" R1        Zbb         bits::clz;
    Ctz            "ctz"             "0110000 00001 ..... 001 ..... 0010011" R1        Zbb         bits::ctz;
    Cpop           "cpop"            "0110000 00010 ..... 001 ..... 0010011" R1        Zbb         bits::cpop;
    SextB          "sext.b"          "0110000 00100 ..... 001 ..... 0010011" R1        Zbb         bits::sext_b;
    SextH          "sext.h"          "0110000 00101 ..... 001 ..... 0010011" R1        Zbb         bits::sext_h;
    Clzw           "clzw"            "0110000 00000 ..... 001 ..... 0011011" R1        Zbb         bits::clzw;
    Ctzw           "ctzw"            "0110000 00001 ..... 001 ..... 0011011" R1        Zbb         bits::ctzw;
    Cpopw          "cpopw"           "0110000 00010 ..... 001 ..... 0011011" R1        Zbb         bits::cpopw;
    ZextH          "zext.h"          "0000100 00000 ..... 100 ..... 0111011" R1        Zbb         bits::zext_h;
    OrcB           "orc.b"           "0010100 00111 ..... 101 ..... 0010011" R1        Zbb         bits::orc_b;
    Rev8           "rev8"            "0110101 11000 ..... 101 ..... 0010011" R1        Zbb         bits::rev8;
    Clmul          "clmul"           "0000101 ..... ..... 001 ..... 0110011" R         Zbc         bits::clmul;
    Clmulh         "clmulh"          "0000101 ..... ..... 011 ..... 0110011" R         Zbc         bits::clmulh;
    Clmulr         "clmulr"          "0000101 ..... ..... 010 ..... 0110011" R         Zbc         bits::clmulr;
    Bclr           "bclr"            "0100100 ..... ..... 001 ..... 0110011" R         Zbs         bits::bclr;
    Bclri          "bclri"           "010010. ..... ..... 001 ..... 0010011" Shift6    Zbs         bits::bclri;
    Bext           "bext"            "0100100 ..... ..... 101 ..... 0110011" R         Zbs         bits::bext;
    Bexti          "bexti"           "010010. ..... ..... 101 ..... 0010011" Shift6    Zbs         bits::bexti;
    Binv           "binv"            "0110100 ..... ..... 001 ..... 0110011" R         Zbs         bits::binv;
    Binvi          "binvi"           "011010. ..... ..... 001 ..... 0010011" Shift6    Zbs         bits::binvi;
    Bset           "bset"            "0010100 ..... ..... 001 ..... 0110011" R         Zbs         bits::bset;
    Bseti          "bseti"           "001010. ..... ..... 001 ..... 0010011" Shift6    Zbs         bits::bseti;
    CzeroEqz       "czero.eqz"       "0000111 ..... ..... 101 ..... 0110011" R         Zicond      bits::czero_eqz;
    CzeroNez       "czero.nez"       "0000111 ..... ..... 111 ..... 0110011" R         Zicond      bits::czero_nez;
    // F, D, Zfh (Unpriv. 20, 21, "Zfh")
    Flh            "flh"             "....... ..... ..... 001 ..... 0000111" FLoad     Zfhmin      float::flh;
    Flw            "flw"             "....... ..... ..... 010 ..... 0000111" FLoad     F           float::flw;
    Fld            "fld"             "....... ..... ..... 011 ..... 0000111" FLoad     D           float::fld;
    Fsh            "fsh"             "....... ..... ..... 001 ..... 0100111" FStore    Zfhmin      float::fsh;
    Fsw            "fsw"             "....... ..... ..... 010 ..... 0100111" FStore    F           float::fsw;
    Fsd            "fsd"             "....... ..... ..... 011 ..... 0100111" FStore    D           float::fsd;
    FmaddS         "fmadd.s"         ".....00 ..... ..... ... ..... 1000011" F4        F           float::fmadd_s;
    FmsubS         "fmsub.s"         ".....00 ..... ..... ... ..... 1000111" F4        F           float::fmsub_s;
    FnmsubS        "fnmsub.s"        ".....00 ..... ..... ... ..... 1001011" F4        F           float::fnmsub_s;
    FnmaddS        "fnmadd.s"        ".....00 ..... ..... ... ..... 1001111" F4        F           float::fnmadd_s;
    FaddS          "fadd.s"          "0000000 ..... ..... ... ..... 1010011" F3        F           float::fadd_s;
    FsubS          "fsub.s"          "0000100 ..... ..... ... ..... 1010011" F3        F           float::fsub_s;
    FmulS          "fmul.s"          "0001000 ..... ..... ... ..... 1010011" F3        F           float::fmul_s;
    FdivS          "fdiv.s"          "0001100 ..... ..... ... ..... 1010011" F3        F           float::fdiv_s;
    FsqrtS         "fsqrt.s"         "0101100 00000 ..... ... ..... 1010011" F2        F           float::fsqrt_s;
    FsgnjS         "fsgnj.s"         "0010000 ..... ..... 000 ..... 1010011" F3NoRm    F           float::fsgnj_s;
    FsgnjnS        "fsgnjn.s"        "0010000 ..... ..... 001 ..... 1010011" F3NoRm    F           float::fsgnjn_s;
    FsgnjxS        "fsgnjx.s"        "0010000 ..... ..... 010 ..... 1010011" F3NoRm    F           float::fsgnjx_s;
    FminS          "fmin.s"          "0010100 ..... ..... 000 ..... 1010011" F3NoRm    F           float::fmin_s;
    FmaxS          "fmax.s"          "0010100 ..... ..... 001 ..... 1010011" F3NoRm    F           float::fmax_s;
    FeqS           "feq.s"           "1010000 ..... ..... 010 ..... 1010011" FCmp      F           float::feq_s;
    FltS           "flt.s"           "1010000 ..... ..... 001 ..... 1010011" FCmp      F           float::flt_s;
    FleS           "fle.s"           "1010000 ..... ..... 000 ..... 1010011" FCmp      F           float::fle_s;
    FclassS        "fclass.s"        "1110000 00000 ..... 001 ..... 1010011" FToXNoRm  F           float::fclass_s;
    FcvtWS         "fcvt.w.s"        "1100000 00000 ..... ... ..... 1010011" FToX      F           float::fcvt_w_s;
    FcvtSW         "fcvt.s.w"        "1101000 00000 ..... ... ..... 1010011" XToF      F           float::fcvt_s_w;
    FcvtWuS        "fcvt.wu.s"       "1100000 00001 ..... ... ..... 1010011" FToX      F           float::fcvt_wu_s;
    FcvtSWu        "fcvt.s.wu"       "1101000 00001 ..... ... ..... 1010011" XToF      F           float::fcvt_s_wu;
    FcvtLS         "fcvt.l.s"        "1100000 00010 ..... ... ..... 1010011" FToX      F           float::fcvt_l_s;
    FcvtSL         "fcvt.s.l"        "1101000 00010 ..... ... ..... 1010011" XToF      F           float::fcvt_s_l;
    FcvtLuS        "fcvt.lu.s"       "1100000 00011 ..... ... ..... 1010011" FToX      F           float::fcvt_lu_s;
    FcvtSLu        "fcvt.s.lu"       "1101000 00011 ..... ... ..... 1010011" XToF      F           float::fcvt_s_lu;
    FmvXW          "fmv.x.w"         "1110000 00000 ..... 000 ..... 1010011" FToXNoRm  F           float::fmv_x_w;
    FmvWX          "fmv.w.x"         "1111000 00000 ..... 000 ..... 1010011" XToFNoRm  F           float::fmv_w_x;
    FmaddD         "fmadd.d"         ".....01 ..... ..... ... ..... 1000011" F4        D           float::fmadd_d;
    FmsubD         "fmsub.d"         ".....01 ..... ..... ... ..... 1000111" F4        D           float::fmsub_d;
    FnmsubD        "fnmsub.d"        ".....01 ..... ..... ... ..... 1001011" F4        D           float::fnmsub_d;
    FnmaddD        "fnmadd.d"        ".....01 ..... ..... ... ..... 1001111" F4        D           float::fnmadd_d;
    FaddD          "fadd.d"          "0000001 ..... ..... ... ..... 1010011" F3        D           float::fadd_d;
    FsubD          "fsub.d"          "0000101 ..... ..... ... ..... 1010011" F3        D           float::fsub_d;
    FmulD          "fmul.d"          "0001001 ..... ..... ... ..... 1010011" F3        D           float::fmul_d;
    FdivD          "fdiv.d"          "0001101 ..... ..... ... ..... 1010011" F3        D           float::fdiv_d;
    FsqrtD         "fsqrt.d"         "0101101 00000 ..... ... ..... 1010011" F2        D           float::fsqrt_d;
    FsgnjD         "fsgnj.d"         "0010001 ..... ..... 000 ..... 1010011" F3NoRm    D           float::fsgnj_d;
    FsgnjnD        "fsgnjn.d"        "0010001 ..... ..... 001 ..... 1010011" F3NoRm    D           float::fsgnjn_d;
    FsgnjxD        "fsgnjx.d"        "0010001 ..... ..... 010 ..... 1010011" F3NoRm    D           float::fsgnjx_d;
    FminD          "fmin.d"          "0010101 ..... ..... 000 ..... 1010011" F3NoRm    D           float::fmin_d;
    FmaxD          "fmax.d"          "0010101 ..... ..... 001 ..... 1010011" F3NoRm    D           float::fmax_d;
    FeqD           "feq.d"           "1010001 ..... ..... 010 ..... 1010011" FCmp      D           float::feq_d;
    FltD           "flt.d"           "1010001 ..... ..... 001 ..... 1010011" FCmp      D           float::flt_d;
    FleD           "fle.d"           "1010001 ..... ..... 000 ..... 1010011" FCmp      D           float::fle_d;
    FclassD        "fclass.d"        "1110001 00000 ..... 001 ..... 1010011" FToXNoRm  D           float::fclass_d;
    FcvtWD         "fcvt.w.d"        "1100001 00000 ..... ... ..... 1010011" FToX      D           float::fcvt_w_d;
    FcvtDW         "fcvt.d.w"        "1101001 00000 ..... ... ..... 1010011" XToF      D           float::fcvt_d_w;
    FcvtWuD        "fcvt.wu.d"       "1100001 00001 ..... ... ..... 1010011" FToX      D           float::fcvt_wu_d;
    FcvtDWu        "fcvt.d.wu"       "1101001 00001 ..... ... ..... 1010011" XToF      D           float::fcvt_d_wu;
    FcvtLD         "fcvt.l.d"        "1100001 00010 ..... ... ..... 1010011" FToX      D           float::fcvt_l_d;
    FcvtDL         "fcvt.d.l"        "1101001 00010 ..... ... ..... 1010011" XToF      D           float::fcvt_d_l;
    FcvtLuD        "fcvt.lu.d"       "1100001 00011 ..... ... ..... 1010011" FToX      D           float::fcvt_lu_d;
    FcvtDLu        "fcvt.d.lu"       "1101001 00011 ..... ... ..... 1010011" XToF      D           float::fcvt_d_lu;
    FmvXD          "fmv.x.d"         "1110001 00000 ..... 000 ..... 1010011" FToXNoRm  D           float::fmv_x_d;
    FmvDX          "fmv.d.x"         "1111001 00000 ..... 000 ..... 1010011" XToFNoRm  D           float::fmv_d_x;
    FmaddH         "fmadd.h"         ".....10 ..... ..... ... ..... 1000011" F4        Zfh         float::fmadd_h;
    FmsubH         "fmsub.h"         ".....10 ..... ..... ... ..... 1000111" F4        Zfh         float::fmsub_h;
    FnmsubH        "fnmsub.h"        ".....10 ..... ..... ... ..... 1001011" F4        Zfh         float::fnmsub_h;
    FnmaddH        "fnmadd.h"        ".....10 ..... ..... ... ..... 1001111" F4        Zfh         float::fnmadd_h;
    FaddH          "fadd.h"          "0000010 ..... ..... ... ..... 1010011" F3        Zfh         float::fadd_h;
    FsubH          "fsub.h"          "0000110 ..... ..... ... ..... 1010011" F3        Zfh         float::fsub_h;
    FmulH          "fmul.h"          "0001010 ..... ..... ... ..... 1010011" F3        Zfh         float::fmul_h;
    FdivH          "fdiv.h"          "0001110 ..... ..... ... ..... 1010011" F3        Zfh         float::fdiv_h;
    FsqrtH         "fsqrt.h"         "0101110 00000 ..... ... ..... 1010011" F2        Zfh         float::fsqrt_h;
    FsgnjH         "fsgnj.h"         "0010010 ..... ..... 000 ..... 1010011" F3NoRm    Zfh         float::fsgnj_h;
    FsgnjnH        "fsgnjn.h"        "0010010 ..... ..... 001 ..... 1010011" F3NoRm    Zfh         float::fsgnjn_h;
    FsgnjxH        "fsgnjx.h"        "0010010 ..... ..... 010 ..... 1010011" F3NoRm    Zfh         float::fsgnjx_h;
    FminH          "fmin.h"          "0010110 ..... ..... 000 ..... 1010011" F3NoRm    Zfh         float::fmin_h;
    FmaxH          "fmax.h"          "0010110 ..... ..... 001 ..... 1010011" F3NoRm    Zfh         float::fmax_h;
    FeqH           "feq.h"           "1010010 ..... ..... 010 ..... 1010011" FCmp      Zfh         float::feq_h;
    FltH           "flt.h"           "1010010 ..... ..... 001 ..... 1010011" FCmp      Zfh         float::flt_h;
    FleH           "fle.h"           "1010010 ..... ..... 000 ..... 1010011" FCmp      Zfh         float::fle_h;
    FclassH        "fclass.h"        "1110010 00000 ..... 001 ..... 1010011" FToXNoRm  Zfh         float::fclass_h;
    FcvtWH         "fcvt.w.h"        "1100010 00000 ..... ... ..... 1010011" FToX      Zfh         float::fcvt_w_h;
    FcvtHW         "fcvt.h.w"        "1101010 00000 ..... ... ..... 1010011" XToF      Zfh         float::fcvt_h_w;
    FcvtWuH        "fcvt.wu.h"       "1100010 00001 ..... ... ..... 1010011" FToX      Zfh         float::fcvt_wu_h;
    FcvtHWu        "fcvt.h.wu"       "1101010 00001 ..... ... ..... 1010011" XToF      Zfh         float::fcvt_h_wu;
    FcvtLH         "fcvt.l.h"        "1100010 00010 ..... ... ..... 1010011" FToX      Zfh         float::fcvt_l_h;
    FcvtHL         "fcvt.h.l"        "1101010 00010 ..... ... ..... 1010011" XToF      Zfh         float::fcvt_h_l;
    FcvtLuH        "fcvt.lu.h"       "1100010 00011 ..... ... ..... 1010011" FToX      Zfh         float::fcvt_lu_h;
    FcvtHLu        "fcvt.h.lu"       "1101010 00011 ..... ... ..... 1010011" XToF      Zfh         float::fcvt_h_lu;
    FmvXH          "fmv.x.h"         "1110010 00000 ..... 000 ..... 1010011" FToXNoRm  Zfhmin      float::fmv_x_h;
    FmvHX          "fmv.h.x"         "1111010 00000 ..... 000 ..... 1010011" XToFNoRm  Zfhmin      float::fmv_h_x;
    FcvtSD         "fcvt.s.d"        "0100000 00001 ..... ... ..... 1010011" F2        D           float::fcvt_s_d;
    FcvtSH         "fcvt.s.h"        "0100000 00010 ..... ... ..... 1010011" F2        Zfhmin      float::fcvt_s_h;
    FcvtDS         "fcvt.d.s"        "0100001 00000 ..... ... ..... 1010011" F2        D           float::fcvt_d_s;
    FcvtDH         "fcvt.d.h"        "0100001 00010 ..... ... ..... 1010011" F2        Zfhmin      float::fcvt_d_h;
    FcvtHS         "fcvt.h.s"        "0100010 00000 ..... ... ..... 1010011" F2        Zfhmin      float::fcvt_h_s;
    FcvtHD         "fcvt.h.d"        "0100010 00001 ..... ... ..... 1010011" F2        Zfhmin      float::fcvt_h_d;
}

// Zca, Zcd, Zcb (Unpriv. "C", "Zc")
short_instructions! {
    Addi   "c.addi4spn"  "000 ........ ... 00"    Addi4spn    Zca;
    Fld    "c.fld"       "001 ... ... .. ... 00"  LoadD       Zcd;
    Lw     "c.lw"        "010 ... ... .. ... 00"  LoadW       Zca;
    Ld     "c.ld"        "011 ... ... .. ... 00"  LoadD       Zca;
    Lbu    "c.lbu"       "100 000 ... .. ... 00"  LoadB       Zcb;
    Lhu    "c.lhu"       "100 001 ... 0. ... 00"  LoadH       Zcb;
    Lh     "c.lh"        "100 001 ... 1. ... 00"  LoadH       Zcb;
    Sb     "c.sb"        "100 010 ... .. ... 00"  StoreB      Zcb;
    Sh     "c.sh"        "100 011 ... 0. ... 00"  StoreH      Zcb;
    Fsd    "c.fsd"       "101 ... ... .. ... 00"  StoreD      Zcd;
    Sw     "c.sw"        "110 ... ... .. ... 00"  StoreW      Zca;
    Sd     "c.sd"        "111 ... ... .. ... 00"  StoreD      Zca;
    Addi   "c.nop"       "000 . 00000 ..... 01"   Imm         Zca;
    Addi   "c.addi"      "000 . ..... ..... 01"   Imm         Zca;
    Addiw  "c.addiw"     "001 . ..... ..... 01"   ImmNot0     Zca;
    Addi   "c.li"        "010 . ..... ..... 01"   Li          Zca;
    Addi   "c.addi16sp"  "011 . 00010 ..... 01"   Addi16sp    Zca;
    Lui    "c.lui"       "011 . ..... ..... 01"   Lui         Zca;
    Srli   "c.srli"      "100 . 00 ... ..... 01"  Shift       Zca;
    Srai   "c.srai"      "100 . 01 ... ..... 01"  Shift       Zca;
    Andi   "c.andi"      "100 . 10 ... ..... 01"  Andi        Zca;
    Sub    "c.sub"       "100 0 11 ... 00 ... 01" Arith       Zca;
    Xor    "c.xor"       "100 0 11 ... 01 ... 01" Arith       Zca;
    Or     "c.or"        "100 0 11 ... 10 ... 01" Arith       Zca;
    And    "c.and"       "100 0 11 ... 11 ... 01" Arith       Zca;
    Subw   "c.subw"      "100 1 11 ... 00 ... 01" Arith       Zca;
    Addw   "c.addw"      "100 1 11 ... 01 ... 01" Arith       Zca;
    Mul    "c.mul"       "100 1 11 ... 10 ... 01" Arith       Zcb;
    Andi   "c.zext.b"    "100 1 11 ... 11 000 01" Unary(255)  Zcb;
    SextB  "c.sext.b"    "100 1 11 ... 11 001 01" Unary(0)    Zcb;
    ZextH  "c.zext.h"    "100 1 11 ... 11 010 01" Unary(0)    Zcb;
    SextH  "c.sext.h"    "100 1 11 ... 11 011 01" Unary(0)    Zcb;
    AddUw  "c.zext.w"    "100 1 11 ... 11 100 01" Unary(0)    Zcb;
    Xori   "c.not"       "100 1 11 ... 11 101 01" Unary(-1)   Zcb;
    Jal    "c.j"         "101 ........... 01"     Jump        Zca;
    Beq    "c.beqz"      "110 ... ... ..... 01"   Branch      Zca;
    Bne    "c.bnez"      "111 ... ... ..... 01"   Branch      Zca;
    Slli   "c.slli"      "000 . ..... ..... 10"   Slli        Zca;
    Fld    "c.fldsp"     "001 . ..... ..... 10"   FLoadDSp    Zcd;
    Lw     "c.lwsp"      "010 . ..... ..... 10"   LoadWSp     Zca;
    Ld     "c.ldsp"      "011 . ..... ..... 10"   LoadDSp     Zca;
    Jalr   "c.jr"        "100 0 ..... 00000 10"   Jr          Zca;
    Add    "c.mv"        "100 0 ..... ..... 10"   Mv          Zca;
    Ebreak "c.ebreak"    "100 1 00000 00000 10"   None        Zca;
    Jalr   "c.jalr"      "100 1 ..... 00000 10"   Jalr        Zca;
    Add    "c.add"       "100 1 ..... ..... 10"   Add         Zca;
    Fsd    "c.fsdsp"     "101 ...... ..... 10"    StoreDSp    Zcd;
    Sw     "c.swsp"      "110 ...... ..... 10"    StoreWSp    Zca;
    Sd     "c.sdsp"      "111 ...... ..... 10"    StoreDSp    Zca;
}
