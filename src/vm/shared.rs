//! What hart threads and the VM thread share.

use super::event::{End, Event, Poster};
use crate::boot::sbi::{self, HartStatus, Reset};
use isoform_core::{Device, Requests, Size};
use isoform_devices::uart::Uart;
use isoform_devices::uart::spec::{LSR, Lsr, RBR_THR_DLL};
use isoform_riscv::{Lines, Priv, TimerService, irq};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks, whatever happened to the one who had it before: state is never left
/// half-changed by code that can panic.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long firmware leaves a busy serial line alone.
const LINE_BUSY: Duration = Duration::from_millis(1);

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The harts' timers: when each wants to be woken.
pub(super) struct Timers {
    deadlines: Vec<AtomicU64>,
    /// When the VM thread looks by itself; `NEVER` while it is awake.
    next: AtomicU64,
    nudge: Arc<Nudge>,
}

/// Wakes the VM thread for a deadline that changed, with one event however often that
/// happens before it looks.
pub(super) struct Nudge {
    sent: AtomicBool,
    post: Poster,
}

impl Nudge {
    pub(super) fn new(post: Poster) -> Self {
        Self {
            sent: AtomicBool::new(false),
            post,
        }
    }

    pub(super) fn send(&self) {
        if !self.sent.swap(true, Ordering::SeqCst) {
            self.post.post(Event::Deadline);
        }
    }

    /// The VM thread is about to look.
    pub(super) fn heard(&self) {
        self.sent.store(false, Ordering::SeqCst);
    }
}

/// The queues of one slot that were notified and not looked at: a doorbell rings once.
#[derive(Default)]
pub(super) struct Bells([AtomicU64; 2]);

impl Bells {
    fn bit(&self, queue: u16) -> Option<(&AtomicU64, u64)> {
        self.0
            .get(usize::from(queue) / 64)
            .map(|word| (word, 1 << (queue % 64)))
    }

    /// The queue is notified; whether it was not before.
    pub(super) fn ring(&self, queue: u16) -> bool {
        self.bit(queue)
            .is_some_and(|(word, bit)| word.fetch_or(bit, Ordering::SeqCst) & bit == 0)
    }

    /// The queue is about to be looked at.
    pub(super) fn heard(&self, queue: u16) {
        if let Some((word, bit)) = self.bit(queue) {
            word.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    /// Nothing was notified: the machine starts anew.
    pub(super) fn clear(&self) {
        self.0
            .iter()
            .for_each(|word| word.store(0, Ordering::SeqCst));
    }
}

impl Timers {
    pub(super) fn new(harts: usize, nudge: Arc<Nudge>) -> Self {
        let deadlines = (0..harts).map(|_| AtomicU64::new(NEVER)).collect();
        Self {
            deadlines,
            next: AtomicU64::new(NEVER),
            nudge,
        }
    }

    /// Raises an interrupt request on each hart whose time has come.
    pub(super) fn fire(&self, now: u64, lines: &[Arc<Lines>]) {
        for (deadline, lines) in self.deadlines.iter().zip(lines) {
            let due = deadline.load(Ordering::SeqCst);
            // A hart that has armed it anew in between keeps its new deadline.
            let disarm = || {
                deadline
                    .compare_exchange(due, NEVER, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            };
            if due <= now && disarm() {
                lines.attention().raise(Requests::INTERRUPT);
            }
        }
    }

    /// The earliest deadline.
    pub(super) fn earliest(&self) -> Option<u64> {
        let earliest = self
            .deadlines
            .iter()
            .map(|d| d.load(Ordering::SeqCst))
            .min();
        earliest.filter(|d| *d != NEVER)
    }

    /// The VM thread looks at `time`, if not before, or is awake (`None`).
    pub(super) fn sleeps_until(&self, time: Option<u64>) {
        self.next.store(time.unwrap_or(NEVER), Ordering::SeqCst);
    }
}

impl TimerService for Timers {
    fn arm(&self, hart: usize, deadline: Option<u64>) {
        let deadline = deadline.unwrap_or(NEVER);
        if let Some(slot) = self.deadlines.get(hart) {
            let before = slot.swap(deadline, Ordering::SeqCst);
            if deadline != before && deadline < self.next.load(Ordering::SeqCst) {
                self.nudge.send();
            }
        }
    }
}

/// What a hart was asked to start with.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartAt {
    pub(super) pc: u64,
    pub(super) opaque: u64,
}

/// What a hart tells of itself when asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct HartView {
    pub(super) pc: u64,
    pub(super) privilege: Priv,
    pub(super) icount: u64,
    pub(super) waits: bool,
}

/// One hart's entry.
pub(super) struct HartSlot {
    pub(super) status: HartStatus,
    pub(super) start: Option<StartAt>,
    pub(super) view: Option<HartView>,
}

/// Shared by all threads of a machine.
pub(super) struct Shared {
    pub(super) lines: Vec<Arc<Lines>>,
    pub(super) slots: Vec<Mutex<HartSlot>>,
    pub(super) post: Poster,
    pub(super) uart: Arc<Mutex<Uart>>,
    /// Harts return from their loops.
    pub(super) ending: AtomicBool,
}

impl Shared {
    /// All harts stop: their threads return soon.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.stop_all();
    }

    /// All harts come to their loops, and publish what they do.
    pub(super) fn stop_all(&self) {
        self.lines
            .iter()
            .for_each(|l| l.attention().raise(Requests::STOP));
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}

/// The built-in firmware's view. Its console is the serial port, driven as any
/// firmware would.
impl sbi::Machine for Shared {
    fn harts(&self) -> usize {
        self.lines.len()
    }

    fn status(&self, hart: usize) -> HartStatus {
        self.slots
            .get(hart)
            .map_or(HartStatus::Stopped, |s| lock(s).status)
    }

    fn start(&self, hart: usize, pc: u64, opaque: u64) -> bool {
        let (Some(slot), Some(lines)) = (self.slots.get(hart), self.lines.get(hart)) else {
            return false;
        };
        let mut slot = lock(slot);
        if slot.status != HartStatus::Stopped {
            return false;
        }
        slot.status = HartStatus::StartPending;
        slot.start = Some(StartAt { pc, opaque });
        drop(slot);
        lines.attention().raise(Requests::STOP);
        true
    }

    fn interrupt(&self, hart: usize) {
        if let Some(lines) = self.lines.get(hart) {
            lines.change(1 << irq::SSI, 0);
        }
    }

    fn fence(&self, harts: &[usize], requests: Requests) {
        let targets = || {
            harts
                .iter()
                .filter_map(|h| self.lines.get(*h))
                .map(|l| l.attention())
        };
        targets().for_each(|a| a.raise(requests));
        // The caller runs no guest code meanwhile, so two that wait for each other
        // see each other at rest. A hart that runs gets here within microseconds,
        // unless the host has other work for its processor.
        for attention in targets() {
            while !attention.has_served(requests) && !self.is_ending() {
                std::thread::yield_now();
            }
        }
    }

    fn console_write(&self, bytes: &[u8]) -> usize {
        let mut uart = lock(&self.uart);
        let mut taken = 0;
        for byte in bytes {
            if !uart.has_room() {
                break;
            }
            // The port answers every byte-wide access at this offset.
            let _ = uart.write(RBR_THR_DLL, Size::B1, (*byte).into());
            taken += 1;
        }
        taken
    }

    /// Firmware waits for its line. The hart holds no lock meanwhile and runs no guest
    /// code, so that nobody waits for it; and it asks by itself, since before the harts'
    /// threads start it runs on the one that would tell.
    fn console_print(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_ending() {
            let taken = self.console_write(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if taken == 0 {
                std::thread::sleep(LINE_BUSY);
                lock(&self.uart).output_room();
            }
        }
    }

    fn console_read(&self, bytes: &mut [u8]) -> usize {
        let mut uart = lock(&self.uart);
        let ready = |u: &mut Uart| {
            u.read(LSR, Size::B1)
                .is_ok_and(|v| v & u64::from(Lsr::DR.bits()) != 0)
        };
        let mut n = 0;
        for byte in bytes {
            if !ready(&mut uart) {
                break;
            }
            let Ok(value) = uart.read(RBR_THR_DLL, Size::B1) else {
                break;
            };
            *byte = value as u8;
            n += 1;
        }
        n
    }

    fn reset(&self, reset: Reset) {
        let end = match reset {
            Reset::Shutdown => End::PowerOff,
            Reset::Reboot => End::Reset,
        };
        self.post.post(Event::End(end));
    }
}
