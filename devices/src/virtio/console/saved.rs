//! Saved state of the console device.

use isoform_core::RestoreError;
use isoform_memory::Ram;
use serde::{Deserialize, Serialize};

use super::super::VirtioDevice;
use super::super::chain::Chain;
use super::control::Message;
use super::{Console, Port, Sending};

/// The guest-visible state of a [`Console`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    ports: Vec<PortState>,
    cols: u16,
    rows: u16,
    /// Port, event, value.
    messages: Vec<(u16, u16, u16)>,
}

/// The state of one port, with the buffer it is sending and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    host_open: bool,
    guest_open: bool,
    sending: Option<(Chain, u64)>,
}

impl Console {
    pub(super) fn saved(&self) -> ConsoleState {
        let Self {
            ports,
            cols,
            rows,
            messages,
        } = self;
        ConsoleState {
            ports: ports.iter().map(save_port).collect(),
            cols: *cols,
            rows: *rows,
            messages: messages
                .iter()
                .map(|&Message { port, event, value }| (port, event, value))
                .collect(),
        }
    }

    pub(super) fn restore(&mut self, state: ConsoleState, ram: &Ram) -> Result<(), RestoreError> {
        let ConsoleState {
            ports,
            cols,
            rows,
            messages,
        } = state;
        let messages: Vec<Message> = messages
            .into_iter()
            .map(|(port, event, value)| Message { port, event, value })
            .collect();
        if ports.len() != self.ports.len() {
            return Err(RestoreError::Mismatch {
                name: Self::NAME,
                reason: "the console has another number of ports".to_owned(),
            });
        }
        let sound = ports
            .iter()
            .filter_map(|p| p.sending.as_ref())
            .all(|(chain, sent)| chain.is_valid(ram) && *sent <= chain.readable.len());
        if !sound || !self.plausible(&messages) {
            return Err(RestoreError::Damaged {
                name: Self::NAME,
                reason: "a buffer or message is not of this console".to_owned(),
            });
        }
        self.cols = cols;
        self.rows = rows;
        self.messages = messages.into();
        for (port, state) in self.ports.iter_mut().zip(ports) {
            let PortState {
                host_open,
                guest_open,
                sending,
            } = state;
            port.host_open = host_open;
            port.set_guest_open(guest_open);
            port.sending = sending.map(|(chain, sent)| Sending { chain, sent });
            port.input_waits = true;
        }
        Ok(())
    }
}

fn save_port(port: &Port) -> PortState {
    let Port {
        name: _,
        is_console: _,
        sink: _,
        input_waits: _,
        host_open,
        guest_open,
        sending,
    } = port;
    let sending = sending
        .as_ref()
        .map(|Sending { chain, sent }| (chain.clone(), *sent));
    PortState {
        host_open: *host_open,
        guest_open: *guest_open,
        sending,
    }
}
