//! A split virtqueue: how the driver set it up, and the ring once it is in use.
//!
//! Size and addresses are frozen while the queue is in use.

use std::sync::atomic::Ordering;

use isoform_core::RestoreError;
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions};

use super::NeedsReset;
use super::chain::Chain;
use super::spec::{VIRTQ_AVAIL_F_NO_INTERRUPT, avail_bytes, descriptor_bytes, used_bytes};

/// The setup of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Entries.
    pub size: u16,
    /// Guest-physical address of the descriptor table.
    pub desc: u64,
    /// Of the available ring.
    pub avail: u64,
    /// Of the used ring.
    pub used: u64,
}

/// One queue of a device.
#[derive(Debug)]
pub struct VirtQueue {
    // --- fixed configuration
    max_size: u16,

    // --- guest-visible state
    setup: Setup,
    /// There while the queue is in use.
    ring: Option<Queue>,
    /// Buffers were given back since the driver was last told. `false` between calls
    /// from outside, and therefore not saved.
    added: bool,
}

impl VirtQueue {
    /// A queue, not in use, of at most `max_size` entries: a power of two up to 32768.
    /// It has that size as long as the driver wants no other (4.1.4.3).
    pub fn new(max_size: u16) -> Self {
        Self {
            max_size,
            setup: Setup {
                size: max_size,
                ..Setup::default()
            },
            ring: None,
            added: false,
        }
    }

    /// The largest size.
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Whether the queue is in use.
    pub fn is_ready(&self) -> bool {
        self.ring.is_some()
    }

    /// The setup as the driver left it.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// What the driver may still change; `None` while the queue is in use.
    pub fn setup_mut(&mut self) -> Option<&mut Setup> {
        match self.ring {
            None => Some(&mut self.setup),
            Some(_) => None,
        }
    }

    /// Takes the queue into use. Refuses a size or alignment that the specification
    /// forbids (2.7), and rings that leave RAM. In use already, it stays as it is.
    pub fn start(&mut self, ram: &Ram) -> Result<(), NeedsReset> {
        if self.ring.is_none() {
            self.ring = Some(self.make_ring(ram)?);
        }
        Ok(())
    }

    fn make_ring(&self, ram: &Ram) -> Result<Queue, NeedsReset> {
        let Setup {
            size,
            desc,
            avail,
            used,
        } = self.setup;
        let mut ring = Queue::new(self.max_size).map_err(|_| NeedsReset)?;
        ring.try_set_size(size).map_err(|_| NeedsReset)?;
        ring.try_set_desc_table_address(GuestAddress(desc))
            .map_err(|_| NeedsReset)?;
        ring.try_set_avail_ring_address(GuestAddress(avail))
            .map_err(|_| NeedsReset)?;
        ring.try_set_used_ring_address(GuestAddress(used))
            .map_err(|_| NeedsReset)?;
        let in_ram = |addr, bytes: u64, access| {
            ram.dma()
                .check_range(GuestAddress(addr), bytes as usize, access)
        };
        if !in_ram(desc, descriptor_bytes(size), Permissions::Read)
            || !in_ram(avail, avail_bytes(size), Permissions::Read)
            || !in_ram(used, used_bytes(size), Permissions::Write)
        {
            return Err(NeedsReset);
        }
        ring.set_ready(true);
        Ok(ring)
    }

    /// Takes the queue out of use.
    pub fn stop(&mut self) {
        self.ring = None;
        self.added = false;
    }

    /// Whether events are counted (EVENT_IDX).
    pub(super) fn set_event_idx(&mut self, enabled: bool) {
        if let Some(ring) = &mut self.ring {
            ring.set_event_idx(enabled);
        }
    }

    /// The next chain that the driver offered. Where there is none, the driver will
    /// notify when it offers one. Nothing comes from a queue not in use.
    pub(super) fn pop(&mut self, ram: &Ram) -> Result<Option<Chain>, NeedsReset> {
        let Some(ring) = &mut self.ring else {
            return Ok(None);
        };
        let dma = ram.dma();
        // Twice: a chain may be offered between the look and the request to be told.
        for _ in 0..2 {
            if let Some(chain) = ring.iter(dma).map_err(|_| NeedsReset)?.next() {
                return Chain::collect(dma, chain).map(Some);
            }
            if !ring.enable_notification(dma).map_err(|_| NeedsReset)? {
                break;
            }
        }
        Ok(None)
    }

    /// Gives a chain back, `len` bytes of its writable part written from the start.
    pub(super) fn push(&mut self, ram: &Ram, head: u16, len: u32) -> Result<(), NeedsReset> {
        let Some(ring) = &mut self.ring else {
            return Ok(());
        };
        self.added = true;
        ring.add_used(ram.dma(), head, len).map_err(|_| NeedsReset)
    }

    /// Whether the driver wants an interrupt for what was given back since the last
    /// call (2.7.7).
    pub(super) fn take_interrupt(&mut self, ram: &Ram) -> Result<bool, NeedsReset> {
        let added = std::mem::take(&mut self.added);
        let Some(ring) = self.ring.as_mut().filter(|_| added) else {
            return Ok(false);
        };
        let dma = ram.dma();
        let crossed = ring.needs_notification(dma).map_err(|_| NeedsReset)?;
        if ring.event_idx_enabled() {
            return Ok(crossed);
        }
        let flags: u16 = dma
            .load(GuestAddress(self.setup.avail), Ordering::Acquire)
            .map_err(|_| NeedsReset)?;
        Ok(u16::from_le(flags) & VIRTQ_AVAIL_F_NO_INTERRUPT == 0)
    }

    /// The plain form of the queue's state.
    pub(super) fn state(&self) -> QueueState {
        let Self {
            max_size: _,
            setup,
            ring,
            added: _,
        } = self;
        QueueState {
            setup: *setup,
            position: ring.as_ref().map(|r| (r.next_avail(), r.next_used())),
        }
    }

    /// Checks a state and puts it into a queue of this size.
    pub(super) fn with_state(
        &self,
        name: &'static str,
        state: QueueState,
        ram: &Ram,
    ) -> Result<Self, RestoreError> {
        let QueueState { setup, position } = state;
        let mut queue = Self::new(self.max_size);
        queue.setup = setup;
        if let Some((next_avail, next_used)) = position {
            queue
                .start(ram)
                .map_err(|NeedsReset| RestoreError::Damaged {
                    name,
                    reason: "a queue in use is set up wrongly".to_owned(),
                })?;
            if let Some(ring) = &mut queue.ring {
                ring.set_next_avail(next_avail);
                ring.set_next_used(next_used);
            }
        }
        Ok(queue)
    }
}

/// The saved state of a [`VirtQueue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    setup: Setup,
    /// The next entries of the available and used rings, while in use.
    position: Option<(u16, u16)>,
}
