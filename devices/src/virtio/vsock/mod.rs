//! Socket device (Virtio 1.2, section 5.10): packets go between the driver and a
//! [`PacketPort`], headers with their payloads, as long as those say. What they say of connections and credit is the port's affair; the device
//! knows of a packet how long it is, and that data may be cut where a buffer of the driver's
//! is too short for it.
//!
//! Connections do not outlive a reset of the device, nor a restore of its state. The port
//! is told of either by an empty packet, and answers with one: what comes before that is
//! of connections that are gone, and is dropped. After a restore the driver is told, too,
//! by the event TRANSPORT_RESET.

mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::chain::Chain;
use super::packet::{PacketDevice, PacketPort};
use super::{NeedsReset, Queues, VirtioDevice};
use spec::{Features, HEADER_BYTES, LEN, OP, OP_RW, TRANSPORT_RESET};

pub use saved::VsockState;

const RX: u16 = 0;
const TX: u16 = 1;
const EVENT: u16 = 2;
const QUEUE_SIZE: u16 = 128;
/// Bytes of a packet's payload at most, in either direction: Linux sends 64 KiB.
pub const PAYLOAD_MAX: usize = 256 << 10;
/// Packets looked at in one turn.
const TURN: usize = 256;

/// The socket device. See the [module documentation](self).
pub struct Vsock {
    // --- fixed configuration
    guest_cid: u32,

    // --- connections
    port: Box<dyn PacketPort>,
    /// A packet that the port had no room for.
    refused: Option<Vec<u8>>,
    /// A packet that no buffer was there for, and how much of its payload was delivered.
    arrived: Option<(Vec<u8>, usize)>,
    /// The port is still to be told that connections are gone.
    hangs_up: bool,
    /// How often it was told and has not answered.
    unanswered: u64,

    // --- guest-visible state
    /// The driver is still to be told that connections are gone.
    was_restored: bool,
}

impl Vsock {
    /// A device for a guest of this number, with its port.
    pub fn new(guest_cid: u32, port: Box<dyn PacketPort>) -> Self {
        Self {
            guest_cid,
            port,
            refused: None,
            arrived: None,
            hangs_up: false,
            unanswered: 0,
            was_restored: false,
        }
    }

    /// All connections are gone.
    fn hang_up(&mut self) {
        (self.refused, self.arrived) = (None, None);
        self.hangs_up = true;
        self.announce();
    }

    /// Tells the port that connections are gone, if it has to be; whether it is told.
    fn announce(&mut self) -> bool {
        if self.hangs_up && self.port.send(Vec::new()).is_ok() {
            self.hangs_up = false;
            self.unanswered += 1;
        }
        !self.hangs_up
    }

    /// Sends what the driver offers, as far as the port takes it.
    fn transmit(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        while self.announce() {
            if let Some(packet) = self.refused.take()
                && let Err(packet) = self.port.send(packet)
            {
                self.refused = Some(packet);
                return Ok(());
            }
            let Some(chain) = queues.pop(TX)? else {
                return Ok(());
            };
            self.refused = packet_of(&chain, queues.ram())?;
            // The packet is out of the guest's memory, wherever it waits.
            queues.push(TX, chain.head, 0)?;
        }
        Ok(())
    }

    /// Delivers what the port has, as far as the driver has buffers.
    fn receive(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        if !queues.is_live() {
            return Ok(());
        }
        for _ in 0..TURN {
            let next = self.arrived.take().or_else(|| Some((self.next()?, 0)));
            let Some((packet, done)) = next else {
                return Ok(());
            };
            let Some(chain) = queues.pop(RX)? else {
                self.arrived = Some((packet, done));
                return Ok(());
            };
            self.arrived = deliver(&packet, done, &chain, queues)?.map(|done| (packet, done));
        }
        queues.again(RX);
        Ok(())
    }

    /// The next packet of a connection that there still is.
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let packet = self.port.receive()?;
            if packet.is_empty() {
                self.unanswered = self.unanswered.saturating_sub(1);
            } else if self.unanswered == 0 && !self.hangs_up && packet.len() >= HEADER_BYTES {
                return Some(packet);
            }
        }
    }

    /// Tells the driver what happened to its connections.
    fn tell(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        if !self.was_restored {
            return Ok(());
        }
        let Some(chain) = queues.pop(EVENT)? else {
            return Ok(());
        };
        self.was_restored = false;
        chain.writable.write(queues.ram(), 0, &TRANSPORT_RESET)?;
        queues.push(EVENT, chain.head, TRANSPORT_RESET.len() as u32)
    }
}

/// Puts a packet into a buffer, of which `done` bytes of payload were delivered. Where the
/// buffer has no room for all of its data: how many were then.
fn deliver(
    packet: &[u8],
    done: usize,
    chain: &Chain,
    queues: &mut Queues<'_>,
) -> Result<Option<usize>, NeedsReset> {
    let (header, payload) = packet
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(NeedsReset)?;
    let left = payload.get(done..).unwrap_or_default();
    let room = chain.writable.len().checked_sub(HEADER_BYTES as u64);
    let room = usize::try_from(room.ok_or(NeedsReset)?).unwrap_or(usize::MAX);
    let (now, later) = left.split_at(room.min(left.len()));
    if !later.is_empty() && (now.is_empty() || op(header) != OP_RW) {
        // The driver's buffers are no use.
        return Err(NeedsReset);
    }
    chain
        .writable
        .write(queues.ram(), 0, &with_len(header, now.len()))?;
    chain
        .writable
        .write(queues.ram(), HEADER_BYTES as u64, now)?;
    queues.push(RX, chain.head, (HEADER_BYTES + now.len()) as u32)?;
    Ok((!later.is_empty()).then_some(done + now.len()))
}

fn op(header: &[u8; HEADER_BYTES]) -> u16 {
    let bytes = header.get(OP).and_then(|op| op.first_chunk());
    bytes.map_or(0, |op| u16::from_le_bytes(*op))
}

/// The header of a packet with so many bytes behind it.
fn with_len(header: &[u8; HEADER_BYTES], len: usize) -> [u8; HEADER_BYTES] {
    let mut header = *header;
    if let Some(field) = header.get_mut(LEN) {
        field.copy_from_slice(&(len as u32).to_le_bytes());
    }
    header
}

/// The packet in a chain: as long as its header says. `None` where the chain is shorter
/// than a header, or than that; one that is longer than any needs to be breaks the rules.
fn packet_of(chain: &Chain, ram: &Ram) -> Result<Option<Vec<u8>>, NeedsReset> {
    let mut header = [0; HEADER_BYTES];
    let Some(there) = chain.readable.len().checked_sub(HEADER_BYTES as u64) else {
        return Ok(None);
    };
    chain.readable.read(ram, 0, &mut header)?;
    let len = header.get(LEN).and_then(|len| len.first_chunk());
    let len = len.map_or(0, |len| u32::from_le_bytes(*len));
    if len as usize > PAYLOAD_MAX {
        return Err(NeedsReset);
    }
    if u64::from(len) > there {
        return Ok(None);
    }
    let mut packet = vec![0; HEADER_BYTES + len as usize];
    chain.readable.read(ram, 0, &mut packet)?;
    if let Some(start) = packet.first_chunk_mut() {
        // What the length was checked of is what counts, whatever the driver writes now.
        *start = header;
    }
    Ok(Some(packet))
}

impl PacketDevice for Vsock {
    fn look(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        self.transmit(queues)?;
        self.receive(queues)
    }
}

impl VirtioDevice for Vsock {
    const NAME: &'static str = "virtio-vsock";
    const ID: u32 = super::spec::id::VSOCK;
    type State = VsockState;
    const VERSION: u8 = 1;

    fn features(&self) -> u64 {
        Features::STREAM.bits()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 3]
    }

    /// `struct virtio_vsock_config` (5.10.4): the upper half of the number is reserved.
    fn config(&self) -> Vec<u8> {
        u64::from(self.guest_cid).to_le_bytes().to_vec()
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        match queue {
            RX => self.receive(queues),
            TX => self.transmit(queues),
            EVENT => self.tell(queues),
            _ => Ok(()),
        }
    }

    fn queue_stopped(&mut self, _queue: u16) {}

    fn reset(&mut self) {
        self.was_restored = false;
        self.hang_up();
    }

    fn state(&self) -> VsockState {
        self.saved()
    }

    fn set_state(&mut self, state: VsockState, _ram: &Ram) -> Result<(), RestoreError> {
        self.put_back(state)
    }
}
