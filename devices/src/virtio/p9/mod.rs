//! 9P transport: requests of the protocol 9P go to a file server, and its answers come
//! back. It knows of messages what it must; what is in them lies behind a [`P9Port`].
//!
//! A request's buffers hold one message to read, and room for one answer. Requests are
//! bounded in length ([`REQUEST_MAX`]) and number ([`IN_FLIGHT_MAX`]), so that a guest
//! cannot make the host hold more; nor can it by a reset, which forgets requests that
//! the server still has: until they are answered they count.
//!
//! Requests in flight are part of the saved state, but are not passed on again: most
//! would not do twice what they did once, and the server that they were for, with its
//! open files, is not saved. After a restore they are answered with EIO. The guest finds
//! its files gone (EBADF) until it mounts anew.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::chain::Chain;
use super::{NeedsReset, QueueSlot, Queues, Transport, VirtioDevice};
use spec::{ERROR_BYTES, Features, HEADER_BYTES, RLERROR, TAG_MAX, errno};

pub use saved::P9State;

/// The one queue.
const QUEUE: u16 = 0;
/// What Linux expects: it makes messages of as many pages, less three, where it may.
const QUEUE_SIZE: u16 = 128;
/// Requests in flight, and requests passed on that were not answered yet.
pub const IN_FLIGHT_MAX: usize = QUEUE_SIZE as usize;
/// Bytes of a request at most.
pub const REQUEST_MAX: usize = 512 << 10;
/// Bytes of an answer at most, whatever room there is.
pub const ANSWER_MAX: usize = 512 << 10;

/// A message for the file server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct P9Request {
    /// Names the request where it is answered; never used twice by one device.
    pub id: u64,
    /// The message: 7 to [`REQUEST_MAX`] bytes, which say anything.
    pub message: Vec<u8>,
    /// Bytes that the answer may have: [`spec::ERROR_BYTES`] to [`ANSWER_MAX`].
    pub room: usize,
}

/// Passes requests on. Called with the device's lock held: it must not block or call
/// back. Each request is answered by one call of [`P9Slot::complete`], later. That
/// goes for requests that the device has forgotten by then (it was reset), too: the
/// answer is ignored, but until it comes the request takes up room.
pub trait P9Port: Send {
    /// Passes one request on.
    fn submit(&mut self, request: P9Request);
}

impl<F: FnMut(P9Request) + Send> P9Port for F {
    fn submit(&mut self, request: P9Request) {
        self(request);
    }
}

/// The 9P transport. See the [module documentation](self).
pub struct P9 {
    // --- fixed configuration
    /// The name that the guest mounts it by.
    tag: String,

    // --- connections
    port: Box<dyn P9Port>,
    /// The identifier of the next request. It is not saved, so that an answer from
    /// before a restore can never be taken for one from after it.
    next_id: u64,
    /// Passed on and not answered, forgotten ones among them. Not saved: it is about
    /// this device's port.
    unanswered: BTreeSet<u64>,

    // --- guest-visible state
    in_flight: BTreeMap<u64, Chain>,
    /// In flight when the state was saved: nobody will answer them.
    orphans: Vec<Chain>,
}

impl P9 {
    /// A folder that the guest knows as `tag`, of which the first [`TAG_MAX`] bytes
    /// count. Its requests are passed on to `port`.
    pub fn new(tag: &str, port: Box<dyn P9Port>) -> Self {
        Self {
            tag: tag.to_owned(),
            port,
            next_id: 0,
            unanswered: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            orphans: Vec::new(),
        }
    }

    /// Requests not answered yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() + self.orphans.len()
    }

    /// Takes requests from the queue while there is room.
    fn take(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        for chain in std::mem::take(&mut self.orphans) {
            fail(queues, &chain, errno::EIO)?;
        }
        while self.unanswered.len() < IN_FLIGHT_MAX {
            let Some(chain) = queues.pop(QUEUE)? else {
                break;
            };
            self.pass_on(chain, queues)?;
        }
        Ok(())
    }

    /// Passes a request on. One that cannot be a message, or be answered, breaks the
    /// rules.
    fn pass_on(&mut self, chain: Chain, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        if !is_answerable(&chain) {
            return Err(NeedsReset);
        }
        let (len, room) = (chain.readable.len(), chain.writable.len());
        if len > REQUEST_MAX as u64 {
            return fail(queues, &chain, errno::EMSGSIZE);
        }
        let mut message = vec![0; len as usize];
        chain.readable.read(queues.ram(), 0, &mut message)?;
        let id = self.next_id;
        self.next_id += 1;
        self.in_flight.insert(id, chain);
        self.unanswered.insert(id);
        self.port.submit(P9Request {
            id,
            message,
            room: room.min(ANSWER_MAX as u64) as usize,
        });
        Ok(())
    }

    /// A request is answered; or it is nobody's any more.
    fn complete(
        &mut self,
        queues: &mut Queues<'_>,
        id: u64,
        answer: &[u8],
    ) -> Result<(), NeedsReset> {
        if !self.unanswered.remove(&id) {
            return Ok(());
        }
        let chain = self.in_flight.remove(&id);
        if !queues.is_live() {
            return Ok(());
        }
        match chain {
            Some(chain) if answer.len() as u64 > chain.writable.len() => {
                fail(queues, &chain, errno::EMSGSIZE)?;
            }
            Some(chain) => {
                chain.writable.write(queues.ram(), 0, answer)?;
                queues.push(QUEUE, chain.head, answer.len() as u32)?;
            }
            None => {}
        }
        self.take(queues)
    }
}

/// Whether a chain can hold a message, and an answer at least of an error.
fn is_answerable(chain: &Chain) -> bool {
    chain.readable.len() >= HEADER_BYTES && chain.writable.len() >= ERROR_BYTES as u64
}

/// Answers a request with an error (`Rlerror`), in the name of the server.
fn fail(queues: &mut Queues<'_>, chain: &Chain, errno: u32) -> Result<(), NeedsReset> {
    let mut header = [0; HEADER_BYTES as usize];
    chain.readable.read(queues.ram(), 0, &mut header)?;
    let [_, _, _, _, _, tag @ ..] = header;
    let mut answer = Vec::with_capacity(ERROR_BYTES);
    answer.extend((ERROR_BYTES as u32).to_le_bytes());
    answer.push(RLERROR);
    answer.extend(tag);
    answer.extend(errno.to_le_bytes());
    chain.writable.write(queues.ram(), 0, &answer)?;
    queues.push(QUEUE, chain.head, ERROR_BYTES as u32)
}

/// What the run loop needs of a shared folder, whatever its transport.
pub trait P9Slot: QueueSlot {
    /// The answer to request `id`: a message. One that is longer than there is room
    /// becomes an error.
    fn complete(&mut self, id: u64, answer: &[u8]);
}

impl<T: Transport<Inner = P9>> P9Slot for T {
    fn complete(&mut self, id: u64, answer: &[u8]) {
        self.with(|device, queues| device.complete(queues, id, answer));
    }
}

impl VirtioDevice for P9 {
    const NAME: &'static str = "virtio-9p";
    const ID: u32 = super::spec::id::P9;
    type State = P9State;
    const VERSION: u8 = 1;

    fn features(&self) -> u64 {
        Features::MOUNT_TAG.bits()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    /// `struct virtio_9p_config`: the tag behind its length.
    fn config(&self) -> Vec<u8> {
        let tag: Vec<u8> = self.tag.bytes().take(TAG_MAX).collect();
        let len = tag.len() as u16;
        [&len.to_le_bytes()[..], &tag].concat()
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        if queue != QUEUE || !queues.is_live() {
            return Ok(());
        }
        self.take(queues)
    }

    fn queue_stopped(&mut self, _queue: u16) {
        self.forget();
    }

    fn reset(&mut self) {
        self.forget();
    }

    fn state(&self) -> P9State {
        self.saved()
    }

    fn set_state(&mut self, state: P9State, ram: &Ram) -> Result<(), RestoreError> {
        self.restore(state, ram)
    }
}

impl P9 {
    /// The driver does not wait for anything any more.
    fn forget(&mut self) {
        self.in_flight.clear();
        self.orphans.clear();
    }
}
