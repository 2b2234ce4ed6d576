//! In which form a disk is written: the one place that decides it.

use std::path::Path;

/// A form of disk images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The disk's bytes as they are, with holes where nothing is.
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// The form as given, else by the name's ending; checked to be one that can be written.
///
/// # Errors
/// A sentence on what to do instead.
pub fn decide(given: Option<Format>, file: &Path) -> Result<Format, String> {
    let ending = file.extension().and_then(|ending| ending.to_str());
    let format = given.unwrap_or(match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("qcow2" | "qcow") => Format::Qcow2,
        _ => Format::Raw,
    });
    match format {
        Format::Raw => Ok(format),
        Format::Qcow2 => Err(format!(
            "{}: disks cannot be written as qcow2 yet; choose a name that ends in .img, or \
             give --format raw, and convert it with `qemu-img convert -O qcow2`",
            file.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_unless_something_is_said() {
        let raw = Ok(Format::Raw);
        assert_eq!(decide(None, Path::new("a.img")), raw);
        assert_eq!(decide(None, Path::new("/dev/sdx")), raw);
        assert_eq!(decide(Some(Format::Raw), Path::new("a.qcow2")), raw);
        assert!(
            decide(None, Path::new("a.QCOW2"))
                .unwrap_err()
                .contains("a.QCOW2")
        );
        assert!(decide(Some(Format::Qcow2), Path::new("a.img")).is_err());
    }
}
