//! `InRelease`: the head of an archive's chain of hashes, signed in clear text
//! (RFC 9580, section 7).

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::error::Malformed;
use crate::stanza::{Comments, Stanzas};

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// The parts of a clear-signed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearSigned {
    /// The text that was signed, dash escapes undone.
    pub text: String,
    /// The armoured signature, for verifiers that want it apart.
    pub signature: String,
}

/// Splits a clear-signed file. Nothing but white space may stand before or after
/// the signed part: it would look signed without being so.
///
/// # Errors
/// Any other form.
pub fn split_clear_signed(bytes: &[u8]) -> Result<ClearSigned, Malformed> {
    let whole = std::str::from_utf8(bytes).map_err(|_| Malformed::new("it is not UTF-8 text"))?;
    let mut lines = whole
        .lines()
        .map(|line| line.trim_end_matches([' ', '\t', '\r']));
    if lines.next() != Some(BEGIN) {
        return Err(Malformed::new("it is not a clear-signed file"));
    }
    for header in lines.by_ref().take_while(|line| !line.is_empty()) {
        if !header.starts_with("Hash:") {
            return Err(Malformed::new("its signed part has an unknown header"));
        }
    }
    let mut text = String::with_capacity(whole.len());
    let mut ended = false;
    for line in lines.by_ref() {
        if line == SIGNATURE {
            ended = true;
            break;
        }
        if line.starts_with('-') && !line.starts_with("- ") {
            return Err(Malformed::new(
                "its signed part has a line that should be dash-escaped",
            ));
        }
        text.push_str(line.strip_prefix("- ").unwrap_or(line));
        text.push('\n');
    }
    let mut signature = format!("{SIGNATURE}\n");
    let mut closed = false;
    for line in lines.by_ref() {
        signature.push_str(line);
        signature.push('\n');
        if line == END {
            closed = true;
            break;
        }
    }
    if !ended || !closed {
        return Err(Malformed::new("its signature is cut off"));
    }
    if lines.any(|line| !line.is_empty()) {
        return Err(Malformed::new("there is text after its signature"));
    }
    Ok(ClearSigned { text, signature })
}

/// A file the release vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its length in bytes.
    pub size: u64,
    /// Its sum.
    pub sha256: Sha256,
}

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Who publishes it: `Debian`, or somebody else.
    pub origin: String,
    /// The suite's lasting name: `trixie`.
    pub codename: String,
    /// `13.7`; empty where there is none.
    pub version: String,
    /// When it was published, as it says; empty where it does not.
    pub date: String,
    /// Architectures it has packages for.
    pub architectures: Vec<String>,
    /// Whether indexes can be fetched by their hash, safe against updates of the
    /// mirror under way.
    pub by_hash: bool,
    files: BTreeMap<String, Listed>,
}

impl Release {
    /// Reads the (verified) text.
    ///
    /// # Errors
    /// Missing fields, unreadable sums, or more than one stanza.
    pub fn parse(text: &str) -> Result<Release, Malformed> {
        let mut stanzas = Stanzas::new(text.as_bytes(), Comments::Refused);
        let stanza = stanzas
            .next_stanza()?
            .ok_or_else(|| Malformed::new("it is empty"))?;
        if stanzas.next_stanza()?.is_some() {
            return Err(Malformed::new("it has more than one stanza"));
        }
        let own = |field| stanza.get(field).unwrap_or_default().to_owned();
        let sums = stanza.need("SHA256")?;
        let files = sums
            .lines()
            .filter(|line| !line.is_empty())
            .map(listed)
            .collect::<Result<_, _>>()?;
        Ok(Release {
            origin: own("Origin"),
            codename: own("Codename"),
            version: own("Version"),
            date: own("Date"),
            architectures: own("Architectures")
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
            by_hash: stanza
                .get("Acquire-By-Hash")
                .is_some_and(|v| v.eq_ignore_ascii_case("yes")),
            files,
        })
    }

    /// What it promises of `path`, relative to its own folder.
    pub fn file(&self, path: &str) -> Option<Listed> {
        self.files.get(path).copied()
    }

    /// Why this is not Debian's `codename` with packages for `architecture`, if
    /// it is not.
    pub fn objection(&self, codename: &str, architecture: &str) -> Option<String> {
        if self.origin != "Debian" {
            return Some(format!(
                "its InRelease says Origin: {}, not Debian",
                or_nothing(&self.origin)
            ));
        }
        if self.codename != codename {
            return Some(format!(
                "its InRelease says Codename: {}, not {codename}",
                or_nothing(&self.codename)
            ));
        }
        if !self.architectures.iter().any(|a| a == architecture) {
            return Some(format!("it has no packages for {architecture}"));
        }
        None
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "(nothing)" } else { text }
}

fn listed(line: &str) -> Result<(String, Listed), Malformed> {
    let mut words = line.split_ascii_whitespace();
    let mut parse = || {
        let sha256 = Sha256::parse(words.next()?)?;
        let size = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), Listed { size, sha256 }))
    };
    parse().ok_or_else(|| Malformed::new(format!("`{}` is no line of sums", line.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signed(text: &str) -> String {
        format!("{BEGIN}\nHash: SHA256\n\n{text}{SIGNATURE}\n\niQ==\n=abcd\n{END}\n")
    }

    #[test]
    fn clear_text_is_unescaped_and_the_signature_kept() {
        let parts = split_clear_signed(signed("Origin: Debian \n- - x\n- -----BEGIN\n").as_bytes())
            .unwrap();
        assert_eq!(parts.text, "Origin: Debian\n- x\n-----BEGIN\n");
        assert!(
            parts.signature.starts_with(SIGNATURE)
                && parts.signature.ends_with(&format!("{END}\n"))
        );
    }

    #[test]
    fn nothing_unsigned_slips_in() {
        let good = signed("Origin: Debian\n");
        for bad in [
            format!("Origin: Evil\n{good}"),
            format!("{good}Origin: Evil\n"),
            format!("{good}{good}"),
            good.replace("Hash: SHA256", "Origin: Evil"),
            good.replace(END, ""),
            good.replace(SIGNATURE, ""),
            good.replace("Origin", "-Origin"),
            "Origin: Debian\n".to_owned(),
            String::new(),
        ] {
            assert!(split_clear_signed(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(split_clear_signed(b"\xff").is_err());
    }

    #[test]
    fn a_release_lists_files_and_says_who_it_is() {
        let text = format!(
            "Origin: Debian\nCodename: trixie\nVersion: 13.7\nArchitectures: all riscv64\n\
             Acquire-By-Hash: yes\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\nSHA256:\n {SUM}        0 main/x\n"
        );
        let release = Release::parse(&text).unwrap();
        assert_eq!(
            release.file("main/x"),
            Some(Listed {
                size: 0,
                sha256: Sha256::of(b"")
            })
        );
        assert_eq!(release.file("x"), None);
        assert!(release.by_hash);
        assert_eq!(release.objection("trixie", "riscv64"), None);
        assert!(
            release
                .objection("forky", "riscv64")
                .unwrap()
                .contains("Codename: trixie")
        );
        assert!(
            release
                .objection("trixie", "sparc")
                .unwrap()
                .contains("sparc")
        );
    }

    #[test]
    fn other_origins_and_bad_sums_are_refused() {
        let release = Release::parse("Origin: Ubuntu\nSHA256:\n").unwrap();
        assert!(
            release
                .objection("trixie", "riscv64")
                .unwrap()
                .contains("Origin: Ubuntu")
        );
        let none = Release::parse("Codename: trixie\nSHA256:\n").unwrap();
        assert!(
            none.objection("trixie", "riscv64")
                .unwrap()
                .contains("(nothing)")
        );
        for bad in [
            "Origin: Debian\n".to_owned(),
            "Origin: Debian\nSHA256:\n zz 0 x\n".to_owned(),
            format!("SHA256:\n {SUM} -1 x\n"),
            format!("SHA256:\n {SUM} 1\n"),
            format!("SHA256:\n {SUM} 1 x\n\nOrigin: Debian\n"),
        ] {
            assert!(Release::parse(&bad).is_err(), "{bad}");
        }
    }
}
