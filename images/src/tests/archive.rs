//! The ways that end well, and what the cache makes of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fixtures::{
    BUSYBOX, BUSYBOX_PATH, KERNEL, KERNEL_PATH, PACKAGES_PATH, RELEASE_PATH, Tree,
};
use super::server::{Fault, Server};
use crate::catalogue::{Image, Options, fetch_on, list};
use crate::debian::signature::Verifier;
use crate::digest::Sha256;
use crate::error::Error;
use crate::mirrors::Host;
use crate::net::client::Patience;
use crate::progress::{Progress, Silent};

pub(super) const NAME: &str = "debian:riscv64";

/// A person with a home of their own and nothing else.
pub(super) struct Person {
    pub(super) home: tempfile::TempDir,
    pub(super) mirror: Option<String>,
    pub(super) offline: bool,
    pub(super) refresh: bool,
    pub(super) verifier: Verifier,
}

impl Person {
    pub(super) fn new() -> Person {
        Person {
            home: tempfile::tempdir().unwrap(),
            mirror: None,
            offline: false,
            refresh: false,
            verifier: Verifier {
                keyrings: Vec::new(),
                path: Vec::new(),
            },
        }
    }

    pub(super) fn using(server: &Server) -> Person {
        Person {
            mirror: Some(server.url()),
            ..Person::new()
        }
    }

    pub(super) fn etc_apt(&self) -> PathBuf {
        self.home.path().join("apt")
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    pub(super) fn host(&self, variables: &[(&str, &str)]) -> Host {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let limit = Duration::from_millis(500);
        Host {
            etc_apt: self.etc_apt(),
            variable: Box::new(move |name| {
                variables
                    .iter()
                    .find(|(k, _)| k == name)
                    .map(|(_, v)| v.clone())
            }),
            verifier: self.verifier.clone(),
            patience: Patience {
                connect: limit,
                answer: limit,
                read: limit,
            },
        }
    }

    pub(super) fn options<'a>(&self, progress: &'a dyn Progress) -> Options<'a> {
        Options {
            mirror: self.mirror.clone(),
            cache_dir: Some(self.cache()),
            progress,
            offline: self.offline,
            refresh: self.refresh,
        }
    }

    pub(super) fn fetch(&self) -> Result<Image, Error> {
        fetch_on(NAME, &self.options(&Silent), &self.host(&[]))
    }

    /// Complete objects in the cache.
    pub(super) fn objects(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.cache().join("objects"))
            .into_iter()
            .flatten()
            .flatten();
        folders
            .flat_map(|f| std::fs::read_dir(f.path()).unwrap().flatten())
            .map(|f| f.path())
            .collect()
    }

    /// Lengths of unfinished downloads.
    pub(super) fn partials(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.cache().join("partial"))
            .into_iter()
            .flatten()
            .flatten();
        files.map(|f| f.metadata().unwrap().len()).collect()
    }
}

fn check(image: &Image) {
    assert_eq!(std::fs::read(&image.kernel).unwrap(), KERNEL);
    let initrd = std::fs::read(&image.initrd).unwrap();
    assert_eq!(initrd.len() % 4, 0);
    let holds = |part: &[u8]| initrd.windows(part.len()).any(|w| w == part);
    assert!(holds(BUSYBOX) && holds(b"#!/bin/busybox sh"));
    assert!(holds(b"kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/jbd2/jbd2.ko kernel/crypto/crc32c_generic.ko\n"));
    assert!(holds(b"kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko\n"));
    assert!(holds(b"alias virtio:d00000002v* virtio_blk\n"));
    assert!(!holds(b"huge"));
    assert_eq!(
        image.describe,
        "Debian trixie riscv64, Linux 6.99-test, busybox 1:1.37"
    );
}

#[test]
fn a_name_becomes_files_once_and_needs_no_network_again() {
    let server = Server::new(&Tree::new());
    let mut person = Person::using(&server);
    let silent = person.options(&Silent);
    assert_eq!(list(&silent).unwrap()[0].cached, None);
    let image = person.fetch().unwrap();
    check(&image);
    assert_eq!(server.requests().len(), 4);
    assert_eq!(person.fetch().unwrap(), image);
    person.offline = true;
    person.mirror = None;
    assert_eq!(person.fetch().unwrap(), image);
    assert_eq!(server.requests(), [""; 0]);
    let cached = list(&silent).unwrap().remove(0).cached.unwrap();
    assert!(cached.size > 0 && cached.release.contains("13.7"));
    // What is not part of the image any more (the list of packages) is gone.
    assert_eq!(person.objects().len(), 4);
    assert_eq!(person.partials(), [0; 0]);
}

#[test]
fn offline_without_the_image_says_so() {
    let mut person = Person::new();
    person.offline = true;
    assert!(matches!(person.fetch(), Err(Error::NotCached { .. })));
    assert!(!person.cache().exists());
}

#[test]
fn the_mirror_may_come_from_the_environment_or_from_apt() {
    let server = Server::new(&Tree::new());
    let person = Person::new();
    let host = person.host(&[("ISOFORM_DEBIAN_MIRROR", &server.url())]);
    check(&fetch_on(NAME, &person.options(&Silent), &host).unwrap());

    let other = Server::new(&Tree::new().with_release("Origin: Debian", "Origin: Ubuntu"));
    let person = Person::new();
    std::fs::create_dir_all(person.etc_apt().join("sources.list.d")).unwrap();
    std::fs::write(
        person.etc_apt().join("sources.list"),
        format!("deb {} stable main\n", other.url()),
    )
    .unwrap();
    let sources = format!("Types: deb\nURIs: {}/\nSuites: bookworm\n", server.url());
    std::fs::write(person.etc_apt().join("sources.list.d/x.sources"), sources).unwrap();
    check(&person.fetch().unwrap());
    assert_eq!(other.requests(), [format!("/debian/{RELEASE_PATH}")]);
}

#[test]
fn where_no_mirror_is_known_the_message_names_the_option() {
    let message = Person::new().fetch().unwrap_err().to_string();
    assert!(
        message.contains("--mirror") && message.contains("ISOFORM_DEBIAN_MIRROR"),
        "{message}"
    );
}

#[test]
fn an_archive_on_disk_serves_too() {
    let mut person = Person::new();
    let root = person.home.path().join("mirror");
    for (path, content) in Tree::new().files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    person.mirror = Some(format!("file://{}", root.display()));
    check(&person.fetch().unwrap());
    std::fs::remove_file(root.join(BUSYBOX_PATH)).unwrap();
    person.refresh = true;
    std::fs::remove_dir_all(person.cache()).unwrap();
    assert!(matches!(
        person.fetch(),
        Err(Error::Status { status: 404, .. })
    ));
}

#[test]
fn refreshing_asks_again_and_takes_what_is_newer() {
    let server = Server::new(&Tree::new());
    let mut person = Person::using(&server);
    let before = person.fetch().unwrap();
    server.requests();
    person.refresh = true;
    assert_eq!(person.fetch().unwrap(), before);
    assert_eq!(
        server.requests().len(),
        2,
        "the packages themselves are still cached"
    );
    let newer = super::fixtures::deb(&[("./bin/busybox", b"a newer busybox")]);
    server.replace(&Tree::of(super::fixtures::kernel_deb(), newer));
    let after = person.fetch().unwrap();
    assert_eq!(before.kernel, after.kernel);
    assert_ne!(before.initrd, after.initrd);
    assert!(!before.initrd.exists(), "what no image needs is removed");
}

#[test]
fn damage_in_the_cache_is_repaired_from_what_is_left() {
    let server = Server::new(&Tree::new());
    let mut person = Person::using(&server);
    let image = person.fetch().unwrap();
    server.requests();
    person.offline = true;
    std::fs::write(&image.kernel, b"bad").unwrap();
    std::fs::remove_file(&image.initrd).unwrap();
    check(&person.fetch().unwrap());
    for object in person.objects() {
        std::fs::write(object, b"bad").unwrap();
    }
    assert!(matches!(person.fetch(), Err(Error::NotCached { .. })));
    person.offline = false;
    check(&person.fetch().unwrap());
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_manifest_of_another_recipe_is_built_again_without_the_network() {
    let server = Server::new(&Tree::new());
    let mut person = Person::using(&server);
    let image = person.fetch().unwrap();
    server.requests();
    let manifest = person.cache().join("images/debian-riscv64");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let recipe = text
        .lines()
        .find_map(|l| l.strip_prefix("Recipe: "))
        .unwrap();
    std::fs::write(
        &manifest,
        text.replace(recipe, &Sha256::of(b"old").to_string()),
    )
    .unwrap();
    person.offline = true;
    assert_eq!(person.fetch().unwrap(), image);
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), text);
    assert_eq!(server.requests(), [""; 0]);
}

#[test]
fn two_at_once_download_once() {
    let server = Server::new(&Tree::new());
    let home = Person::using(&server);
    let run = |person: &Person| {
        let (mirror, cache) = (person.mirror.clone(), person.cache());
        std::thread::spawn(move || {
            let mut person = Person::new();
            person.mirror = mirror;
            let mut options = person.options(&Silent);
            options.cache_dir = Some(cache);
            fetch_on(NAME, &options, &person.host(&[])).unwrap()
        })
    };
    let threads: Vec<_> = (0..4).map(|_| run(&home)).collect();
    for thread in threads {
        check(&thread.join().unwrap());
    }
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn mirrors_without_by_hash_and_with_redirects_serve() {
    let tree = Tree::new();
    let server = Server::new(&tree);
    server.remove(&tree.by_hash_path());
    server.fault(
        KERNEL_PATH,
        [Fault::Redirect(format!("/debian/{BUSYBOX_PATH}x"))],
    );
    server.fault(
        &format!("{BUSYBOX_PATH}x"),
        [Fault::Redirect(format!("{}/{KERNEL_PATH}", server.url()))],
    );
    check(&Person::using(&server).fetch().unwrap());
    assert!(
        server
            .requests()
            .contains(&format!("/debian/{PACKAGES_PATH}"))
    );
}

#[test]
fn apts_proxy_is_asked_for_whole_addresses() {
    let server = Server::new(&Tree::new());
    let mut person = Person::new();
    person.mirror = Some("http://archive.invalid/debian".to_owned());
    std::fs::create_dir_all(person.etc_apt()).unwrap();
    let conf = format!(
        "Acquire::http::Proxy \"http://me:pa%3Ass@127.0.0.1:{}\";",
        server.port()
    );
    std::fs::write(person.etc_apt().join("apt.conf"), conf).unwrap();
    check(&person.fetch().unwrap());
    let requests = server.requests();
    assert_eq!(
        requests[0],
        format!("http://archive.invalid/debian/{RELEASE_PATH} Basic bWU6cGE6c3M=")
    );

    // The same by the environment, and a proxy that is not there is named.
    let person = Person {
        mirror: person.mirror.clone(),
        ..Person::new()
    };
    let proxy = format!("http://127.0.0.1:{}/", server.port());
    let host = person.host(&[("http_proxy", &proxy)]);
    check(&fetch_on(NAME, &person.options(&Silent), &host).unwrap());
    let person = Person {
        mirror: person.mirror.clone(),
        ..Person::new()
    };
    let host = person.host(&[("http_proxy", "http://127.0.0.1:1")]);
    let message = fetch_on(NAME, &person.options(&Silent), &host)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("through the proxy http://127.0.0.1:1"),
        "{message}"
    );
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let person = Person::new();
    let error = fetch_on("debian:z80", &person.options(&Silent), &person.host(&[])).unwrap_err();
    assert!(error.to_string().contains(NAME), "{error}");
    assert!(Path::new(&person.cache()).metadata().is_err());
}
