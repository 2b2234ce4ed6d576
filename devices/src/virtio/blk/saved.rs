//! Saved state of the block device: its requests in flight.

use isoform_core::RestoreError;
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::chain::Chain;
use super::spec::HEADER_BYTES;
use super::{Blk, IN_FLIGHT_MAX, Request, Work};
use crate::block::{DISCARD_MAX, SECTOR, ZEROES_MAX};

/// The state of a [`Blk`]: requests in flight, in the order they were passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkState {
    in_flight: Vec<RequestState>,
    turn: u16,
}

/// One request in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestState {
    queue: u16,
    work: WorkState,
    chain: Chain,
    done: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum WorkState {
    Read {
        sector: u64,
    },
    Write {
        sector: u64,
        through: bool,
    },
    Flush,
    Discard {
        sector: u64,
        sectors: u64,
    },
    WriteZeroes {
        sector: u64,
        sectors: u64,
        unmap: bool,
        through: bool,
    },
}

impl Blk {
    pub(super) fn saved(&self) -> BlkState {
        let Self {
            config: _,
            outbox: _,
            in_flight,
            turn,
        } = self;
        BlkState {
            in_flight: in_flight.values().map(save_request).collect(),
            turn: *turn,
        }
    }

    pub(super) fn restore(&mut self, state: BlkState, ram: &Ram) -> Result<(), RestoreError> {
        let BlkState { in_flight, turn } = state;
        let damaged = |reason: &str| RestoreError::Damaged {
            name: Self::NAME,
            reason: reason.to_owned(),
        };
        if in_flight.len() > IN_FLIGHT_MAX {
            return Err(damaged("too many requests in flight"));
        }
        let requests: Vec<Request> = in_flight.into_iter().map(load_request).collect();
        if !requests.iter().all(|r| self.is_valid(r, ram)) {
            return Err(damaged("a request in flight is not of this disk"));
        }
        for request in requests {
            self.in_flight.insert(self.outbox.id(), request);
        }
        self.turn = turn;
        Ok(())
    }

    /// Whether a request could have come from a queue.
    fn is_valid(&self, request: &Request, ram: &Ram) -> bool {
        let in_disk = match request.work {
            Work::Read { sector } | Work::Write { sector, .. } => {
                self.fits(sector, request.total())
            }
            Work::Flush => true,
            Work::Discard { sector, sectors } => {
                sectors <= DISCARD_MAX.into() && self.fits(sector, sectors * SECTOR)
            }
            Work::WriteZeroes {
                sector, sectors, ..
            } => sectors <= ZEROES_MAX.into() && self.fits(sector, sectors * SECTOR),
        };
        let writes = !matches!(request.work, Work::Read { .. } | Work::Flush);
        in_disk
            && request.queue < self.config.queues
            && !(writes && self.config.disk.read_only)
            && request.chain.is_valid(ram)
            && request.chain.readable.len() >= HEADER_BYTES
            && !request.chain.writable.is_empty()
            && request.done.is_multiple_of(SECTOR)
            && request.done <= request.total()
    }
}

fn save_request(request: &Request) -> RequestState {
    let Request {
        queue,
        work,
        chain,
        done,
        submitted: _,
    } = request;
    RequestState {
        queue: *queue,
        work: match *work {
            Work::Read { sector } => WorkState::Read { sector },
            Work::Write { sector, through } => WorkState::Write { sector, through },
            Work::Flush => WorkState::Flush,
            Work::Discard { sector, sectors } => WorkState::Discard { sector, sectors },
            Work::WriteZeroes {
                sector,
                sectors,
                unmap,
                through,
            } => WorkState::WriteZeroes {
                sector,
                sectors,
                unmap,
                through,
            },
        },
        chain: chain.clone(),
        done: *done,
    }
}

fn load_request(state: RequestState) -> Request {
    let RequestState {
        queue,
        work,
        chain,
        done,
    } = state;
    Request {
        queue,
        work: match work {
            WorkState::Read { sector } => Work::Read { sector },
            WorkState::Write { sector, through } => Work::Write { sector, through },
            WorkState::Flush => Work::Flush,
            WorkState::Discard { sector, sectors } => Work::Discard { sector, sectors },
            WorkState::WriteZeroes {
                sector,
                sectors,
                unmap,
                through,
            } => Work::WriteZeroes {
                sector,
                sectors,
                unmap,
                through,
            },
        },
        chain,
        done,
        submitted: false,
    }
}
