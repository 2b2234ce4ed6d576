//! A machine's translator: the shared code, and the thread that makes it.

use crate::baseline;
use crate::code::{CodeCache, Job, Key, Tier};
use crate::compile::Compiler;
use crate::heap;
use crate::linker::{Linker, Refused, Unit};
use crate::object::Object;
use crate::queue::{Next, Queue};
use crate::store::{self, Store};
use isoform_core::{Attention, Guest, Translate};
use rustix::time::{ClockId, clock_gettime};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the compiler waits for work before it gives back the memory that it works in,
/// and that of others.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of the code cache for each page of which a copy may be kept: with them, a
/// guest cannot have us take more than a quarter beyond the cache's size.
const PAGE_SHARE: usize = 16 << 10;

/// Why there is no translator.
#[derive(Debug, thiserror::Error)]
pub enum TranslatorError {
    /// The host cannot run what would be generated.
    #[error("code cannot be translated on this host: {0}")]
    Host(String),
    /// The host gives no memory for code.
    #[error("the host gives no memory for translated code")]
    Memory(#[source] std::io::Error),
    /// The host gives no thread.
    #[error("the host gives no thread for the compiler")]
    Thread(#[source] std::io::Error),
}

/// What a translator did, for the exit ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TranslatorStats {
    /// Regions translated.
    pub units: u64,
    /// Those of them that were kept from other runs.
    pub kept: u64,
    /// Instructions in them.
    pub instructions: u64,
    /// Processor time that took, in nanoseconds.
    pub nanoseconds: u64,
    /// Blocks that the baseline compiler made.
    pub blocks: u64,
    /// Instructions in them.
    pub block_instructions: u64,
    /// Time that took, in nanoseconds.
    pub block_nanoseconds: u64,
    /// How often a jump was led directly to a unit.
    pub chained: u64,
    /// Bytes of code in use.
    pub bytes: u64,
    /// How often the cache was full and begun anew.
    pub generations: u64,
}

/// A unit that was made.
#[derive(Debug, Clone)]
pub struct Made<G: Guest> {
    /// Guest-physical address at which it is entered.
    pub gpa: u64,
    /// The mode that it is for.
    pub mode: G::Mode,
    /// It is the baseline compiler's.
    pub baseline: bool,
    /// Where its host code lies. The place is used anew when the cache was full.
    pub code: Range<usize>,
}

/// Somebody who is told of each unit that was made, on the thread that made it.
type Watch<G> = Box<dyn Fn(Made<G>) + Send + Sync>;

#[derive(Default)]
struct Counters {
    units: AtomicU64,
    kept: AtomicU64,
    instructions: AtomicU64,
    nanoseconds: AtomicU64,
    blocks: AtomicU64,
    block_instructions: AtomicU64,
    block_nanoseconds: AtomicU64,
    bytes: AtomicU64,
    generations: AtomicU64,
}

/// What vCPUs and the compiler share.
pub(crate) struct Shared<G: Translate> {
    pub(crate) code: CodeCache<G>,
    /// vCPUs do not wait for it.
    linker: Mutex<Linker>,
    /// The baseline compiler makes code for this host.
    pub(crate) has_baseline: bool,
    /// The address of the stub that leads into a unit.
    pub(crate) enter: usize,
    /// There is code kept from other runs.
    has_kept: AtomicBool,
    /// Pages of guest memory of which copies may be kept.
    max_pages: usize,
    watch: OnceLock<Watch<G>>,
    /// Names and places of what units call.
    stubs: Vec<(&'static str, Range<usize>)>,
    queue: Queue<G>,
    counters: Counters,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// It was made; the place of its count.
    Counted(usize),
    /// There was no way to put it anywhere at once.
    NotNow,
    /// The baseline compiler makes none of this.
    Never,
}

impl<G: Translate> Shared<G> {
    /// Whether there is code kept from other runs.
    pub(crate) fn has_kept(&self) -> bool {
        self.has_kept.load(Ordering::Relaxed)
    }

    fn linker(&self) -> MutexGuard<'_, Linker> {
        self.linker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, job: &Job<G>, unit: &Unit, tier: Tier) {
        if let Some(watch) = self.watch.get() {
            let (gpa, mode) = job.key;
            watch(Made {
                gpa,
                mode,
                baseline: tier != Tier::Region,
                code: unit.code..unit.end,
            });
        }
    }

    /// Makes a block for a vCPU that may run code of `generation`, on its own thread: at
    /// once, or not at all.
    pub(crate) fn make_block(&self, job: Job<G>, generation: u64) -> Block {
        let gpa = job.key.0;
        let made = catch_unwind(AssertUnwindSafe(|| self.try_block(job, generation)));
        // The panic's own message has been printed.
        made.unwrap_or_else(|_| {
            log::error!("the baseline compiler failed at {gpa:#x}: it makes no block of that");
            Block::Never
        })
    }

    fn try_block(&self, job: Job<G>, generation: u64) -> Block {
        let start = Instant::now();
        let counters = &self.counters;
        let count = counters.blocks.load(Ordering::Relaxed) as usize % baseline::COUNTS;
        let Some((object, _)) = baseline::compile::<G>(&job.region, job.key.1, count) else {
            return Block::Never;
        };
        let linker = match self.linker.try_lock() {
            Ok(linker) => linker,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return Block::NotNow,
        };
        // In a full arena there is room once a region has been asked for.
        let Ok(unit) = self.place(linker, object) else {
            return Block::NotNow;
        };
        let instructions = job.region.instructions() as u64;
        let tier = Tier::Baseline(generation);
        self.tell(&job, &unit, tier);
        if !self.code.publish(job, unit, tier) {
            return Block::NotNow;
        }
        let taken = start.elapsed().as_nanos() as u64;
        for (counter, more) in [
            (&counters.blocks, 1),
            (&counters.block_instructions, instructions),
            (&counters.block_nanoseconds, taken),
        ] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
        Block::Counted(count)
    }

    fn place(&self, mut linker: MutexGuard<'_, Linker>, object: Object) -> Result<Unit, Refused> {
        let placed = linker.place(object);
        let used = linker.used() as u64;
        self.counters.bytes.store(used, Ordering::Relaxed);
        placed
    }

    /// Whether copies of more pages may be kept.
    pub(crate) fn has_room(&self) -> bool {
        self.code.pages() < self.max_pages
    }
}

/// The translator of one machine.
pub struct Translator<G: Translate> {
    shared: Arc<Shared<G>>,
    /// Owns the compiler.
    thread: Option<JoinHandle<()>>,
}

impl<G: Translate> Translator<G> {
    /// A translator whose code takes at most `code_cache` bytes, for vCPUs that are
    /// stopped by these attention words, in the order of their numbers. Code is kept
    /// between runs in the folder `kept`, where there is one.
    pub fn new(
        code_cache: usize,
        attentions: impl IntoIterator<Item = Arc<Attention>>,
        kept: Option<PathBuf>,
    ) -> Result<Self, TranslatorError> {
        let mut compiler = Compiler::<G>::new()?;
        let linker = Linker::new(code_cache, |stub| compiler.stub(stub))?;
        let shared = Arc::new(Shared {
            code: CodeCache::new(attentions, linker.maps().clone(), linker.dispatcher()),
            has_baseline: compiler.has_baseline(),
            enter: linker.enter(),
            has_kept: AtomicBool::new(false),
            max_pages: (code_cache / PAGE_SHARE).max(1),
            watch: OnceLock::new(),
            stubs: linker.stubs(),
            linker: Mutex::new(linker),
            queue: Queue::new(),
            counters: Counters::default(),
        });
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("compiler".into())
            .spawn(move || Worker::new(&worker, compiler, kept).work())
            .map_err(TranslatorError::Thread)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What it did so far.
    pub fn stats(&self) -> TranslatorStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters {
            units,
            kept,
            instructions,
            nanoseconds,
            blocks,
            block_instructions,
            block_nanoseconds,
            bytes,
            generations,
        } = &self.shared.counters;
        TranslatorStats {
            units: read(units),
            kept: read(kept),
            instructions: read(instructions),
            nanoseconds: read(nanoseconds),
            blocks: read(blocks),
            block_instructions: read(block_instructions),
            block_nanoseconds: read(block_nanoseconds),
            chained: self.shared.code.chained(),
            bytes: read(bytes),
            generations: read(generations),
        }
    }

    /// Has somebody told of each unit that is made from now on; only the first who asks. Of
    /// blocks on the vCPU's thread, which waits for `watch`.
    pub fn watch(&self, watch: impl Fn(Made<G>) + Send + Sync + 'static) {
        // Whoever came first stays.
        let _ = self.shared.watch.set(Box::new(watch));
    }

    /// Names of what all units call, and where it lies.
    pub fn stubs(&self) -> &[(&'static str, Range<usize>)] {
        &self.shared.stubs
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<G>> {
        &self.shared
    }

    /// Asks for a unit; it is known once it is there.
    pub(crate) fn ask(&self, job: Job<G>) {
        let key = job.key;
        if !self.shared.code.await_region(&job) {
            return;
        }
        if !self.shared.queue.push(job) {
            self.shared.code.give_up(key);
        }
    }

    /// A unit that was asked for is waited for, in code that is hot.
    pub(crate) fn hurry(&self, key: Key<G>) {
        self.shared.queue.hurry(key);
    }
}

impl<G: Translate> Drop for Translator<G> {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported; what was translated before stays valid.
            drop(thread.join());
        }
    }
}

/// The thread that translates.
struct Worker<'a, G: Translate> {
    shared: &'a Shared<G>,
    compiler: Compiler<G>,
    store: Option<Store>,
}

/// What became of a job.
enum Outcome {
    /// A unit, and whether it was kept from another run.
    Unit(Unit, bool),
    /// It is not kept, and nothing else was wanted.
    NotKept,
}

impl<'a, G: Translate> Worker<'a, G> {
    fn new(shared: &'a Shared<G>, compiler: Compiler<G>, kept: Option<PathBuf>) -> Self {
        let identity = compiler.identity();
        let store = kept.map(|folder| Store::open(&folder, identity.as_bytes()));
        let has_kept = store.as_ref().is_some_and(|store| store.len() > 0);
        shared.has_kept.store(has_kept, Ordering::Relaxed);
        Self {
            shared,
            compiler,
            store,
        }
    }

    /// Translates what is asked for, until nobody can ask any more.
    fn work(mut self) {
        let mut patience = Duration::MAX;
        loop {
            let job = match self.shared.queue.pop(patience) {
                Next::Job(job) => job,
                Next::Nothing => {
                    self.compiler.shrink();
                    heap::give_back();
                    patience = Duration::MAX;
                    continue;
                }
                Next::Closed => break,
            };
            let start = worked();
            self.translate_or_refuse(job);
            let taken = worked().saturating_sub(start).as_nanos() as u64;
            let counters = &self.shared.counters;
            counters.nanoseconds.fetch_add(taken, Ordering::Relaxed);
            patience = PATIENCE;
        }
        if let Some(mut store) = self.store {
            store.save();
        }
    }

    /// A panic in the compiler costs the region that it was at, not the machine: whoever
    /// waits for it must not wait for ever.
    fn translate_or_refuse(&mut self, job: Job<G>) {
        let key = job.key;
        // What it left half done is made anew or was never made known: the compiler's
        // buffers are replaced, and units are published last.
        let done = catch_unwind(AssertUnwindSafe(|| self.translate(job)));
        if done.is_err() {
            // The panic's own message has been printed.
            log::error!(
                "the compiler failed at {:#x}: it makes no region of that",
                key.0
            );
            self.compiler.shrink();
            self.shared.code.refuse(key);
        }
    }

    fn translate(&mut self, job: Job<G>) {
        let Shared { code, counters, .. } = self.shared;
        let instructions = job.region.instructions();
        let made = match self.shared.has_room() {
            true => self.make(&job),
            false => Err(Refused::Full),
        };
        match made {
            Ok(Outcome::Unit(unit, kept)) => {
                self.shared.tell(&job, &unit, Tier::Region);
                code.publish(job, unit, Tier::Region);
                counters.units.fetch_add(1, Ordering::Relaxed);
                counters.kept.fetch_add(kept.into(), Ordering::Relaxed);
                counters
                    .instructions
                    .fetch_add(instructions as u64, Ordering::Relaxed);
            }
            Ok(Outcome::NotKept) => code.give_up(job.key),
            Err(Refused::Full) => {
                // What is still warm will be asked for again. No vCPU is to put anything
                // into the arena between the two.
                let mut linker = self.shared.linker();
                code.begin_generation();
                linker.rewind();
                counters
                    .bytes
                    .store(linker.used() as u64, Ordering::Relaxed);
                counters.generations.fetch_add(1, Ordering::Relaxed);
            }
            Err(Refused::Unsupported(reason)) => {
                code.refuse(job.key);
                log::warn!("a region is not compiled: {reason}");
            }
        }
    }

    fn make(&mut self, job: &Job<G>) -> Result<Outcome, Refused> {
        let mode = job.key.1;
        let Some(store) = &mut self.store else {
            let object = self.compiler.region(&job.region, mode)?;
            return Ok(Outcome::Unit(self.place(object)?, false));
        };
        let digest = store::digest::<G>(&job.region, mode);
        let place = |object| self.shared.place(self.shared.linker(), object);
        match store.find(&digest).map(place) {
            Some(Ok(unit)) => return Ok(Outcome::Unit(unit, true)),
            Some(Err(Refused::Full)) => return Err(Refused::Full),
            // What cannot be placed is made anew.
            Some(Err(Refused::Unsupported(_))) | None => {}
        }
        if job.only_kept {
            return Ok(Outcome::NotKept);
        }
        let object = self.compiler.region(&job.region, mode)?;
        store.keep(digest, &object);
        Ok(Outcome::Unit(self.place(object)?, false))
    }

    fn place(&self, object: Object) -> Result<Unit, Refused> {
        self.shared.place(self.shared.linker(), object)
    }
}

/// How long this thread has run on a processor.
fn worked() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
