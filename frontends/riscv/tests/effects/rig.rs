//! A hart with a little memory, put into random states.

use isoform_core::{Attention, Clock, Requests, Saved};
use isoform_memory::{Bus, Ram, WriteEpoch};
use isoform_riscv::generate::Random;
use isoform_riscv::{
    Cpu, Hart, Lines, PMP_ENTRIES, Priv, SavedHart, Timebase, TimerService, Wiring,
};
use std::sync::Arc;

/// Where RAM starts.
pub(crate) const BASE: u64 = 0x8000_0000;
/// How much there is.
pub(crate) const SIZE: u64 = 0x1_0000;

struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        123_456
    }
    fn epoch(&self) -> u64 {
        0
    }
}

impl TimerService for Still {
    fn arm(&self, _: usize, _: Option<u64>) {}
}

/// A hart, and its memory.
pub(crate) struct Rig {
    pub(crate) hart: Hart,
    ram: Arc<Ram>,
}

/// All that a helper can change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) saved: SavedHart,
    pub(crate) attention: bool,
    pub(crate) memory: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let ram = Arc::new(Ram::new(BASE, SIZE).expect("a little memory"));
        let lines = Arc::new(Lines::new(Arc::new(Attention::new())));
        let wiring = Wiring {
            bus: Arc::new(Bus::new(ram.clone())),
            epoch: Arc::new(WriteEpoch::new([lines.attention().clone()])),
            lines,
            timebase: Timebase::new(Arc::new(Still), Arc::default()),
            timers: Arc::new(Still),
            firmware: false,
        };
        Self {
            hart: Hart::new(0, Cpu::default(), BASE, wiring),
            ram,
        }
    }

    /// Any state that a hart may be in; memory is open half of the time, and
    /// translation mostly off, so that accesses succeed as well as fail.
    pub(crate) fn scramble(&mut self, r: &mut Random) {
        let mut saved = self.hart.state();
        saved.pending = if r.one_in(2) { 0 } else { r.next() };
        let s = &mut saved.state;
        s.x = std::array::from_fn(|_| operand(r));
        s.f = std::array::from_fn(|_| r.word());
        s.pc = BASE + r.below(SIZE);
        s.privilege = *r.pick(&[Priv::U, Priv::S, Priv::M]);
        s.fcsr = r.next() as u8;
        s.reservation.valid = r.one_in(2);
        s.reservation.size = *r.pick(&[4, 8]);
        s.reservation.addr = operand(r) & !7;
        s.reservation.value = r.word();
        let words = [
            &mut s.mstatus,
            &mut s.medeleg,
            &mut s.mideleg,
            &mut s.mie,
            &mut s.mtvec,
            &mut s.mcounteren,
            &mut s.menvcfg,
            &mut s.mcountinhibit,
            &mut s.mscratch,
            &mut s.mepc,
            &mut s.mcause,
            &mut s.mtval,
            &mut s.stvec,
            &mut s.scounteren,
            &mut s.senvcfg,
            &mut s.sscratch,
            &mut s.sepc,
            &mut s.scause,
            &mut s.stval,
            &mut s.stimecmp,
            &mut s.mcycle_offset,
            &mut s.minstret_offset,
        ];
        words.into_iter().for_each(|w| *w = r.next());
        s.satp = if r.one_in(4) { r.next() } else { 0 };
        s.mseccfg = if r.one_in(4) { r.next() } else { 0 };
        s.pmpaddr = std::array::from_fn(|_| r.next());
        s.pmpcfg = [0; PMP_ENTRIES];
        if r.one_in(2) {
            s.pmpcfg = std::array::from_fn(|_| r.next() as u8);
        } else {
            // All of memory, naturally aligned: open.
            (s.pmpaddr[0], s.pmpcfg[0]) = (u64::MAX, 0x1f);
        }
        self.hart.set_state(saved).expect("a state of this hart");
        self.hart.lines().attention().take();
        self.hart.lines().attention().served();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut memory = [0; SIZE as usize];
        self.ram.read(BASE, &mut memory).expect("all of it is RAM");
        let sum = |sum: u64, w: &[u8]| {
            let word = w.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
            (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        Snapshot {
            saved: self.hart.state(),
            attention: self.hart.lines().attention().is_set(),
            memory: memory.chunks(8).fold(0, sum),
        }
    }

    /// Fills memory with random words.
    pub(crate) fn fill(&mut self, r: &mut Random) {
        let bytes: Vec<u8> = (0..SIZE / 8).flat_map(|_| r.next().to_le_bytes()).collect();
        self.ram.write(BASE, &bytes).expect("all of it is RAM");
    }

    /// Asks nothing of the hart any more.
    pub(crate) fn settle(&self) {
        let attention = self.hart.lines().attention();
        let _: Requests = attention.take();
        attention.served();
    }
}

/// A word that is often an address in RAM.
pub(crate) fn operand(r: &mut Random) -> u64 {
    match r.below(4) {
        0 => BASE + r.below(SIZE),
        1 => BASE + (r.below(SIZE) & !15),
        _ => r.word(),
    }
}
