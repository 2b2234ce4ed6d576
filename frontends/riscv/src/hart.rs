//! A hart with its view of the machine.

use crate::ext::Cpu;
use crate::lines::{Lines, Timebase, TimerService};
use crate::pmp::Rules;
use crate::state::{Priv, State};
use isoform_core::{Exit, Scratch};
use isoform_memory::{Bus, Ram, Tlb, WriteEpoch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What semantics specialise on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// The privilege mode.
    pub privilege: Priv,
    /// `mstatus.FS` is Off: floating-point instructions are illegal.
    pub fp_off: bool,
    /// `menvcfg` and `senvcfg` enable `cbo.zero`.
    pub zeroes: bool,
    /// Instructions are aligned to 32 bits: the hart has no C.
    pub ialign_32: bool,
}

/// What a hart is connected to.
#[derive(Clone)]
pub struct Wiring {
    /// RAM and devices.
    pub bus: Arc<Bus>,
    /// Pending interrupts and attention.
    pub lines: Arc<Lines>,
    /// `time`.
    pub timebase: Timebase,
    /// Who wakes the hart for its timer.
    pub timers: Arc<dyn TimerService>,
    /// Who decoded code, and who may still write to it unseen.
    pub epoch: Arc<WriteEpoch>,
    /// Isoform answers calls from S mode itself (SBI); otherwise they trap to M.
    pub firmware: bool,
}

/// A hart: the canonical state, and what it is connected to.
///
/// The state comes first: to the registers at its start translated code has short ways.
#[repr(C)]
pub struct Hart {
    /// The canonical state. Whoever changes it from outside calls [`Hart::refresh`].
    pub state: State,
    pub(crate) id: usize,
    pub(crate) cpu: Cpu,
    pub(crate) bus: Arc<Bus>,
    pub(crate) ram: Arc<Ram>,
    pub(crate) tlb: Tlb,
    pub(crate) lines: Arc<Lines>,
    pub(crate) timebase: Timebase,
    pub(crate) timers: Arc<dyn TimerService>,
    pub(crate) epoch: Arc<WriteEpoch>,
    pub(crate) firmware: bool,
    /// See [`Hart::offer_semihosting`].
    pub(crate) semihosting: bool,
    /// Derived from the state by [`Hart::refresh`].
    pub(crate) mode: Mode,
    /// The meaning of the PMP registers, derived by [`Hart::refresh`].
    pub(crate) pmp: Rules,
    /// A device was accessed: lines may have changed, so the unit ends.
    pub(crate) unit_end: bool,
    /// What the instruction asks of the run loop.
    pub(crate) exit: Option<Exit>,
    /// Code pages (guest-physical) that others may still be able to write unseen,
    /// with the epoch after which they cannot.
    pub(crate) unsettled: BTreeMap<u64, u64>,
    /// Exceptions and interrupts taken, by cause; interrupts from 32 on.
    pub(crate) trap_counts: [u64; 64],
    /// Translations that the soft TLB did not have: of fetches, loads, stores.
    pub(crate) tlb_misses: [u64; 3],
    /// What generated code keeps.
    pub(crate) scratch: Scratch,
    /// Changes of code pages ([`isoform_memory::CodePages::changes`]) as of the last
    /// instruction fence.
    pub(crate) code_changes: u64,
    /// See [`isoform_core::Translate::code_since`].
    pub(crate) code_since: u64,
}

impl Hart {
    /// A hart after reset.
    pub fn new(id: usize, cpu: Cpu, pc: u64, wiring: Wiring) -> Self {
        let Wiring {
            bus,
            lines,
            timebase,
            timers,
            epoch,
            firmware,
        } = wiring;
        let ram = bus.ram().clone();
        let tlb = Tlb::new(ram.clone());
        let mut hart = Self {
            state: State::reset(pc),
            id,
            cpu,
            bus,
            ram,
            tlb,
            lines,
            timebase,
            timers,
            epoch,
            firmware,
            semihosting: false,
            mode: Mode {
                privilege: Priv::M,
                fp_off: true,
                zeroes: false,
                ialign_32: !cpu.ext.has(crate::Ext::Zca),
            },
            pmp: Rules::default(),
            unit_end: false,
            exit: None,
            unsettled: BTreeMap::new(),
            trap_counts: [0; 64],
            tlb_misses: [0; 3],
            scratch: Scratch::default(),
            code_changes: 0,
            code_since: 0,
        };
        hart.refresh();
        hart
    }

    /// `mhartid`.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Guest RAM.
    pub fn ram(&self) -> &Arc<Ram> {
        &self.ram
    }

    /// Loads memory, naturally aligned: RAM or what flash holds.
    pub fn load_memory(&self, gpa: u64, size: isoform_core::Size) -> Option<u64> {
        self.bus.load(gpa, size)
    }

    /// Copies memory out: RAM or what flash holds.
    pub fn read_memory(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        self.bus.load_bytes(gpa, bytes)
    }

    /// Clears a pending supervisor software interrupt, as a write to `sip` would.
    pub fn clear_software_interrupt(&self) {
        self.lines.change(0, 1 << crate::lines::irq::SSI);
    }

    /// Whether an `ebreak` that is a semihosting call is the run loop's to answer
    /// ([`Exit::Breakpoint`]); otherwise it traps as any other.
    pub fn offer_semihosting(&mut self, offered: bool) {
        self.semihosting = offered;
    }

    /// What the hart can do.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Pending interrupts and attention.
    pub fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// Translations that the soft TLB did not have, of fetches, of loads and of stores,
    /// atomics included. What it never has is among them: accesses to devices, and
    /// stores to pages that hold code.
    pub fn tlb_misses(&self) -> [u64; 3] {
        self.tlb_misses
    }

    /// Exceptions taken by cause, and interrupts by number from 32 on.
    pub fn trap_counts(&self) -> &[u64; 64] {
        &self.trap_counts
    }
}
