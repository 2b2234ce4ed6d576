//! How fast the interpreter is: instructions a second on integer loops, and what a
//! load costs whose translation the soft TLB has, or has not.
//!
//! A bare hart runs a slice of a program in `test-roms/bench`; there is no board, no
//! thread and no process start in what is measured.

use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use isoform_core::{Attention, Clock, Exit};
use isoform_interp::Interp;
use isoform_memory::{Bus, Ram, WriteEpoch};
use isoform_riscv::{Cpu, Hart, Lines, Timebase, TimerService, Wiring};
use object::{Object, ObjectSegment};

const RAM_BASE: u64 = 0x8000_0000;
const RAM_SIZE: u64 = 256 << 20;
/// Instructions of one measurement: some 50 ms.
const SLICE: u64 = 10_000_000;
/// Instructions before it: the program's preparations, page tables above all.
const PRELUDE: u64 = 3_000_000;
/// The loop of `test-roms/bench/tlb.c` has 22 instructions for 4 loads.
const LOADS: u64 = SLICE * 4 / 22;

/// Time stands still: nothing measured here looks at it.
struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
    fn epoch(&self) -> u64 {
        0
    }
}

struct NoTimer;

impl TimerService for NoTimer {
    fn arm(&self, _: usize, _: Option<u64>) {}
}

/// A hart in front of a program, and what runs it.
struct Rig {
    hart: Hart,
    interp: Interp,
}

impl Rig {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("test-roms/bin")
            .join(name);
        let elf = std::fs::read(path).expect("a committed program");
        let elf = object::File::parse(&*elf).expect("an ELF");
        let ram = Arc::new(Ram::new(RAM_BASE, RAM_SIZE).expect("memory"));
        for segment in elf.segments() {
            let bytes = segment.data().expect("in the file");
            ram.write(segment.address(), bytes)
                .expect("linked into RAM");
        }
        let lines = Arc::new(Lines::new(Arc::new(Attention::new())));
        let wiring = Wiring {
            bus: Arc::new(Bus::new(ram)),
            epoch: Arc::new(WriteEpoch::new([lines.attention().clone()])),
            lines,
            timebase: Timebase::new(Arc::new(Still), Arc::default()),
            timers: Arc::new(NoTimer),
            firmware: false,
        };
        let cpu = Cpu::with([]).expect("the default CPU");
        let mut rig = Self {
            hart: Hart::new(0, cpu, elf.entry(), wiring),
            interp: Interp::new(16 << 20),
        };
        rig.run(PRELUDE);
        rig
    }

    fn run(&mut self, instructions: u64) {
        let exit = self.interp.run(&mut self.hart, instructions);
        assert!(matches!(exit, Exit::Budget), "the program ended: {exit:?}");
    }
}

fn measure(criterion: &mut Criterion, group: &str, names: &[&str], elements: u64) {
    let mut group = criterion.benchmark_group(group);
    group
        .sample_size(10)
        .throughput(Throughput::Elements(elements));
    for name in names {
        let setup = || Rig::new(&format!("bench_{name}.elf"));
        let run = |rig: &mut Rig| rig.run(SLICE);
        group.bench_function(*name, |b| {
            b.iter_batched_ref(setup, run, BatchSize::PerIteration)
        });
    }
    group.finish();
}

/// Elements are instructions.
fn loops(criterion: &mut Criterion) {
    let names = ["sieve", "list", "matrix", "state", "fib", "crc"];
    measure(criterion, "instructions", &names, SLICE);
}

/// Elements are loads; the difference between the two is what a miss costs.
fn tlb(criterion: &mut Criterion) {
    measure(criterion, "loads", &["tlb_hit", "tlb_miss"], LOADS);
}

criterion_group!(all, loops, tlb);
criterion_main!(all);
