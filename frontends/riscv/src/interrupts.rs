//! Pending interrupts (Priv. 3.1.9), the supervisor timer ("Sstc"), and waiting.

use crate::csr::{envcfg, mip, mstatus};
use crate::hart::Hart;
use crate::imsic::Level;
use crate::lines::{SEIP_SOFTWARE, irq};
use crate::state::Priv;
use crate::trap::Trap;
use isoform_core::{Exit, MemTy, Requests, Size};

/// Interrupts by falling priority (Priv. 3.1.9).
const PRIORITY: [u32; 6] = [irq::MEI, irq::MSI, irq::MTI, irq::SEI, irq::SSI, irq::STI];

/// `mip` from the raw word: SEIP is software's bit or the line.
fn merge(raw: u64) -> u64 {
    let software = if raw & SEIP_SOFTWARE != 0 {
        mip::SEIP
    } else {
        0
    };
    raw & mip::ALL | software
}

impl Hart {
    /// What `mip` reads.
    pub(crate) fn mip(&self) -> u64 {
        let lines = merge(self.lines.pending());
        if self.has_stimecmp() {
            lines & !mip::STIP | if self.timer_is_due() { mip::STIP } else { 0 }
        } else {
            lines
        }
    }

    /// The bits of `mip` that are software's alone, as `mvip` shows them (AIA 5.3).
    pub(crate) fn software_mip(&self) -> u64 {
        let raw = self.lines.pending();
        let external = if raw & SEIP_SOFTWARE != 0 {
            mip::SEIP
        } else {
            0
        };
        let timer = if self.has_stimecmp() { 0 } else { mip::STIP };
        raw & (mip::SSIP | timer) | external
    }

    /// `mtopi` and `stopi`: of the interrupts that trap to a level and are pending and
    /// enabled the one that counts most, as number and priority (AIA 5.2.2, 5.4.2).
    /// Priorities cannot be configured, so that is always 1.
    pub(crate) fn top_interrupt(&self, level: Level) -> u64 {
        let traps = match level {
            Level::Machine => !self.state.mideleg,
            Level::Supervisor => self.state.mideleg,
        };
        let ready = self.mip() & self.state.mie & traps;
        let top = PRIORITY.into_iter().find(|n| ready >> n & 1 != 0);
        top.map_or(0, |number| u64::from(number) << 16 | 1)
    }

    /// Changes pending bits that software may: of SEIP its own copy.
    pub(crate) fn change_mip(&mut self, ones: u64, zeros: u64) {
        let raw = |bits: u64| {
            let software = if bits & mip::SEIP != 0 {
                SEIP_SOFTWARE
            } else {
                0
            };
            bits & !mip::SEIP | software
        };
        self.lines.change(raw(ones), raw(zeros));
    }

    /// The interrupt to be taken now, if any: pending, enabled, and of the highest
    /// priority. Those for M mode come before those delegated (Priv. 3.1.9, 12.1.3).
    pub(crate) fn pending_interrupt(&self) -> Option<u32> {
        let state = &self.state;
        let enabled = merge(self.lines.pending()) & state.mie;
        if enabled == 0 {
            return None;
        }
        let to_machine = match state.privilege {
            Priv::M => state.mstatus & mstatus::MIE != 0,
            Priv::S | Priv::U => true,
        };
        let to_supervisor = match state.privilege {
            Priv::M => false,
            Priv::S => state.mstatus & mstatus::SIE != 0,
            Priv::U => true,
        };
        let machine = if to_machine {
            enabled & !state.mideleg
        } else {
            0
        };
        let supervisor = if to_supervisor {
            enabled & state.mideleg
        } else {
            0
        };
        let ready = if machine != 0 { machine } else { supervisor };
        PRIORITY.into_iter().find(|n| ready >> n & 1 != 0)
    }

    /// Whether an interrupt is pending that `mie` enables, whatever the modes say.
    pub fn is_awake(&self) -> bool {
        self.mip() & self.state.mie != 0
    }

    /// `wfi` (Priv. 3.3.3): asks the run loop to wait, unless there is nothing to wait
    /// for. U mode never waits, S mode where `mstatus.TW` allows it.
    pub(crate) fn wait_for_interrupt(&mut self) -> Result<(), Trap> {
        let allowed = match self.state.privilege {
            Priv::M => true,
            Priv::S => self.state.mstatus & mstatus::TW == 0,
            Priv::U => false,
        };
        if !allowed {
            return Err(Trap::ILLEGAL);
        }
        if !self.is_awake() {
            self.exit = Some(Exit::Wait { spurious_ok: false });
        }
        Ok(())
    }

    /// `wrs.nto`, `wrs.sto` ("Zawrs"): nobody tells of stores to the reserved word, so
    /// both wait for a bounded time only, which also keeps `mstatus.TW` out.
    pub(crate) fn wait_for_reservation(&mut self) {
        let held = self.state.reservation;
        let size = match held.size {
            4 => Size::B4,
            _ => Size::B8,
        };
        // A page that the TLB does not hold is not worth a walk: waiting is allowed.
        let now = self.tlb.load(held.addr, size);
        let stored = now.is_some_and(|v| v != MemTy::unsigned(size).extend(held.value));
        if held.valid && !stored && !self.is_awake() {
            self.exit = Some(Exit::Wait { spurious_ok: true });
        }
    }

    /// Whether `stimecmp` drives STIP.
    fn has_stimecmp(&self) -> bool {
        self.state.menvcfg & envcfg::STCE != 0
    }

    fn timer_is_due(&self) -> bool {
        self.timebase.ticks() >= self.state.stimecmp
    }

    /// Compares `time` with `stimecmp`: sets STIP accordingly and asks to be woken
    /// when that changes. To be called when time may have passed `stimecmp`, and
    /// after `time` was set.
    pub fn update_timer(&mut self) {
        if !self.has_stimecmp() {
            return;
        }
        if self.timer_is_due() {
            self.lines.change(mip::STIP, 0);
            self.timers.arm(self.id, None);
        } else {
            self.lines.change(0, mip::STIP);
            self.timers
                .arm(self.id, self.timebase.deadline(self.state.stimecmp));
        }
    }

    /// Sets `stimecmp`, in ticks of `time`: what the CSR and firmware's timer call do.
    pub fn set_stimecmp(&mut self, ticks: u64) {
        self.state.stimecmp = ticks;
        self.update_timer();
    }

    /// `menvcfg.STCE` changed: STIP is the timer's or software's from now on, and
    /// software has not set it.
    pub(crate) fn switch_stce(&mut self) {
        if self.has_stimecmp() {
            self.update_timer();
        } else {
            self.lines.change(0, mip::STIP);
            self.timers.arm(self.id, None);
        }
    }

    /// Stops at the next boundary if an interrupt could be taken there.
    pub(crate) fn poll_interrupts(&self) {
        if self.pending_interrupt().is_some() {
            self.lines.attention().raise(Requests::INTERRUPT);
        }
    }
}
