//! Two machines side by side, and whether they are the same.

use super::super::error::VmError;
use super::super::event::End;
use super::super::form::{self, Tiers};
use super::super::insn::Course;
use super::super::machine::Machine;
use super::super::shared::lock;
use super::{Lockstep, Way};
use isoform_memory::Ram;
use std::collections::BTreeMap;

/// Instructions below which a thread is not worth its start.
const WORTH_A_THREAD: u64 = 20_000;

/// One of the machines.
pub(super) struct Side {
    pub(super) machine: Machine,
    course: Course,
    /// How it ended, if it has.
    pub(super) end: Option<End>,
}

impl Side {
    pub(super) fn new(lockstep: &Lockstep<'_>, way: Way<'_>) -> Result<Self, VmError> {
        let payload = lockstep.payload;
        let config = lockstep.config(way);
        let mut machine = Machine::in_form(config, payload, |translator, id, harts| match way {
            Way::Other(make) => form::Form::Other(make(id)),
            Way::Interp => form::form(None, id, harts),
            Way::Jit => form::repeatable(translator, id, harts, Tiers::Warm),
            Way::Baseline => form::repeatable(translator, id, harts, Tiers::Baseline),
            Way::Eager => form::repeatable(translator, id, harts, Tiers::Regions),
        })?;
        machine.start(payload)?;
        Ok(Self {
            machine,
            course: Course::new(),
            end: None,
        })
    }

    /// Goes on until all harts together have executed `to` instructions since the
    /// start, or the machine ends. One that waits for a person has ended: nobody comes.
    pub(super) fn advance(&mut self, to: u64) {
        if self.end.is_none() {
            let end = self.course.go(&mut self.machine, to);
            let waits = || (self.machine.instructions() < to).then_some(End::Quit);
            self.end = end.or_else(waits);
        }
    }
}

/// Both of them.
pub(super) struct Pair {
    pub(super) a: Side,
    pub(super) b: Side,
}

impl Pair {
    /// At the machine's start.
    pub(super) fn new(lockstep: &Lockstep<'_>) -> Result<Self, VmError> {
        let [a, b] = lockstep.ways;
        let (a, b) = (Side::new(lockstep, a)?, Side::new(lockstep, b)?);
        Ok(Self { a, b })
    }

    /// Both go on, at the same time where that is worth it.
    pub(super) fn advance(&mut self, to: u64) {
        let piece = to.saturating_sub(self.instructions());
        let Self { a, b } = self;
        if piece < WORTH_A_THREAD {
            a.advance(to);
            b.advance(to);
            return;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| b.advance(to));
            a.advance(to);
        });
    }

    /// Instructions executed by all harts of the first.
    pub(super) fn instructions(&self) -> u64 {
        self.a.machine.instructions()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.a.end.is_some()
    }

    /// Whether harts, clocks and endings are the same.
    pub(super) fn is_same(&self) -> bool {
        let (a, b) = (&self.a.machine, &self.b.machine);
        let mut harts = a.runners.iter().zip(&b.runners);
        self.a.end == self.b.end
            && a.clock.now() == b.clock.now()
            && harts.all(|(a, b)| {
                a.hart.state == b.hart.state
                    && a.next == b.next
                    && a.hart.lines().pending() == b.hart.lines().pending()
            })
    }

    /// Whether devices and memory are, too.
    pub(super) fn is_all_the_same(&self) -> Result<bool, VmError> {
        Ok(self.is_same()
            && self.devices_that_differ().is_empty()
            && self.pages_that_differ()?.is_empty())
    }

    /// Names of the devices whose state is not the same.
    pub(super) fn devices_that_differ(&self) -> Vec<&'static str> {
        let devices = |side: &Side| side.machine.board.devices.clone();
        let pairs = devices(&self.a).into_iter().zip(devices(&self.b));
        let differs = |(a, b): &(_, _)| saved(a) != saved(b);
        let name = |(a, _): (Device, Device)| lock(&*a).name();
        pairs.filter(differs).map(name).collect()
    }

    /// Addresses of the pages whose content is not the same.
    pub(super) fn pages_that_differ(&self) -> Result<Vec<u64>, VmError> {
        let (a, b) = (
            hashes(self.a.machine.board.ram())?,
            hashes(self.b.machine.board.ram())?,
        );
        let mut pages: Vec<u64> = a.keys().chain(b.keys()).copied().collect();
        pages.sort_unstable();
        pages.dedup();
        pages.retain(|page| a.get(page) != b.get(page));
        Ok(pages)
    }
}

type Device = std::sync::Arc<std::sync::Mutex<dyn isoform_core::Device>>;

fn saved(device: &Device) -> Vec<u8> {
    lock(&**device).save()
}

/// A hash of each page that is not all zero, by address.
fn hashes(ram: &Ram) -> std::io::Result<BTreeMap<u64, u64>> {
    let mut pages = Vec::new();
    ram.for_each_page(|gpa, bytes| pages.push((gpa, hash(bytes))))?;
    Ok(pages.into_iter().collect())
}

/// A hash that is fast; nobody seeks collisions in it.
fn hash(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |hash: u64, word| {
        (hash.rotate_left(7) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
