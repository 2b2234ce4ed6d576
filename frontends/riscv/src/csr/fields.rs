//! Fields of the CSRs, by the manual's names: one module a register.

/// `mstatus` and, restricted, `sstatus` (Priv. 3.1.6, 12.1.1).
#[expect(missing_docs, reason = "the fields are the manual's, by their names")]
pub mod mstatus {
    pub const SIE: u64 = 1 << 1;
    pub const MIE: u64 = 1 << 3;
    pub const SPIE: u64 = 1 << 5;
    pub const MPIE: u64 = 1 << 7;
    pub const SPP: u64 = 1 << 8;
    pub const MPP: u64 = 3 << MPP_SHIFT;
    pub const MPP_SHIFT: u32 = 11;
    pub const FS: u64 = 3 << 13;
    pub const FS_INITIAL: u64 = 1 << 13;
    pub const FS_CLEAN: u64 = 2 << 13;
    pub const FS_DIRTY: u64 = 3 << 13;
    pub const MPRV: u64 = 1 << 17;
    pub const SUM: u64 = 1 << 18;
    pub const MXR: u64 = 1 << 19;
    pub const TVM: u64 = 1 << 20;
    pub const TW: u64 = 1 << 21;
    pub const TSR: u64 = 1 << 22;
    pub const UXL: u64 = 3 << 32;
    pub const UXL_64: u64 = 2 << 32;
    pub const SXL_64: u64 = 2 << 34;
    pub const SD: u64 = 1 << 63;

    /// After reset: M mode's interrupts off, MPRV off, 64-bit S and U (Priv. 3.4).
    pub const RESET: u64 = UXL_64 | SXL_64;
    /// What `sstatus` shows.
    pub const SSTATUS: u64 = SIE | SPIE | SPP | FS | SUM | MXR | UXL | SD;
}

/// `mip`, `mie`, `mideleg` (Priv. 3.1.9).
#[expect(missing_docs, reason = "the fields are the manual's, by their names")]
pub mod mip {
    use crate::lines::irq;

    pub const SSIP: u64 = 1 << irq::SSI;
    pub const MSIP: u64 = 1 << irq::MSI;
    pub const STIP: u64 = 1 << irq::STI;
    pub const MTIP: u64 = 1 << irq::MTI;
    pub const SEIP: u64 = 1 << irq::SEI;
    pub const MEIP: u64 = 1 << irq::MEI;

    /// The interrupts of S mode, which are those that can be delegated.
    pub const SUPERVISOR: u64 = SSIP | STIP | SEIP;
    /// All interrupts there are.
    pub const ALL: u64 = SUPERVISOR | MSIP | MTIP | MEIP;
}

/// `medeleg` (Priv. 3.1.8).
pub mod medeleg {
    use crate::trap::Cause;

    /// The exceptions that can be delegated: all but calls from M mode.
    pub const MASK: u64 = {
        let all = [
            Cause::InstructionMisaligned,
            Cause::InstructionAccess,
            Cause::IllegalInstruction,
            Cause::Breakpoint,
            Cause::LoadMisaligned,
            Cause::LoadAccess,
            Cause::StoreMisaligned,
            Cause::StoreAccess,
            Cause::EcallU,
            Cause::EcallS,
            Cause::InstructionPage,
            Cause::LoadPage,
            Cause::StorePage,
        ];
        let (mut mask, mut i) = (0, 0);
        while i < all.len() {
            mask |= 1 << all[i] as u8;
            i += 1;
        }
        mask
    };
}

/// `menvcfg` and, restricted, `senvcfg` (Priv. 3.1.18, 12.1.10).
#[expect(missing_docs, reason = "the fields are the manual's, by their names")]
pub mod envcfg {
    pub const FIOM: u64 = 1 << 0;
    pub const CBIE: u64 = 3 << 4;
    pub const CBIE_FLUSH: u64 = 1 << 4;
    pub const CBIE_RESERVED: u64 = 2 << 4;
    pub const CBIE_INVAL: u64 = 3 << 4;
    pub const CBCFE: u64 = 1 << 6;
    pub const CBZE: u64 = 1 << 7;
    pub const ADUE: u64 = 1 << 61;
    pub const PBMTE: u64 = 1 << 62;
    pub const STCE: u64 = 1 << 63;
}

/// `mseccfg` (Priv. 3.1.19).
pub mod mseccfg {
    /// Machine Mode Lockdown.
    pub const MML: u64 = 1 << 0;
    /// Machine-Mode Allowlist Policy.
    pub const MMWP: u64 = 1 << 1;
    /// Rule Locking Bypass.
    pub const RLB: u64 = 1 << 2;
}

/// `mcounteren`, `scounteren`, `mcountinhibit` (Priv. 3.1.11, 3.1.12).
pub mod counters {
    /// `cycle`.
    pub const CY: u64 = 1 << 0;
    /// `time`; not in `mcountinhibit`.
    pub const TM: u64 = 1 << 1;
    /// `instret`.
    pub const IR: u64 = 1 << 2;
    /// `hpmcounter3` to `hpmcounter31`.
    pub const HPM: u64 = 0xffff_fff8;
}

/// `satp` (Priv. 12.1.11).
pub mod satp {
    /// Where MODE lies.
    pub const MODE_SHIFT: u32 = 60;
    /// The root table's physical page number.
    pub const PPN: u64 = (1 << 44) - 1;
    /// MODE: no translation.
    pub const BARE: u64 = 0;
    /// MODE: three levels.
    pub const SV39: u64 = 8;
    /// MODE: four levels.
    pub const SV48: u64 = 9;
    /// MODE: five levels.
    pub const SV57: u64 = 10;

    /// The address-space identifier; all 16 bits are implemented.
    pub const fn asid(satp: u64) -> u64 {
        satp >> 44 & 0xffff
    }

    /// The scheme in use.
    pub const fn mode(satp: u64) -> u64 {
        satp >> MODE_SHIFT
    }
}

/// `fcsr` (Unpriv. 20.2).
pub mod fcsr {
    /// `fflags`.
    pub const FFLAGS: u8 = 0x1f;
    /// Where `frm` lies; it has three bits.
    pub const FRM_SHIFT: u32 = 5;
}
