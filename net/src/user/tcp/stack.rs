//! A TCP stack for one connection: an interface with one socket. So a packet costs the
//! same however many connections there are, and none can starve another.

use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};

use super::super::lan::{ETHERNET, Lan};
use super::Key;

/// A guest that acknowledges nothing for as long is gone.
pub(super) const UNANSWERED: Duration = Duration::from_secs(300);
/// The same while a published port's connection is being opened.
const UNOPENED: Duration = Duration::from_secs(10);

/// How large what a connection needs may be, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// The largest packet.
    pub(super) mtu: usize,
    /// Each of two buffers. What is not touched costs no memory.
    pub(super) buffer: usize,
}

pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Stack {
    /// The far end of a connection of the guest's, which waits for its SYN.
    pub(super) fn listening(key: &Key, size: Size, seed: u64, now: Instant) -> Option<Self> {
        let mut stack = Self::new(key.remote.0, size, seed, now);
        stack.socket().listen(key.remote).ok()?;
        Some(stack)
    }

    /// The near end of a connection to the guest, whose SYN goes out with the next
    /// [`transmit`](Self::transmit).
    pub(super) fn connecting(key: &Key, size: Size, seed: u64, now: Instant) -> Option<Self> {
        let mut stack = Self::new(key.remote.0, size, seed, now);
        let socket = stack.sockets.get_mut::<Socket<'_>>(stack.handle);
        socket.set_timeout(Some(UNOPENED));
        let context = stack.interface.context();
        socket.connect(context, key.guest, key.remote).ok()?;
        Some(stack)
    }

    fn new(address: Ipv4Addr, size: Size, seed: u64, now: Instant) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed; // of sequence numbers
        let mut interface = Interface::new(config, &mut Capabilities(size.mtu), now);
        interface.update_ip_addrs(|list| {
            // The network that is everything: answers need no route. An empty list of
            // addresses takes one.
            let _ = list.push(IpCidr::Ipv4(Ipv4Cidr::new(address, 0)));
        });
        let buffer = || SocketBuffer::new(vec![0; size.buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        // No delays: segments and acknowledgements are made once for all that came in
        // together.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.set_timeout(Some(UNANSWERED));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            interface,
            sockets,
            handle,
        }
    }

    pub(super) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Once a connection is open, its guest may be silent for as long as it owes nothing.
    /// smoltcp's timeout makes no such difference, and counts from the last segment even
    /// where a FIN comes long after it: so who has the connection looks at
    /// [`is_owed`](Self::is_owed) instead.
    pub(super) fn opened(&mut self) {
        self.socket().set_timeout(None);
    }

    /// Whether the guest is to acknowledge something: bytes, or the end.
    pub(super) fn is_owed(&mut self) -> bool {
        let socket = self.socket();
        let ending = [State::FinWait1, State::Closing, State::LastAck];
        socket.send_queue() > 0 || ending.contains(&socket.state())
    }

    /// A frame from the guest; at most one goes out at once.
    pub(super) fn receive(&mut self, frame: Vec<u8>, lan: &mut Lan, now: Instant) {
        let received = Some(frame);
        let mut port = Port { received, lan };
        let Self {
            interface, sockets, ..
        } = self;
        interface.poll_ingress_single(now, &mut port, sockets);
    }

    /// Sends at most `budget` segments, and no more than there is room for. Whether
    /// that was all.
    pub(super) fn transmit(&mut self, budget: usize, lan: &mut Lan, now: Instant) -> bool {
        let received = None;
        let mut port = Port { received, lan };
        for _ in 0..budget {
            if !port.lan.has_room() {
                return false;
            }
            let sent = self
                .interface
                .poll_egress(now, &mut port, &mut self.sockets);
            if sent == PollResult::None {
                return true;
            }
        }
        false
    }

    /// When something is to be sent again, if nothing happens before.
    pub(super) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = mtu;
    // What comes in was checked already. Segments get theirs from `Lan::send`, which
    // knows whether the guest looks at them.
    capabilities.checksum = ChecksumCapabilities::ignored();
    capabilities.checksum.ipv4 = Checksum::Tx;
    capabilities
}

/// Says what an interface is to be like, before it has anything to do.
struct Capabilities(usize);

impl Device for Capabilities {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room<'_>)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.0)
    }
}

/// What a stack is connected to while it does something.
struct Port<'a> {
    received: Option<Vec<u8>>,
    lan: &'a mut Lan,
}

impl Device for Port<'_> {
    type RxToken<'a>
        = Received
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room<'_>)> {
        let frame = self.received.take()?;
        Some((Received(frame), Room(self.lan)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        self.lan.has_room().then_some(Room(self.lan))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.lan.mtu())
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0.get(ETHERNET..).unwrap_or_default())
    }
}

struct Room<'a>(&'a mut Lan);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; ETHERNET + length];
        let result = write(&mut frame[ETHERNET..]);
        self.0.send(frame);
        result
    }
}
