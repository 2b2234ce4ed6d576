//! Two harts in U mode behind the same page table: one translated, one interpreted.
//!
//! A trap leads to a loop in M mode, where the test finds all that the trap left.

use crate::program::{DATA, LEFT, OFFSET, PAGES, Program, ROUND, ROUNDS, STRIDE};
use isoform_core::{BusFault, Device, Exit, RestoreError, Size};
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram};
use isoform_riscv::generate::Random;
use isoform_riscv::{Cpu, Hart, Priv, State, Wiring};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const BASE: u64 = 0x8000_0000;
const SIZE: u64 = 256 << 10;
const PAGE: u64 = 4096;
/// Where traps lead, and how programs are entered: `j .`, `sfence.vma`, `mret`.
const HANDLER: u64 = BASE;
const HANDLER_CODE: [u32; 3] = [0x6f, 0x1200_0073, 0x3020_0073];
/// Page tables: the root, and one table for each level below.
const ROOT: u64 = BASE + 0x1000;
const MIDDLE: u64 = BASE + 0x2000;
const LEAVES: u64 = BASE + 0x3000;
/// The program, and where it is seen.
const CODE: u64 = BASE + 0x4000;
pub(crate) const START: u64 = DATA + 256 * PAGE;
/// What data pages are views of.
const FRAMES: u64 = BASE + 0x1_0000;
const FRAME_COUNT: u64 = 8;
/// A frame that is not to be accessed, and one whose first half is not.
const FORBIDDEN: u64 = BASE + 0x2_0000;
const HALF: u64 = BASE + 0x2_1000;
/// A device, and nothing at all.
const DEVICE: u64 = 0x2000_0000;
const NOTHING: u64 = 0x3000_0000;

/// Page-table entries (Priv. 12.4.1).
mod pte {
    pub(super) const V: u64 = 1;
    pub(super) const R: u64 = 2;
    pub(super) const W: u64 = 4;
    pub(super) const X: u64 = 8;
    pub(super) const U: u64 = 16;
    pub(super) const A: u64 = 64;
    pub(super) const D: u64 = 128;
    pub(super) const DATA: u64 = V | R | W | U | A | D;
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unmapped,
    ReadOnly,
    ExecuteOnly,
    /// Never accessed, as far as the table knows; or never written.
    NotAccessed,
    NotDirty,
    Device,
    Nothing,
    Forbidden,
    HalfForbidden,
}

pub(crate) const FAULTS: [Fault; 9] = [
    Fault::Unmapped,
    Fault::ReadOnly,
    Fault::ExecuteOnly,
    Fault::NotAccessed,
    Fault::NotDirty,
    Fault::Device,
    Fault::Nothing,
    Fault::Forbidden,
    Fault::HalfForbidden,
];

fn leaf(gpa: u64, bits: u64) -> u64 {
    gpa >> 2 | bits
}

fn frame(page: u64) -> u64 {
    // Backwards: what crosses into the next page goes elsewhere.
    FRAMES + (FRAME_COUNT - 1 - page % FRAME_COUNT) * PAGE
}

impl Fault {
    fn entry(self, page: u64) -> u64 {
        let good = leaf(frame(page), pte::DATA);
        match self {
            Fault::Unmapped => 0,
            Fault::ReadOnly => good & !pte::W,
            Fault::ExecuteOnly => good & !(pte::R | pte::W) | pte::X,
            Fault::NotAccessed => good & !pte::A,
            Fault::NotDirty => good & !pte::D,
            Fault::Device => leaf(DEVICE, pte::DATA),
            Fault::Nothing => leaf(NOTHING, pte::DATA),
            Fault::Forbidden => leaf(FORBIDDEN, pte::DATA),
            Fault::HalfForbidden => leaf(HALF, pte::DATA),
        }
    }
}

/// A device that remembers what was done to it, and refuses some of it.
#[derive(Default)]
struct Log(Vec<(bool, u64, Size, u64)>);

impl Device for Log {
    fn name(&self) -> &'static str {
        "log"
    }
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        self.0.push((false, offset, size, 0));
        match offset & 0x40 {
            0 => Ok(offset.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            _ => Err(BusFault),
        }
    }
    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        self.0.push((true, offset, size, value));
        match offset & 0x40 {
            0 => Ok(()),
            _ => Err(BusFault),
        }
    }
    fn reset(&mut self) {}
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// A hart with its device.
struct Side {
    hart: Hart,
    device: Arc<Mutex<Log>>,
}

impl Side {
    fn new(program: &Program) -> Self {
        let ram = Arc::new(Ram::new(BASE, SIZE).expect("a little RAM"));
        let handler: Vec<u8> = HANDLER_CODE.iter().flat_map(|w| w.to_le_bytes()).collect();
        ram.write(HANDLER, &handler).expect("it fits");
        ram.write(CODE, &program.code).expect("it fits");
        let store = |at: u64, value: u64| ram.store(at, Size::B8, value).expect("it fits");
        store(ROOT + 8 * (DATA >> 30 & 511), leaf(MIDDLE, pte::V));
        store(MIDDLE + 8 * (DATA >> 21 & 511), leaf(LEAVES, pte::V));
        let code = pte::V | pte::X | pte::U | pte::A;
        store(LEAVES + 8 * (START >> 12 & 511), leaf(CODE, code));
        let device = Arc::new(Mutex::new(Log::default()));
        let mut bus = Bus::new(ram);
        bus.map("log", DEVICE, PAGE, device.clone()).expect("free");
        let wiring = Wiring::alone(bus);
        let hart = Hart::new(0, Cpu::default(), BASE, wiring);
        Self { hart, device }
    }

    /// The page tables and all data as they are at first, but for one page.
    fn prepare(&mut self, broken: Option<(u64, Fault)>, seed: u64, counted: u64) {
        let ram = self.hart.ram();
        for page in 0..PAGES + 2 {
            let wrong = broken.filter(|(at, _)| *at == page);
            let entry = match wrong {
                Some((_, fault)) => fault.entry(page),
                None => leaf(frame(page), pte::DATA),
            };
            let at = LEAVES + 8 * (page + (DATA >> 12 & 511));
            ram.store(at, Size::B8, entry).expect("it fits");
        }
        let r = &mut Random(seed);
        for page in (0..FRAME_COUNT).map(frame).chain([FORBIDDEN, HALF]) {
            let bytes: Vec<u8> = (0..PAGE / 8).flat_map(|_| r.word().to_le_bytes()).collect();
            ram.write(page, &bytes).expect("it fits");
        }
        self.device.lock().expect("nobody panics with it").0.clear();
        self.hart.state = start(r, counted);
        self.hart.refresh();
    }

    fn memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        self.hart.ram().read(BASE, &mut bytes).expect("all of it");
        bytes
    }
}

/// About to enter the program in U mode, with floating point on.
fn start(r: &mut Random, counted: u64) -> State {
    let mut state = State::reset(HANDLER + 4);
    for x in &mut state.x[1..] {
        *x = r.word();
    }
    for f in &mut state.f {
        *f = match r.below(3) {
            0 => !0 << 32 | u64::from((r.word() as f32).to_bits()),
            1 => (r.below(1000) as f64).to_bits(),
            _ => r.next(),
        };
    }
    let set = [(OFFSET, 0), (LEFT, ROUNDS), (STRIDE, ROUND)];
    for (register, value) in set {
        state.x[usize::from(register)] = value;
    }
    state.fcsr = [0, 1, 0x1f][r.below(3) as usize];
    // FS: Initial, Clean or Dirty with SD (Priv. 3.1.6.6).
    state.mstatus |= [1 << 13, 2 << 13, 3 << 13 | 1 << 63][r.below(3) as usize];
    state.mtvec = HANDLER;
    state.mepc = START;
    // Half of the time A and D are the hart's to set: ADUE (Priv. 3.1.18); all may be
    // done to cache blocks.
    state.menvcfg = r.below(2) << 61 | 0xf0;
    state.senvcfg = 0xf0;
    (state.mcounteren, state.scounteren) = (7, 7);
    state.satp = 8 << 60 | ROOT >> 12;
    state.icount = counted;
    // PMP (Priv. 3.7.1): a page and half a page without rights, then all with all.
    state.pmpaddr[0] = FORBIDDEN >> 2 | (PAGE / 8 - 1);
    state.pmpaddr[1] = HALF >> 2 | (PAGE / 16 - 1);
    state.pmpaddr[2] = (1 << 54) - 1;
    (state.pmpcfg[0], state.pmpcfg[1], state.pmpcfg[2]) = (0x18, 0x18, 0x1f);
    state
}

/// What a piece of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Nothing: the budget is spent.
    Running,
    /// The program is at its end.
    Ended,
    /// A trap: its cause, the instruction, the address.
    Trap { cause: u64, pc: u64, address: u64 },
}

/// What the translated one is made of.
pub(crate) type Form = fn(Jit<Hart, Interp>) -> Jit<Hart, Interp>;

/// Regions alone, blocks alone, and blocks that become regions on the way.
pub(crate) const FORMS: [Form; 3] = [Jit::eager, Jit::baseline, |jit| jit.hurried(3)];

/// The two.
pub(crate) struct Rig {
    translated: Side,
    interpreted: Side,
    translator: Arc<Translator<Hart>>,
    jit: Jit<Hart, Interp>,
    /// For pieces of the translated hart's run that are interpreted.
    other: Interp,
    interp: Interp,
    code: Vec<u8>,
}

const CACHE: usize = 1 << 20;

impl Rig {
    /// Code is made as `form` says, and kept in the folder, if there is one.
    pub(crate) fn new(program: &Program, kept: Option<PathBuf>, form: Form) -> Self {
        let translated = Side::new(program);
        let attention = translated.hart.lines().attention().clone();
        let translator = Translator::new(32 << 20, [attention], kept).expect("a host with one");
        let translator = Arc::new(translator);
        Self {
            jit: form(Jit::new(translator.clone(), 0, Interp::new(CACHE))),
            translator,
            other: Interp::new(CACHE),
            interp: Interp::new(CACHE),
            interpreted: Side::new(program),
            translated,
            code: program.code.clone(),
        }
    }

    pub(crate) fn translator(&self) -> &Translator<Hart> {
        &self.translator
    }

    /// How often generated code left an instruction to the interpreter.
    pub(crate) fn left(&self) -> u64 {
        self.jit.counts().exits.interpret
    }

    /// Begins anew, with something wrong with a page.
    pub(crate) fn prepare(&mut self, broken: Option<(u64, Fault)>, seed: u64) {
        let counted = self.interpreted.hart.state.icount;
        self.translated.prepare(broken, seed, counted);
        self.interpreted.prepare(broken, seed, counted);
    }

    /// Runs both for so many instructions, the translated one interpreted too if `other`,
    /// and compares all there is.
    pub(crate) fn run(&mut self, budget: u64, other: bool) -> Stopped {
        let exit = match other {
            true => self.other.run(&mut self.translated.hart, budget),
            false => self.jit.run(&mut self.translated.hart, budget),
        };
        assert_eq!(exit, Exit::Budget);
        assert_eq!(self.interp.run(&mut self.interpreted.hart, budget), exit);
        self.compare();
        let state = &self.interpreted.hart.state;
        if state.privilege != Priv::M || state.pc != HANDLER {
            return Stopped::Running;
        }
        match state.mcause {
            8 => Stopped::Ended,
            cause => Stopped::Trap {
                cause,
                pc: state.mepc,
                address: state.mtval,
            },
        }
    }

    /// Goes on after a trap, behind the instruction or with it, the page having been
    /// mended.
    pub(crate) fn resume(&mut self, mended: Option<u64>) {
        for side in [&mut self.translated, &mut self.interpreted] {
            let hart = &mut side.hart;
            if let Some(page) = mended {
                let at = LEAVES + 8 * (page + (DATA >> 12 & 511));
                let entry = leaf(frame(page), pte::DATA);
                hart.ram().store(at, Size::B8, entry).expect("it fits");
            } else {
                let at = hart.state.mepc.wrapping_sub(START) as usize;
                let short = self.code.get(at).is_none_or(|low| low & 3 != 3);
                hart.state.mepc += if short { 2 } else { 4 };
            }
            hart.state.pc = HANDLER + 4;
            hart.refresh();
        }
    }

    fn compare(&self) {
        let (found, wanted) = (&self.translated.hart.state, &self.interpreted.hart.state);
        if found != wanted {
            let text = |state: &State| format!("{state:#x?}");
            let (found, wanted) = (text(found), text(wanted));
            let lines = found.lines().zip(wanted.lines()).enumerate();
            let differ: Vec<_> = lines.filter(|(_, (a, b))| a != b).collect();
            panic!("line, (translated, interpreted): {differ:?}");
        }
        let differs = |a: &[u8], b: &[u8]| a.iter().zip(b).position(|(a, b)| a != b);
        let (found, wanted) = (self.translated.memory(), self.interpreted.memory());
        assert_eq!(differs(&found, &wanted), None, "memory differs there");
        let log = |side: &Side| side.device.lock().expect("no panic").0.clone();
        assert_eq!(log(&self.translated), log(&self.interpreted), "the device");
    }
}
