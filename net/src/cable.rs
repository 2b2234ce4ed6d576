//! A cable: ethernet frames both ways between a NIC, which the VM thread drives, and a
//! backend, which has a thread of its own.
//!
//! Each way is a queue of [`FRAMES`] frames and [`BYTES`] bytes. Who finds it full gets
//! the frame back and is woken when there is room, so a slow reader slows the writer and
//! nothing is lost. Readers are woken once a burst: by the frame that found the queue
//! empty. So a reader reads until there is nothing, or looks again by itself.
//!
//! The NIC is woken by a function, the backend by an eventfd that it polls beside its
//! sockets. When one end is dropped the other is woken, finds [`NicEnd::is_closed`] or
//! [`HostEnd::is_closed`], and what it sends vanishes, as on a cable that was pulled.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use crate::pcap::Pcap;

/// Frames that one way holds.
pub const FRAMES: usize = 256;

/// Bytes that the frames of one way may have together. A longer frame still goes
/// through, alone.
pub const BYTES: usize = 4 << 20;

/// A cable between a NIC and a backend of the host. `wake_nic` is called, from the
/// backend's thread and with no lock held, when frames come to the NIC that had none,
/// when there is room again after a [`NicEnd::send`] was refused, and when the backend
/// goes away. It must not block.
///
/// # Errors
/// When the host grants no eventfd (out of file descriptors).
pub fn cable(wake_nic: impl Fn() + Send + Sync + 'static) -> io::Result<(NicEnd, HostEnd)> {
    let wakeup = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared {
        to_host: Lane::default(),
        to_nic: Lane::default(),
        wake_nic: Box::new(wake_nic),
        wakeup,
        from_guest: AtomicBool::new(false),
        to_guest: AtomicBool::new(false),
    });
    let nic = NicEnd(Arc::clone(&shared));
    let capture = RefCell::new(None);
    Ok((nic, HostEnd { shared, capture }))
}

/// What both ends hold.
struct Shared {
    to_host: Lane,
    to_nic: Lane,
    wake_nic: Box<dyn Fn() + Send + Sync>,
    wakeup: OwnedFd,
    from_guest: AtomicBool,
    to_guest: AtomicBool,
}

impl Shared {
    fn wake_host(&self) {
        // Fails only when the counter is full, and then it is readable already.
        let _ = rustix::io::write(&self.wakeup, &1_u64.to_ne_bytes());
    }
}

/// Which checksums of TCP and UDP mean nothing on a cable. By default all do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Frames from the guest may have wrong ones (a driver with `VIRTIO_NET_F_CSUM`).
    pub from_guest: bool,
    /// The guest looks at none (a driver with `VIRTIO_NET_F_GUEST_CSUM`, which is told
    /// of each frame that it is valid).
    pub to_guest: bool,
}

/// The NIC's end.
pub struct NicEnd(Arc<Shared>);

impl NicEnd {
    /// Sends a frame to the backend.
    ///
    /// # Errors
    /// When the queue is full, with the frame; `wake_nic` is called when there is room.
    pub fn send(&self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.0.to_host.push(frame)? {
            self.0.wake_host();
        }
        Ok(())
    }

    /// The next frame for the guest.
    #[must_use]
    pub fn receive(&self) -> Option<Vec<u8>> {
        let (frame, wake) = self.0.to_nic.pop()?;
        if wake {
            self.0.wake_host();
        }
        Some(frame)
    }

    /// Says which checksums count from now on: what a driver agreed to, none for one that
    /// was reset. Frames on the cable at the time may be as before.
    pub fn set_offloads(&self, offloads: Offloads) {
        self.0
            .from_guest
            .store(offloads.from_guest, Ordering::Relaxed);
        self.0.to_guest.store(offloads.to_guest, Ordering::Relaxed);
    }

    /// Whether [`receive`](Self::receive) would find nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.to_nic.lock().frames.is_empty()
    }

    /// Whether the backend is gone. What it had sent can still be received.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.to_nic.lock().closed
    }
}

impl Drop for NicEnd {
    fn drop(&mut self) {
        self.0.to_nic.close();
        self.0.to_host.close();
        self.0.wake_host();
    }
}

/// The backend's end. It is one thread's at a time.
pub struct HostEnd {
    shared: Arc<Shared>,
    capture: RefCell<Option<Pcap>>,
}

impl HostEnd {
    /// Sends a frame to the guest.
    ///
    /// # Errors
    /// When the queue is full, with the frame; [`wakeup`](Self::wakeup) becomes readable
    /// when there is room.
    pub fn send(&self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.capture.borrow().is_some() {
            // Only this end fills the lane, so there still is room after the record.
            if !self.shared.to_nic.admits(frame.len()) {
                return Err(frame);
            }
            self.record(&frame);
        }
        if self.shared.to_nic.push(frame)? {
            (self.shared.wake_nic)();
        }
        Ok(())
    }

    /// Writes all frames to a file from now on.
    pub fn capture(&mut self, file: Pcap) {
        self.capture = RefCell::new(Some(file));
    }

    fn record(&self, frame: &[u8]) {
        let mut capture = self.capture.borrow_mut();
        let written = capture.as_mut().map_or(Ok(()), |file| file.write(frame));
        if let Err(error) = written {
            log::warn!("no more frames are captured: the file cannot be written to: {error}");
            *capture = None;
        }
    }

    /// The next frame from the guest.
    #[must_use]
    pub fn receive(&self) -> Option<Vec<u8>> {
        let (frame, wake) = self.shared.to_host.pop()?;
        if wake {
            (self.shared.wake_nic)();
        }
        self.record(&frame);
        Some(frame)
    }

    /// Which checksums count.
    #[must_use]
    pub fn offloads(&self) -> Offloads {
        Offloads {
            from_guest: self.shared.from_guest.load(Ordering::Relaxed),
            to_guest: self.shared.to_guest.load(Ordering::Relaxed),
        }
    }

    /// Whether [`receive`](Self::receive) would find nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.to_host.lock().frames.is_empty()
    }

    /// Whether the NIC is gone. What it had sent can still be received.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.to_host.lock().closed
    }

    /// An eventfd that is readable once the NIC sent something, made room after a
    /// refusal, or went away; until [`clear_wakeup`](Self::clear_wakeup).
    #[must_use]
    pub fn wakeup(&self) -> BorrowedFd<'_> {
        self.shared.wakeup.as_fd()
    }

    /// Makes [`wakeup`](Self::wakeup) unreadable. Comes *before* looking at the queues,
    /// or a wakeup in between is lost.
    pub fn clear_wakeup(&self) {
        // Fails only when it was clear.
        let _ = rustix::io::read(&self.shared.wakeup, &mut [0; 8]);
    }
}

impl Drop for HostEnd {
    fn drop(&mut self) {
        self.shared.to_nic.close();
        self.shared.to_host.close();
        (self.shared.wake_nic)();
    }
}

/// One way: a bounded queue.
#[derive(Default)]
struct Lane(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    /// Of all frames together.
    bytes: usize,
    /// The writer was sent away and waits for room.
    refused: bool,
    /// An end is gone.
    closed: bool,
}

impl Queue {
    /// Whether there is room for a frame. If not, the writer waits from now on.
    fn admits(&mut self, length: usize) -> bool {
        let fits = self.frames.len() < FRAMES && self.bytes.saturating_add(length) <= BYTES;
        let admitted = fits || self.frames.is_empty();
        self.refused |= !admitted;
        admitted
    }

    /// Whether it is worth to wake a writer: not for every single frame.
    fn is_half_empty(&self) -> bool {
        self.frames.len() <= FRAMES / 2 && self.bytes <= BYTES / 2
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that could panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the reader is to be woken; or the frame, for want of room.
    fn push(&self, frame: Vec<u8>) -> Result<bool, Vec<u8>> {
        let mut queue = self.lock();
        if queue.closed {
            return Ok(false);
        }
        if !queue.admits(frame.len()) {
            return Err(frame);
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        Ok(queue.frames.len() == 1)
    }

    fn admits(&self, length: usize) -> bool {
        let mut queue = self.lock();
        queue.closed || queue.admits(length)
    }

    /// The next frame, and whether the writer is to be woken.
    fn pop(&self) -> Option<(Vec<u8>, bool)> {
        let mut queue = self.lock();
        let frame = queue.frames.pop_front()?;
        queue.bytes -= frame.len();
        let wake = queue.refused && queue.is_half_empty();
        queue.refused &= !wake;
        Some((frame, wake))
    }

    fn close(&self) {
        self.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// A cable, and how often the NIC was woken.
    fn counted() -> (NicEnd, HostEnd, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let (nic, host) = cable(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .expect("an eventfd");
        (nic, host, woken)
    }

    fn readable(end: &HostEnd, milliseconds: i64) -> bool {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: milliseconds * 1_000_000,
        };
        let wakeup = end.wakeup();
        poll(&mut [PollFd::new(&wakeup, PollFlags::IN)], Some(&timeout)).expect("poll") == 1
    }

    #[test]
    fn frames_arrive_in_order_and_a_burst_wakes_once() {
        let (nic, host, woken) = counted();
        for n in 0..10 {
            host.send(vec![n]).expect("room");
        }
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        for n in 0..10 {
            assert_eq!(nic.receive(), Some(vec![n]));
        }
        assert!(nic.is_empty() && nic.receive().is_none());
        host.send(vec![1]).expect("room");
        assert_eq!(woken.load(Ordering::SeqCst), 2);

        assert!(!readable(&host, 0));
        nic.send(vec![7]).expect("room");
        assert!(readable(&host, 0));
        host.clear_wakeup();
        assert!(!readable(&host, 0));
        assert_eq!(host.receive(), Some(vec![7]));
    }

    #[test]
    fn a_full_lane_refuses_by_frames_and_by_bytes_and_tells_of_room() {
        let (nic, host, woken) = counted();
        for _ in 0..FRAMES {
            nic.send(vec![0; 60]).expect("room");
        }
        assert_eq!(nic.send(vec![9; 60]), Err(vec![9; 60]));
        let mut read = 0;
        while woken.load(Ordering::SeqCst) == 0 {
            assert!(host.receive().is_some(), "never woken");
            read += 1;
        }
        assert_eq!(read, FRAMES / 2);
        nic.send(vec![9; 60]).expect("room now");
        while host.receive().is_some() {}
        assert_eq!(woken.load(Ordering::SeqCst), 1, "nobody waited any more");

        let half = BYTES / 2 + 1;
        nic.send(vec![0; half]).expect("room");
        assert!(nic.send(vec![0; half]).is_err());
        assert!(host.receive().is_some());
        assert_eq!(woken.load(Ordering::SeqCst), 2);
        nic.send(vec![0; 2 * BYTES]).expect("alone, any length");
        assert!(nic.send(vec![0]).is_err());
    }

    #[test]
    fn a_dropped_end_wakes_the_other() {
        let (nic, host, woken) = counted();
        host.send(vec![1]).expect("room");
        drop(host);
        assert_eq!(woken.load(Ordering::SeqCst), 2);
        assert!(nic.is_closed());
        assert_eq!(nic.receive(), Some(vec![1]));
        for _ in 0..2 * FRAMES {
            nic.send(vec![2]).expect("vanishes");
        }

        let (nic, host, _) = counted();
        nic.send(vec![1]).expect("room");
        drop(nic);
        assert!(host.is_closed() && readable(&host, 0));
        assert_eq!(host.receive(), Some(vec![1]));
        host.send(vec![2]).expect("vanishes");
    }

    /// Both threads sleep until woken, whenever they have nothing to do: one lost wakeup
    /// and the test stands still.
    #[test]
    fn no_wakeup_is_lost_between_two_threads() {
        const COUNT: u32 = 100_000;
        let (waker, woken) = mpsc::channel();
        let (nic, host) = cable(move || {
            let _ = waker.send(());
        })
        .expect("an eventfd");
        // Echoes everything, and holds what finds no room.
        let echo = thread::spawn(move || {
            let mut held: Option<Vec<u8>> = None;
            while !host.is_closed() {
                assert!(readable(&host, 900), "the backend waits for ever");
                host.clear_wakeup();
                while let Some(frame) = held.take().or_else(|| host.receive()) {
                    if let Err(frame) = host.send(frame) {
                        held = Some(frame);
                        break;
                    }
                }
            }
        });
        let (mut sent, mut received) = (0_u32, 0_u32);
        while received < COUNT {
            while sent < COUNT && nic.send(sent.to_ne_bytes().to_vec()).is_ok() {
                sent += 1;
            }
            while let Some(frame) = nic.receive() {
                assert_eq!(frame, received.to_ne_bytes());
                received += 1;
            }
            if received < COUNT {
                let woken = woken.recv_timeout(Duration::from_secs(5));
                woken.expect("the NIC waits for ever");
                while sent < COUNT && nic.send(sent.to_ne_bytes().to_vec()).is_ok() {
                    sent += 1;
                }
            }
        }
        drop(nic);
        echo.join().expect("no panic");
    }
}
