//! What a machine did: for `--stats`, and for the monitor's `info`.

use super::form::Form;
use super::machine::Machine;
use super::shared::{Shared, lock};
use isoform_core::Saved;
use isoform_cranelift::{Exits, TranslatorStats};
use isoform_memory::Bus;
use isoform_riscv::Hart;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;

/// How long `info` waits for harts to tell where they are.
const PATIENCE: Duration = Duration::from_millis(100);

/// Exception and interrupt names by index in a hart's counts (Priv. table "mcause
/// values"; interrupts from 32 on).
const TRAPS: &[(usize, &str)] = &[
    (0, "instruction address misaligned"),
    (1, "instruction access fault"),
    (2, "illegal instruction"),
    (3, "breakpoint"),
    (4, "load address misaligned"),
    (5, "load access fault"),
    (6, "store address misaligned"),
    (7, "store access fault"),
    (8, "call from U mode"),
    (9, "call from S mode"),
    (11, "call from M mode"),
    (12, "instruction page fault"),
    (13, "load page fault"),
    (15, "store page fault"),
    (33, "supervisor software interrupt"),
    (35, "machine software interrupt"),
    (37, "supervisor timer interrupt"),
    (39, "machine timer interrupt"),
    (41, "supervisor external interrupt"),
    (43, "machine external interrupt"),
];

/// Accesses to each device that was accessed.
fn devices(text: &mut String, bus: &Bus) {
    for window in bus.counts().iter().filter(|w| w.reads + w.writes > 0) {
        let (name, base) = (window.name, window.base);
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            text,
            "  {name:<16} {base:#012x} {:>12} reads {:>12} writes",
            window.reads, window.writes
        );
    }
}

/// The monitor's `info`: where each hart is, and what the devices were asked.
pub(super) fn info(shared: &Shared, bus: &Bus) -> String {
    shared.slots.iter().for_each(|s| lock(s).view = None);
    shared.stop_all();
    let start = std::time::Instant::now();
    let all_told = || shared.slots.iter().all(|s| lock(s).view.is_some());
    while !all_told() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut text = String::new();
    for (n, slot) in shared.slots.iter().enumerate() {
        let slot = lock(slot);
        let _ = match &slot.view {
            Some(v) => writeln!(
                text,
                "hart {n}: {:?}, {:?} mode, pc {:#018x}, {} instructions{}",
                slot.status,
                v.privilege,
                v.pc,
                v.icount,
                if v.waits { ", waits" } else { "" }
            ),
            None => writeln!(text, "hart {n}: {:?}, busy", slot.status),
        };
    }
    devices(&mut text, bus);
    text
}

/// Which forms a hart's instructions were executed in. Lines about forms say so first:
/// they differ between runs that the guest cannot tell apart.
fn forms(text: &mut String, form: &Form) {
    let code = form.interpreter();
    if let Some(counts) = form.translated() {
        let total = (counts.translated + counts.interpreted).max(1);
        let _ = writeln!(
            text,
            "  translated: {} instructions ({:.1} %), {} entries, {} handed back",
            counts.translated,
            100.0 * counts.translated as f64 / total as f64,
            counts.exits.all(),
            counts.exits.handed_back()
        );
        let Exits {
            budget,
            interpret,
            hot,
            attention,
            no_unit,
            system,
        } = counts.exits;
        let _ = writeln!(
            text,
            "  translated: left {no_unit} times for want of a unit, {system} by system \
             instructions, {interpret} for faults, devices and accesses across pages, \
             {attention} on request, {hot} for better code, {budget} near the end of a budget"
        );
        let _ = writeln!(
            text,
            "  interpreted: {} instructions ({:.1} %)",
            counts.interpreted,
            100.0 * counts.interpreted as f64 / total as f64
        );
    }
    let _ = writeln!(
        text,
        "  interpreted: {} lines of code decoded, {} compared",
        code.lines, code.revalidations
    );
}

/// What the soft TLB did not have. It depends on the form: not each looks up the same.
fn misses(text: &mut String, hart: &Hart) {
    let [fetches, loads, stores] = hart.tlb_misses();
    let each = 1000.0 / hart.state.icount.max(1) as f64;
    let _ = writeln!(
        text,
        "  soft TLB: {fetches} fetches, {loads} loads, {stores} stores missed: {:.2} in 1000 \
         instructions",
        (fetches + loads + stores) as f64 * each
    );
}

/// What the translator did, of a cache of so many bytes.
fn translation(text: &mut String, done: TranslatorStats, cache: usize) {
    let _ = writeln!(
        text,
        "translator: {} regions ({} kept from before) of {} instructions in {:.3} s, {} of {} KiB \
         of code, {:.0} bytes an instruction, cache emptied {} times",
        done.units,
        done.kept,
        done.instructions,
        Duration::from_nanos(done.nanoseconds).as_secs_f64(),
        done.bytes >> 10,
        cache >> 10,
        done.bytes as f64 / (done.instructions + done.block_instructions).max(1) as f64,
        done.generations
    );
    let _ = writeln!(
        text,
        "translator: {} blocks of {} instructions by the baseline compiler in {:.3} s; {} \
         jumps chained",
        done.blocks,
        done.block_instructions,
        Duration::from_nanos(done.block_nanoseconds).as_secs_f64(),
        done.chained,
    );
}

/// `--stats`: the ledger at the end of a run.
pub(super) fn statistics(machine: &Machine) -> String {
    let mut text = String::new();
    let elapsed = machine.started.elapsed();
    let total = machine.instructions();
    let mips = total as f64 / elapsed.as_secs_f64().max(1e-9) / 1e6;
    let _ = writeln!(
        text,
        "{total} instructions in {:.3} s: {mips:.0} million a second",
        elapsed.as_secs_f64()
    );
    for runner in &machine.runners {
        let hart = &runner.hart;
        let _ = writeln!(
            text,
            "hart {}: {} instructions",
            hart.id(),
            hart.state.icount
        );
        forms(&mut text, &runner.form);
        misses(&mut text, hart);
        for (n, name) in TRAPS {
            match hart.trap_counts().get(*n) {
                Some(0) | None => {}
                Some(count) => {
                    let _ = writeln!(text, "  {name:<32} {count:>12}");
                }
            }
        }
    }
    if let Some(translator) = &machine.translator {
        translation(&mut text, translator.stats(), machine.config.code_cache);
    }
    text.push_str("devices:\n");
    devices(&mut text, &machine.board.bus);
    if machine.insn.is_some() {
        let _ = match state_hash(machine) {
            Ok(hash) => writeln!(text, "state hash: {hash}"),
            Err(e) => writeln!(text, "state hash: guest memory cannot be read: {e}"),
        };
    }
    text
}

/// A hash of all that the guest could ever tell two machines apart by: time, RAM,
/// harts, devices. Under the instruction clock the same run ends with the same one.
fn state_hash(machine: &Machine) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    // Each part with its length or address in front, so that none runs into the next.
    hash.update(machine.clock.now().to_le_bytes());
    machine.board.ram().for_each_page(|gpa, page| {
        hash.update(gpa.to_le_bytes());
        hash.update(page);
    })?;
    let harts = machine.runners.iter().map(|r| r.hart.save_bytes());
    let devices = machine.board.devices.iter().map(|d| lock(&**d).save());
    for part in harts.chain(devices) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(&part);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
