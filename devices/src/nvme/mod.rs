//! NVM Express controller (Base Specification 1.4) as a function of PCI: one namespace,
//! up to 16 pairs of I/O queues. What it reads from and writes to lies behind a
//! [`BlockPort`].
//!
//! * `registers`: what reading and writing each register does, reset and shutdown.
//! * `queues`: submission and completion queues in guest memory.
//! * `command`, `prp`: a command, and where its data is.
//! * `admin`, `identify`, `features`, `log`, `events`: admin commands.
//! * `io`: NVM commands.
//!
//! A doorbell only rings; whoever hears it locks the controller later and calls
//! [`QueueSlot::process`], which takes commands off all queues in turn, so many at a
//! time. A command that reaches the disk is one request of at most 256 KiB (MDTS), and
//! at most 64 of them are in flight, so that a guest cannot make the host hold more.
//!
//! A reset forgets requests, but whoever has the disk still has them. Until all of them
//! are answered CSTS.RDY stays as it was: so a write from before a reset never comes
//! after one from behind it.
//!
//! A queue is deleted once its commands are completed. Requests in flight are part of the
//! saved state, and are passed on again; so are those that were answered while the function
//! was no bus master, when it is one again.

mod admin;
mod command;
mod events;
mod features;
mod identify;
mod io;
mod log;
mod prp;
mod queues;
mod registers;
mod saved;
pub mod spec;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use isoform_core::{BusFault, Device, IrqLine, MsiSink, RestoreError, Saved, Size};
use isoform_memory::Ram;

use crate::block::{BlockPort, BlockSlot, DiskConfig, IN_FLIGHT_MAX, IoError, Outbox};
use crate::doorbell::{Doorbell, QueueSlot};
use crate::pci::{self, BarKind, ConfigSpace, Endpoint, Function, Identity, Place, Region};
use command::{Command, Status};
use events::Events;
use features::Features;
use io::Work;
use log::Log;
use queues::{ADMIN, Lost, Queues};
use registers::Registers;
use spec::{ControllerStatus, IO_QUEUES, status};

pub use saved::NvmeState;

/// Commands that one call may take: more wait for another call, so that a driver that
/// keeps adding cannot keep the caller.
const BUDGET: u32 = 1024;
/// What the doorbell says: all queues share one.
const BELL: u16 = 0;

/// What a controller is connected to.
pub struct Connections {
    /// Its pin.
    pub pin: IrqLine,
    /// Where its messages go, if the machine takes them.
    pub messages: Option<Arc<dyn MsiSink>>,
    /// Who hears of work to do.
    pub doorbell: Arc<dyn Doorbell>,
    /// Who has the disk.
    pub port: Box<dyn BlockPort>,
}

/// The controller. See the [module documentation](self).
pub struct Nvme {
    // --- fixed configuration
    config: DiskConfig,

    // --- connections
    ram: Arc<Ram>,
    doorbell: Arc<dyn Doorbell>,
    outbox: Outbox,

    // --- guest-visible state
    endpoint: Endpoint,
    registers: Registers,
    queues: Queues,
    features: Features,
    events: Events,
    log: Log,
    in_flight: BTreeMap<u64, Request>,
    /// The I/O queue that had its turn last.
    turn: u16,
}

/// A request in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    /// Submission queue and identifier of its command; none for the flush of a shutdown.
    command: Option<(u16, u16)>,
    work: Work,
    /// Passed on; `false` after a restore, and where the answer could not be told.
    submitted: bool,
}

/// How a command goes on that is not refused.
enum Course {
    /// It is completed, with this in dword 0.
    Done(u32),
    /// It is completed later.
    Later,
    /// It is completed when an event happens, and nothing is reserved for it.
    Waits,
}

impl Nvme {
    /// A disk as `config` says, its queues and data in `ram`.
    pub fn new(config: DiskConfig, ram: Arc<Ram>, connections: Connections) -> Self {
        let Connections {
            pin,
            messages,
            doorbell,
            port,
        } = connections;
        let mut space = ConfigSpace::new(Identity {
            vendor: spec::VENDOR,
            device: spec::DEVICE,
            revision: 1,
            class: spec::CLASS,
            subsystem_vendor: spec::SUBSYSTEM_VENDOR,
            subsystem: spec::SUBSYSTEM,
        });
        space.add_bar(spec::BAR, spec::BAR_BYTES, BarKind::Memory64);
        let mut endpoint = Endpoint::new(space, pin);
        if let Some(sink) = messages {
            // One for the admin queue, one for each of the others.
            endpoint.add_msix(spec::MSIX_BAR, usize::from(IO_QUEUES) + 1, sink);
        }
        Self {
            config,
            ram,
            doorbell,
            outbox: Outbox::new(port),
            registers: Registers::default(),
            queues: Queues::default(),
            features: Features::new(endpoint.vectors()),
            events: Events::default(),
            log: Log::default(),
            in_flight: BTreeMap::new(),
            turn: ADMIN,
            endpoint,
        }
    }

    /// Requests not completed yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether commands are processed.
    fn is_live(&self) -> bool {
        let failed = self.registers.csts.contains(ControllerStatus::CFS);
        self.is_started() && !failed && self.endpoint.is_master()
    }

    /// Does what there is to do: what waits to be passed on again, events, commands.
    fn work(&mut self) {
        if self.is_live() {
            self.pass_on_again();
        }
        for _ in 0..BUDGET {
            if !self.is_live() {
                return;
            }
            self.tell_events();
            let Some(queue) = self.next_queue() else {
                return;
            };
            self.execute(queue);
        }
        self.doorbell.ring(BELL);
    }

    /// The queue to take a command off: the admin queue, else the next in turn (4.13.1).
    fn next_queue(&self) -> Option<u16> {
        if self.queues.has_work(ADMIN) {
            return Some(ADMIN);
        }
        let turns = (self.turn + 1..=IO_QUEUES).chain(1..=self.turn);
        let mut turns = turns.filter(|_| self.has_room());
        turns.find(|queue| self.queues.has_work(*queue))
    }

    /// Whether a request can be passed on.
    fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_MAX && self.outbox.has_room()
    }

    /// Takes a command off a queue, and does it or begins to.
    fn execute(&mut self, queue: u16) {
        let Ok(command) = self.queues.fetch(&self.ram, queue) else {
            return self.fail();
        };
        let course = match queue {
            _ if !command.is_plain() => Err(status::INVALID_FIELD),
            ADMIN => self.execute_admin(&command),
            _ => {
                self.turn = queue;
                self.execute_io(queue, &command)
            }
        };
        match course {
            Ok(Course::Done(result)) => self.finish((queue, command.id), status::SUCCESS, result),
            Ok(Course::Later) => {}
            Ok(Course::Waits) => self.queues.settle(queue),
            Err(refused) => self.refuse(queue, &command, refused),
        }
    }

    /// Completes a command that was refused.
    fn refuse(&mut self, queue: u16, command: &Command, refused: Status) {
        self.log
            .add(queue, (command.id, command.namespace), refused);
        self.finish((queue, command.id), refused, 0);
    }

    /// Completes a command, and what waited for that.
    fn finish(&mut self, (queue, command): (u16, u16), status: Status, result: u32) {
        self.queues.settle(queue);
        self.post(queue, command, (status, result));
        if let Some(deletion) = self.queues.due_deletion(queue) {
            self.queues.remove_submission(queue);
            self.queues.settle(ADMIN);
            self.post(ADMIN, deletion, (status::SUCCESS, 0));
        }
    }

    /// Writes a completion.
    fn post(&mut self, queue: u16, command: u16, completion: (Status, u32)) {
        let posted = self.queues.post(&self.ram, queue, command, completion);
        if let Err(Lost) = posted {
            self.fail();
        }
    }

    /// Only a reset helps (9.5).
    fn fail(&mut self) {
        self.registers.csts |= ControllerStatus::CFS;
    }

    /// Sends messages, or computes the pin from state (7.5).
    fn sync(&mut self) {
        let messages = self.endpoint.uses_messages();
        for vector in self.queues.take_posted() {
            if messages {
                self.endpoint.message(vector);
            }
        }
        let wanted = self.queues.interrupts(self.registers.interrupt_mask);
        self.endpoint.set_pin(wanted);
    }
}

impl Function for Nvme {
    fn regions(&self) -> Vec<Arc<Region>> {
        self.endpoint.regions()
    }
}

impl QueueSlot for Nvme {
    fn process(&mut self, _queue: u16) {
        self.work();
        self.sync();
    }
}

impl BlockSlot for Nvme {
    fn complete(&mut self, id: u64, result: Result<Vec<u8>, IoError>) {
        if !self.outbox.answered(id) {
            return;
        }
        if let Some(request) = self.in_flight.remove(&id) {
            self.answered(request, result);
        }
        self.settle();
        self.work();
        self.sync();
    }
}

impl Device for Nvme {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        let value = match Place::from(offset) {
            Place::Config(at) => self.endpoint.config().read(at, size),
            Place::Bar { bar, offset } if bar == spec::BAR => self.read_register(offset),
            Place::Bar { bar, offset } => self
                .endpoint
                .read_bar(bar, offset, size)
                .unwrap_or(u64::MAX),
        };
        Ok(size.truncate(value))
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        let value = size.truncate(value);
        match Place::from(offset) {
            Place::Config(at) => self.write_config_space(at, size, value),
            Place::Bar { bar, offset } if bar == spec::BAR => {
                self.write_registers(offset, size, value);
            }
            Place::Bar { bar, offset } => self.endpoint.write_bar(bar, offset, size, value),
        }
        self.sync();
        Ok(())
    }

    fn reset(&mut self) {
        self.reset_controller();
        self.registers = Registers::default();
        self.log = Log::default();
        self.endpoint.reset();
        self.sync();
    }

    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        pci::restore(self, bytes)
    }
}
