//! Where names are asked for: what `/etc/resolv.conf` says at the time, and which of these
//! servers answer.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use smoltcp::time::{Duration, Instant};

/// Of name servers.
pub(crate) const PORT: u16 = 53;
/// As many as resolv.conf(5) may have.
const SERVERS: usize = 3;
/// How long a server that did not answer is the last to be asked.
const SILENCE: Duration = Duration::from_secs(30);

/// The name servers of a resolv.conf; without any, the host itself (resolv.conf(5)).
/// `index` knows the number of an interface by its name.
pub(crate) fn nameservers(text: &str, index: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = values(text, "nameserver")
        .filter_map(|words| server(words.split_whitespace().next()?, &index))
        .take(SERVERS)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
}

/// A server's address, in IPv6 perhaps with a zone: a link-local one means nothing without.
fn server(text: &str, index: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(SocketAddr::new(address, PORT)).filter(|server| match server {
            SocketAddr::V6(server) => !server.ip().is_unicast_link_local(),
            SocketAddr::V4(_) => true,
        });
    }
    let (address, zone) = text.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = zone.parse().ok().or_else(|| index(zone))?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

/// What is known of the servers that were asked.
#[derive(Default)]
pub(crate) struct Servers(HashMap<SocketAddr, Known>);

#[derive(Clone, Copy, Default)]
struct Known {
    heard: Option<Instant>,
    /// When it was found not to answer.
    silent: Option<Instant>,
}

impl Servers {
    /// The list with those last that lately did not answer. Of others nothing is
    /// remembered any more.
    pub(crate) fn ordered(&mut self, list: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        self.0.retain(|server, _| list.contains(server));
        let silent = |server: &SocketAddr| {
            let since = self.0.get(server)?.silent?;
            (now < since + SILENCE).then_some(since)
        };
        let mut list = list.to_vec();
        list.sort_by_key(silent);
        list
    }

    /// A server answered.
    pub(crate) fn heard(&mut self, server: SocketAddr, now: Instant) {
        let (heard, silent) = (Some(now), None);
        self.0.insert(server, Known { heard, silent });
    }

    /// A server did not answer what it was asked at `asked`; what matters only if it has
    /// not answered anybody since.
    pub(crate) fn silent(&mut self, server: SocketAddr, asked: Instant, now: Instant) {
        let known = self.0.entry(server).or_default();
        if known.heard.is_none_or(|heard| heard < asked) {
            known.silent.get_or_insert(now);
            if known.silent.is_some_and(|since| now >= since + SILENCE) {
                known.silent = Some(now);
            }
        }
    }
}

/// Domains in which short names are looked for; the last line counts.
pub(crate) fn search(text: &str) -> Vec<String> {
    let last = values(text, "search").last().unwrap_or_default();
    let domains = last.split_whitespace().map(|name| name.trim_matches('.'));
    domains
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn values<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let value = line.trim().strip_prefix(keyword)?;
        value.starts_with([' ', '\t']).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_read() {
        let text = "# nameserver 1.1.1.1\nsearch old.example\nnameserver 192.0.2.1\n\
                    nameserver\tfe80::1%eth0 \nnameserver nonsense\nnameservers 192.0.2.9\n\
                    search lab.example. example\n";
        let index = |name: &str| (name == "eth0").then_some(7);
        let servers = nameservers(text, index);
        assert_eq!(servers.len(), 2);
        assert_eq!(servers.first(), "192.0.2.1:53".parse().ok().as_ref());
        assert_eq!(servers.get(1), "[fe80::1%7]:53".parse().ok().as_ref());
        assert_eq!(search(text), ["lab.example", "example"]);
        let own = ["127.0.0.1:53".parse().expect("one")];
        for none in ["", "nameserver fe80::1", "nameserver fe80::1%eth9"] {
            assert_eq!(nameservers(none, index), own, "{none}");
        }
    }

    #[test]
    fn servers_that_do_not_answer_come_last_for_a_while() {
        let list = [1, 2].map(|last| SocketAddr::from(([192, 0, 2, last], PORT)));
        let [first, second] = list;
        let (mut servers, at) = (Servers::default(), Instant::from_secs);
        assert_eq!(servers.ordered(&list, at(0)), list);
        servers.silent(first, at(0), at(1));
        assert_eq!(servers.ordered(&list, at(1)), [second, first]);
        servers.silent(second, at(1), at(2));
        assert_eq!(servers.ordered(&list, at(2)), list, "longer ago");
        servers.heard(second, at(3));
        assert_eq!(servers.ordered(&list, at(3)), [second, first]);
        servers.silent(second, at(2), at(4));
        assert_eq!(servers.ordered(&list, at(4)), [second, first], "it answers");
        assert_eq!(servers.ordered(&list, at(32)), list);
    }
}
