//! Admin commands (5).

use super::command::{Command, Refused};
use super::prp::Buffer;
use super::queues::{ADMIN, Shape};
use super::spec::{
    BROADCAST, CQE_BYTES, ENTRIES_MAX, IO_QUEUES, NAMESPACE, PAGE, SQE_BYTES, admin, cns, status,
};
use super::{Course, Nvme, identify};

/// Dword 11 of the commands that create queues: in one piece (PC).
const CONTIGUOUS: u16 = 1 << 0;
/// Of that for a completion queue: it interrupts (IEN).
const INTERRUPTS: u16 = 1 << 1;
/// What Abort says in dword 0: the command was not aborted.
const NOT_ABORTED: u32 = 1;

impl Nvme {
    /// Does an admin command, or begins to.
    pub(super) fn execute_admin(&mut self, command: &Command) -> Result<Course, Refused> {
        match command.opcode {
            admin::DELETE_SQ => self.delete_submission_queue(command),
            admin::CREATE_SQ => done(self.create_submission_queue(command)),
            admin::GET_LOG_PAGE => done(self.get_log_page(command)),
            admin::DELETE_CQ => done(self.delete_completion_queue(command)),
            admin::CREATE_CQ => done(self.create_completion_queue(command)),
            admin::IDENTIFY => done(self.identify(command)),
            // Aborting is best effort (5.1): what is passed on cannot be called back.
            admin::ABORT => Ok(Course::Done(NOT_ABORTED)),
            admin::SET_FEATURES => {
                let queues = self.queues.any_io();
                self.features.set(command, queues).map(Course::Done)
            }
            admin::GET_FEATURES => self.features.get(command).map(Course::Done),
            admin::ASYNC_EVENT_REQUEST => self.request_event(command.id),
            _ => Err(status::INVALID_OPCODE),
        }
    }

    /// The queue that a command creates: its identifier and its place.
    fn new_queue(
        &self,
        command: &Command,
        entry_bytes: u64,
        taken: bool,
    ) -> Result<(u16, Shape), Refused> {
        let (id, size) = command.halves::<10>();
        if taken || id == ADMIN || id > IO_QUEUES {
            return Err(status::INVALID_QUEUE_IDENTIFIER);
        }
        // Sizes count from 0, and one entry is none.
        if size == 0 || size >= ENTRIES_MAX {
            return Err(status::INVALID_QUEUE_SIZE);
        }
        let (flags, _) = command.halves::<11>();
        if flags & CONTIGUOUS == 0 {
            return Err(status::INVALID_FIELD);
        }
        let [base, _] = command.prp;
        let shape = Shape {
            base,
            entries: size + 1,
        };
        if !base.is_multiple_of(PAGE) {
            return Err(status::INVALID_PRP_OFFSET);
        }
        match shape.is_valid(&self.ram, entry_bytes) {
            true => Ok((id, shape)),
            false => Err(status::DATA_TRANSFER_ERROR),
        }
    }

    /// Create I/O Completion Queue (5.3).
    fn create_completion_queue(&mut self, command: &Command) -> Result<(), Refused> {
        let (id, _) = command.halves::<10>();
        let taken = self.queues.completion(id).is_some();
        let (id, shape) = self.new_queue(command, CQE_BYTES, taken)?;
        if !self.registers.cc.has_cqe_size() {
            return Err(status::INVALID_FIELD);
        }
        let (flags, vector) = command.halves::<11>();
        // The pin is one vector, number 0.
        let vectors = match self.endpoint.uses_messages() {
            true => self.endpoint.vectors(),
            false => 1,
        };
        if usize::from(vector) >= vectors {
            return Err(status::INVALID_INTERRUPT_VECTOR);
        }
        let vector = (flags & INTERRUPTS != 0).then_some(vector);
        self.queues.add_completion(id, shape, vector);
        Ok(())
    }

    /// Create I/O Submission Queue (5.4).
    fn create_submission_queue(&mut self, command: &Command) -> Result<(), Refused> {
        let (id, _) = command.halves::<10>();
        let taken = self.queues.submission(id).is_some();
        let (id, shape) = self.new_queue(command, SQE_BYTES, taken)?;
        if !self.registers.cc.has_sqe_size() {
            return Err(status::INVALID_FIELD);
        }
        let (_, completions) = command.halves::<11>();
        if completions == ADMIN || completions > IO_QUEUES {
            return Err(status::INVALID_QUEUE_IDENTIFIER);
        }
        if self.queues.completion(completions).is_none() {
            return Err(status::COMPLETION_QUEUE_INVALID);
        }
        self.queues.add_submission(id, shape, completions);
        Ok(())
    }

    /// Delete I/O Submission Queue (5.6), once nothing of it is outstanding.
    fn delete_submission_queue(&mut self, command: &Command) -> Result<Course, Refused> {
        let (id, _) = command.halves::<10>();
        let queue = self.queues.submission(id).filter(|_| id != ADMIN);
        let queue = queue.filter(|queue| queue.deletion.is_none());
        let queue = queue.ok_or(status::INVALID_QUEUE_IDENTIFIER)?;
        if queue.outstanding == 0 {
            self.queues.remove_submission(id);
            return Ok(Course::Done(0));
        }
        self.queues.delete_when_idle(id, command.id);
        Ok(Course::Later)
    }

    /// Delete I/O Completion Queue (5.5).
    fn delete_completion_queue(&mut self, command: &Command) -> Result<(), Refused> {
        let (id, _) = command.halves::<10>();
        if id == ADMIN || self.queues.completion(id).is_none() {
            return Err(status::INVALID_QUEUE_IDENTIFIER);
        }
        if self.queues.leads_to(id) {
            return Err(status::INVALID_QUEUE_DELETION);
        }
        self.queues.remove_completion(id);
        Ok(())
    }

    /// Identify (5.15).
    fn identify(&mut self, command: &Command) -> Result<(), Refused> {
        let namespace = command.namespace;
        let page = match command.dword::<10>() as u8 {
            cns::CONTROLLER => identify::controller(&self.config),
            cns::ACTIVE_NAMESPACES if namespace >= BROADCAST - 1 => {
                return Err(status::INVALID_NAMESPACE);
            }
            cns::ACTIVE_NAMESPACES => identify::active_namespaces(namespace),
            cns::NAMESPACE | cns::NAMESPACE_DESCRIPTORS if namespace != NAMESPACE => {
                return Err(status::INVALID_NAMESPACE);
            }
            cns::NAMESPACE => identify::namespace(&self.config),
            cns::NAMESPACE_DESCRIPTORS => identify::namespace_descriptors(&self.config),
            _ => return Err(status::INVALID_FIELD),
        };
        let buffer = Buffer::walk(&self.ram, command.prp, page.len() as u64)?;
        buffer.write(&self.ram, &page)
    }
}

/// A command that is completed at once, with nothing to say.
fn done(result: Result<(), Refused>) -> Result<Course, Refused> {
    result.map(|()| Course::Done(0))
}
