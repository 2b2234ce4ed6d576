//! From names to every package they need, in an order good for unpacking.
//!
//! Not a solver: a dependency is met by what is chosen already, else by the first
//! alternative there is, else by a package that provides one; nothing chosen is
//! ever taken back. For one suite of one archive, which its makers keep
//! installable, that finds what apt would. What it cannot meet, and packages that
//! do not go together, are errors that name them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::packages::{Index, Package};
use super::relation::{Alternatives, Relation};

/// Why there is no such set of packages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The archive has no packages of these names.
    #[error("has no package named {}", .0.join(", nor "))]
    Unknown(Vec<String>),
    /// Nothing meets a dependency.
    #[error("has nothing that {package} could depend on as `{on}`")]
    Unmet {
        /// The package that depends.
        package: String,
        /// On what.
        on: String,
    },
    /// Two packages that cannot be installed together.
    #[error("says that {package} and {other} cannot be installed together; leave one of them out")]
    Conflict {
        /// The one that says so.
        package: String,
        /// The other.
        other: String,
    },
}

/// All that `names` need, themselves included: dependencies before what depends on
/// them, except where they depend on each other.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve<'i>(index: &'i Index, names: &[&str]) -> Result<Vec<&'i Package>, ResolveError> {
    let chosen = choose(index, names)?;
    check_conflicts(index, &chosen)?;
    Ok(in_order(index, &chosen))
}

/// The chosen packages.
type Chosen<'i> = BTreeMap<&'i str, &'i Package>;

/// Breadth first, so that what was asked for is chosen before any alternative to it.
fn choose<'i>(index: &'i Index, names: &[&str]) -> Result<Chosen<'i>, ResolveError> {
    let mut chosen = Chosen::new();
    let mut waiting = VecDeque::new();
    let mut unknown = Vec::new();
    for name in names {
        match index
            .find(name, None)
            .or_else(|| only_provider(index, name))
        {
            Some(package) => add(package, &mut chosen, &mut waiting),
            None => unknown.push((*name).to_owned()),
        }
    }
    if !unknown.is_empty() {
        unknown.dedup();
        return Err(ResolveError::Unknown(unknown));
    }
    while let Some(package) = waiting.pop_front() {
        for group in package.needs() {
            if is_met(index, &chosen, group) {
                continue;
            }
            let found = group
                .0
                .iter()
                .find_map(|relation| candidate(index, relation));
            let found = found.ok_or_else(|| ResolveError::Unmet {
                package: package.name.clone(),
                on: group.to_string(),
            })?;
            add(found, &mut chosen, &mut waiting);
        }
    }
    Ok(chosen)
}

fn add<'i>(package: &'i Package, chosen: &mut Chosen<'i>, waiting: &mut VecDeque<&'i Package>) {
    if chosen.insert(&package.name, package).is_none() {
        waiting.push_back(package);
    }
}

fn is_met(index: &Index, chosen: &Chosen<'_>, group: &Alternatives) -> bool {
    group
        .0
        .iter()
        .any(|relation| meeting(index, chosen, relation).next().is_some())
}

/// The chosen packages that meet a relation, that of its name first.
fn meeting<'i, 'a>(
    index: &'i Index,
    chosen: &'a Chosen<'i>,
    relation: &'a Relation,
) -> impl Iterator<Item = &'i Package> + use<'i, 'a> {
    let named = chosen.get(relation.name.as_str()).copied();
    let named = named.filter(|package| relation.accepts(&package.version));
    let is_chosen = |package: &&Package| chosen.contains_key(package.name.as_str());
    let providers = index.providers(&relation.name).filter(is_chosen);
    named
        .into_iter()
        .chain(providers.filter(|package| package.stands_for(relation)))
}

/// The package of that name, or else the most usual one that provides it.
fn candidate<'i>(index: &'i Index, relation: &Relation) -> Option<&'i Package> {
    let real = index
        .find(&relation.name, None)
        .filter(|p| relation.accepts(&p.version));
    real.or_else(|| {
        let fits = |package: &&Package| package.stands_for(relation);
        let usual = |package: &&Package| (package.priority, package.name.clone());
        index
            .providers(&relation.name)
            .filter(fits)
            .min_by_key(usual)
    })
}

/// A name that stands for exactly one package can be asked for as that package.
fn only_provider<'i>(index: &'i Index, name: &str) -> Option<&'i Package> {
    let names: BTreeSet<&str> = index.providers(name).map(|p| p.name.as_str()).collect();
    match names.len() {
        1 => names.first().and_then(|name| index.find(name, None)),
        _ => None,
    }
}

fn check_conflicts(index: &Index, chosen: &Chosen<'_>) -> Result<(), ResolveError> {
    for package in chosen.values() {
        for relation in package.excludes().flat_map(|group| &group.0) {
            // A package may conflict with a name that it provides itself.
            let mut others = meeting(index, chosen, relation);
            let other = others.find(|other| other.name != package.name);
            if let Some(other) = other {
                return Err(ResolveError::Conflict {
                    package: package.name.clone(),
                    other: other.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Depth first, a package after its needs. The stack is one of our own: how deep an
/// archive's dependencies go is not for the host's stack to bear.
fn in_order<'i>(index: &'i Index, chosen: &Chosen<'i>) -> Vec<&'i Package> {
    let mut order = Vec::with_capacity(chosen.len());
    let mut entered = BTreeSet::new();
    for start in chosen.values() {
        let mut path: Vec<(&'i Package, Vec<&'i Package>)> = Vec::new();
        if entered.insert(start.name.as_str()) {
            path.push((start, needed(index, chosen, start)));
        }
        while let Some((package, rest)) = path.last_mut() {
            match rest.pop() {
                Some(next) if entered.insert(next.name.as_str()) => {
                    path.push((next, needed(index, chosen, next)));
                }
                Some(_) => {}
                None => {
                    order.push(*package);
                    path.pop();
                }
            }
        }
    }
    order
}

/// What of the chosen packages meets the needs of `package`, last first.
fn needed<'i>(index: &'i Index, chosen: &Chosen<'i>, package: &'i Package) -> Vec<&'i Package> {
    let meets = |group: &Alternatives| {
        let mut met = group
            .0
            .iter()
            .flat_map(|relation| meeting(index, chosen, relation));
        met.next()
    };
    let mut all: Vec<&Package> = package.needs().filter_map(meets).collect();
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    /// Packages as `name`, or `name Field: value; Field: value`.
    fn index(packages: &[&str]) -> Index {
        let stanza = |text: &&str| {
            let (name, fields) = text.split_once(' ').unwrap_or((text, ""));
            let version = if fields.contains("Version:") {
                ""
            } else {
                "Version: 1\n"
            };
            let fields = fields.replace("; ", "\n");
            let sum = Sha256::of(name.as_bytes());
            format!(
                "Package: {name}\n{version}Filename: pool/{name}.deb\nSize: 1\nSHA256: {sum}\n\
                 {fields}\n\n"
            )
        };
        let text: String = packages.iter().map(stanza).collect();
        Index::read(text.as_bytes(), |_| true).unwrap()
    }

    fn names(packages: &[&str], wanted: &[&str]) -> Result<Vec<String>, ResolveError> {
        let index = index(packages);
        let found = resolve(&index, wanted)?;
        Ok(found.iter().map(|package| package.name.clone()).collect())
    }

    #[test]
    fn needs_come_first_and_the_rest_stays_out() {
        let packages = [
            "a Depends: b, c",
            "b Pre-Depends: d",
            "c",
            "d",
            "e Depends: a",
        ];
        assert_eq!(names(&packages, &["a"]).unwrap(), ["d", "b", "c", "a"]);
        assert_eq!(names(&packages, &["c", "c"]).unwrap(), ["c"]);
        assert_eq!(names(&packages, &[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn cycles_come_to_an_end() {
        let packages = ["a Depends: b", "b Depends: c", "c Depends: a, c"];
        assert_eq!(names(&packages, &["b"]).unwrap(), ["c", "b", "a"]);
    }

    #[test]
    fn the_first_alternative_there_is_unless_another_is_chosen_already() {
        let packages = ["a Depends: gone | b | c", "b", "c"];
        assert_eq!(names(&packages, &["a"]).unwrap(), ["b", "a"]);
        assert_eq!(names(&packages, &["a", "c"]).unwrap(), ["c", "a"]);
    }

    #[test]
    fn names_that_others_provide_are_met() {
        let packages = [
            "a Depends: mta, editor (>= 2)",
            "p Provides: mta; Priority: optional",
            "q Provides: mta; Priority: important",
            "v Provides: editor (= 3)",
            "u Provides: editor",
        ];
        assert_eq!(names(&packages, &["a"]).unwrap(), ["q", "v", "a"]);
        assert_eq!(names(&packages, &["a", "p"]).unwrap(), ["p", "v", "a"]);
        // To ask for what several provide is to ask for none of them.
        assert_eq!(
            names(&packages, &["mta"]),
            Err(ResolveError::Unknown(vec!["mta".into()]))
        );
        assert_eq!(names(&["p Provides: x"], &["x"]).unwrap(), ["p"]);
    }

    #[test]
    fn versions_count() {
        let packages = [
            "a Depends: b (>= 2) | c (<< 2)",
            "b Version: 1.9",
            "c Version: 1",
        ];
        assert_eq!(names(&packages, &["a"]).unwrap(), ["c", "a"]);
        let unmet = names(&["a Depends: b (>= 2)", "b Version: 1.9"], &["a"]).unwrap_err();
        assert_eq!(
            unmet.to_string(),
            "has nothing that a could depend on as `b (>= 2)`"
        );
    }

    #[test]
    fn all_unknown_names_are_named() {
        let error = names(&["a"], &["x", "a", "y"]).unwrap_err();
        assert_eq!(error.to_string(), "has no package named x, nor y");
    }

    #[test]
    fn packages_that_exclude_each_other_are_named() {
        let packages = [
            "a Conflicts: mta; Provides: mta",
            "b Provides: mta",
            "c Breaks: d (<< 2)",
            "d Version: 1.9",
            "e Version: 2; Breaks: e (<< 3)",
        ];
        assert!(names(&packages, &["a"]).is_ok());
        assert!(names(&packages, &["e"]).is_ok());
        let error = names(&packages, &["a", "b"]).unwrap_err().to_string();
        assert!(error.contains("a and b"), "{error}");
        assert!(names(&packages, &["c", "d"]).is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let link = |n: u32| format!("p{n} Depends: p{}", n + 1);
        let mut chain: Vec<String> = (0..20_000).map(link).collect();
        chain.push("p20000".into());
        let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
        let found = names(&chain, &["p0"]).unwrap();
        assert_eq!((found.len(), found[0].as_str()), (20_001, "p20000"));
    }
}
