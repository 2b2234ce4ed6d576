//! Sockets between the guest and this host.

use super::error::VmError;
use super::event::Event;
use super::{cable, limit};
use crate::config::{SlotId, Vsock};
use isoform_devices::virtio::PacketPort;
use isoform_net::vsock::{self, VsockConfig};
use std::sync::mpsc::Sender;

/// Connects the device in slot `slot` with the host's sockets: until what comes with its
/// port is dropped.
pub(super) fn connect(
    wanted: &Vsock,
    slot: SlotId,
    events: &Sender<Event>,
) -> Result<(Box<dyn PacketPort>, vsock::Vsock), VmError> {
    limit::raise_descriptors();
    let (port, host) = cable::lay(slot, events)?;
    let config = VsockConfig {
        cid: wanted.cid,
        path: wanted.uds.clone(),
    };
    Ok((Box::new(port), vsock::Vsock::start(&config, host)?))
}
