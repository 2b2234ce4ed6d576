//! `--net`, `--publish`: what a network card is plugged into.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use isoform_net::user::MTU;
use isoform_net::{switch, tap};

use super::words::{self, Word};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The address of the first card on a network of its own, where none is said, as QEMU has
/// it; the last byte counts up from card to card.
const FIRST_MAC: Mac = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// Cards of one machine at most.
const MAX_CARDS: usize = 4;
/// Longest payload of a frame, bytes, where others are in between: they may take no more
/// (IEEE 802.3).
const WIRE_MTU: u16 = 1500;

/// A network card as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetSpec {
    /// Its address, if one was given.
    pub mac: Option<Mac>,
    /// Longest payload of a frame, bytes.
    pub mtu: u16,
    /// What it is plugged into.
    pub link: Link,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its address.
    pub mac: Mac,
    /// Longest payload of a frame, bytes.
    pub mtu: u16,
    /// What it is plugged into.
    pub link: Link,
    /// Where what it sends and receives is written, if anywhere.
    pub pcap: Option<PathBuf>,
}

/// What a network card is plugged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// A network of its own, translated to the host's.
    User(User),
    /// The switch of this name, with other machines of the same user.
    Switch(String),
    /// The tap device of this name.
    Tap(String),
}

/// The guest's own network, and what of the host's it may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Nothing leaves but answers of published ports.
    pub restrict: bool,
    /// The gateway's address leads to the host.
    pub host: bool,
    /// The guest's name, told by DHCP.
    pub hostname: Option<String>,
    /// A folder served by TFTP.
    pub tftp: Option<PathBuf>,
    /// The file to boot, told by DHCP.
    pub bootfile: Option<String>,
    /// Ports of the host that lead into the guest.
    pub publish: Vec<Publish>,
}

/// Kinds of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// Kind of both ports.
    pub protocol: Protocol,
    /// Where the host listens.
    pub bind: SocketAddr,
    /// The guest's port.
    pub guest: u16,
}

impl NetSpec {
    /// What `--net user` says.
    pub fn user() -> Self {
        Self {
            mac: None,
            mtu: *MTU.end(),
            link: Link::User(User::default()),
        }
    }

    fn wire(link: Link) -> Self {
        Self {
            mac: None,
            mtu: WIRE_MTU,
            link,
        }
    }

    /// Takes `key=value`; whether there is such a key here.
    fn set(&mut self, word: &Word) -> Result<bool, String> {
        match (&mut self.link, word.key.as_str()) {
            (_, "mac") => self.mac = Some(mac(words::value(word)?)?),
            (_, "mtu") => self.mtu = mtu(words::value(word)?)?,
            (Link::User(user), _) => return user.set(word),
            (Link::Tap(name), "ifname") => *name = interface(words::value(word)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The keys that there are here.
    fn known(&self) -> &'static str {
        match self.link {
            Link::User(_) => "restrict, host, hostname, tftp, bootfile, mac and mtu",
            Link::Switch(_) => "mac and mtu",
            Link::Tap(_) => "ifname, mac and mtu",
        }
    }
}

impl User {
    fn set(&mut self, word: &Word) -> Result<bool, String> {
        let switch = || words::switch(&word.key, word.value.as_deref());
        match word.key.as_str() {
            "restrict" => self.restrict = switch()?,
            "host" => self.host = switch()?,
            "hostname" => self.hostname = Some(hostname(words::value(word)?)?),
            "tftp" => self.tftp = Some(PathBuf::from(words::value(word)?)),
            "bootfile" => self.bootfile = Some(bootfile(words::value(word)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads `user[,restrict=on|off][,host=on|off][,hostname=NAME][,tftp=DIR]
/// [,bootfile=PATH]`, `switch:NAME` or `tap,ifname=NAME`, each with `[,mac=A][,mtu=N]`.
///
/// # Errors
/// An unknown network or key, a bad value, a key given twice, a tap device without a name.
pub fn net(text: &str) -> Result<NetSpec, String> {
    let mut words = words::split(text)?.into_iter();
    let mut spec = kind(words.next().as_ref()).ok_or_else(|| {
        format!("there is no network `{text}`; there are user, switch:NAME and tap; an IMAGE stands before --net")
    })?;
    if let Link::Switch(name) = &spec.link
        && !switch::is_name(name)
    {
        return Err(switch::SwitchError::Name(name.clone()).to_string());
    }
    let mut seen: Vec<String> = Vec::new();
    for word in words {
        if seen.contains(&word.key) {
            return Err(format!("`{}` is given twice", word.key));
        }
        if !spec.set(&word)? {
            let (key, known) = (&word.key, spec.known());
            return Err(format!("there is no `{key}` here; known are {known}"));
        }
        seen.push(word.key);
    }
    match &spec.link {
        Link::Tap(name) if name.is_empty() => {
            Err("`tap` needs the name of its interface: --net tap,ifname=tap0".to_owned())
        }
        _ => Ok(spec),
    }
}

/// What the first word asks for.
fn kind(word: Option<&Word>) -> Option<NetSpec> {
    let Word { key, value: None } = word? else {
        return None;
    };
    match key.as_str() {
        "user" => Some(NetSpec::user()),
        "tap" => Some(NetSpec::wire(Link::Tap(String::new()))),
        other => {
            let name = other.strip_prefix("switch:")?;
            Some(NetSpec::wire(Link::Switch(name.to_owned())))
        }
    }
}

/// The name of a network interface.
fn interface(text: &str) -> Result<String, String> {
    match tap::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(tap::TapError::Name(text.to_owned()).to_string()),
    }
}

/// An address as in `52:54:00:12:34:56`, of one card.
fn mac(text: &str) -> Result<Mac, String> {
    let wrong = || format!("`mac` is an address as in 52:54:00:12:34:56, not `{text}`");
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| match part.len() {
            2 => u8::from_str_radix(part, 16).ok(),
            _ => None,
        })
        .collect();
    let mac: Mac = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(wrong)?;
    let [first, ..] = mac;
    match first & 1 == 0 && mac != [0; 6] {
        true => Ok(mac),
        false => Err(format!("{text} is not the address of one card")),
    }
}

fn mtu(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(mtu) if MTU.contains(&mtu) => Ok(mtu),
        _ => Err(format!(
            "`mtu` is a number of bytes from {} to {}, not `{text}`",
            MTU.start(),
            MTU.end()
        )),
    }
}

/// A name as DNS has them (RFC 1123, 2.1), of one label.
fn hostname(text: &str) -> Result<String, String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let good = text.len() <= 63
        && text.bytes().all(letter)
        && !text.starts_with('-')
        && !text.ends_with('-');
    match good {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`hostname` is up to 63 letters, digits and hyphens, not `{text}`"
        )),
    }
}

/// What fits the field `file` of DHCP (RFC 2131, 2), with its end.
fn bootfile(text: &str) -> Result<String, String> {
    match text.len() < 128 && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err("`bootfile` has at most 127 bytes".to_owned()),
    }
}

/// Reads `[ADDR:]HOST:GUEST[/tcp|/udp]`. Without ADDR it is this machine alone that can
/// reach the port.
///
/// # Errors
/// Anything else.
pub fn publish(text: &str) -> Result<Publish, String> {
    let wrong = || {
        format!(
            "`{text}` is no port to publish; it is [ADDR:]HOST:GUEST[/udp], as in 2222:22 or \
             0.0.0.0:8080:80"
        )
    };
    let (ports, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Tcp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return Err(wrong()),
    };
    let (host, guest) = ports.rsplit_once(':').ok_or_else(wrong)?;
    let (addr, host) = match host.rsplit_once(':') {
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), host),
        Some((addr, host)) => {
            let bare = addr.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
            (bare.unwrap_or(addr).parse().map_err(|_| wrong())?, host)
        }
    };
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
    Ok(Publish {
        protocol,
        bind: SocketAddr::new(addr, port(host).ok_or_else(wrong)?),
        guest: port(guest).ok_or_else(wrong)?,
    })
}

/// Puts `--net`, `--publish` and `--pcap` together. Published ports belong to the first
/// network of a guest's own, and ask for one if there is none; what is captured is the first
/// card's.
///
/// # Errors
/// Too many cards, or two with one address; a boot file that nobody serves; one port of
/// the host published twice; a capture without a card.
pub fn cards(
    nets: &[NetSpec],
    published: &[Publish],
    pcap: Option<&Path>,
) -> Result<Vec<Card>, String> {
    for (nth, port) in published.iter().enumerate() {
        let same = |other: &Publish| (other.bind, other.protocol) == (port.bind, port.protocol);
        if published.iter().skip(nth + 1).any(same) {
            return Err(format!("{} is published twice", port.bind));
        }
    }
    let mut specs = nets.to_vec();
    let has_user = specs.iter().any(|spec| matches!(spec.link, Link::User(_)));
    if !has_user && !published.is_empty() {
        specs.push(NetSpec::user());
    }
    if specs.len() > MAX_CARDS {
        return Err(format!("a machine has at most {MAX_CARDS} network cards"));
    }
    if pcap.is_some() && specs.is_empty() {
        return Err("--pcap needs a network card: give --net user".to_owned());
    }
    let mut published = published.to_vec();
    let mut cards = Vec::new();
    for (nth, NetSpec { mac, mtu, link }) in specs.into_iter().enumerate() {
        let (link, default) = match link {
            Link::User(mut user) => {
                user.publish = std::mem::take(&mut published);
                check_boot(&user)?;
                (Link::User(user), counted(nth))
            }
            wire => (wire, random()),
        };
        cards.push(Card {
            mac: mac.unwrap_or(default),
            mtu,
            link,
            pcap: pcap.filter(|_| nth == 0).map(Path::to_owned),
        });
    }
    for (nth, card) in cards.iter().enumerate() {
        if cards
            .iter()
            .skip(nth + 1)
            .any(|other| other.mac == card.mac)
        {
            return Err("two network cards have one address; give each its own mac=".to_owned());
        }
    }
    Ok(cards)
}

/// The address of the card of this number.
fn counted(nth: usize) -> Mac {
    let [a, b, c, d, e, last] = FIRST_MAC;
    [a, b, c, d, e, last.wrapping_add(nth as u8)]
}

/// An address that no other machine is likely to have, for cards that meet those of others:
/// another one with each start.
fn random() -> Mac {
    // Its keys are the host's randomness.
    let [d, e, f, ..] = RandomState::new().hash_one(()).to_ne_bytes();
    let [a, b, c, ..] = FIRST_MAC;
    [a, b, c, d, e, f]
}

/// Booting over the network takes a folder, and a file in it.
fn check_boot(user: &User) -> Result<(), String> {
    match &user.tftp {
        Some(folder) => is_folder(folder),
        None if user.bootfile.is_some() => {
            Err("`bootfile` needs the folder that it is in: --net user,tftp=DIR".to_owned())
        }
        None => Ok(()),
    }
}

fn is_folder(path: &Path) -> Result<(), String> {
    match path.is_dir() {
        true => Ok(()),
        false => Err(format!(
            "`tftp` is a folder, and {} is none",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        assert_eq!(net("user"), Ok(NetSpec::user()));
        let all = "user,restrict=on,host=on,hostname=a-1,tftp=/a,,b,bootfile=x/y.efi,\
                   mac=02:00:00:00:00:fF,mtu=1500";
        let expected = NetSpec {
            mac: Some([2, 0, 0, 0, 0, 0xff]),
            mtu: 1500,
            link: Link::User(User {
                restrict: true,
                host: true,
                hostname: Some("a-1".into()),
                tftp: Some("/a,b".into()),
                bootfile: Some("x/y.efi".into()),
                publish: Vec::new(),
            }),
        };
        assert_eq!(net(all), Ok(expected));
        for bad in [
            "",
            "slirp",
            "user=1",
            "user,restrict",
            "user,host=perhaps",
            "user,mac=1:2:3:4:5:6",
            "user,mac=01:00:00:00:00:00",
            "user,mac=00:00:00:00:00:00",
            "user,mac=52:54:00:12:34:56:78",
            "user,mtu=575",
            "user,mtu=65521",
            "user,hostname=a.b",
            "user,hostname=-a",
            "user,hostfwd=tcp::1-:2",
            "user,host=on,host=on",
        ] {
            assert!(net(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches_and_taps_are_read() {
        let spec = |mac, mtu, link| Ok(NetSpec { mac, mtu, link });
        let (lab, tap) = (Link::Switch("lab-1".into()), Link::Tap("tap0".into()));
        assert_eq!(net("switch:lab-1"), spec(None, 1500, lab.clone()));
        assert_eq!(net("tap,ifname=tap0"), spec(None, 1500, tap.clone()));
        let mac = Some([2, 0, 0, 0, 0, 1]);
        let tail = "mac=02:00:00:00:00:01,mtu=9000";
        assert_eq!(net(&format!("switch:lab-1,{tail}")), spec(mac, 9000, lab));
        assert_eq!(
            net(&format!("tap,{tail},ifname=tap0")),
            spec(mac, 9000, tap)
        );
        for bad in [
            "switch",
            "switch:",
            "switch:..",
            "switch:a/b",
            "switch:.a",
            "switch:a=b",
            "switch:a,host=on",
            "switch:a,ifname=tap0",
            "tap",
            "tap,ifname",
            "tap,ifname=a/b",
            "tap,ifname=tap0,tftp=/tmp",
            "tap:tap0",
        ] {
            assert!(net(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_are_read() {
        let port = |protocol, bind: &str, guest| {
            Ok(Publish {
                protocol,
                bind: bind.parse().expect("an address"),
                guest,
            })
        };
        assert_eq!(
            publish("2222:22"),
            port(Protocol::Tcp, "127.0.0.1:2222", 22)
        );
        assert_eq!(
            publish("53:53/udp"),
            port(Protocol::Udp, "127.0.0.1:53", 53)
        );
        assert_eq!(
            publish("0.0.0.0:80:8080/tcp"),
            port(Protocol::Tcp, "0.0.0.0:80", 8080)
        );
        assert_eq!(publish("[::1]:80:81"), port(Protocol::Tcp, "[::1]:80", 81));
        for bad in [
            "", "22", ":22", "22:", "0:22", "22:0", "65536:1", "a:1:2", "1:2/sctp", "1:2:3:4",
        ] {
            assert!(publish(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn published_ports_ask_for_a_card() {
        let ssh = publish("2222:22").expect("a port");
        let published = |cards: Vec<Card>| {
            let port = |card: Card| match card.link {
                Link::User(user) => user.publish,
                Link::Switch(_) | Link::Tap(_) => Vec::new(),
            };
            cards.into_iter().map(port).collect::<Vec<_>>()
        };
        assert_eq!(cards(&[], &[], None), Ok(Vec::new()));
        assert_eq!(cards(&[], &[ssh], None).map(published), Ok(vec![vec![ssh]]));
        let nets = ["user,restrict=on", "user"].map(|text| net(text).expect("a network"));
        let both = cards(&nets, &[ssh], None);
        assert_eq!(both.map(published), Ok(vec![vec![ssh], vec![]]));
        let switch = [net("switch:a").expect("a switch")];
        let both = cards(&switch, &[ssh], None);
        assert_eq!(both.map(published), Ok(vec![vec![], vec![ssh]]));
        assert!(cards(&[], &[ssh, ssh], None).is_err());
        assert!(cards(&[], &[], Some(Path::new("x"))).is_err());
        let captured = cards(&[], &[ssh], Some(Path::new("x"))).expect("a card");
        assert_eq!(captured[0].pcap.as_deref(), Some(Path::new("x")));
    }

    #[test]
    fn cards_are_told_apart() {
        let parse = |texts: &[&str]| -> Vec<_> {
            texts.iter().map(|t| net(t).expect("a network")).collect()
        };
        let macs = |texts: &[&str]| {
            let cards = cards(&parse(texts), &[], None)?;
            Ok::<_, String>(cards.into_iter().map(|c| c.mac[5]).collect::<Vec<_>>())
        };
        assert_eq!(macs(&["user", "user"]), Ok(vec![0x56, 0x57]));
        assert!(macs(&["user,mac=52:54:00:12:34:57", "user"]).is_err());
        assert!(macs(&["user"; 5]).is_err());
        let shared = cards(&parse(&["switch:a", "switch:a", "tap,ifname=t"]), &[], None);
        for card in shared.expect("three cards") {
            assert_eq!(card.mac[..3], [0x52, 0x54, 0]);
        }
        assert_ne!(random(), random());
        assert!(macs(&["user,bootfile=x"]).is_err());
        assert!(macs(&["user,tftp=/dev/null"]).is_err());
    }
}
