//! What network cards are plugged into.

use super::error::VmError;
use super::event::Event;
use crate::config::net::{Card, Link, Protocol, Publish, User};
use isoform_devices::virtio::net::{NetConfig, NetPort, Offloads};
use isoform_net::cable::{self, NicEnd, cable};
use isoform_net::pcap::Pcap;
use isoform_net::user::{self, Proto, UserConfig, UserNet};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::sync::mpsc::Sender;

/// The host's side of a card. It ends when it is dropped.
pub(super) struct Network {
    _user: UserNet,
}

impl Network {
    /// Plugs the card in slot `slot` into what it asks for.
    pub(super) fn plug(
        card: &Card,
        slot: usize,
        events: &Sender<Event>,
    ) -> Result<(Box<dyn NetPort>, Self), VmError> {
        let events = events.clone();
        let wake = move || {
            // Nobody listens any more once the machine has ended.
            let _ = events.send(Event::Net { slot });
        };
        let (nic, mut host) = cable(wake)?;
        if let Some(path) = &card.pcap {
            let failed = |source| VmError::Pcap {
                path: path.clone(),
                source,
            };
            host.capture(Pcap::create(path).map_err(failed)?);
        }
        allow_sockets();
        let Link::User(user) = &card.link;
        let network = Self {
            _user: UserNet::start(user_config(user, card.mtu), host)?,
        };
        Ok((Box::new(Port(nic)), network))
    }
}

/// A connection of the guest's is a descriptor of ours: as many as the host allows.
fn allow_sockets() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        log::warn!("the guest may run out of connections: {e}");
    }
}

/// What a card tells its guest.
pub(super) fn config(card: &Card) -> NetConfig {
    let Card {
        mac,
        mtu,
        link,
        pcap: _,
    } = card;
    let Link::User(_) = link;
    NetConfig {
        mac: *mac,
        mtu: Some(*mtu),
        local: true,
    }
}

fn user_config(user: &User, mtu: u16) -> UserConfig {
    let User {
        restrict,
        host,
        hostname,
        tftp,
        bootfile,
        publish,
    } = user.clone();
    UserConfig {
        mtu,
        host,
        restrict,
        publish: publish.into_iter().map(published).collect(),
        nameservers: Vec::new(),
        hostname,
        tftp,
        bootfile,
    }
}

fn published(port: Publish) -> user::Publish {
    let Publish {
        protocol,
        bind,
        guest,
    } = port;
    user::Publish {
        proto: match protocol {
            Protocol::Tcp => Proto::Tcp,
            Protocol::Udp => Proto::Udp,
        },
        bind,
        guest_port: guest,
    }
}

/// A card's end of its cable.
struct Port(NicEnd);

impl NetPort for Port {
    fn send(&mut self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.send(frame)
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.receive()
    }

    fn agree(&mut self, Offloads { sent, received }: Offloads) {
        self.0.set_offloads(cable::Offloads {
            from_guest: sent,
            to_guest: received,
        });
    }
}
