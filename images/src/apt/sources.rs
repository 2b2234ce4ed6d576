//! Mirror addresses from apt's source lists (sources.list(5)), in both forms:
//! one-line `*.list` and deb822 `*.sources`.

use std::path::{Path, PathBuf};

use crate::error::Malformed;
use crate::stanza::{Comments, Stanzas};

/// Suites that only Debian has; lists that name them are asked first, so that
/// third-party archives hear of us only when nothing else is there.
const DEBIAN_SUITES: &[&str] = &[
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "sid",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
];

/// One pair of address and suite of a binary (`deb`) source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The archive's root, e.g. `http://mirror/debian`, without a final slash.
    pub uri: String,
    /// E.g. `trixie-updates`.
    pub suite: String,
}

impl Source {
    fn new(uri: &str, suite: &str) -> Source {
        Source {
            uri: uri.trim_end_matches('/').to_owned(),
            suite: suite.to_owned(),
        }
    }

    /// Security archives hold updates only, under another layout.
    fn is_security(&self) -> bool {
        self.suite.contains("security") || self.uri.contains("security")
    }

    /// Addresses this crate can fetch from, in a layout with `dists/`.
    fn is_usable(&self) -> bool {
        let known = ["http://", "https://", "file:"]
            .iter()
            .any(|scheme| self.uri.starts_with(scheme));
        // "A suite that ends in a slash is an exact path": no dists/ below.
        known && !self.suite.ends_with('/') && !self.is_security()
    }

    fn is_debian(&self) -> bool {
        let base = self.suite.split(['-', '/']).next().unwrap_or_default();
        DEBIAN_SUITES.contains(&base)
    }
}

/// The archives' addresses in the apt configuration folder `etc_apt` (usually
/// `/etc/apt`), likeliest Debian mirrors first, each once.
///
/// Files that cannot be read or parsed are left out with a warning in the log:
/// they are apt's affair, and another may serve.
pub fn mirrors(etc_apt: &Path) -> Vec<String> {
    let mut sources = Vec::new();
    for path in list_files(etc_apt) {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        if path.extension().is_some_and(|e| e == "sources") {
            match deb822(text.as_bytes()) {
                Ok(found) => sources.extend(found),
                Err(why) => log::warn!("{}: {why}", path.display()),
            }
        } else {
            sources.extend(one_line(&text));
        }
    }
    sources.retain(Source::is_usable);
    sources.sort_by_key(|source| !source.is_debian());
    let mut mirrors: Vec<String> = Vec::new();
    for source in sources {
        if !mirrors.contains(&source.uri) {
            mirrors.push(source.uri);
        }
    }
    mirrors
}

/// `sources.list`, then the folder's files by name. apt ignores names with other
/// characters or endings, backup copies among them.
fn list_files(etc_apt: &Path) -> Vec<PathBuf> {
    let mut files = vec![etc_apt.join("sources.list")];
    files.extend(parts(&etc_apt.join("sources.list.d"), &["list", "sources"]));
    files
}

/// Files of a `*.d` folder that apt would read, sorted.
pub(super) fn parts(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            let ending = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            plain && !name.starts_with('.') && endings.contains(&ending) && path.is_file()
        })
        .collect();
    files.sort();
    files
}

/// Parses the one-line form: `deb [option=value …] URI SUITE [COMPONENT…]`.
/// Lines of other forms are skipped.
pub fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_source).collect()
}

fn one_source(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None; // `deb-src`
    }
    let mut rest = rest.trim_start();
    if let Some(options) = rest.strip_prefix('[') {
        rest = options.split_once(']')?.1.trim_start();
    }
    let mut words = rest.split_ascii_whitespace();
    Some(Source::new(words.next()?, words.next()?))
}

/// Parses the deb822 form: stanzas with `Types`, `URIs`, `Suites`; disabled ones
/// and those without `deb` among the types are left out.
///
/// # Errors
/// Text that has not the form of stanzas.
pub fn deb822(text: &[u8]) -> Result<Vec<Source>, Malformed> {
    let mut stanzas = Stanzas::new(text, Comments::Skipped);
    let mut sources = Vec::new();
    while let Some(stanza) = stanzas.next_stanza()? {
        let words = |field| {
            stanza
                .get(field)
                .unwrap_or_default()
                .split_ascii_whitespace()
        };
        let disabled = stanza.get("Enabled").is_some_and(is_no);
        if disabled || !words("Types").any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("URIs") {
            sources.extend(words("Suites").map(|suite| Source::new(uri, suite)));
        }
    }
    Ok(sources)
}

/// The ways apt spells false.
fn is_no(value: &str) -> bool {
    ["no", "false", "without", "off", "disable", "0"]
        .iter()
        .any(|no| value.eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_form() {
        let text = "\
# deb http://commented/debian trixie main
deb http://a/debian/ trixie main contrib # tail
deb-src http://src/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] https://b/debian bookworm main
  deb\t[ trusted=yes ]\tfile:/srv/debian  sid  main
deb cdrom:[Debian 13]/ trixie main
deb http://short
deb [unclosed http://x/ trixie
debx http://x/ trixie main
";
        let found = one_line(text);
        let uris: Vec<_> = found
            .iter()
            .map(|s| (s.uri.as_str(), s.suite.as_str()))
            .collect();
        assert_eq!(
            uris,
            [
                ("http://a/debian", "trixie"),
                ("https://b/debian", "bookworm"),
                ("file:/srv/debian", "sid"),
                ("cdrom:[Debian", "13]/"),
            ]
        );
        assert_eq!(found.iter().filter(|s| s.is_usable()).count(), 3);
    }

    #[test]
    fn deb822_form() {
        let text = b"\
# a comment
Types: deb deb-src
URIs: http://a/debian http://b/debian
Suites: trixie
# between fields
 trixie-updates
Components: main

Types: deb
Enabled: No
URIs: http://off/debian
Suites: trixie

Types: deb-src
URIs: http://src/debian
Suites: trixie

types: deb
uris: http://sec/debian-security
suites: trixie-security
";
        let found = deb822(text).unwrap();
        assert_eq!(found.len(), 5);
        assert!(found[..4].iter().all(Source::is_usable));
        assert_eq!(found[1], Source::new("http://a/debian", "trixie-updates"));
        assert!(!found[4].is_usable());
        assert!(deb822(b"just words").is_err());
    }

    #[test]
    fn a_whole_folder_gives_debian_mirrors_first_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let lists = folder.path().join("sources.list.d");
        std::fs::create_dir(&lists).unwrap();
        let write = |name: &str, text: &str| std::fs::write(lists.join(name), text).unwrap();
        std::fs::write(
            folder.path().join("sources.list"),
            "deb https://third/party nodistro main\n",
        )
        .unwrap();
        write(
            "a.list",
            "deb http://m/debian trixie main\ndeb http://m/debian trixie-updates main\n",
        );
        write(
            "b.sources",
            "Types: deb\nURIs: http://n/debian/\nSuites: bookworm-backports\n",
        );
        write("c.sources", "broken");
        write("d.list.save", "deb http://old/debian trixie main\n");
        write("e~.list", "deb http://backup/debian trixie main\n");
        write(
            "f.list",
            "deb http://s/debian-security trixie-security main\ndeb http://flat/ ./ \n",
        );
        assert_eq!(
            mirrors(folder.path()),
            ["http://m/debian", "http://n/debian", "https://third/party"]
        );
        assert!(mirrors(&folder.path().join("nowhere")).is_empty());
    }
}
