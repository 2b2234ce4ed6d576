//! Images that QEMU makes, read by us, and images that we write, read by QEMU.

mod common;

use common::{Model, check, have_qemu, in_folder, qcow2, qemu, qemu_img};
use isoform_disk::{Format, Image, NewImage, Request, convert, create, overlay, resize};

const SIZE: usize = 3 << 20;

/// Options of `qemu-img create` and `convert`.
const KINDS: [&str; 12] = [
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=4k,refcount_bits=2",
    "cluster_size=8k,refcount_bits=4",
    "cluster_size=512,refcount_bits=64",
    "cluster_size=64k,refcount_bits=8",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=64k,lazy_refcounts=on",
    "cluster_size=1M,refcount_bits=32",
    "cluster_size=2M",
];

#[test]
fn what_qemu_converts_is_read() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (raw, raw_name) = in_folder(&folder, "raw");
    let model = Model::filled(SIZE + 1536, 1);
    std::fs::write(&raw, &model.bytes).expect("room");
    let (path, name) = in_folder(&folder, "qcow2");
    for kind in KINDS {
        for more in [&["-o", kind][..], &["-c", "-o", kind]] {
            let words = ["convert", "-f", "raw", "-O", "qcow2"];
            qemu_img(&[&words[..], more, &[&raw_name, &name]].concat());
            let mut image = Image::open(&Request {
                read_only: true,
                ..Request::of(&path)
            })
            .expect("an image");
            assert_eq!(image.format(), Format::Qcow2);
            model.compare(&mut image);
            drop(image);
            check(&name);
        }
    }
    let zstd = ["-c", "-o", "compression_type=zstd", &raw_name, &name];
    qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2"][..], &zstd].concat());
    model.compare(&mut Image::open(&Request::of(&path)).expect("an image"));
}

#[test]
fn what_we_write_is_read_by_qemu() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, name) = in_folder(&folder, "qcow2");
    for (seed, kind) in KINDS.iter().enumerate() {
        for compressed in [false, true] {
            let mut model = Model::new(SIZE, seed as u64);
            if compressed {
                model = Model::filled(SIZE, seed as u64);
                let (raw, raw_name) = in_folder(&folder, "raw");
                std::fs::write(&raw, &model.bytes).expect("room");
                let words = ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", kind];
                qemu_img(&[&words[..], &[&raw_name, &name]].concat());
            } else {
                let words = ["create", "-f", "qcow2", "-o", kind, &name];
                qemu_img(&[&words[..], &[&SIZE.to_string()]].concat());
            }
            for _ in 0..3 {
                let mut image = Image::open(&qcow2(&path)).expect("an image");
                (0..120).for_each(|_| model.step(&mut image));
                model.compare(&mut image);
                image.close().expect("durable");
                model.compare_with_qemu(&name, &folder);
            }
        }
    }
}

#[test]
fn our_own_images_are_right() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, name) = in_folder(&folder, "ours");
    for bits in 9..=21 {
        let new = NewImage {
            cluster: 1 << bits,
            force: true,
            ..NewImage::of(Format::Qcow2, SIZE as u64)
        };
        create(&path, &new).expect("room");
        check(&name);
        let mut model = Model::new(SIZE, bits);
        let mut image = Image::open(&qcow2(&path)).expect("an image");
        (0..150).for_each(|_| model.step(&mut image));
        drop(image);
        model.compare_with_qemu(&name, &folder);
    }
}

#[test]
fn a_large_disk_of_small_clusters_has_its_tables() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, name) = in_folder(&folder, "large");
    for (bits, size) in [(9, 4u64 << 30), (16, 1 << 40), (21, 1 << 50)] {
        let new = NewImage {
            cluster: 1 << bits,
            force: true,
            ..NewImage::of(Format::Qcow2, size)
        };
        create(&path, &new).expect("room");
        let mut image = Image::open(&qcow2(&path)).expect("an image");
        for n in 0..40 {
            let at = (size / 512 - 8) / 40 * n;
            image.write(at, &[n as u8 + 1; 4096]).expect("room");
        }
        image.close().expect("durable");
        let mut image = Image::open(&qcow2(&path)).expect("an image");
        let mut read = [0; 4096];
        image
            .read((size / 512 - 8) / 40 * 7, &mut read)
            .expect("data");
        assert_eq!(read, [8; 4096]);
        drop(image);
        if bits < 21 {
            check(&name);
        }
    }
}

#[test]
fn chains_are_read_and_written() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (base, base_name) = in_folder(&folder, "base");
    let (_, middle_name) = in_folder(&folder, "middle");
    let (top, top_name) = in_folder(&folder, "top");
    for (base_len, seed) in [(SIZE, 1), (SIZE / 2 + 512, 2), (SIZE + 5120, 3)] {
        let bytes = Model::filled(base_len, seed).bytes;
        std::fs::write(&base, &bytes).expect("room");
        let mut model = Model::new(SIZE, seed);
        let both = SIZE.min(base_len);
        model.bytes[..both].copy_from_slice(&bytes[..both]);
        let size = SIZE.to_string();
        let words = ["create", "-q", "-f", "qcow2", "-b", &base_name, "-F", "raw"];
        qemu_img(&[&words[..], &[&middle_name, &size]].concat());
        let write = [
            "-c",
            "write -P 7 100k 300k",
            "-c",
            "write -z 1M 128k",
            &middle_name,
        ];
        assert!(qemu("qemu-io", &write).status.success());
        model.bytes[100 << 10..400 << 10].fill(7);
        model.bytes[1 << 20..(1 << 20) + (128 << 10)].fill(0);
        for version in ["compat=1.1", "compat=0.10"] {
            let words = [
                "create", "-q", "-f", "qcow2", "-b", "middle", "-F", "qcow2", "-o", version,
            ];
            qemu_img(&[&words[..], &[&top_name]].concat());
            let mut model = Model {
                bytes: model.bytes.clone(),
                random: model.random.clone(),
            };
            let with = Request {
                backing: true,
                ..qcow2(&top)
            };
            let mut image = Image::open(&with).expect("a chain");
            model.compare(&mut image);
            (0..200).for_each(|_| model.step(&mut image));
            model.compare(&mut image);
            drop(image);
            model.compare_with_qemu(&top_name, &folder);
            assert!(std::fs::read(&base).expect("readable") == bytes);
        }
    }
}

#[test]
fn our_overlays_are_known_to_qemu() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (base, _) = in_folder(&folder, "base");
    std::fs::create_dir(folder.path().join("sub")).expect("a folder");
    let (top, top_name) = in_folder(&folder, "sub/top");
    let mut model = Model::filled(SIZE, 5);
    std::fs::write(&base, &model.bytes).expect("room");
    overlay(&base, Some(Format::Raw), &top, false).expect("room");
    model.compare_with_qemu(&top_name, &folder);
    let with = Request {
        backing: true,
        ..qcow2(&top)
    };
    let mut image = Image::open(&with).expect("a chain");
    (0..200).for_each(|_| model.step(&mut image));
    drop(image);
    model.compare_with_qemu(&top_name, &folder);
}

#[test]
fn internal_snapshots_stay_as_they_were() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, name) = in_folder(&folder, "qcow2");
    for kind in ["cluster_size=512", "cluster_size=64k", "compat=0.10"] {
        let size = SIZE.to_string();
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", kind, &name, &size]);
        let mut model = Model::new(SIZE, 9);
        let mut image = Image::open(&qcow2(&path)).expect("an image");
        (0..100).for_each(|_| model.step(&mut image));
        drop(image);
        qemu_img(&["snapshot", "-c", "before", &name]);
        let before = model.bytes.clone();
        let mut image = Image::open(&qcow2(&path)).expect("an image");
        (0..200).for_each(|_| model.step(&mut image));
        drop(image);
        model.compare_with_qemu(&name, &folder);
        qemu_img(&["snapshot", "-a", "before", &name]);
        model.bytes = before;
        model.compare_with_qemu(&name, &folder);
    }
}

#[test]
fn sizes_change_as_qemu_expects() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, name) = in_folder(&folder, "qcow2");
    for kind in KINDS {
        let size = SIZE.to_string();
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", kind, &name, &size]);
        let mut model = Model::new(SIZE, 11);
        for size in [SIZE + 512, 50 << 20, 1 << 20, (1 << 20) - 1536, 2 << 20] {
            let mut image = Image::open(&qcow2(&path)).expect("an image");
            (0..40).for_each(|_| model.step(&mut image));
            drop(image);
            resize(&qcow2(&path), size as u64, true).expect("room");
            model.bytes.resize(size, 0);
            model.compare_with_qemu(&name, &folder);
        }
    }
    assert!(resize(&qcow2(&path), 512, false).is_err());
    let raw = folder.path().join("raw");
    create(&raw, &NewImage::of(Format::Raw, 1024)).expect("room");
    resize(&Request::of(&raw), 4096, false).expect("room");
    assert!(resize(&Request::of(&raw), 512, false).is_err());
    assert_eq!(std::fs::metadata(&raw).expect("there").len(), 4096);
}

#[test]
fn conversions_keep_contents_and_holes() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (raw, raw_name) = in_folder(&folder, "raw");
    let model = Model::filled(SIZE, 21);
    std::fs::write(&raw, &model.bytes).expect("room");
    // A hole at the end.
    std::fs::File::options()
        .write(true)
        .open(&raw)
        .and_then(|f| f.set_len(200 << 20))
        .expect("room");
    let (one, one_name) = in_folder(&folder, "one.qcow2");
    let (two, two_name) = in_folder(&folder, "two.raw");
    let mut last = (0, 0);
    let qcow2 = NewImage::of(Format::Qcow2, 0);
    convert(&Request::of(&raw), &one, &qcow2, |a, b| last = (a, b)).expect("room");
    assert_eq!(last, ((200 << 20) / 512, (200 << 20) / 512));
    check(&one_name);
    let back = NewImage::of(Format::Raw, 0);
    convert(&Request::of(&one), &two, &back, |_, _| {}).expect("room");
    for name in [&one_name, &two_name] {
        qemu_img(&["compare", &raw_name, name]);
    }
    for path in [&one, &two] {
        let room = isoform_disk::info(path, None).expect("an image").allocated;
        assert!(room < 4 << 20, "{room} bytes for {SIZE} of data");
    }
    assert!(convert(&Request::of(&raw), &one, &qcow2, |_, _| {}).is_err());
}

#[test]
fn damage_is_found_as_qemu_finds_it() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, name) = in_folder(&folder, "qcow2");
    // The second and the third byte from the end of the first refcounts: of the header
    // to a count of 2 (a leak), and of a table to none (an error).
    let block = 2 * 65536;
    for (at, value, leaks) in [
        (block + 1, 2, true),
        (block + 3, 0, false),
        (block + 7, 0, false),
    ] {
        let new = NewImage {
            force: true,
            ..NewImage::of(Format::Qcow2, SIZE as u64)
        };
        create(&path, &new).expect("room");
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[at] = value;
        std::fs::write(&path, bytes).expect("room");
        let status = qemu("qemu-img", &["check", &name]).status.code();
        let report = isoform_disk::check(&path).expect("a header");
        assert_eq!(report.errors == 0, leaks, "{report:?}");
        assert_eq!(report.leaks > 0, leaks, "{report:?}");
        assert_eq!(status, Some(if leaks { 3 } else { 2 }));
        assert_eq!(Image::open(&qcow2(&path)).is_ok(), leaks);
    }
}
