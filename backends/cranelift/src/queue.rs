//! What waits for the compiler. The hottest comes first: vCPUs say of what they wait for
//! how much they have interpreted meanwhile.

use crate::code::{Job, Key};
use isoform_core::Guest;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Regions that may wait; more are asked for again when they are still warm.
const WAITING: usize = 512;

/// A job, and how often somebody asked for it to be hurried.
struct Waiting<G: Guest> {
    job: Job<G>,
    heat: u32,
}

struct Jobs<G: Guest> {
    waiting: Vec<Waiting<G>>,
    closed: bool,
}

/// What the compiler is to do next.
pub(crate) enum Next<G: Guest> {
    /// A job.
    Job(Job<G>),
    /// Nothing, for as long as it had patience.
    Nothing,
    /// There will be no more jobs, whether some are left or not.
    Closed,
}

/// The queue.
pub(crate) struct Queue<G: Guest> {
    jobs: Mutex<Jobs<G>>,
    more: Condvar,
}

impl<G: Guest> Queue<G> {
    pub(crate) fn new() -> Self {
        Self {
            jobs: Mutex::new(Jobs {
                waiting: Vec::new(),
                closed: false,
            }),
            more: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs<G>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; false where too many wait.
    pub(crate) fn push(&self, job: Job<G>) -> bool {
        let mut jobs = self.lock();
        let fits = jobs.waiting.len() < WAITING && !jobs.closed;
        if fits {
            jobs.waiting.push(Waiting { job, heat: 0 });
            self.more.notify_one();
        }
        fits
    }

    /// A unit is waited for, in code that is hot.
    pub(crate) fn hurry(&self, key: Key<G>) {
        let mut jobs = self.lock();
        if let Some(waiting) = jobs.waiting.iter_mut().find(|w| w.job.key == key) {
            waiting.heat = waiting.heat.saturating_add(1);
        }
    }

    /// Takes the hottest job, of equally hot ones the latest; waits for one so long.
    pub(crate) fn pop(&self, patience: Duration) -> Next<G> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return Next::Closed;
            }
            let hottest = (0..).zip(&jobs.waiting).max_by_key(|(_, w)| w.heat);
            if let Some(at) = hottest.map(|(at, _)| at) {
                return Next::Job(jobs.waiting.remove(at).job);
            }
            let more = self.more.wait_timeout(jobs, patience);
            let (now, waited) = more.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() && now.waiting.is_empty() && !now.closed {
                return Next::Nothing;
            }
            jobs = now;
        }
    }

    /// There will be no more jobs, and those that wait are not wanted.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::tests::job;

    #[test]
    fn whoever_has_patience_for_so_long_is_told_of_nothing() {
        let queue = Queue::<isoform_riscv::Hart>::new();
        let patience = Duration::from_millis(1);
        assert!(matches!(queue.pop(patience), Next::Nothing));
        assert!(queue.push(job(0, 1, 0)));
        assert!(matches!(queue.pop(patience), Next::Job(_)));
        queue.close();
        assert!(matches!(queue.pop(patience), Next::Closed));
    }

    /// Takes a job that is there.
    fn pop(queue: &Queue<isoform_riscv::Hart>) -> Job<isoform_riscv::Hart> {
        match queue.pop(Duration::MAX) {
            Next::Job(job) => job,
            Next::Nothing | Next::Closed => panic!("one waits"),
        }
    }

    #[test]
    fn the_hottest_comes_first_then_the_latest() {
        let queue = Queue::new();
        for at in [0, 8, 16] {
            assert!(queue.push(job(at, 1, 0)));
        }
        queue.hurry(job(0, 1, 0).key);
        let order: Vec<_> = (0..3).map(|_| pop(&queue).key.0).collect();
        assert_eq!(order, [0, 16, 8].map(|at| job(at, 1, 0).key.0));
        assert!(queue.push(job(0, 1, 0)));
        queue.close();
        let next = queue.pop(Duration::MAX);
        assert!(matches!(next, Next::Closed), "what waits is not wanted");
        assert!(!queue.push(job(0, 1, 0)));
    }

    #[test]
    fn it_holds_so_many() {
        let queue = Queue::new();
        assert!((0..WAITING as u64).all(|n| queue.push(job(n * 2 % 4096, 1, 0))));
        assert!(!queue.push(job(0, 1, 0)));
        pop(&queue);
        assert!(queue.push(job(0, 1, 0)));
    }
}
