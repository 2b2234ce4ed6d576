//! A machine: the board with its harts, its disks and its console, and what the VM
//! thread does for them.

use super::channel::{Channels, Failure, Full};
use super::clock::InsnClock;
use super::error::VmError;
use super::event::{End, Event};
use super::form;
use super::hart::{Next, Runner};
use super::insn::Agenda;
use super::network::{self, Network};
use super::perf_map;
use super::shared::{Bells, HartSlot, Nudge, Shared, Timers, lock};
use super::sharing::shares;
use super::vsock;
use super::watchdog::Watchdog;
use super::wiring::{Time, connections, disks, entropy, flash, free_slot, open_console, random};
use crate::board::{Board, Connections, Slot, fdt};
use crate::boot::load::{
    Entry, FDT_ROOM, Firmware, GuestWriter, Loaded, OutOfRam, Payload, StartMode,
};
use crate::boot::sbi::HartStatus;
use crate::config::{Aia, MachineConfig, Outcome};
use crate::console::Console;
use crate::disk::{FlashWorker, Worker};
use isoform_core::Clock;
use isoform_cranelift::Translator;
use isoform_devices::htif::Htif;
use isoform_devices::virtio::balloon::spec::PAGE_BYTES;
use isoform_memory::{Ram, WriteEpoch};
use isoform_riscv::{Cpu, Hart, Wiring};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

/// Exit status of a program whose reader leaves: that of SIGPIPE, as shells say it.
const READER_LEFT: u32 = 128 + 13;

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
    /// By the slot's index.
    bells: Vec<Arc<Bells>>,
    cpu: Cpu,
    console: Option<Console>,
    /// The host interface of the program that runs, if it has one.
    htif: Option<Arc<Mutex<Htif>>>,
    /// Input that nobody in the machine had room for.
    input: VecDeque<u8>,
    channels: Option<Channels>,
    /// The kernel's `rng-seed` and `kaslr-seed`.
    random: ChaCha12Rng,
    /// What makes host code of the guest's.
    pub(super) translator: Option<Arc<Translator<Hart>>>,
    /// They finish their work when the machine is dropped.
    _workers: (Vec<Worker>, Vec<FlashWorker>),
    /// They end with the machine.
    _networks: Vec<Network>,
    _sockets: Option<isoform_net::vsock::Vsock>,
    _shares: Vec<isoform_share::Workers>,
    _watchdog: Option<Watchdog>,
}

impl Machine {
    /// Builds a machine. Nothing is loaded yet.
    pub(super) fn new(config: MachineConfig, payload: &Payload) -> Result<Self, VmError> {
        Self::in_form(config, payload, form::form)
    }

    /// Builds a machine whose harts run on what `new_form` makes, of a translator if
    /// there is one, for hart `id` of so many.
    pub(super) fn in_form(
        config: MachineConfig,
        payload: &Payload,
        new_form: impl Fn(Option<&Arc<Translator<Hart>>>, usize, usize) -> form::Form,
    ) -> Result<Self, VmError> {
        let features = config
            .cpu
            .features
            .iter()
            .map(|(name, on)| (name.as_str(), *on));
        let cpu = match config.machine.aia {
            Aia::None => Cpu::with(features)?,
            Aia::AplicImsic => Cpu::with(features)?.with_imsic(),
        };
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
        let mut servers = Vec::new();
        shares(&config, &time, &mut slots, &mut servers)?;
        let channels = match config.exec {
            Some(_) => {
                let slot = free_slot(&slots).ok_or(VmError::NoSlot("--exec"))?;
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
        let mut networks = Vec::new();
        // A tree that is only written down needs no network behind its cards.
        for card in config.cards.iter().filter(|_| !dumps) {
            let slot = free_slot(&slots).ok_or(VmError::NoSlot("--net"))?;
            let (port, network) = Network::plug(card, slot, &sender)?;
            networks.push(network);
            slots.push((slot, Slot::Net(network::config(card), port)));
        }
        let mut sockets = None;
        // Nor are there sockets.
        if let Some(wanted) = config.vsock.as_ref().filter(|_| !dumps) {
            let slot = free_slot(&slots).ok_or(VmError::NoSlot("--vsock"))?;
            let (port, host) = vsock::connect(wanted, slot, &sender)?;
            sockets = Some(host);
            slots.push((slot, Slot::Vsock(wanted.cid, port)));
        }
        if let Some(slot) = free_slot(&slots) {
            let stream = ChaCha12Rng::from_rng(&mut random);
            slots.push((slot, Slot::Rng(entropy(stream))));
        }
        if config.balloon
            && let Some(slot) = free_slot(&slots)
        {
            slots.push((slot, Slot::Balloon));
        }
        let mut flash_workers = Vec::new();
        let flash = flash(&config, &mut flash_workers)?;
        let connections = Connections {
            supervised: payload.start_mode() == StartMode::Supervisor,
            ..connections(&config, &time, output, slots, flash)
        };
        let board = Board::new(&config, connections)?;
        let shared = Arc::new(Shared {
            lines: board.lines.clone(),
            slots: (0..harts).map(|_| Mutex::new(stopped())).collect(),
            post: time.post.clone(),
            uart: board.uart.clone(),
            ending: AtomicBool::new(false),
        });
        let _ = info.set((shared.clone(), board.bus.clone()));
        let translator = form::translator(&config, &board.lines)?;
        if let Some(translator) = translator.as_ref().filter(|_| config.perf_map) {
            let ram = Writer(board.ram()).ram();
            perf_map::start(translator, payload, ram)?;
        }
        let new_form = |id| new_form(translator.as_ref(), id, harts);
        let runners = harts_of(
            payload.start_mode(),
            cpu,
            &board,
            &timers,
            &shared,
            new_form,
        );
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
            htif: None,
            input: VecDeque::new(),
            channels,
            random,
            translator,
            _workers: (workers, flash_workers),
            _networks: networks,
            _sockets: sockets,
            _shares: servers,
            _watchdog: watchdog,
        })
    }

    /// Instructions that all harts have attempted since the machine was started.
    pub(super) fn instructions(&self) -> u64 {
        self.runners.iter().map(|r| r.hart.state.icount).sum()
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
        self.htif = htif.map(|h| Arc::new(Mutex::new(Htif::new(h.tohost, h.fromhost))));
        let info = loaded.fdt + FDT_ROOM - INFO_ROOM;
        let next = loaded
            .program
            .as_ref()
            .filter(|_| loaded.firmware.is_some());
        let described = self.board.ram().write(info, &firmware_info(next));
        described.ok_or_else(too_large)?;
        self.shared.ending.store(false, Ordering::SeqCst);
        for runner in &mut self.runners {
            runner.set_htif(self.htif.clone());
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
        self.htif = None;
        if let Some((_, agenda)) = self.insn.clone() {
            for event in agenda.clear() {
                if matches!(event, Event::Block { .. } | Event::Share { .. }) {
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
                // The device forgets the request, but must hear that it was answered.
                Event::Block { .. } | Event::Share { .. } => drop(self.handle(event)),
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
            aia: self.config.machine.aia,
            supervised: payload.start_mode() == StartMode::Supervisor,
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
        if let Some(console) = self.console.take() {
            console.output().take_all();
            lock(&self.board.uart).output_room();
        }
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
        let console = || {
            self.console
                .as_ref()
                .is_some_and(|c| c.output().is_behind())
        };
        let channels = || self.channels.as_ref().is_some_and(Channels::is_behind);
        self.insn.is_some() && (console() || channels())
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
                if let Some(bells) = self.bells.get(slot.index()) {
                    bells.heard(queue);
                }
                if let Some((_, device)) = self.board.virtio.slots.iter().find(|(n, _)| *n == slot)
                {
                    lock(&**device).process(queue);
                }
            }
            Event::Block { slot, id, answer } => {
                if let Some((_, disk)) = self.board.virtio.disks.iter().find(|(n, _)| *n == slot) {
                    lock(disk).complete(id, answer);
                }
            }
            Event::Share { slot, id, answer } => {
                if let Some((_, share)) = self.board.virtio.shares.iter().find(|(n, _)| *n == slot)
                {
                    lock(share).complete(id, &answer);
                }
            }
            Event::OutputRoom { slot, port } => {
                if let Some((_, console)) =
                    self.board.virtio.consoles.iter().find(|(n, _)| *n == slot)
                {
                    lock(console).output_room(port);
                }
            }
            Event::Balloon { memory } => self.inflate(memory),
            Event::Packets { slot } => {
                let mut cables = self.board.virtio.cables.iter();
                if let Some((_, device)) = cables.find(|(n, _)| *n == slot) {
                    lock(device).look();
                }
            }
            Event::Input(bytes) => {
                self.input.extend(bytes);
                self.feed();
            }
            Event::InputRoom => self.feed(),
            Event::SerialRoom => lock(&self.board.uart).output_room(),
            Event::Deadline => {}
            Event::End(end) => return Some(end),
        }
        None
    }

    /// Asks the guest to do with so many bytes.
    fn inflate(&self, memory: u64) {
        let pages = self.config.memory.saturating_sub(memory) / PAGE_BYTES;
        for (_, balloon) in &self.board.virtio.balloons {
            lock(balloon).ask(u32::try_from(pages).unwrap_or(u32::MAX));
        }
    }

    /// Gives the machine what input it takes: a program that reads through its host
    /// interface is asking for it, and so comes first.
    pub(super) fn feed(&mut self) {
        self.feed_htif();
        self.feed_uart();
    }

    fn feed_htif(&mut self) {
        if let Some(htif) = &self.htif {
            let input = self.input.make_contiguous();
            let taken = lock(htif).receive(self.board.ram(), input);
            self.consumed(taken);
        }
    }

    fn feed_uart(&mut self) {
        let mut uart = lock(&self.board.uart);
        if !uart.is_listening() {
            // Otherwise the guest's set-up of the port would eat the beginning.
            uart.await_listener();
            return;
        }
        let taken = uart.receive(self.input.make_contiguous());
        drop(uart);
        self.consumed(taken);
    }

    /// The machine has taken input.
    fn consumed(&mut self, taken: usize) {
        self.input.drain(..taken);
        if let Some(console) = &self.console {
            console.consumed(taken);
        }
    }
}

fn harts_of(
    mode: StartMode,
    cpu: Cpu,
    board: &Board,
    timers: &Arc<Timers>,
    shared: &Arc<Shared>,
    form: impl Fn(usize) -> form::Form,
) -> Vec<Runner> {
    let epoch = Arc::new(WriteEpoch::new(
        board.lines.iter().map(|l| l.attention().clone()),
    ));
    let runner = |(id, lines): (usize, &Arc<isoform_riscv::Lines>)| {
        let wiring = Wiring {
            bus: board.bus.clone(),
            lines: lines.clone(),
            timebase: board.timebase.clone(),
            timers: timers.clone(),
            epoch: epoch.clone(),
            firmware: mode == StartMode::Supervisor,
        };
        Runner::new(Hart::new(id, cpu, 0, wiring), form(id), shared.clone())
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
