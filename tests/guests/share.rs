//! A folder of the host, mounted by Linux over 9P.

use crate::image::{DEBIAN, debian};
use crate::program::{isoform_run, run};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Reads, writes, renames, links, removes and packs what the host made.
const SCRIPT: &str = r#"
set -e
mkdir /mnt/rw /mnt/ro
mount -t 9p -o trans=virtio,version=9p2000.L work /mnt/rw
mount -t 9p -o trans=virtio,version=9p2000.L fixed /mnt/ro
cat /mnt/rw/soft
cd /mnt/rw
tar cf /tmp/tree.tar tree
mkdir copy && tar xf /tmp/tree.tar -C copy
echo one > one; echo two >> one; mv one copy/moved; ln copy/moved hard
ln -s ../../secret out; cat out 2> /dev/null || echo kept in
chmod 600 hard; touch -d @1000000000 hard
mkfifo fifo; (echo through > fifo &); cat fifo
exec 3<> gone; rm gone; echo held >&3; wc -c < /proc/self/fd/3; exec 3>&-
dd if=/dev/zero of=sparse bs=1k seek=1023 count=1 2> /dev/null; truncate -s 12345 sparse
rm -r tree; mkdir tree; rmdir tree
find . -type f | wc -l
for f in $(ls /mnt/ro); do cat /mnt/ro/$f; done
touch /mnt/ro/new 2> /dev/null || echo read-only
cd /; umount /mnt/rw /mnt/ro
"#;

/// Files of a tree by name: mode, and content or target.
fn tree(of: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![of.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            let meta = path.symlink_metadata().expect("there");
            let content = if meta.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).expect("a link");
                target.into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).expect("readable")
            };
            let name = path.strip_prefix(of).expect("below it");
            found.insert(name.display().to_string(), (meta.mode(), content));
        }
    }
    found
}

fn make_tree(at: &Path) {
    for n in 0..40_usize {
        let folder = at.join(format!("folder {}", n % 5)).join("deep");
        fs::create_dir_all(&folder).expect("made");
        let file = folder.join(format!("file-{n}"));
        fs::write(&file, format!("{n} ").repeat(n * 997)).expect("written");
        let mode = [0o644, 0o755, 0o600][n % 3];
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
        symlink(format!("file-{n}"), folder.join(format!("link-{n}"))).expect("made");
    }
}

#[test]
fn a_shared_folder_is_one_tree_for_both() {
    if debian("a_shared_folder_is_one_tree_for_both").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let [rw, ro] = ["rw", "ro"].map(|name| folder.path().join(name));
    for path in [&rw, &ro] {
        fs::create_dir(path).expect("made");
    }
    fs::write(folder.path().join("secret"), "secret").expect("written");
    fs::write(ro.join("notice"), "as it is\n").expect("written");
    fs::write(rw.join("hello"), "from the host\n").expect("written");
    symlink("hello", rw.join("soft")).expect("made");
    make_tree(&rw.join("tree"));
    let before = tree(&rw.join("tree"));

    let mut command = isoform_run();
    command.arg(DEBIAN);
    command.arg("--share").arg(format!("{}:work", rw.display()));
    command
        .arg("--share")
        .arg(format!("{}:fixed:ro", ro.display()));
    let ran = run(command.args(["--exec", SCRIPT]));
    let out = String::from_utf8_lossy(&ran.out);
    assert_eq!(ran.status, 0, "{out}{}", ran.err);
    // 40 files of the copy, hello, moved, hard and sparse.
    let said = "from the host\nkept in\nthrough\n5\n44\nas it is\nread-only\n";
    assert_eq!(out, said, "{}", ran.err);

    assert!(tree(&rw.join("copy/tree")) == before, "the copy differs");
    let hard = rw.join("hard").metadata().expect("there");
    assert_eq!((hard.nlink(), hard.mtime()), (2, 1_000_000_000));
    assert_eq!(hard.permissions().mode() & 0o7777, 0o600);
    let moved = fs::read_to_string(rw.join("copy/moved"));
    assert_eq!(moved.expect("readable"), "one\ntwo\n");
    assert_eq!(rw.join("sparse").metadata().expect("there").len(), 12345);
    assert!(!rw.join("tree").exists() && !rw.join("gone").exists());
    assert_eq!(fs::read_dir(&ro).expect("readable").count(), 1);
}
