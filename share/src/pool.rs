//! Threads that answer requests.
//!
//! A request that the host is slow with keeps one of [`THREADS`] busy; the others go on.
//! A flush (`Tflush`) is answered once what it flushes has been: what waits for a thread
//! is answered with EINTR at once, what is being done is done, since no system call on
//! files can be taken back. No thread waits meanwhile.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::server::{Share, interrupted};
use crate::spec::kind;
use crate::wire::Reader;

/// Requests that are done side by side: what one client's programs wait for at a time.
const THREADS: usize = 4;

/// A request for a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Names it where it is answered; not used twice.
    pub id: u64,
    /// The message.
    pub request: Vec<u8>,
    /// Bytes that the answer may have: at least [`ERROR_BYTES`](crate::ERROR_BYTES).
    pub room: usize,
}

impl Job {
    /// The kind and the tag of the message.
    fn header(&self) -> (u8, u16) {
        let mut reader = Reader::new(&self.request);
        let mut header = || {
            reader.u32()?;
            Ok::<_, rustix::io::Errno>((reader.u8()?, reader.u16()?))
        };
        header().unwrap_or_default()
    }

    /// The tag of the request that this one flushes.
    fn flushes(&self) -> Option<u16> {
        let (kind, _) = self.header();
        let mut reader = Reader::new(&self.request);
        reader.bytes(crate::wire::HEADER_BYTES).ok()?;
        (kind == kind::TFLUSH).then(|| reader.u16().ok()).flatten()
    }
}

/// Who hears of answers: the request's id, and the message.
type Hear = dyn Fn(u64, Vec<u8>) + Send + Sync;

struct Pool {
    share: Share,
    hear: Box<Hear>,
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Ids and tags.
    running: Vec<(u64, u16)>,
    flushes: Vec<Flush>,
    closing: bool,
}

/// A flush of requests that are being done.
struct Flush {
    job: Job,
    after: BTreeSet<u64>,
}

/// The threads of a share. Dropped, they finish what was asked of them.
pub struct Workers {
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
}

/// Where requests go.
#[derive(Clone)]
pub struct Submitter(Arc<Pool>);

impl Workers {
    /// Has requests answered by `share`; each one's id and answer go to `hear`, from any
    /// thread, [`Submitter::submit`]'s among them.
    ///
    /// # Errors
    /// The host gives no threads.
    pub fn start(
        share: Share,
        hear: impl Fn(u64, Vec<u8>) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let pool = Arc::new(Pool {
            share,
            hear: Box::new(hear),
            queue: Mutex::default(),
            news: Condvar::new(),
        });
        let mut workers = Self {
            pool,
            threads: Vec::new(),
        };
        for _ in 0..THREADS {
            let pool = workers.pool.clone();
            let builder = std::thread::Builder::new().name("share".into());
            workers.threads.push(builder.spawn(move || pool.work())?);
        }
        Ok(workers)
    }

    /// Where requests go.
    pub fn submitter(&self) -> Submitter {
        Submitter(self.pool.clone())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.pool.queue().closing = true;
        self.pool.news.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that is gone has panicked, which has been reported.
            let _ = thread.join();
        }
    }
}

impl Submitter {
    /// Has a request answered, soon. Does not wait.
    pub fn submit(&self, job: Job) {
        match job.flushes() {
            None => {
                self.0.queue().waiting.push_back(job);
                self.0.news.notify_one();
            }
            Some(tag) => self.0.flush(job, tag),
        }
    }
}

impl Pool {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, job: &Job) {
        let answer = self.share.answer(&job.request, job.room);
        (self.hear)(job.id, answer);
    }

    /// A thread's life.
    fn work(&self) {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                queue.running.push((job.id, job.header().1));
                drop(queue);
                self.answer(&job);
                queue = self.finished(job.id);
            } else if queue.closing {
                return;
            } else {
                queue = self
                    .news
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Answers the flushes that waited for this request alone.
    fn finished(&self, id: u64) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue();
        queue.running.retain(|(running, _)| *running != id);
        if queue.flushes.is_empty() {
            return queue;
        }
        for flush in &mut queue.flushes {
            flush.after.remove(&id);
        }
        let done = queue.flushes.extract_if(.., |f| f.after.is_empty());
        let done: Vec<Flush> = done.collect();
        drop(queue);
        done.iter().for_each(|flush| self.answer(&flush.job));
        self.queue()
    }

    /// Takes what waits back, and answers `job` after what runs.
    fn flush(&self, job: Job, tag: u16) {
        let mut queue = self.queue();
        let (flushed, waiting): (VecDeque<Job>, _) = std::mem::take(&mut queue.waiting)
            .into_iter()
            .partition(|waiting| waiting.header().1 == tag);
        queue.waiting = waiting;
        let running = queue.running.iter().filter(|(_, of)| *of == tag);
        let after: BTreeSet<u64> = running.map(|(id, _)| *id).collect();
        let at_once = after.is_empty();
        if !at_once {
            queue.flushes.push(Flush {
                job: job.clone(),
                after,
            });
        }
        drop(queue);
        for flushed in flushed {
            (self.hear)(flushed.id, interrupted(tag));
        }
        if at_once {
            self.answer(&job);
        }
    }
}
