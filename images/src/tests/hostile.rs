//! Any bytes at all: parsers answer, they do not panic or run away.

use proptest::prelude::*;

use super::fixtures::{Tree, busybox_deb, clear_signed, module};
use crate::apt::{conf::Conf, sources};
use crate::debian::{packages::Index, release::Release, release::split_clear_signed, version};
use crate::manifest::Manifest;
use crate::modules::ModInfo;
use crate::stanza;
use crate::unpack::{deb_files, read_whole, unxz, unzstd};

/// `bytes` with some of them changed and the end perhaps cut off.
fn damaged(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = bytes.len();
    let changes = prop::collection::vec((0..length, any::<u8>()), 0..4);
    (changes, 0..=length).prop_map(move |(changes, cut)| {
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        // Most of the time whole: cuts alone would hide the other damage.
        bytes.truncate(if cut % 3 == 0 { cut } else { length });
        bytes
    })
}

/// Text near what the parsers expect.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("deb".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\n".to_owned()),
        Just(" ".to_owned()),
        Just(":".to_owned()),
        Just("\"".to_owned()),
        Just("{".to_owned()),
        Just("};".to_owned()),
        Just("/*".to_owned()),
        Just("#".to_owned()),
        Just("-".to_owned()),
        Just("~1é".to_owned()),
        Just("Package: x\n".to_owned()),
        Just("SHA256:\n ab 1 c\n".to_owned()),
        "[ -~]{0,8}",
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn read_deb(bytes: &[u8]) {
    let _ = deb_files(bytes, "x", |_, size, content| {
        let _ = read_whole(content, size, 1 << 16);
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_parsers_survive_text(text in text(), other in text()) {
        let _ = stanza::first(text.as_bytes());
        let _ = sources::one_line(&text);
        let _ = sources::deb822(text.as_bytes());
        let _ = Release::parse(&text);
        let _ = split_clear_signed(clear_signed(&text).as_bytes());
        let _ = Index::read(text.as_bytes(), |_| true);
        let _ = Manifest::parse(text.as_bytes());
        Conf::default().parse(&text);
        prop_assert_eq!(version::compare(&text, &other), version::compare(&other, &text).reverse());
        prop_assert!(version::compare(&text, &text).is_eq());
    }

    #[test]
    fn parsers_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = stanza::first(&bytes);
        let _ = split_clear_signed(&bytes);
        let _ = ModInfo::from_elf(&bytes);
        let _ = ModInfo::from_section(&bytes);
        let _ = unxz(&bytes, 1 << 16);
        let _ = unzstd(&bytes, 1 << 16);
        read_deb(&bytes);
    }

    #[test]
    fn damaged_packages_are_survived(bytes in damaged(busybox_deb())) {
        read_deb(&bytes);
    }

    #[test]
    fn damaged_modules_are_survived(bytes in damaged(module("depends=a,b\nalias=c\n"))) {
        let _ = ModInfo::from_elf(&bytes);
    }

    #[test]
    fn a_clear_signed_text_comes_back(text in "([ -~]{0,20}\n){0,8}") {
        let lines: Vec<String> = text.lines().map(|l| l.trim_end().to_owned() + "\n").collect();
        let escaped: String = lines.iter().map(|l| if l.starts_with('-') { format!("- {l}") } else { l.clone() }).collect();
        let parts = split_clear_signed(clear_signed(&escaped).as_bytes()).unwrap();
        prop_assert_eq!(parts.text, lines.concat());
    }

    #[test]
    fn damaged_releases_are_survived(bytes in damaged(Tree::new().files["dists/trixie/InRelease"].clone())) {
        if let Ok(parts) = split_clear_signed(&bytes) {
            let _ = Release::parse(&parts.text);
        }
    }
}
