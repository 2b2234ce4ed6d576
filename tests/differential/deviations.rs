//! What is left out of the comparison, and why.

use super::frame::{FAULTING_BASE, UNALIGNED_BASE};
use isoform_core::Insn;
use isoform_riscv::decode::Line;
use isoform_riscv::format::Operands;
use isoform_riscv::generate::Encoding;

/// A case that is not compared.
struct Deviation {
    /// The forms' names.
    forms: &'static [&'static str],
    /// Which of their operands.
    when: fn(Insn) -> bool,
    /// Why, by the specification.
    #[expect(dead_code, reason = "it is there to be read")]
    why: &'static str,
}

const ALWAYS: fn(Insn) -> bool = |_| true;

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        forms: &["ecall"],
        when: ALWAYS,
        why: "on the peer it is a system call of the host's kernel",
    },
    Deviation {
        forms: &["wfi"],
        when: ALWAYS,
        why: "Priv. 3.3.3: in U mode it may wait or be illegal; user-mode QEMU says illegal",
    },
    Deviation {
        forms: &["wrs.nto", "wrs.sto"],
        when: ALWAYS,
        why: "Unpriv. Zawrs leaves open whether the reservation is kept; QEMU drops it",
    },
    Deviation {
        forms: &["sc.w", "sc.d"],
        when: |i| i.rs1().0 == UNALIGNED_BASE,
        why: "Unpriv. 13.2: a misaligned SC traps even without a reservation; QEMU fails it first",
    },
    Deviation {
        forms: &["sc.w", "sc.d"],
        when: |i| i.rs1().0 == FAULTING_BASE,
        why: "Unpriv. 13.2 leaves open whether an SC that fails may fault; QEMU's does not",
    },
    Deviation {
        forms: &["cbo.inval", "cbo.clean", "cbo.flush", "cbo.zero"],
        when: |i| i.rs1().0 == FAULTING_BASE,
        why: "Unpriv. CMO: the faulting address is rs1's value; QEMU gives the block's",
    },
    Deviation {
        forms: &["amocas.w", "amocas.d", "amocas.q"],
        when: |i| i.rd().0 == 0,
        why: "x0 is not written; QEMU overwrites the zero that later instructions read",
    },
    Deviation {
        forms: &["csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"],
        when: |i| matches!(i.csr(), 0xc00..=0xc1f),
        why: "counters: no two runs read the same, and user-mode QEMU has not all of them",
    },
];

/// What is no instruction here, and is not compared: mask, bits, and why.
const RESERVED: &[(u32, u32, &str)] = &[
    (
        0x01f0_007f,
        0x0080_0007,
        "V is absent: illegal; QEMU loads whole vector registers",
    ),
    (
        0x01f0_007f,
        0x0080_0027,
        "V is absent: illegal; QEMU stores whole vector registers",
    ),
];

/// Whether an instruction may occur in a program.
pub(crate) fn allowed(e: Encoding, line: Option<&Line>, insn: Insn) -> bool {
    let Some(line) = line else {
        let reserved = |(mask, bits, _): &(u32, u32, &str)| matches!(e, Encoding::Long(raw) if raw & mask == *bits);
        return !RESERVED.iter().any(reserved);
    };
    let excluded = |d: &Deviation| d.forms.contains(&line.mnemonic()) && (d.when)(insn);
    !DEVIATIONS.iter().any(excluded)
}

/// As [`allowed`], for bits without a plan. There LR and SC of different sizes meet at
/// one address: Unpriv. 13.3 promises success for equal sizes alone, and an SC may
/// fail otherwise; ours does, QEMU compares addresses only. Without LR every SC fails.
pub(crate) fn allowed_wild(e: Encoding, line: Option<&Line>, insn: Insn) -> bool {
    let reserves = line.is_some_and(|l| matches!(l.mnemonic(), "lr.w" | "lr.d"));
    !reserves && allowed(e, line, insn)
}
