//! Which packages make a system, as kept in the cache: a stanza of text, for people
//! too, and what keeps the packages from being pruned.

use crate::digest::Sha256;
use crate::error::Malformed;
use crate::manifest::Part;
use crate::stanza::{self, Stanza};

/// Counts up when older plans cannot be understood any more.
const FORMAT: &str = "1";

/// When a package is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Among the first, without which no other can be.
    Base,
    /// After them.
    Rest,
}

/// A package of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub part: Part,
    /// KiB it takes when installed.
    pub installed_kib: u64,
    /// When it is installed.
    pub stage: Stage,
    /// The installer uses it before there is a system.
    pub tool: bool,
    /// It was asked for, not merely depended on.
    pub wanted: bool,
}

impl Item {
    fn to_line(&self) -> String {
        let stage = match self.stage {
            Stage::Base => "base",
            Stage::Rest => "rest",
        };
        let flag = |on, name| if on { name } else { "" };
        format!(
            " {} {} {} {} {stage}{}{}\n",
            self.part.name,
            self.part.version,
            self.part.sha256,
            self.installed_kib,
            flag(self.tool, "+tool"),
            flag(self.wanted, "+wanted"),
        )
    }

    fn parse(line: &str) -> Result<Item, Malformed> {
        let bad = || Malformed::new(format!("`{}` is no package", line.escape_debug()));
        let words: Vec<&str> = line.split(' ').collect();
        let [name, version, sha256, installed_kib, flags] = words[..] else {
            return Err(bad());
        };
        let mut flags = flags.split('+');
        let stage = match flags.next() {
            Some("base") => Stage::Base,
            Some("rest") => Stage::Rest,
            _ => return Err(bad()),
        };
        let flags: Vec<&str> = flags.collect();
        Ok(Item {
            part: Part {
                name: name.to_owned(),
                version: version.to_owned(),
                sha256: Sha256::parse(sha256).ok_or_else(bad)?,
            },
            installed_kib: installed_kib.parse().map_err(|_| bad())?,
            stage,
            tool: flags.contains(&"tool"),
            wanted: flags.contains(&"wanted"),
        })
    }
}

/// The packages of a system, in an order good for unpacking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What they were chosen for, as a line: the same request makes the same system.
    pub request: String,
    /// `trixie`.
    pub suite: String,
    /// `riscv64`.
    pub architecture: String,
    /// The archive's address.
    pub mirror: String,
    /// The release's version and date, as a line.
    pub release: String,
    /// Who verified its signature; `nobody` where that was not possible.
    pub verified_by: String,
    /// The packages.
    pub items: Vec<Item>,
}

impl Plan {
    /// Its text.
    pub fn to_text(&self) -> String {
        let items: String = self.items.iter().map(Item::to_line).collect();
        format!(
            "Format: {FORMAT}\nRequest: {}\nSuite: {}\nArchitecture: {}\nMirror: {}\n\
             Release: {}\nVerified-By: {}\nCount: {}\nPackages:\n{items}",
            self.request,
            self.suite,
            self.architecture,
            self.mirror,
            self.release,
            self.verified_by,
            self.items.len(),
        )
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Another format, missing or unreadable fields.
    pub fn parse(bytes: &[u8]) -> Result<Plan, Malformed> {
        let stanza = stanza::first(bytes)?;
        if stanza.need("Format")? != FORMAT {
            return Err(Malformed::new("it is of another version of Isoform"));
        }
        let text = |field| stanza.need(field).map(str::to_owned);
        let items = items(&stanza)?;
        if stanza.need("Count")? != items.len().to_string() {
            return Err(Malformed::new("packages are missing in it"));
        }
        Ok(Plan {
            request: text("Request")?,
            suite: text("Suite")?,
            architecture: text("Architecture")?,
            mirror: text("Mirror")?,
            release: text("Release")?,
            verified_by: text("Verified-By")?,
            items,
        })
    }
}

fn items(stanza: &Stanza) -> Result<Vec<Item>, Malformed> {
    let lines = stanza.need("Packages")?.lines();
    lines
        .filter(|line| !line.is_empty())
        .map(Item::parse)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Plan {
        let item = |name: &str, stage, tool, wanted| Item {
            part: Part {
                name: name.into(),
                version: "1:2-3".into(),
                sha256: Sha256::of(name.as_bytes()),
            },
            installed_kib: 7,
            stage,
            tool,
            wanted,
        };
        Plan {
            request: "trixie riscv64 abcd vim".into(),
            suite: "trixie".into(),
            architecture: "riscv64".into(),
            mirror: "http://m/debian".into(),
            release: "Debian 13".into(),
            verified_by: "gpgv".into(),
            items: vec![
                item("libc6", Stage::Base, true, false),
                item("vim", Stage::Rest, false, true),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let plan = example();
        assert_eq!(Plan::parse(plan.to_text().as_bytes()), Ok(plan));
    }

    #[test]
    fn no_prefix_of_a_plan_passes_for_one() {
        let text = example().to_text();
        for cut in 0..text.len() - "+wanted\n".len() {
            assert!(Plan::parse(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
