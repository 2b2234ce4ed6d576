//! What the installing guest gets as a disk: a tar archive of packages, lists and
//! settings.
//!
//! The packages are unpacked here as far as compression goes. The host does that many
//! times faster than a guest, and dpkg takes them either way (deb(5)).

use std::io::Write;

use super::{Item, Stage, Stock};
use crate::error::{Error, Malformed};
use crate::progress::Step;
use crate::unpack::uncompressed_deb;

/// What the installed system is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub hostname: String,
    /// Public keys that may log in as root by ssh; lines as in `authorized_keys`.
    pub ssh_keys: Vec<u8>,
}

impl Stock {
    /// Writes the archive that [`INSTALL`](super::INSTALL) finds on its second disk.
    ///
    /// # Errors
    /// Those of writing, as host errors; a damaged package as [`Error::Malformed`].
    pub fn write_bundle(
        &self,
        out: impl Write,
        settings: &Settings,
        progress: &dyn crate::progress::Progress,
    ) -> Result<(), Error> {
        let size = self.installed_size();
        let step = Step::begin(progress, "unpacking the packages", Some(size));
        let mut archive = tar::Builder::new(out);
        let mut add = |path: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            archive
                .append_data(&mut header, path, content)
                .map_err(|why| Error::io("write", self.cache.root(), why))
        };
        add("settings", self.settings(settings).as_bytes())?;
        add("authorized_keys", &settings.ssh_keys)?;
        add(
            "base",
            self.list(|item| item.stage == Stage::Base, file_name)
                .as_bytes(),
        )?;
        add(
            "rest",
            self.list(|item| item.stage == Stage::Rest, file_name)
                .as_bytes(),
        )?;
        add("tools", self.list(|item| item.tool, file_name).as_bytes())?;
        add(
            "auto",
            self.list(|item| !item.wanted, |item| item.part.name.clone())
                .as_bytes(),
        )?;
        for item in &self.plan.items {
            let (path, file) = self.deb(item)?;
            let malformed = |why: Malformed| Error::malformed(path.display().to_string(), why);
            let deb = uncompressed_deb(std::io::BufReader::new(file)).map_err(malformed)?;
            add(&format!("debs/{}", file_name(item)), &deb)?;
            step.advance(deb.len() as u64);
        }
        let finished = archive.into_inner().and_then(|mut out| out.flush());
        finished.map_err(|why| Error::io("write", self.cache.root(), why))
    }

    /// One a line, those that are `wanted`.
    fn list(&self, wanted: impl Fn(&Item) -> bool, name: impl Fn(&Item) -> String) -> String {
        let chosen = self.plan.items.iter().filter(|item| wanted(item));
        chosen.map(|item| name(item) + "\n").collect()
    }

    /// Assignments for the installer's shell.
    fn settings(&self, settings: &Settings) -> String {
        let pairs = [
            ("hostname", settings.hostname.as_str()),
            ("mirror", &self.plan.mirror),
            ("suite", &self.plan.suite),
        ];
        let line = |(name, value): (&str, &str)| format!("{name}={}\n", quoted(value));
        pairs.into_iter().map(line).collect()
    }
}

fn file_name(item: &Item) -> String {
    format!("{}.deb", item.part.name)
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word_to_a_shell() {
        for text in ["", "a b", "it's", "$(false) `x` \\", "'"] {
            let script = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            assert_eq!(output.unwrap().stdout, text.as_bytes());
        }
    }
}
