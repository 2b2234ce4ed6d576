//! `cargo xtask bench peers`: the same work in Isoform and in QEMU, side by side.
//!
//! - [`rows`]: the groups of the table and their bars.
//! - [`guest`]: the Linux guest of both sides; [`side`]: how each runs a guest.
//! - [`ends`]: what the guest's connections lead to.
//! - [`real`]: a disk with real programs.
//! - [`works`], [`judge`]: what the guest computed, and what the host says it is.
//! - [`host`], [`table`]: what is printed.
//!
//! The sides take turns, so that a noisy machine is noisy for both, and what counts is
//! the ratio of the medians. Nothing is run again because its result displeases.

mod ends;
mod guest;
mod host;
mod judge;
mod real;
mod rows;
mod side;
mod table;
mod works;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{process, roms, skips};
use guest::{Guest, Purpose};
use rows::{GROUPS, Group, PORTABLE, What};
use side::{Run, Side};
use table::Row;
use works::Checksums;

/// How long a guest waits, in seconds.
const IDLE_SECONDS: u32 = 60;
/// The most that it may take of a CPU meanwhile, in hundredths.
const IDLE_MOST: f64 = 1.0;

/// How often, and what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of each group on each side
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// One run, and only what runs on Linux
    #[arg(long, conflicts_with = "runs")]
    quick: bool,
    /// Measure this program instead of building it
    #[arg(long, value_name = "FILE")]
    isoform: Option<PathBuf>,
    /// Only these groups or bare programs: integer, float, memory, kernel, rewriting,
    /// bare, bare-float, bare-tlb, real, boot, boot-warm, harts, disk, scattered,
    /// network, share, idle, or bench_...
    names: Vec<String>,
}

/// Both sides, and what they run.
struct Bench {
    ours: Side,
    theirs: Side,
    guest: Guest,
    sums: Checksums,
    runs: u32,
    /// The first port that the guest's connections go to, once there is one.
    port: Option<u16>,
}

/// Carries out `cargo xtask bench peers`.
pub(super) fn run(args: &Args) -> Result<()> {
    if !process::works(roms::QEMU, "--version") {
        skips::note("bench peers", &format!("no {} on this machine", roms::QEMU));
        return Ok(());
    }
    let isoform = match &args.isoform {
        Some(program) => program.clone(),
        None => process::isoform()?,
    };
    let groups: Vec<_> = GROUPS.iter().filter(|group| wanted(args, group)).collect();
    ensure!(!groups.is_empty(), "no group is named so");
    let guest = match Guest::new(&isoform) {
        Ok(guest) => guest,
        Err(error) => {
            skips::note("bench peers", &format!("no guest to boot: {error:#}"));
            return Ok(());
        }
    };
    host::describe(&isoform, args.isoform.is_none());
    let mut bench = Bench {
        ours: Side::isoform(isoform, None),
        theirs: Side::Qemu(roms::qemu_cpu()?),
        guest,
        sums: Checksums::default(),
        runs: if args.quick { 1 } else { args.runs },
        port: None,
    };
    println!(
        "\nmedians of {} runs in turn, in seconds; a ratio above 1 says that Isoform is \
         faster.\nOn Linux the guest's clock times each work, everywhere else process start \
         and end count.\nOnly boot-warm has translated code from earlier runs.\n",
        bench.runs
    );
    let portable: Vec<_> = PORTABLE
        .iter()
        .copied()
        .filter(|name| groups.iter().any(|group| group.name == *name))
        .collect();
    let native = judge::works(&bench.guest.scratch, &portable)?;
    bench.sums.check(&native, "the host")?;
    table::head("isoform", "qemu");
    for group in groups {
        bench.measure(group, &args.names)?;
    }
    println!("\nload at the end: {}", host::load());
    Ok(())
}

/// Whether a group is to be measured: it is named, or a program of it, or nothing is.
fn wanted(args: &Args, group: &Group) -> bool {
    let named = |name: &str| args.names.iter().any(|n| n == name);
    let program = match group.what {
        What::Bare(programs) => programs.iter().any(|name| named(&roms::bench(name))),
        _ => false,
    };
    let bare = matches!(group.what, What::Bare(_));
    (args.names.is_empty() && !(args.quick && bare)) || named(group.name) || program
}

impl Bench {
    /// Measures a group and prints its part of the table.
    fn measure(&mut self, group: &Group, names: &[String]) -> Result<()> {
        let mut tally = Tally::default();
        let rows = match &group.what {
            What::Bare(programs) => {
                let named = |program: &&&str| names.contains(&roms::bench(program));
                let some: Vec<_> = programs.iter().filter(named).copied().collect();
                let programs = if some.is_empty() { programs } else { &some[..] };
                let rows = programs.iter().map(|name| self.bare(name, &mut tally));
                rows.collect::<Result<Vec<_>>>()?
            }
            What::Works => self.works(&Purpose::Works(group.name), &mut tally)?,
            What::Devices => {
                let port = self.port()?;
                let works = group.name;
                self.works(&Purpose::Devices { works, port }, &mut tally)?
            }
            What::Share => self.works(&Purpose::Share, &mut tally)?,
            What::Idle => return self.idle(),
            What::Real => match real::disk(&self.guest.mirror) {
                Ok(disk) => self.works(&Purpose::Disk(&disk), &mut tally)?,
                Err(error) => {
                    let why = format!("no root file system: {error:#}");
                    skips::note("bench peers real", &why);
                    return Ok(());
                }
            },
            What::Boot { warm } => vec![self.boot(*warm, &mut tally)?],
            What::Harts => return self.harts(group),
        };
        table::group(group.name, rows, group.bar);
        tally.print();
        Ok(())
    }

    /// Where the guest's connections go.
    fn port(&mut self) -> Result<u16> {
        match self.port {
            Some(port) => Ok(port),
            None => Ok(*self.port.insert(ends::start()?)),
        }
    }

    /// A bare program, by the process's time.
    fn bare(&self, name: &str, tally: &mut Tally) -> Result<Row> {
        let elf = roms::elf(&roms::bench(name));
        let mut row = Row::named(name);
        for _ in 0..self.runs {
            let ours = self.ours.bare(&elf, &self.guest.scratch)?;
            let theirs = self.theirs.bare(&elf, &self.guest.scratch)?;
            tally.add(&ours, &theirs);
            row.ours.push(ours.seconds);
            row.theirs.push(theirs.seconds);
        }
        Ok(row)
    }

    /// All works of one boot, by the guest's time.
    fn works(&mut self, purpose: &Purpose<'_>, tally: &mut Tally) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..self.runs {
            let ours = self.ours.linux(&self.guest, 1, purpose)?;
            let theirs = self.theirs.linux(&self.guest, 1, purpose)?;
            tally.add(&ours, &theirs);
            let (ours, theirs) = (works::read(&ours.serial)?, works::read(&theirs.serial)?);
            self.sums.check(&theirs, "QEMU")?;
            self.sums.check(&ours, "Isoform")?;
            ensure!(
                !ours.is_empty() && ours.len() == theirs.len(),
                "not all works were done: {ours:?}, QEMU {theirs:?}"
            );
            rows.resize_with(ours.len(), Row::default);
            for (row, (ours, theirs)) in rows.iter_mut().zip(ours.into_iter().zip(theirs)) {
                row.name = ours.name;
                row.ours.push(ours.seconds);
                row.theirs.push(theirs.seconds);
            }
        }
        Ok(rows)
    }

    /// A boot that does nothing. A warm one has the code that two boots before it kept:
    /// what the first found warm too late is there at the second.
    fn boot(&self, warm: bool, tally: &mut Tally) -> Result<Row> {
        let nothing = Purpose::Works("nothing");
        let kept = self.guest.scratch.join("kept");
        let (side, before) = match warm {
            true => (self.ours.keeping(&kept), 2),
            false => (self.ours.clone(), 0),
        };
        for _ in 0..before {
            side.linux(&self.guest, 1, &nothing)?;
        }
        let mut row = Row::named("linux");
        for _ in 0..self.runs {
            let ours = side.linux(&self.guest, 1, &nothing)?;
            let theirs = self.theirs.linux(&self.guest, 1, &nothing)?;
            tally.add(&ours, &theirs);
            row.ours.push(ours.seconds);
            row.theirs.push(theirs.seconds);
        }
        Ok(row)
    }

    /// What waiting costs: the CPU time of guests that wait a minute, less that of guests
    /// that do not.
    fn idle(&mut self) -> Result<()> {
        let mut shares = [Vec::new(), Vec::new()];
        for _ in 0..self.runs {
            for (shares, side) in shares.iter_mut().zip([&self.ours, &self.theirs]) {
                let cpu = |seconds| {
                    let run = side.linux(&self.guest, 1, &Purpose::Idle(seconds))?;
                    Ok::<_, anyhow::Error>(run.cpu)
                };
                let start = cpu(0)?;
                let waited = cpu(IDLE_SECONDS)? - start;
                shares.push(100.0 * waited / f64::from(IDLE_SECONDS));
            }
        }
        let [ours, theirs] = shares.map(table::median);
        let verdict = if ours > IDLE_MOST { "MISSED" } else { "met" };
        println!(
            "idle: {ours:.2} % of a CPU over {IDLE_SECONDS} s, qemu {theirs:.2} %\n    \
             bars: at most {IDLE_MOST:.1} %: {verdict}; load {}\n",
            host::load()
        );
        Ok(())
    }

    /// Two processes on one hart and on two.
    fn harts(&mut self, group: &Group) -> Result<()> {
        if host::cpus() < 2 {
            skips::note("bench peers harts", "this machine has one CPU");
            return Ok(());
        }
        let purpose = Purpose::Works(group.name);
        let mut rows = [Row::named("isoform"), Row::named("qemu")];
        for _ in 0..self.runs {
            for (row, side) in rows.iter_mut().zip([&self.ours, &self.theirs]) {
                for (harts, times) in [(2, &mut row.ours), (1, &mut row.theirs)] {
                    let run = side.linux(&self.guest, harts, &purpose)?;
                    let works = works::read(&run.serial)?;
                    self.sums.check(&works, "one of the two")?;
                    let work = works.first().context("the work was not done")?;
                    times.push(work.seconds);
                }
            }
        }
        let [ours, theirs] = rows;
        println!();
        table::head("two harts", "one hart");
        table::group(group.name, vec![ours], group.bar);
        table::group(group.name, vec![theirs], rows::NO_BAR);
        Ok(())
    }
}

impl Row {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// What the runs of a group add up to, start of the guest included.
#[derive(Default)]
struct Tally {
    instructions: u64,
    translated: u64,
    cpu: [f64; 2],
}

impl Tally {
    fn add(&mut self, ours: &Run, theirs: &Run) {
        let (instructions, translated) = ours.instructions().unwrap_or_default();
        self.instructions += instructions;
        self.translated += translated;
        self.cpu[0] += ours.cpu;
        self.cpu[1] += theirs.cpu;
    }

    fn print(&self) {
        let share = 100.0 * self.translated as f64 / self.instructions.max(1) as f64;
        println!(
            "    {share:.1} % of instructions translated; CPU time of all runs, start \
             included: {:.1} s, qemu {:.1} s; load {}\n",
            self.cpu[0],
            self.cpu[1],
            host::load()
        );
    }
}
