//! Ways out of the folder, each by its name. Beside it lies a secret that nobody may
//! read, and nothing may come to lie there.

use crate::client::errno::*;
use crate::client::{Client, T, exists};
use isoform_share::kind;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A walk of one name comes to nothing.
fn no_way(c: &Client, from: u32, name: &[u8]) {
    assert!(c.walk_all(from, 77, &[name]).is_err(), "{name:?}");
    assert_eq!(c.clunk(77).err(), Some(EBADF));
}

#[test]
fn path_with_slash() {
    let c = Client::new();
    std::fs::create_dir(c.host("dir")).expect("made");
    c.host_write("dir/file", "x");
    for name in [
        "dir/file",
        "/etc/passwd",
        "../secret",
        "dir/../../secret",
        "/",
        "dir/",
        "",
        "a\0b",
    ] {
        no_way(&c, 0, name.as_bytes());
        c.walk(0, 1, "").expect("cloned");
        assert!(c.lcreate(1, name, 2, 0o600).is_err(), "{name:?}");
        c.clunk(1).expect("closed");
        assert!(c.mkdir(0, name, 0o755).is_err(), "{name:?}");
        assert!(c.symlink(0, name, "x").is_err(), "{name:?}");
        assert!(c.mknod(0, name, 0o010644).is_err(), "{name:?}");
        assert!(c.unlinkat(0, name, 0).is_err(), "{name:?}");
        assert!(c.unlinkat(0, name, 0x200).is_err(), "{name:?}");
        assert!(c.renameat(0, name, 0, "y").is_err(), "{name:?}");
        assert!(c.renameat(0, "dir", 0, name).is_err(), "{name:?}");
        c.walk(0, 1, "dir/file").expect("there");
        assert!(c.link(0, 1, name).is_err(), "{name:?}");
        assert!(c.rename(1, 0, name).is_err(), "{name:?}");
        c.clunk(1).expect("closed");
    }
    let long = [b'n'; 256];
    assert_eq!(c.walk_all(0, 1, &[&long]).err(), Some(ENAMETOOLONG));
    assert!(exists(&c.host("dir/file")) && exists(&c.outside("secret")));
}

#[test]
fn dotdot_at_root() {
    let c = Client::new();
    let root = c.getattr(0).expect("attributes").number;
    std::fs::create_dir_all(c.host("a/b")).expect("made");
    for (n, path) in [
        "..",
        "../..",
        "../../../../..",
        "a/../..",
        "a/b/../../../..",
    ]
    .into_iter()
    .enumerate()
    {
        let fid = 10 + n as u32;
        c.walk(0, fid, path).expect("it stays");
        assert_eq!(c.getattr(fid).expect("attributes").number, root, "{path}");
    }
    no_way(&c, 0, b"../secret");
    assert_eq!(c.walk(0, 1, "../secret"), Err(ENOENT));
    // As names of something to be made, moved or removed they are none.
    for name in [".", ".."] {
        assert!(c.mkdir(0, name, 0o755).is_err());
        assert!(c.unlinkat(0, name, 0x200).is_err());
        assert!(c.renameat(0, "a", 0, name).is_err());
        assert!(c.renameat(0, name, 0, "c").is_err());
    }
    let aname = T::new(kind::TATTACH, 1).u32(50).u32(!0).s("u").s("../..");
    c.ask(aname.u32(0)).expect("the root");
    assert_eq!(c.getattr(50).expect("attributes").number, root);
    assert!(c.remove(50).is_err(), "the folder itself stays");
    // The entry `..` of the folder tells nothing of what is above.
    c.walk(0, 60, "").expect("cloned");
    c.lopen(60, 0).expect("open");
    let body = c
        .ask(T::new(kind::TREADDIR, 1).u32(60).u64(0).u32(4096))
        .expect("entries");
    let above = std::fs::metadata(c.outside("")).expect("there");
    let number = std::os::unix::fs::MetadataExt::ino(&above).to_le_bytes();
    assert!(!body.windows(8).any(|w| w == number));
}

#[test]
fn symlink_to_outside() {
    let c = Client::new();
    symlink(c.outside(""), c.host("up")).expect("made");
    symlink("../secret", c.host("file")).expect("made");
    symlink("/", c.host("root")).expect("made");
    for (fid, name) in [(1, "up"), (2, "file"), (3, "root")] {
        c.walk(0, fid, name).expect("the link itself");
        assert_eq!(c.lopen(fid, 0).err(), Some(ELOOP));
        assert_eq!(
            c.getattr(fid).expect("attributes").mode & 0o170000,
            0o120000
        );
        no_way(&c, fid, b"secret");
        no_way(&c, fid, b"etc");
        assert_eq!(c.mkdir(fid, "new", 0o755).err(), Some(ENOTDIR));
        assert_eq!(c.unlinkat(fid, "secret", 0).err(), Some(ENOTDIR));
        assert!(
            c.setattr(fid, 1, 0o777, 0, 0).is_err(),
            "no chmod through it"
        );
        assert!(c.setattr(fid, 8, 0, 0, 0).is_err(), "nothing is truncated");
        // Times are the link's own.
        c.setattr(fid, 0x20 | 0x100, 0, 0, 1000).expect("set");
    }
    assert_eq!(c.walk(0, 9, "up/secret"), Err(ENOENT));
    for flags in [0, 2, 0o200 | 2, 0o1000 | 1] {
        c.walk(0, 10, "").expect("cloned");
        assert!(c.lcreate(10, "file", flags, 0o600).is_err());
        c.clunk(10).expect("closed");
    }
    symlink("../made", c.host("dangling")).expect("made");
    c.walk(0, 11, "").expect("cloned");
    assert!(c.lcreate(11, "dangling", 2, 0o600).is_err());
    assert!(!exists(&c.outside("made")));
    let secret = c.outside("secret").metadata().expect("there");
    assert_eq!(secret.len(), 6);
    assert!(std::os::unix::fs::MetadataExt::mtime(&secret) > 1000);
}

#[test]
fn symlink_swapped_during_walk() {
    let c = Client::new();
    std::fs::create_dir(c.host("real")).expect("made");
    c.host_write("real/secret", "inside");
    symlink(c.outside(""), c.host("link")).expect("made");
    std::fs::create_dir(c.host("door")).expect("made");
    c.host_write("door/secret", "inside");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (c, stop) = (&c, &stop);
        // `door` is a folder and a link out of the share by turns.
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for name in ["real", "link"] {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let here = rustix::fs::CWD;
                    let (a, b) = (c.host(name), c.host("door"));
                    rustix::fs::renameat_with(here, &a, here, &b, flags).expect("swapped");
                }
            }
        });
        let begun = Instant::now();
        let (mut hits, mut tries) = (0, 0);
        while begun.elapsed() < Duration::from_secs(2) {
            tries += 1;
            if c.walk(0, 1, "door/secret").is_err() {
                continue;
            }
            if c.lopen(1, 0).is_ok() {
                assert_eq!(c.read(1, 0, 100), Ok(b"inside".to_vec()));
                hits += 1;
            }
            c.clunk(1).expect("closed");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(hits > 0, "none of {tries} came through");
    });
}

#[test]
fn rename_of_open_dir_out_of_the_share() {
    let c = Client::new();
    std::fs::create_dir_all(c.host("a/b")).expect("made");
    c.walk(0, 1, "a/b").expect("there");
    c.walk(0, 2, "a").expect("there");
    std::fs::rename(c.host("a/b"), c.outside("b")).expect("moved");
    // What was opened stays open, as for any process; but no way leads up from it.
    c.getattr(1).expect("it is there");
    assert_eq!(c.walk_all(1, 3, &[b".."]).err(), Some(ESTALE));
    assert_eq!(c.walk_all(1, 3, &[b"..", b"secret"]).err(), Some(ESTALE));
    assert_eq!(c.rename(1, 0, "back").err(), Some(ESTALE));
    assert_eq!(c.remove(1).err(), Some(ESTALE));
    assert!(exists(&c.outside("b")));
    // Something else by its name is not it.
    c.walk(0, 4, "a").expect("there");
    std::fs::rename(c.host("a"), c.outside("a")).expect("moved");
    std::fs::create_dir(c.host("a")).expect("made");
    assert_eq!(c.remove(4).err(), Some(ESTALE));
    assert!(exists(&c.host("a")));
}

#[test]
fn magic_links() {
    let share = isoform_share::Share::open(
        std::path::Path::new("/proc/self"),
        isoform_share::Access::ReadOnly,
        1,
    )
    .expect("it is there");
    let ask = |message: T| share.answer(&message.finish(), 65536);
    ask(T::new(kind::TVERSION, 1).u32(65536).s("9P2000.L"));
    let attached = ask(T::new(kind::TATTACH, 1).u32(0).u32(!0).s("u").s("").u32(0));
    assert_eq!(attached[4], 105);
    for (fid, path) in [
        &["root"][..],
        &["cwd"],
        &["exe"],
        &["fd", "0"],
        &["ns", "mnt"],
    ]
    .into_iter()
    .enumerate()
    {
        let fid = fid as u32 + 1;
        let walk = T::new(kind::TWALK, 1)
            .u32(0)
            .u32(fid)
            .u16(path.len() as u16);
        let walked = ask(path.iter().fold(walk, |m, name| m.s(name)));
        if walked[4] == 7 {
            continue;
        }
        let open = ask(T::new(kind::TLOPEN, 1).u32(fid).u32(0));
        assert_eq!((open[4], u32::from(open[7])), (7, ELOOP), "{path:?}");
        let below = T::new(kind::TWALK, 1).u32(fid).u32(99).u16(1).s("etc");
        assert_eq!(ask(below)[4], 7, "{path:?}");
    }
}

#[test]
fn hard_link_to_outside_impossible() {
    let c = Client::new();
    symlink("../secret", c.host("soft")).expect("made");
    c.walk(0, 1, "soft").expect("the link itself");
    c.link(0, 1, "hard").expect("a second name of the link");
    let hard = c.host("hard").symlink_metadata().expect("there");
    assert!(hard.file_type().is_symlink());
    c.walk(0, 2, "hard").expect("the link itself");
    assert_eq!(c.lopen(2, 0).err(), Some(ELOOP));
}

#[test]
fn fid_reuse() {
    let c = Client::new();
    c.host_write("file", "x");
    c.walk(0, 1, "file").expect("there");
    assert_eq!(c.walk(0, 1, "file"), Err(EBADF));
    assert_eq!(c.attach(0).err(), Some(EBADF));
    assert_eq!(c.attach(1).err(), Some(EBADF));
    c.clunk(1).expect("closed");
    assert_eq!(c.clunk(1).err(), Some(EBADF));
    assert_eq!(c.lopen(1, 0).err(), Some(EBADF));
    c.walk(0, 1, "file").expect("free again");
    c.walk(0, !0, "file").expect("a number as any");
    // What is open is not opened anew by a walk to itself.
    c.lopen(1, 0).expect("open");
    assert_eq!(c.walk(1, 1, ""), Err(EBADF));
}
