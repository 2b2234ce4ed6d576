//! `isoform disk`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use isoform_disk::{Format, Info, NewImage, Report, Request, SECTOR};

use super::{Failure, print, status};
use crate::config::size::{bytes, human};

/// Make and look after disk images.
///
/// Images are raw, which is the disk's bytes as they are, or qcow2, which takes
/// room only for what was written and can build upon another image. New files
/// appear under their name only when they are whole, and no file is replaced
/// without --force. An image that a machine uses is left alone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an empty image
    ///
    /// It takes hardly any room until a guest writes to it.
    Create {
        /// The new file
        file: PathBuf,
        /// Its size: bytes, or a number with K, M, G or T
        #[arg(value_parser = bytes)]
        size: u64,
        /// What it is to be: qcow2 or raw
        #[arg(long, value_parser = format, default_value = "qcow2")]
        format: Format,
        /// Replace a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Say what an image is
    ///
    /// No other file is opened, even if the image builds upon one.
    Info {
        /// The image
        file: PathBuf,
        /// What it is, where it is not to be guessed: qcow2 or raw
        #[arg(long, value_parser = format)]
        format: Option<Format>,
    },
    /// Copy an image into another format
    ///
    /// What is zeros takes no room in the new file. What the image builds upon is
    /// copied as well, so that the new file stands alone.
    Convert {
        /// The image
        from: PathBuf,
        /// The new file
        to: PathBuf,
        /// What the new file is to be: qcow2 or raw
        #[arg(long, value_parser = format, default_value = "qcow2")]
        format: Format,
        /// What the image is, where it is not to be guessed: qcow2 or raw
        #[arg(long, value_parser = format, value_name = "FORMAT")]
        from_format: Option<Format>,
        /// Open the file that the image builds upon
        #[arg(long)]
        backing: bool,
        /// Replace a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Give an image another size
    ///
    /// What is new reads as zeros. A guest's file systems are not changed.
    Resize {
        /// The image
        file: PathBuf,
        /// Its new size: bytes, or a number with K, M, G or T
        #[arg(value_parser = bytes)]
        size: u64,
        /// Allow a smaller size: the end of the disk is lost
        #[arg(long)]
        shrink: bool,
        /// What the image is, where it is not to be guessed: qcow2 or raw
        #[arg(long, value_parser = format)]
        format: Option<Format>,
        /// Open the file that the image builds upon
        #[arg(long)]
        backing: bool,
    },
    /// Make an image that builds upon another
    ///
    /// The new file, a qcow2 image, holds only what differs from BASE, which must
    /// not be changed any more. Use it with backing=on.
    Overlay {
        /// The image to build upon
        base: PathBuf,
        /// The new file
        file: PathBuf,
        /// What BASE is, where it is not to be guessed: qcow2 or raw
        #[arg(long, value_parser = format)]
        format: Option<Format>,
        /// Replace a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Look whether a qcow2 image is sound
    ///
    /// Exit status: 0 if all is well, 1 if it cannot be checked, 2 if something is
    /// wrong that may lose data, 3 if room is lost and nothing else (leaks). Nothing
    /// is repaired: `qemu-img check -r all` does that.
    Check {
        /// The image
        file: PathBuf,
    },
}

/// The exit status of `check` for an image that is wrong, and for one that only lost
/// room.
const WRONG: u8 = 2;
const LEAKS: u8 = 3;

/// Reads the name of a format.
pub(super) fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| format!("known formats are qcow2 and raw, not `{text}`"))
}

/// Does what is asked.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    match &args.command {
        Command::Create {
            file,
            size,
            format,
            force,
        } => {
            let force = *force;
            let new = NewImage::of(*format, *size);
            isoform_disk::create(file, &NewImage { force, ..new })?;
        }
        Command::Info { file, format } => {
            let info = isoform_disk::info(file, *format)?;
            print(told(file, &info).as_bytes())?;
        }
        Command::Convert {
            from,
            to,
            format,
            from_format,
            backing,
            force,
        } => {
            let request = Request {
                format: *from_format,
                backing: *backing,
                ..Request::of(from)
            };
            let force = *force;
            let new = NewImage::of(*format, 0);
            convert(&request, to, &NewImage { force, ..new })?;
        }
        Command::Resize {
            file,
            size,
            shrink,
            format,
            backing,
        } => {
            let request = Request {
                format: *format,
                backing: *backing,
                ..Request::of(file)
            };
            isoform_disk::resize(&request, *size, *shrink)?;
        }
        Command::Overlay {
            base,
            file,
            format,
            force,
        } => isoform_disk::overlay(base, *format, file, *force)?,
        Command::Check { file } => return check(file),
    }
    Ok(status::OK)
}

/// Converts, with a bar where a person looks on.
fn convert(from: &Request, to: &Path, new: &NewImage) -> Result<(), Failure> {
    // It draws itself on terminals alone.
    let bar = indicatif::ProgressBar::new(0);
    let converted = isoform_disk::convert(from, to, new, |done, all| {
        bar.set_length(all * SECTOR);
        bar.set_position(done * SECTOR);
    });
    bar.finish_and_clear();
    Ok(converted?)
}

fn check(file: &Path) -> Result<u8, Failure> {
    let report = isoform_disk::check(file)?;
    print(found(file, &report).as_bytes())?;
    Ok(match (report.errors, report.leaks) {
        (0, 0) => status::OK,
        (0, _) => LEAKS,
        _ => WRONG,
    })
}

/// What an image is, a line each.
fn told(file: &Path, info: &Info) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        writeln!(text, "{what:14}{value}").expect("strings grow as needed");
    };
    line("image:", file.display().to_string());
    let version = info.version.map(|v| format!(", version {v}"));
    let version = version.unwrap_or_default();
    line("format:", format!("{}{version}", info.format.name()));
    let size = format!("{} ({} bytes)", human(info.size), info.size);
    line("virtual size:", size);
    line("on the host:", human(info.allocated));
    if let Some(cluster) = info.cluster {
        line("cluster size:", human(cluster));
    }
    if let Some((name, format)) = &info.backing {
        let format = format.as_deref().unwrap_or("a format that is not stated");
        line("builds upon:", format!("{} ({format})", name.display()));
    }
    if info.snapshots > 0 {
        line("snapshots:", info.snapshots.to_string());
    }
    if info.version.is_some() {
        let dirty = if info.dirty { "no" } else { "yes" };
        line("closed well:", dirty.to_owned());
    }
    text
}

/// What a check found.
fn found(file: &Path, report: &Report) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        text.push_str(problem);
        text.push('\n');
    }
    let verdict = match (report.errors, report.leaks) {
        (0, 0) => "all is well".to_owned(),
        (0, leaks) => format!("{leaks} clusters are lost, no data is wrong"),
        (errors, leaks) => format!("{errors} errors, {leaks} clusters lost"),
    };
    let file = file.display();
    let (allocated, all) = (report.allocated, report.clusters);
    let written = writeln!(
        text,
        "{file}: {verdict}; {allocated} of {all} clusters hold data"
    );
    written.expect("strings grow as needed");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_in_lines() {
        let info = Info {
            format: Format::Qcow2,
            size: 1 << 30,
            allocated: 196_608,
            version: Some(3),
            cluster: Some(65536),
            backing: Some(("base".into(), Some("raw".into()))),
            snapshots: 0,
            dirty: false,
        };
        assert_eq!(
            told(Path::new("a"), &info),
            "image:        a\n\
             format:       qcow2, version 3\n\
             virtual size: 1 GiB (1073741824 bytes)\n\
             on the host:  192 KiB\n\
             cluster size: 64 KiB\n\
             builds upon:  base (raw)\n\
             closed well:  yes\n"
        );
    }
}
