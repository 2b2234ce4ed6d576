//! What each request does, seen from both sides.

use crate::client::errno::*;
use crate::client::{Client, MSIZE, T, exists, u16_at, u32_at};
use isoform_share::{Access, Job, Workers, kind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::mpsc::channel;
use std::time::Duration;

const RDONLY: u32 = 0;
const WRONLY: u32 = 1;
const RDWR: u32 = 2;
const EXCL: u32 = 0o200;
const TRUNC: u32 = 0o1000;
const APPEND: u32 = 0o2000;
const DIRECTORY: u32 = 0o200000;

#[test]
fn versions_and_sizes_are_negotiated() {
    let c = Client::new();
    let body = c.version(8 << 20);
    assert_eq!(u32_at(&body, 0), 512 << 10);
    assert_eq!(&body[6..], b"9P2000.L");
    let body = c.version(4096);
    assert_eq!(u32_at(&body, 0), 4096);
    let other = T::new(kind::TVERSION, 1).u32(8192).s("9P2000.u");
    assert_eq!(&c.ask(other).expect("an answer")[6..], b"unknown");
    let tiny = T::new(kind::TVERSION, 1).u32(4095).s("9P2000.L");
    assert_eq!(c.ask(tiny), Err(EMSGSIZE));
    // A session's end takes all of its files.
    c.attach(0).expect("attached");
    c.version(MSIZE);
    assert_eq!(c.getattr(0).err(), Some(EBADF));
}

#[test]
fn a_file_is_made_written_and_read() {
    let c = Client::new();
    c.walk(0, 1, "").expect("cloned");
    c.lcreate(1, "file", RDWR, 0o640).expect("made");
    assert_eq!(c.write(1, 0, b"hello world"), Ok(11));
    assert_eq!(c.read(1, 6, 100), Ok(b"world".to_vec()));
    assert_eq!(c.read(1, 11, 100), Ok(vec![]));
    assert_eq!(c.read(1, 0, 0), Ok(vec![]));
    assert_eq!(c.host_read("file"), "hello world");
    let attr = c.getattr(1).expect("attributes");
    assert_eq!((attr.mode, attr.size), (0o100640, 11));
    let meta = c.host("file").metadata().expect("there");
    assert_eq!((attr.number, attr.uid), (meta.ino(), meta.uid()));
    c.ask(T::new(kind::TFSYNC, 1).u32(1).u32(0)).expect("done");
    c.clunk(1).expect("closed");
    assert_eq!(c.read(1, 0, 1), Err(EBADF));
}

#[test]
fn opening_truncates_appends_and_refuses() {
    let c = Client::new();
    c.host_write("file", "0123456789");
    c.walk(0, 1, "file").expect("there");
    assert_eq!(c.read(1, 0, 1), Err(EBADF), "it is not open");
    c.lopen(1, WRONLY | APPEND).expect("open");
    assert_eq!(c.lopen(1, RDONLY).err(), Some(EBADF), "it is open already");
    assert_eq!(
        c.lopen(1, WRONLY | TRUNC).err(),
        Some(EBADF),
        "nor is it cut"
    );
    assert_eq!(c.lcreate(1, "new", RDWR, 0o600).err(), Some(EBADF));
    c.write(1, 3, b"end").expect("written");
    assert_eq!(c.host_read("file"), "0123456789end");
    assert_eq!(c.read(1, 0, 1).err(), Some(EBADF), "only to be written");
    c.walk(0, 2, "file").expect("there");
    c.lopen(2, WRONLY | TRUNC).expect("open");
    assert_eq!(c.host_read("file"), "");
    c.walk(0, 3, "").expect("cloned");
    assert_eq!(c.lcreate(3, "file", RDWR | EXCL, 0o600).err(), Some(EEXIST));
    c.lcreate(3, "file", RDWR, 0o600).expect("opened as it is");
    c.walk(0, 4, "file").expect("there");
    assert_eq!(c.lopen(4, DIRECTORY).err(), Some(ENOTDIR));
    c.walk(0, 5, "").expect("cloned");
    assert_eq!(c.lopen(5, RDWR).err(), Some(EISDIR));
    c.lopen(5, RDONLY).expect("open");
    assert_eq!(c.lcreate(5, "new", RDWR, 0o600).err(), Some(EBADF));
    assert_eq!(c.walk(0, 6, "new"), Err(ENOENT), "and nothing is made");
}

#[test]
fn files_without_a_name_go_on() {
    let c = Client::new();
    c.walk(0, 1, "").expect("cloned");
    c.lcreate(1, "file", RDWR, 0o600).expect("made");
    c.write(1, 0, b"content").expect("written");
    c.unlinkat(0, "file", 0).expect("removed");
    assert_eq!(c.walk(0, 2, "file"), Err(ENOENT));
    assert_eq!(c.read(1, 0, 100), Ok(b"content".to_vec()));
    let attr = c.getattr(1).expect("attributes");
    assert_eq!((attr.nlink, attr.size), (0, 7));
    c.setattr(1, 8, 0, 3, 0).expect("truncated");
    assert_eq!(c.read(1, 0, 100), Ok(b"con".to_vec()));
}

#[test]
fn attributes_are_set() {
    let c = Client::new();
    c.host_write("file", "content");
    c.walk(0, 1, "file").expect("there");
    // Mode, size, mtime to a time; the owner, which few may change.
    c.setattr(1, 1 | 8 | 0x20 | 0x100, 0o4751, 3, 1_000_000_000)
        .expect("set");
    let meta = c.host("file").metadata().expect("there");
    assert_eq!(meta.permissions().mode(), 0o104751);
    assert_eq!(
        (meta.len(), meta.mtime(), meta.mtime_nsec()),
        (3, 1_000_000_000, 500)
    );
    let attr = c.getattr(1).expect("attributes");
    assert_eq!(attr.mtime, (1_000_000_000, 500));
    c.setattr(1, 0x20, 0, 0, 0).expect("set to now");
    assert!(c.host("file").metadata().expect("there").mtime() > 1_700_000_000);
    c.setattr(1, 2 | 4, 0, 0, 0).expect("whether it may or not");
    let nanoseconds = T::new(kind::TSETATTR, 1).u32(1).u32(0x120);
    let nanoseconds = nanoseconds.u32(0).u32(0).u32(0).u64(0).u64(0).u64(0);
    assert_eq!(
        c.ask(nanoseconds.u64(1).u64(1_000_000_000)).err(),
        Some(EINVAL)
    );
}

#[test]
fn modes_are_the_guests_whatever_the_umask() {
    let c = Client::new();
    c.mkdir(0, "dir", 0o777).expect("made");
    c.walk(0, 1, "").expect("cloned");
    c.lcreate(1, "file", RDWR, 0o666).expect("made");
    c.mknod(0, "fifo", 0o010622).expect("made");
    for (name, mode) in [("dir", 0o40777), ("file", 0o100666), ("fifo", 0o010622)] {
        let meta = c.host(name).symlink_metadata().expect("there");
        assert_eq!(meta.permissions().mode(), mode, "{name}");
    }
}

#[test]
fn folders_are_read_in_pieces_that_join() {
    let c = Client::new();
    let mut expected: Vec<String> = (0..500)
        .map(|n| format!("{}-{n}", "x".repeat(n % 90)))
        .collect();
    for name in &expected {
        c.host_write(name, "");
    }
    expected.extend([".".to_owned(), "..".to_owned()]);
    expected.sort();
    for count in [400, 1000, 4096, 60_000, u32::MAX] {
        let count = count.min(MSIZE);
        c.walk(0, 1, "").expect("cloned");
        c.lopen(1, DIRECTORY).expect("open");
        assert_eq!(c.names(1, count), expected, "{count} bytes at a time");
        assert_eq!(c.names(1, count), expected, "and again from its start");
        c.clunk(1).expect("closed");
    }
    c.walk(0, 1, "").expect("cloned");
    assert_eq!(c.readdir(1, 0, 1000), Err(EBADF), "not open");
    c.lopen(1, RDONLY).expect("open");
    assert_eq!(c.readdir(1, 0, 10), Err(EINVAL), "room for no entry");
    assert_eq!(c.read(1, 0, 10), Err(EISDIR));
    // A place in the middle holds, though what was there is gone.
    let first = c.readdir(1, 0, 1000).expect("entries");
    let (_, place) = first.last().expect("some");
    let after = c.readdir(1, *place, 1000).expect("entries");
    let gone = first.iter().map(|(name, _)| name).find(|n| n.contains('-'));
    c.unlinkat(0, gone.expect("a file"), 0).expect("removed");
    assert_eq!(c.readdir(1, *place, 1000), Ok(after));
}

#[test]
fn links_and_moves() {
    let c = Client::new();
    c.host_write("file", "content");
    c.mkdir(0, "dir", 0o755).expect("made");
    c.walk(0, 1, "file").expect("there");
    c.walk(0, 2, "dir").expect("there");
    c.link(2, 1, "second").expect("linked");
    assert_eq!(c.getattr(1).expect("attributes").nlink, 2);
    assert_eq!(c.link(0, 2, "dir2").err(), Some(EPERM), "folders have one");
    c.symlink(2, "soft", "../file").expect("made");
    c.walk(0, 3, "dir/soft").expect("it is there itself");
    assert_eq!(c.readlink(3), Ok(b"../file".to_vec()));
    assert_eq!(c.readlink(1), Err(EINVAL));
    c.link(0, 3, "soft2").expect("the link itself is linked");
    assert_eq!(
        std::fs::read_link(c.host("soft2"))
            .expect("a link")
            .to_str(),
        Some("../file")
    );
    c.renameat(2, "second", 0, "first").expect("moved");
    assert_eq!(c.host_read("first"), "content");
    c.rename(1, 2, "moved").expect("moved by its number");
    assert_eq!(c.host_read("dir/moved"), "content");
    assert_eq!(
        c.rename(1, 2, "again").err(),
        Some(ESTALE),
        "its trail is old"
    );
    assert_eq!(c.unlinkat(0, "dir", 0).err(), Some(EISDIR));
    assert_eq!(c.unlinkat(0, "dir", 0x200).err(), Some(ENOTEMPTY));
    assert_eq!(c.unlinkat(0, "first", 0x200).err(), Some(ENOTDIR));
    assert_eq!(c.unlinkat(0, "first", 1).err(), Some(EINVAL));
    c.walk(0, 4, "first").expect("there");
    c.remove(4).expect("removed");
    assert!(!exists(&c.host("first")));
    assert_eq!(c.clunk(4).err(), Some(EBADF), "its number is free");
}

#[test]
fn walks_go_as_far_as_they_can() {
    let c = Client::new();
    std::fs::create_dir_all(c.host("a/b")).expect("made");
    let body = c.walk_all(0, 1, &[b"a", b"b", b"c"]).expect("a part");
    assert_eq!((u16_at(&body, 0), body.len()), (2, 2 + 2 * 13));
    assert_eq!(c.clunk(1).err(), Some(EBADF), "it stands for nothing");
    assert_eq!(c.walk_all(0, 1, &[b"c"]).err(), Some(ENOENT));
    c.walk(0, 1, "a").expect("there");
    c.walk(1, 1, "b").expect("in place");
    assert_eq!(c.walk(0, 1, "a"), Err(EBADF), "the number is taken");
    c.walk(1, 2, "../..").expect("back up");
    let root = c.getattr(0).expect("attributes").number;
    assert_eq!(c.getattr(2).expect("attributes").number, root);
    let names = [&b"."[..]; 16];
    c.walk_all(0, 3, &names).expect("sixteen names");
    let attach = |aname: &str, fid| {
        let message = T::new(kind::TATTACH, 1).u32(fid).u32(!0).s("u");
        c.ask(message.s(aname).u32(0))
    };
    attach("/a/b", 9).expect("a folder below");
    assert_eq!(attach("/a/c", 10).err(), Some(ENOENT));
}

#[test]
fn names_need_not_be_text() {
    let c = Client::new();
    let message = T::new(kind::TMKDIR, 1).u32(0).s(b"\xff\xfe");
    c.ask(message.u32(0o755).u32(0)).expect("made");
    c.walk_all(0, 1, &[b"\xff\xfe"]).expect("found");
}

#[test]
fn the_file_system_and_locks_are_told() {
    let c = Client::new();
    let body = c.ask(T::new(kind::TSTATFS, 1).u32(0)).expect("told");
    assert_eq!((u32_at(&body, 0), body.len()), (0x0102_1997, 60));
    let lock = T::new(kind::TLOCK, 1).u32(0).raw(&[0]).u32(0).u64(0).u64(0);
    assert_eq!(c.ask(lock.u32(1).s("client")), Ok(vec![0]));
    let lock = T::new(kind::TGETLOCK, 1).u32(0).raw(&[1]).u64(5).u64(6);
    let body = c.ask(lock.u32(7).s("client")).expect("told");
    assert_eq!((body[0], u32_at(&body, 1)), (2, 5));
    let walk = T::new(kind::TXATTRWALK, 1).u32(0).u32(1).s("user.x");
    assert_eq!(c.ask(walk), Err(EOPNOTSUPP));
    let auth = T::new(kind::TAUTH, 1).u32(1).s("u").s("").u32(0);
    assert_eq!(c.ask(auth), Err(EOPNOTSUPP));
}

#[test]
fn special_files_are_made_or_refused() {
    let c = Client::new();
    c.mknod(0, "fifo", 0o010644).expect("made");
    c.mknod(0, "socket", 0o140644).expect("made");
    c.mknod(0, "file", 0o100644).expect("made");
    for mode in [0o020644, 0o060644, 0o120777, 0o040755] {
        assert_eq!(c.mknod(0, "device", mode).err(), Some(EPERM), "{mode:o}");
    }
    for (fid, name) in [(1, "fifo"), (2, "socket")] {
        c.walk(0, fid, name).expect("there");
        assert_eq!(c.lopen(fid, RDWR).err(), Some(ENXIO), "{name}");
        c.walk(0, fid + 10, "").expect("cloned");
        assert_eq!(
            c.lcreate(fid + 10, name, RDWR, 0o600).err(),
            Some(ENXIO),
            "{name}"
        );
    }
}

#[test]
fn nothing_changes_in_a_folder_that_is_read_only() {
    let c = Client::with(Access::ReadOnly);
    c.host_write("file", "content");
    std::fs::create_dir(c.host("dir")).expect("made");
    c.walk(0, 1, "file").expect("there");
    c.walk(0, 2, "").expect("cloned");
    for flags in [WRONLY, RDWR, RDONLY | TRUNC] {
        assert_eq!(c.lopen(1, flags).err(), Some(EROFS));
    }
    let refused = [
        c.lcreate(2, "new", RDONLY, 0o644),
        c.symlink(0, "new", "x"),
        c.mknod(0, "new", 0o010644),
        c.mkdir(0, "new", 0o755),
        c.link(0, 1, "new"),
        c.rename(1, 0, "new"),
        c.renameat(0, "file", 0, "new"),
        c.unlinkat(0, "file", 0),
        c.unlinkat(0, "dir", 0x200),
        c.setattr(1, 1, 0o777, 0, 0),
        c.setattr(1, 8, 0, 0, 0),
        c.setattr(1, 0x20, 0, 0, 0),
        c.write(1, 0, b"x").map(|_| vec![]),
    ];
    for (n, answer) in refused.into_iter().enumerate() {
        assert_eq!(answer.err(), Some(EROFS), "the {n}th");
    }
    c.lopen(1, RDONLY).expect("open");
    assert_eq!(c.read(1, 0, 100), Ok(b"content".to_vec()));
    assert_eq!(c.remove(1).err(), Some(EROFS));
    assert_eq!(
        c.clunk(1).err(),
        Some(EBADF),
        "its number is free all the same"
    );
    assert!(exists(&c.host("file")) && !exists(&c.host("new")));
}

#[test]
fn requests_run_side_by_side_and_flushes_come_after_them() {
    let c = Client::new();
    let Client { share, .. } = &c;
    assert_eq!(
        share.answer(&T::new(kind::TFLUSH, 3).u16(1).finish(), 64)[4],
        109
    );
    let (send, answers) = channel();
    let fresh = Client::new();
    let workers = Workers::start(fresh.share, move |id, answer| {
        let _ = send.send((id, answer));
    })
    .expect("threads");
    let submitter = workers.submitter();
    for id in 0..1000 {
        let request = match id % 10 {
            9 => T::new(kind::TFLUSH, 500).u16((id - 1) as u16).finish(),
            _ => T::new(kind::TGETATTR, id as u16).u32(0).u64(0x7ff).finish(),
        };
        submitter.submit(Job {
            id,
            request,
            room: 4096,
        });
    }
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        let (id, answer) = answers
            .recv_timeout(Duration::from_secs(60))
            .expect("an answer");
        match answer[4] {
            7 => assert_eq!((id % 10, u32_at(&answer, 7)), (8, EINTR)),
            109 => assert!(seen.contains(&(id - 1)), "{id} came before what it flushes"),
            kind => assert_eq!(kind, kind::TGETATTR + 1),
        }
        seen.push(id);
    }
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..1000), "each is answered once");
    drop(workers);
}
