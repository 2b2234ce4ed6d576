//! Firmware by its name: files that a package has as they are.

use std::path::Path;

use super::archive::Person;
use super::fixtures::{FIRMWARE, FIRMWARE_PATH, Tree};
use super::server::{Fault, Server};
use crate::catalogue::{Firmware, firmware_on, list};
use crate::error::Error;
use crate::progress::Silent;

const NAME: &str = "edk2:riscv64";

fn firmware(person: &Person) -> Result<Firmware, Error> {
    firmware_on(NAME, &person.options(&Silent), &person.host(&[]))
}

fn check(firmware: &Firmware) {
    let Firmware::Flash { code, variables } = firmware else {
        panic!("{firmware:?}");
    };
    let read = |path: &Path| std::fs::read(path).unwrap();
    assert_eq!([read(code), read(variables)], FIRMWARE);
}

#[test]
fn firmware_is_unpacked_once_and_needs_no_network_again() {
    let server = Server::new(&Tree::new());
    let mut person = Person::using(&server);
    let line = |person: &Person| {
        let entries = list(&person.options(&Silent)).unwrap();
        entries.into_iter().find(|entry| entry.name == NAME)
    };
    assert_eq!(line(&person).unwrap().cached, None);
    let first = firmware(&person).unwrap();
    check(&first);
    assert_eq!(server.requests().len(), 3);
    person.offline = true;
    person.mirror = None;
    assert_eq!(firmware(&person).unwrap(), first);
    assert_eq!(server.requests(), [""; 0]);
    let cached = line(&person).unwrap().cached.unwrap();
    assert_eq!(cached.describe, "qemu-efi-riscv64 2025.02");
    // The package and its two files.
    assert_eq!(person.objects().len(), 3);
    // Neither of an image and firmware prunes the other away.
    (person.offline, person.mirror) = (false, Some(server.url()));
    person.fetch().unwrap();
    assert_eq!(person.objects().len(), 3 + 4);
    check(&firmware(&person).unwrap());
}

#[test]
fn damaged_firmware_is_unpacked_anew() {
    let server = Server::new(&Tree::new());
    let person = Person::using(&server);
    let Firmware::Flash { code, .. } = firmware(&person).unwrap() else {
        panic!("it is for flash");
    };
    std::fs::write(code, b"damaged").unwrap();
    check(&firmware(&person).unwrap());
}

#[test]
fn firmware_of_a_mirror_that_lies_is_refused() {
    let server = Server::new(&Tree::new());
    let person = Person::using(&server);
    server.fault(FIRMWARE_PATH, [Fault::Corrupt]);
    assert!(matches!(firmware(&person), Err(Error::Mismatch { .. })));
    assert!(person.cache().join("parcels").read_dir().is_err());
}

#[test]
fn a_name_of_another_kind_is_refused_in_words() {
    let person = Person::new();
    let (options, host) = (person.options(&Silent), person.host(&[]));
    let why = firmware_on("debian:riscv64", &options, &host).unwrap_err();
    let said = "debian:riscv64 is a system; the catalogue has for this: edk2:riscv64, u-boot";
    assert!(why.to_string().starts_with(said), "{why}");
    let why = crate::catalogue::fetch_on(NAME, &options, &host).unwrap_err();
    assert!(
        why.to_string().starts_with("edk2:riscv64 is firmware"),
        "{why}"
    );
    let why = crate::system::gather("debian-installer:riscv64", &[], &options).unwrap_err();
    assert!(why.to_string().contains("is an installer"), "{why}");
}
