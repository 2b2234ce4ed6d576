//! Whether Debian signed an `InRelease`, told by the machine's own verifier:
//! `gpgv`, or `sqv` where newer systems have only that.
//!
//! Debian signs with several keys, and a machine's keyring may know only some:
//! one good signature is enough, one bad is too many. `gpgv`'s exit status says
//! something else (2 for any unknown key), so its status lines are read.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::release::ClearSigned;
use crate::error::Error;

/// Where Debian's own keys lie, newest naming first.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// The means to check signatures with.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Candidates for the keyring; the first that exists is used.
    pub keyrings: Vec<PathBuf>,
    /// Folders to look for the programs in.
    pub path: Vec<PathBuf>,
}

/// How far a text can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Verified: this text was signed, by the keys in this program's words.
    Signed {
        /// The text to read hashes from.
        text: String,
        /// Which program said so.
        by: &'static str,
    },
    /// There was nothing to check it with, for this reason.
    Unchecked {
        /// The text all the same.
        text: String,
        /// For a line to the person.
        why: String,
    },
}

impl Verifier {
    /// This machine's.
    pub fn of_host() -> Verifier {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Verifier {
            keyrings: KEYRINGS.iter().map(PathBuf::from).collect(),
            path: std::env::split_paths(&path).collect(),
        }
    }

    /// Judges the clear-signed file `bytes`, already split into `parts`.
    ///
    /// # Errors
    /// [`Error::Signature`] (naming `url`) where a keyring and a verifier are
    /// there and do not find the signature good; host errors on temporary files.
    pub fn judge(&self, url: &str, bytes: &[u8], parts: &ClearSigned) -> Result<Verdict, Error> {
        let unchecked = |why: &str| Verdict::Unchecked {
            text: parts.text.clone(),
            why: why.to_owned(),
        };
        let Some(keyring) = self.keyrings.iter().find(|path| path.is_file()) else {
            return Ok(unchecked(
                "Debian's keyring (package debian-archive-keyring) is not on this machine",
            ));
        };
        if let Some(program) = self.program("gpgv") {
            return gpgv(&program, keyring, url, bytes);
        }
        if let Some(program) = self.program("sqv") {
            return sqv(&program, keyring, url, parts);
        }
        Ok(unchecked("there is neither gpgv nor sqv on this machine"))
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.path
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    }
}

fn gpgv(program: &Path, keyring: &Path, url: &str, bytes: &[u8]) -> Result<Verdict, Error> {
    let folder = Scratch::new()?;
    let input = folder.write("InRelease", bytes)?;
    let text = folder.0.path().join("text");
    let mut command = Command::new(program);
    command
        .args(["--status-fd", "1", "--keyring"])
        .arg(keyring)
        .arg("--output")
        .arg(&text)
        .arg(input);
    let output = run(&mut command)?;
    match status_lines(&String::from_utf8_lossy(&output.stdout)) {
        Ok(()) => {
            let text = std::fs::read_to_string(&text).map_err(|e| Error::io("read", &text, e))?;
            Ok(Verdict::Signed { text, by: "gpgv" })
        }
        Err(reason) => Err(Error::Signature {
            url: url.to_owned(),
            reason,
        }),
    }
}

/// Judges by GnuPG's status lines (its doc/DETAILS): good when at least one
/// signature is GOODSIG and VALIDSIG and none is BADSIG or by a revoked key.
/// Expired or unknown keys count neither way.
fn status_lines(text: &str) -> Result<(), String> {
    let (mut good, mut valid, mut seen) = (false, 0, Vec::new());
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] "))
    {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default();
        match keyword {
            "NEWSIG" => good = false,
            "GOODSIG" => good = true,
            // Follows GOODSIG, but EXPKEYSIG and its like too.
            "VALIDSIG" if std::mem::take(&mut good) => valid += 1,
            "BADSIG" => {
                return Err(format!(
                    "bad signature by key {}",
                    words.next().unwrap_or("?")
                ));
            }
            "REVKEYSIG" => {
                return Err(format!(
                    "signed by the revoked key {}",
                    words.next().unwrap_or("?")
                ));
            }
            "NO_PUBKEY" | "EXPKEYSIG" | "EXPSIG" | "NODATA" | "ERRSIG" => {
                seen.push(line.to_owned())
            }
            _ => {}
        }
    }
    if valid > 0 {
        return Ok(());
    }
    Err(if seen.is_empty() {
        "no signature was found".to_owned()
    } else {
        format!("no signature by a known, valid key ({})", seen.join("; "))
    })
}

/// `sqv` checks detached signatures: exit status 0 for at least one good one.
fn sqv(program: &Path, keyring: &Path, url: &str, parts: &ClearSigned) -> Result<Verdict, Error> {
    let folder = Scratch::new()?;
    let signature = folder.write("signature", parts.signature.as_bytes())?;
    // The line end before the signature is not signed (RFC 9580, 7.1).
    let body = parts.text.strip_suffix('\n').unwrap_or(&parts.text);
    let body = folder.write("body", body.as_bytes())?;
    let mut command = Command::new(program);
    let output = run(command
        .arg("--keyring")
        .arg(keyring)
        .arg(signature)
        .arg(body))?;
    if output.status.success() {
        return Ok(Verdict::Signed {
            text: parts.text.clone(),
            by: "sqv",
        });
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Error::Signature {
        url: url.to_owned(),
        reason,
    })
}

fn run(command: &mut Command) -> Result<Output, Error> {
    let program = PathBuf::from(command.get_program());
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::io("run", &program, e))
}

/// Files only this person can see, gone afterwards.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Result<Scratch, Error> {
        tempfile::tempdir()
            .map(Scratch)
            .map_err(|e| Error::io("write to", &std::env::temp_dir(), e))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.0.path().join(name);
        let mut file = std::fs::File::create(&path).map_err(|e| Error::io("write", &path, e))?;
        file.write_all(bytes)
            .map_err(|e| Error::io("write", &path, e))?;
        Ok(path)
    }
}
