//! How long Debian's kernel takes to userland, with everything a person waits for:
//! process start, loading, boot, a command, power-off. Skipped where the image is
//! neither cached nor to be fetched.

use std::process::{Command, Stdio};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Boots, does nothing and ends; whether that went well.
fn boot(harts: u32) -> bool {
    Command::new(env!("CARGO_BIN_EXE_isoform"))
        .args([
            "run",
            "debian:riscv64",
            "--exec",
            "true",
            "--timeout",
            "120",
        ])
        .args(["--smp", &harts.to_string()])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn benches(criterion: &mut Criterion) {
    if !boot(1) {
        println!("skipped: boot: debian:riscv64 does not run here");
        return;
    }
    let mut group = criterion.benchmark_group("boot");
    group.sample_size(10);
    for harts in [1, 4] {
        let id = BenchmarkId::new("debian:riscv64", harts);
        group.bench_with_input(id, &harts, |b, harts| b.iter(|| assert!(boot(*harts))));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
