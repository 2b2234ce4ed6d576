//! GET over `http:`, `https:` and `file:`, with limits on waiting.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::proxied;
use crate::apt::proxy::Proxies;
use crate::error::Error;

/// Where distributions keep the certificates that the machine trusts.
const SYSTEM_CERTIFICATES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/cert.pem",
];
const USER_AGENT: &str = concat!("isoform/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 5;

/// How long to wait for a peer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the connection.
    pub connect: Duration,
    /// For the head of the answer.
    pub answer: Duration,
    /// For more of the body.
    pub read: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            read: Duration::from_secs(60),
        }
    }
}

/// Fetches files.
#[derive(Debug)]
pub struct Client {
    proxies: Proxies,
    patience: Patience,
    roots: RootCerts,
}

/// The body of an answer, to be read.
pub struct Body {
    /// The first byte's offset in the file: the one asked for, or 0 from servers
    /// that know no ranges.
    pub start: u64,
    /// The bytes from there on.
    pub reader: Box<dyn Read>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// With this machine's certificates, where it has any.
    pub fn new(proxies: Proxies, patience: Patience) -> Client {
        Client {
            proxies,
            patience,
            roots: system_roots(),
        }
    }

    /// The file at `url` from byte `from` on.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Status`] (416 where the file ends before
    /// `from`), [`Error::BadMirror`].
    pub fn get(&self, url: &str, from: u64) -> Result<Body, Error> {
        if let Some(path) = file_path(url) {
            return open_file(url, path, from);
        }
        let mut target = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(&target, from)?;
            let status = response.status().as_u16();
            match status {
                200 => return Ok(body(response, 0)),
                206 if range_start(&response) == Some(from) => return Ok(body(response, from)),
                206 => {
                    return Err(unreachable(
                        url,
                        "the server answered with another part than asked for",
                    ));
                }
                301 | 302 | 303 | 307 | 308 => target = redirect(&target, &response)?,
                _ => {
                    return Err(Error::Status {
                        url: url.to_owned(),
                        status,
                        hint: hint(status),
                    });
                }
            }
        }
        Err(unreachable(url, "too many redirects"))
    }

    /// A whole small file.
    ///
    /// # Errors
    /// Those of [`get`](Self::get); also a file of more than `limit` bytes.
    pub fn get_small(&self, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self
            .get(url, 0)?
            .reader
            .take(limit + 1)
            .read_to_end(&mut bytes);
        read.map_err(|e| unreachable(url, &describe(&e)))?;
        if bytes.len() as u64 > limit {
            return Err(Error::Mismatch {
                file: url.to_owned(),
                reason: format!("it is longer than {limit} bytes"),
            });
        }
        Ok(bytes)
    }

    fn request(&self, url: &str, from: u64) -> Result<ureq::http::Response<ureq::Body>, Error> {
        let uri: Uri = url.parse().map_err(|_| bad_mirror(url, "it is no URL"))?;
        let host = uri
            .host()
            .ok_or_else(|| bad_mirror(url, "it names no host"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(bad_mirror(url, "its scheme is not known"));
        }
        let proxy = self.proxies.choose(scheme, host, url);
        let agent = self.agent(scheme, proxy.as_deref(), url)?;
        let mut request = agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call().map_err(|e| {
            let via =
                proxy.map(|proxy| format!(" (through the proxy {})", without_password(&proxy)));
            unreachable(
                url,
                &format!("{}{}", describe_request(&e), via.unwrap_or_default()),
            )
        })
    }

    fn agent(&self, scheme: &str, proxy: Option<&str>, url: &str) -> Result<Agent, Error> {
        let config = Agent::config_builder()
            .user_agent(USER_AGENT)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(self.patience.connect))
            .timeout_recv_response(Some(self.patience.answer))
            .timeout_per_read(Some(self.patience.read))
            .tls_config(TlsConfig::builder().root_certs(self.roots.clone()).build());
        let wrong = |proxy: &str| {
            unreachable(
                url,
                &format!("`{}` cannot be used as a proxy", without_password(proxy)),
            )
        };
        match proxy {
            None => Ok(config.proxy(None).build().new_agent()),
            Some(proxy) if scheme == "http" && !proxy.starts_with("socks") => {
                proxied::agent(config.proxy(None).build(), proxy).ok_or_else(|| wrong(proxy))
            }
            Some(proxy) => {
                let proxy = Proxy::new(proxy).map_err(|_| wrong(proxy))?;
                Ok(config.proxy(Some(proxy)).build().new_agent())
            }
        }
    }
}

/// What went wrong while a body was read, in few words.
pub(super) fn describe(error: &io::Error) -> String {
    if let Some(inner) = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<ureq::Error>())
    {
        return describe_request(inner);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection ended too early".to_owned(),
        _ => error.to_string(),
    }
}

fn describe_request(error: &ureq::Error) -> String {
    use ureq::Timeout;
    match error {
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            "no connection in time".to_owned()
        }
        ureq::Error::Timeout(_) => "the server stopped sending".to_owned(),
        ureq::Error::Io(e) => describe(e),
        ureq::Error::HostNotFound => "there is no host of that name".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn unreachable(url: &str, reason: &str) -> Error {
    Error::Unreachable {
        url: url.to_owned(),
        reason: reason.to_owned(),
    }
}

fn bad_mirror(url: &str, reason: &str) -> Error {
    Error::BadMirror {
        url: url.to_owned(),
        reason: reason.to_owned(),
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        404 => " (there is no such file; is this the root of a Debian archive, with dists/ in it?)",
        401 | 403 => " (access denied)",
        407 => " (the proxy wants a password)",
        500..=599 => " (a fault of the server or proxy; try again later or use another mirror)",
        _ => "",
    }
}

fn body(response: ureq::http::Response<ureq::Body>, start: u64) -> Body {
    Body {
        start,
        reader: Box::new(response.into_body().into_reader()),
    }
}

fn header<'a>(response: &'a ureq::http::Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// `Content-Range: bytes 100-199/200` → 100.
fn range_start(response: &ureq::http::Response<ureq::Body>) -> Option<u64> {
    header(response, "content-range")?
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Where a redirect leads: absolute addresses, or paths on the same server;
/// never from https to http.
fn redirect(from: &str, response: &ureq::http::Response<ureq::Body>) -> Result<String, Error> {
    let location =
        header(response, "location").ok_or_else(|| unreachable(from, "a redirect to nowhere"))?;
    if location.starts_with("https://")
        || (location.starts_with("http://") && from.starts_with("http://"))
    {
        return Ok(location.to_owned());
    }
    let authority = from.find("://").map_or(0, |at| at + 3);
    let root = from[authority..]
        .find('/')
        .map_or(from.len(), |at| authority + at);
    if location.starts_with('/') && !location.starts_with("//") {
        return Ok(format!("{}{location}", &from[..root]));
    }
    Err(unreachable(
        from,
        &format!(
            "a redirect to `{}` is not followed",
            location.escape_debug()
        ),
    ))
}

/// `http://user:secret@host` without the secret, for messages.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() {
        host.to_owned()
    } else {
        format!("{scheme}://{host}")
    }
}

fn file_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file:")?;
    let path = rest.strip_prefix("//localhost/").map(|p| format!("/{p}"));
    Some(PathBuf::from(path.unwrap_or_else(|| {
        format!("/{}", rest.trim_start_matches('/'))
    })))
}

fn open_file(url: &str, path: PathBuf, from: u64) -> Result<Body, Error> {
    let status = |status| Error::Status {
        url: url.to_owned(),
        status,
        hint: hint(status),
    };
    let mut file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(status(404)),
        other => other.map_err(|e| Error::io("read", &path, e))?,
    };
    if file.seek(SeekFrom::Start(from)).is_err() {
        return Err(status(416));
    }
    Ok(Body {
        start: from,
        reader: Box::new(file),
    })
}

/// The machine's certificates, so that private authorities count as they do for
/// apt; where there are none, the built-in public ones.
fn system_roots() -> RootCerts {
    let Some(pem) = SYSTEM_CERTIFICATES
        .iter()
        .find_map(|path| std::fs::read(path).ok())
    else {
        return RootCerts::WebPki;
    };
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        RootCerts::WebPki
    } else {
        RootCerts::Specific(Arc::new(certificates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_addresses_have_several_spellings() {
        for url in [
            "file:/srv/debian",
            "file:///srv/debian",
            "file://localhost/srv/debian",
        ] {
            assert_eq!(file_path(url), Some(PathBuf::from("/srv/debian")), "{url}");
        }
        assert_eq!(file_path("http://x/"), None);
    }

    #[test]
    fn passwords_stay_out_of_messages() {
        assert_eq!(without_password("http://me:secret@p:1"), "http://p:1");
        assert_eq!(without_password("me:secret@p:1"), "p:1");
        assert_eq!(without_password("http://p:1"), "http://p:1");
    }
}
