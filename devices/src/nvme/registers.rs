//! What reading and writing each register does (3.1), and how a controller gets ready, is
//! reset (7.3.2, 7.6) and shut down (7.6.2).

use isoform_core::Size;

use super::events::Events;
use super::features::Features;
use super::io::Work;
use super::queues::{ADMIN, Queues, Shape};
use super::spec::{
    AQA_MASK, CAPABILITIES, CQE_BYTES, Configuration, ControllerStatus, PAGE, SQE_BYTES, VERSION,
    register,
};
use super::{BELL, Nvme, Request};

/// Registers that hold something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    /// INTMS, INTMC: vectors that do not interrupt by the pin.
    pub(super) interrupt_mask: u32,
    /// CC.
    pub(super) cc: Configuration,
    /// CSTS.
    pub(super) csts: ControllerStatus,
    /// AQA.
    pub(super) aqa: u32,
    /// ASQ.
    pub(super) asq: u64,
    /// ACQ.
    pub(super) acq: u64,
}

impl Default for Registers {
    /// As after power-on.
    fn default() -> Self {
        Self {
            interrupt_mask: 0,
            cc: Configuration(0),
            csts: ControllerStatus::empty(),
            aqa: 0,
            asq: 0,
            acq: 0,
        }
    }
}

impl Registers {
    /// The admin queues: for submissions and for completions.
    pub(super) fn admin_queues(&self) -> [Shape; 2] {
        let entries = |size: u32| (size & 0xfff) as u16 + 1;
        [
            Shape {
                base: self.asq,
                entries: entries(self.aqa),
            },
            Shape {
                base: self.acq,
                entries: entries(self.aqa >> 16),
            },
        ]
    }
}

impl Nvme {
    /// Eight bytes of the registers. Doorbells read as zero, as does what is reserved.
    pub(super) fn read_register(&self, offset: u64) -> u64 {
        let word = |at: u64| u64::from(self.read_word(at));
        let aligned = offset & !3;
        let words = word(aligned) | word(aligned + 4) << 32;
        words >> (8 * (offset % 4))
    }

    /// One word of the registers.
    fn read_word(&self, offset: u64) -> u32 {
        let Registers {
            interrupt_mask,
            cc,
            csts,
            aqa,
            asq,
            acq,
        } = self.registers;
        let high = |wide: u64| (wide >> 32) as u32;
        const CAP_HIGH: u64 = register::CAP + 4;
        match offset {
            register::CAP => CAPABILITIES as u32,
            CAP_HIGH => high(CAPABILITIES),
            register::VS => VERSION,
            register::INTMS | register::INTMC => interrupt_mask,
            register::CC => cc.0,
            register::CSTS => csts.bits(),
            register::AQA => aqa,
            register::ASQ => asq as u32,
            register::ASQ_HIGH => high(asq),
            register::ACQ => acq as u32,
            register::ACQ_HIGH => high(acq),
            _ => 0,
        }
    }

    /// Registers are written in words, or two at once; what is narrower does nothing (3.1).
    pub(super) fn write_registers(&mut self, offset: u64, size: Size, value: u64) {
        match size {
            Size::B4 => self.write_word(offset, value as u32),
            Size::B8 => {
                self.write_word(offset, value as u32);
                self.write_word(offset + 4, (value >> 32) as u32);
            }
            Size::B1 | Size::B2 => {}
        }
    }

    fn write_word(&mut self, offset: u64, value: u32) {
        let idle = !self.registers.cc.enabled();
        let registers = &mut self.registers;
        match offset {
            register::INTMS => registers.interrupt_mask |= value,
            register::INTMC => registers.interrupt_mask &= !value,
            register::CC => self.configure(Configuration::written(value)),
            // The admin queues stay where they are while the controller is enabled.
            register::AQA if idle => registers.aqa = value & AQA_MASK,
            register::ASQ if idle => set_low(&mut registers.asq, value),
            register::ASQ_HIGH if idle => set_high(&mut registers.asq, value),
            register::ACQ if idle => set_low(&mut registers.acq, value),
            register::ACQ_HIGH if idle => set_high(&mut registers.acq, value),
            register::DOORBELLS.. => self.ring((offset - register::DOORBELLS) as u32, value),
            _ => {}
        }
    }

    /// A doorbell was written: tails and heads take turns.
    fn ring(&mut self, offset: u32, value: u32) {
        if !self.is_started() {
            return;
        }
        let number = offset / register::DOORBELL_BYTES as u32;
        let queue = u16::try_from(number / 2).unwrap_or(u16::MAX);
        let rung = match number % 2 {
            0 => self.queues.ring_tail(queue, value),
            _ => self.queues.ring_head(queue, value),
        };
        if let Err(event) = rung {
            self.events.add(event);
        }
        if self.has_work() {
            self.doorbell.ring(BELL);
        }
    }

    /// Whether there is something to do now.
    fn has_work(&self) -> bool {
        self.next_queue().is_some() || self.events.next().is_some()
    }

    /// CC was written.
    fn configure(&mut self, cc: Configuration) {
        let before = std::mem::replace(&mut self.registers.cc, cc);
        if before.enabled() && !cc.enabled() {
            self.reset_controller();
        }
        self.settle();
        match (before.shuts_down(), cc.shuts_down()) {
            (false, true) => self.shut_down(),
            (true, false) => self.registers.csts -= SHUTDOWN,
            _ => {}
        }
    }

    /// Gets ready as CC says, or is so no more, once nothing of the time before is on its
    /// way to the disk.
    pub(super) fn settle(&mut self) {
        let csts = self.registers.csts;
        let settled = match self.registers.cc.enabled() {
            true => self.is_started() || csts.contains(ControllerStatus::CFS),
            false => !csts.intersects(STARTED),
        };
        if settled || !self.outbox.is_empty() {
            return;
        }
        self.registers.csts -= STARTED;
        if self.registers.cc.enabled() {
            self.start();
        }
    }

    /// Whether the admin queues are in use: from when it gets ready until it is reset.
    pub(super) fn is_started(&self) -> bool {
        self.queues.submission(ADMIN).is_some()
    }

    /// Takes the admin queues into use.
    fn start(&mut self) {
        let [submission, completion] = self.registers.admin_queues();
        let valid = self.registers.cc.is_supported()
            && submission.is_valid(&self.ram, SQE_BYTES)
            && completion.is_valid(&self.ram, CQE_BYTES);
        if !valid {
            return self.fail();
        }
        // Vector 0 interrupts for the admin queue, always.
        self.queues.add_completion(ADMIN, completion, Some(0));
        self.queues.add_submission(ADMIN, submission, ADMIN);
        self.registers.csts |= ControllerStatus::RDY;
    }

    /// A reset of the controller: what the admin queues are set up with stays, and so does
    /// CSTS.RDY until [`Nvme::settle`] says otherwise.
    pub(super) fn reset_controller(&mut self) {
        self.queues = Queues::default();
        self.features = Features::new(self.endpoint.vectors());
        self.events = Events::default();
        self.in_flight.clear();
        self.turn = ADMIN;
        self.registers.interrupt_mask = 0;
        self.registers.csts -= SHUTDOWN;
        // No interrupt before the next driver is ready.
        self.endpoint.forget_messages();
    }

    /// Makes what was written durable; a controller that is not ready has written nothing.
    fn shut_down(&mut self) {
        let failed = self.registers.csts.contains(ControllerStatus::CFS);
        if !self.is_started() || failed {
            self.registers.csts |= ControllerStatus::SHUT_DOWN;
            return;
        }
        self.registers.csts |= ControllerStatus::SHUTTING_DOWN;
        // A driver that changes its mind again and again has one flush in flight.
        if self.in_flight.values().any(|r| r.command.is_none()) {
            return;
        }
        let flush = Request {
            command: None,
            work: Work::Flush,
            submitted: false,
        };
        match self.has_room() {
            true => self.submit(flush),
            false => self.keep(flush),
        }
    }

    /// The flush of a shutdown was answered. There is no way to say that it failed.
    pub(super) fn shut_down_done(&mut self) {
        let csts = &mut self.registers.csts;
        if csts.contains(ControllerStatus::SHUTTING_DOWN) {
            *csts -= SHUTDOWN;
            *csts |= ControllerStatus::SHUT_DOWN;
        }
    }

    pub(super) fn write_config_space(&mut self, offset: u64, size: Size, value: u64) {
        use isoform_core::Device;
        let before = self.endpoint.is_master();
        if self.endpoint.write_config(offset, size, value) {
            return self.reset();
        }
        if self.endpoint.is_master() && !before {
            self.doorbell.ring(BELL);
        }
    }
}

/// Bits that tell of a start, and how it went.
const STARTED: ControllerStatus = ControllerStatus::RDY.union(ControllerStatus::CFS);
/// Both bits of SHST.
const SHUTDOWN: ControllerStatus =
    ControllerStatus::SHUTTING_DOWN.union(ControllerStatus::SHUT_DOWN);

/// Addresses are those of pages.
fn set_low(wide: &mut u64, low: u32) {
    *wide = *wide & !u64::from(u32::MAX) | u64::from(low) & !(PAGE - 1);
}

fn set_high(wide: &mut u64, high: u32) {
    *wide = *wide & u64::from(u32::MAX) | u64::from(high) << 32;
}
