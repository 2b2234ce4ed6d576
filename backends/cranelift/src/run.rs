//! A vCPU's run loop: generated code where there is any, the interpreter elsewhere
//! (which is a parameter: one backend knows no other).

use crate::baseline;
use crate::call;
use crate::code::{Found, Job, Key, PAGE, Prospect};
use crate::exits::{Exits, Left};
use crate::jumps::{Entry, Jumps};
use crate::pieces::Pieces;
use crate::region::{self, Region};
use crate::translator::{Block, Shared, Translator};
use crate::warmth::Places;
use isoform_core::attention::MOST_LEFT;
use isoform_core::{Cold, Exit, Guest, PageId, Scratch, Translate};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Instructions interpreted from one place before the baseline compiler makes a block of it,
/// which takes as long as to interpret as many (12 us). With 100 real programs are as fast,
/// but an idle Debian takes 20 MiB more for blocks that are not entered any more.
const TEPID: u32 = 1_500;
/// How often a block is entered before there is to be a region in its place, which takes
/// Cranelift as long as some hundred such blocks take the vCPU, on another processor.
const HOT: i32 = 10_000;
/// The same for regions that are kept from another run.
const EARLY_HOT: i32 = 20;
/// Instructions interpreted from one place before the region there is translated. A
/// region takes the compiler as long as some hundred thousand instructions take the
/// interpreter, on another processor.
const WARM: u32 = 3_000;
/// The same for code that is kept from another run, if it is: to look is not for free.
const EARLY: u32 = 500;
/// How often accesses of a unit cross pages before it is made anew without looks that they
/// share: each time takes about as long as a hundred instructions interpreted.
const CROSSINGS: u32 = 1_000;
/// Instructions interpreted in a page that is not settled before it is compared once more: the
/// other vCPUs have time to come to where they say so.
const UNSETTLED: u64 = 5_000;
/// Units of which that is counted, at most.
const MOST_CROSSING: usize = 4_096;

/// What a vCPU did in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions executed as generated code.
    pub translated: u64,
    /// Instructions interpreted.
    pub interpreted: u64,
    /// Why generated code was left, each time that it was entered.
    pub exits: Exits,
}

/// A vCPU in translated form.
pub struct Jit<G: Translate, C> {
    translator: Arc<Translator<G>>,
    /// The vCPU's number.
    number: usize,
    /// What cold code runs in: an interpreter.
    cold: C,
    jumps: Jumps,
    /// The generation that the jumps lead to.
    generation: u64,
    places: Places<G>,
    /// How often blocks may still be entered before they are hot.
    counts_left: Box<[i32]>,
    /// How often a block is entered before it is hot.
    hot: i32,
    /// Instructions interpreted from one place before it is translated, by the baseline
    /// compiler and by the other.
    tepid: u32,
    warm: u32,
    /// See [`Jit::patient`].
    patient: bool,
    /// Instructions that generated code left to the interpreter.
    handed_back: u64,
    /// How often units were left where accesses crossed pages.
    crossings: HashMap<Key<G>, u32>,
    /// A page that another vCPU may still write to unseen, and how many instructions are
    /// interpreted there before it is looked at again.
    unsettled: (u64, u64),
    bytes: Box<[u8; PAGE]>,
    counts: Counts,
}

/// A vCPU that may run generated code, until this is dropped.
struct Inside<G: Translate>(Arc<Shared<G>>, usize);

impl<G: Translate> Drop for Inside<G> {
    fn drop(&mut self) {
        self.0.code.leave(self.1);
    }
}

impl<G: Translate, C: Cold<G>> Jit<G, C> {
    /// vCPU `number` of the translator's, and what its cold code runs in.
    pub fn new(translator: Arc<Translator<G>>, number: usize, cold: C) -> Self {
        Self {
            translator,
            number,
            cold,
            jumps: Jumps::new(),
            generation: 0,
            places: Places::new(),
            counts_left: vec![HOT; baseline::COUNTS].into(),
            hot: HOT,
            tepid: TEPID,
            warm: WARM,
            patient: false,
            handed_back: 0,
            crossings: HashMap::new(),
            unsettled: (0, 0),
            bytes: Box::new([0; PAGE]),
            counts: Counts::default(),
        }
    }

    /// Waits for the compiler, and looks at no host clock: what runs in which form is
    /// the same in every run. For tests and comparisons.
    pub fn patient(self) -> Self {
        Self {
            patient: true,
            ..self
        }
    }

    /// Translates all code before it is executed, and waits for it: slow, but whatever
    /// can be is run as generated code. For tests and comparisons.
    pub fn eager(self) -> Self {
        Self {
            warm: 0,
            ..self.patient()
        }
    }

    /// Makes blocks of all code before it is executed, and no regions before two thousand
    /// million entries of one: the baseline compiler alone. For tests and comparisons.
    pub fn baseline(self) -> Self {
        self.hurried(i32::MAX)
    }

    /// Makes blocks of all code before it is executed, and regions of those that are entered
    /// so often. For tests and comparisons.
    pub fn hurried(mut self, hot: i32) -> Self {
        self.counts_left.fill(hot);
        Self {
            tepid: 0,
            hot,
            warm: u32::MAX,
            ..self.patient()
        }
    }

    /// What the vCPU did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What its cold code runs in.
    pub fn cold(&self) -> &C {
        &self.cold
    }

    /// Runs at most `budget` instructions, trapping ones counted.
    ///
    /// Exact: where it returns [`Exit::Budget`], `budget` instructions were attempted.
    pub fn run(&mut self, guest: &mut G, budget: u64) -> Exit {
        self.prepare(guest);
        if !self.patient {
            for _ in 0..self.places.cool() {
                let hot = self.hot;
                let cool = |left: &mut i32| *left += (hot - *left).max(0) / 2;
                self.counts_left.iter_mut().for_each(cool);
            }
        }
        // Also where something of ours panics: the compiler must not wait for us.
        let _inside = Inside(self.translator.shared().clone(), self.number);
        self.run_until_exit(guest, budget)
    }

    fn prepare(&mut self, guest: &mut G) {
        let attention = guest.attention().word_address();
        *guest.scratch() = Scratch {
            attention,
            jumps: self.jumps.address(),
            counts: self.counts_left.as_mut_ptr() as usize,
            functions: call::functions::<G>(),
            ..Scratch::default()
        };
        // Somebody may have put another state there.
        self.handed_back = 0;
        self.renew();
    }

    /// Takes note that another generation of code has begun.
    fn renew(&mut self) {
        let generation = self.translator.shared().code.enter(self.number);
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.jumps.clear();
        }
    }

    fn run_until_exit(&mut self, guest: &mut G, budget: u64) -> Exit {
        let mut left = budget;
        loop {
            if guest.attention().is_set() {
                if let Some(exit) = guest.serve_attention() {
                    return exit;
                }
                // Afterwards: a request taken may have been for this.
                self.renew();
                self.handed_back = 0;
            }
            if left == 0 {
                return Exit::Budget;
            }
            left -= self.step(guest, left);
            if let Some(exit) = guest.take_exit() {
                return exit;
            }
        }
    }

    /// Executes at most `left` instructions, one way or the other; gives how many.
    fn step(&mut self, guest: &mut G, left: u64) -> u64 {
        if self.handed_back > 0 {
            let done = self.interpret(guest, self.handed_back.min(left));
            self.handed_back = self.handed_back.saturating_sub(done);
            return done;
        }
        let Ok(page) = guest.fetch_page() else {
            return self.interpret(guest, 1);
        };
        let pc = guest.pc();
        let mut entry = Entry {
            pc,
            stamp: guest.code_stamp(),
            page: guest.fetch_word().unwrap_or(page.gpa),
            code: 0,
        };
        if let Some(code) = self.jumps.find(&entry, guest.code_since()) {
            entry.code = code;
            return self.execute(guest, entry, left);
        }
        if self.unsettled.0 == page.gpa && self.unsettled.1 > 0 {
            let done = self.interpret(guest, left.min(self.unsettled.1));
            self.unsettled.1 -= done;
            return done;
        }
        let key = key(guest, page, pc);
        let published = self.translator.shared().code.published(page.gpa);
        if let Some(awaited) = self.places.is_known(key, published) {
            return self.interpret_cold(guest, page, key, left, awaited);
        }
        let found = self.translator.shared().code.find(key, page);
        match found {
            Found::Unit(code) => {
                entry.code = code;
                self.jumps.insert(entry);
                self.execute(guest, entry, left)
            }
            Found::Stale => {
                let (page, settled) = self.read_page(guest, page);
                let code = &self.translator.shared().code;
                code.revalidate(page, settled, &self.bytes);
                self.unsettled = (page.gpa, if settled { 0 } else { UNSETTLED });
                self.interpret(guest, left)
            }
            Found::Awaited | Found::Nothing => {
                let awaited = found == Found::Awaited;
                self.places.note(key, published, awaited);
                self.interpret_cold(guest, page, key, left, awaited)
            }
        }
    }

    /// Interprets from a place that has no unit, and asks for one once it is warm and
    /// nobody has.
    fn interpret_cold(
        &mut self,
        guest: &mut G,
        page: PageId,
        key: Key<G>,
        limit: u64,
        awaited: bool,
    ) -> u64 {
        if self.places.is_tepid(key, self.tepid) && self.make_block(guest, page, key) {
            // It is looked for once more.
            return 0;
        }
        if awaited {
            if self.places.is_hot(key, self.warm) {
                self.translator.hurry(key);
            }
            let done = self.interpret(guest, limit);
            self.places.warm_up(key, done);
            return done;
        }
        let early = match self.translator.shared().has_kept() {
            true => EARLY,
            false => u32::MAX,
        };
        if let Some(only_kept) = self.places.is_warm(key, early, self.warm)
            && self.ask(guest, page, key, only_kept)
            && self.patient
        {
            // It is looked for once more.
            return 0;
        }
        let done = self.interpret(guest, limit);
        self.places.warm_up(key, done);
        done
    }

    /// Reads a page: its version, and whether the bytes are that version's. They are if
    /// nobody can write to it unseen before it is read, and its version, being tracked
    /// all the while, stays the same.
    fn read_page(&mut self, guest: &mut G, page: PageId) -> (PageId, bool) {
        let tracked = guest.read_code(page, 0, &mut *self.bytes);
        let settled = guest.code_settled(page);
        let version = guest.read_code(page, 0, &mut *self.bytes);
        (PageId { version, ..page }, settled && version == tracked)
    }

    /// What is to be translated for a place, as `find` tells it from the page's content, the
    /// place's offset and those of regions.
    fn job(
        &mut self,
        guest: &mut G,
        page: PageId,
        key: Key<G>,
        find: impl FnOnce(&G, &[u8; PAGE], u64, &BTreeSet<u64>) -> Option<Region>,
    ) -> Option<Job<G>> {
        let (page, settled) = self.read_page(guest, page);
        // What is known of the page may be older; the unit would then not fit in.
        let code = &self.translator.shared().code;
        code.revalidate(page, settled, &self.bytes);
        let others = code.entries(key);
        let region = find(guest, &self.bytes, key.0 % PAGE as u64, &others)?;
        Some(Job {
            key,
            page,
            settled,
            bytes: Pieces::of(&self.bytes, region.extent()),
            region,
            only_kept: false,
        })
    }

    /// Makes a block of a place; false where none can be made.
    fn make_block(&mut self, guest: &mut G, page: PageId, key: Key<G>) -> bool {
        let shared = self.translator.shared().clone();
        let job = match shared.has_baseline && shared.has_room() {
            true => self.job(guest, page, key, baseline::find),
            false => None,
        };
        let made = match job {
            Some(job) => shared.make_block(job, self.generation),
            None => Block::Never,
        };
        let count = match made {
            Block::Counted(count) => count,
            Block::NotNow => return false,
            Block::Never => {
                self.places.note_plain(key);
                return false;
            }
        };
        self.counts_left[count] = match shared.has_kept() {
            true => self.hot.min(EARLY_HOT),
            false => self.hot,
        };
        true
    }

    /// A block is entered so often that there is to be a region in its place.
    fn note_hot(&mut self, guest: &mut G, count: usize) {
        if let Some(left) = self.counts_left.get_mut(count) {
            *left = self.hot;
        }
        let Ok(page) = guest.fetch_page() else {
            return;
        };
        let pc = guest.pc();
        let key = key(guest, page, pc);
        match self.translator.shared().code.prospect(key) {
            // This vCPU is to find it.
            Prospect::There => self.jumps.forget(pc),
            Prospect::Awaited => self.translator.hurry(key),
            Prospect::Never => {}
            Prospect::Open => {
                let has_kept = self.translator.shared().has_kept();
                let only_kept = has_kept && self.places.tries_kept(key);
                self.ask(guest, page, key, only_kept);
            }
        }
    }

    /// Asks for a region; false where nothing is to be translated.
    fn ask(&mut self, guest: &mut G, page: PageId, key: Key<G>, only_kept: bool) -> bool {
        let shares = !self.translator.shared().code.crosses(key);
        let find = |guest: &G, bytes: &_, entry, others: &_| {
            region::find(guest, bytes, entry, others, shares)
        };
        let Some(job) = self.job(guest, page, key, find) else {
            return false;
        };
        self.translator.ask(Job { only_kept, ..job });
        while self.patient && !self.translator.shared().code.is_idle() {
            // No generated code runs here: the compiler may begin another generation.
            self.renew();
            std::thread::yield_now();
        }
        true
    }

    fn interpret(&mut self, guest: &mut G, limit: u64) -> u64 {
        let done = self.cold.piece(guest, limit);
        self.counts.interpreted += done;
        done
    }

    /// A unit was left where accesses that share a look crossed pages. Once that has taken
    /// as long as to translate it, it is made anew.
    fn note_crossing(&mut self, guest: &mut G) {
        let (pc, entry) = (guest.pc(), guest.scratch().entry);
        let Ok(page) = guest.fetch_page() else {
            return;
        };
        if pc / PAGE as u64 != entry / PAGE as u64 {
            return;
        }
        let key = key(guest, page, entry);
        if self.crossings.len() >= MOST_CROSSING {
            self.crossings.clear();
        }
        let count = self.crossings.entry(key).or_insert(0);
        *count += 1;
        if *count >= CROSSINGS {
            self.crossings.remove(&key);
            self.translator.shared().code.make_anew(key);
            // This vCPU is to find the new one.
            self.jumps.forget(entry);
        }
    }

    /// Runs a unit, and those that follow it.
    fn execute(&mut self, guest: &mut G, entry: Entry, left: u64) -> u64 {
        let left = left.min(MOST_LEFT - 1);
        let since = guest.code_since();
        let scratch = guest.scratch();
        (scratch.stamp, scratch.since) = (entry.stamp, since);
        (scratch.told, scratch.handed_back, scratch.crossed) = (left, 0, 0);
        scratch.hot = 0;
        let stub = self.translator.shared().enter;
        let after = enter(stub, guest, entry.pc, left, entry.code);
        let scratch = guest.scratch();
        let (told, crossed, hot) = (scratch.told, scratch.crossed, scratch.hot);
        self.handed_back = scratch.handed_back;
        guest.advance(told.wrapping_sub(after));
        if crossed != 0 {
            self.note_crossing(guest);
        }
        if let Some(count) = hot.checked_sub(1) {
            self.note_hot(guest, count as usize);
        }
        self.counts.exits.note(&Left {
            handed_back: self.handed_back,
            hot: hot != 0,
            asked: guest.attention().is_set(),
            exits: guest.exits(),
        });
        let done = left.wrapping_sub(after);
        self.counts.translated += done;
        done
    }
}

/// The unit that is entered at an address in a page.
fn key<G: Guest>(guest: &G, page: PageId, address: u64) -> Key<G> {
    (page.gpa | (address % PAGE as u64), guest.mode())
}

/// Enters generated code; instructions left when it returns.
fn enter<G: Translate>(stub: usize, guest: &mut G, pc: u64, left: u64, code: usize) -> u64 {
    // SAFETY: `stub` is the address of the entry stub, which has this signature, and
    // `code` that of a unit; both lie in an arena that the translator keeps, and the
    // unit's generation cannot end while this vCPU is marked as inside. Units access
    // the vCPU within its layout, and RAM where the soft TLB leads.
    #[expect(unsafe_code, reason = "this is where generated code is entered")]
    unsafe {
        let stub: extern "C" fn(*mut G, u64, u64, usize) -> u64 = std::mem::transmute(stub);
        stub(guest, pc, left, code)
    }
}
