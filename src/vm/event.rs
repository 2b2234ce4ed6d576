//! What reaches the VM thread.

use crate::config::SlotId;
use crate::disk::Answer;
use std::sync::Arc;

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The guest powered off.
    PowerOff,
    /// The guest ended with a code.
    Exit(u32),
    /// The guest asked for a reset.
    Reset,
    /// The person asked for a reset.
    Restart,
    /// The person quit.
    Quit,
    /// What the guest sends can no longer be written.
    Unheard,
    /// The time was up.
    Timeout,
    /// Something of ours failed.
    Broken(String),
}

/// A message to the VM thread.
#[derive(Debug)]
pub(super) enum Event {
    /// A driver notified a queue of the device in a slot.
    Doorbell {
        /// Where it is.
        slot: SlotId,
        /// The queue.
        queue: u16,
    },
    /// A disk has done a piece of work.
    Block {
        /// Where it is.
        slot: SlotId,
        /// The request's.
        id: u64,
        /// What came of it.
        answer: Answer,
    },
    /// The person wants the guest to do with less memory, or to have it back.
    Balloon {
        /// Bytes that it is to have.
        memory: u64,
    },
    /// What a network card or a socket device is plugged into has packets for it, or room
    /// for its.
    Packets {
        /// The device's place.
        slot: SlotId,
    },
    /// A file server has answered a request.
    Share {
        /// The device's place.
        slot: SlotId,
        /// The request's.
        id: u64,
        /// The message.
        answer: Vec<u8>,
    },
    /// The serial line received bytes.
    Input(Vec<u8>),
    /// The serial port or the program's host interface can take more input.
    InputRoom,
    /// The serial line can take more output.
    SerialRoom,
    /// A channel of the console in a slot can take more output.
    OutputRoom {
        /// Where it is.
        slot: SlotId,
        /// The console's port.
        port: u16,
    },
    /// A deadline changed: look at all of them.
    Deadline,
    /// The run ends.
    End(End),
}

/// Somebody who passes events on to the VM thread. Never blocks, never calls back.
pub(super) trait Post: Send + Sync {
    /// Passes an event on.
    fn post(&self, event: Event);
}

/// How everybody holds it.
pub(super) type Poster = Arc<dyn Post>;

impl Post for std::sync::mpsc::Sender<Event> {
    fn post(&self, event: Event) {
        // Nobody listens any more once the machine has ended.
        let _ = self.send(event);
    }
}
