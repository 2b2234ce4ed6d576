//! A tap device: a network interface of the host's, whose other end is a guest's card. So
//! the guest is on whatever network the host puts that interface: a bridge, or routes.
//!
//! The interface is made beforehand by somebody who may, for the user who runs the guest:
//!
//! ```text
//! ip tuntap add dev tap0 mode tap user $USER
//! ip link set tap0 up
//! ```
//!
//! It is opened without `IFF_VNET_HDR`: frames are whole, with their checksums, and no
//! longer than [`TapConfig::mtu`] allows for. What the host has no room for is dropped, as on
//! any wire; what the guest has none for waits in the interface's queue, which drops. Nothing
//! is configured here, neither addresses nor the interface's own MTU.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::{Errno, read, write};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::cable::HostEnd;
use crate::worker::{self, Bell, Worker};
use crate::{HEADER, longest};

/// Frames of one way before the other has its turn.
const ROUND: usize = 64;
/// Bytes of an interface's name (`IFNAMSIZ`), with its end.
const NAME: usize = 16;

/// Which device, and what passes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapConfig {
    /// The interface's name, as [`is_name`] has it.
    pub name: String,
    /// Bytes of the longest payload of a frame.
    pub mtu: u16,
}

/// Whether an interface can be called so: 1 to 15 letters, digits, `-`, `_` and `.`, the
/// first of them a letter or a digit.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let first = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    first && name.len() < NAME && name.bytes().all(letter)
}

/// Why there is no tap device.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// No interface can be called so.
    #[error(
        "no interface can be called `{0}`: a name is 1 to 15 letters, digits, `-`, `_` and `.`, \
         and begins with a letter or a digit"
    )]
    Name(String),
    /// It is not there, or another's.
    #[error(
        "{name} is not there for this user ({source}); make it by: sudo ip tuntap add dev {name} \
         mode tap user $USER && sudo ip link set {name} up"
    )]
    Rights {
        /// The interface.
        name: String,
        /// What the host says.
        source: io::Error,
    },
    /// Another program has it.
    #[error("{0} is in use by another machine or program; give each its own interface")]
    Busy(String),
    /// It cannot be opened for another reason.
    #[error(
        "cannot open the tap device {name}: {source}; it has to be one (ip tuntap shows them), \
         and the host has to have /dev/net/tun (modprobe tun)"
    )]
    Open {
        /// The interface.
        name: String,
        /// What the host says.
        source: io::Error,
    },
    /// The host grants no descriptors, or no thread.
    #[error("the host cannot run a tap device: {0}; it may be out of descriptors or threads")]
    Host(io::Error),
}

/// An open tap device. Dropping it closes it; one that was not made beforehand goes with
/// it.
#[derive(Debug)]
pub struct Tap {
    _worker: Worker,
}

impl Tap {
    /// Connects the interface with the cable's end.
    ///
    /// # Errors
    /// When the interface is not there and this user may make none, is another's or in use,
    /// or the host grants no descriptors or threads.
    pub fn start(config: &TapConfig, end: HostEnd) -> Result<Self, TapError> {
        let device = open(&config.name)?;
        let stop = worker::bell().map_err(TapError::Host)?;
        let longest = longest(config.mtu);
        let wire = Wire {
            device,
            end,
            held: None,
            buffer: vec![0; longest + 1],
            longest,
            warned: false,
        };
        let bell = Arc::clone(&stop);
        let worker = Worker::start("tap", stop, move || wire.run(&bell));
        let worker = worker.map_err(TapError::Host)?;
        Ok(Self { _worker: worker })
    }
}

/// Opens the interface, or creates it where this user may.
fn open(name: &str) -> Result<SyncDevice, TapError> {
    if !is_name(name) {
        return Err(TapError::Name(name.to_owned()));
    }
    let device = DeviceBuilder::new().name(name).layer(Layer::L2);
    // Whether it is up is for its owner to say.
    let device = device.inherit_enable_state();
    let name = name.to_owned();
    let failed = |source: io::Error| match Errno::from_io_error(&source) {
        Some(Errno::PERM | Errno::ACCESS) => TapError::Rights {
            name: name.clone(),
            source,
        },
        Some(Errno::BUSY) => TapError::Busy(name.clone()),
        _ => TapError::Open {
            name: name.clone(),
            source,
        },
    };
    let device = device.build_sync().map_err(failed)?;
    rustix::io::ioctl_fionbio(&device, true).map_err(|e| failed(e.into()))?;
    Ok(device)
}

struct Wire {
    device: SyncDevice,
    end: HostEnd,
    /// A frame that the cable had no room for. Until it has, nothing more is read.
    held: Option<Vec<u8>>,
    /// Takes a frame, and a byte more of one that is too long.
    buffer: Vec<u8>,
    longest: usize,
    warned: bool,
}

impl Wire {
    fn run(mut self, stop: &Bell) {
        loop {
            self.send();
            let going = self.receive().map_err(io::Error::from);
            match going.and_then(|()| self.wait(stop)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    log::error!("a tap device is of no use any more: {error}");
                    return;
                }
            }
        }
    }

    /// Writes some of the guest's frames.
    fn send(&mut self) {
        for _ in 0..ROUND {
            let Some(frame) = self.end.receive() else {
                return;
            };
            if !(HEADER..=self.longest).contains(&frame.len()) {
                continue;
            }
            let written = loop {
                match write(&self.device, &frame) {
                    Err(Errno::INTR) => {}
                    written => break written,
                }
            };
            if written == Err(Errno::IO) && !std::mem::replace(&mut self.warned, true) {
                log::warn!("frames are lost: the tap device is down; ip link set DEVICE up");
            }
        }
    }

    /// Reads some of the host's frames.
    ///
    /// # Errors
    /// When there is no device any more.
    fn receive(&mut self) -> Result<(), Errno> {
        if let Some(frame) = self.held.take()
            && !self.deliver(frame)
        {
            return Ok(());
        }
        for _ in 0..ROUND {
            match read(&self.device, &mut self.buffer[..]) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
                Ok(length) if !(HEADER..=self.longest).contains(&length) => {}
                Ok(length) => {
                    let frame = self.buffer.get(..length).unwrap_or_default().to_vec();
                    if !self.deliver(frame) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the cable took the frame; else it is kept.
    fn deliver(&mut self, frame: Vec<u8>) -> bool {
        self.held = self.end.send(frame).err();
        self.held.is_none()
    }

    /// Waits until something happens. Whether to go on.
    fn wait(&mut self, stop: &Bell) -> io::Result<bool> {
        if self.end.is_closed() {
            return Ok(false);
        }
        let wakeup = self.end.wakeup();
        let mut asked: Vec<(&dyn AsFd, PollFlags)> =
            vec![(stop, PollFlags::IN), (&wakeup, PollFlags::IN)];
        if self.held.is_none() {
            asked.push((&self.device, PollFlags::IN));
        }
        let busy = !self.end.is_empty();
        let found = worker::wait(&asked, busy.then_some(Duration::ZERO))?;
        let [stopped, woken, ..] = &found[..] else {
            return Ok(true);
        };
        if !woken.is_empty() {
            self.end.clear_wakeup();
        }
        Ok(stopped.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cable::{NicEnd, cable};
    use std::net::UdpSocket;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn names_are_those_of_interfaces() {
        for good in ["tap0", "a", "vm-1.2_3", "123456789012345"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1234567890123456", "a/b", ".", "-a", "tap%d", "a b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    /// Where this test program is run again as one that may make interfaces.
    const INSIDE: &str = "ISOFORM_TEST_TAP";

    /// In a network namespace of its own, where the host grants one.
    #[test]
    fn frames_pass_both_ways_in_a_namespace() {
        let me = std::env::current_exe().expect("a program");
        let mut unshare = Command::new("unshare");
        unshare.args(["-Urn"]).env(INSIDE, "1");
        let may = unshare.args([
            "sh",
            "-c",
            "ip tuntap add dev t mode tap && test -e /dev/net/tun",
        ]);
        if !may.output().is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: no namespace in which a tap device could be made");
            return;
        }
        let mut inside = Command::new("unshare");
        inside.args(["-Urn"]).env(INSIDE, "1").arg(me);
        inside.args(["--exact", "tap::tests::inside_a_namespace", "--ignored"]);
        let done = inside.output().expect("unshare");
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && told.contains("1 passed"), "{told}");
    }

    fn ip(arguments: &str) {
        let mut ip = Command::new("ip");
        let done = ip.args(arguments.split(' ')).status().expect("ip");
        assert!(done.success(), "ip {arguments}");
    }

    fn tap(name: &str) -> (NicEnd, Result<Tap, TapError>) {
        let (nic, host) = cable(|| {}).expect("a cable");
        let name = name.to_owned();
        (nic, Tap::start(&TapConfig { name, mtu: 1500 }, host))
    }

    /// The next frame of the IPv4 network.
    fn ipv4(nic: &NicEnd) -> Vec<u8> {
        let late = Instant::now() + Duration::from_secs(10);
        loop {
            match nic.receive() {
                Some(frame) if frame[12..14] == [8, 0] => return frame,
                _ => assert!(Instant::now() < late, "no frame came"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    #[ignore = "run by frames_pass_both_ways_in_a_namespace"]
    fn inside_a_namespace() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        ip("tuntap add dev tap0 mode tap");
        let (nic, opened) = tap("tap0");
        let opened = opened.expect("it was made");
        assert!(matches!(tap("tap0").1, Err(TapError::Busy(_))));
        assert!(matches!(tap("lo").1, Err(TapError::Open { .. })));
        nic.send(vec![0; 60])
            .expect("it is down, and takes nothing");

        ip("link set tap0 up");
        ip("addr add 10.9.0.1/24 dev tap0");
        ip("neigh add 10.9.0.2 lladdr 52:54:00:00:00:02 dev tap0");
        let socket = UdpSocket::bind("10.9.0.1:7").expect("a port");
        socket.send_to(b"hello", "10.9.0.2:7").expect("sent");
        let mut frame = ipv4(&nic);
        assert_eq!(frame[..6], [0x52, 0x54, 0, 0, 0, 2]);
        assert_eq!(frame[42..47], *b"hello");

        // The same back: both addresses change places, which no checksum minds.
        nic.send(vec![0; 13]).expect("too short");
        nic.send(vec![0; 9000]).expect("too long");
        let (to, from) = frame.split_at_mut(6);
        to.swap_with_slice(&mut from[..6]);
        let (from, to) = frame.split_at_mut(30);
        from[26..30].swap_with_slice(&mut to[..4]);
        nic.send(frame).expect("room");
        let mut buffer = [0; 16];
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).expect("a time");
        let (length, _) = socket.recv_from(&mut buffer).expect("the answer");
        assert_eq!(buffer[..length], *b"hello");

        drop(opened);
        assert!(nic.is_closed());
        assert!(tap("tap0").1.is_ok());
    }
}
