//! Submission and completion queues in guest memory (4.1).
//!
//! A command is fetched only when its completion queue will have room for the completion,
//! so that there is always a place for it: *reserved* by what is *outstanding*. Queues lie
//! in RAM, which was seen to when they were created.

use std::sync::atomic::Ordering;

use isoform_memory::Ram;
use vm_memory::{Bytes, GuestAddress};

use super::command::{Command, Entry, Status};
use super::prp::in_ram;
use super::spec::{CQE_BYTES, ErrorEvents, IO_QUEUES, PAGE, SQE_BYTES};

/// Queues of either kind: the admin queue and those for I/O.
const QUEUES: usize = IO_QUEUES as usize + 1;
/// The admin queues' identifier.
pub(super) const ADMIN: u16 = 0;

/// Where a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Guest-physical address.
    pub(super) base: u64,
    /// From 2 up.
    pub(super) entries: u16,
}

impl Shape {
    /// Whether a queue of entries with so many bytes lies in RAM, from the start of a page.
    pub(super) fn is_valid(self, ram: &Ram, entry_bytes: u64) -> bool {
        let bytes = u64::from(self.entries) * entry_bytes;
        self.entries >= 2 && self.base.is_multiple_of(PAGE) && in_ram(ram, self.base, bytes)
    }

    /// The number after `at`.
    fn after(self, at: u16) -> u16 {
        match at + 1 {
            next if next < self.entries => next,
            _ => 0,
        }
    }

    /// Entries from `from` up to `to`.
    fn distance(self, from: u16, to: u16) -> u16 {
        match to.checked_sub(from) {
            Some(distance) => distance,
            None => self.entries - from + to,
        }
    }
}

/// A submission queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubmissionQueue {
    pub(super) shape: Shape,
    /// The next entry to be fetched.
    pub(super) head: u16,
    /// Behind the last entry that the driver wrote.
    pub(super) tail: u16,
    /// Where completions go.
    pub(super) completions: u16,
    /// Commands fetched and not completed, but for those that wait for an event.
    pub(super) outstanding: u16,
    /// The command to delete the queue, which waits for those outstanding.
    pub(super) deletion: Option<u16>,
}

/// A completion queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompletionQueue {
    pub(super) shape: Shape,
    /// The next entry that the driver looks at.
    pub(super) head: u16,
    /// The next entry to be written.
    pub(super) tail: u16,
    /// The phase tag that tells new entries.
    pub(super) phase: bool,
    /// Interrupt vector, if the queue interrupts.
    pub(super) vector: Option<u16>,
    /// Entries were written that the driver was not told of. Never so between calls from
    /// outside, and therefore not saved.
    pub(super) posted: bool,
}

impl CompletionQueue {
    /// A queue without entries.
    pub(super) fn new(shape: Shape, vector: Option<u16>) -> Self {
        Self {
            shape,
            head: 0,
            tail: 0,
            phase: true,
            vector,
            posted: false,
        }
    }

    /// Whether there are entries that the driver has not looked at.
    fn is_pending(&self) -> bool {
        self.head != self.tail
    }

    /// Entries that can be written before the driver looks at any.
    fn free(&self) -> u16 {
        let used = self.shape.distance(self.head, self.tail);
        (self.shape.entries - 1).saturating_sub(used)
    }
}

/// Guest memory could not be accessed where a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// The queues of a controller, by identifier.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) submission: [Option<SubmissionQueue>; QUEUES],
    pub(super) completion: [Option<CompletionQueue>; QUEUES],
}

impl Queues {
    pub(super) fn submission(&self, id: u16) -> Option<&SubmissionQueue> {
        self.submission.get(usize::from(id))?.as_ref()
    }

    fn submission_mut(&mut self, id: u16) -> Option<&mut SubmissionQueue> {
        self.submission.get_mut(usize::from(id))?.as_mut()
    }

    pub(super) fn completion(&self, id: u16) -> Option<&CompletionQueue> {
        self.completion.get(usize::from(id))?.as_ref()
    }

    fn completion_mut(&mut self, id: u16) -> Option<&mut CompletionQueue> {
        self.completion.get_mut(usize::from(id))?.as_mut()
    }

    /// Takes a submission queue into use; its identifier is one there is.
    pub(super) fn add_submission(&mut self, id: u16, shape: Shape, completions: u16) {
        if let Some(place) = self.submission.get_mut(usize::from(id)) {
            *place = Some(SubmissionQueue {
                shape,
                head: 0,
                tail: 0,
                completions,
                outstanding: 0,
                deletion: None,
            });
        }
    }

    /// Takes a completion queue into use.
    pub(super) fn add_completion(&mut self, id: u16, shape: Shape, vector: Option<u16>) {
        if let Some(place) = self.completion.get_mut(usize::from(id)) {
            *place = Some(CompletionQueue::new(shape, vector));
        }
    }

    pub(super) fn remove_submission(&mut self, id: u16) {
        if let Some(place) = self.submission.get_mut(usize::from(id)) {
            *place = None;
        }
    }

    pub(super) fn remove_completion(&mut self, id: u16) {
        if let Some(place) = self.completion.get_mut(usize::from(id)) {
            *place = None;
        }
    }

    /// Has a submission queue deleted by this command once nothing of it is outstanding.
    pub(super) fn delete_when_idle(&mut self, id: u16, command: u16) {
        if let Some(queue) = self.submission_mut(id) {
            queue.deletion = Some(command);
        }
    }

    /// The command that deletes a queue, if the queue waits for it alone.
    pub(super) fn due_deletion(&self, id: u16) -> Option<u16> {
        let queue = self.submission(id)?;
        queue.deletion.filter(|_| queue.outstanding == 0)
    }

    /// Whether a queue other than the admin queue exists.
    pub(super) fn any_io(&self) -> bool {
        let (_, submission) = self.submission.split_at(1);
        let (_, completion) = self.completion.split_at(1);
        submission.iter().any(Option::is_some) || completion.iter().any(Option::is_some)
    }

    /// Whether submission queues lead to a completion queue.
    pub(super) fn leads_to(&self, completions: u16) -> bool {
        let mut queues = self.submission.iter().flatten();
        queues.any(|queue| queue.completions == completions)
    }

    /// Completions that commands outstanding will need.
    fn reserved(&self, completions: u16) -> u16 {
        let queues = self.submission.iter().flatten();
        queues
            .filter(|queue| queue.completions == completions)
            .fold(0, |sum, queue| sum.saturating_add(queue.outstanding))
    }

    /// Whether a completion queue has room beside what is reserved.
    pub(super) fn has_room(&self, completions: u16) -> bool {
        let free = self.completion(completions).map_or(0, |queue| queue.free());
        free > self.reserved(completions)
    }

    /// Whether each completion queue has the room that is reserved in it, for queues that
    /// come from a saved state.
    pub(super) fn keep_their_promises(&self) -> bool {
        let queues = (0..).zip(&self.completion);
        queues
            .filter_map(|(id, queue)| Some((id, queue.as_ref()?)))
            .all(|(id, queue)| queue.free() >= self.reserved(id))
    }

    /// Whether a command can be fetched from a queue.
    pub(super) fn has_work(&self, id: u16) -> bool {
        self.submission(id).is_some_and(|queue| {
            queue.head != queue.tail && queue.deletion.is_none() && self.has_room(queue.completions)
        })
    }

    /// Fetches the next command of a queue that [has work](Self::has_work). It is
    /// outstanding from now on.
    pub(super) fn fetch(&mut self, ram: &Ram, id: u16) -> Result<Command, Lost> {
        let queue = self.submission_mut(id).ok_or(Lost)?;
        let at = queue.shape.base + u64::from(queue.head) * SQE_BYTES;
        let mut entry: Entry = [0; SQE_BYTES as usize];
        ram.read(at, &mut entry).ok_or(Lost)?;
        queue.head = queue.shape.after(queue.head);
        self.owe(id);
        Ok(Command::new(&entry))
    }

    /// A command of a queue is outstanding.
    pub(super) fn owe(&mut self, id: u16) {
        if let Some(queue) = self.submission_mut(id) {
            queue.outstanding = queue.outstanding.saturating_add(1);
        }
    }

    /// A command is not outstanding any more.
    pub(super) fn settle(&mut self, id: u16) {
        if let Some(queue) = self.submission_mut(id) {
            queue.outstanding = queue.outstanding.saturating_sub(1);
        }
    }

    /// Writes a completion (4.6). The phase tag is in the half written last.
    pub(super) fn post(
        &mut self,
        ram: &Ram,
        id: u16,
        command: u16,
        (status, result): (Status, u32),
    ) -> Result<(), Lost> {
        let queue = self.submission(id).ok_or(Lost)?;
        let (head, completions) = (queue.head, queue.completions);
        let queue = self.completion_mut(completions).ok_or(Lost)?;
        let at = queue.shape.base + u64::from(queue.tail) * CQE_BYTES;
        let word = u32::from(status.bits()) << 1 | u32::from(queue.phase);
        let last = u64::from(head)
            | u64::from(id) << 16
            | u64::from(command) << 32
            | u64::from(word) << 48;
        let dma = ram.dma();
        dma.store(
            u64::from(result).to_le(),
            GuestAddress(at),
            Ordering::Relaxed,
        )
        .map_err(|_| Lost)?;
        dma.store(last.to_le(), GuestAddress(at + 8), Ordering::Release)
            .map_err(|_| Lost)?;
        queue.tail = queue.shape.after(queue.tail);
        queue.phase ^= queue.tail == 0;
        queue.posted = true;
        Ok(())
    }

    /// Vectors of queues with entries that the driver was not told of, once each queue.
    pub(super) fn take_posted(&mut self) -> impl Iterator<Item = u16> {
        let queues = self.completion.iter_mut().flatten();
        queues.filter_map(|queue| {
            let posted = std::mem::take(&mut queue.posted);
            queue.vector.filter(|_| posted)
        })
    }

    /// Whether a queue with entries to look at interrupts, of those that `mask` (INTMS)
    /// does not mask.
    pub(super) fn interrupts(&self, mask: u32) -> bool {
        let mut queues = self.completion.iter().flatten();
        queues.any(|queue| {
            let vector = queue.vector.filter(|_| queue.is_pending());
            vector.is_some_and(|vector| mask.checked_shr(vector.into()).unwrap_or(0) & 1 == 0)
        })
    }

    /// The driver has written commands up to `tail`.
    pub(super) fn ring_tail(&mut self, id: u16, tail: u32) -> Result<(), ErrorEvents> {
        let queue = self.submission_mut(id);
        let queue = queue.ok_or(ErrorEvents::INVALID_DOORBELL_REGISTER)?;
        let tail = u16::try_from(tail).ok();
        let tail = tail.filter(|tail| *tail < queue.shape.entries);
        queue.tail = tail.ok_or(ErrorEvents::INVALID_DOORBELL_VALUE)?;
        Ok(())
    }

    /// The driver has looked at completions up to `head`.
    pub(super) fn ring_head(&mut self, id: u16, head: u32) -> Result<(), ErrorEvents> {
        let queue = self.completion_mut(id);
        let queue = queue.ok_or(ErrorEvents::INVALID_DOORBELL_REGISTER)?;
        let written = queue.shape.distance(queue.head, queue.tail);
        let head = u16::try_from(head).ok();
        let head = head.filter(|head| {
            *head < queue.shape.entries && queue.shape.distance(queue.head, *head) <= written
        });
        queue.head = head.ok_or(ErrorEvents::INVALID_DOORBELL_VALUE)?;
        Ok(())
    }
}
