//! Saved state of the controller.

use isoform_core::{RestoreError, Saved};
use serde::{Deserialize, Serialize};

use super::events::Events;
use super::features::Features;
use super::io::{Range, Work};
use super::log::Log;
use super::prp::Buffer;
use super::queues::{ADMIN, CompletionQueue, Queues, Shape, SubmissionQueue};
use super::registers::Registers;
use super::spec::{
    ADMIN_ENTRIES_MAX, AQA_MASK, BLOCK, CQE_BYTES, Configuration, ControllerStatus, ENTRIES_MAX,
    ERROR_ENTRIES, EVENT_REQUESTS_MAX, ErrorEvents, IO_QUEUES, PAGE, SQE_BYTES, TRANSFER_MAX,
};
use super::{Nvme, Request};
use crate::block::{IN_FLIGHT_MAX, ZEROES_MAX};
use crate::pci::EndpointState;

/// Ranges of one Dataset Management command.
const RANGES_MAX: usize = 256;

/// The guest-visible state of an [`Nvme`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvmeState {
    endpoint: EndpointState,
    registers: RegistersState,
    submission: Vec<Option<SubmissionState>>,
    completion: Vec<Option<CompletionState>>,
    features: FeaturesState,
    events: EventsState,
    log: Log,
    in_flight: Vec<RequestState>,
    turn: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RegistersState {
    interrupt_mask: u32,
    cc: u32,
    csts: u32,
    aqa: u32,
    asq: u64,
    acq: u64,
}

/// What is outstanding follows from the requests in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SubmissionState {
    base: u64,
    entries: u16,
    head: u16,
    tail: u16,
    completions: u16,
    deletion: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CompletionState {
    base: u64,
    entries: u16,
    head: u16,
    tail: u16,
    phase: bool,
    vector: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FeaturesState {
    plain: Vec<u32>,
    temperatures: [u16; 2],
    uncoalesced: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EventsState {
    requests: Vec<u16>,
    pending: u8,
    told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RequestState {
    command: Option<(u16, u16)>,
    work: WorkState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum WorkState {
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
    Deallocate(Vec<Range>),
}

fn damaged(reason: &str) -> RestoreError {
    RestoreError::Damaged {
        name: Nvme::NAME,
        reason: reason.to_owned(),
    }
}

impl Saved for Nvme {
    type State = NvmeState;
    const NAME: &'static str = "nvme";
    const VERSION: u16 = 1;

    fn state(&self) -> NvmeState {
        let Self {
            config: _,
            ram: _,
            doorbell: _,
            outbox: _,
            endpoint,
            registers,
            queues,
            features,
            events,
            log,
            in_flight,
            turn,
        } = self;
        let Queues {
            submission,
            completion,
        } = queues;
        NvmeState {
            endpoint: endpoint.state(),
            registers: save_registers(*registers),
            submission: submission
                .iter()
                .map(|queue| queue.as_ref().map(save_submission))
                .collect(),
            completion: completion
                .iter()
                .map(|queue| queue.as_ref().map(save_completion))
                .collect(),
            features: save_features(features),
            events: save_events(events),
            log: log.clone(),
            in_flight: in_flight.values().map(save_request).collect(),
            turn: *turn,
        }
    }

    fn set_state(&mut self, state: NvmeState) -> Result<(), RestoreError> {
        let NvmeState {
            endpoint,
            registers,
            submission,
            completion,
            features,
            events,
            log,
            in_flight,
            turn,
        } = state;
        self.endpoint.set_state(Self::NAME, endpoint)?;
        self.registers = load_registers(registers);
        self.load_queues(submission, completion)?;
        self.load_features(features)?;
        self.load_events(events)?;
        if log.errors.len() > ERROR_ENTRIES {
            return Err(damaged("its error log is too long"));
        }
        self.log = log;
        self.turn = turn.min(IO_QUEUES);
        self.load_requests(in_flight)?;
        if !self.queues.keep_their_promises() {
            return Err(damaged("there is no room for completions"));
        }
        self.settle();
        self.sync();
        // Commands, and requests to be passed on again.
        self.doorbell.ring(super::BELL);
        Ok(())
    }
}

impl Nvme {
    /// Puts queues back. They are there if the controller has started, and lead to each
    /// other as they can be created.
    fn load_queues(
        &mut self,
        submission: Vec<Option<SubmissionState>>,
        completion: Vec<Option<CompletionState>>,
    ) -> Result<(), RestoreError> {
        let mut queues = Queues::default();
        if submission.len() != queues.submission.len()
            || completion.len() != queues.completion.len()
        {
            return Err(damaged("it has another number of queues"));
        }
        let places = queues.completion.iter_mut().zip(completion).enumerate();
        for (id, (place, state)) in places {
            *place = state
                .map(|state| self.load_completion(id, state))
                .transpose()?;
        }
        let places = queues.submission.iter_mut().zip(submission).enumerate();
        for (id, (place, state)) in places {
            *place = state
                .map(|state| self.load_submission(id, state))
                .transpose()?;
        }
        let leads = |(id, queue): (usize, &SubmissionQueue)| {
            let own = queues.completion(queue.completions).is_some();
            own && (id == usize::from(ADMIN)) == (queue.completions == ADMIN)
        };
        let used = queues.submission.iter().enumerate();
        let mut used = used.filter_map(|(id, queue)| Some((id, queue.as_ref()?)));
        if !used.all(leads) {
            return Err(damaged("a submission queue leads nowhere"));
        }
        let started = queues.submission(ADMIN).is_some();
        let ready = self.registers.csts.contains(ControllerStatus::RDY);
        if started != queues.completion(ADMIN).is_some()
            || started && !(ready && self.registers.cc.enabled())
            || !started && queues.any_io()
        {
            return Err(damaged("its queues are there while it is not ready"));
        }
        self.queues = queues;
        Ok(())
    }

    fn load_completion(
        &self,
        id: usize,
        state: CompletionState,
    ) -> Result<CompletionQueue, RestoreError> {
        let CompletionState {
            base,
            entries,
            head,
            tail,
            phase,
            vector,
        } = state;
        let shape = Shape { base, entries };
        let vectors = self.endpoint.vectors().max(1);
        let valid = shape.is_valid(&self.ram, CQE_BYTES)
            && entries <= entries_max(id)
            && head.max(tail) < entries
            && vector.is_none_or(|vector| usize::from(vector) < vectors);
        valid
            .then_some(CompletionQueue {
                shape,
                head,
                tail,
                phase,
                vector,
                posted: false,
            })
            .ok_or_else(|| damaged("a completion queue cannot be"))
    }

    fn load_submission(
        &self,
        id: usize,
        state: SubmissionState,
    ) -> Result<SubmissionQueue, RestoreError> {
        let SubmissionState {
            base,
            entries,
            head,
            tail,
            completions,
            deletion,
        } = state;
        let shape = Shape { base, entries };
        let valid = shape.is_valid(&self.ram, SQE_BYTES)
            && entries <= entries_max(id)
            && head.max(tail) < entries
            && (id != usize::from(ADMIN) || deletion.is_none());
        valid
            .then_some(SubmissionQueue {
                shape,
                head,
                tail,
                completions,
                outstanding: 0,
                deletion,
            })
            .ok_or_else(|| damaged("a submission queue cannot be"))
    }

    fn load_features(&mut self, state: FeaturesState) -> Result<(), RestoreError> {
        let FeaturesState {
            plain,
            temperatures,
            uncoalesced,
        } = state;
        let Features {
            plain: own,
            uncoalesced: vectors,
            ..
        } = &self.features;
        if plain.len() != own.len() || uncoalesced.len() != vectors.len() {
            return Err(RestoreError::Mismatch {
                name: Self::NAME,
                reason: "the controller has other features".to_owned(),
            });
        }
        let mut values = self.features.plain;
        values
            .iter_mut()
            .zip(plain)
            .for_each(|(to, from)| *to = from);
        self.features = Features {
            plain: values,
            temperatures,
            uncoalesced,
        };
        Ok(())
    }

    fn load_events(&mut self, state: EventsState) -> Result<(), RestoreError> {
        let EventsState {
            requests,
            pending,
            told,
        } = state;
        if requests.len() > EVENT_REQUESTS_MAX {
            return Err(damaged("too many wait for events"));
        }
        self.events = Events {
            requests,
            pending: ErrorEvents::from_bits_truncate(pending),
            told,
        };
        Ok(())
    }

    /// Puts requests back, and counts what is outstanding.
    fn load_requests(&mut self, requests: Vec<RequestState>) -> Result<(), RestoreError> {
        if requests.len() > IN_FLIGHT_MAX + 1 {
            return Err(damaged("too many requests in flight"));
        }
        for RequestState { command, work } in requests {
            let work = load_work(work);
            let queue = command.map(|(queue, _)| queue);
            let own = match queue {
                None => self.is_started() && work == Work::Flush,
                Some(queue) => queue != ADMIN && self.queues.submission(queue).is_some(),
            };
            if !own || !self.is_valid(&work) {
                return Err(damaged("a request in flight is not of this disk"));
            }
            queue.into_iter().for_each(|queue| self.queues.owe(queue));
            self.keep(Request {
                command,
                work,
                submitted: false,
            });
        }
        // Commands to delete queues are outstanding as well, as long as the queues' are.
        for id in 1..=IO_QUEUES {
            let queue = self.queues.submission(id);
            let Some(queue) = queue.filter(|queue| queue.deletion.is_some()) else {
                continue;
            };
            if queue.outstanding == 0 {
                return Err(damaged("a queue waits for nothing"));
            }
            self.queues.owe(ADMIN);
        }
        Ok(())
    }

    /// Whether a request could have come from a command.
    fn is_valid(&self, work: &Work) -> bool {
        let writes = !matches!(work, Work::Read { .. } | Work::Flush);
        let buffer = |buffer: &Buffer| {
            buffer.is_valid(&self.ram)
                && !buffer.is_empty()
                && buffer.len().is_multiple_of(BLOCK)
                && buffer.len() <= TRANSFER_MAX
        };
        let fits = match work {
            Work::Read { block, to: data }
            | Work::Write {
                block, from: data, ..
            } => buffer(data) && self.fits((*block, data.len() / BLOCK)),
            Work::Flush => true,
            Work::WriteZeroes { block, blocks, .. } => {
                (1..=u64::from(ZEROES_MAX)).contains(blocks) && self.fits((*block, *blocks))
            }
            Work::Deallocate(ranges) => {
                let range = |range: &Range| range.1 > 0 && self.fits(*range);
                (1..=RANGES_MAX).contains(&ranges.len()) && ranges.iter().all(range)
            }
        };
        fits && !(writes && self.config.read_only)
    }
}

/// The most entries of a queue with this identifier.
fn entries_max(id: usize) -> u16 {
    match id == usize::from(ADMIN) {
        true => ADMIN_ENTRIES_MAX,
        false => ENTRIES_MAX,
    }
}

fn save_registers(registers: Registers) -> RegistersState {
    let Registers {
        interrupt_mask,
        cc,
        csts,
        aqa,
        asq,
        acq,
    } = registers;
    RegistersState {
        interrupt_mask,
        cc: cc.0,
        csts: csts.bits(),
        aqa,
        asq,
        acq,
    }
}

fn load_registers(state: RegistersState) -> Registers {
    let RegistersState {
        interrupt_mask,
        cc,
        csts,
        aqa,
        asq,
        acq,
    } = state;
    let page = |address: u64| address & !(PAGE - 1);
    Registers {
        interrupt_mask,
        cc: Configuration::written(cc),
        csts: ControllerStatus::from_bits_truncate(csts),
        aqa: aqa & AQA_MASK,
        asq: page(asq),
        acq: page(acq),
    }
}

fn save_submission(queue: &SubmissionQueue) -> SubmissionState {
    let SubmissionQueue {
        shape: Shape { base, entries },
        head,
        tail,
        completions,
        outstanding: _,
        deletion,
    } = *queue;
    SubmissionState {
        base,
        entries,
        head,
        tail,
        completions,
        deletion,
    }
}

fn save_completion(queue: &CompletionQueue) -> CompletionState {
    let CompletionQueue {
        shape: Shape { base, entries },
        head,
        tail,
        phase,
        vector,
        posted: _,
    } = *queue;
    CompletionState {
        base,
        entries,
        head,
        tail,
        phase,
        vector,
    }
}

fn save_features(features: &Features) -> FeaturesState {
    let Features {
        plain,
        temperatures,
        uncoalesced,
    } = features;
    FeaturesState {
        plain: plain.to_vec(),
        temperatures: *temperatures,
        uncoalesced: uncoalesced.clone(),
    }
}

fn save_events(events: &Events) -> EventsState {
    let Events {
        requests,
        pending,
        told,
    } = events;
    EventsState {
        requests: requests.clone(),
        pending: pending.bits(),
        told: *told,
    }
}

fn save_request(request: &Request) -> RequestState {
    let Request {
        command,
        work,
        submitted: _,
    } = request;
    RequestState {
        command: *command,
        work: match work.clone() {
            Work::Read { block, to } => WorkState::Read { block, to },
            Work::Write {
                block,
                from,
                through,
            } => WorkState::Write {
                block,
                from,
                through,
            },
            Work::Flush => WorkState::Flush,
            Work::WriteZeroes {
                block,
                blocks,
                unmap,
                through,
            } => WorkState::WriteZeroes {
                block,
                blocks,
                unmap,
                through,
            },
            Work::Deallocate(ranges) => WorkState::Deallocate(ranges.into()),
        },
    }
}

fn load_work(state: WorkState) -> Work {
    match state {
        WorkState::Read { block, to } => Work::Read { block, to },
        WorkState::Write {
            block,
            from,
            through,
        } => Work::Write {
            block,
            from,
            through,
        },
        WorkState::Flush => Work::Flush,
        WorkState::WriteZeroes {
            block,
            blocks,
            unmap,
            through,
        } => Work::WriteZeroes {
            block,
            blocks,
            unmap,
            through,
        },
        WorkState::Deallocate(ranges) => Work::Deallocate(ranges.into()),
    }
}
