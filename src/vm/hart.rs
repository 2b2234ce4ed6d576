//! One hart's loop, the same under both clocks: run, then do what stopped it.

use super::event::{End, Event};
use super::form::Form;
use super::shared::{HartView, Shared, StartAt, lock};
use crate::boot::sbi::{self, After, HartStatus};
use crate::boot::semihosting;
use isoform_core::Exit;
use isoform_devices::htif::{Htif, HtifEvent};
use isoform_riscv::Hart;
use std::sync::{Arc, Mutex};

/// What a hart does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Run on.
    Run,
    /// Run on, once others had a chance to do what it waits for.
    Yield,
    /// Sleep until something is asked of it.
    Sleep,
}

/// A hart and what it runs on.
pub(super) struct Runner {
    pub(super) hart: Hart,
    pub(super) form: Form,
    shared: Arc<Shared>,
    htif: Option<Arc<Mutex<Htif>>>,
    /// It waits for an interrupt, or is stopped.
    pub(super) next: Next,
}

/// Instructions between two looks at `tohost`, for programs that have it, and at every
/// exit besides.
const HTIF_SLICE: u64 = 1 << 17;

impl Runner {
    pub(super) fn new(hart: Hart, form: Form, shared: Arc<Shared>) -> Self {
        Self {
            hart,
            form,
            shared,
            htif: None,
            next: Next::Run,
        }
    }

    /// The host interface of the program that is about to start, if it has one.
    pub(super) fn set_htif(&mut self, htif: Option<Arc<Mutex<Htif>>>) {
        self.htif = htif;
    }

    /// Runs at most `budget` instructions, fewer if the hart stops before.
    pub(super) fn run(&mut self, budget: u64) -> Next {
        let Some(next) = self.before_running() else {
            let budget = match self.htif {
                Some(_) => budget.min(HTIF_SLICE - self.hart.state.icount % HTIF_SLICE),
                None => budget,
            };
            let attention = self.shared.lines[self.hart.id()].attention().clone();
            attention.set_quiescent(false);
            let exit = self.form.run(&mut self.hart, budget);
            attention.set_quiescent(true);
            self.next = self.handle(exit);
            // Where the run was cut short only for somebody to look at the machine,
            // nothing happens that would not happen otherwise.
            if exit != Exit::Budget || self.hart.state.icount.is_multiple_of(HTIF_SLICE) {
                self.poll_htif();
            }
            return self.next;
        };
        self.next = next;
        next
    }

    /// Takes up a start that was asked for. `None`: the hart is to run.
    fn before_running(&mut self) -> Option<Next> {
        let mut slot = lock(&self.shared.slots[self.hart.id()]);
        if let Some(StartAt { pc, opaque }) = slot.start.take() {
            slot.status = HartStatus::Started;
            let id = self.hart.id() as u64;
            self.hart.setup_supervisor(pc, id, opaque);
        }
        if slot.status != HartStatus::Stopped {
            slot.status = HartStatus::Started;
            return None;
        }
        drop(slot);
        // A stopped hart has nothing to do for anybody, and must not be kept awake.
        let attention = self.hart.lines().attention().clone();
        attention.take();
        attention.served();
        self.publish();
        let started = lock(&self.shared.slots[self.hart.id()]).start.is_some();
        Some(if started { Next::Run } else { Next::Sleep })
    }

    fn handle(&mut self, exit: Exit) -> Next {
        match exit {
            Exit::Budget => Next::Run,
            Exit::Attention => {
                self.publish();
                Next::Run
            }
            Exit::Wait { spurious_ok: true } => Next::Yield,
            Exit::Wait { spurious_ok: false } => Next::Sleep,
            Exit::Breakpoint => {
                match semihosting::call(&mut self.hart, &*self.shared) {
                    semihosting::After::Continue => {}
                    semihosting::After::Exit(0) => self.end(End::PowerOff),
                    semihosting::After::Exit(code) => self.end(End::Exit(code)),
                }
                Next::Run
            }
            Exit::Firmware => match sbi::call(&mut self.hart, &*self.shared) {
                After::Continue => Next::Run,
                After::Stop => {
                    lock(&self.shared.slots[self.hart.id()]).status = HartStatus::Stopped;
                    Next::Run
                }
                After::Wait => {
                    lock(&self.shared.slots[self.hart.id()]).status = HartStatus::Suspended;
                    Next::Sleep
                }
            },
        }
    }

    fn end(&self, end: End) {
        self.shared.post.post(Event::End(end));
    }

    /// Leaves what the monitor shows.
    fn publish(&self) {
        let state = &self.hart.state;
        let view = HartView {
            pc: state.pc,
            privilege: state.privilege,
            icount: state.icount,
            waits: self.next == Next::Sleep,
        };
        lock(&self.shared.slots[self.hart.id()]).view = Some(view);
    }

    fn poll_htif(&mut self) {
        let Some(htif) = &self.htif else {
            return;
        };
        // Unlocked before it is printed, which may take as long as a reader takes.
        let event = lock(htif).poll(self.hart.ram());
        match event {
            Some(HtifEvent::Exit(code)) => {
                let code = u32::try_from(code).unwrap_or(u32::MAX);
                let end = if code == 0 {
                    End::PowerOff
                } else {
                    End::Exit(code)
                };
                self.end(end);
            }
            Some(HtifEvent::Output(bytes)) => sbi::Machine::console_print(&*self.shared, &bytes),
            Some(HtifEvent::Read) => self.shared.post.post(Event::InputRoom),
            None => {}
        }
    }
}
