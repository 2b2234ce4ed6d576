//! `isoform images`.

use std::fmt::Write;

use isoform_images::{Entry, Options, fetch, list};

use super::progress::Reporter;
use super::{Failure, print, status};
use crate::config::size::human;

/// List the images that have names, and what of them is cached.
///
/// Named images are made from a Debian archive when first run, and kept in the
/// cache (XDG_CACHE_HOME, else ~/.cache). What is cached is used as it is,
/// without a network, until --update.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask the mirror for newer packages of this image first
    #[arg(long, value_name = "IMAGE")]
    update: Option<String>,
    /// Mirror to use for --update; else ISOFORM_DEBIAN_MIRROR, else apt's
    #[arg(long, value_name = "URL", requires = "update")]
    mirror: Option<String>,
}

/// Prints the list.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let progress = Reporter::new();
    let mut options = Options::new(&progress);
    options.mirror.clone_from(&args.mirror);
    if let Some(name) = &args.update {
        options.refresh = true;
        fetch(name, &options)?;
    }
    print(table(&list(&options)?).as_bytes())?;
    Ok(status::OK)
}

/// One line an image, columns aligned, and a second one for what is cached.
fn table(entries: &[Entry]) -> String {
    let width = entries.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in entries {
        let name = entry.name;
        let cached = match &entry.cached {
            Some(cached) => format!("cached, {}: {}", human(cached.size), cached.describe),
            None => format!("not cached: `isoform run {name}` fetches it"),
        };
        let written = writeln!(text, "{name:width$}  {}", entry.description)
            .and_then(|()| writeln!(text, "{:width$}  {cached}", ""));
        written.expect("strings grow as needed");
    }
    text
}

#[cfg(test)]
mod tests {
    use isoform_images::Cached;

    use super::*;

    #[test]
    fn the_list_says_what_is_cached() {
        let entry = |name, cached| Entry {
            name,
            description: "A system",
            cached,
        };
        let cached = Cached {
            describe: "A 1.0".into(),
            release: "1".into(),
            size: 3 << 20,
        };
        let text = table(&[entry("a:riscv64", None), entry("bb:riscv64", Some(cached))]);
        assert_eq!(
            text,
            "a:riscv64   A system\n\
             \x20           not cached: `isoform run a:riscv64` fetches it\n\
             bb:riscv64  A system\n\
             \x20           cached, 3 MiB: A 1.0\n"
        );
    }
}
