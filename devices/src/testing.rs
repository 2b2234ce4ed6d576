//! What the unit tests of several devices share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoform_core::{BusFault, Clock, Device, IrqLine, IrqSink, MsiSink, Size};

use crate::CharSink;
use crate::block::{BlockPort, BlockRequest};

/// The far end of an interrupt line: its level, and how often it rose.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    level: AtomicBool,
    rises: AtomicU32,
}

impl Wire {
    pub(crate) fn pair() -> (Arc<Self>, IrqLine) {
        let wire = Arc::new(Self::default());
        (wire.clone(), IrqLine::new(wire, 0))
    }

    pub(crate) fn high(&self) -> bool {
        self.level.load(Ordering::SeqCst)
    }

    pub(crate) fn rises(&self) -> u32 {
        self.rises.load(Ordering::SeqCst)
    }
}

impl IrqSink for Wire {
    fn set(&self, _input: u32, level: bool) {
        if level && !self.level.swap(level, Ordering::SeqCst) {
            self.rises.fetch_add(1, Ordering::SeqCst);
        }
        self.level.store(level, Ordering::SeqCst);
    }
}

/// Messages as they arrived: address and data.
#[derive(Debug, Default)]
pub(crate) struct Mail(Mutex<Vec<(u64, u32)>>);

impl Mail {
    pub(crate) fn take(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MsiSink for Mail {
    fn send(&self, address: u64, data: u32) {
        let mut mail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mail.push((address, data));
    }
}

/// A disk's port that remembers requests as they arrived.
#[derive(Clone, Default)]
pub(crate) struct DiskPort(Arc<Mutex<VecDeque<BlockRequest>>>);

impl DiskPort {
    pub(crate) fn requests(&self) -> MutexGuard<'_, VecDeque<BlockRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next(&self) -> BlockRequest {
        self.requests()
            .pop_front()
            .expect("a request was passed on")
    }
}

impl BlockPort for DiskPort {
    fn submit(&mut self, request: BlockRequest) {
        self.requests().push_back(request);
    }
}

/// A clock that moves when told to, and where asked with every look at it, as a host's
/// does.
#[derive(Debug, Default)]
pub(crate) struct HandClock {
    now: AtomicU64,
    step: AtomicU64,
}

impl HandClock {
    pub(crate) const EPOCH: u64 = 1_700_000_000;

    pub(crate) fn set(&self, now: u64) {
        self.now.store(now, Ordering::SeqCst);
    }

    /// From now on, every look moves the clock by `step` nanoseconds.
    pub(crate) fn run(&self, step: u64) {
        self.step.store(step, Ordering::SeqCst);
    }

    /// Waits for a time, which may have passed.
    pub(crate) fn wait_for(&self, time: u64) {
        self.now.fetch_max(time, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> u64 {
        let step = self.step.load(Ordering::SeqCst);
        self.now.fetch_add(step, Ordering::SeqCst)
    }

    fn epoch(&self) -> u64 {
        Self::EPOCH
    }
}

/// A sink that remembers, and can be made to take only so much.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) bytes: Vec<u8>,
    /// Bytes it will still take; `None` for all.
    pub(crate) room: Option<usize>,
    pub(crate) input_rooms: u32,
    pub(crate) open: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TapeSink(Arc<Mutex<Tape>>);

impl TapeSink {
    pub(crate) fn tape(&self) -> std::sync::MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.tape().bytes)
    }
}

impl CharSink for TapeSink {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut tape = self.tape();
        let taken = bytes.len().min(tape.room.unwrap_or(usize::MAX));
        tape.bytes.extend_from_slice(&bytes[..taken]);
        if let Some(room) = &mut tape.room {
            *room -= taken;
        }
        taken
    }

    fn input_room(&mut self) {
        self.tape().input_rooms += 1;
    }

    fn guest_open(&mut self, open: bool) {
        self.tape().open = Some(open);
    }
}

/// A register access as a hostile guest would make it: naturally aligned, within a
/// window of `window` bytes.
pub(crate) fn any_access(window: u64) -> impl proptest::strategy::Strategy<Value = Access> {
    use proptest::prelude::*;
    (
        0..window,
        0..4u8,
        any::<bool>(),
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(move |(offset, size, write, value, small)| {
            let size = [Size::B1, Size::B2, Size::B4, Size::B8][usize::from(size)];
            Access {
                offset: offset & !(size.bytes() - 1),
                size,
                write: write.then_some(if small { value & 0xf } else { value }),
            }
        })
}

/// One access; a write where there is a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) offset: u64,
    pub(crate) size: Size,
    pub(crate) write: Option<u64>,
}

impl Access {
    /// Makes the access; what a read gave.
    pub(crate) fn run(self, device: &mut dyn Device) -> Option<Result<u64, BusFault>> {
        match self.write {
            Some(value) => {
                let _ = device.write(self.offset, self.size, value);
                None
            }
            None => Some(device.read(self.offset, self.size)),
        }
    }
}

/// Puts the state of `from` into `to` (a fresh device with the same configuration)
/// and checks that every byte survives, and that damage is refused.
pub(crate) fn transfer(from: &dyn Device, to: &mut dyn Device) {
    let saved = from.save();
    for cut in 0..saved.len() {
        assert!(
            to.restore(&saved[..cut]).is_err(),
            "a truncated state of {} was believed at {cut} of {}",
            from.name(),
            saved.len()
        );
    }
    to.restore(&saved).expect("own saved state is accepted");
    assert_eq!(to.save(), saved, "{} did not survive", from.name());
}
