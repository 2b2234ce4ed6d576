//! Unpacking and module order, judged by `dpkg-deb` where it is installed.

use std::process::Command;

use super::fixtures::{ar, deb, deb_of_data, module, tar, xz};
use crate::error::{Error, Malformed};
use crate::modules::{ModInfo, Tree, modules_alias, modules_dep, name_of};
use crate::unpack::{deb_files, read_whole, unxz};

fn files(deb: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut found = Vec::new();
    deb_files(deb, "x.deb", |path, size, content| {
        let bytes = read_whole(content, size, 1 << 20).map_err(|e| Error::malformed("x.deb", e))?;
        found.push((path.to_owned(), bytes));
        Ok(())
    })?;
    Ok(found)
}

fn objection(deb: &[u8]) -> String {
    let message = files(deb).unwrap_err().to_string();
    assert!(message.contains("x.deb"), "{message}");
    message
}

#[test]
fn files_come_out_as_they_went_in() {
    let long = format!("./{}/file", "folder/".repeat(30));
    let big = vec![9; 100_000];
    let packed = deb(&[("./a", b"1"), (&long, &big), ("b/./c//d", b"")]);
    let found = files(&packed).unwrap();
    let clean = format!("{}file", "folder/".repeat(30));
    assert_eq!(
        found,
        [
            ("a".into(), b"1".to_vec()),
            (clean, big),
            ("b/c/d".into(), Vec::new())
        ]
    );
}

#[test]
fn dpkg_debs_own_packages_are_read() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        println!("skipped: dpkg_debs_own_packages_are_read (no dpkg-deb on this machine)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    let control =
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m <m@m>\nDescription: d\n";
    std::fs::write(root.join("DEBIAN/control"), control).unwrap();
    let name = format!("usr/{}", "n".repeat(200));
    std::fs::create_dir(root.join("usr")).unwrap();
    std::fs::write(root.join(&name), [0, 1, 255]).unwrap();
    std::os::unix::fs::symlink("t".repeat(150), root.join("usr/a-link")).unwrap();
    for compression in ["xz", "zstd", "none"] {
        let deb = folder.path().join(compression);
        let made = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Z", compression, "--build"])
            .args([&root, &deb])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let found = files(&std::fs::read(deb).unwrap()).unwrap();
        assert_eq!(found, [(name.clone(), vec![0, 1, 255])], "{compression}");
    }
}

#[test]
fn what_is_no_package_is_refused() {
    for (bytes, part) in [
        (Vec::new(), "truncated"),
        (b"!<arch>\n".to_vec(), "truncated"),
        (b"PK\x03\x04 something else".to_vec(), "no .deb"),
        (ar(&[("other", b"")]), "debian-binary"),
        (ar(&[("debian-binary", b"2.0\n")]), "truncated"),
        (
            ar(&[("debian-binary", b"2.0\n"), ("data.tar.lz", b"")]),
            "data.tar.lz",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("data.tar.xz", b"no xz")]),
            "x.deb",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("data.tar.zst", b"no zst")]),
            "x.deb",
        ),
    ] {
        let message = objection(&bytes);
        assert!(message.contains(part), "{message}");
    }
    let damaged = String::from_utf8(ar(&[("debian-binary", b"2.0\n")])).unwrap();
    assert!(
        objection(damaged.replace("4         `", "-4        `").as_bytes()).contains("proper size")
    );
    assert!(objection(damaged.replace('`', "'").as_bytes()).contains("header is damaged"));
}

#[test]
fn every_truncation_is_noticed() {
    let whole = deb(&[("./a", &[3; 5000])]);
    let end = whole.len() - 40; // the xz index and footer count, too
    for cut in (0..end).step_by(7) {
        assert!(files(&whole[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn paths_that_lead_outside_are_refused() {
    for path in ["../x", "a/../../x", "/etc/passwd"] {
        let mut raw = tar(&[("placeholder", b"x")]);
        raw[..100].fill(0);
        raw[..path.len()].copy_from_slice(path.as_bytes());
        let sum: u32 = raw[..512]
            .iter()
            .enumerate()
            .map(|(i, &b)| {
                if (148..156).contains(&i) {
                    32
                } else {
                    b.into()
                }
            })
            .sum();
        raw[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(
            objection(&deb_of_data(&xz(&raw))).contains("outside"),
            "{path}"
        );
    }
}

#[test]
fn sizes_are_limited_before_memory_is_used() {
    let mut huge = tar::Header::new_gnu();
    huge.set_path("huge").unwrap();
    huge.set_size(1 << 60);
    huge.set_cksum();
    assert!(objection(&deb_of_data(&xz(huge.as_bytes()))).contains("larger than"));
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_path("././@LongLink").unwrap();
    long.set_size(1 << 40);
    long.set_cksum();
    let data = [long.as_bytes().as_slice(), &vec![b'a'; 1 << 20]].concat();
    assert!(objection(&deb_of_data(&xz(&data))).contains("path is longer"));
    assert!(
        unxz(&xz(&vec![0; 1 << 20]), 1000)
            .unwrap_err()
            .0
            .contains("more than 1000")
    );
}

fn tree(modules: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, info) in modules {
        tree.add(path, module(&format!("{info}\n")));
    }
    tree
}

fn order(tree: &Tree, wanted: &[&str]) -> Result<Vec<String>, Malformed> {
    Ok(tree.closure(wanted)?.into_iter().map(|m| m.name).collect())
}

#[test]
fn modinfo_is_read_record_by_record() {
    let elf = module(
        "license=GPL\ndepends=a-b,c\nsoftdep=pre: d e post: f\nsoftdep=post: g\nalias=x\nalias=y=z\nvermagic=6 SMP\nodd\n",
    );
    let info = ModInfo::from_elf(&elf).unwrap();
    assert_eq!(info.depends, ["a_b", "c"]);
    assert_eq!(info.soft_before, ["d", "e"]);
    assert_eq!(info.aliases, ["x", "y=z"]);
    assert_eq!(info.vermagic.as_deref(), Some("6 SMP"));
    assert!(ModInfo::from_elf(b"\x7fELF").is_err());
    assert!(ModInfo::from_elf(&module("").replace_section()).is_err());
}

trait ReplaceSection {
    fn replace_section(self) -> Vec<u8>;
}

impl ReplaceSection for Vec<u8> {
    /// The same file with its section called otherwise.
    fn replace_section(mut self) -> Vec<u8> {
        let at = self.windows(8).position(|w| w == b".modinfo").unwrap();
        self[at + 1] = b'M';
        self
    }
}

#[test]
fn module_names_come_from_paths() {
    assert_eq!(
        name_of("kernel/x/virtio-rng.ko.xz").as_deref(),
        Some("virtio_rng")
    );
    assert_eq!(name_of("a.ko").as_deref(), Some("a"));
    assert_eq!(name_of("a.ko.zst").as_deref(), Some("a"));
    assert_eq!(name_of("modules.builtin"), None);
    assert_eq!(name_of("a.ko.old"), None);
}

#[test]
fn modules_follow_what_they_need() {
    let tree = tree(&[
        ("k/a.ko", "depends=b,c"),
        ("k/b.ko", "depends=c"),
        ("k/c.ko", "depends="),
        ("k/d.ko", "depends="),
    ]);
    assert_eq!(order(&tree, &["a"]).unwrap(), ["c", "b", "a"]);
    assert_eq!(order(&tree, &["d", "a"]).unwrap(), ["d", "c", "b", "a"]);
    let modules = tree.closure(&["a"]).unwrap();
    assert_eq!(
        modules_dep(&modules),
        "k/c.ko:\nk/b.ko: k/c.ko\nk/a.ko: k/b.ko k/c.ko\n"
    );
}

#[test]
fn soft_needs_are_met_where_they_can_be() {
    let mut tree = tree(&[
        ("k/a.ko", "softdep=pre: b nowhere crypto-sum\ndepends="),
        ("k/b.ko", "softdep=pre: a\ndepends="),
        ("k/crypto/sum_generic.ko", "alias=crypto-sum\ndepends="),
        ("k/crypto/sum_fast.ko", "alias=crypto-sum\ndepends="),
    ]);
    tree.add_builtin(b"kernel/z.ko\n");
    assert_eq!(
        order(&tree, &["a"]).unwrap(),
        ["b", "sum_fast", "sum_generic", "a"]
    );
    assert_eq!(order(&tree, &["z"]).unwrap(), [""; 0]);
    assert!(tree.knows("z") && tree.knows("sum-fast") && !tree.knows("nowhere"));
    let modules = tree.closure(&["sum_fast"]).unwrap();
    assert_eq!(modules_alias(&modules), "alias crypto-sum sum_fast\n");
}

#[test]
fn missing_and_circular_needs_are_named() {
    let tree = tree(&[
        ("k/a.ko", "depends=b"),
        ("k/b.ko", "depends=a"),
        ("k/c.ko", "depends=gone"),
    ]);
    assert!(
        order(&tree, &["a"])
            .unwrap_err()
            .0
            .contains("need each other")
    );
    let message = order(&tree, &["c"]).unwrap_err().0;
    assert!(
        message.contains("gone") && message.contains("c needs"),
        "{message}"
    );
    assert!(
        order(&tree, &["none"])
            .unwrap_err()
            .0
            .contains("the image needs")
    );
    let mut broken = Tree::default();
    broken.add("k/x.ko.xz", b"no xz".to_vec());
    assert!(order(&broken, &["x"]).unwrap_err().0.contains("k/x.ko.xz"));
}
