//! How a hart starts, and how what is derived from its state follows the state.

use crate::csr::{counters, envcfg, medeleg, mip, mstatus};
use crate::ext::Ext;
use crate::hart::Hart;
use crate::lines::SEIP_SOFTWARE;
use crate::pmp::{self, Rules};
use crate::state::{Priv, State};
use crate::system::block_enabled;

impl Hart {
    /// Derives all that follows from the state. Call after changing it from outside.
    pub fn refresh(&mut self) {
        self.sync_pmp();
        self.tlb.flush_all();
        self.note_code_changes();
        self.sync_mode();
        self.update_timer();
    }

    /// After a change of privilege, translation or interrupts by the hart itself.
    pub(crate) fn sync_mode(&mut self) {
        self.mode.privilege = self.state.privilege;
        self.mode.fp_off = self.state.mstatus & mstatus::FS == 0;
        self.mode.zeroes = block_enabled(self, envcfg::CBZE).is_ok();
        self.select_space();
        self.poll_interrupts();
    }

    /// After a change of the memory protection: translations hold what it allowed.
    pub(crate) fn sync_pmp(&mut self) {
        let rules = Rules::new(&self.state);
        if self.pmp != rules {
            self.pmp = rules;
            self.tlb.flush_all();
        }
    }

    /// Forgets all that the hart did since power-on.
    fn clear(&mut self, state: State) {
        self.state = state;
        // Lines that devices hold stay as they are.
        self.lines.change(0, mip::SSIP | mip::STIP | SEIP_SOFTWARE);
        self.lines.restore_files(Default::default());
        self.timers.arm(self.id, None);
        (self.unit_end, self.exit) = (false, None);
        self.settle_code();
        self.refresh();
    }

    /// Reset (Priv. 3.4): M mode at `pc`. A and D are the hardware's to set where it can:
    /// the manual leaves ADUE open, and kernels that start in M mode rely on it. A
    /// firmware that prefers otherwise clears it.
    pub fn reset(&mut self, pc: u64) {
        let mut state = State::reset(pc);
        if self.cpu.ext.has(Ext::Svadu) {
            state.menvcfg |= envcfg::ADUE;
        }
        self.clear(state);
    }

    /// Starts the hart in S mode at `pc`, as M-mode firmware leaves it: traps
    /// delegated, counters and extensions enabled, all of memory open, no translation
    /// (SBI, "Hart State Management"). The instruction clock goes on.
    pub fn setup_supervisor(&mut self, pc: u64, a0: u64, a1: u64) {
        let State {
            icount,
            mcycle_offset,
            minstret_offset,
            ..
        } = self.state;
        let mut state = State {
            icount,
            mcycle_offset,
            minstret_offset,
            ..State::reset(pc)
        };
        let ext = self.cpu.ext;
        let when = |e, bits| if ext.has(e) { bits } else { 0 };
        state.privilege = Priv::S;
        (state.x[10], state.x[11]) = (a0, a1);
        state.medeleg = medeleg::MASK;
        state.mideleg = mip::SUPERVISOR;
        state.mcounteren = crate::csr::legal::counteren(
            ext,
            counters::CY | counters::TM | counters::IR | counters::HPM,
        );
        // As other firmware does: kernels expect their programs to have the time.
        state.scounteren = counters::CY | counters::TM | counters::IR;
        // STCE even without Sstc: the timer call of the firmware stands on it. ADUE is
        // S mode's to ask for, except where it is told of no other way.
        state.menvcfg = envcfg::STCE
            | when(Ext::Zicbom, envcfg::CBIE_INVAL | envcfg::CBCFE)
            | when(Ext::Zicboz, envcfg::CBZE)
            | when(Ext::Svpbmt, envcfg::PBMTE)
            | if ext.has(Ext::Svade) {
                0
            } else {
                when(Ext::Svadu, envcfg::ADUE)
            };
        pmp::open(&mut state);
        self.clear(state);
    }
}
