//! A hart's saved state.

use crate::csr::{legal, mip};
use crate::ext::{Ext, ExtSet};
use crate::hart::Hart;
use crate::imsic::InterruptFile;
use crate::lines::SEIP_SOFTWARE;
use crate::pmp;
use crate::state::{Priv, State};
use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

/// A hart as saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedHart {
    /// `mhartid`.
    pub id: u64,
    /// The extensions it had, by name.
    pub extensions: Vec<String>,
    /// The canonical state.
    pub state: State,
    /// The raw word of pending interrupts.
    pub pending: u64,
    /// The interrupt files of M and S mode, where the hart has an IMSIC.
    pub files: Option<[InterruptFile; 2]>,
}

impl Saved for Hart {
    type State = SavedHart;
    const NAME: &'static str = "hart";
    const VERSION: u16 = 2;

    fn state(&self) -> SavedHart {
        // All fields by name: one added later must be decided on here.
        let Hart {
            state,
            id,
            cpu,
            lines,
            // Connections.
            bus: _,
            ram: _,
            timebase: _,
            timers: _,
            epoch: _,
            firmware: _,
            semihosting: _,
            // Derived.
            tlb: _,
            mode: _,
            pmp: _,
            unsettled: _,
            // Empty at instruction boundaries.
            unit_end: _,
            exit: _,
            // Statistics.
            trap_counts: _,
            tlb_misses: _,
            scratch: _,
            code_changes: _,
            code_since: _,
        } = self;
        SavedHart {
            id: *id as u64,
            extensions: names(cpu.ext),
            state: state.clone(),
            pending: lines.pending(),
            files: lines.save_files(),
        }
    }

    fn set_state(&mut self, saved: SavedHart) -> Result<(), RestoreError> {
        let SavedHart {
            id,
            extensions,
            state,
            pending,
            files,
        } = saved;
        let mismatch = |reason| RestoreError::Mismatch {
            name: Self::NAME,
            reason,
        };
        if id != self.id as u64 {
            return Err(mismatch(format!(
                "it is of hart {id}, this is hart {}",
                self.id
            )));
        }
        if extensions != names(self.cpu.ext) {
            let reason = format!("its CPU has the extensions {}", extensions.join(", "));
            return Err(mismatch(reason));
        }
        if files.is_some() != self.lines.has_files() {
            return Err(mismatch("one of the two has an IMSIC".to_owned()));
        }
        // Far beyond what can be executed, and room to count on.
        if state.icount > u64::MAX / 2 {
            let reason = format!("{} instructions executed", state.icount);
            return Err(RestoreError::Damaged {
                name: Self::NAME,
                reason,
            });
        }
        self.state = sanitise(state, self.cpu.ext, self.firmware);
        let raw = mip::ALL | SEIP_SOFTWARE;
        self.lines.change(pending & raw, !pending & raw);
        if let Some(files) = files {
            self.lines.restore_files(files);
        }
        (self.unit_end, self.exit) = (false, None);
        self.unsettled.clear();
        self.refresh();
        Ok(())
    }
}

fn names(ext: ExtSet) -> Vec<String> {
    ext.iter().map(|e| e.name().to_string()).collect()
}

/// The nearest state that the CSRs of such a hart could hold.
fn sanitise(mut s: State, ext: ExtSet, firmware: bool) -> State {
    let fresh = State::reset(0);
    s.x[0] = 0;
    s.pc = legal::epc(ext, s.pc);
    s.mstatus = legal::mstatus(ext, fresh.mstatus, s.mstatus);
    if s.privilege != Priv::M {
        // Leaving M mode clears it.
        s.mstatus &= !crate::csr::mstatus::MPRV;
    }
    s.medeleg = legal::medeleg(s.medeleg);
    s.mideleg = legal::mideleg(s.mideleg);
    s.mie = legal::mie(s.mie);
    (s.mtvec, s.stvec) = (legal::tvec(s.mtvec), legal::tvec(s.stvec));
    (s.mepc, s.sepc) = (legal::epc(ext, s.mepc), legal::epc(ext, s.sepc));
    s.mcounteren = legal::counteren(ext, s.mcounteren);
    s.scounteren = legal::counteren(ext, s.scounteren);
    s.mcountinhibit = legal::mcountinhibit(s.mcountinhibit);
    let own_timer = if firmware {
        s.menvcfg & crate::csr::envcfg::STCE
    } else {
        0
    };
    s.menvcfg = legal::menvcfg(ext, 0, s.menvcfg) | own_timer;
    s.senvcfg = legal::senvcfg(ext, 0, s.senvcfg);
    s.mseccfg = legal::mseccfg(ext, 0, s.mseccfg, false);
    s.satp = legal::satp(ext, 0, s.satp);
    (s.miselect, s.siselect) = match ext.has(Ext::Smaia) {
        true => (legal::iselect(s.miselect), legal::iselect(s.siselect)),
        false => (0, 0),
    };
    pmp::sanitise(&mut s);
    let reserved = &mut s.reservation;
    if !matches!(reserved.size, 4 | 8) || !reserved.addr.is_multiple_of(reserved.size.into()) {
        *reserved = Default::default();
    }
    if reserved.size == 4 {
        reserved.value = u64::from(reserved.value as u32);
    }
    s
}

#[cfg(test)]
mod tests;
