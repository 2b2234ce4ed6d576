//! Sockets between the guest and this host.

use super::error::VmError;
use super::event::Event;
use super::limit;
use crate::config::{SlotId, Vsock};
use isoform_devices::virtio::vsock::VsockPort;
use isoform_net::cable::{NicEnd, cable};
use isoform_net::vsock::{self, VsockConfig};
use std::sync::mpsc::Sender;

/// Connects the device in slot `slot` with the host's sockets: until what comes with its
/// port is dropped.
pub(super) fn connect(
    wanted: &Vsock,
    slot: SlotId,
    events: &Sender<Event>,
) -> Result<(Box<dyn VsockPort>, vsock::Vsock), VmError> {
    limit::raise_descriptors();
    let events = events.clone();
    let wake = move || {
        // Nobody listens any more once the machine has ended.
        let _ = events.send(Event::Vsock { slot });
    };
    let (device, host) = cable(wake)?;
    let config = VsockConfig {
        cid: wanted.cid,
        path: wanted.uds.clone(),
    };
    let host = vsock::Vsock::start(&config, host)?;
    Ok((Box::new(Port(device)), host))
}

/// The device's end of its cable.
struct Port(NicEnd);

impl VsockPort for Port {
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.send(packet)
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.receive()
    }
}
