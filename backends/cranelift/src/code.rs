//! The code cache that the vCPUs of a machine share: which units there are, what bytes
//! they were made from, and when their memory may be used anew.
//!
//! A unit belongs to a guest-physical page and a mode. Units refer to each other only
//! by way of the vCPUs' tables of jump targets, so any of them can be forgotten alone.
//! When the arena is full all are: a new *generation* begins once every vCPU has come
//! out of the old one's code.

use crate::region::Region;
use isoform_core::{Attention, Guest, PageId, Requests};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) const PAGE: usize = 4096;

/// The generation of a vCPU that runs no generated code.
const OUTSIDE: u64 = 0;

/// Where a unit is entered, guest-physical, and the mode that its code is for.
pub(crate) type Key<G> = (u64, <G as Guest>::Mode);

/// What is to be translated: a region, and the page that it was found in.
pub(crate) struct Job<G: Guest> {
    pub(crate) key: Key<G>,
    pub(crate) page: PageId,
    pub(crate) bytes: Box<[u8; PAGE]>,
    pub(crate) region: Region,
}

/// What there is for an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A unit.
    Unit(usize),
    /// Nothing; nobody has asked for it either.
    Nothing,
    /// Nothing yet, or ever.
    Awaited,
    /// The page has changed since its units were made.
    Stale,
}

/// The units of one page.
struct Page<G: Guest> {
    version: u32,
    bytes: Box<[u8; PAGE]>,
    /// With the part of the page that each was made from.
    units: Vec<(Key<G>, (usize, usize))>,
}

/// All units.
struct Units<G: Guest> {
    by_key: HashMap<Key<G>, usize>,
    pages: HashMap<u64, Page<G>>,
    awaited: HashSet<Key<G>>,
    /// Those that the compiler does not take.
    refused: HashSet<Key<G>>,
}

/// A vCPU, as seen by whoever wants its code's memory.
struct Vcpu {
    attention: Arc<Attention>,
    /// The generation whose code it may be running.
    inside: AtomicU64,
}

/// The shared part of a machine's translator.
pub(crate) struct CodeCache<G: Guest> {
    units: Mutex<Units<G>>,
    generation: AtomicU64,
    vcpus: Vec<Vcpu>,
}

impl<G: Guest> CodeCache<G> {
    pub(crate) fn new(attentions: impl IntoIterator<Item = Arc<Attention>>) -> Self {
        let vcpu = |attention| Vcpu {
            attention,
            inside: AtomicU64::new(OUTSIDE),
        };
        Self {
            units: Mutex::new(Units {
                by_key: HashMap::new(),
                pages: HashMap::new(),
                awaited: HashSet::new(),
                refused: HashSet::new(),
            }),
            generation: AtomicU64::new(OUTSIDE + 1),
            vcpus: attentions.into_iter().map(vcpu).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Units<G>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- generations

    /// vCPU `n` may run code of the current generation from now on; gives its number.
    pub(crate) fn enter(&self, n: usize) -> u64 {
        loop {
            let now = self.generation.load(Ordering::SeqCst);
            if let Some(vcpu) = self.vcpus.get(n) {
                vcpu.inside.store(now, Ordering::SeqCst);
            }
            // Whoever began another generation meanwhile may not have seen the mark.
            if self.generation.load(Ordering::SeqCst) == now {
                return now;
            }
        }
    }

    /// vCPU `n` runs no generated code.
    pub(crate) fn leave(&self, n: usize) {
        if let Some(vcpu) = self.vcpus.get(n) {
            vcpu.inside.store(OUTSIDE, Ordering::SeqCst);
        }
    }

    /// Forgets all units, and waits until no vCPU runs any. They go on meanwhile.
    pub(crate) fn begin_generation(&self) {
        let now = {
            let mut units = self.lock();
            units.by_key.clear();
            units.pages.clear();
            units.awaited.clear();
            self.generation.fetch_add(1, Ordering::SeqCst) + 1
        };
        for vcpu in &self.vcpus {
            vcpu.attention.raise(Requests::INTERRUPT);
            let inside = || vcpu.inside.load(Ordering::SeqCst);
            while !matches!(inside(), OUTSIDE) && inside() != now {
                std::thread::yield_now();
            }
        }
    }

    // --- units

    /// What there is for an address in a page of this version.
    pub(crate) fn find(&self, key: Key<G>, page: PageId) -> Found {
        let units = self.lock();
        if let Some(code) = units.by_key.get(&key) {
            let known = units.pages.get(&page.gpa);
            return match known.is_some_and(|p| p.version == page.version) {
                true => Found::Unit(*code),
                false => Found::Stale,
            };
        }
        match units.awaited.contains(&key) || units.refused.contains(&key) {
            true => Found::Awaited,
            false => Found::Nothing,
        }
    }

    /// Notes that a unit is on its way; false where it already was.
    pub(crate) fn await_unit(&self, key: Key<G>) -> bool {
        self.lock().awaited.insert(key)
    }

    /// A unit will not come.
    pub(crate) fn give_up(&self, key: Key<G>) {
        self.lock().awaited.remove(&key);
    }

    /// A unit will never come.
    pub(crate) fn refuse(&self, key: Key<G>) {
        let units = &mut *self.lock();
        units.awaited.remove(&key);
        units.refused.insert(key);
    }

    /// Whether nobody waits for a unit.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().awaited.is_empty()
    }

    /// The page's content now is `bytes`: forgets the units that were made from others.
    pub(crate) fn revalidate(&self, page: PageId, bytes: &[u8; PAGE]) {
        let units = &mut *self.lock();
        let Some(known) = units.pages.get_mut(&page.gpa) else {
            return;
        };
        let old = std::mem::replace(&mut *known.bytes, *bytes);
        known.version = page.version;
        known.units.retain(|(key, (start, end))| {
            let same = old.get(*start..*end) == bytes.get(*start..*end);
            if !same {
                units.by_key.remove(key);
            }
            same
        });
    }

    /// Makes a unit known, unless its page has changed since.
    pub(crate) fn publish(&self, job: Job<G>, code: usize) {
        let units = &mut *self.lock();
        units.awaited.remove(&job.key);
        let (start, end) = job.region.extent();
        let page = units.pages.entry(job.page.gpa).or_insert_with(|| Page {
            version: job.page.version,
            bytes: job.bytes.clone(),
            units: Vec::new(),
        });
        if page.bytes.get(start..end) != job.bytes.get(start..end) {
            return;
        }
        if units.by_key.insert(job.key, code).is_none() {
            page.units.push((job.key, (start, end)));
        }
    }
}
