//! The code cache that the vCPUs of a machine share: which units there are, what bytes
//! they were made from, and when their memory may be used anew.
//!
//! A unit belongs to a guest-physical page and a mode. Units of one page and mode jump to
//! each other directly, and are led elsewhere when one of them is forgotten; others find
//! each other in the vCPUs' tables of jump targets.
//!
//! When the arena is full all are: a new *generation* begins once every vCPU has come
//! out of the old one's code.

use crate::arena::Maps;
use crate::host;
use crate::linker::Unit;
use crate::pieces::{Extent, Pieces};
use crate::region::Region;
use isoform_core::{Attention, Guest, PageId, Requests};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) const PAGE: usize = 4096;

/// Counts of units made known: a vCPU that waits for one looks again only where something
/// is new in some of the pages.
const NEWS: usize = 256;

/// The generation of a vCPU that runs no generated code.
const OUTSIDE: u64 = 0;

/// Where a unit is entered, guest-physical, and the mode that its code is for.
pub(crate) type Key<G> = (u64, <G as Guest>::Mode);

/// What is to be translated: a region, and the page that it was found in.
pub(crate) struct Job<G: Guest> {
    pub(crate) key: Key<G>,
    pub(crate) page: PageId,
    /// See [`Page::settled`].
    pub(crate) settled: bool,
    /// What the page holds, of the region at least.
    pub(crate) bytes: Pieces,
    pub(crate) region: Region,
    /// Only code that is kept from another run is wanted.
    pub(crate) only_kept: bool,
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
    /// The page may have changed since its units were made.
    Stale,
}

/// The units of one page.
struct Page<G: Guest> {
    version: u32,
    /// The bytes are those of the version: nobody could write to the page unseen when
    /// they were read. Otherwise units may be older than the version says, and are not
    /// used before the page was read again.
    settled: bool,
    /// All that units were made from, and more.
    bytes: Pieces,
    units: Vec<Known<G>>,
}

/// What is to be expected of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// There is one.
    There,
    /// One is on its way.
    Awaited,
    /// There will be none.
    Never,
    /// Nobody has asked for one.
    Open,
}

/// What made a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// The baseline compiler, for a vCPU that may run code of this generation.
    Baseline(u64),
    /// Cranelift.
    Region,
}

/// A unit of a page.
struct Known<G: Guest> {
    key: Key<G>,
    /// Cranelift made it.
    is_region: bool,
    /// The part of the page that it was made from.
    extent: Extent,
    /// See [`Region::shares`].
    shares: bool,
    unit: Unit,
}

impl<G: Guest> Page<G> {
    /// Keeps what a job's region is made from, if it is certain to be of the content that the
    /// units were made from.
    fn take_in(&mut self, job: &Job<G>) {
        if (self.version, self.settled) == (job.page.version, job.settled) {
            self.bytes.add(&job.bytes);
        }
    }

    /// Leads all jumps to where a unit is entered to some code; gives how many there are.
    fn lead(&self, (gpa, mode): Key<G>, arena: &Maps, code: usize) -> u64 {
        let to = gpa % PAGE as u64;
        let same_mode = self.units.iter().filter(|known| known.key.1 == mode);
        let links = same_mode.flat_map(|known| &known.unit.links);
        let links = links.filter(|link| u64::from(link.to) == to);
        links.map(|link| link.lead_to(arena, code)).count() as u64
    }
}

/// All units.
struct Units<G: Guest> {
    by_key: HashMap<Key<G>, usize>,
    pages: HashMap<u64, Page<G>>,
    awaited: HashSet<Key<G>>,
    /// Those that the compiler does not take.
    refused: HashSet<Key<G>>,
    /// Those of which accesses that shared a look into the soft TLB crossed pages.
    crossing: HashSet<Key<G>>,
}

impl<G: Guest> Units<G> {
    fn prospect(&self, key: Key<G>) -> Prospect {
        let page = self.pages.get(&(key.0 & !(PAGE as u64 - 1)));
        let mut known = page.into_iter().flat_map(|page| &page.units);
        if known.any(|known| known.key == key && known.is_region) {
            return Prospect::There;
        }
        if self.refused.contains(&key) {
            return Prospect::Never;
        }
        match self.awaited.contains(&key) {
            true => Prospect::Awaited,
            false => Prospect::Open,
        }
    }

    /// Forgets units of a page; their code stays for whoever is in it.
    fn forget(
        &mut self,
        gpa: u64,
        arena: &Maps,
        dispatcher: usize,
        gone: impl FnMut(&mut Known<G>) -> bool,
    ) {
        let Some(page) = self.pages.get_mut(&gpa) else {
            return;
        };
        let gone: Vec<_> = page.units.extract_if(.., gone).collect();
        for unit in &gone {
            self.by_key.remove(&unit.key);
            if !unit.shares {
                // Other code may do without.
                self.crossing.remove(&unit.key);
            }
            page.lead(unit.key, arena, dispatcher);
        }
        if !gone.is_empty() {
            host::settle_changes();
        }
        if page.units.is_empty() {
            self.pages.remove(&gpa);
        }
    }
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
    /// Units made known so far, by their pages' numbers.
    published: [AtomicU64; NEWS],
    vcpus: Vec<Vcpu>,
    /// Jumps that were led directly to units.
    chained: AtomicU64,
    /// Where the code lies.
    arena: Arc<Maps>,
    /// Where jumps lead whose targets are no units.
    dispatcher: usize,
}

impl<G: Guest> CodeCache<G> {
    pub(crate) fn new(
        attentions: impl IntoIterator<Item = Arc<Attention>>,
        arena: Arc<Maps>,
        dispatcher: usize,
    ) -> Self {
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
                crossing: HashSet::new(),
            }),
            generation: AtomicU64::new(OUTSIDE + 1),
            published: [const { AtomicU64::new(0) }; NEWS],
            vcpus: attentions.into_iter().map(vcpu).collect(),
            chained: AtomicU64::new(0),
            arena,
            dispatcher,
        }
    }

    /// How often a jump was led directly to a unit.
    pub(crate) fn chained(&self) -> u64 {
        self.chained.load(Ordering::Relaxed)
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
            units.refused.clear();
            units.crossing.clear();
            (0..NEWS).for_each(|page| self.announce((page * PAGE) as u64));
            self.generation.fetch_add(1, Ordering::SeqCst) + 1
        };
        for vcpu in &self.vcpus {
            vcpu.attention.raise(Requests::LEAVE);
            let inside = || vcpu.inside.load(Ordering::SeqCst);
            while !matches!(inside(), OUTSIDE) && inside() != now {
                std::thread::yield_now();
            }
        }
    }

    // --- units

    fn news(&self, gpa: u64) -> &AtomicU64 {
        &self.published[(gpa / PAGE as u64) as usize % NEWS]
    }

    /// How many units in the page of an address, and in some others, were made known or
    /// given up: while it is the same, there is nothing new to be found.
    pub(crate) fn published(&self, gpa: u64) -> u64 {
        self.news(gpa).load(Ordering::Acquire)
    }

    /// There is something to be found in a page.
    fn announce(&self, gpa: u64) {
        self.news(gpa).fetch_add(1, Ordering::Release);
    }

    /// What there is for an address in a page of this version.
    pub(crate) fn find(&self, key: Key<G>, page: PageId) -> Found {
        let units = self.lock();
        if let Some(code) = units.by_key.get(&key) {
            let known = units.pages.get(&page.gpa);
            return match known.is_some_and(|p| p.settled && p.version == page.version) {
                true => Found::Unit(*code),
                false => Found::Stale,
            };
        }
        match units.awaited.contains(&key) || units.refused.contains(&key) {
            true => Found::Awaited,
            false => Found::Nothing,
        }
    }

    /// Where regions of the same page and mode are entered, as offsets in the page.
    pub(crate) fn entries(&self, (gpa, mode): Key<G>) -> BTreeSet<u64> {
        let units = self.lock();
        let page = units.pages.get(&(gpa & !(PAGE as u64 - 1)));
        let known = page.into_iter().flat_map(|page| &page.units);
        let regions = known.filter(|known| known.key.1 == mode && known.is_region);
        regions.map(|known| known.key.0 % PAGE as u64).collect()
    }

    /// Notes that a region is on its way; false where it already was, is there, or never
    /// will be.
    pub(crate) fn await_region(&self, job: &Job<G>) -> bool {
        let units = &mut *self.lock();
        if units.prospect(job.key) != Prospect::Open {
            return false;
        }
        // Whatever becomes of the page meanwhile, it is then known whether this changed.
        if let Some(page) = units.pages.get_mut(&job.page.gpa) {
            page.take_in(job);
        }
        units.awaited.insert(job.key)
    }

    /// What is to be expected of a region.
    pub(crate) fn prospect(&self, key: Key<G>) -> Prospect {
        self.lock().prospect(key)
    }

    /// A unit will not come.
    pub(crate) fn give_up(&self, key: Key<G>) {
        self.lock().awaited.remove(&key);
        self.announce(key.0);
    }

    /// A unit will never come.
    pub(crate) fn refuse(&self, key: Key<G>) {
        let units = &mut *self.lock();
        units.awaited.remove(&key);
        units.refused.insert(key);
    }

    /// Pages with units: copies of them are kept.
    pub(crate) fn pages(&self) -> usize {
        self.lock().pages.len()
    }

    /// Whether nobody waits for a unit.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().awaited.is_empty()
    }

    /// The page's content now is `bytes`: forgets the units that were made from others.
    pub(crate) fn revalidate(&self, page: PageId, settled: bool, bytes: &[u8; PAGE]) {
        let units = &mut *self.lock();
        let Some(known) = units.pages.get_mut(&page.gpa) else {
            return;
        };
        (known.version, known.settled) = (page.version, settled);
        if known.bytes.are_all_of(bytes) {
            return;
        }
        let old = known.bytes.clone();
        known.bytes.renew(bytes);
        let changed = |unit: &mut Known<G>| !old.are_of(bytes, unit.extent);
        units.forget(page.gpa, &self.arena, self.dispatcher, changed);
    }

    /// A unit is to be made anew, in which each access looks for itself.
    pub(crate) fn make_anew(&self, key: Key<G>) {
        let units = &mut *self.lock();
        units.crossing.insert(key);
        let page = key.0 & !(PAGE as u64 - 1);
        // Another vCPU, which had the old one, may have come first.
        let this = |unit: &mut Known<G>| unit.key == key && unit.shares;
        units.forget(page, &self.arena, self.dispatcher, this);
        self.announce(key.0);
    }

    /// Whether a unit is one of those.
    pub(crate) fn crosses(&self, key: Key<G>) -> bool {
        self.lock().crossing.contains(&key)
    }

    /// Makes a unit known, unless its page has changed since. One of the baseline compiler's
    /// is not where there is another, or the arena has been emptied. Whether it now is.
    pub(crate) fn publish(&self, job: Job<G>, unit: Unit, tier: Tier) -> bool {
        let units = &mut *self.lock();
        match tier {
            Tier::Region => _ = units.awaited.remove(&job.key),
            Tier::Baseline(generation) => {
                let gone = self.generation.load(Ordering::SeqCst) != generation;
                if gone || units.by_key.contains_key(&job.key) {
                    return false;
                }
            }
        }
        let extent = job.region.extent();
        let page = units.pages.entry(job.page.gpa).or_insert_with(|| Page {
            version: job.page.version,
            settled: job.settled,
            bytes: Pieces::default(),
            units: Vec::new(),
        });
        page.take_in(&job);
        if !page.bytes.hold(extent) || !page.bytes.agree(&job.bytes, extent) {
            // Whoever waited for it may ask again.
            self.announce(job.key.0);
            return false;
        }
        let (gpa, mode) = job.key;
        // It may jump to itself.
        units.by_key.insert(job.key, unit.code);
        let mut chained = 0;
        for link in &unit.links {
            let target = (gpa & !(PAGE as u64 - 1) | u64::from(link.to), mode);
            if let Some(code) = units.by_key.get(&target) {
                link.lead_to(&self.arena, *code);
                chained += 1;
            }
        }
        self.announce(gpa);
        chained += page.lead(job.key, &self.arena, unit.code);
        self.chained.fetch_add(chained, Ordering::Relaxed);
        page.units.retain(|known| known.key != job.key);
        page.units.push(Known {
            key: job.key,
            is_region: tier == Tier::Region,
            extent,
            shares: job.region.shares,
            unit,
        });
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::{Changeable, Distance};
    use crate::link::Link;
    use crate::region::Placed;
    use crate::scan::Facts;
    use isoform_core::Insn;
    use isoform_riscv::Hart;
    use std::collections::BTreeMap;

    const GPA: u64 = 0x8000_0000;

    fn mode() -> <Hart as Guest>::Mode {
        isoform_riscv::Mode {
            privilege: isoform_riscv::Priv::M,
            fp_off: true,
            zeroes: true,
            ialign_32: false,
        }
    }

    fn page(version: u32) -> PageId {
        PageId { gpa: GPA, version }
    }

    /// A region of one instruction at `at`, in a page that is all `fill`.
    pub(crate) fn job(at: u64, version: u32, fill: u8) -> Job<Hart> {
        let placed = Placed {
            at,
            insn: Insn::default(),
            length: 4,
            facts: Facts::default(),
        };
        Job {
            key: (GPA | at, mode()),
            page: page(version),
            settled: true,
            bytes: Pieces::of(&[fill; PAGE], (0, PAGE)),
            region: Region {
                entry: at,
                blocks: BTreeMap::from([(at, vec![placed])]),
                shares: true,
            },
            only_kept: false,
        }
    }

    fn cache() -> CodeCache<Hart> {
        let arena = crate::arena::Arena::new(PAGE).expect("memory");
        CodeCache::new([Arc::new(Attention::new())], arena.maps().clone(), 0)
    }

    fn unit(code: usize) -> Unit {
        Unit {
            code,
            end: code,
            links: Vec::new(),
        }
    }

    #[test]
    fn a_unit_is_found_while_its_page_is_the_same() {
        let cache = cache();
        let key = job(8, 1, 0).key;
        assert_eq!(cache.find(key, page(1)), Found::Nothing);
        let awaited = job(8, 1, 0);
        assert!(cache.await_region(&awaited) && !cache.await_region(&awaited));
        assert_eq!(cache.find(key, page(1)), Found::Awaited);
        cache.publish(job(8, 1, 0), unit(77), Tier::Region);
        assert_eq!(cache.find(key, page(1)), Found::Unit(77));
        assert_eq!(cache.find(key, page(2)), Found::Stale);
    }

    #[test]
    fn a_change_costs_the_units_that_it_touches() {
        let cache = cache();
        cache.publish(job(8, 1, 0), unit(1), Tier::Region);
        cache.publish(job(64, 1, 0), unit(2), Tier::Region);
        let mut bytes = [0; PAGE];
        bytes[11] = 1;
        cache.revalidate(page(2), true, &bytes);
        assert_eq!(cache.find(job(8, 1, 0).key, page(2)), Found::Nothing);
        assert_eq!(cache.find(job(64, 1, 0).key, page(2)), Found::Unit(2));
    }

    #[test]
    fn code_of_another_content_is_not_made_known() {
        let cache = cache();
        cache.publish(job(8, 2, 5), unit(1), Tier::Region);
        let published = cache.published(GPA);
        cache.publish(job(64, 1, 0), unit(2), Tier::Region);
        assert_ne!(
            cache.published(GPA),
            published,
            "who waits is to look again"
        );
        assert_eq!(cache.find(job(64, 1, 0).key, page(2)), Found::Nothing);
    }

    #[test]
    fn an_unsettled_page_is_read_again() {
        let cache = cache();
        let unsettled = Job {
            settled: false,
            ..job(8, 1, 0)
        };
        let key = unsettled.key;
        cache.publish(unsettled, unit(1), Tier::Region);
        assert_eq!(cache.find(key, page(1)), Found::Stale);
        cache.revalidate(page(1), true, &[0; PAGE]);
        assert_eq!(cache.find(key, page(1)), Found::Unit(1));
    }

    #[test]
    fn a_unit_made_twice_is_forgotten_by_its_new_extent() {
        let cache = cache();
        cache.publish(job(8, 1, 0), unit(1), Tier::Region);
        let mut longer = job(8, 1, 0);
        for block in longer.region.blocks.values_mut() {
            block.iter_mut().for_each(|placed| placed.length = 400);
        }
        let key = longer.key;
        cache.publish(longer, unit(2), Tier::Region);
        assert_eq!(cache.find(key, page(1)), Found::Unit(2));
        let mut bytes = [0; PAGE];
        bytes[300] = 1;
        cache.revalidate(page(2), true, &bytes);
        assert_eq!(cache.find(key, page(2)), Found::Nothing);
    }

    #[test]
    fn jumps_follow_the_units_that_they_lead_to() {
        let mut arena = crate::arena::Arena::new(PAGE).expect("memory");
        let at = arena.put(&[0; 64]).expect("room");
        let (maps, dispatcher) = (arena.maps().clone(), at + 48);
        let cache = CodeCache::<Hart>::new([], maps.clone(), dispatcher);
        let target = || (at + 4).wrapping_add(i32::from_le_bytes(maps.read(at)) as usize);
        let jumping = Unit {
            end: 0,
            code: at,
            links: vec![Link {
                jump: Changeable {
                    at,
                    home: dispatcher,
                },
                distance: Distance::Bytes4,
                to: 64,
            }],
        };
        cache.publish(job(8, 1, 0), jumping.clone(), Tier::Region);
        cache.publish(job(64, 1, 0), unit(at + 16), Tier::Region);
        assert_eq!(target(), at + 16, "the later unit is jumped to");
        let mut bytes = [0; PAGE];
        bytes[65] = 1;
        cache.revalidate(page(2), true, &bytes);
        assert_eq!(target(), dispatcher, "it is gone");
        cache.publish(
            Job {
                bytes: Pieces::of(&bytes, (0, PAGE)),
                ..job(64, 2, 0)
            },
            unit(at + 32),
            Tier::Region,
        );
        assert_eq!(target(), at + 32);
        cache.publish(job(8, 2, 0), jumping, Tier::Region);
        assert_eq!(target(), at + 32, "the earlier unit is jumped to");
    }

    #[test]
    fn a_unit_made_anew_is_not_found_before_it_is_there() {
        let cache = cache();
        let key = job(8, 1, 0).key;
        cache.publish(job(8, 1, 0), unit(77), Tier::Region);
        let published = cache.published(key.0);
        assert!(!cache.crosses(key));
        cache.make_anew(key);
        assert!(cache.crosses(key) && cache.published(key.0) > published);
        assert_eq!(cache.find(key, page(1)), Found::Nothing);
        cache.publish(job(8, 1, 0), unit(78), Tier::Region);
        assert_eq!(cache.find(key, page(1)), Found::Unit(78));
    }

    #[test]
    fn a_generation_begins_once_its_vcpus_are_out() {
        let cache = Arc::new(cache());
        let first = cache.enter(0);
        cache.publish(job(8, 1, 0), unit(1), Tier::Region);
        let other = cache.clone();
        let compiler = std::thread::spawn(move || other.begin_generation());
        while cache.find(job(8, 1, 0).key, page(1)) != Found::Nothing {
            std::thread::yield_now();
        }
        assert!(!compiler.is_finished(), "a vCPU is still inside");
        assert!(cache.enter(0) > first);
        compiler.join().expect("it ends");
    }
}
