//! A split virtqueue: how the driver set it up, and the ring once it is in use.
//!
//! Size and addresses are frozen while the queue is in use.

use std::sync::atomic::{Ordering, fence};

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
    /// Buffers that were given back since the driver was last told. None between calls
    /// from outside, and therefore not saved.
    added: u16,
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
            added: 0,
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
        self.added = 0;
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

    /// Gives chains back, each with how many bytes of its writable part were written from
    /// the start. The driver sees all of them at once: a frame over several buffers is
    /// never there in part (5.1.6.4).
    pub(super) fn push(&mut self, ram: &Ram, chains: &[(u16, u32)]) -> Result<(), NeedsReset> {
        let (used, size) = (self.setup.used, self.setup.size);
        let Some(ring) = &mut self.ring else {
            return Ok(());
        };
        let dma = ram.dma();
        let mut next = ring.next_used();
        for &(head, len) in chains {
            let at = used + 4 + 8 * u64::from(next.checked_rem(size).ok_or(NeedsReset)?);
            let element = u64::from(len) << 32 | u64::from(head);
            if head >= size || dma.write_obj(element.to_le(), GuestAddress(at)).is_err() {
                return Err(NeedsReset);
            }
            next = next.wrapping_add(1);
        }
        dma.store(next.to_le(), GuestAddress(used + 2), Ordering::Release)
            .map_err(|_| NeedsReset)?;
        ring.set_next_used(next);
        self.added = self.added.saturating_add(chains.len() as u16);
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was given back since the last
    /// call (2.7.7).
    pub(super) fn take_interrupt(&mut self, ram: &Ram) -> Result<bool, NeedsReset> {
        let added = std::mem::take(&mut self.added);
        let Some(ring) = self.ring.as_mut().filter(|_| added != 0) else {
            return Ok(false);
        };
        // What was given back is seen before the driver's wish is looked at.
        fence(Ordering::SeqCst);
        let load = |addr: u64| -> Result<u16, NeedsReset> {
            let value = ram.dma().load(GuestAddress(addr), Ordering::Acquire);
            value.map(u16::from_le).map_err(|_| NeedsReset)
        };
        let Setup { avail, size, .. } = self.setup;
        if ring.event_idx_enabled() {
            // Whether the index passed `used_event` (2.7.10).
            let event = load(avail + 4 + 2 * u64::from(size))?;
            let passed = ring.next_used().wrapping_sub(event).wrapping_sub(1);
            return Ok(passed < added);
        }
        Ok(load(avail)? & VIRTQ_AVAIL_F_NO_INTERRUPT == 0)
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
