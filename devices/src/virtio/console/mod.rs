//! Console device: one port is the guest's `hvc0`, others are channels with names.
//!
//! What a port's sink does not take stays in the guest's buffer until the run loop
//! says that there is room, by processing the port's transmit queue again. Input that
//! finds no buffer stays with the caller of [`ConsoleSlot::receive`], as does input for
//! a port that nobody in the guest has opened.

mod control;
mod saved;
pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use isoform_core::RestoreError;
use isoform_memory::Ram;

use super::chain::Chain;
use super::{NeedsReset, QueueSlot, Queues, Transport, VirtioDevice};
use crate::CharSink;
use control::Message;
use spec::{CONTROL_RX, CONTROL_TX, Features, rx_queue, tx_queue};

pub use saved::{ConsoleState, PortState};

const QUEUE_SIZE: u16 = 128;
/// Ports that one console has at most.
pub const PORTS_MAX: usize = 32;
/// Bytes offered to a sink at a time.
const PIECE: u64 = 4096;
/// Bytes that one call sends at most; more wait for another call.
const TURN: u64 = 1 << 20;

/// A port, as the run loop wants it.
pub struct PortConfig {
    /// What the guest finds it by (`/dev/virtio-ports/NAME` under Linux); may be empty.
    pub name: String,
    /// Whether it is a console rather than a channel.
    pub is_console: bool,
    /// Where its output goes.
    pub sink: Box<dyn CharSink>,
}

/// The console device. See the [module documentation](self).
pub struct Console {
    // --- guest-visible state, with each port's configuration and connection
    ports: Vec<Port>,
    cols: u16,
    rows: u16,
    /// Messages to the driver that wait for a buffer.
    messages: VecDeque<Message>,
}

struct Port {
    // --- fixed configuration
    name: String,
    is_console: bool,

    // --- connections
    sink: Box<dyn CharSink>,
    /// Input was refused; the sink is told when there is room. Not saved: after a
    /// restore the sink is told once too often instead.
    input_waits: bool,

    // --- guest-visible state
    host_open: bool,
    guest_open: bool,
    sending: Option<Sending>,
}

/// A buffer being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sending {
    chain: Chain,
    sent: u64,
}

impl Console {
    /// A console with these ports, at least one and at most 32; what is beyond is
    /// left out. A single console without a name needs no more than the two queues
    /// that every driver knows; anything else takes the multiport interface.
    pub fn new(ports: Vec<PortConfig>) -> Self {
        let ports = ports.into_iter().take(PORTS_MAX).map(|config| Port {
            name: config.name,
            is_console: config.is_console,
            sink: config.sink,
            input_waits: false,
            host_open: true,
            guest_open: false,
            sending: None,
        });
        Self {
            ports: ports.collect(),
            cols: 80,
            rows: 25,
            messages: VecDeque::new(),
        }
    }

    /// Whether the multiport interface is offered.
    fn is_multiport(&self) -> bool {
        match self.ports.as_slice() {
            [only] => !only.is_console || !only.name.is_empty(),
            _ => true,
        }
    }

    /// Whether a program in the guest can see what is sent to the port now. Without
    /// the multiport interface there is no telling, and it is taken to be so.
    fn is_open(&self, port: u16, queues: &Queues<'_>) -> bool {
        queues.is_live()
            && match queues.has(Features::MULTIPORT.bits()) {
                true => self.port(port).is_some_and(|p| p.guest_open),
                false => port == 0,
            }
    }

    fn port(&self, port: u16) -> Option<&Port> {
        self.ports.get(usize::from(port))
    }

    fn port_mut(&mut self, port: u16) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(port))
    }

    /// Sends what the guest offers on a port, as far as its sink takes it.
    fn transmit(&mut self, port: u16, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        let number = port;
        let Some(port) = self.port_mut(number).filter(|_| queues.is_live()) else {
            return Ok(());
        };
        let queue = tx_queue(number);
        let mut turn = TURN;
        loop {
            let sending = match port.sending.take() {
                Some(sending) => sending,
                None => match queues.pop(queue)? {
                    Some(chain) => Sending { chain, sent: 0 },
                    None => return Ok(()),
                },
            };
            let head = sending.chain.head;
            port.sending = port.send(sending, &mut turn, queues.ram())?;
            if port.sending.is_some() {
                if turn == 0 {
                    queues.again(queue);
                }
                return Ok(());
            }
            queues.push(queue, head, 0)?;
        }
    }

    /// Puts input into buffers of the guest; how much of it.
    fn receive(
        &mut self,
        port: u16,
        bytes: &[u8],
        queues: &mut Queues<'_>,
    ) -> Result<usize, NeedsReset> {
        let open = self.is_open(port, queues);
        let Some(this) = self.port_mut(port) else {
            return Ok(0);
        };
        let mut rest = bytes;
        while open && !rest.is_empty() {
            let Some(chain) = queues.pop(rx_queue(port))? else {
                break;
            };
            let room = usize::try_from(chain.writable.len()).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            chain.writable.write(queues.ram(), 0, now)?;
            queues.push(rx_queue(port), chain.head, now.len() as u32)?;
            rest = later;
        }
        this.input_waits = !rest.is_empty();
        Ok(bytes.len() - rest.len())
    }

    /// What a queue is for.
    fn role(&self, queue: u16) -> Role {
        match queue {
            CONTROL_RX => Role::ControlRx,
            CONTROL_TX => Role::ControlTx,
            _ => {
                let port = if queue < CONTROL_RX { 0 } else { queue / 2 - 1 };
                match queue == rx_queue(port) {
                    true => Role::Rx(port),
                    false => Role::Tx(port),
                }
            }
        }
    }
}

enum Role {
    Rx(u16),
    Tx(u16),
    ControlRx,
    ControlTx,
}

impl Port {
    /// Sends what is left of a buffer; gives back what remains of it.
    fn send(
        &mut self,
        mut sending: Sending,
        turn: &mut u64,
        ram: &Ram,
    ) -> Result<Option<Sending>, NeedsReset> {
        let readable = &sending.chain.readable;
        let total = readable.len();
        while sending.sent < total {
            let piece = (total - sending.sent).min(PIECE).min(*turn);
            if piece == 0 {
                return Ok(Some(sending));
            }
            let mut bytes = vec![0; piece as usize];
            readable.read(ram, sending.sent, &mut bytes)?;
            let taken = self.sink.write(&bytes).min(bytes.len()) as u64;
            sending.sent += taken;
            *turn -= taken;
            if taken < piece {
                return Ok(Some(sending));
            }
        }
        Ok(None)
    }

    /// Says that input is welcome, if some was refused.
    fn tell_room(&mut self) {
        if std::mem::take(&mut self.input_waits) {
            self.sink.input_room();
        }
    }

    fn set_guest_open(&mut self, open: bool) {
        if self.guest_open != open {
            self.guest_open = open;
            self.sink.guest_open(open);
        }
    }
}

/// What the run loop needs of a console, whatever its transport.
pub trait ConsoleSlot: QueueSlot {
    /// Input for a port; how much of it was taken. The rest stays with the caller, who
    /// hears of room by [`CharSink::input_room`].
    fn receive(&mut self, port: u16, bytes: &[u8]) -> usize;

    /// The port's sink has room again: sends what waits.
    fn output_room(&mut self, port: u16);

    /// Opens or closes the host's end of a port: closed, a reader in the guest sees
    /// the end of the stream once it has read everything.
    fn set_host_open(&mut self, port: u16, open: bool);

    /// The terminal has another size, in characters. Linux asks for it where the
    /// console is the only port.
    fn resize(&mut self, cols: u16, rows: u16);
}

impl<T: Transport<Inner = Console>> ConsoleSlot for T {
    fn receive(&mut self, port: u16, bytes: &[u8]) -> usize {
        self.with(|device, queues| device.receive(port, bytes, queues))
            .unwrap_or(0)
    }

    fn output_room(&mut self, port: u16) {
        self.with(|device, queues| device.transmit(port, queues));
    }

    fn set_host_open(&mut self, port: u16, open: bool) {
        self.with(|device, queues| device.set_host_open(port, open, queues));
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        let changed = self.with(|device, _| {
            let old = (device.cols, device.rows);
            (device.cols, device.rows) = (cols, rows);
            Ok(old != (cols, rows))
        });
        if changed == Some(true) {
            self.config_changed();
        }
    }
}

impl VirtioDevice for Console {
    const NAME: &'static str = "virtio-console";
    const ID: u32 = super::spec::id::CONSOLE;
    type State = ConsoleState;
    const VERSION: u8 = 1;

    fn features(&self) -> u64 {
        let mut features = Features::SIZE | Features::EMERG_WRITE;
        features.set(Features::MULTIPORT, self.is_multiport());
        features.bits()
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let queues = match self.is_multiport() {
            true => 2 * self.ports.len().max(1) + 2,
            false => 2,
        };
        vec![QUEUE_SIZE; queues]
    }

    /// `struct virtio_console_config` (5.3.4).
    fn config(&self) -> Vec<u8> {
        let mut config = Vec::with_capacity(12);
        config.extend(self.cols.to_le_bytes());
        config.extend(self.rows.to_le_bytes());
        config.extend((self.ports.len() as u32).to_le_bytes());
        config.extend(0u32.to_le_bytes());
        config
    }

    fn write_config(&mut self, offset: u64, bytes: &[u8]) {
        if offset == spec::EMERG_WR
            && let (Some(port), Some(byte)) = (self.ports.first_mut(), bytes.first())
        {
            // In an emergency a full sink loses the character.
            port.sink.write(std::slice::from_ref(byte));
        }
    }

    fn process(&mut self, queues: &mut Queues<'_>, queue: u16) -> Result<(), NeedsReset> {
        match self.role(queue) {
            Role::Tx(port) => self.transmit(port, queues),
            Role::Rx(port) => {
                if self.is_open(port, queues)
                    && let Some(port) = self.port_mut(port)
                {
                    port.tell_room();
                }
                Ok(())
            }
            Role::ControlRx => self.deliver(queues),
            Role::ControlTx => self.hear(queues),
        }
    }

    fn queue_stopped(&mut self, queue: u16) {
        if let Role::Tx(port) = self.role(queue)
            && let Some(port) = self.port_mut(port)
        {
            port.sending = None;
        }
    }

    fn reset(&mut self) {
        self.messages.clear();
        for port in &mut self.ports {
            port.sending = None;
            port.set_guest_open(false);
        }
    }

    fn state(&self) -> ConsoleState {
        self.saved()
    }

    fn set_state(&mut self, state: ConsoleState, ram: &Ram) -> Result<(), RestoreError> {
        self.restore(state, ram)
    }
}
