//! NVM commands (6), and requests to the disk.

use std::collections::VecDeque;

use super::command::{Command, Refused, Status};
use super::prp::Buffer;
use super::spec::{BLOCK, BROADCAST, NAMESPACE, TRANSFER_MAX, nvm, status};
use super::{Course, Nvme, Request};
use crate::block::{
    BlockOp, BlockRequest, DISCARD_MAX, HELD_MAX, IN_FLIGHT_MAX, IoError, PIECE, ZEROES_MAX,
};

// A command's data, and the zeros that one command writes, are one request each.
const _: () = assert!(TRANSFER_MAX <= PIECE && ZEROES_MAX >= 1 << 16 && BLOCK == 512);
// So many of them are in flight before their bytes are too many.
const _: () = assert!(TRANSFER_MAX * IN_FLIGHT_MAX as u64 <= HELD_MAX);

/// What is to be done to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Read {
        block: u64,
        to: Buffer,
    },
    Write {
        block: u64,
        from: Buffer,
        through: bool,
    },
    Flush,
    WriteZeroes {
        block: u64,
        blocks: u64,
        unmap: bool,
        through: bool,
    },
    /// What is left of Dataset Management's ranges, none of them empty.
    Deallocate(VecDeque<Range>),
}

/// Blocks to be deallocated: the first, and how many.
pub(super) type Range = (u64, u64);

impl Nvme {
    /// Does an NVM command of submission queue `queue`, or begins to.
    pub(super) fn execute_io(&mut self, queue: u16, command: &Command) -> Result<Course, Refused> {
        let all = command.opcode == nvm::FLUSH && command.namespace == BROADCAST;
        if command.namespace != NAMESPACE && !all {
            return Err(status::INVALID_NAMESPACE);
        }
        let work = match command.opcode {
            nvm::FLUSH => Work::Flush,
            nvm::READ => self.read(command)?,
            nvm::WRITE => self.write(command)?,
            nvm::WRITE_ZEROES => self.write_zeroes(command)?,
            nvm::DATASET_MANAGEMENT if self.config.discard => self.manage_dataset(command)?,
            _ => return Err(status::INVALID_OPCODE),
        };
        if matches!(&work, Work::Deallocate(ranges) if ranges.is_empty()) {
            return Ok(Course::Done(0));
        }
        self.submit(Request {
            command: Some((queue, command.id)),
            work,
            submitted: false,
        });
        Ok(Course::Later)
    }

    /// Whether blocks are of the disk.
    pub(super) fn fits(&self, (block, blocks): Range) -> bool {
        let end = block.checked_add(blocks);
        end.is_some_and(|end| end <= self.config.capacity)
    }

    /// The blocks that a command is about.
    fn range(&self, command: &Command) -> Result<Range, Refused> {
        let range = command.blocks();
        self.fits(range)
            .then_some(range)
            .ok_or(status::LBA_OUT_OF_RANGE)
    }

    /// The blocks that a command changes.
    fn writable_range(&self, command: &Command) -> Result<Range, Refused> {
        match self.config.read_only {
            true => Err(status::WRITE_PROTECTED),
            false => self.range(command),
        }
    }

    /// Whether a write is to be durable when it is completed.
    fn goes_through(&self, command: &Command) -> bool {
        let forced = command.dword::<12>() & nvm::FORCE_UNIT_ACCESS != 0;
        forced || !self.features.caches_writes()
    }

    fn read(&self, command: &Command) -> Result<Work, Refused> {
        let (block, blocks) = self.range(command)?;
        let to = Buffer::walk(&self.ram, command.prp, blocks * BLOCK)?;
        Ok(Work::Read { block, to })
    }

    fn write(&self, command: &Command) -> Result<Work, Refused> {
        let (block, blocks) = self.writable_range(command)?;
        Ok(Work::Write {
            block,
            from: Buffer::walk(&self.ram, command.prp, blocks * BLOCK)?,
            through: self.goes_through(command),
        })
    }

    fn write_zeroes(&self, command: &Command) -> Result<Work, Refused> {
        let (block, blocks) = self.writable_range(command)?;
        Ok(Work::WriteZeroes {
            block,
            blocks,
            unmap: self.config.discard && command.dword::<12>() & nvm::DEALLOCATE != 0,
            through: self.goes_through(command),
        })
    }

    /// Dataset Management (6.7). All but the request to deallocate is a hint that nothing
    /// here takes.
    fn manage_dataset(&self, command: &Command) -> Result<Work, Refused> {
        if command.dword::<11>() & nvm::ATTRIBUTE_DEALLOCATE == 0 {
            return Ok(Work::Deallocate(VecDeque::new()));
        }
        if self.config.read_only {
            return Err(status::WRITE_PROTECTED);
        }
        let count = u64::from(command.dword::<10>() as u8) + 1;
        let list = Buffer::walk(&self.ram, command.prp, count * nvm::RANGE_BYTES)?;
        let mut bytes = vec![0; list.len() as usize];
        list.read(&self.ram, &mut bytes)?;
        let (entries, _) = bytes.as_chunks::<{ nvm::RANGE_BYTES as usize }>();
        let mut ranges = VecDeque::new();
        for [_, _, _, _, b0, b1, b2, b3, block @ ..] in entries {
            let blocks = u32::from_le_bytes([*b0, *b1, *b2, *b3]);
            let range = (u64::from_le_bytes(*block), u64::from(blocks));
            if !self.fits(range) {
                return Err(status::LBA_OUT_OF_RANGE);
            }
            if blocks > 0 {
                ranges.push_back(range);
            }
        }
        Ok(Work::Deallocate(ranges))
    }

    /// Passes a request on: all of it, or its next part.
    pub(super) fn submit(&mut self, mut request: Request) {
        let op = match self.operation(&request.work) {
            Ok(op) => op,
            Err(refused) => return self.end(request.command, refused),
        };
        let (id, bytes) = (self.outbox.id(), request.work.bytes());
        request.submitted = true;
        self.in_flight.insert(id, request);
        self.outbox.pass_on(BlockRequest { id, op }, bytes);
    }

    /// What the disk is asked for.
    fn operation(&mut self, work: &Work) -> Result<BlockOp, Refused> {
        Ok(match *work {
            Work::Read { block, ref to } => BlockOp::Read {
                sector: block,
                len: to.len() as usize,
            },
            Work::Write {
                block,
                ref from,
                through,
            } => {
                let mut data = self.outbox.buffer(from.len());
                from.read(&self.ram, &mut data)?;
                BlockOp::Write {
                    sector: block,
                    data,
                    through,
                }
            }
            Work::Flush => BlockOp::Flush,
            Work::WriteZeroes {
                block,
                blocks,
                unmap,
                through,
            } => BlockOp::WriteZeroes {
                sector: block,
                sectors: blocks,
                unmap,
                through,
            },
            Work::Deallocate(ref ranges) => {
                let (block, blocks) = ranges.front().copied().unwrap_or_default();
                BlockOp::Discard {
                    sector: block,
                    sectors: blocks.min(DISCARD_MAX.into()),
                }
            }
        })
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, request: Request, result: Result<Vec<u8>, IoError>) {
        let Request { command, work, .. } = request;
        if command.is_some() && !self.is_live() {
            // Nobody can be told now: it is done again when somebody can.
            return self.keep(Request {
                command,
                work,
                submitted: false,
            });
        }
        let done = match result {
            Ok(data) => {
                let taken = self.take_answer(&work, &data);
                self.outbox.give_back(data);
                taken
            }
            Err(IoError) => Err(work.failure()),
        };
        match (done, work.rest()) {
            (Err(failure), _) => self.end(command, failure),
            (Ok(()), None) => self.end(command, status::SUCCESS),
            (Ok(()), Some(work)) => self.submit(Request {
                command,
                work,
                submitted: false,
            }),
        }
    }

    /// Takes what the disk has read, and counts what it has done.
    fn take_answer(&mut self, work: &Work, data: &[u8]) -> Result<(), Refused> {
        match work {
            Work::Read { to, .. } if data.len() as u64 == to.len() => {
                self.log.add_read(to.len() / BLOCK);
                to.write(&self.ram, data)
            }
            Work::Read { .. } => Err(work.failure()),
            Work::Write { from, .. } => {
                self.log.add_written(from.len() / BLOCK);
                Ok(())
            }
            Work::Flush | Work::WriteZeroes { .. } | Work::Deallocate(_) => Ok(()),
        }
    }

    /// Keeps a request that is to be passed on again.
    pub(super) fn keep(&mut self, request: Request) {
        self.in_flight.insert(self.outbox.id(), request);
    }

    /// Passes on again what is kept, as far as there is room.
    pub(super) fn pass_on_again(&mut self) {
        while self.outbox.has_room() {
            let mut kept = self.in_flight.extract_if(.., |_, r| !r.submitted);
            let Some((_, request)) = kept.next() else {
                return;
            };
            drop(kept);
            self.submit(request);
        }
    }

    /// A request is over.
    fn end(&mut self, command: Option<(u16, u16)>, status: Status) {
        let Some((queue, id)) = command else {
            return self.shut_down_done();
        };
        if status != status::SUCCESS {
            self.log.add(queue, (id, NAMESPACE), status);
        }
        self.finish((queue, id), status, 0);
    }
}

impl Work {
    /// Bytes of data that it moves.
    fn bytes(&self) -> u64 {
        match self {
            Work::Read { to: data, .. } | Work::Write { from: data, .. } => data.len(),
            Work::Flush | Work::WriteZeroes { .. } | Work::Deallocate(_) => 0,
        }
    }

    /// What is left once the part that was passed on is done.
    fn rest(self) -> Option<Self> {
        let Work::Deallocate(mut ranges) = self else {
            return None;
        };
        let (block, blocks) = ranges.pop_front()?;
        let done = blocks.min(DISCARD_MAX.into());
        if done < blocks {
            ranges.push_front((block + done, blocks - done));
        }
        (!ranges.is_empty()).then_some(Work::Deallocate(ranges))
    }

    /// How a command ends whose request the disk could not do.
    fn failure(&self) -> Status {
        match self {
            Work::Read { .. } => status::UNRECOVERED_READ,
            Work::Write { .. } | Work::WriteZeroes { .. } => status::WRITE_FAULT,
            Work::Flush | Work::Deallocate(_) => status::INTERNAL_ERROR,
        }
    }
}
