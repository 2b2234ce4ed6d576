//! Plain HTTP through a proxy as apt does it: the request line names the whole
//! address (RFC 9112, 3.2.2, "absolute-form").
//!
//! ureq itself only knows CONNECT, which the proxies people set up for apt
//! (apt-cacher-ng, squid's defaults) refuse for port 80. So this module connects
//! ureq's TCP transport to the proxy and rewrites each request line on its way out.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};
use ureq::{Agent, Error};

/// An agent whose every connection goes to `proxy`; `None` where that is no
/// usable address.
pub(super) fn agent(config: Config, proxy: &str) -> Option<Agent> {
    let full = if proxy.contains("://") {
        proxy.to_owned()
    } else {
        format!("http://{proxy}")
    };
    let uri: Uri = full.parse().ok()?;
    let authority = uri.authority()?.as_str();
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let authorization = authority.rsplit_once('@').map(|(user, _)| {
        let plain = percent_decode(user);
        format!(
            "Proxy-Authorization: Basic {}\r\n",
            BASE64_STANDARD.encode(plain)
        )
    });
    let connector = TcpConnector::default().chain(AbsoluteForm {
        authorization: authorization.unwrap_or_default(),
    });
    Some(Agent::with_parts(
        config,
        connector,
        ToProxy {
            proxy: uri,
            resolver: DefaultResolver::default(),
        },
    ))
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let coded = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let coded = coded.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, coded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Resolves every host to the proxy.
#[derive(Debug)]
struct ToProxy {
    proxy: Uri,
    resolver: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        self.resolver.resolve(&self.proxy, config, timeout)
    }
}

#[derive(Debug)]
struct AbsoluteForm {
    authorization: String,
}

impl<In: Transport> Connector<In> for AbsoluteForm {
    type Out = Rewriting<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let authority = details
            .uri
            .authority()
            .map_or("", |a| a.as_str())
            .to_owned();
        Ok(chained.map(|inner| Rewriting {
            inner,
            authority,
            authorization: self.authorization.clone(),
        }))
    }
}

#[derive(Debug)]
struct Rewriting<T> {
    inner: T,
    authority: String,
    authorization: String,
}

impl<T: Transport> Rewriting<T> {
    /// Rewrites the head in the output buffer; gives its new length.
    fn rewrite(&mut self, length: usize) -> Result<usize, Error> {
        let output = self.inner.buffers().output();
        let Some(head) = output
            .get(..length)
            .filter(|head| head.starts_with(b"GET /"))
        else {
            return Ok(length);
        };
        let Some(line_end) = head.windows(2).position(|pair| pair == b"\r\n") else {
            return Ok(length);
        };
        let mut new = format!("GET http://{}", self.authority).into_bytes();
        new.extend_from_slice(&head[4..line_end + 2]);
        new.extend_from_slice(self.authorization.as_bytes());
        new.extend_from_slice(&head[line_end + 2..]);
        let room = output.get_mut(..new.len()).ok_or_else(|| {
            Error::Io(std::io::Error::other(
                "the request is too long for the buffer",
            ))
        })?;
        room.copy_from_slice(&new);
        Ok(new.len())
    }
}

impl<T: Transport> Transport for Rewriting<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        // Only GETs are made here, so a request is its head and comes in one piece.
        let amount = self.rewrite(amount)?;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_proxies_are_taken() {
        let config = || Agent::config_builder().build();
        for good in ["http://p:3142", "p:3142", "http://u:p%40ss@p:3142/"] {
            assert!(agent(config(), good).is_some(), "{good}");
        }
        for bad in ["", "ftp://p", "https://p", "http://", "not a url"] {
            assert!(agent(config(), bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_decoded_once() {
        assert_eq!(percent_decode("u:p%40%2541"), b"u:p@%41");
        assert_eq!(percent_decode("%4"), b"%4");
    }
}
