//! A machine for comparisons: the `virt` board with its harts on one thread, in turns
//! of fixed length, under a clock that instructions move.
//!
//! All that is visible to the guest follows from the program and the turns: whatever
//! happens between harts, timers and the host happens between turns.

use isoform::board::{Board, Connections};
use isoform::boot::load::{Firmware, GuestWriter, OutOfRam, Payload, detect_path};
use isoform::config::MachineConfig;
use isoform_core::{Clock, Exit, Requests, Saved};
use isoform_devices::finisher::Outcome;
use isoform_devices::htif::{Htif, HtifEvent};
use isoform_memory::Ram;
use isoform_riscv::{Cpu, Hart, SavedHart, TimerService, Wiring};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A way to execute guest code: what is compared.
pub(crate) trait Form {
    /// Runs at most `budget` instructions, those that trap counted. Gives
    /// [`Exit::Budget`] where it ran them all. A turn is made of one or more calls.
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit;
}

/// Makes the form for each hart of a machine.
pub(crate) type Forms<'a> = &'a dyn Fn(usize) -> Box<dyn Form>;

/// Memory, which is hashed as a whole in the end.
const MEMORY: u64 = 8 << 20;
const NEVER: u64 = u64::MAX;

/// A nanosecond for each instruction.
#[derive(Default)]
struct InsnClock(AtomicU64);

impl Clock for InsnClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn epoch(&self) -> u64 {
        1_767_225_600
    }
    fn advance(&self, instructions: u64) {
        self.0.fetch_add(instructions, Ordering::Relaxed);
    }
}

/// When each hart wants to be woken.
struct Deadlines(Vec<AtomicU64>);

impl TimerService for Deadlines {
    fn arm(&self, hart: usize, deadline: Option<u64>) {
        self.0[hart].store(deadline.unwrap_or(NEVER), Ordering::Relaxed);
    }
}

struct Writer<'a>(&'a Ram);

impl GuestWriter for Writer<'_> {
    fn ram(&self) -> Range<u64> {
        self.0.base()..self.0.base() + self.0.size()
    }
    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), OutOfRam> {
        let len = bytes.len() as u64;
        self.0.write(addr, bytes).ok_or(OutOfRam { addr, len })
    }
    fn zero(&mut self, _: u64, _: u64) -> Result<(), OutOfRam> {
        // Fresh memory is zero.
        Ok(())
    }
}

/// A hart, how it is run, and whether it waits for an interrupt.
struct Runner {
    hart: Hart,
    form: Box<dyn Form>,
    waits: bool,
}

/// A machine with a program loaded.
pub(crate) struct Machine {
    board: Board,
    runners: Vec<Runner>,
    clock: Arc<InsnClock>,
    deadlines: Arc<Deadlines>,
    htif: Option<Htif>,
    output: Arc<Mutex<Vec<u8>>>,
    ended: Arc<AtomicBool>,
}

impl Machine {
    /// The program at its start, in M mode on every hart.
    pub(crate) fn new(program: &Path, harts: usize, forms: Forms<'_>) -> Self {
        let config = MachineConfig {
            memory: MEMORY,
            smp: harts as u32,
            ..Default::default()
        };
        let clock = Arc::new(InsnClock::default());
        let (output, ended) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (serial, finished) = (output.clone(), ended.clone());
        let connections = Connections {
            clock: clock.clone(),
            serial: Box::new(move |bytes: &[u8]| {
                serial.lock().expect("nobody panics with it").extend(bytes);
            }),
            outcome: Box::new(move |_: Outcome| finished.store(true, Ordering::Relaxed)),
            deadline_changed: Arc::new(|| ()),
            doorbell: Box::new(|_| Arc::new(|_: u16| ())),
            slots: Vec::new(),
        };
        let board = Board::new(&config, connections).expect("a board");
        let payload = Payload {
            firmware: Firmware::None,
            program: Some(detect_path(program).expect("a program")),
            initrd: Vec::new(),
            dtb: None,
        };
        let loaded = payload.load(&mut Writer(board.ram())).expect("it fits");
        let entry = loaded.program.expect("it was given");
        let deadlines = (0..harts).map(|_| AtomicU64::new(NEVER)).collect();
        let deadlines = Arc::new(Deadlines(deadlines));
        let attentions = board.lines.iter().map(|l| l.attention().clone());
        let epoch = Arc::new(isoform_memory::WriteEpoch::new(attentions));
        let runner = |id: usize| {
            let wiring = Wiring {
                bus: board.bus.clone(),
                lines: board.lines[id].clone(),
                timebase: board.timebase.clone(),
                timers: deadlines.clone(),
                epoch: epoch.clone(),
                firmware: false,
            };
            let mut hart = Hart::new(id, Cpu::default(), entry.pc, wiring);
            (hart.state.x[10], hart.state.x[11]) = (id as u64, loaded.fdt);
            Runner {
                hart,
                form: forms(id),
                waits: false,
            }
        };
        let runners = (0..harts).map(runner).collect();
        let htif = entry.htif.map(|h| Htif::new(h.tohost, h.fromhost));
        Self {
            board,
            runners,
            clock,
            deadlines,
            htif,
            output,
            ended,
        }
    }

    /// Whether the program ended, or no hart will ever run again.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Instructions executed by all harts.
    pub(crate) fn instructions(&self) -> u64 {
        self.runners.iter().map(|r| r.hart.state.icount).sum()
    }

    /// A turn of `length` instructions for each hart that can run, then all that was
    /// caused by it.
    pub(crate) fn turn(&mut self, length: u64) {
        let mut ran = false;
        for runner in &mut self.runners {
            if runner.waits && !runner.hart.lines().attention().is_woken() {
                continue;
            }
            ran = true;
            runner.turn(length);
        }
        if !ran {
            match self.next_deadline() {
                Some(time) => self.clock.0.fetch_max(time, Ordering::Relaxed),
                None => return self.ended.store(true, Ordering::Relaxed),
            };
        }
        self.settle();
    }

    fn next_deadline(&self) -> Option<u64> {
        let devices = self.board.timed.iter();
        let devices = devices.filter_map(|d| d.lock().expect("nobody panics with it").deadline());
        let harts = self.deadlines.0.iter().map(|d| d.load(Ordering::Relaxed));
        devices.chain(harts).min().filter(|d| *d != NEVER)
    }

    /// Timers that are due, and the program's calls to the host.
    fn settle(&mut self) {
        let now = self.clock.now();
        for device in &self.board.timed {
            device.lock().expect("nobody panics with it").expire();
        }
        for (deadline, lines) in self.deadlines.0.iter().zip(&self.board.lines) {
            if deadline.load(Ordering::Relaxed) <= now {
                deadline.store(NEVER, Ordering::Relaxed);
                lines.attention().raise(Requests::INTERRUPT);
            }
        }
        if let Some(htif) = &mut self.htif {
            match htif.poll(self.board.bus.ram()) {
                Some(HtifEvent::Exit(_)) => self.ended.store(true, Ordering::Relaxed),
                Some(HtifEvent::Output(bytes)) => {
                    self.output
                        .lock()
                        .expect("nobody panics with it")
                        .extend(bytes);
                }
                // Nobody types.
                Some(HtifEvent::Read) | None => {}
            }
        }
    }

    /// All that a form could have changed, but for the content of memory.
    pub(crate) fn state(&self) -> MachineState {
        let device = |d: &Arc<Mutex<dyn isoform_core::Device>>| {
            d.lock().expect("nobody panics with it").save()
        };
        MachineState {
            harts: self.runners.iter().map(|r| r.hart.state()).collect(),
            waits: self.runners.iter().map(|r| r.waits).collect(),
            time: self.clock.now(),
            devices: self.board.devices.iter().map(device).collect(),
            output: self.output.lock().expect("nobody panics with it").clone(),
        }
    }

    /// A hash of guest memory.
    pub(crate) fn memory(&self) -> u64 {
        let ram = self.board.ram();
        let mut bytes = vec![0; 1 << 20];
        let mut hash = 0u64;
        for at in (0..ram.size()).step_by(bytes.len()) {
            ram.read(ram.base() + at, &mut bytes)
                .expect("all of it is RAM");
            for word in bytes.chunks_exact(8) {
                let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
                hash = (hash.rotate_left(7) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
        hash
    }
}

impl Runner {
    fn turn(&mut self, length: u64) {
        let end = self.hart.state.icount + length;
        self.waits = false;
        while let Some(left) = end.checked_sub(self.hart.state.icount).filter(|n| *n > 0) {
            match self.form.run(&mut self.hart, left) {
                Exit::Wait { spurious_ok: false } => {
                    self.waits = true;
                    return;
                }
                // What is left of the turn may be none.
                _ => continue,
            }
        }
    }
}

/// What machines are compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MachineState {
    pub(crate) harts: Vec<SavedHart>,
    pub(crate) waits: Vec<bool>,
    pub(crate) time: u64,
    pub(crate) devices: Vec<Vec<u8>>,
    pub(crate) output: Vec<u8>,
}
