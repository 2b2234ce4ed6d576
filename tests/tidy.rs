//! Rules of the repository, as tests. Each rule is a function over text that names
//! its breaches, and has a test that shows it a breach.
//!
//! The manuals of the rules are in ARCHITECTURE.md; what rustc and clippy check
//! themselves (documented items, denied `unsafe`) is not repeated here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

// --- what there is to read

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file that we wrote, with its path from the root.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            let name = relative(&path);
            let skipped = [
                "target",
                ".git",
                "fuzz/target",
                "fuzz/corpus",
                "fuzz/artifacts",
                "fuzz/seeds",
            ];
            // A symbolic link leads to what is here anyway, or out of the repository.
            if skipped.contains(&name.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((name, text));
            }
        }
    }
    assert!(found.len() > 100, "only {} files found", found.len());
    found
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("below the root");
    path.to_str().expect("plain names").to_owned()
}

fn rust_files() -> Vec<(String, String)> {
    let mut files = files();
    files.retain(|(name, _)| name.ends_with(".rs"));
    files
}

fn none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Rust without what is no code: comments, and the content of strings and
/// characters, become spaces. Lines stay where they are.
fn code_of(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let blank = |code: &mut Vec<u8>, range: std::ops::Range<usize>| {
        code[range]
            .iter_mut()
            .filter(|b| **b != b'\n')
            .for_each(|b| *b = b' ');
    };
    let from = |at: usize, what: &str| source[at..].find(what).map_or(source.len(), |n| at + n);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            from(at, "\n")
        } else if rest.starts_with(b"/*") {
            (from(at, "*/") + 2).min(bytes.len())
        } else if let Some(hashes) = raw_string(rest, at.checked_sub(1).map(|n| bytes[n])) {
            let close = format!("\"{}", "#".repeat(hashes));
            (from(at + hashes + 2, &close) + close.len()).min(bytes.len())
        } else if rest[0] == b'"' {
            at + quoted(rest, b'"')
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || character(&source[at..])) {
            at + quoted(rest, b'\'')
        } else {
            at += 1;
            continue;
        };
        blank(&mut code, at..end);
        at = end;
    }
    String::from_utf8(code).expect("only whole characters were blanked")
}

/// The number of `#` of a raw string that starts here.
fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    let word = before.is_some_and(|b| b.is_ascii_alphanumeric() && b != b'b' || b == b'_');
    let after = rest.strip_prefix(b"r")?;
    let hashes = after.iter().take_while(|b| **b == b'#').count();
    (!word && after.get(hashes) == Some(&b'"')).then_some(hashes)
}

/// Whether `'` begins a character and not a lifetime.
fn character(rest: &str) -> bool {
    rest.chars().nth(2) == Some('\'')
}

/// Length of a literal with escapes, its quotes included.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
}

#[test]
fn code_is_told_from_text() {
    let source = "a('x', '\\'', \"b \\\" c\"); // d\nlet r = r#\"e\"f\"#; g::<'h>(); /* i\n*/ j";
    let code = code_of(source);
    assert_eq!(
        words(&code).collect::<Vec<_>>(),
        ["a", "let", "r", "g", "h", "j"]
    );
    assert_eq!(code.lines().count(), source.lines().count());
}

// --- who may import whom

/// What the crate in a folder may depend on, of the folders of this repository.
fn may_import(folder: &str) -> Option<&'static [&'static str]> {
    let room = folder.split('/').next().unwrap_or_default();
    Some(match (room, folder) {
        ("core" | "softfloat" | "images" | "disk" | "net" | "share" | "xtask", _) => &[],
        ("memory", _) => &["core"],
        ("frontends", _) => &["core", "memory", "softfloat"],
        (_, "backends/kvm") => &["core", "memory", "frontends"],
        ("backends" | "devices", _) => &["core", "memory"],
        // The product, and the fuzz targets beside it.
        ("" | "fuzz", _) => &[
            "core",
            "memory",
            "softfloat",
            "frontends",
            "backends",
            "devices",
            "images",
            "disk",
            "net",
            "share",
            "",
        ],
        _ => return None,
    })
}

/// Breaches in one manifest. `folders` says where each package of ours lives.
fn manifest_breaches(folder: &str, text: &str, folders: &BTreeMap<String, String>) -> Vec<String> {
    let manifest: toml::Table = text.parse().expect("a manifest");
    let Some(allowed) = may_import(folder) else {
        return vec![format!("{folder}: no room of the design; see may_import()")];
    };
    let mut breaches = Vec::new();
    for (name, value) in dependencies(&manifest) {
        if value.get("workspace").is_none() {
            breaches.push(format!(
                "{folder}: {name} does not come from [workspace.dependencies]"
            ));
        }
        let Some(of) = folders.get(&name) else {
            continue;
        };
        let room = of.split('/').next().unwrap_or_default();
        if !allowed.contains(&room) {
            breaches.push(format!("{folder} must not depend on {of} ({name})"));
        }
    }
    breaches
}

/// All dependencies of a manifest, those of tests excepted.
fn dependencies(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    let targets = manifest.get("target").and_then(|t| t.as_table());
    let tables = targets
        .into_iter()
        .flat_map(|t| t.values().filter_map(|v| v.as_table()));
    let kinds = ["dependencies", "build-dependencies"];
    tables
        .chain([manifest])
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(|list| {
            list.iter()
                .map(|(name, value)| (name.clone(), value.clone()))
        })
        .collect()
}

/// The names of dependencies of tests.
fn of_tests(manifest: &toml::Table) -> BTreeSet<String> {
    let list = manifest.get("dev-dependencies").and_then(|d| d.as_table());
    list.into_iter().flat_map(|d| d.keys().cloned()).collect()
}

/// The manifests of the workspace by folder; the root's is "".
fn manifests() -> Vec<(String, String)> {
    let read = |folder: &str| fs::read_to_string(root().join(folder).join("Cargo.toml"));
    let whole: toml::Table = read("").expect("Cargo.toml").parse().expect("a manifest");
    let members = whole["workspace"]["members"].as_array().expect("a list");
    let folder = |m: &toml::Value| m.as_str().expect("a folder").trim_matches('.').to_owned();
    members
        .iter()
        .map(folder)
        .map(|f| (f.clone(), read(&f).expect("a manifest")))
        .collect()
}

fn packages() -> BTreeMap<String, String> {
    let name = |text: &str| {
        let manifest: toml::Table = text.parse().expect("a manifest");
        manifest["package"]["name"]
            .as_str()
            .expect("a name")
            .to_owned()
    };
    manifests()
        .into_iter()
        .map(|(folder, text)| (name(&text), folder))
        .collect()
}

/// Crates of ours that a source names without being allowed to.
fn use_breaches(file: &str, source: &str, permitted: &BTreeSet<String>) -> Vec<String> {
    let code = code_of(source);
    let ours = words(&code).filter(|word| word.starts_with("isoform_"));
    let named: BTreeSet<String> = ours.map(|word| word.replace('_', "-")).collect();
    let foreign = named.iter().filter(|name| !permitted.contains(*name));
    foreign
        .map(|name| format!("{file} must not name {name}"))
        .collect()
}

#[test]
fn crates_import_only_what_lies_below_them() {
    let folders = packages();
    let mut breaches = Vec::new();
    for (folder, text) in manifests() {
        breaches.extend(manifest_breaches(&folder, &text, &folders));
        let manifest: toml::Table = text.parse().expect("a manifest");
        let mut permitted = of_tests(&manifest);
        permitted.extend(dependencies(&manifest).into_iter().map(|(name, _)| name));
        let sources = Path::new(&folder).join("src");
        for (file, source) in rust_files() {
            if Path::new(&file).starts_with(&sources) {
                breaches.extend(use_breaches(&file, &source, &permitted));
            }
        }
    }
    none(breaches);
}

#[test]
fn a_breach_of_layers_is_seen() {
    let folders = packages();
    let breaches = |folder: &str, text: &str| manifest_breaches(folder, text, &folders).len();
    let workspace = "isoform-memory.workspace = true";
    assert_eq!(
        breaches("devices", &format!("[dependencies]\n{workspace}")),
        0
    );
    assert_eq!(breaches("core", &format!("[dependencies]\n{workspace}")), 1);
    assert_eq!(
        breaches("core", &format!("[build-dependencies]\n{workspace}")),
        1
    );
    assert_eq!(
        breaches(
            "core",
            &format!("[target.'cfg(unix)'.dependencies]\n{workspace}")
        ),
        1
    );
    assert_eq!(
        breaches("core", &format!("[dev-dependencies]\n{workspace}")),
        0
    );
    let riscv = "[dependencies]\nisoform-riscv.workspace = true";
    for folder in [
        "memory",
        "devices",
        "backends/interp",
        "frontends/other",
        "images",
        "net",
        "xtask",
    ] {
        assert_eq!(breaches(folder, riscv), 1, "{folder}");
    }
    assert_eq!(breaches("backends/kvm", riscv), 0);
    assert_eq!(breaches("", riscv), 0);
    assert_eq!(breaches("elsewhere", ""), 1);
    assert_eq!(breaches("core", "[dependencies]\nserde = \"1\""), 1);
    let permitted = BTreeSet::from(["isoform-core".to_owned()]);
    let uses = |source: &str| use_breaches("x.rs", source, &permitted).len();
    assert_eq!(uses("use isoform_core::Ops; // and isoform_riscv"), 0);
    assert_eq!(uses("fn f(hart: &isoform_riscv::Hart) {}"), 1);
}

/// The devices of a folder tree: its folders. Those below `virtio` that a driver
/// sees are devices as well; the transport is what they share.
const VIRTIO_DEVICES: &[&str] = &["blk", "console", "rng", "net", "p9", "gpu", "fs", "vsock"];

/// Folders that hold what devices share.
const SHARED: &[&str] = &["virtio", "pci"];

/// What a device's source imports of other devices.
fn device_breaches(file: &str, source: &str, devices: &BTreeSet<String>) -> Vec<String> {
    let Some(path) = file.strip_prefix("devices/src/") else {
        return Vec::new();
    };
    let rooms: Vec<&str> = path.split('/').collect();
    let is_test = rooms
        .last()
        .is_some_and(|f| ["tests.rs", "testing.rs"].contains(f));
    let Some(own) = rooms.first().filter(|_| rooms.len() > 1 && !is_test) else {
        return Vec::new();
    };
    let inner = rooms
        .get(1)
        .filter(|inner| *own == "virtio" && VIRTIO_DEVICES.contains(inner));
    let foreign = |word: &str| match inner {
        Some(inner) if VIRTIO_DEVICES.contains(&word) => word != *inner,
        _ => word != *own && !SHARED.contains(&word) && devices.contains(word),
    };
    let code = code_of(source);
    let mut breaches = Vec::new();
    for path in ["crate::", "super::"] {
        for (at, _) in code.match_indices(path) {
            // A path ends where a statement or an expression goes on.
            let end = code[at..]
                .find([';', '(', ')', '=', '<', '.', '\n'])
                .map_or(code.len(), |n| at + n);
            let end = match code[..at].trim_end().ends_with("use") {
                true => code[at..].find(';').map_or(code.len(), |n| at + n),
                false => end,
            };
            let named = words(&code[at..end]).filter(|word| foreign(word));
            breaches.extend(named.map(|word| format!("{file}: imports the device {word}")));
        }
    }
    breaches
}

#[test]
fn devices_import_no_other_device() {
    let devices: BTreeSet<String> = fs::read_dir(root().join("devices/src"))
        .expect("devices")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .map(|path| {
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert!(devices.contains("uart") && devices.contains("plic"));
    let breaches = rust_files();
    let breaches = breaches
        .iter()
        .flat_map(|(f, text)| device_breaches(f, text, &devices));
    none(breaches.collect());
    let devices = BTreeSet::from(["uart", "plic", "virtio", "pci"].map(str::to_owned));
    let breaches = |file: &str, text: &str| {
        device_breaches(&format!("devices/src/{file}"), text, &devices).len()
    };
    assert_eq!(breaches("uart/mod.rs", "use crate::plic::Plic;"), 1);
    assert_eq!(
        breaches("uart/mod.rs", "use crate::{CharSink,\n plic::Plic};"),
        1
    );
    assert_eq!(breaches("uart/mod.rs", "let x = super::plic::new();"), 1);
    assert_eq!(
        breaches("uart/mod.rs", "use crate::virtio::Queue; use super::spec;"),
        0
    );
    assert_eq!(
        breaches("virtio/pci/mod.rs", "use crate::pci::Endpoint;"),
        0
    );
    assert_eq!(breaches("pci/root.rs", "use crate::plic::Plic;"), 1);
    assert_eq!(breaches("uart/tests.rs", "use crate::plic::Plic;"), 0);
    assert_eq!(
        breaches("virtio/blk/mod.rs", "use crate::virtio::console::Port;"),
        1
    );
    assert_eq!(breaches("virtio/blk/mod.rs", "use super::rng;"), 1);
    assert_eq!(breaches("virtio/blk/mod.rs", "use super::queue::Queue;"), 0);
}

// --- unsafe

/// Rooms where `unsafe` may stand at all.
const UNSAFE_ROOMS: &[&str] = &["memory/", "backends/cranelift/", "backends/kvm/"];

/// `unsafe` out of its rooms or without its argument.
fn unsafe_breaches(file: &str, source: &str) -> Vec<String> {
    let code = code_of(source);
    let (lines, texts): (Vec<&str>, Vec<&str>) = (code.lines().collect(), source.lines().collect());
    let mut breaches = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if !words(line).any(|word| word == "unsafe") {
            continue;
        }
        let place = format!("{file}:{}", number + 1);
        if !UNSAFE_ROOMS.iter().any(|room| file.starts_with(room)) {
            breaches.push(format!("{place}: unsafe does not live here"));
        }
        let wanted = if line.contains("unsafe fn") {
            "# Safety"
        } else {
            "SAFETY:"
        };
        if !argued(&lines[..number], &texts[..number], wanted) {
            breaches.push(format!("{place}: unsafe without `{wanted}` above"));
        }
    }
    breaches
}

/// Whether the comments right above, attributes between, contain `wanted`.
fn argued(code: &[&str], texts: &[&str], wanted: &str) -> bool {
    let above = code.iter().zip(texts).rev();
    let mut in_attribute = false;
    for (line, text) in above {
        let (line, text) = (line.trim(), text.trim());
        if text.starts_with("//") {
            if text.contains(wanted) {
                return true;
            }
            continue;
        }
        // Upwards an attribute begins with its last line.
        in_attribute |= line.ends_with(']');
        // `let x =` above `unsafe { … }` belongs to the same statement.
        if !in_attribute && !line.ends_with('=') {
            return false;
        }
        in_attribute &= !line.starts_with("#[");
    }
    false
}

#[test]
fn unsafe_is_argued_and_in_its_room() {
    none(
        rust_files()
            .iter()
            .flat_map(|(file, text)| unsafe_breaches(file, text))
            .collect(),
    );
    let breaches = |text: &str| unsafe_breaches("memory/src/x.rs", text).len();
    assert_eq!(breaches("// SAFETY: it is.\nunsafe { f() }"), 0);
    assert_eq!(
        breaches("// SAFETY: it is.\n#[expect(\n  unsafe_code,\n)]\nlet x =\n unsafe { f() };"),
        0
    );
    assert_eq!(breaches("/// # Safety\n/// It is.\nunsafe fn f();"), 0);
    assert_eq!(breaches("let a = \"unsafe\"; // unsafe"), 0);
    assert_eq!(breaches("unsafe { f() }"), 1);
    assert_eq!(breaches("// SAFETY: it is.\nlet y = 1;\nunsafe { f() }"), 1);
    assert_eq!(breaches("// It is.\nunsafe impl Send for X {}"), 1);
    assert_eq!(breaches("/// Does f.\nunsafe fn f();"), 1);
    assert_eq!(
        unsafe_breaches("core/src/x.rs", "// SAFETY: it is.\nunsafe { f() }").len(),
        1
    );
}

// --- words that must not stand here

/// Marks of unfinished work. This file spells them in two halves.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
];

/// Paths that exist on somebody's machine, and servers that packages come from.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tmp/", "target"),
    concat!("/tmp/", "peers"),
    concat!("/tmp/", "guest"),
    concat!("debian", ".org"),
    concat!("crates", ".io"),
    concat!("arti", "factory"),
    concat!("pypi", ".org"),
    concat!("github", "usercontent"),
];

fn word_breaches(file: &str, text: &str, forbidden: &[&str]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let found = forbidden.iter().filter(|word| line.contains(**word));
        breaches.extend(found.map(|word| format!("{file}:{}: {word}", number + 1)));
    }
    breaches
}

/// Hosts with a dot in URLs, which could be real. Names kept for documents and tests
/// (RFC 2606) and addresses of this machine are none.
fn host_breaches(file: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("://") {
            let authority = line[at + 3..]
                .split(['/', '"', '\'', ' ', '`', ')', '\\'])
                .next();
            let host = authority
                .unwrap_or_default()
                .rsplit('@')
                .next()
                .unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            let reserved = [".invalid", ".example", ".test"]
                .iter()
                .any(|end| host.ends_with(end));
            let plain = host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
            let local = host.starts_with("127.");
            if plain && host.contains('.') && !reserved && !local {
                breaches.push(format!("{file}:{}: the host {host}", number + 1));
            }
        }
    }
    breaches
}

#[test]
fn nothing_is_left_unfinished() {
    let all = files();
    none(
        all.iter()
            .flat_map(|(file, text)| word_breaches(file, text, UNFINISHED))
            .collect(),
    );
    for word in UNFINISHED {
        assert_eq!(
            word_breaches("x", &format!("a\n// {word} b"), UNFINISHED).len(),
            1
        );
    }
}

#[test]
fn no_machine_and_no_server_is_named() {
    let all = files();
    // Cargo writes its registry into the lock file; licences name their source.
    let ours = |file: &str| file != "Cargo.lock" && !file.starts_with("LICENSE");
    let all = all.iter().filter(|(file, _)| ours(file));
    let mut breaches = Vec::new();
    for (file, text) in all {
        breaches.extend(word_breaches(file, text, PLACES));
        breaches.extend(host_breaches(file, text));
    }
    none(breaches);
    for word in PLACES {
        assert_eq!(word_breaches("x", &format!("cd {word}"), PLACES).len(), 1);
    }
    assert_eq!(
        host_breaches("x", concat!("\"http:/", "/mirror.somewhere.net/debian\"")).len(),
        1
    );
    assert_eq!(
        host_breaches("x", concat!("http:/", "/me:pw@cache.lan:3142")).len(),
        1
    );
    assert_eq!(
        host_breaches("x", "http://m/debian http://127.0.0.1:1/ http://a.invalid/").len(),
        0
    );
}

// --- lints and ignored tests

fn attribute_breaches(file: &str, source: &str) -> Vec<String> {
    let code = code_of(source);
    let mut breaches = Vec::new();
    for (number, (line, text)) in code.lines().zip(source.lines()).enumerate() {
        let place = format!("{file}:{}", number + 1);
        if line.contains("#[allow(") || line.contains("#![allow(") {
            breaches.push(format!("{place}: use #[expect(lint, reason = \"…\")]"));
        }
        let reason = text
            .split_once("#[ignore")
            .map(|(_, rest)| rest.trim_start_matches([' ', '=']));
        if line.contains("#[ignore") && !reason.is_some_and(|r| r.len() > 10 && r.starts_with('"'))
        {
            breaches.push(format!(
                "{place}: an ignored test says why: #[ignore = \"…\"]"
            ));
        }
    }
    breaches
}

#[test]
fn exceptions_have_reasons() {
    none(
        rust_files()
            .iter()
            .flat_map(|(file, text)| attribute_breaches(file, text))
            .collect(),
    );
    let breaches = |text: &str| attribute_breaches("x.rs", text).len();
    assert_eq!(breaches("#[allow(dead_code)]"), 1);
    assert_eq!(breaches("#![allow(dead_code)]"), 1);
    assert_eq!(breaches("#[ignore]"), 1);
    assert_eq!(breaches("#[ignore = \"\"]"), 1);
    assert_eq!(breaches("#[ignore = \"a measurement\"]"), 0);
    assert_eq!(breaches("// no #[allow(x)] and no #[ignore]"), 0);
}

// --- documents

/// Lines of code blocks that call the program, as words.
fn commands(document: &str) -> Vec<Vec<String>> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.trim().trim_start_matches("$ ");
            let line = match line.strip_prefix("cargo run --release -- ") {
                Some(rest) => format!("isoform {rest}"),
                None => line.to_owned(),
            };
            if line.starts_with("isoform ") {
                found.push(shell_words(&line));
            }
        }
    }
    found
}

/// Words as a shell takes them, up to a comment, a pipe or a redirection.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, ' ') => words.extend(word.take()),
            (None, '#' | '|' | '>' | '<' | ';' | '&') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if q == c => quote = None,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Why the command line is not understood, if so.
fn refused(words: &[String]) -> Option<String> {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    let error = isoform::cli::command().try_get_matches_from(words).err()?;
    let shown = matches!(error.kind(), DisplayHelp | DisplayVersion);
    (!shown).then(|| format!("{}: {error}", words.join(" ")))
}

#[test]
fn commands_in_documents_exist() {
    let documents: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "test-roms/README.md"]
        .map(|name| root().join(name))
        .into();
    let mut count = 0;
    for document in documents {
        let text = fs::read_to_string(&document)
            .unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        let commands = commands(&text);
        count += commands.len();
        none(commands.iter().filter_map(|words| refused(words)).collect());
    }
    assert!(count > 0, "no document shows how to run the program");
    let found = commands("```\n$ isoform run a --exec 'b c' # d\nls\n```\nisoform no\n");
    assert_eq!(found, [["isoform", "run", "a", "--exec", "b c"]]);
    assert!(refused(&found[0]).is_none());
    assert!(refused(&shell_words("isoform run --no-such-option")).is_some());
    assert!(refused(&shell_words("isoform no-such-command")).is_some());
    assert!(refused(&shell_words("isoform run --help")).is_none());
}

/// The map names a test for each way out that guests have found in other machines.
#[test]
fn tests_that_the_map_names_exist() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let table = map.split("**Hostile guests.**").nth(1).expect("its table");
    let rows = table.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let names: Vec<_> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    let sources = rust_files();
    let is_test = |name: &str| {
        let test = format!("#[test]\nfn {name}()");
        sources.iter().any(|(_, source)| source.contains(&test))
    };
    none(
        names
            .into_iter()
            .filter(|name| !is_test(name))
            .map(|name| format!("ARCHITECTURE.md names {name}, which is no test"))
            .collect(),
    );
}
