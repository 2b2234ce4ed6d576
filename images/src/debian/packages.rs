//! `Packages` indexes: finding a package, its file and what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use super::relation::{self, Alternatives, Relation};
use super::version;
use crate::digest::Sha256;
use crate::error::Malformed;
use crate::stanza::{Comments, Stanza, Stanzas};

/// A package as the index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// E.g. `linux-image-riscv64`.
    pub name: String,
    /// E.g. `6.12.107-1`.
    pub version: String,
    /// The file, relative to the archive's root: safe to append to its address.
    pub filename: String,
    /// Bytes of the file.
    pub size: u64,
    /// Sum of the file.
    pub sha256: Sha256,
    /// KiB it takes when installed, by its maker's estimate; 0 where not given.
    pub installed_kib: u64,
    /// How usual it is.
    pub priority: Priority,
    /// No system can do without it.
    pub essential: bool,
    relations: Relations,
}

/// How usual a package is (Policy 2.5), the most usual first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A system without it does not work.
    Required,
    /// A bare system has it.
    Important,
    /// A system that was not chosen otherwise has it.
    Standard,
    /// Everything else.
    Optional,
}

impl Priority {
    fn of(field: Option<&str>) -> Priority {
        match field {
            Some("required") => Priority::Required,
            Some("important") => Priority::Important,
            Some("standard") => Priority::Standard,
            _ => Priority::Optional,
        }
    }
}

/// What it says about other packages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Relations {
    pre_depends: Vec<Alternatives>,
    depends: Vec<Alternatives>,
    conflicts: Vec<Alternatives>,
    breaks: Vec<Alternatives>,
    provides: Vec<Alternatives>,
}

impl Relations {
    fn read(stanza: &Stanza) -> Result<Relations, Malformed> {
        let field = |name| {
            relation::parse(stanza.get(name).unwrap_or_default())
                .map_err(|why| Malformed::new(format!("{name}: {why}")))
        };
        Ok(Relations {
            pre_depends: field("Pre-Depends")?,
            depends: field("Depends")?,
            conflicts: field("Conflicts")?,
            breaks: field("Breaks")?,
            provides: field("Provides")?,
        })
    }
}

impl Package {
    fn from_stanza(name: &str, stanza: &Stanza) -> Result<Package, Malformed> {
        let of = |e: Malformed| Malformed::new(format!("package {name}: {e}"));
        let filename = stanza.need("Filename").map_err(of)?;
        if !is_safe(filename) {
            return Err(of(Malformed::new(format!(
                "`{}` is no proper file name",
                filename.escape_debug()
            ))));
        }
        let size = stanza.need("Size").map_err(of)?;
        let sum = stanza.need("SHA256").map_err(of)?;
        Ok(Package {
            name: name.to_owned(),
            version: stanza.need("Version").map_err(of)?.to_owned(),
            filename: filename.to_owned(),
            size: size
                .parse()
                .map_err(|_| of(Malformed::new(format!("`{size}` is no size"))))?,
            sha256: Sha256::parse(sum)
                .ok_or_else(|| of(Malformed::new(format!("`{sum}` is no SHA-256 sum"))))?,
            installed_kib: stanza
                .get("Installed-Size")
                .and_then(|size| size.parse().ok())
                .unwrap_or(0),
            priority: Priority::of(stanza.get("Priority")),
            essential: stanza.get("Essential") == Some("yes"),
            relations: Relations::read(stanza).map_err(of)?,
        })
    }

    /// What has to be there for it to work, the most urgent first.
    pub fn needs(&self) -> impl Iterator<Item = &Alternatives> {
        let relations = &self.relations;
        relations.pre_depends.iter().chain(&relations.depends)
    }

    /// What it cannot be installed with.
    pub fn excludes(&self) -> impl Iterator<Item = &Alternatives> {
        let relations = &self.relations;
        relations.conflicts.iter().chain(&relations.breaks)
    }

    /// The names it stands for besides its own.
    pub fn provides(&self) -> impl Iterator<Item = &Relation> {
        self.relations.provides.iter().flat_map(|group| &group.0)
    }

    /// Whether it meets `relation` by a name that it provides.
    pub fn stands_for(&self, relation: &Relation) -> bool {
        self.provides().any(|provided| {
            provided.name == relation.name && relation.accepts_provided(provided.provided_version())
        })
    }

    /// The first of its dependencies whose name begins with `prefix`, with the
    /// version where exactly one will do.
    pub fn dependency(&self, prefix: &str) -> Option<(&str, Option<&str>)> {
        let firsts = self.relations.depends.iter().filter_map(|g| g.0.first());
        firsts
            .filter(|relation| relation.name.starts_with(prefix))
            .map(|relation| (relation.name.as_str(), relation.exact_version()))
            .next()
    }
}

/// A path below the archive that cannot lead elsewhere nor change an address.
fn is_safe(filename: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/+-._~:%".contains(&b);
    !filename.is_empty()
        && filename.bytes().all(plain)
        && filename
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."))
}

/// The packages of an index whose names interest, in all versions.
#[derive(Debug, Clone, Default)]
pub struct Index {
    packages: BTreeMap<String, Vec<Package>>,
    /// Names that are provided, with the packages that do.
    providers: BTreeMap<String, BTreeSet<String>>,
}

impl Index {
    /// Reads an uncompressed index to its end, keeping what `wanted` accepts.
    ///
    /// # Errors
    /// Text of another form, or a wanted package with bad fields.
    pub fn read(input: impl BufRead, wanted: impl Fn(&str) -> bool) -> Result<Index, Malformed> {
        let mut stanzas = Stanzas::new(input, Comments::Refused);
        let mut index = Index::default();
        while let Some(stanza) = stanzas.next_stanza()? {
            let name = stanza.need("Package")?;
            if wanted(name) {
                let package = Package::from_stanza(name, &stanza)?;
                for provided in package.provides() {
                    let providers = index.providers.entry(provided.name.clone());
                    providers.or_default().insert(name.to_owned());
                }
                index
                    .packages
                    .entry(name.to_owned())
                    .or_default()
                    .push(package);
            }
        }
        Ok(index)
    }

    /// The package `name` in exactly `version`, or else in the newest.
    pub fn find(&self, name: &str, version: Option<&str>) -> Option<&Package> {
        let versions = self.packages.get(name)?;
        let fits = |package: &&Package| version.is_none_or(|v| package.version == v);
        versions
            .iter()
            .filter(fits)
            .max_by(|a, b| version::compare(&a.version, &b.version))
    }

    /// The packages that provide `name`, each in its newest version.
    pub fn providers(&self, name: &str) -> impl Iterator<Item = &Package> {
        let names = self.providers.get(name).into_iter().flatten();
        names.filter_map(|name| self.find(name, None))
    }

    /// Every package there is, each in its newest version, by name.
    pub fn newest(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .keys()
            .filter_map(|name| self.find(name, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn stanza(name: &str, version: &str, depends: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nDepends: {depends}\n\
             Filename: pool/main/{name}_{version}.deb\nSize: 7\nSHA256: {SUM}\n\n"
        )
    }

    #[test]
    fn the_newest_or_the_exact_version_is_found() {
        let text = stanza("a", "1.10-1", "b") + &stanza("a", "1.9-1", "b") + &stanza("b", "1", "");
        let index = Index::read(text.as_bytes(), |name| name == "a").unwrap();
        assert_eq!(index.find("a", None).unwrap().version, "1.10-1");
        assert_eq!(index.find("a", Some("1.9-1")).unwrap().version, "1.9-1");
        assert!(index.find("a", Some("2")).is_none());
        assert!(index.find("b", None).is_none());
    }

    #[test]
    fn dependencies_are_found_by_their_beginning() {
        let depends = "kmod, linux-image-6.12:any (= 6.12-1) | x, linux-base (>= 4)";
        let text = stanza("m", "1", depends);
        let index = Index::read(text.as_bytes(), |_| true).unwrap();
        let package = index.find("m", None).unwrap();
        assert_eq!(
            package.dependency("linux-image-"),
            Some(("linux-image-6.12", Some("6.12-1")))
        );
        assert_eq!(package.dependency("linux-base"), Some(("linux-base", None)));
        assert_eq!(package.dependency("x"), None);
    }

    #[test]
    fn bad_fields_of_a_wanted_package_are_named() {
        let good = stanza("a", "1", "");
        for (from, to, part) in [
            ("pool/main/", "../../", "proper file name"),
            ("pool/main/", "/etc/", "proper file name"),
            ("pool/main/", "pool?x=", "proper file name"),
            ("Size: 7", "Size: -7", "no size"),
            ("Size: 7", "Size: 99999999999999999999", "no size"),
            ("Size: 7", "Sise: 7", "no field `Size`"),
            (SUM, "abc", "no SHA-256 sum"),
        ] {
            let text = good.replace(from, to);
            let error = Index::read(text.as_bytes(), |_| true).unwrap_err().0;
            assert!(
                error.contains(part) && error.contains("package a"),
                "{error}"
            );
            assert!(Index::read(text.as_bytes(), |_| false).is_ok());
        }
        assert!(Index::read(&b"Version: 1\n"[..], |_| true).is_err());
    }
}
