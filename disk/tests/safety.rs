//! What is refused, so that no file is opened or lost that nobody meant.

use isoform_disk::{
    Cache, DiskError, Format, Image, NewImage, Request, check, convert, create, info, overlay,
    resize,
};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A qcow2 image of a MiB.
fn qcow2(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    create(&path, &NewImage::of(Format::Qcow2, 1 << 20)).expect("room");
    path
}

/// Changes bytes of a file.
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut all = fs::read(path).expect("readable");
    all[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, all).expect("room");
}

fn read_only(path: &Path) -> Request {
    Request {
        read_only: true,
        ..Request::of(path)
    }
}

fn with_backing(path: &Path) -> Request {
    Request {
        backing: true,
        ..Request::of(path)
    }
}

#[test]
fn a_guest_that_writes_a_qcow2_header_gets_no_other_file() {
    let folder = folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, [0x5e; 4096]).expect("room");
    let crafted = folder.path().join("crafted");
    overlay(&secret, Some(Format::Raw), &crafted, false).expect("room");
    let bytes = fs::read(&crafted).expect("readable");
    let disk = folder.path().join("disk");
    create(&disk, &NewImage::of(Format::Raw, 1 << 20)).expect("room");
    let mut image = Image::open(&Request::of(&disk)).expect("a raw disk");
    image.write(0, &bytes[..512]).expect("room");
    drop(image);
    // The next start without a format: it looks like qcow2, and is refused.
    assert!(Image::open(&Request::of(&disk)).is_err());
    let whole = fs::OpenOptions::new().write(true).open(&disk);
    std::os::unix::fs::FileExt::write_all_at(&whole.expect("there"), &bytes, 0).expect("room");
    for snapshot in [false, true] {
        let request = Request {
            snapshot,
            ..Request::of(&disk)
        };
        let refused = Image::open(&request).map(drop);
        assert!(
            matches!(refused, Err(DiskError::Backing { .. })),
            "{refused:?}"
        );
    }
    // And with its format it is the guest's bytes.
    let raw = Request {
        format: Some(Format::Raw),
        ..Request::of(&disk)
    };
    let mut read = [0; 512];
    let mut image = Image::open(&raw).expect("a raw disk");
    image.read(0, &mut read).expect("readable");
    assert_eq!(read, bytes[..512]);
}

#[test]
fn commands_open_no_backing_file_unasked() {
    let folder = folder();
    let base = folder.path().join("base");
    fs::write(&base, [1; 4096]).expect("room");
    let top = folder.path().join("top");
    overlay(&base, Some(Format::Raw), &top, false).expect("room");
    fs::remove_file(&base).expect("there");
    let told = info(&top, None).expect("the header alone");
    assert_eq!(told.backing, Some((base, Some("raw".to_owned()))));
    assert_eq!(check(&top).expect("the file alone").errors, 0);
    let out = folder.path().join("out");
    let new = NewImage::of(Format::Raw, 0);
    assert!(convert(&Request::of(&top), &out, &new, |_, _| {}).is_err());
    assert!(resize(&Request::of(&top), 8192, false).is_err());
    assert!(!out.exists());
}

#[test]
fn the_format_of_a_backing_file_is_stated_and_not_guessed() {
    let folder = folder();
    let base = qcow2(&folder, "base");
    let top = folder.path().join("top");
    overlay(&base, None, &top, false).expect("room");
    assert!(Image::open(&with_backing(&top)).is_ok());
    // The extension's kind, to one that is not known: the format is not stated then.
    patch(&top, 104, &[0x12; 4]);
    assert!(matches!(
        Image::open(&with_backing(&top)),
        Err(DiskError::Unsupported { .. })
    ));
    // A raw backing file that looks like qcow2 is raw.
    fs::remove_file(&top).expect("there");
    overlay(&base, Some(Format::Raw), &top, false).expect("room");
    let mut image = Image::open(&with_backing(&top)).expect("a chain");
    let mut read = [0; 512];
    image.read(0, &mut read).expect("readable");
    assert!(read.starts_with(b"QFI\xfb"));
}

#[test]
fn a_chain_that_comes_back_to_itself_ends() {
    let folder = folder();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let base = qcow2(&folder, "base");
    overlay(&base, None, &a, false).expect("room");
    overlay(&a, None, &b, false).expect("room");
    fs::remove_file(&base).expect("there");
    fs::hard_link(&b, &base).expect("linked");
    let request = Request {
        backing: true,
        ..read_only(&b)
    };
    let refused = Image::open(&request).map(drop);
    assert!(
        matches!(refused, Err(DiskError::Chain { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_is_not_known_is_refused() {
    let folder = folder();
    // Encryption (LUKS, AES), a data file, extended L2 entries, an unknown feature,
    // an unknown version, an unknown compression.
    for (at, value) in [
        (35, 2),
        (35, 1),
        (79, 4),
        (79, 16),
        (72, 1),
        (7, 4),
        (79, 8),
    ] {
        let path = qcow2(&folder, &format!("{at}-{value}"));
        patch(&path, at, &[value]);
        for request in [Request::of(&path), read_only(&path)] {
            assert!(Image::open(&request).is_err(), "{at} {value}");
        }
    }
    // Not closed properly, corrupt: they may be read.
    for bit in [1, 2] {
        let path = qcow2(&folder, &format!("dirty-{bit}"));
        patch(&path, 79, &[bit]);
        assert!(Image::open(&Request::of(&path)).is_err());
        assert!(Image::open(&read_only(&path)).is_ok());
    }
}

#[test]
fn one_writes_or_many_read_along_the_chain() {
    let folder = folder();
    let base = qcow2(&folder, "base");
    let top = folder.path().join("top");
    overlay(&base, None, &top, false).expect("room");
    let in_use = |request: &Request| {
        let opened = Image::open(request);
        matches!(opened, Err(DiskError::InUse(_)))
    };
    let image = Image::open(&with_backing(&top)).expect("a chain");
    assert!(in_use(&with_backing(&top)));
    assert!(in_use(&Request::of(&base)), "nobody writes below");
    assert!(!in_use(&read_only(&base)));
    assert!(matches!(check(&top), Err(DiskError::InUse(_))));
    let force = NewImage {
        force: true,
        ..NewImage::of(Format::Raw, 512)
    };
    assert!(matches!(create(&top, &force), Err(DiskError::InUse(_))));
    drop(image);
    let writer = Image::open(&Request::of(&base)).expect("an image");
    assert!(in_use(&with_backing(&top)));
    drop(writer);
    let snapshot = Request {
        snapshot: true,
        ..Request::of(&base)
    };
    let _a = Image::open(&snapshot).expect("a reader");
    let _b = Image::open(&read_only(&base)).expect("another");
    assert!(in_use(&Request::of(&base)));
}

#[test]
fn no_file_is_replaced_unasked() {
    let folder = folder();
    let path = qcow2(&folder, "a");
    let before = fs::read(&path).expect("readable");
    let new = NewImage::of(Format::Raw, 1024);
    assert!(matches!(create(&path, &new), Err(DiskError::Exists(_))));
    assert!(overlay(&path, None, &path, false).is_err());
    assert_eq!(fs::read(&path).expect("readable"), before);
    create(&path, &NewImage { force: true, ..new }).expect("room");
    assert_eq!(fs::read(&path).expect("readable"), [0; 1024]);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
}

#[test]
fn a_snapshot_leaves_the_file_as_it_is() {
    let folder = folder();
    for format in [Format::Raw, Format::Qcow2] {
        let path = folder.path().join(format.name());
        create(&path, &NewImage::of(format, 1 << 20)).expect("room");
        let mut image = Image::open(&Request::of(&path)).expect("a disk");
        image.write(2, &[1; 2048]).expect("room");
        drop(image);
        let before = fs::read(&path).expect("readable");
        let request = Request {
            snapshot: true,
            ..Request::of(&path)
        };
        let mut image = Image::open(&request).expect("a disk");
        image.write(3, &[2; 512]).expect("room");
        image.write_zeroes(4, 1, true).expect("room");
        image.discard(0, 8).expect("nothing");
        image.flush().expect("nothing");
        let mut read = [9; 2048];
        image.read(2, &mut read).expect("readable");
        let of: Vec<u8> = read.chunks(512).map(|sector| sector[511]).collect();
        assert_eq!(of, [1, 2, 0, 1]);
        drop(image);
        assert!(fs::read(&path).expect("readable") == before);
    }
}

#[test]
fn the_edges_hold() {
    let folder = folder();
    for format in [Format::Raw, Format::Qcow2] {
        let path = folder.path().join(format.name());
        create(&path, &NewImage::of(format, 4096)).expect("room");
        let mut image = Image::open(&Request::of(&path)).expect("a disk");
        assert!(image.read(7, &mut [0; 1024]).is_err());
        assert!(image.read(u64::MAX, &mut [0; 512]).is_err());
        assert!(image.write(0, &[0; 100]).is_err());
        assert!(image.write_zeroes(7, u64::MAX / 512 + 2, true).is_err());
        assert!(image.discard(u64::MAX, 1).is_err());
        drop(image);
        let mut locked = Image::open(&read_only(&path)).expect("a disk");
        assert!(locked.write(0, &[0; 512]).is_err());
        assert!(locked.write_zeroes(0, 1, false).is_err());
    }
    for size in [0, 100] {
        let path = folder.path().join("odd");
        fs::write(&path, vec![0; size]).expect("room");
        assert!(matches!(
            Image::open(&Request::of(&path)),
            Err(DiskError::Size { .. })
        ));
    }
    assert!(Image::open(&Request::of(folder.path())).is_err());
}

#[test]
fn a_file_that_became_shorter_is_an_error_and_no_zeros() {
    let folder = folder();
    for format in [Format::Raw, Format::Qcow2] {
        let path = folder.path().join(format.name());
        create(&path, &NewImage::of(format, 1 << 20)).expect("room");
        let mut image = Image::open(&Request::of(&path)).expect("a disk");
        image.write(0, &vec![3; 1 << 20]).expect("room");
        image.close().expect("durable");
        let mut image = Image::open(&read_only(&path)).expect("a disk");
        let file = fs::OpenOptions::new().write(true).open(&path);
        file.and_then(|f| f.set_len(512 << 10)).expect("cut");
        image.read(0, &mut [0; 4096]).expect("there");
        assert!(
            image.read(1024 + 1000, &mut [0; 4096]).is_err(),
            "{format:?}"
        );
    }
}

#[test]
fn room_is_given_back() {
    let folder = folder();
    for format in [Format::Raw, Format::Qcow2] {
        let path = folder.path().join(format.name());
        create(&path, &NewImage::of(format, 4 << 20)).expect("room");
        let mut image = Image::open(&Request::of(&path)).expect("a disk");
        image.write(0, &vec![3; 4 << 20]).expect("room");
        image.flush().expect("durable");
        let room = || info(&path, Some(format)).map(|i| i.allocated);
        let held = fs::metadata(&path).map(|m| std::os::unix::fs::MetadataExt::blocks(&m));
        assert!(held.expect("there") >= 8192);
        image.discard(0, 4096).expect("done");
        image.write_zeroes(4096, 4096, true).expect("done");
        image.close().expect("durable");
        assert!(room().expect("there") < 1 << 20, "{format:?}");
        let mut image = Image::open(&Request::of(&path)).expect("a disk");
        let mut read = [1; 4096];
        image.read(5000, &mut read).expect("readable");
        assert_eq!(read, [0; 4096]);
    }
}

#[test]
fn without_the_page_cache_it_is_the_same() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    for format in [Format::Raw, Format::Qcow2] {
        let path = folder.path().join(format.name());
        create(&path, &NewImage::of(format, 1 << 20)).expect("room");
        let request = Request {
            cache: Cache::None,
            ..Request::of(&path)
        };
        let mut image = match Image::open(&request) {
            Ok(image) => image,
            // Said clearly, where a file system has no direct access.
            Err(DiskError::Direct { .. }) => return,
            Err(e) => panic!("{e}"),
        };
        for n in 0..40u8 {
            let at = u64::from(n) * 37;
            image
                .write(at, &vec![n + 1; 512 * (1 + n as usize % 9)])
                .expect("room");
        }
        image.flush().expect("durable");
        image.close().expect("durable");
        let mut image = Image::open(&Request::of(&path)).expect("a disk");
        for n in 0..40u8 {
            let mut read = [0; 512];
            image.read(u64::from(n) * 37, &mut read).expect("readable");
            assert_eq!(read, [n + 1; 512]);
        }
    }
}
