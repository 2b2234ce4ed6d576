//! What a machine is connected to before it is built: time, the person's console, the
//! disks, and the board's wires to the run loop.

use super::clock::{HostClock, InsnClock};
use super::error::VmError;
use super::event::{End, Event, Poster};
use super::insn::Agenda;
use super::report;
use super::shared::{Bells, Nudge, Shared};
use crate::board::{Connections, Slot};
use crate::config::drive::VIRTIO_SLOTS;
use crate::config::{ClockChoice, Drive, MachineConfig};
use crate::console::{Console, ConsoleEvent, Output, Policy};
use crate::disk::{Image, Worker, perform};
use isoform_core::Clock;
use isoform_devices::CharSink;
use isoform_devices::finisher;
use isoform_devices::virtio::blk::{BlkConfig, BlockPort, BlockRequest};
use isoform_devices::virtio::p9::{P9Port, P9Request};
use isoform_devices::virtio::{Doorbell, rng::EntropyPort};
use isoform_share::{Access, Job, Share, Workers, raise_descriptor_limit};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

/// Time, and who hears of events, under either clock.
pub(super) struct Time {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) insn: Option<(Arc<InsnClock>, Arc<Agenda>)>,
    pub(super) post: Poster,
    pub(super) nudge: Arc<Nudge>,
    pub(super) bells: Vec<Arc<Bells>>,
}

impl Time {
    pub(super) fn new(config: &MachineConfig, sender: &Sender<Event>) -> Self {
        let bells = (0..VIRTIO_SLOTS).map(|_| Arc::default()).collect();
        match config.clock {
            ClockChoice::Host => {
                let post: Poster = Arc::new(sender.clone());
                let nudge = Arc::new(Nudge::new(post.clone()));
                Self {
                    clock: Arc::new(HostClock::new()),
                    insn: None,
                    post,
                    nudge,
                    bells,
                }
            }
            ClockChoice::Insn { .. } => {
                let clock = Arc::new(InsnClock::default());
                let agenda = Arc::new(Agenda::new(clock.clone()));
                let nudge = Arc::new(Nudge::new(agenda.clone()));
                let insn = Some((clock.clone(), agenda.clone()));
                Self {
                    clock,
                    insn,
                    post: agenda,
                    nudge,
                    bells,
                }
            }
        }
    }
}

pub(super) fn random(clock: ClockChoice) -> Result<ChaCha12Rng, VmError> {
    match clock {
        ClockChoice::Insn { seed } => Ok(ChaCha12Rng::seed_from_u64(seed)),
        ClockChoice::Host => {
            let mut seed = [0; 32];
            let source = std::fs::File::open("/dev/urandom");
            source.and_then(|mut f| std::io::Read::read_exact(&mut f, &mut seed))?;
            Ok(ChaCha12Rng::from_seed(seed))
        }
    }
}

pub(super) fn entropy(mut stream: ChaCha12Rng) -> Box<dyn EntropyPort> {
    Box::new(move |bytes: &mut [u8]| stream.fill_bytes(bytes))
}

/// What the monitor's `info` tells of, once it exists.
pub(super) type Told = Arc<OnceLock<(Arc<Shared>, Arc<isoform_memory::Bus>)>>;

pub(super) fn open_console(
    config: &MachineConfig,
    sender: &Sender<Event>,
    told: Told,
) -> Result<Console, VmError> {
    let sender = sender.clone();
    let events = move |event| {
        let event = match event {
            ConsoleEvent::Bytes(bytes) => Event::Input(bytes),
            ConsoleEvent::Reset => Event::End(End::Restart),
            ConsoleEvent::Quit => Event::End(End::Quit),
            ConsoleEvent::OutputRoom => Event::SerialRoom,
            // The guest goes on without input.
            ConsoleEvent::Eof => return,
        };
        // Nobody listens any more once the machine has ended.
        let _ = sender.send(event);
    };
    let info = move || match told.get() {
        Some((shared, bus)) => report::info(shared, bus),
        None => "the machine is being built".to_string(),
    };
    let full = match config.clock {
        ClockChoice::Host => Policy::Refuse,
        // A reader's pace is no input: the machine stands still meanwhile.
        ClockChoice::Insn { .. } => Policy::Grow,
    };
    Ok(Console::open(&config.serial, full, events, info)?)
}

/// The disks' slots, each with its worker or, under the instruction clock, its image
/// at hand.
pub(super) fn disks(
    config: &MachineConfig,
    time: &Time,
    workers: &mut Vec<Worker>,
) -> Result<Vec<(usize, Slot)>, VmError> {
    let mut slots = Vec::new();
    for drive in &config.drives {
        let Drive { slot, .. } = *drive;
        let mut image = Image::open(drive)?;
        let blk = BlkConfig {
            capacity: image.sectors(),
            read_only: image.read_only(),
            block_size: 512,
            serial: format!("isoform{slot}"),
        };
        let post = time.post.clone();
        let port: Box<dyn BlockPort> = if time.insn.is_some() {
            Box::new(move |BlockRequest { id, op }| {
                let answer = perform(&mut image, op);
                post.post(Event::Block { slot, id, answer });
            })
        } else {
            let done = move |id, answer| post.post(Event::Block { slot, id, answer });
            let worker = Worker::start(image, done)?;
            let requests = worker.requests();
            workers.push(worker);
            Box::new(move |request| {
                // A worker lives as long as its machine.
                let _ = requests.send(Some(request));
            })
        };
        slots.push((slot, Slot::Blk(blk, port)));
    }
    Ok(slots)
}

/// Puts the shared folders into slots, each with its file server: threads of its own or,
/// under the instruction clock, at hand.
pub(super) fn shares(
    config: &MachineConfig,
    time: &Time,
    slots: &mut Vec<(usize, Slot)>,
    servers: &mut Vec<Workers>,
) -> Result<(), VmError> {
    if !config.shares.is_empty() {
        raise_descriptor_limit();
    }
    for wanted in &config.shares {
        let slot = free_slot(slots).ok_or(VmError::NoSlot("--share"))?;
        let access = match wanted.readonly {
            true => Access::ReadOnly,
            false => Access::Full,
        };
        let share = Share::open(&wanted.folder, access, config.shares.len())?;
        let post = time.post.clone();
        let answered = move |id, answer| post.post(Event::Share { slot, id, answer });
        let port: Box<dyn P9Port> = if time.insn.is_some() {
            Box::new(move |P9Request { id, message, room }| {
                answered(id, share.answer(&message, room));
            })
        } else {
            let workers = Workers::start(share, answered)?;
            let submitter = workers.submitter();
            servers.push(workers);
            Box::new(move |P9Request { id, message, room }| {
                submitter.submit(Job {
                    id,
                    request: message,
                    room,
                });
            })
        };
        slots.push((slot, Slot::P9(wanted.tag.clone(), port)));
    }
    Ok(())
}

/// The last slot that holds nothing.
pub(super) fn free_slot(slots: &[(usize, Slot)]) -> Option<usize> {
    (0..VIRTIO_SLOTS)
        .rev()
        .find(|n| slots.iter().all(|(used, _)| used != n))
}

/// The serial line's way out.
struct Serial {
    output: Option<Output>,
    post: Poster,
}

impl CharSink for Serial {
    fn write(&mut self, bytes: &[u8]) -> usize {
        match &self.output {
            Some(output) => output.write(bytes),
            None => bytes.len(),
        }
    }

    fn input_room(&mut self) {
        self.post.post(Event::InputRoom);
    }
}

pub(super) fn connections(
    time: &Time,
    output: Option<Output>,
    slots: Vec<(usize, Slot)>,
) -> Connections {
    let post = time.post.clone();
    let outcome = move |outcome| {
        let end = match outcome {
            finisher::Outcome::Pass => End::PowerOff,
            finisher::Outcome::Fail(code) => End::Exit(code.into()),
            finisher::Outcome::Reset => End::Reset,
        };
        post.post(Event::End(end));
    };
    let (doors, bells, nudge) = (time.post.clone(), time.bells.clone(), time.nudge.clone());
    let doorbell = move |slot| -> Arc<dyn Doorbell> {
        let post = doors.clone();
        let bells: Arc<Bells> = bells.get(slot).cloned().unwrap_or_default();
        Arc::new(move |queue| {
            if bells.ring(queue) {
                post.post(Event::Doorbell { slot, queue });
            }
        })
    };
    Connections {
        clock: time.clock.clone(),
        serial: Box::new(Serial {
            output,
            post: time.post.clone(),
        }),
        outcome: Box::new(outcome),
        deadline_changed: Arc::new(move || nudge.send()),
        doorbell: Box::new(doorbell),
        slots,
    }
}
