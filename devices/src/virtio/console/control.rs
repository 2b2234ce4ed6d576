//! Messages between device and driver about ports (Virtio 1.2, section 5.3.6.2).

use super::super::{NeedsReset, Queues};
use super::spec::{CONTROL_BYTES, CONTROL_RX, CONTROL_TX, Features, event};
use super::{Console, PORTS_MAX};

/// Messages kept for a driver that offers no buffers. What the driver says is not
/// heard while there are more, so this is no limit for one that behaves.
const MESSAGES_MAX: usize = 8 * PORTS_MAX;

/// A message to the driver. A port's name is filled in when it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) port: u16,
    pub(super) event: u16,
    pub(super) value: u16,
}

impl Console {
    fn say(&mut self, port: u16, event: u16, value: u16) {
        self.messages.push_back(Message { port, event, value });
    }

    /// Delivers messages into buffers of the driver.
    pub(super) fn deliver(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        let deaf = self.is_deaf();
        while let Some(&message) = self.messages.front() {
            let Some(chain) = queues.pop(CONTROL_RX)? else {
                break;
            };
            let mut bytes = self.encode(message);
            // A buffer too small for the name gets what fits.
            bytes.truncate(usize::try_from(chain.writable.len()).unwrap_or(usize::MAX));
            chain.writable.write(queues.ram(), 0, &bytes)?;
            queues.push(CONTROL_RX, chain.head, bytes.len() as u32)?;
            self.messages.pop_front();
        }
        if deaf && !self.is_deaf() {
            queues.again(CONTROL_TX);
        }
        Ok(())
    }

    /// Whether so many messages wait that the driver is not heard.
    fn is_deaf(&self) -> bool {
        self.messages.len() >= MESSAGES_MAX / 2
    }

    fn encode(&self, message: Message) -> Vec<u8> {
        let Message { port, event, value } = message;
        let mut bytes = Vec::new();
        bytes.extend(u32::from(port).to_le_bytes());
        bytes.extend(event.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        if event == event::PORT_NAME
            && let Some(port) = self.port(port)
        {
            bytes.extend(port.name.bytes());
        }
        bytes
    }

    /// Hears what the driver says, while there is room for answers.
    pub(super) fn hear(&mut self, queues: &mut Queues<'_>) -> Result<(), NeedsReset> {
        while !self.is_deaf() {
            let Some(chain) = queues.pop(CONTROL_TX)? else {
                break;
            };
            let mut bytes = [0; CONTROL_BYTES as usize];
            // A message cut short says nothing.
            if chain.readable.len() >= CONTROL_BYTES {
                chain.readable.read(queues.ram(), 0, &mut bytes)?;
                let [p0, p1, p2, p3, e0, e1, v0, v1] = bytes;
                let port = u32::from_le_bytes([p0, p1, p2, p3]);
                let event = u16::from_le_bytes([e0, e1]);
                self.answer(port, event, u16::from_le_bytes([v0, v1]));
            }
            queues.push(CONTROL_TX, chain.head, 0)?;
        }
        self.deliver(queues)
    }

    fn answer(&mut self, port: u32, event: u16, value: u16) {
        if event == event::DEVICE_READY {
            // For the device as a whole; the port counts for nothing.
            if value == 1 {
                for port in 0..self.ports.len() {
                    self.say(port as u16, event::PORT_ADD, 1);
                }
            }
            return;
        }
        let Ok(port) = u16::try_from(port) else {
            return;
        };
        let Some(this) = self.port_mut(port) else {
            return;
        };
        match event {
            event::PORT_READY if value == 1 => self.introduce(port),
            event::PORT_OPEN => {
                this.set_guest_open(value == 1);
                if value == 1 {
                    this.tell_room();
                }
            }
            _ => {}
        }
    }

    /// Says what there is to say about a port that the driver is ready to use.
    fn introduce(&mut self, port: u16) {
        let Some(this) = self.port(port) else {
            return;
        };
        let (is_console, named, open) = (this.is_console, !this.name.is_empty(), this.host_open);
        if is_console {
            self.say(port, event::CONSOLE_PORT, 1);
        }
        if named {
            self.say(port, event::PORT_NAME, 1);
        }
        if open {
            self.say(port, event::PORT_OPEN, 1);
        }
    }

    pub(super) fn set_host_open(
        &mut self,
        port: u16,
        open: bool,
        queues: &mut Queues<'_>,
    ) -> Result<(), NeedsReset> {
        let Some(this) = self.port_mut(port) else {
            return Ok(());
        };
        let changed = this.host_open != open;
        this.host_open = open;
        let told = queues.is_live() && queues.has(Features::MULTIPORT.bits());
        if changed && told && self.messages.len() < MESSAGES_MAX {
            self.say(port, event::PORT_OPEN, u16::from(open));
        }
        self.deliver(queues)
    }

    /// Whether a saved queue of messages is one that this console could have.
    pub(super) fn plausible(&self, messages: &[Message]) -> bool {
        messages.len() <= MESSAGES_MAX && messages.iter().all(|m| self.port(m.port).is_some())
    }
}
