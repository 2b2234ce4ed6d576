//! `isoform image`: disks made of what the catalogue's archives have.

use std::path::{Path, PathBuf};

use isoform_images::system::{Settings, gather};
use isoform_images::{Options, fetch};

use super::disk::format;
use super::progress::Reporter;
use super::{Failure, status};
use crate::config::{self, size};
use crate::install::{Job, install};
use isoform_disk::Format;

/// Make disk images
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

// A variant's help is its `Args`' own.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Build(Box<Build>),
}

/// Install a system on a new disk
///
/// The packages of IMAGE's archive are fetched into the cache and installed by a guest,
/// without root and without any tool of this machine. The system takes an address for
/// each network card, has apt and an ssh server, and boots by EFI, by U-Boot, and by
/// `isoform run FILE`. Root has no password on its console, and gets in by ssh with the
/// key that is given here.
#[derive(Debug, Clone, clap::Args)]
struct Build {
    /// What to install: debian:riscv64
    image: String,
    /// The disk to make
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    /// What FILE is to be: qcow2 or raw [default: qcow2 where its name ends so, else raw]
    #[arg(long, value_parser = format, value_name = "FORMAT")]
    format: Option<Format>,
    /// Size of the disk; what is not used takes no room here
    #[arg(long, value_name = "SIZE", default_value = DEFAULT_SIZE, value_parser = disk_size)]
    size: u64,
    /// Packages to install besides the usual ones, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    packages: Vec<String>,
    /// A file of public keys that may log in as root by ssh
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// The system's name
    #[arg(long, value_name = "NAME", default_value = "debian", value_parser = hostname)]
    hostname: String,
    /// Mirror to use; else ISOFORM_DEBIAN_MIRROR, else apt's
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Ask the mirror for newer packages, even where the cache has all
    #[arg(long)]
    update: bool,
}

/// As people write it, and in bytes.
const DEFAULT_SIZE: &str = "4G";
/// A key file that is longer is none.
const MAX_KEYS: u64 = 1 << 20;

/// Whole sectors, with which sizes in MiB and GiB come as they are.
fn disk_size(text: &str) -> Result<u64, String> {
    let bytes = size::bytes(text)?;
    match bytes.is_multiple_of(1 << 20) && bytes > 0 {
        true => Ok(bytes),
        false => Err("a disk is a whole number of MiB, as in 4G or 1500M".to_owned()),
    }
}

/// As hostname(7) has it.
fn hostname(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match text.len() <= 64 && text.split('.').all(label) {
        true => Ok(text.to_owned()),
        false => Err("a name is letters, digits and hyphens, as in web-1".to_owned()),
    }
}

/// Carries out the subcommand.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    match &args.command {
        Command::Build(args) => build(args),
    }
}

/// Makes the disk that `isoform run NAME --disk FILE` finds missing.
pub(super) fn build_default(name: &str, file: &Path, mirror: Option<&str>) -> Result<(), Failure> {
    build(&Build {
        image: name.to_owned(),
        output: file.to_owned(),
        force: false,
        format: None,
        size: disk_size(DEFAULT_SIZE).expect("the default is a size"),
        packages: Vec::new(),
        ssh_key: None,
        hostname: "debian".to_owned(),
        mirror: mirror.map(str::to_owned),
        update: false,
    })
    .map(drop)
}

/// The format of a new disk: as given, or as its name says.
fn format_of(args: &Build) -> Format {
    let ending = args.output.extension().and_then(|ending| ending.to_str());
    args.format.unwrap_or(match ending {
        Some(ending) if ending.eq_ignore_ascii_case("qcow2") => Format::Qcow2,
        _ => Format::Raw,
    })
}

fn build(args: &Build) -> Result<u8, Failure> {
    if !args.force && args.output.symlink_metadata().is_ok() {
        return Err(crate::install::InstallError::Exists(args.output.clone()).into());
    }
    let settings = Settings {
        hostname: args.hostname.clone(),
        ssh_keys: args
            .ssh_key
            .as_deref()
            .map(keys)
            .transpose()?
            .unwrap_or_default(),
    };
    let start = std::time::Instant::now();
    let progress = Reporter::new();
    let mut options = Options::new(&progress);
    options.mirror.clone_from(&args.mirror);
    options.refresh = args.update;
    let image = fetch(&args.image, &options)?;
    let packages: Vec<String> = args
        .packages
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let stock = gather(&args.image, &packages, &options)?;
    let job = Job {
        image: &image,
        stock: &stock,
        settings: &settings,
        size: args.size,
        format: format_of(args),
        translation_cache: config::translations(None),
    };
    install(&job, &args.output, args.force, &progress)?;
    eprintln!(
        "{}: {} with {} packages, in {:.0} s; start it with `isoform run {}`",
        args.output.display(),
        stock.plan.release,
        stock.plan.items.len(),
        start.elapsed().as_secs_f64(),
        args.output.display()
    );
    Ok(status::OK)
}

/// Reads a file of public keys. A private one must not end up on a disk.
fn keys(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |why: String| anyhow::anyhow!("--ssh-key {}: {why}", path.display());
    let size = std::fs::metadata(path)
        .map_err(|e| fail(e.to_string()))?
        .len();
    if size > MAX_KEYS {
        return Err(fail("it is too large for a list of keys".to_owned()).into());
    }
    let mut keys = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
    let text = String::from_utf8_lossy(&keys);
    if text.contains("PRIVATE KEY") {
        return Err(fail("it is a private key; give the public one (.pub)".to_owned()).into());
    }
    let is_key = |line: &str| line.split_whitespace().any(|word| word.starts_with("AAAA"));
    if !text.lines().any(is_key) {
        return Err(fail("there is no public key in it".to_owned()).into());
    }
    if !keys.ends_with(b"\n") {
        keys.push(b'\n');
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_are_checked() {
        for good in ["a", "web-1", "a.b.example"] {
            assert!(hostname(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a b", "a_b", "a..b", "a'", &long] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
        assert_eq!(disk_size("4G"), Ok(4 << 30));
        assert!(disk_size(DEFAULT_SIZE).is_ok());
        for bad in ["0", "1K", "x", "1000000"] {
            assert!(disk_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_public_keys_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            keys(&path)
        };
        assert_eq!(
            read("ssh-ed25519 AAAAC3 me").unwrap(),
            b"ssh-ed25519 AAAAC3 me\n"
        );
        assert!(read("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n").is_err());
        assert!(read("hello").is_err());
        assert!(keys(folder.path()).is_err());
    }
}
