//! Runs the test program on our hart, in U mode, with the test in the role of the
//! kernel.

use super::frame::*;
use isoform_core::{Attention, Exit, Size};
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram};
use isoform_riscv::{Cause, Cpu, Hart, Priv, Wiring};
use std::sync::Arc;

/// What the program left.
pub(crate) struct Ran {
    /// The areas, one after another.
    pub(crate) areas: Vec<u8>,
    /// Instructions executed, those of the frame and those that faulted included.
    pub(crate) instructions: u64,
}

/// Where M mode's trap vector points: an instruction that waits for an interrupt,
/// which hands the hart to us.
const VECTOR: u64 = DATA - 4096;
const WFI: u32 = 0x1050_0073;

/// A hart in U mode at the program's entry. Code may be read and executed, data read
/// and written, and nothing else accessed.
fn hart(image: &Image, cpu: Cpu) -> Hart {
    let ram = Arc::new(Ram::new(CODE, 64 << 20).expect("64 MiB of untouched memory"));
    ram.write(CODE, &image.code).expect("the code fits");
    ram.write(DATA, &image.data).expect("the data fits");
    ram.store(VECTOR, Size::B4, WFI.into())
        .expect("the vector is in RAM");
    let wiring = Wiring::alone(Bus::new(ram));
    let mut hart = Hart::new(0, cpu, image.entry, wiring);
    let state = &mut hart.state;
    state.privilege = Priv::U;
    // FS is Initial.
    state.mstatus |= 1 << 13;
    state.mtvec = VECTOR;
    state.mcounteren = 7;
    state.scounteren = 7;
    // Cache-block operations in U mode, invalidation included.
    state.menvcfg = 0b1111 << 4;
    state.senvcfg = 0b1111 << 4;
    let pages = |bytes: usize| (bytes as u64).next_multiple_of(4096);
    let limits = [
        (CODE, 0),
        // Top of range, with R and X; with R and W.
        (CODE + pages(image.code.len()), 0b01_101),
        (DATA, 0),
        (DATA + pages(image.data.len()), 0b01_011),
    ];
    for (n, (limit, config)) in limits.into_iter().enumerate() {
        state.pmpaddr[n] = limit >> 2;
        state.pmpcfg[n] = config;
    }
    hart.refresh();
    hart
}

/// Runs the program to its end, interpreted.
pub(crate) fn run(image: &Image, cpu: Cpu, blocks: usize) -> Ran {
    let mut interp = Interp::new(64 << 20);
    run_by(image, cpu, blocks, |hart| interp.run(hart, 1 << 20))
}

/// Runs the program to its end, all of it that can be as regions.
pub(crate) fn run_translated(image: &Image, cpu: Cpu, blocks: usize) -> Ran {
    run_in(image, cpu, blocks, Jit::eager)
}

/// The same, as blocks of the baseline compiler's.
pub(crate) fn run_baseline(image: &Image, cpu: Cpu, blocks: usize) -> Ran {
    run_in(image, cpu, blocks, Jit::baseline)
}

type Form = fn(Jit<Hart, Interp>) -> Jit<Hart, Interp>;

fn run_in(image: &Image, cpu: Cpu, blocks: usize, form: Form) -> Ran {
    let attention = Arc::new(Attention::new());
    let translator =
        Translator::new(64 << 20, [attention], None).expect("a host with a translator");
    let mut jit = form(Jit::new(Arc::new(translator), 0, Interp::new(64 << 20)));
    run_by(image, cpu, blocks, |hart| jit.run(hart, 1 << 20))
}

fn run_by(image: &Image, cpu: Cpu, blocks: usize, mut run: impl FnMut(&mut Hart) -> Exit) -> Ran {
    let mut hart = hart(image, cpu);
    loop {
        match run(&mut hart) {
            // A block goes forward only: so many instructions are none of its.
            Exit::Budget => assert!(hart.state.icount < 1 << 32, "the program does not end"),
            Exit::Wait { .. } if hart.state.privilege == Priv::M && trapped(&mut hart, image) => {
                break;
            }
            _ => {}
        }
    }
    let mut areas = vec![0; blocks * AREA as usize];
    hart.ram()
        .read(area_address(0), &mut areas)
        .expect("the areas are in RAM");
    Ran {
        areas,
        instructions: hart.state.icount,
    }
}

/// Does for a trap what a kernel and the program's signal handler do. True where the
/// program wants to write its results.
fn trapped(hart: &mut Hart, image: &Image) -> bool {
    let state = &hart.state;
    let (pc, tval) = (state.mepc, state.mtval);
    let cause = |c: Cause| state.mcause == c as u64;
    if cause(Cause::EcallU) {
        if state.x[A7] == SYS_WRITE {
            return true;
        }
        hart.state.x[A0] = 0;
        resume(hart, pc + 4);
        return false;
    }
    let (signal, address) = if cause(Cause::IllegalInstruction) {
        (SIGILL, pc)
    } else if cause(Cause::Breakpoint) {
        (SIGTRAP, pc)
    } else if cause(Cause::LoadMisaligned) || cause(Cause::StoreMisaligned) {
        (SIGBUS, tval)
    } else {
        (SIGSEGV, tval)
    };
    let area = state.x[usize::from(AREA_REG)];
    let ram = hart.ram().clone();
    let load = |at| {
        ram.load(at, Size::B8)
            .expect("the area's register is never written")
    };
    let count = load(area + at::FAULTS);
    let put = |at, v| ram.store(at, Size::B8, v).expect("the area is in RAM");
    put(area + at::FAULTS, count + 1);
    let entry = area + at::LOG + ENTRY * count;
    put(entry, signal);
    put(entry + 8, pc);
    put(entry + 16, address);
    let half = ram.load(pc, Size::B2).expect("it came from there");
    let next = pc + if half & 3 == 3 { 4 } else { 2 };
    resume(
        hart,
        if count + 1 < MOST_FAULTS {
            next
        } else {
            image.epilogue
        },
    );
    false
}

/// Back to U mode.
fn resume(hart: &mut Hart, pc: u64) {
    hart.state.pc = pc;
    hart.state.privilege = Priv::U;
    hart.refresh();
}

const A0: usize = 10;
const A7: usize = 17;
