//! What mirrors, networks and disks do to downloads.

use super::archive::{NAME, Person};
use super::fixtures::{BUSYBOX_PATH, KERNEL_PATH, RELEASE_PATH, Tree, busybox_deb, kernel_deb};
use super::server::{Fault, Server};
use crate::catalogue::fetch_on;
use crate::digest::Sha256;
use crate::error::Error;
use crate::progress::Silent;

/// Fails, leaves no image and no object of the kernel, and says these words.
fn refuses(server: &Server, words: &[&str]) -> Person {
    let person = Person::using(server);
    let message = person.fetch().unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert!(!person.cache().join("images").exists());
    person
}

#[test]
fn other_archives_are_not_believed() {
    for (from, to) in [
        ("Origin: Debian", "Origin: Ubuntu"),
        ("Codename: trixie", "Codename: forky"),
        ("Architectures: all riscv64", "Architectures: all amd64"),
    ] {
        let server = Server::new(&Tree::new().with_release(from, to));
        let words = [to.rsplit(' ').next().unwrap(), RELEASE_PATH];
        let words = if to.contains("amd64") {
            ["riscv64", RELEASE_PATH]
        } else {
            words
        };
        refuses(&server, &words);
        assert_eq!(
            server.requests().len(),
            1,
            "nothing else is fetched from it"
        );
    }
    let mut tree = Tree::new();
    tree.files.insert(
        RELEASE_PATH.to_owned(),
        b"<html>a login page</html>".to_vec(),
    );
    refuses(&Server::new(&tree), &["not a clear-signed file"]);
}

#[test]
fn wrong_sums_name_the_file_and_leave_nothing() {
    let tree = Tree::new();
    for path in [
        tree.by_hash_path(),
        KERNEL_PATH.to_owned(),
        BUSYBOX_PATH.to_owned(),
    ] {
        let server = Server::new(&tree);
        server.fault(&path, [Fault::Corrupt]);
        let person = refuses(&server, &[&path, "SHA-256"]);
        assert_eq!(person.partials(), [0; 0]);
        // The next time it is right.
        person.fetch().unwrap();
    }
}

#[test]
fn files_of_another_length_are_refused() {
    let mut tree = Tree::new();
    tree.files.get_mut(KERNEL_PATH).unwrap().push(0);
    refuses(&Server::new(&tree), &[KERNEL_PATH, "longer"]);
    let mut tree = Tree::new();
    tree.files.get_mut(KERNEL_PATH).unwrap().pop();
    refuses(&Server::new(&tree), &[KERNEL_PATH, "shorter"]);
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let server = Server::new(&Tree::new());
    server.fault(KERNEL_PATH, [Fault::CutAt(100), Fault::CutAt(50)]);
    Person::using(&server).fetch().unwrap();
    let kernel: Vec<String> = server
        .requests()
        .into_iter()
        .filter(|r| r.contains(KERNEL_PATH))
        .collect();
    let path = format!("/debian/{KERNEL_PATH}");
    assert_eq!(
        kernel,
        [
            path.clone(),
            format!("{path} bytes=100-"),
            format!("{path} bytes=150-")
        ]
    );
}

#[test]
fn what_arrived_is_kept_for_the_next_run() {
    let server = Server::new(&Tree::new());
    let cuts = std::iter::once(Fault::CutAt(100)).chain(std::iter::repeat_n(Fault::CutAt(0), 3));
    server.fault(KERNEL_PATH, cuts);
    let person = refuses(&server, &["100 of", KERNEL_PATH, "run the command again"]);
    assert_eq!(person.partials(), [100]);
    server.requests();
    person.fetch().unwrap();
    assert!(
        server
            .requests()
            .contains(&format!("/debian/{KERNEL_PATH} bytes=100-"))
    );
}

#[test]
fn a_server_without_ranges_or_with_a_shorter_file_is_started_over() {
    let server = Server::new(&Tree::new());
    server.fault(KERNEL_PATH, [Fault::CutAt(100), Fault::IgnoreRange]);
    Person::using(&server).fetch().unwrap();
    server.fault(KERNEL_PATH, [Fault::CutAt(100), Fault::Status(416)]);
    Person::using(&server).fetch().unwrap();
}

#[test]
fn remains_that_do_not_fit_are_thrown_away() {
    let server = Server::new(&Tree::new());
    for remains in [vec![7; 120], vec![7; 1 << 20], kernel_deb()] {
        let person = Person::using(&server);
        let folder = person.cache().join("partial");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join(format!("{}.partial", Sha256::of(&kernel_deb()))),
            remains,
        )
        .unwrap();
        person.fetch().unwrap();
    }
}

#[test]
fn a_silent_server_is_not_waited_for_for_ever() {
    let server = Server::new(&Tree::new());
    server.fault(KERNEL_PATH, [10, 10, 0, 0, 0].map(Fault::StallAt));
    let begun = std::time::Instant::now();
    refuses(&server, &["20 of", KERNEL_PATH, "stopped sending"]);
    assert!(begun.elapsed().as_secs() < 20);
}

#[test]
fn status_codes_are_explained() {
    let server = Server::new(&Tree::new());
    server.remove(KERNEL_PATH);
    refuses(&server, &[KERNEL_PATH, "404"]);
    server.fault(RELEASE_PATH, [Fault::Status(407)]);
    refuses(&server, &["407", "password"]);
    server.fault(BUSYBOX_PATH, std::iter::repeat_n(Fault::Status(503), 2));
    let server2 = Server::new(&Tree::new());
    server2.fault(KERNEL_PATH, std::iter::repeat_n(Fault::Status(503), 2));
    Person::using(&server2)
        .fetch()
        .expect("a passing fault is sat out");
    server.fault(
        RELEASE_PATH,
        std::iter::repeat_n(Fault::Redirect("/debian/dists/trixie/InRelease".into()), 9),
    );
    refuses(&server, &["too many redirects"]);
    server.fault(
        RELEASE_PATH,
        std::iter::repeat_n(Fault::Redirect("/debian/dists/trixie/InRelease".into()), 3),
    );
}

#[test]
fn an_absent_server_and_bad_addresses_are_named() {
    let mut person = Person::new();
    for (mirror, word) in [
        ("http://127.0.0.1:1/debian", "refused"),
        ("http://no-such-host.invalid/debian", "no-such-host.invalid"),
        ("ftp://x/debian", "scheme"),
        ("deb.invalid/debian", "scheme"),
        ("http:///debian", "cannot be used"),
        ("http://[/debian", "cannot be used"),
        ("file:/nonexistent/debian", "404"),
    ] {
        person.mirror = Some(mirror.to_owned());
        let message = person.fetch().unwrap_err().to_string();
        assert!(
            message.contains(word) && message.contains(mirror),
            "{message}"
        );
    }
}

#[test]
fn packages_that_are_damaged_or_lack_parts_are_named() {
    let garbage = b"not a package at all".to_vec();
    refuses(
        &Server::new(&Tree::of(garbage.clone(), busybox_deb())),
        &["linux-image-6.99-test", "no .deb"],
    );
    refuses(
        &Server::new(&Tree::of(kernel_deb(), garbage)),
        &["busybox-static", "no .deb"],
    );
    let mut cut = kernel_deb();
    cut.truncate(cut.len() - 100);
    refuses(
        &Server::new(&Tree::of(cut, busybox_deb())),
        &["linux-image-6.99-test", "truncated"],
    );
    refuses(
        &Server::new(&Tree::of(busybox_deb(), busybox_deb())),
        &["boot/vmlinux"],
    );
    refuses(
        &Server::new(&Tree::of(kernel_deb(), kernel_deb())),
        &["bin/busybox"],
    );
}

#[test]
fn when_all_of_apts_mirrors_fail_each_is_told() {
    let other = Server::new(&Tree::new().with_release("Origin: Debian", "Origin: Ubuntu"));
    let person = Person::new();
    std::fs::create_dir_all(person.etc_apt()).unwrap();
    let list = format!(
        "deb {} stable main\ndeb http://127.0.0.1:1/debian stable main\n",
        other.url()
    );
    std::fs::write(person.etc_apt().join("sources.list"), list).unwrap();
    let message = fetch_on(NAME, &person.options(&Silent), &person.host(&[]))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("Ubuntu")
            && message.contains("127.0.0.1:1/")
            && message.contains("--mirror"),
        "{message}"
    );
}

#[test]
fn a_full_disk_gets_its_advice() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let message = Error::io("write", std::path::Path::new("/c/x"), full).to_string();
    assert!(
        message.contains("/c/x") && message.contains("free some space"),
        "{message}"
    );
}
