//! What is known of a cached image: where it came from and which objects make it.
//! A stanza of text, for people too.

use crate::digest::Sha256;
use crate::error::Malformed;
use crate::stanza::{self, Stanza};

/// Counts up when older manifests cannot be understood any more.
const FORMAT: &str = "1";

/// A package an image was built of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Sum of its `.deb`.
    pub sha256: Sha256,
}

/// The record of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The archive's address.
    pub mirror: String,
    /// The release's version and date, as a line.
    pub release: String,
    /// Who verified its signature; `nobody` where that was not possible.
    pub verified_by: String,
    /// The kernel's package.
    pub kernel_package: Part,
    /// Busybox's package.
    pub busybox_package: Part,
    /// The kernel's own version string.
    pub kernel_version: String,
    /// Sum of the recipe that made the initrd.
    pub recipe: Sha256,
    /// The kernel object.
    pub kernel: Sha256,
    /// The initrd object.
    pub initrd: Sha256,
}

impl Manifest {
    /// All objects it needs.
    pub fn objects(&self) -> [Sha256; 4] {
        [
            self.kernel,
            self.initrd,
            self.kernel_package.sha256,
            self.busybox_package.sha256,
        ]
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let part = |part: &Part| format!("{} {} {}", part.name, part.version, part.sha256);
        format!(
            "Format: {FORMAT}\nMirror: {}\nRelease: {}\nVerified-By: {}\nKernel-Package: {}\n\
             Busybox-Package: {}\nKernel-Version: {}\nRecipe: {}\nKernel: {}\nInitrd: {}\n",
            self.mirror,
            self.release,
            self.verified_by,
            part(&self.kernel_package),
            part(&self.busybox_package),
            self.kernel_version,
            self.recipe,
            self.kernel,
            self.initrd,
        )
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Another format, missing or unreadable fields.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Malformed> {
        let stanza = stanza::first(bytes)?;
        if stanza.need("Format")? != FORMAT {
            return Err(Malformed::new("it is of another version of Isoform"));
        }
        let text = |field| stanza.need(field).map(str::to_owned);
        Ok(Manifest {
            mirror: text("Mirror")?,
            release: text("Release")?,
            verified_by: text("Verified-By")?,
            kernel_package: part(&stanza, "Kernel-Package")?,
            busybox_package: part(&stanza, "Busybox-Package")?,
            kernel_version: text("Kernel-Version")?,
            recipe: sum(&stanza, "Recipe")?,
            kernel: sum(&stanza, "Kernel")?,
            initrd: sum(&stanza, "Initrd")?,
        })
    }

    #[cfg(test)]
    pub(crate) fn example() -> Manifest {
        let part = |name: &str| Part {
            name: name.into(),
            version: "1:2-3".into(),
            sha256: Sha256::of(name.as_bytes()),
        };
        Manifest {
            mirror: "http://m/debian".into(),
            release: "Debian 13.7, Sat, 12 Sep 2026".into(),
            verified_by: "gpgv".into(),
            kernel_package: part("linux-image-x"),
            busybox_package: part("busybox-static"),
            kernel_version: "6.12-x".into(),
            recipe: Sha256::of(b"recipe"),
            kernel: Sha256::of(b"kernel"),
            initrd: Sha256::of(b"initrd"),
        }
    }
}

fn sum(stanza: &Stanza, field: &str) -> Result<Sha256, Malformed> {
    Sha256::parse(stanza.need(field)?)
        .ok_or_else(|| Malformed::new(format!("`{field}` is no SHA-256 sum")))
}

pub(crate) fn part(stanza: &Stanza, field: &str) -> Result<Part, Malformed> {
    let words: Vec<&str> = stanza.need(field)?.split(' ').collect();
    let [name, version, sha256] = words[..] else {
        return Err(Malformed::new(format!(
            "`{field}` is not `name version sum`"
        )));
    };
    let sha256 = Sha256::parse(sha256)
        .ok_or_else(|| Malformed::new(format!("`{field}` has no SHA-256 sum")))?;
    Ok(Part {
        name: name.to_owned(),
        version: version.to_owned(),
        sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let manifest = Manifest::example();
        assert_eq!(Manifest::parse(manifest.to_text().as_bytes()), Ok(manifest));
    }

    #[test]
    fn no_prefix_of_a_manifest_passes_for_one() {
        let text = Manifest::example().to_text();
        for cut in 0..text.len() - 1 {
            assert!(Manifest::parse(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
        assert!(Manifest::parse(text.replace("Format: 1", "Format: 2").as_bytes()).is_err());
    }
}
