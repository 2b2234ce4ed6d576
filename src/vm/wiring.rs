//! What a machine is connected to before it is built: time, the person's console, the
//! disks, and the board's wires to the run loop.

use super::clock::{HostClock, InsnClock};
use super::error::VmError;
use super::event::{End, Event, Poster};
use super::insn::Agenda;
use super::report;
use super::shared::{Bells, Nudge, Shared};
use crate::board::{Connections, FlashBank, Slot};
use crate::config::{ClockChoice, Drive, DriveInterface, FwCfgName, MachineConfig, SlotId};
use crate::console::{Console, ConsoleEvent, Output, Policy};
use crate::disk::{Buffers, FlashFile, FlashWorker, Pooled, Worker, perform};
use isoform_core::Clock;
use isoform_devices::CharSink;
use isoform_devices::block::{BlockPort, BlockRequest, DiskConfig};
use isoform_devices::finisher;
use isoform_devices::fw_cfg::{Items, spec::key};
use isoform_devices::pflash::FlashPort;
use isoform_devices::virtio::blk::BlkConfig;
use isoform_devices::virtio::{Doorbell, rng::EntropyPort};
use isoform_disk::Image;
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
        let bells = (0..SlotId::COUNT).map(|_| Arc::default()).collect();
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
            ConsoleEvent::Balloon(memory) => Event::Balloon { memory },
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
) -> Result<Vec<(SlotId, Slot)>, VmError> {
    let mut slots = Vec::new();
    for drive in &config.drives {
        let Drive { slot, .. } = *drive;
        let image = Image::open(&drive.request)?;
        let disk = DiskConfig {
            capacity: image.sectors(),
            read_only: image.read_only(),
            serial: drive.serial.clone(),
            discard: drive.request.discard,
            preferred: image.preferred(),
        };
        let port = block_port(slot, image, time, workers)?;
        let device = match drive.interface {
            DriveInterface::Nvme => Slot::Nvme(disk, port),
            DriveInterface::Virtio => {
                let config = BlkConfig {
                    disk,
                    block_size: 512,
                    queues: config.smp as u16,
                };
                Slot::Blk(config, port)
            }
        };
        slots.push((slot, device));
    }
    Ok(slots)
}

/// Passes requests on to an image's worker or, under the instruction clock, does them.
fn block_port(
    slot: SlotId,
    mut image: Image,
    time: &Time,
    workers: &mut Vec<Worker>,
) -> Result<Box<dyn BlockPort>, VmError> {
    let post = time.post.clone();
    let done = move |id, answer| post.post(Event::Block { slot, id, answer });
    let buffers = Buffers::default();
    let own = buffers.clone();
    if time.insn.is_some() {
        let submit = move |BlockRequest { id, op }| done(id, perform(&mut image, op, &own));
        return Ok(Box::new(Pooled { submit, buffers }));
    }
    let worker = Worker::start(image, own, done)?;
    let requests = worker.requests();
    workers.push(worker);
    let submit = move |request| {
        // A worker lives as long as its machine.
        let _ = requests.send(Some(request));
    };
    Ok(Box::new(Pooled { submit, buffers }))
}

/// The flash banks, each with its worker or, under the instruction clock, its file at
/// hand.
pub(super) fn flash(
    config: &MachineConfig,
    workers: &mut Vec<FlashWorker>,
) -> Result<Vec<FlashBank>, VmError> {
    let mut banks = Vec::new();
    for spec in &config.pflash {
        let mut file = FlashFile::open(spec)?;
        let (contents, read_only) = (file.contents()?, file.read_only());
        let port: Option<Box<dyn FlashPort>> = if !file.keeps_changes() {
            None
        } else if matches!(config.clock, ClockChoice::Insn { .. }) {
            Some(Box::new(move |offset, bytes: &[u8]| {
                file.write(offset, bytes)
            }))
        } else {
            let worker = FlashWorker::start(file)?;
            let changes = worker.changes();
            workers.push(worker);
            Some(Box::new(move |offset, bytes: &[u8]| {
                changes.add(offset, bytes);
            }))
        };
        banks.push(FlashBank {
            contents,
            read_only,
            port,
        });
    }
    Ok(banks)
}

/// What firmware is handed.
fn items(config: &MachineConfig) -> Items {
    let mut items = Items::default();
    let harts = config.smp as u16;
    items.set(key::NB_CPUS, harts.to_le_bytes());
    items.set(key::MAX_CPUS, harts.to_le_bytes());
    for item in &config.fw_cfg {
        match &item.name {
            FwCfgName::Key(key) => items.set(*key, item.bytes.clone()),
            FwCfgName::File(name) => {
                // Names were checked where they were given.
                items.add_file(name, item.bytes.clone());
            }
        }
    }
    items
}

/// The last virtio-mmio slot that holds nothing; where all are taken, the first place on
/// the PCI bus.
pub(super) fn free_slot(slots: &[(SlotId, Slot)]) -> Option<SlotId> {
    SlotId::mmio()
        .rev()
        .chain(SlotId::pci())
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
    config: &MachineConfig,
    time: &Time,
    output: Option<Output>,
    slots: Vec<(SlotId, Slot)>,
    flash: Vec<FlashBank>,
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
    let doorbell = move |slot: SlotId| -> Arc<dyn Doorbell> {
        let post = doors.clone();
        let bells: Arc<Bells> = bells.get(slot.index()).cloned().unwrap_or_default();
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
        flash,
        items: items(config),
        supervised: false,
    }
}
