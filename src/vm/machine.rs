//! A machine: the board with its harts, its disks and its console, and what the VM
//! thread does for them.

use super::channel::{Channels, Failure, Full};
use super::clock::{HostClock, InsnClock};
use super::event::{End, Event, Poster};
use super::hart::{Next, Runner};
use super::insn::Agenda;
use super::report;
use super::shared::{Bells, HartSlot, Nudge, Shared, Timers, lock};
use super::watchdog::Watchdog;
use crate::board::{Board, BoardError, Connections, Slot, fdt};
use crate::boot::load::{
    Entry, FDT_ROOM, Firmware, GuestWriter, LoadError, Loaded, OutOfRam, Payload, StartMode,
};
use crate::boot::sbi::HartStatus;
use crate::config::drive::VIRTIO_SLOTS;
use crate::config::{ClockChoice, Drive, MachineConfig, Outcome};
use crate::console::{Console, ConsoleError, ConsoleEvent, Output};
use crate::disk::{DiskError, Image, Worker, perform};
use isoform_core::Clock;
use isoform_devices::CharSink;
use isoform_devices::finisher;
use isoform_devices::htif::Htif;
use isoform_devices::virtio::blk::{BlkConfig, BlockPort, BlockRequest};
use isoform_devices::virtio::{Doorbell, rng::EntropyPort};
use isoform_interp::Interp;
use isoform_memory::{Ram, WriteEpoch};
use isoform_riscv::{Cpu, CpuError, Hart, Wiring};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::time::{Duration, Instant};

/// Bytes of decoded code kept, by all harts together. With the rest of the process it
/// stays below the 40 MiB that a machine may take beside its guest's memory.
const CODE_CACHE: usize = 20 << 20;

/// Exit status of a program whose reader leaves: that of SIGPIPE, as shells say it.
const READER_LEFT: u32 = 128 + 13;

/// How long the serial port may be busy before it is tried again.
const FEED_AGAIN: Duration = Duration::from_millis(10);

/// Why a machine cannot run.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// What is to be loaded does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The serial line cannot be set up.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// No such CPU.
    #[error("--cpu: {0}")]
    Cpu(#[from] CpuError),
    /// The board cannot be built.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// No slot is left for a device that the run needs.
    #[error(
        "all {VIRTIO_SLOTS} virtio-mmio slots hold disks, and --exec needs one; use fewer --drive"
    )]
    NoSlot,
    /// The device tree cannot be made or written.
    #[error("cannot write the device tree{}: {reason}", .path.as_ref().map(|p| format!(" to {}", p.display())).unwrap_or_default())]
    DeviceTree {
        /// Where to, if to a file.
        path: Option<PathBuf>,
        /// Why not.
        reason: String,
    },
    /// The host has no thread or randomness to give.
    #[error("the host does not give what a machine needs")]
    Host(#[from] std::io::Error),
    /// The command's status never came.
    #[error(
        "the guest {0} before the command of --exec had ended; add --serial file:F to see its console"
    )]
    NoStatus(&'static str),
    /// The command's output has nowhere to go.
    #[error("the command's {stream} cannot be written: {error}")]
    Output {
        /// Standard output or standard error.
        stream: &'static str,
        /// What the host said.
        error: std::io::Error,
    },
    /// The run ended by a fault of ours.
    #[error("the machine stopped: {0}; this is a fault of isoform, please report it")]
    Broken(String),
}

/// A machine.
pub(super) struct Machine {
    pub(super) config: MachineConfig,
    pub(super) clock: Arc<dyn Clock>,
    /// The instruction clock and what happens when, where it is used.
    pub(super) insn: Option<(Arc<InsnClock>, Arc<Agenda>)>,
    pub(super) events: Receiver<Event>,
    pub(super) board: Board,
    pub(super) shared: Arc<Shared>,
    pub(super) runners: Vec<Runner>,
    pub(super) started: Instant,
    timers: Arc<Timers>,
    nudge: Arc<Nudge>,
    /// By slot.
    bells: Vec<Arc<Bells>>,
    cpu: Cpu,
    console: Option<Console>,
    /// Input that the serial port had no room for.
    input: VecDeque<u8>,
    /// The serial port was busy when it was to be fed.
    feeds_again: bool,
    channels: Option<Channels>,
    /// The kernel's `rng-seed` and `kaslr-seed`.
    random: ChaCha12Rng,
    /// They finish their work when the machine is dropped.
    _workers: Vec<Worker>,
    _watchdog: Option<Watchdog>,
}

impl Machine {
    /// Builds a machine. Nothing is loaded yet.
    pub(super) fn new(config: MachineConfig, payload: &Payload) -> Result<Self, VmError> {
        let features = config
            .cpu
            .features
            .iter()
            .map(|(name, on)| (name.as_str(), *on));
        let cpu = Cpu::with(features)?;
        let (sender, events) = channel();
        let time = Time::new(&config, &sender);
        let mut random = random(config.clock)?;
        let harts = config.smp as usize;
        let timers = Arc::new(Timers::new(harts, time.nudge.clone()));

        // The monitor's `info` is asked for before there is a machine to tell of.
        let info = Arc::new(OnceLock::new());
        let dumps = config.dump_dtb.is_some();
        let console = if dumps {
            None
        } else {
            Some(open_console(&config, &sender, info.clone())?)
        };
        let output = console.as_ref().map(Console::output);

        let watchdog = config
            .timeout
            .map(|t| Watchdog::start(t, &sender, output.clone()));
        let watchdog = watchdog.transpose()?;

        let mut workers = Vec::new();
        let mut slots = disks(&config, &time, &mut workers)?;
        let channels = match config.exec {
            Some(_) => {
                let slot = free_slot(&slots).ok_or(VmError::NoSlot)?;
                let full = if time.insn.is_some() {
                    Full::Grow
                } else {
                    Full::Refuse
                };
                let (channels, ports) = Channels::open(slot, &time.post, full)?;
                slots.push((slot, Slot::Console(ports)));
                Some(channels)
            }
            None => None,
        };
        if let Some(slot) = free_slot(&slots) {
            let stream = ChaCha12Rng::from_rng(&mut random);
            slots.push((slot, Slot::Rng(entropy(stream))));
        }
        let board = Board::new(&config, connections(&time, output, slots))?;
        let shared = Arc::new(Shared {
            lines: board.lines.clone(),
            slots: (0..harts).map(|_| Mutex::new(stopped())).collect(),
            post: time.post.clone(),
            uart: board.uart.clone(),
            ending: AtomicBool::new(false),
        });
        let _ = info.set((shared.clone(), board.bus.clone()));
        let runners = harts_of(payload.start_mode(), cpu, &board, &timers, &shared);
        let Time {
            clock,
            insn,
            nudge,
            bells,
            ..
        } = time;
        Ok(Self {
            config,
            clock,
            insn,
            events,
            board,
            shared,
            runners,
            started: Instant::now(),
            timers,
            nudge,
            bells,
            cpu,
            console,
            input: VecDeque::new(),
            feeds_again: false,
            channels,
            random,
            _workers: workers,
            _watchdog: watchdog,
        })
    }

    /// Loads everything and points the harts at it.
    pub(super) fn start(&mut self, payload: &Payload) -> Result<(), VmError> {
        let loaded = payload.load(&mut Writer(self.board.ram()))?;
        let tree = self.device_tree(payload, &loaded)?;
        let too_large = || VmError::DeviceTree {
            path: None,
            reason: "it is too large".into(),
        };
        if tree.len() as u64 > FDT_ROOM - INFO_ROOM {
            return Err(too_large());
        }
        self.board
            .ram()
            .write(loaded.fdt, &tree)
            .ok_or_else(too_large)?;
        let first = loaded.firmware.as_ref().or(loaded.program.as_ref());
        let Some(first) = first else {
            return Err(VmError::Broken("nothing was loaded".into()));
        };
        let htif = [&loaded.program, &loaded.firmware]
            .into_iter()
            .flatten()
            .find_map(|e| e.htif);
        let htif = htif.map(|h| Arc::new(Mutex::new(Htif::new(h.tohost, h.fromhost))));
        let info = loaded.fdt + FDT_ROOM - INFO_ROOM;
        let next = loaded
            .program
            .as_ref()
            .filter(|_| loaded.firmware.is_some());
        let described = self.board.ram().write(info, &firmware_info(next));
        described.ok_or_else(too_large)?;
        self.shared.ending.store(false, Ordering::SeqCst);
        for runner in &mut self.runners {
            runner.set_htif(htif.clone());
            let id = runner.hart.id();
            let bare = matches!(payload.firmware, Firmware::None);
            runner.hart.offer_semihosting(bare);
            let mut status = HartStatus::Started;
            match payload.start_mode() {
                StartMode::Machine => {
                    runner.hart.reset(first.pc);
                    let x = &mut runner.hart.state.x;
                    (x[10], x[11], x[12]) = (id as u64, loaded.fdt, info);
                }
                StartMode::Supervisor if id == 0 => {
                    runner.hart.setup_supervisor(first.pc, 0, loaded.fdt);
                }
                StartMode::Supervisor => {
                    runner.hart.reset(first.pc);
                    status = HartStatus::Stopped;
                }
            }
            runner.next = Next::Run;
            *lock(&self.shared.slots[id]) = HartSlot {
                status,
                ..stopped()
            };
        }
        Ok(())
    }

    /// Back to power-on: memory empty, devices reset. [`Machine::start`] follows.
    pub(super) fn reset(&mut self) {
        if let Err(e) = self.board.ram().clear() {
            // The loader writes over what matters; the rest keeps its old content, as
            // memory does on a warm reset.
            log::warn!("{e}");
        }
        self.board.devices.iter().for_each(|d| lock(&**d).reset());
        if let Some((_, agenda)) = self.insn.clone() {
            for event in agenda.clear() {
                if matches!(event, Event::Block { .. }) {
                    self.handle(event);
                }
            }
        }
        self.bells.iter().for_each(|bells| bells.clear());
        self.nudge.heard();
        // What was on its way belongs to the machine before; what the person wants does
        // not.
        let mut wanted = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Input(bytes) => self.input.extend(bytes),
                // The disk forgets the request, but must hear that it was answered.
                Event::Block { .. } => drop(self.handle(event)),
                Event::End(End::Quit | End::Restart | End::Timeout) => wanted.push(event),
                _ => {}
            }
        }
        wanted
            .into_iter()
            .for_each(|event| self.shared.post.post(event));
        self.feed();
    }

    /// The tree that the guest gets.
    fn device_tree(&mut self, payload: &Payload, loaded: &Loaded) -> Result<Vec<u8>, VmError> {
        if let Some(tree) = &payload.dtb {
            return Ok(tree.clone());
        }
        let mut seed = [0; 64];
        self.random.fill_bytes(&mut seed);
        let facts = fdt::Facts {
            memory: self.config.memory,
            harts: self.runners.len(),
            cpu: &self.cpu,
            bootargs: self.config.append.as_deref().unwrap_or(""),
            initrd: loaded.initrd.clone(),
            seed: &seed,
        };
        let failed = |e: vm_fdt::Error| VmError::DeviceTree {
            path: None,
            reason: e.to_string(),
        };
        fdt::write(&facts).map_err(failed)
    }

    /// Writes the device tree where `--dump-dtb` says.
    pub(super) fn dump_device_tree(&mut self, payload: &Payload) -> Result<bool, VmError> {
        let Some(path) = self.config.dump_dtb.clone() else {
            return Ok(false);
        };
        let loaded = payload.load(&mut Writer(self.board.ram()))?;
        let tree = self.device_tree(payload, &loaded)?;
        let failed = |e: std::io::Error| VmError::DeviceTree {
            path: Some(path.clone()),
            reason: e.to_string(),
        };
        std::fs::write(&path, tree).map_err(failed)?;
        Ok(true)
    }

    /// How a power-off counts: under `--exec` it must come after the status.
    pub(super) fn powered_off(&self) -> Result<Outcome, VmError> {
        match &self.channels {
            None => Ok(Outcome::PowerOff),
            Some(channels) => channels
                .status()
                .map(Outcome::Exit)
                .ok_or(VmError::NoStatus("powered off")),
        }
    }

    /// Writes out what is pending, and gives the terminal back. What became of the
    /// run may change by it: output that was lost is no success.
    pub(super) fn finish(&mut self, outcome: Result<Outcome, VmError>) -> Result<Outcome, VmError> {
        self.console = None;
        let stopped = !matches!(outcome, Ok(Outcome::Exit(_)));
        let finished = self.channels.as_ref().map_or(Ok(()), |c| c.finish(stopped));
        match finished {
            Err(_) if outcome.is_err() => outcome,
            Ok(()) => outcome,
            Err(Failure::ReaderLeft) => Ok(Outcome::Exit(READER_LEFT)),
            Err(Failure::Write { stream, error }) => Err(VmError::Output {
                stream,
                error: error.into(),
            }),
        }
    }

    /// Whether the machine is to stand still until its output is written.
    pub(super) fn is_behind(&self) -> bool {
        self.insn.is_some() && self.channels.as_ref().is_some_and(Channels::is_behind)
    }

    /// The VM thread is awake: it looks at deadlines before it sleeps again.
    pub(super) fn wakes(&self) {
        self.nudge.heard();
        self.timers.sleeps_until(None);
    }

    /// The VM thread sleeps until then, unless an event comes.
    pub(super) fn sleeps_until(&self, deadline: Option<u64>) {
        self.timers.sleeps_until(deadline);
    }

    /// How long to wait before the serial port is to be fed again, if at all.
    pub(super) fn feeds_again(&self) -> Option<Duration> {
        self.feeds_again.then_some(FEED_AGAIN)
    }

    /// Has devices and harts look at the time.
    pub(super) fn expire(&mut self) {
        self.board
            .timed
            .iter()
            .for_each(|device| lock(&**device).expire());
        self.timers.fire(self.clock.now(), &self.board.lines);
    }

    /// When to call [`Machine::expire`] next.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let devices = self
            .board
            .timed
            .iter()
            .filter_map(|d| lock(&**d).deadline());
        devices.chain(self.timers.earliest()).min()
    }

    /// Does what an event asks; the end of the run, if it is that.
    pub(super) fn handle(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Doorbell { slot, queue } => {
                if let Some(bells) = self.bells.get(slot) {
                    bells.heard(queue);
                }
                if let Some((_, device)) = self.board.slots.iter().find(|(n, _)| *n == slot) {
                    lock(&**device).process(queue);
                }
            }
            Event::Block { slot, id, answer } => {
                if let Some((_, disk)) = self.board.disks.iter().find(|(n, _)| *n == slot) {
                    lock(disk).complete(id, answer);
                }
            }
            Event::OutputRoom { slot, port } => {
                if let Some((_, console)) = self.board.consoles.iter().find(|(n, _)| *n == slot) {
                    lock(console).output_room(port);
                }
            }
            Event::Input(bytes) => {
                self.input.extend(bytes);
                self.feed();
            }
            Event::InputRoom => self.feed(),
            Event::Deadline => {}
            Event::End(end) => return Some(end),
        }
        None
    }

    /// Gives the serial port what input it takes.
    pub(super) fn feed(&mut self) {
        // A hart may hold the port while it waits for a slow reader; the VM thread must
        // not wait for that.
        self.feeds_again = false;
        let mut uart = match self.board.uart.try_lock() {
            Ok(uart) => uart,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.feeds_again = !self.input.is_empty();
                return;
            }
        };
        if !uart.is_listening() {
            // Otherwise the guest's set-up of the port would eat the beginning.
            uart.await_listener();
            return;
        }
        let taken = uart.receive(self.input.make_contiguous());
        drop(uart);
        self.input.drain(..taken);
        if let Some(console) = &self.console {
            console.consumed(taken);
        }
    }
}

/// Time, and who hears of events, under either clock.
struct Time {
    clock: Arc<dyn Clock>,
    insn: Option<(Arc<InsnClock>, Arc<Agenda>)>,
    post: Poster,
    nudge: Arc<Nudge>,
    bells: Vec<Arc<Bells>>,
}

impl Time {
    fn new(config: &MachineConfig, sender: &Sender<Event>) -> Self {
        let bells = (0..VIRTIO_SLOTS).map(|_| Arc::default()).collect();
        match config.clock {
            ClockChoice::Host => {
                let post: Poster = Arc::new(sender.clone());
                let nudge = Arc::new(Nudge::new(Some(post.clone())));
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
                let nudge = Arc::new(Nudge::new(None));
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

fn random(clock: ClockChoice) -> Result<ChaCha12Rng, VmError> {
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

fn entropy(mut stream: ChaCha12Rng) -> Box<dyn EntropyPort> {
    Box::new(move |bytes: &mut [u8]| stream.fill_bytes(bytes))
}

/// What the monitor's `info` tells of, once it exists.
type Told = Arc<OnceLock<(Arc<Shared>, Arc<isoform_memory::Bus>)>>;

fn open_console(
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
    Ok(Console::open(&config.serial, events, info)?)
}

/// The disks' slots, each with its worker or, under the instruction clock, its image
/// at hand.
fn disks(
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

/// The last slot that holds nothing.
fn free_slot(slots: &[(usize, Slot)]) -> Option<usize> {
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
        if let Some(output) = &self.output {
            output.write(bytes);
        }
        bytes.len()
    }

    fn input_room(&mut self) {
        self.post.post(Event::InputRoom);
    }
}

fn connections(time: &Time, output: Option<Output>, slots: Vec<(usize, Slot)>) -> Connections {
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

fn harts_of(
    mode: StartMode,
    cpu: Cpu,
    board: &Board,
    timers: &Arc<Timers>,
    shared: &Arc<Shared>,
) -> Vec<Runner> {
    let epoch = Arc::new(WriteEpoch::new(
        board.lines.iter().map(|l| l.attention().clone()),
    ));
    let share = CODE_CACHE / board.lines.len().max(1);
    let runner = |(id, lines): (usize, &Arc<isoform_riscv::Lines>)| {
        let wiring = Wiring {
            bus: board.bus.clone(),
            lines: lines.clone(),
            timebase: board.timebase.clone(),
            timers: timers.clone(),
            epoch: epoch.clone(),
            firmware: mode == StartMode::Supervisor,
        };
        Runner::new(
            Hart::new(id, cpu, 0, wiring),
            Interp::new(share),
            shared.clone(),
        )
    };
    board.lines.iter().enumerate().map(runner).collect()
}

fn stopped() -> HartSlot {
    HartSlot {
        status: HartStatus::Stopped,
        start: None,
        view: None,
    }
}

/// Room behind the device tree for what firmware is told.
const INFO_ROOM: u64 = 4096;

/// `struct fw_dynamic_info` (OpenSBI, "Firmware with Dynamic Information"): where the
/// next stage starts, in S mode.
fn firmware_info(next: Option<&Entry>) -> Vec<u8> {
    const MAGIC: u64 = 0x4942_534f;
    const VERSION: u64 = 2;
    const NEXT_MODE_S: u64 = 1;
    const BOOT_HART: u64 = 0;
    let words = [
        MAGIC,
        VERSION,
        next.map_or(0, |e| e.pc),
        NEXT_MODE_S,
        0,
        BOOT_HART,
    ];
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Guest RAM, as the loader writes it.
struct Writer<'a>(&'a Ram);

impl GuestWriter for Writer<'_> {
    fn ram(&self) -> Range<u64> {
        self.0.base()..self.0.base() + self.0.size()
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), OutOfRam> {
        self.0.write(addr, bytes).ok_or(OutOfRam {
            addr,
            len: bytes.len() as u64,
        })
    }

    fn zero(&mut self, addr: u64, len: u64) -> Result<(), OutOfRam> {
        // RAM is zero before anything is loaded, at power-on as after a reset.
        let ram = self.ram();
        let end = addr
            .checked_add(len)
            .filter(|end| addr >= ram.start && *end <= ram.end);
        end.map(|_| ()).ok_or(OutOfRam { addr, len })
    }
}
