//! An archive's text files, apt's configuration, and kernel modules.

use isoform_images::apt::{conf::Conf, sources};
use isoform_images::debian::packages::Index;
use isoform_images::debian::relation;
use isoform_images::debian::release::{Release, split_clear_signed};
use isoform_images::debian::resolve::resolve;
use isoform_images::debian::version;
use isoform_images::manifest::Manifest;
use isoform_images::modules::{ModInfo, Tree, modules_dep};
use isoform_images::stanza;
use isoform_images::system::Plan;

/// Reads `data` as each of them.
pub fn run(data: &[u8]) {
    let _ = stanza::first(data);
    let _ = sources::deb822(data);
    let _ = Manifest::parse(data);
    if let Ok(index) = Index::read(data, |_| true) {
        let names: Vec<&str> = index.newest().map(|p| p.name.as_str()).collect();
        let _ = resolve(&index, &names);
    }
    let _ = Plan::parse(data);
    let _ = ModInfo::from_section(data);
    let _ = ModInfo::from_elf(data);
    if let Ok(parts) = split_clear_signed(data) {
        let _ = Release::parse(&parts.text);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Release::parse(text);
        let _ = relation::parse(text);
        let _ = sources::one_line(text);
        Conf::default().parse(text);
        let (a, b) = text.split_at(text.char_indices().nth(text.len() / 4).map_or(0, |c| c.0));
        assert_eq!(version::compare(a, b), version::compare(b, a).reverse());
    }
    let mut tree = Tree::default();
    tree.add("kernel/fuzz.ko", data.to_vec());
    tree.add_builtin(data);
    if let Ok(modules) = tree.closure(&["fuzz"]) {
        let _ = modules_dep(&modules);
    }
}
