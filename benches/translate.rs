//! How fast the translator is: what a region costs to compile, what a visit to generated
//! code costs, and instructions a second in loops that are translated already. Skipped
//! where this host has no translator.

mod rig;

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isoform_core::{Attention, Exit};
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_riscv::Hart;
use rig::{Form, RAM_BASE, Rig, SLICE};

const CODE_CACHE: usize = 16 << 20;
/// Memory of a machine that runs a handful of instructions.
const SMALL: u64 = 16 << 20;

/// Generated code, made before it is executed.
struct Eager {
    jit: Jit<Hart, Interp>,
    translator: Arc<Translator<Hart>>,
}

impl Eager {
    fn new(attention: Arc<Attention>) -> Self {
        let translator =
            Translator::new(CODE_CACHE, [attention], None).expect("a host with a translator");
        let translator = Arc::new(translator);
        let cold = Interp::new(CODE_CACHE);
        Self {
            jit: Jit::new(translator.clone(), 0, cold).eager(),
            translator,
        }
    }

    /// Time that compiling took so far.
    fn compiling(&self) -> Duration {
        Duration::from_nanos(self.translator.stats().nanoseconds)
    }
}

impl Form for Eager {
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        self.jit.run(hart, budget)
    }
}

fn has_translator() -> bool {
    let attention = Arc::new(Attention::new());
    let made = Translator::<Hart>::new(CODE_CACHE, [attention], None);
    if let Err(error) = &made {
        println!("skipped: translate: {error}");
    }
    made.is_ok()
}

/// `jal x0, offset` (J-type, Unpriv. "Immediate Encoding Variants").
fn jump(offset: i32) -> u32 {
    let bits = offset as u32;
    let (sign, high) = (bits >> 20 & 1, bits >> 12 & 0xff);
    sign << 31 | (bits >> 1 & 0x3ff) << 21 | (bits >> 11 & 1) << 20 | high << 12 | 0x6f
}

/// A hart in front of an endless loop of `count` instructions: sums, shifts, and a load
/// and a store in six.
fn loop_of(count: usize) -> Rig<Eager> {
    const BODY: [u32; 6] = [
        0x0015_0513, // addi a0, a0, 1
        0x00a5_c5b3, // xor a1, a1, a0
        0x0001_3603, // ld a2, 0(sp)
        0x00b6_06b3, // add a3, a2, a1
        0x00d1_3423, // sd a3, 8(sp)
        0x0036_9713, // slli a4, a3, 3
    ];
    let body = BODY.iter().cycle().copied().take(count - 1);
    let back = jump(-4 * (count as i32 - 1));
    let code = body.chain([back]).flat_map(u32::to_le_bytes).collect();
    let mut rig = Rig::new(&[(RAM_BASE, code)], RAM_BASE, SMALL, Eager::new);
    rig.hart.state.x[2] = RAM_BASE + 0x1_0000;
    rig
}

/// The compiler's time for one region, by its own account.
fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(20);
    for count in [6_usize, 24, 78] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("region", count), |b| {
            b.iter_custom(|times| (0..times).map(|_| compile_once(count)).sum())
        });
    }
    group.finish();
}

fn compile_once(count: usize) -> Duration {
    let mut rig = loop_of(count);
    rig.run(count as u64);
    let stats = rig.form.translator.stats();
    let whole = stats.units == 1 && stats.instructions == count as u64;
    assert!(whole, "not one region: {stats:?}");
    rig.form.compiling()
}

/// A turn of the run loop for one instruction: into generated code and out of it.
fn visit(criterion: &mut Criterion) {
    let mut rig = loop_of(1);
    rig.run(1);
    criterion.bench_function("visit", |b| b.iter(|| rig.run(1)));
    let counts = rig.form.jit.counts();
    assert!(counts.translated > counts.interpreted, "{counts:?}");
}

/// Elements are instructions of the guest, of programs in `test-roms/bench`.
fn loops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("translated");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(SLICE));
    for name in [
        "sieve", "list", "matrix", "state", "fib", "crc", "nbody", "tlb_hit", "tlb_miss",
    ] {
        let setup = || {
            let mut rig = Rig::program(name, Eager::new);
            rig.run(SLICE);
            rig
        };
        let run = |rig: &mut Rig<Eager>| rig.run(SLICE);
        group.bench_function(name, |b| {
            b.iter_batched_ref(setup, run, BatchSize::PerIteration)
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    if has_translator() {
        compile(criterion);
        visit(criterion);
        loops(criterion);
    }
}

criterion_group!(all, benches);
criterion_main!(all);
