//! What network cards are plugged into.

use super::cable;
use super::error::VmError;
use super::event::Event;
use super::limit;
use crate::config::SlotId;
use crate::config::net::{Card, Link, Protocol, Publish, User};
use isoform_devices::virtio::net::{NetConfig, NetPort};
use isoform_net::cable::HostEnd;
use isoform_net::pcap::Pcap;
use isoform_net::switch::{Switch, SwitchConfig};
use isoform_net::tap::{Tap, TapConfig};
use isoform_net::user::{self, Proto, UserConfig, UserNet};
use std::sync::mpsc::Sender;

/// The host's side of a card. It ends when it is dropped.
pub(super) enum Network {
    User { _net: UserNet },
    Switch { _net: Switch },
    Tap { _net: Tap },
}

impl Network {
    /// Plugs the card in slot `slot` into what it asks for.
    pub(super) fn plug(
        card: &Card,
        slot: SlotId,
        events: &Sender<Event>,
    ) -> Result<(Box<dyn NetPort>, Self), VmError> {
        let (port, mut host) = cable::lay(slot, events)?;
        if let Some(path) = &card.pcap {
            let failed = |source| VmError::Pcap {
                path: path.clone(),
                source,
            };
            host.capture(Pcap::create(path).map_err(failed)?);
        }
        Ok((Box::new(port), Self::start(card, host)?))
    }

    fn start(card: &Card, host: HostEnd) -> Result<Self, VmError> {
        let mtu = card.mtu;
        Ok(match &card.link {
            Link::User(user) => {
                limit::raise_descriptors();
                let _net = UserNet::start(user_config(user, mtu), host)?;
                Self::User { _net }
            }
            Link::Switch(name) => {
                let (name, home) = (name.clone(), None);
                let _net = Switch::start(&SwitchConfig { name, mtu, home }, host)?;
                Self::Switch { _net }
            }
            Link::Tap(name) => {
                let name = name.clone();
                let _net = Tap::start(&TapConfig { name, mtu }, host)?;
                Self::Tap { _net }
            }
        })
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
    NetConfig {
        mac: *mac,
        mtu: Some(*mtu),
        // What leaves this process has to be whole.
        local: matches!(link, Link::User(_)),
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
