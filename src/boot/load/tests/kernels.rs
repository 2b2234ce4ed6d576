//! Linux Images, raw and packed, and what resembles them.

use super::*;

const TEXT: u64 = 0x20_0000;

#[test]
fn an_image_goes_where_its_header_says() {
    let bytes = image(TEXT, 0x4_0000, 0x2_0123);
    let program = of(&bytes).expect("a good file");
    assert_eq!(program.describe(), "a Linux Image");
    assert_eq!(program.start_mode(BASE), StartMode::Supervisor);
    let mut ram = Ram::new(16 << 20);
    let entry = program.load(&mut ram).expect("it fits");
    assert_eq!(
        entry,
        Entry::at(BASE + TEXT, BASE + TEXT..BASE + TEXT + 0x4_0000)
    );
    assert_eq!(ram.bytes(BASE + TEXT, bytes.len()), bytes);
}

#[test]
fn the_image_magic_comes_before_mz() {
    let mut bytes = image(TEXT, 0, 4096);
    put(&mut bytes, 0, b"MZ");
    assert_eq!(
        of(&bytes).map(|p| p.describe()).ok().as_deref(),
        Some("a Linux Image with an EFI stub")
    );
    // The same for a stub whose PE header says another machine.
    put(&mut bytes, 0x3c, &0x80_u32.to_le_bytes());
    put(&mut bytes, 0x80, b"PE\0\0\x64\x50");
    assert!(of(&bytes).is_ok());
    put(&mut bytes, 0x84, b"\x32\x50");
    assert!(matches!(of(&bytes), Err(LoadError::WrongArch { .. })));
}

#[test]
fn packed_images_unpack_to_the_same_memory() {
    let bytes = image(TEXT, 0, 200_000);
    let packed = [
        ("gzip", gzip(&bytes)),
        ("zstd", zstd(&bytes)),
        ("xz", xz(&bytes)),
        ("(gzip)", zboot(b"gzip\0", &gzip(&bytes))),
        ("(zstd)", zboot(b"zstd22\0", &zstd(&bytes))),
        ("(xz)", zboot(b"xzkern\0", &xz(&bytes))),
    ];
    for (name, file) in packed {
        let program = of(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(program.describe().ends_with(name), "{}", program.describe());
        let mut ram = Ram::new(16 << 20);
        let entry = program
            .load(&mut ram)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            entry.extent,
            BASE + TEXT..BASE + TEXT + bytes.len() as u64,
            "{name}"
        );
        assert!(ram.bytes(BASE + TEXT, bytes.len()) == bytes, "{name}");
    }
}

/// The host's own tools, where it has them, make the same formats.
#[test]
fn what_the_hosts_tools_pack_unpacks() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let bytes = image(TEXT, 0, 300_000);
    for tool in [
        &["gzip", "-9"][..],
        &["zstd", "-q", "--ultra", "-22"],
        &["xz", "--check=crc32"],
    ] {
        let child = Command::new(tool[0])
            .args(&tool[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: {}: not installed", tool[0]);
            continue;
        };
        let mut stdin = child.stdin.take().expect("it was piped");
        let copy = bytes.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&copy));
        let packed = child.wait_with_output().expect("it runs").stdout;
        writer
            .join()
            .expect("no panic")
            .expect("it reads everything");
        let entry = exercise(&packed).unwrap_or_else(|e| panic!("{}: {e}", tool[0]));
        assert_eq!(entry.extent.end, BASE + TEXT + bytes.len() as u64);
    }
}

#[test]
fn a_kernel_larger_than_memory_is_refused_packed_or_not() {
    let zeros = 80 << 20;
    let mut large = image(TEXT, 0, 4096);
    large.resize(zeros, 0);
    for file in [
        large.clone(),
        gzip(&large),
        image(TEXT, 1 << 62, 4096),
        image(u64::MAX, 0, 4096),
        image(1 << 40, 0, 64),
    ] {
        let result = exercise(&file);
        assert!(
            matches!(result, Err(LoadError::OutsideRam { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn packed_files_of_other_contents_are_named() {
    let inside = |bytes: &[u8]| {
        of(&gzip(bytes))
            .map(|p| p.describe())
            .map_err(|e| e.to_string())
    };
    let said = |bytes: &[u8], word: &str| {
        let error = inside(bytes).expect_err("no Image");
        assert!(error.contains(word), "{error}");
    };
    said(&elf(vec![load_at(BASE, b"code")]).bytes(), "ELF");
    said(b"070701 and so on", "initrd");
    said(b"text", "no Linux Image");
    let mut arm = vec![0; 128];
    put(&mut arm, 0x38, b"ARM\x64");
    said(&arm, "arm64");
}

#[test]
fn other_machines_and_forms_are_named() {
    let mut arm = vec![0; 128];
    put(&mut arm, 0x38, b"ARM\x64");
    let mut x86 = vec![0; 1024];
    put(&mut x86, 0x1fe, b"\x55\xaa");
    put(&mut x86, 0x202, b"HdrS");
    let mut efi = vec![0; 512];
    put(&mut efi, 0, b"MZ");
    put(&mut efi, 0x3c, &0x40_u32.to_le_bytes());
    put(&mut efi, 0x40, b"PE\0\0\x64\x86");
    let mut grub = efi.clone();
    put(&mut grub, 0x44, b"\x64\x50");
    let mut big = image(TEXT, 0, 4096);
    put(&mut big, 24, &[1]);
    let cases: [(Vec<u8>, &str); 10] = [
        (arm, "arm64"),
        (x86, "x86"),
        (efi, "x86-64"),
        (grub, "EFI program"),
        (big, "big-endian"),
        (zboot(b"lz4\0", b"x"), "lz4"),
        (b"QFI\xfb\0\0\0\x03".to_vec(), "qcow2"),
        (b"!<arch>\ndebian-binary".to_vec(), "archive"),
        (b"\xd0\x0d\xfe\xed".to_vec(), "--dtb"),
        (Vec::new(), "empty"),
    ];
    for (bytes, word) in cases {
        let error = of(&bytes)
            .map(|p| p.describe())
            .expect_err(word)
            .to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn disks_are_recognised_and_not_loaded() {
    let with = |parts: &[(usize, &[u8])]| {
        let mut bytes = vec![0; 0x1_1000];
        for (at, value) in parts {
            put(&mut bytes, *at, value);
        }
        bytes
    };
    let mbr = (450, &[0x83_u8][..]);
    let signature = (510, &[0x55_u8, 0xaa][..]);
    let cases = [
        (with(&[signature, mbr, (512, b"EFI PART")]), Disk::Gpt),
        (with(&[(4096, b"EFI PART")]), Disk::Gpt),
        (with(&[signature, mbr]), Disk::Mbr),
        (with(&[(0x438, &[0x53, 0xef])]), Disk::Ext),
        (with(&[(0x1_0040, b"_BHRfS_M")]), Disk::Btrfs),
        (with(&[(0, b"XFSB")]), Disk::Xfs),
        (with(&[(0, b"hsqs")]), Disk::Squashfs),
        (with(&[(0x8001, b"CD001")]), Disk::Iso9660),
    ];
    for (bytes, disk) in cases {
        assert_eq!(
            of(&bytes).map(|p| p.kind().clone()).ok(),
            Some(Kind::Disk(disk))
        );
        assert!(matches!(
            exercise(&bytes),
            Err(LoadError::Unsupported { .. })
        ));
    }
    assert!(
        of(&with(&[signature])).is_err(),
        "a signature without partitions is no MBR"
    );
}

/// The Image header does not know the file's length; an EFI stub's sections do.
#[test]
fn a_cut_kernel_with_an_efi_stub_is_noticed() {
    let mut bytes = image(TEXT, 0, 8192);
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x3c, &0x40_u32.to_le_bytes());
    put(&mut bytes, 0x40, b"PE\0\0\x64\x50\x02\0");
    put(&mut bytes, 0x54, &0x70_u16.to_le_bytes());
    for (n, (size, at)) in [(4096_u32, 4096_u32), (1024, 1024)].into_iter().enumerate() {
        let section = 0x40 + 24 + 0x70 + 40 * n;
        put(&mut bytes, section + 16, &size.to_le_bytes());
        put(&mut bytes, section + 20, &at.to_le_bytes());
    }
    assert!(exercise(&bytes).is_ok() && exercise(&gzip(&bytes)).is_ok());
    let cut = &bytes[..8191];
    for file in [cut.to_vec(), gzip(cut)] {
        let result = exercise(&file);
        assert!(
            matches!(result, Err(LoadError::Truncated { .. })),
            "{result:?}"
        );
    }
}
