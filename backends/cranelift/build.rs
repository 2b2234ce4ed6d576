//! Gives the crate a number for all sources that decide what code it generates, so that
//! code kept between runs is used by the very same build alone.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Folders and files, from the repository's root.
const SOURCES: [&str; 5] = [
    "core/src",
    "memory/src",
    "frontends",
    "backends/cranelift/src",
    "Cargo.lock",
];

fn collect(path: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    if let Ok(entries) = std::fs::read_dir(path) {
        for entry in entries.flatten() {
            collect(&entry.path(), into);
        }
    } else if let Ok(bytes) = std::fs::read(path) {
        into.insert(path.to_owned(), bytes);
    }
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = BTreeMap::new();
    for source in SOURCES {
        let path = root.join(source);
        println!("cargo:rerun-if-changed={}", path.display());
        collect(&path, &mut sources);
    }
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in &sources {
        // Where the repository lies does not matter.
        let name = path.strip_prefix(&root).unwrap_or(path);
        (name, bytes).hash(&mut hasher);
    }
    println!("cargo:rustc-env=ISOFORM_SOURCES={:016x}", hasher.finish());
}
