//! How fast the interpreter is: instructions a second on integer and floating-point
//! loops, and what a load costs whose translation the soft TLB has, or has not.

mod rig;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use isoform_core::Exit;
use isoform_interp::Interp;
use isoform_riscv::Hart;
use rig::{Form, Rig, SLICE};

/// The loop of `test-roms/bench/tlb.c` has 22 instructions for 4 loads.
const LOADS: u64 = SLICE * 4 / 22;

impl Form for Interp {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        Interp::run(self, hart, budget)
    }
}

fn measure(criterion: &mut Criterion, group: &str, names: &[&str], elements: u64) {
    let mut group = criterion.benchmark_group(group);
    group
        .sample_size(10)
        .throughput(Throughput::Elements(elements));
    for name in names {
        let setup = || Rig::program(name, |_| Interp::new(16 << 20));
        let run = |rig: &mut Rig<Interp>| rig.run(SLICE);
        group.bench_function(*name, |b| {
            b.iter_batched_ref(setup, run, BatchSize::PerIteration)
        });
    }
    group.finish();
}

/// Elements are instructions.
fn loops(criterion: &mut Criterion) {
    let names = ["sieve", "list", "matrix", "state", "fib", "crc", "nbody"];
    measure(criterion, "instructions", &names, SLICE);
}

/// Elements are loads; the difference between the two is what a miss costs.
fn tlb(criterion: &mut Criterion) {
    measure(criterion, "loads", &["tlb_hit", "tlb_miss"], LOADS);
}

criterion_group!(all, loops, tlb);
criterion_main!(all);
