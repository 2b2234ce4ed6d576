//! How fast instructions are decoded: all of the code of a guest program.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use isoform_riscv::{Cpu, decode};
use object::{Object, ObjectSection, SectionKind};

fn code(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("test-roms/bin")
        .join(name);
    let elf = std::fs::read(path).expect("a committed program");
    let elf = object::File::parse(&*elf).expect("an ELF");
    let text = elf
        .sections()
        .filter(|section| section.kind() == SectionKind::Text);
    text.flat_map(|section| section.data().expect("in the file").to_vec())
        .collect()
}

/// Decodes one instruction after another; gives how many there were.
fn walk(code: &[u8], cpu: &Cpu) -> u64 {
    let (mut at, mut count) = (0, 0);
    while let Some((insn, _)) = code
        .get(at..)
        .and_then(|rest| decode::decode(rest, cpu.ext))
    {
        black_box(insn);
        at += if code[at] & 3 == 3 { 4 } else { 2 };
        count += 1;
    }
    count
}

fn benches(criterion: &mut Criterion) {
    let cpu = Cpu::with([]).expect("the default CPU");
    let mut group = criterion.benchmark_group("decode");
    for name in ["hello.elf", "traps.elf"] {
        let code = code(name);
        group.throughput(Throughput::Elements(walk(&code, &cpu)));
        group.bench_function(name, |b| b.iter(|| walk(black_box(&code), &cpu)));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
