//! How long Debian's kernel takes to userland, with everything a person waits for:
//! process start, loading, boot, a command, power-off. Skipped where the image is not
//! cached: a download is no part of a measurement.

use std::process::{Command, Output, Stdio};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn isoform(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isoform"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Boots, does nothing and ends.
fn boot(harts: u32) {
    let harts = harts.to_string();
    let run = [
        "run",
        "debian:riscv64",
        "--exec",
        "true",
        "--timeout",
        "120",
        "--smp",
    ];
    let output = isoform(&[&run[..], &[&harts]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn benches(criterion: &mut Criterion) {
    let images = isoform(&["images"]).stdout;
    if String::from_utf8_lossy(&images).contains("not cached") {
        println!("skipped: boot: `isoform run debian:riscv64` fetches the image first");
        return;
    }
    let mut group = criterion.benchmark_group("boot");
    group.sample_size(10);
    for harts in [1, 4] {
        let id = BenchmarkId::new("debian:riscv64", harts);
        group.bench_with_input(id, &harts, |b, harts| b.iter(|| boot(*harts)));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
