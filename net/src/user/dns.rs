//! Where names are asked for: what `/etc/resolv.conf` says at the time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Of name servers.
pub(crate) const PORT: u16 = 53;
/// As many as resolv.conf(5) may have.
const SERVERS: usize = 3;

/// The name servers of a resolv.conf; without any, the host itself (resolv.conf(5)).
pub(crate) fn nameservers(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = values(text, "nameserver")
        // An IPv6 address may have a zone, which we have no use for.
        .filter_map(|words| words.split(['%', ' ', '\t']).next()?.parse().ok())
        .map(|address: IpAddr| SocketAddr::new(address, PORT))
        .take(SERVERS)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
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
        let servers = nameservers(text);
        assert_eq!(servers.len(), 2);
        assert_eq!(servers.first(), "192.0.2.1:53".parse().ok().as_ref());
        assert_eq!(servers.get(1), "[fe80::1]:53".parse().ok().as_ref());
        assert_eq!(search(text), ["lab.example", "example"]);
        assert_eq!(nameservers(""), ["127.0.0.1:53".parse().expect("one")]);
    }
}
