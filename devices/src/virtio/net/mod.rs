//! Network device. It knows frames and the driver's queues; what the frames are sent
//! to and come from lies behind a [`NetPort`].
//!
//! A frame that the port refuses waits, and the driver's queue with it, until the run
//! loop says by [`PacketSlot::look`](super::PacketSlot::look) that there is room; so no frame is lost, and a
//! guest that sends faster than the other side takes is slowed down. Frames for which
//! the driver has no buffer stay with the port.
//!
//! A frame never goes from a queue of the device to another of the same device: there is
//! no loopback here, and hence no recursion.

mod filter;
mod header;
mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::chain::Chain;
use super::packet::{PacketDevice, PacketPort};
use super::{NeedsReset, Queues, VirtioDevice};
use filter::Filter;
use spec::{CONTROL, Features, LINK_UP, RX, TX, command};

pub use filter::{FilterState, Mac};
pub use saved::NetState;

const QUEUE_SIZE: u16 = 256;
const CONTROL_QUEUE_SIZE: u16 = 64;
/// Bytes of a frame's addresses and type.
const ETHERNET_HEADER: usize = 14;
/// Bytes of the longest frame: what IPv4 can count, behind an Ethernet header with a
/// VLAN's tag.
pub const FRAME_MAX: usize = ETHERNET_HEADER + 4 + 65535;
/// Frames taken from the port in one turn.
const RECEIVED_MAX: usize = 512;
/// Bytes of a command at most; longer ones are refused.
const COMMAND_MAX: u64 = 8192;

/// Which checksums of TCP and UDP the driver and this device agreed not to need on a
/// local link: none, until they have agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Sent frames may have partial ones (CSUM).
    pub sent: bool,
    /// The driver looks at none of what it receives (GUEST_CSUM).
    pub received: bool,
}

/// The other end of the wire. A packet is a frame of 14 to [`FRAME_MAX`] bytes, without its
/// check sequence.
pub trait NetPort: PacketPort {
    /// What holds for frames from now on. Called where that changes.
    fn agree(&mut self, offloads: Offloads) {
        let _ = offloads;
    }
}

/// What the guest is told about the card, and what the device may leave undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Its address.
    pub mac: Mac,
    /// Longest payload of a frame in bytes, if the guest is told of one.
    pub mtu: Option<u16>,
    /// The other end of the wire is this host itself: it takes frames of any length up
    /// to [`FRAME_MAX`], and needs no checksums where it is told so ([`NetPort::agree`]).
    pub local: bool,
}

/// The network device. See the [module documentation](self).
pub struct Net {
    // --- fixed configuration
    config: NetConfig,

    // --- connections
    port: Box<dyn NetPort>,
    /// What the port was told of.
    offloads: Offloads,
    /// A frame that the port had no room for.
    refused: Option<Vec<u8>>,
    /// A frame that no buffers were there for.
    arrived: Option<Vec<u8>>,

    // --- guest-visible state
    filter: Filter,
    /// Receive buffers taken for a frame that needs more of them.
    buffers: VecDeque<Chain>,
}

impl Net {
    /// A card as `config` says, plugged into `port`.
    pub fn new(config: NetConfig, port: Box<dyn NetPort>) -> Self {
        Self {
            config,
            port,
            offloads: Offloads::default(),
            refused: None,
            arrived: None,
            filter: Filter::new(config.mac),
            buffers: VecDeque::new(),
        }
    }

    /// Tells the port of what was negotiated, which a reset undoes.
    fn agree(&mut self, offloads: Offloads) {
        if self.config.local && self.offloads != offloads {
            self.offloads = offloads;
            self.port.agree(offloads);
        }
    }

    /// Sends what the driver offers, as far as the port takes it.
    fn transmit(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        self.agree(header::offloads(queues));
        loop {
            if let Some(frame) = self.refused.take()
                && let Err(frame) = self.port.send(frame)
            {
                self.refused = Some(frame);
                return Ok(());
            }
            let Some(chain) = queues.pop(TX)? else {
                return Ok(());
            };
            self.refused = self.frame_of(&chain, queues)?;
            // The frame is out of the guest's memory, wherever it waits.
            queues.push(TX, chain.head, 0)?;
        }
    }

    /// The frame in a chain; `None` for what can be none.
    fn frame_of(&self, chain: &Chain, queues: &Queues<'_>) -> Result<Option<Vec<u8>>, NeedsReset> {
        let header = header::bytes(queues);
        let length = chain.readable.len();
        let Some(length) = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_sub(header))
            .filter(|length| (ETHERNET_HEADER..=FRAME_MAX).contains(length))
        else {
            return Ok(None);
        };
        let mut bytes = [0; spec::HEADER_BYTES];
        let (bytes, _) = bytes.split_at_mut(header);
        chain.readable.read(queues.ram(), 0, bytes)?;
        let mut frame = vec![0; length];
        chain
            .readable
            .read(queues.ram(), header as u64, &mut frame)?;
        let whole = header::finish(bytes, &mut frame, self.config.local, queues);
        Ok(whole.then_some(frame))
    }

    /// Delivers what the port has, as far as the driver has buffers.
    fn receive(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        if !queues.is_live() {
            return Ok(());
        }
        self.agree(header::offloads(queues));
        // So many in a turn, also of those that nobody wants.
        for _ in 0..RECEIVED_MAX {
            let Some(frame) = self.arrived.take().or_else(|| self.port.receive()) else {
                return Ok(());
            };
            let to = frame.first_chunk().copied().unwrap_or_default();
            if self.filter.takes(&to) && !self.deliver(&frame, queues)? {
                self.arrived = Some(frame);
                return Ok(());
            }
        }
        queues.again(RX);
        Ok(())
    }

    /// Puts a frame into buffers of the driver; whether there were enough of them.
    fn deliver(&mut self, frame: &[u8], queues: &mut Queues<'_>) -> Result<bool, NeedsReset> {
        let header = header::bytes(queues);
        let merges = queues.has(Features::MRG_RXBUF.bits());
        let wanted = (header + frame.len()) as u64;
        let mut room = 0;
        let mut used = 0;
        while room < wanted && (merges || used == 0) {
            if used == usize::from(QUEUE_SIZE) {
                // More buffers than the queue has: some were offered twice.
                return Err(NeedsReset);
            }
            if used == self.buffers.len() {
                let Some(chain) = queues.pop(RX)? else {
                    return Ok(false);
                };
                self.buffers.push_back(chain);
            }
            room += self.buffers.get(used).map_or(0, |c| c.writable.len());
            used += 1;
        }
        if room < wanted {
            // The driver's only buffer is too small: the frame is lost (5.1.6.3.1).
            return Ok(true);
        }
        let start = header::received(self.offloads.received, used as u16);
        let (start, _) = start.split_at(header);
        self.fill(used, &[start, frame].concat(), queues)?;
        Ok(true)
    }

    /// Writes `bytes` over the first `used` buffers, and gives them back together.
    fn fill(
        &mut self,
        used: usize,
        bytes: &[u8],
        queues: &mut Queues<'_>,
    ) -> Result<(), NeedsReset> {
        let mut rest = bytes;
        let mut filled = Vec::with_capacity(used);
        for chain in self.buffers.drain(..used) {
            let room = usize::try_from(chain.writable.len()).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            chain.writable.write(queues.ram(), 0, now)?;
            filled.push((chain.head, now.len() as u32));
            rest = later;
        }
        queues.push_all(RX, &filled)
    }

    /// Carries out commands.
    fn obey(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        while let Some(chain) = queues.pop(CONTROL)? {
            let length = chain.readable.len().min(COMMAND_MAX);
            let mut bytes = vec![0; length as usize];
            chain.readable.read(queues.ram(), 0, &mut bytes)?;
            let whole = chain.readable.len() <= COMMAND_MAX;
            let done = match bytes.as_slice() {
                [command::RX, command, data @ ..] if whole => self.filter.set_mode(*command, data),
                [command::MAC, command, data @ ..] if whole => {
                    self.filter.set_addresses(*command, data)
                }
                _ => None,
            };
            let answer = match done {
                Some(()) => command::OK,
                None => command::ERR,
            };
            let at = chain.writable.len().checked_sub(1).ok_or(NeedsReset)?;
            chain.writable.write(queues.ram(), at, &[answer])?;
            queues.push(CONTROL, chain.head, if at == 0 { 1 } else { 0 })?;
        }
        Ok(())
    }
}

impl PacketDevice for Net {
    fn look(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        self.transmit(queues)?;
        self.receive(queues)
    }
}

impl VirtioDevice for Net {
    const NAME: &'static str = "virtio-net";
    const ID: u32 = super::spec::id::NETWORK;
    type State = NetState;
    const VERSION: u8 = 1;

    fn features(&self) -> u64 {
        let mut features = Features::CSUM
            | Features::MAC
            | Features::MRG_RXBUF
            | Features::STATUS
            | Features::CTRL_VQ
            | Features::CTRL_RX
            | Features::CTRL_RX_EXTRA
            | Features::CTRL_MAC_ADDR;
        features.set(Features::MTU, self.config.mtu.is_some());
        features.set(
            Features::GUEST_CSUM | Features::HOST_TSO4,
            self.config.local,
        );
        features.bits()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE, QUEUE_SIZE, CONTROL_QUEUE_SIZE]
    }

    /// `struct virtio_net_config` (5.1.4).
    fn config(&self) -> Vec<u8> {
        let mut config = self.filter.mac().to_vec();
        config.extend(LINK_UP.to_le_bytes());
        // max_virtqueue_pairs: not offered.
        config.extend(0u16.to_le_bytes());
        config.extend(self.config.mtu.unwrap_or(0).to_le_bytes());
        config
    }

    /// A legacy driver sets the address here (5.1.4.1), a byte at a time.
    fn write_config(&mut self, offset: u64, bytes: &[u8]) {
        let mut mac = self.filter.mac();
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        for (to, from) in mac.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
        self.filter.set_mac(mac);
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        match queue {
            RX => self.receive(queues),
            TX => self.transmit(queues),
            CONTROL => self.obey(queues),
            _ => Ok(()),
        }
    }

    fn queue_stopped(&mut self, queue: u16) {
        if queue == RX {
            self.buffers.clear();
        }
    }

    fn reset(&mut self) {
        self.buffers.clear();
        // What is on its way was made under what was agreed before.
        (self.refused, self.arrived) = (None, None);
        self.agree(Offloads::default());
        self.filter = Filter::new(self.config.mac);
    }

    fn state(&self) -> NetState {
        self.saved()
    }

    fn set_state(&mut self, state: NetState, ram: &Ram) -> Result<(), RestoreError> {
        self.put_back(state, ram)
    }
}
