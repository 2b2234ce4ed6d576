//! A network with a host that reaches nothing, driven by bytes: what the fuzz target and
//! the tests of hostile guests run.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use smoltcp::time::{Duration, Instant};

use super::UserConfig;
use super::agenda::{Readiness, Token};
use super::host::Host;
use super::lan::Trust;
use super::nat::Nat;

/// Far ends that are kept open, so that some sockets find theirs closed.
const KEPT: usize = 32;
/// Frames made of one input.
const FRAMES: usize = 200;

/// A host whose sockets are pairs: the far ends are here.
#[derive(Default)]
pub(crate) struct Pairs {
    far: VecDeque<OwnedFd>,
    pub(crate) watched: Vec<Token>,
    /// What was asked for.
    pub(crate) asked: usize,
    /// Whether it is out of descriptors where it is asked for its own addresses.
    pub(crate) blind: bool,
}

impl Pairs {
    fn pair(&mut self, kind: SocketType) -> Result<OwnedFd> {
        self.asked += 1;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (near, far) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        if self.far.len() == KEPT {
            self.far.pop_front();
        }
        self.far.push_back(far);
        Ok(near)
    }

    /// All far ends are closed.
    #[cfg(test)]
    pub(crate) fn hang_up(&mut self) {
        self.far.clear();
    }

    /// Each far end sends back what came.
    fn echo(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        for far in &self.far {
            if let Ok((count, _)) = recv(far, &mut buffer[..], RecvFlags::empty()) {
                let answer = buffer.get(..count).unwrap_or_default();
                let _ = send(far, answer, SendFlags::NOSIGNAL);
            }
        }
    }
}

impl Host for Pairs {
    fn tcp(&mut self, to: SocketAddr) -> Result<OwnedFd> {
        match to.port() % 8 {
            1 => Err(Errno::CONNREFUSED),
            2 => Err(Errno::NETUNREACH),
            3 => Err(Errno::MFILE),
            _ => self.pair(SocketType::STREAM),
        }
    }

    fn udp(&mut self, _: IpAddr) -> Result<OwnedFd> {
        self.pair(SocketType::DGRAM)
    }

    fn ping(&mut self, to: Ipv4Addr) -> Result<OwnedFd> {
        match to.octets() {
            [.., 1] => Err(Errno::ACCESS),
            _ => self.pair(SocketType::DGRAM),
        }
    }

    fn listen(&mut self, _: SocketAddr) -> Result<OwnedFd> {
        Err(Errno::ADDRINUSE)
    }

    fn bind(&mut self, _: SocketAddr) -> Result<OwnedFd> {
        self.pair(SocketType::DGRAM)
    }

    fn is_own(&mut self, address: Ipv4Addr) -> Result<bool> {
        match self.blind {
            true => Err(Errno::MFILE),
            false => Ok(address == Ipv4Addr::new(192, 0, 2, 99)),
        }
    }

    fn nameservers(&mut self) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, 53], 53))]
    }

    fn search(&mut self) -> Vec<String> {
        vec!["example".to_owned()]
    }

    fn watch(&mut self, _: BorrowedFd<'_>, token: Token) -> Result<()> {
        self.watched.push(token);
        Ok(())
    }
}

/// Goes on for `time` in steps, with all sockets ready all of the time; how many frames
/// went to the guest.
pub(crate) fn drive(nat: &mut Nat<Pairs>, now: &mut Instant, time: Duration) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for _ in 0..4 {
        *now += time / 4;
        nat.expire(*now);
        let both = Readiness {
            readable: true,
            writable: true,
        };
        let tokens = std::mem::take(&mut nat.host.watched);
        for token in &tokens {
            nat.ready(*token, both);
        }
        nat.host.watched = tokens;
        for _ in 0..4 {
            nat.work(64, *now);
            sent.extend(std::iter::from_fn(|| nat.lan.take()));
        }
        nat.host.echo();
    }
    sent
}

/// A network without a real host.
pub(crate) fn network(config: UserConfig) -> Option<Nat<Pairs>> {
    Nat::new(config, Pairs::default()).ok()
}

/// What the guest does with the bytes: the first says how the network is, then frames
/// follow, each behind a byte that says how it is made: as it stands, or with headers in
/// front of it that lead it further in.
pub fn run(data: &[u8]) {
    let Some((options, mut rest)) = data.split_first() else {
        return;
    };
    let config = UserConfig {
        host: options & 1 != 0,
        restrict: options & 2 != 0,
        mtu: if options & 4 != 0 { 576 } else { 65520 },
        ..UserConfig::default()
    };
    let Some(mut nat) = network(config) else {
        return;
    };
    nat.trust(Trust {
        from_guest: options & 8 == 0,
        to_guest: options & 16 != 0,
    });
    let mut now = Instant::ZERO;
    for _ in 0..FRAMES {
        let Some(([kind, length], left)) = rest.split_first_chunk() else {
            break;
        };
        let (body, left) = left.split_at(left.len().min(usize::from(*length)));
        rest = left;
        nat.frame(frame(*kind, body), now);
        let passed = Duration::from_millis(u64::from(*kind) * 10);
        drive(&mut nat, &mut now, passed);
    }
    drive(&mut nat, &mut now, Duration::from_secs(20_000));
}

/// A frame that gets further than bytes alone would.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    const TO_US: [u8; 12] = [0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56];
    let (ethertype, protocol) = match kind % 8 {
        0 => return body.to_vec(),
        1 => ([8, 6], None),
        2 => ([8, 0], None),
        3 => ([8, 0], Some(6)),
        4 => ([8, 0], Some(17)),
        5 => ([8, 0], Some(1)),
        6 => ([8, 0], Some(17)),
        _ => ([8, 0], Some(6)),
    };
    let mut frame = TO_US.to_vec();
    frame.extend(ethertype);
    if let Some(protocol) = protocol {
        frame.extend(ipv4(kind, protocol, body.len()));
    }
    frame.extend_from_slice(body);
    frame
}

/// A valid IPv4 header.
fn ipv4(kind: u8, protocol: u8, payload: usize) -> [u8; 20] {
    let to: [u8; 4] = match kind >> 6 {
        0 => [10, 0, 2, 2],
        1 => [10, 0, 2, 3],
        2 => [192, 0, 2, 99],
        _ => [192, 0, 2, 7],
    };
    let [high, low] = u16::try_from(20 + payload).unwrap_or(20).to_be_bytes();
    let fragment = if kind & 0x38 == 0x38 { 0x20 } else { 0 };
    let mut header = [
        0x45, 0, high, low, 0, 1, fragment, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 0, 0, 0, 0,
    ];
    header[16..].copy_from_slice(&to);
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut header[..]).fill_checksum();
    header
}
