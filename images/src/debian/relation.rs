//! What packages say about each other (Debian Policy, chapter 7): fields such as
//! `Depends: libc6 (>= 2.40), default-mta | mail-transport-agent`.

use std::cmp::Ordering;
use std::fmt;

use super::version;
use crate::error::Malformed;

/// How a version has to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Earlier,
    EarlierOrEqual,
    Equal,
    LaterOrEqual,
    Later,
}

impl Comparison {
    fn parse(sign: &str) -> Option<Comparison> {
        Some(match sign {
            "<<" => Comparison::Earlier,
            "<=" => Comparison::EarlierOrEqual,
            "=" => Comparison::Equal,
            ">=" => Comparison::LaterOrEqual,
            ">>" => Comparison::Later,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Earlier => order.is_lt(),
            Comparison::EarlierOrEqual => order.is_le(),
            Comparison::Equal => order.is_eq(),
            Comparison::LaterOrEqual => order.is_ge(),
            Comparison::Later => order.is_gt(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Earlier => "<<",
            Comparison::EarlierOrEqual => "<=",
            Comparison::Equal => "=",
            Comparison::LaterOrEqual => ">=",
            Comparison::Later => ">>",
        })
    }
}

/// One package that is named, with the versions that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The package's name, real or virtual, without an architecture.
    pub name: String,
    version: Option<(Comparison, String)>,
}

impl Relation {
    fn parse(text: &str) -> Result<Relation, Malformed> {
        let bad = || Malformed::new(format!("`{}` is no relation", text.escape_debug()));
        let (name, rest) = text.split_once('(').unwrap_or((text, ""));
        // `name:any` and `name:native` name an architecture; there is one here.
        let name = name.trim().split(':').next().unwrap_or_default();
        if !is_name(name) {
            return Err(bad());
        }
        let version = match rest.split_once(')') {
            None if rest.is_empty() => None,
            None => return Err(bad()),
            Some((inside, _)) => {
                let inside = inside.trim();
                let signs = |c: char| matches!(c, '<' | '=' | '>');
                let (sign, version) = inside.split_at(inside.find(|c| !signs(c)).ok_or_else(bad)?);
                let comparison = Comparison::parse(sign).ok_or_else(bad)?;
                Some((comparison, version.trim().to_owned()))
            }
        };
        Ok(Relation {
            name: name.to_owned(),
            version,
        })
    }

    /// Whether a real package of this name in version `version` will do.
    pub fn accepts(&self, version: &str) -> bool {
        self.version
            .as_ref()
            .is_none_or(|(how, wanted)| how.holds(version::compare(version, wanted)))
    }

    /// Whether a package that provides the name, in `version` if it says which,
    /// will do: an unversioned one never stands for a version (Policy 7.5).
    pub fn accepts_provided(&self, version: Option<&str>) -> bool {
        match version {
            Some(version) => self.accepts(version),
            None => self.version.is_none(),
        }
    }

    /// The version, where exactly one will do.
    pub fn exact_version(&self) -> Option<&str> {
        match &self.version {
            Some((Comparison::Equal, version)) => Some(version),
            _ => None,
        }
    }

    /// The version a `Provides` entry gives: `name (= version)`.
    pub fn provided_version(&self) -> Option<&str> {
        self.version.as_ref().map(|(_, version)| version.as_str())
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some((how, version)) => write!(f, " ({how} {version})"),
            None => Ok(()),
        }
    }
}

/// Relations of which one has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternatives(pub Vec<Relation>);

impl fmt::Display for Alternatives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(Relation::to_string).collect();
        f.write_str(&all.join(" | "))
    }
}

/// Reads a field: groups separated by commas, alternatives by bars.
///
/// # Errors
/// A relation of another form.
pub fn parse(field: &str) -> Result<Vec<Alternatives>, Malformed> {
    field
        .split(',')
        .filter(|group| !group.trim().is_empty())
        .map(|group| {
            let all: Result<_, _> = group.split('|').map(Relation::parse).collect();
            all.map(Alternatives)
        })
        .collect()
}

/// Whether `name` can be a package's (Policy 5.6.1).
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.bytes().next().is_some_and(plain) && name.bytes().all(|b| plain(b) || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_and_written() {
        let field = "libc6:any (>= 2.40),  a|b (<<1), c (= 1:2-3)";
        let groups = parse(field).unwrap();
        let text: Vec<String> = groups.iter().map(Alternatives::to_string).collect();
        assert_eq!(text, ["libc6 (>= 2.40)", "a | b (<< 1)", "c (= 1:2-3)"]);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse(" , ").unwrap(), []);
    }

    #[test]
    fn versions_are_compared_as_asked() {
        for (relation, version, fits) in [
            ("a", "1", true),
            ("a (>= 1.10)", "1.9", false),
            ("a (>= 1.10)", "1.10", true),
            ("a (>> 1.10)", "1.10", false),
            ("a (<< 2)", "2~rc1", true),
            ("a (<= 2)", "2", true),
            ("a (= 2)", "2-1", false),
        ] {
            let groups = parse(relation).unwrap();
            assert_eq!(
                groups[0].0[0].accepts(version),
                fits,
                "{relation} {version}"
            );
        }
    }

    #[test]
    fn an_unversioned_provider_stands_for_no_version() {
        let relation = |text| parse(text).unwrap().remove(0).0.remove(0);
        assert!(relation("mta").accepts_provided(None));
        assert!(relation("mta").accepts_provided(Some("3")));
        assert!(!relation("mta (>= 1)").accepts_provided(None));
        assert!(relation("mta (>= 1)").accepts_provided(Some("2")));
        assert_eq!(relation("mta (= 5)").provided_version(), Some("5"));
    }

    #[test]
    fn what_is_no_relation_is_refused() {
        for text in [
            "a |", "A", "a (1)", "a (>= 1", "a (=> 1)", "-a", "a b", "a ()",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
