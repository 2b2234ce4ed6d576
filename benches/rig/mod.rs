//! A bare hart, and what runs it: there is no board, no thread and no process start in
//! what is measured with it.

use std::path::Path;
use std::sync::Arc;

use isoform_core::{Attention, Exit};
use isoform_memory::{Bus, Ram};
use isoform_riscv::{Cpu, Hart, Wiring};
use object::{Object, ObjectSegment};

/// Where memory begins, as on the board `virt`.
pub(crate) const RAM_BASE: u64 = 0x8000_0000;
/// Instructions of one measurement: some 50 ms of the interpreter's.
pub(crate) const SLICE: u64 = 10_000_000;
/// Instructions before it: the program's preparations, page tables above all.
const PRELUDE: u64 = 3_000_000;

/// What executes a hart.
pub(crate) trait Form {
    /// Runs at most `budget` instructions.
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit;
}

/// A hart in front of a program, and what runs it.
pub(crate) struct Rig<F> {
    pub(crate) hart: Hart,
    pub(crate) form: F,
}

impl<F: Form> Rig<F> {
    /// A hart before the instructions in `code`, in `memory` bytes; `form` makes what
    /// runs it of its attention word.
    pub(crate) fn new(
        code: &[(u64, Vec<u8>)],
        entry: u64,
        memory: u64,
        form: impl Fn(Arc<Attention>) -> F,
    ) -> Self {
        let ram = Arc::new(Ram::new(RAM_BASE, memory).expect("memory"));
        for (address, bytes) in code {
            ram.write(*address, bytes).expect("linked into RAM");
        }
        let wiring = Wiring::alone(Bus::new(ram));
        let attention = wiring.lines.attention().clone();
        let cpu = Cpu::with([]).expect("the default CPU");
        Self {
            hart: Hart::new(0, cpu, entry, wiring),
            form: form(attention),
        }
    }

    /// The program `bench_NAME` of `test-roms`, past its preparations.
    pub(crate) fn program(name: &str, form: impl Fn(Arc<Attention>) -> F) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("test-roms/bin")
            .join(format!("bench_{name}.elf"));
        let elf = std::fs::read(path).expect("a committed program");
        let elf = object::File::parse(&*elf).expect("an ELF");
        let segments = elf.segments().map(|segment| {
            let bytes = segment.data().expect("in the file");
            (segment.address(), bytes.to_vec())
        });
        let segments: Vec<_> = segments.collect();
        let mut rig = Self::new(&segments, elf.entry(), 256 << 20, form);
        rig.run(PRELUDE);
        rig
    }

    /// Runs so many instructions; the program must not end.
    pub(crate) fn run(&mut self, instructions: u64) {
        let exit = self.form.run(&mut self.hart, instructions);
        assert!(matches!(exit, Exit::Budget), "the program ended: {exit:?}");
    }
}
