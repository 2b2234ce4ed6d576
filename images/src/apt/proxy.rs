//! Which proxy leads to an address: apt's own settings first, then the usual
//! environment variables, as apt's http method decides it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::conf::Conf;

/// The variables that matter, in both customary spellings.
const VARIABLES: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The rules of one machine.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    conf: Conf,
    environment: BTreeMap<String, String>,
}

impl Proxies {
    /// With apt's configuration and an environment to look variables up in.
    pub fn new(conf: Conf, variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let set = |name: &str| {
            variable(name)
                .filter(|v| !v.is_empty())
                .map(|v| (name.to_owned(), v))
        };
        Proxies {
            conf,
            environment: VARIABLES.iter().filter_map(|name| set(name)).collect(),
        }
    }

    /// The proxy's address for `url` on `host`, or `None` for a direct
    /// connection. This machine itself is never reached through a proxy.
    pub fn choose(&self, scheme: &str, host: &str, url: &str) -> Option<String> {
        if host == "localhost" || host == "[::1]" || host.starts_with("127.") {
            return None;
        }
        if let Some(configured) = self.configured_in_apt(scheme, host, url) {
            return (!configured.eq_ignore_ascii_case("DIRECT")).then_some(configured);
        }
        if self.is_excepted(host) {
            return None;
        }
        self.variable(&format!("{scheme}_proxy")).map(str::to_owned)
    }

    /// https falls back to the settings of http (apt-transport-https(1)).
    fn configured_in_apt(&self, scheme: &str, host: &str, url: &str) -> Option<String> {
        let schemes = if scheme == "https" {
            &["https", "http"][..]
        } else {
            &["http"]
        };
        for scheme in schemes {
            let option = |rest: &str| self.conf.get(&format!("Acquire::{scheme}::{rest}"));
            if let Some(program) = option("Proxy-Auto-Detect").or_else(|| option("ProxyAutoDetect"))
                && let Some(found) = detect(program, url)
            {
                return Some(found);
            }
            let proxy = option(&format!("Proxy::{host}")).or_else(|| option("Proxy"));
            if let Some(proxy) = proxy.filter(|proxy| !proxy.is_empty()) {
                return Some(proxy.to_owned());
            }
        }
        None
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let upper = name.to_ascii_uppercase();
        [name, &upper]
            .into_iter()
            .find_map(|name| self.environment.get(name))
            .map(String::as_str)
    }

    fn is_excepted(&self, host: &str) -> bool {
        let list = self.variable("no_proxy").unwrap_or_default();
        list.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .any(|entry| {
                let domain = entry.trim_start_matches("*").trim_start_matches('.');
                entry == "*"
                    || host.eq_ignore_ascii_case(domain)
                    || host
                        .to_ascii_lowercase()
                        .ends_with(&format!(".{}", domain.to_ascii_lowercase()))
            })
    }
}

/// apt's `Proxy-Auto-Detect` program prints a proxy's address, `DIRECT` or
/// nothing for the URL it is given.
fn detect(program: &str, url: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(conf: &str, environment: &[(&str, &str)]) -> Proxies {
        let mut parsed = Conf::default();
        parsed.parse(conf);
        Proxies::new(parsed, |name| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    fn http(proxies: &Proxies, host: &str) -> Option<String> {
        proxies.choose("http", host, &format!("http://{host}/debian"))
    }

    #[test]
    fn apt_comes_before_the_environment() {
        let both = proxies(
            "Acquire::http::Proxy \"http://apt:1\";",
            &[("http_proxy", "http://env:2")],
        );
        assert_eq!(http(&both, "m").as_deref(), Some("http://apt:1"));
        assert_eq!(
            both.choose("https", "m", "https://m/").as_deref(),
            Some("http://apt:1")
        );
        let only = proxies("", &[("HTTP_PROXY", "http://env:2")]);
        assert_eq!(http(&only, "m").as_deref(), Some("http://env:2"));
        assert_eq!(only.choose("https", "m", "https://m/"), None);
    }

    #[test]
    fn a_host_can_be_direct() {
        let p = proxies(
            "Acquire::http { Proxy \"http://apt:1\"; Proxy::near \"DIRECT\"; };",
            &[("http_proxy", "http://env:2")],
        );
        assert_eq!(http(&p, "near"), None);
        assert_eq!(http(&p, "far").as_deref(), Some("http://apt:1"));
        assert_eq!(http(&p, "127.0.0.1"), None);
        assert_eq!(http(&p, "localhost"), None);
    }

    #[test]
    fn no_proxy_excepts_hosts_and_domains() {
        let p = proxies(
            "",
            &[
                ("http_proxy", "http://env:2"),
                ("no_proxy", "one.example, .two.example"),
            ],
        );
        assert_eq!(http(&p, "one.example"), None);
        assert_eq!(http(&p, "a.two.example"), None);
        assert_eq!(http(&p, "atwo.example").as_deref(), Some("http://env:2"));
        assert_eq!(
            http(
                &proxies("", &[("http_proxy", "http://e"), ("no_proxy", "*")]),
                "x"
            ),
            None
        );
    }

    #[test]
    fn a_detection_program_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("detect");
        std::fs::write(
            &program,
            "#!/bin/sh\ncase $1 in *near*) echo DIRECT;; *) echo http://found:3;; esac\n",
        )
        .unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let p = proxies(
            &format!(
                "Acquire::http::Proxy-Auto-Detect \"{}\";",
                program.display()
            ),
            &[],
        );
        assert_eq!(http(&p, "far").as_deref(), Some("http://found:3"));
        assert_eq!(http(&p, "near"), None);
    }
}
