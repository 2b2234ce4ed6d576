//! Signatures, made by GnuPG with throw-away keys and judged by the machine's
//! verifiers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::archive::Person;
use super::fixtures::{RELEASE_PATH, Tree};
use super::server::Server;
use crate::debian::release::split_clear_signed;
use crate::debian::signature::{Verdict, Verifier};
use crate::error::Error;

/// A folder with keys `one` and `two`; `None` where GnuPG is not installed.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new(test: &str) -> Option<Keys> {
        if find("gpg").is_none() || find("gpgv").is_none() {
            println!("skipped: {test} (gpg and gpgv are not both on this machine)");
            return None;
        }
        // Short path: gpg-agent's socket lives in it.
        let keys = Keys(
            tempfile::Builder::new()
                .prefix("k")
                .tempdir_in("/tmp")
                .unwrap(),
        );
        for name in ["one", "two"] {
            keys.gpg(&[
                "--passphrase",
                "",
                "--quick-generate-key",
                name,
                "ed25519",
                "sign",
                "never",
            ]);
        }
        Some(keys)
    }

    fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--batch", "--quiet", "--yes"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    fn sign(&self, text: &str, signers: &[&str]) -> Vec<u8> {
        let file = self.0.path().join("text");
        std::fs::write(&file, text).unwrap();
        let users: Vec<&str> = signers.iter().flat_map(|s| ["--local-user", s]).collect();
        let path = file.to_str().unwrap();
        self.gpg(&[&users[..], &["--output", "-", "--clear-sign", path]].concat())
    }

    fn keyring(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(format!("{name}.keyring"));
        std::fs::write(&path, self.gpg(&["--export", name])).unwrap();
        path
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "all"])
            .status();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A folder in which only `program` can be found.
fn only(keys: &Keys, program: &Path) -> PathBuf {
    let folder = keys
        .0
        .path()
        .join(format!("only-{}", program.file_name().unwrap().display()));
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join(program.file_name().unwrap());
    if !link.exists() {
        std::os::unix::fs::symlink(program, link).unwrap();
    }
    folder
}

fn judge(verifier: &Verifier, bytes: &[u8]) -> Result<Verdict, Error> {
    verifier.judge(
        "http://x/InRelease",
        bytes,
        &split_clear_signed(bytes).unwrap(),
    )
}

/// Runs `check` with each verifier there is.
fn each_verifier(keys: &Keys, keyring: &str, check: impl Fn(&Verifier, &str)) {
    for name in ["gpgv", "sqv"] {
        let Some(program) = find(name) else {
            println!("skipped: signatures by {name} (it is not on this machine)");
            continue;
        };
        let verifier = Verifier {
            keyrings: vec![keys.keyring(keyring)],
            path: vec![only(keys, &program)],
        };
        check(&verifier, name);
    }
}

const TEXT: &str = "Origin: Debian\n- dashes\n-----BEGIN\ntrailing \n";

#[test]
fn good_signatures_give_the_signed_text() {
    let Some(keys) = Keys::new("good_signatures_give_the_signed_text") else {
        return;
    };
    let bytes = keys.sign(TEXT, &["one"]);
    each_verifier(&keys, "one", |verifier, name| {
        let Ok(Verdict::Signed { text, by }) = judge(verifier, &bytes) else {
            panic!("{name}")
        };
        assert_eq!(by, name);
        let lines = |text: &str| {
            text.lines()
                .map(|l| l.trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(&text), lines(TEXT));
    });
}

#[test]
fn one_known_key_of_two_is_enough() {
    let Some(keys) = Keys::new("one_known_key_of_two_is_enough") else {
        return;
    };
    let bytes = keys.sign(TEXT, &["one", "two"]);
    for known in ["one", "two"] {
        each_verifier(&keys, known, |verifier, name| {
            assert!(
                matches!(judge(verifier, &bytes), Ok(Verdict::Signed { .. })),
                "{name}"
            );
        });
    }
}

#[test]
fn unknown_keys_and_changed_texts_are_refused() {
    let Some(keys) = Keys::new("unknown_keys_and_changed_texts_are_refused") else {
        return;
    };
    let bytes = keys.sign(TEXT, &["one"]);
    each_verifier(&keys, "two", |verifier, name| {
        assert!(
            matches!(judge(verifier, &bytes), Err(Error::Signature { .. })),
            "{name}"
        );
    });
    let changed = String::from_utf8(bytes)
        .unwrap()
        .replace("Debian", "Debiam")
        .into_bytes();
    each_verifier(&keys, "one", |verifier, name| {
        assert!(
            matches!(judge(verifier, &changed), Err(Error::Signature { .. })),
            "{name}"
        );
    });
}

#[test]
fn without_keyring_or_verifier_it_is_said() {
    let bytes = super::fixtures::clear_signed("Origin: Debian\n").into_bytes();
    let folder = tempfile::tempdir().unwrap();
    let keyring = folder.path().join("keys");
    let mut verifier = Verifier {
        keyrings: vec![keyring.clone()],
        path: vec![folder.path().to_owned()],
    };
    let Ok(Verdict::Unchecked { why, .. }) = judge(&verifier, &bytes) else {
        panic!()
    };
    assert!(why.contains("keyring"), "{why}");
    std::fs::write(&keyring, b"").unwrap();
    let Ok(Verdict::Unchecked { why, .. }) = judge(&verifier, &bytes) else {
        panic!()
    };
    assert!(why.contains("gpgv"), "{why}");
    // With a verifier it must not pass: the keyring knows nobody.
    if let Some(gpgv) = find("gpgv") {
        verifier.path = vec![gpgv.parent().unwrap().to_owned()];
        assert!(matches!(
            judge(&verifier, &bytes),
            Err(Error::Signature { .. })
        ));
    }
}

#[test]
fn a_whole_fetch_believes_only_the_signed_release() {
    let Some(keys) = Keys::new("a_whole_fetch_believes_only_the_signed_release") else {
        return;
    };
    let mut tree = Tree::new();
    let signed = keys.sign(&tree.release, &["one"]);
    tree.files.insert(RELEASE_PATH.to_owned(), signed.clone());
    let path = vec![find("gpgv").unwrap().parent().unwrap().to_owned()];
    let verifier = Verifier {
        keyrings: vec![keys.keyring("one")],
        path,
    };
    let person = Person {
        verifier: verifier.clone(),
        ..Person::using(&Server::new(&tree))
    };
    person.fetch().unwrap();
    let manifest = std::fs::read_to_string(person.cache().join("images/debian-riscv64")).unwrap();
    assert!(manifest.contains("Verified-By: gpgv\n"));

    let forged = String::from_utf8(signed)
        .unwrap()
        .replace("Version: 13.7", "Version: 13.8");
    tree.files
        .insert(RELEASE_PATH.to_owned(), forged.into_bytes());
    let person = Person {
        verifier,
        ..Person::using(&Server::new(&tree))
    };
    let message = person.fetch().unwrap_err().to_string();
    assert!(
        message.contains("bad signature") && message.contains(RELEASE_PATH),
        "{message}"
    );
    assert_eq!(person.objects().len(), 0);
}
