//! The canonical state of a RISC-V hart.
//!
//! One `#[repr(C)]` struct that every backend runs on and leaves complete. What
//! other threads change (pending interrupt lines) lives in [`crate::Lines`].

use serde::{Deserialize, Serialize};

/// A privilege mode (Priv. 1.2), with its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Priv {
    /// User.
    U = 0,
    /// Supervisor.
    S = 1,
    /// Machine.
    M = 3,
}

impl Priv {
    /// From the two-bit encoding; 2 is reserved.
    pub const fn from_bits(bits: u64) -> Option<Priv> {
        match bits & 3 {
            0 => Some(Priv::U),
            1 => Some(Priv::S),
            3 => Some(Priv::M),
            _ => None,
        }
    }
}

/// A load reservation (Unpriv. "Zalrsc"): what SC compares against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[repr(C)]
pub struct Reservation {
    /// Whether there is one.
    pub valid: bool,
    /// Its size in bytes: 4 or 8.
    pub size: u8,
    /// Its virtual address.
    pub addr: u64,
    /// The value loaded, zero-extended.
    pub value: u64,
}

/// PMP entries implemented.
pub const PMP_ENTRIES: usize = 16;

/// Everything that an instruction can read or write on its own hart. Field names are
/// the manual's; the CSRs hold their raw values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
#[expect(
    missing_docs,
    reason = "the fields are the manual's registers, by their names"
)]
pub struct State {
    /// Integer registers; `x[0]` is 0 at every instruction boundary.
    pub x: [u64; 32],
    /// Floating-point registers, NaN-boxed.
    pub f: [u64; 32],
    pub pc: u64,
    /// Instructions attempted since reset, those that trapped included: the
    /// instruction clock.
    pub icount: u64,
    pub privilege: Priv,
    /// `fcsr`: fflags in bits 4:0, frm in bits 7:5.
    pub fcsr: u8,
    pub reservation: Reservation,

    pub mstatus: u64,
    pub medeleg: u64,
    pub mideleg: u64,
    pub mie: u64,
    pub mtvec: u64,
    pub mcounteren: u64,
    pub menvcfg: u64,
    pub mcountinhibit: u64,
    pub mscratch: u64,
    pub mepc: u64,
    pub mcause: u64,
    pub mtval: u64,
    pub mseccfg: u64,
    pub pmpcfg: [u8; PMP_ENTRIES],
    pub pmpaddr: [u64; PMP_ENTRIES],

    pub stvec: u64,
    pub scounteren: u64,
    pub senvcfg: u64,
    pub sscratch: u64,
    pub sepc: u64,
    pub scause: u64,
    pub stval: u64,
    pub stimecmp: u64,
    pub satp: u64,

    /// `mcycle` is `icount` plus this, while not inhibited; else this alone.
    pub mcycle_offset: u64,
    /// `minstret` is `icount` plus this, while not inhibited; else this alone.
    pub minstret_offset: u64,

    pub miselect: u64,
    pub siselect: u64,
}

impl State {
    /// The state after reset (Priv. 3.4): M mode, interrupts off, no translation.
    /// Registers that the manual leaves open are zero.
    pub fn reset(pc: u64) -> Self {
        Self {
            x: [0; 32],
            f: [0; 32],
            pc,
            icount: 0,
            privilege: Priv::M,
            fcsr: 0,
            reservation: Reservation::default(),
            mstatus: crate::csr::mstatus::RESET,
            medeleg: 0,
            mideleg: 0,
            mie: 0,
            mtvec: 0,
            mcounteren: 0,
            menvcfg: 0,
            mcountinhibit: 0,
            mscratch: 0,
            mepc: 0,
            mcause: 0,
            mtval: 0,
            mseccfg: 0,
            pmpcfg: [0; PMP_ENTRIES],
            pmpaddr: [0; PMP_ENTRIES],
            stvec: 0,
            scounteren: 0,
            senvcfg: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            // No timer interrupt before somebody asks for one.
            stimecmp: u64::MAX,
            satp: 0,
            mcycle_offset: 0,
            minstret_offset: 0,
            miselect: 0,
            siselect: 0,
        }
    }
}
