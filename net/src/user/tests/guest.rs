//! A guest: smoltcp on the NIC's end of a cable.

use std::sync::mpsc;
use std::time::{Duration, Instant as Clock};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{AnySocket, dhcpv4, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address, Ipv4Cidr};

use super::super::{UserConfig, UserNet};
use crate::cable::{NicEnd, Offloads, cable};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(15);
const BUFFER: usize = 256 << 10;
pub(super) const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

pub(super) struct Guest {
    nic: Nic,
    interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    woken: mpsc::Receiver<()>,
    began: Clock,
    port: u16,
    _net: UserNet,
}

/// The host's loopback behind the gateway.
pub(super) fn open() -> UserConfig {
    UserConfig {
        host: true,
        ..UserConfig::default()
    }
}

impl Guest {
    /// Without an address.
    pub(super) fn plugged(config: UserConfig, mtu: usize) -> Self {
        let (waker, woken) = mpsc::channel();
        let (end, host) = cable(move || {
            let _ = waker.send(());
        })
        .expect("a cable");
        let net = UserNet::start(config, host).expect("a network");
        let mut nic = Nic { end, mtu };
        let mac = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let interface = Interface::new(Config::new(mac.into()), &mut nic, Instant::ZERO);
        Self {
            nic,
            interface,
            sockets: SocketSet::new(Vec::new()),
            woken,
            began: Clock::now(),
            port: 40000,
            _net: net,
        }
    }

    /// With the address that DHCP would give it.
    pub(super) fn new(config: UserConfig) -> Self {
        let mut guest = Self::plugged(config, 65520);
        guest.configure(Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24), HOST);
        guest
    }

    pub(super) fn with_mtu(config: UserConfig, mtu: usize) -> Self {
        let mut guest = Self::plugged(config, mtu);
        guest.configure(Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24), HOST);
        guest
    }

    /// Neither side makes or looks at checksums.
    pub(super) fn trusting(mut self) -> Self {
        self.nic.end.set_offloads(Offloads {
            from_guest: true,
            to_guest: true,
        });
        let mac = self.interface.hardware_addr();
        let addresses = self.interface.ip_addrs().to_vec();
        let mut nic = Trusting(&mut self.nic);
        self.interface = Interface::new(Config::new(mac), &mut nic, Instant::ZERO);
        for address in addresses {
            let IpCidr::Ipv4(address) = address;
            self.configure(address, HOST);
        }
        self
    }

    pub(super) fn configure(&mut self, address: Ipv4Cidr, router: Ipv4Address) {
        self.interface.update_ip_addrs(|list| {
            list.clear();
            list.push(IpCidr::Ipv4(address)).expect("room for one");
        });
        let routes = self.interface.routes_mut();
        routes.add_default_ipv4_route(router).expect("room for one");
    }

    /// Asks for an address by DHCP, and takes it.
    pub(super) fn dhcp(&mut self) -> dhcpv4::Config<'static> {
        let handle = self.sockets.add(dhcpv4::Socket::new());
        let config = self.until("DHCP", |guest| {
            let socket = guest.sockets.get_mut::<dhcpv4::Socket<'_>>(handle);
            match socket.poll() {
                Some(dhcpv4::Event::Configured(config)) => Some(dhcpv4::Config {
                    packet: None,
                    ..config
                }),
                _ => None,
            }
        });
        self.configure(config.address, config.router.expect("a router"));
        config
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.began.elapsed().as_micros()).expect("a while"))
    }

    /// Goes on until `done` has something.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let late = Clock::now() + PATIENCE;
        loop {
            let now = self.now();
            let Self {
                nic,
                interface,
                sockets,
                ..
            } = self;
            interface.poll(now, nic, sockets);
            if let Some(result) = done(self) {
                return result;
            }
            assert!(Clock::now() < late, "{what}: it takes too long");
            let now = self.now();
            let wait = self.interface.poll_delay(now, &self.sockets);
            let wait = wait.map_or(Duration::from_millis(5), Duration::from);
            if !wait.is_zero() && self.nic.end.is_empty() {
                let _ = self.woken.recv_timeout(wait.min(Duration::from_millis(5)));
            }
        }
    }

    /// Goes on for a while.
    pub(super) fn linger(&mut self, time: Duration) {
        let end = Clock::now() + time;
        self.until("a while", |_| (Clock::now() >= end).then_some(()));
    }

    pub(super) fn get<T: AnySocket<'static>>(&mut self, handle: SocketHandle) -> &mut T {
        self.sockets.get_mut(handle)
    }

    pub(super) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// A socket that has begun to connect.
    pub(super) fn connect(&mut self, to: Ipv4Address, port: u16) -> SocketHandle {
        let handle = self.sockets.add(socket());
        self.port += 1;
        let Self {
            interface,
            sockets,
            port: local,
            ..
        } = self;
        sockets
            .get_mut::<tcp::Socket<'_>>(handle)
            .connect(interface.context(), (to, port), *local)
            .expect("a free port");
        handle
    }

    pub(super) fn connected(&mut self, to: Ipv4Address, port: u16) -> SocketHandle {
        let handle = self.connect(to, port);
        self.until("connecting", |guest| {
            let socket = guest.tcp(handle);
            assert!(socket.is_open(), "refused");
            socket.may_send().then_some(())
        });
        handle
    }

    pub(super) fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = socket();
        socket.listen(port).expect("a port");
        self.sockets.add(socket)
    }

    /// Whether a connection was refused, in the time that an answer takes.
    pub(super) fn is_refused(&mut self, to: Ipv4Address, port: u16) -> bool {
        let handle = self.connect(to, port);
        let refused = self.until("an answer", |guest| {
            let socket = guest.tcp(handle);
            (!socket.is_open() || socket.may_send()).then(|| !socket.is_open())
        });
        self.sockets.remove(handle);
        refused
    }

    /// Sends all of `bytes`, and reads what comes, until the other side is done.
    pub(super) fn exchange(&mut self, handle: SocketHandle, bytes: &[u8], close: bool) -> Vec<u8> {
        let (mut left, mut read, mut closed) = (bytes, Vec::new(), false);
        self.until("an exchange", |guest| {
            let socket = guest.tcp(handle);
            while socket.can_send() && !left.is_empty() {
                let sent = socket.send_slice(left).expect("open");
                left = &left[sent..];
            }
            if left.is_empty() && close && !closed {
                socket.close();
                closed = true;
            }
            while socket.can_recv() {
                socket
                    .recv(|data| {
                        read.extend_from_slice(data);
                        (data.len(), ())
                    })
                    .expect("open");
            }
            let done = match close {
                true => {
                    let over = [tcp::State::Closed, tcp::State::TimeWait];
                    over.contains(&socket.state()) && socket.recv_queue() == 0
                }
                false => read.len() >= bytes.len(),
            };
            done.then_some(())
        });
        read
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket
}

/// The NIC.
pub(super) struct Nic {
    end: NicEnd,
    mtu: usize,
}

pub(super) struct Frame(Vec<u8>);
pub(super) struct Sender<'a>(&'a NicEnd);

impl Device for Nic {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Frame, Sender<'_>)> {
        Some((Frame(self.end.receive()?), Sender(&self.end)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        Some(Sender(&self.end))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

/// A NIC at which an interface learns to do without checksums.
struct Trusting<'a>(&'a mut Nic);

impl Device for Trusting<'_> {
    type RxToken<'a>
        = Frame
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Frame, Sender<'_>)> {
        self.0.receive(now)
    }

    fn transmit(&mut self, now: Instant) -> Option<Sender<'_>> {
        self.0.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        use smoltcp::phy::{Checksum, ChecksumCapabilities};
        let mut capabilities = self.0.capabilities();
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities.checksum.ipv4 = Checksum::Both;
        capabilities
    }
}

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        // A full cable loses the frame here, as a NIC's queue would; it is sent again.
        let _ = self.0.send(frame);
        result
    }
}
