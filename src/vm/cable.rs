//! What devices of the guest's are plugged into, with a cable between.

use super::event::Event;
use crate::config::SlotId;
use isoform_devices::virtio::PacketPort;
use isoform_devices::virtio::net::{NetPort, Offloads};
use isoform_net::cable::{self, HostEnd, NicEnd, cable};
use std::sync::mpsc::Sender;

/// A cable for the device in slot `slot`, which hears of what comes by an event.
pub(super) fn lay(slot: SlotId, events: &Sender<Event>) -> std::io::Result<(Port, HostEnd)> {
    let events = events.clone();
    let wake = move || {
        // Nobody listens any more once the machine has ended.
        let _ = events.send(Event::Packets { slot });
    };
    let (device, host) = cable(wake)?;
    Ok((Port(device), host))
}

/// The device's end of its cable.
pub(super) struct Port(NicEnd);

impl PacketPort for Port {
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.send(packet)
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.receive()
    }
}

impl NetPort for Port {
    fn agree(&mut self, Offloads { sent, received }: Offloads) {
        self.0.set_offloads(cable::Offloads {
            from_guest: sent,
            to_guest: received,
        });
    }
}
