//! How many host instructions hot guest code is translated to, held against
//! `golden.txt`, so that a change for the worse is seen in the commit that makes it.
//!
//! `ISOFORM_BLESS=1 cargo test -p isoform --test codegen` writes the numbers anew.

use isoform::explain::{Code, Explained, Processor, Unit, explain, host_insns};
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codegen/golden.txt")
}

/// What a pattern's instructions come to: as a block, where its name begins so.
fn counted(name: &str, words: &str) -> String {
    let code = Code::of_words(words.split_whitespace()).expect("instructions");
    let unit = match name.starts_with("block_") {
        true => Unit::Block,
        false => Unit::Region,
    };
    let region = match explain(&code, unit, Processor::Common).expect("a translator") {
        Explained::Region(region) => region,
        Explained::Interpreted(why) => return format!("interpreted: {why}"),
    };
    let host = host_insns(&region);
    let hot = || host.iter().filter(|h| !h.cold);
    let own = hot().filter(|h| h.guest.is_some()).count();
    let (hot, guest) = (hot().count(), region.insns.len());
    let (seldom, bytes) = (host.len() - hot, region.code.len());
    format!("{guest} guest, {hot} hot ({own} own), {seldom} seldom, {bytes} bytes")
}

/// The file with its numbers as they are now.
fn renewed(text: &str) -> String {
    let mut pattern = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix('=') {
            Some(_) => {
                let (name, words) = pattern.split_once(' ').expect("a name and instructions");
                lines.push(format!("= {}", counted(name, words)));
            }
            None => {
                pattern = line;
                lines.push(line.to_owned());
            }
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn hot_code_takes_as_many_instructions_as_it_did() {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: hot_code_takes_as_many_instructions_as_it_did: for x86-64 hosts");
        return;
    }
    let path = golden();
    let before = std::fs::read_to_string(&path).expect("golden.txt");
    let now = renewed(&before);
    assert!(
        now.lines().filter(|l| l.starts_with('=')).count() > 12,
        "{now}"
    );
    if std::env::var_os("ISOFORM_BLESS").is_some() {
        std::fs::write(&path, now).expect("golden.txt can be written");
        return;
    }
    let mut name = "";
    let mut changes = String::new();
    for (before, now) in before.lines().zip(now.lines()) {
        if !before.starts_with('=') {
            name = before.split(' ').next().unwrap_or_default();
        }
        if before != now {
            changes += &format!("{name}:\n  was {before}\n  is  {now}\n");
        }
    }
    assert!(
        changes.is_empty(),
        "translated code has changed:\n{changes}if that is as it should be, write it down: \
         ISOFORM_BLESS=1 cargo test -p isoform --test codegen"
    );
}
