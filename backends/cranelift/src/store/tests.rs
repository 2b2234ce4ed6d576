use super::*;
use crate::abi::Name;
use crate::host::Distance;
use crate::object::Relocation;
use std::os::unix::fs::PermissionsExt;

fn object(n: u8) -> Object {
    Object {
        code: vec![n; 100],
        relocations: vec![Relocation {
            offset: n.into(),
            distance: Distance::Bytes4,
            addend: -4,
            to: Name::Unit(n.into()),
        }],
    }
}

/// A folder with kept code for the digests of 1 and 2, and the file in it.
fn kept() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), b"this");
    for n in 1..=2 {
        assert_eq!(store.find(&[n; 32]), None);
        store.keep([n; 32], &object(n));
        assert_eq!(store.find(&[n; 32]), Some(object(n)), "in the same run");
    }
    store.save();
    let file = store.path.clone();
    (folder, file)
}

#[test]
fn what_is_kept_is_found_by_the_next_run() {
    let (folder, file) = kept();
    let mut store = Store::open(folder.path(), b"this");
    assert_eq!(store.len(), 2);
    assert_eq!(store.find(&[2; 32]), Some(object(2)));
    assert_eq!(store.find(&[3; 32]), None);
    let mode = std::fs::metadata(&file)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        Store::open(folder.path(), b"that").len(),
        0,
        "another build"
    );
    let names = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names, 1, "nothing else is left behind");
}

#[test]
fn runs_add_to_each_other() {
    let (folder, _) = kept();
    let mut first = Store::open(folder.path(), b"this");
    let mut second = Store::open(folder.path(), b"this");
    first.keep([3; 32], &object(3));
    second.keep([4; 32], &object(4));
    first.save();
    second.save();
    let mut store = Store::open(folder.path(), b"this");
    for n in 1..=4 {
        assert_eq!(store.find(&[n; 32]), Some(object(n)), "{n}");
    }
}

#[test]
fn what_is_damaged_anywhere_is_not_used() {
    let (folder, file) = kept();
    let good = std::fs::read(&file).expect("there");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&file, &bad).expect("writable");
        assert_eq!(Store::open(folder.path(), b"this").len(), 0, "byte {at}");
    }
    for length in 0..good.len() {
        std::fs::write(&file, &good[..length]).expect("writable");
        assert_eq!(
            Store::open(folder.path(), b"this").len(),
            0,
            "{length} bytes"
        );
    }
    std::fs::write(&file, &good).expect("writable");
    assert_eq!(Store::open(folder.path(), b"this").len(), 2);
}

#[test]
fn what_others_may_have_written_is_not_used() {
    let (folder, file) = kept();
    for mode in [0o620, 0o602] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, permissions).expect("ours");
        assert_eq!(Store::open(folder.path(), b"this").len(), 0, "{mode:o}");
    }
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&file, &elsewhere).expect("ours");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("a link");
    assert_eq!(Store::open(folder.path(), b"this").len(), 0, "a link");
    std::fs::remove_file(&file).expect("ours");
    std::fs::create_dir(&file).expect("a folder");
    assert_eq!(Store::open(folder.path(), b"this").len(), 0, "a folder");
}

/// With a right sum, but an index that leads elsewhere.
#[test]
fn an_index_that_lies_is_not_used() {
    let (folder, file) = kept();
    let identity: Digest = Sha256::digest(b"this").into();
    let lies: [&[(Digest, Place)]; 2] = [
        &[(
            [1; 32],
            Place {
                offset: u64::MAX,
                length: 8,
            },
        )],
        &[(
            [1; 32],
            Place {
                offset: 4,
                length: u32::MAX,
            },
        )],
    ];
    for index in lies {
        let index = postcard::to_stdvec(index).expect("plain data");
        for length in [index.len() as u64, u64::MAX, 1 << 40] {
            let mut bytes = [&MAGIC[..], &identity, &length.to_le_bytes(), &index].concat();
            bytes.extend([0; 16]);
            bytes.extend(Sha256::digest(&bytes));
            std::fs::write(&file, &bytes).expect("writable");
            assert_eq!(Store::open(folder.path(), b"this").len(), 0);
        }
    }
}

/// Reproducible numbers (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let a = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ b >> 31
}

/// Head and index damaged, and cut short, behind a right sum: to read what is there does
/// not panic. What it is then is the owner's to answer for.
#[test]
fn damage_behind_a_right_sum_is_no_harm() {
    let (folder, file) = kept();
    let good = std::fs::read(&file).expect("a file");
    let body = good.len() - size_of::<Digest>();
    let first = MAGIC.len() + size_of::<Digest>();
    // The entries are the rest.
    let index = u64::from_le_bytes(good[first..first + 8].try_into().expect("8 bytes"));
    let head = first + 8 + index as usize;
    let (mut r, mut opened) = (1, 0);
    for _ in 0..1000 {
        let mut bytes = good[..body].to_vec();
        for _ in 0..=random(&mut r) % 3 {
            bytes[random(&mut r) as usize % head] = random(&mut r) as u8;
        }
        if random(&mut r).is_multiple_of(4) {
            bytes.truncate(random(&mut r) as usize % body);
        }
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        std::fs::write(&file, &bytes).expect("written");
        let mut store = Store::open(folder.path(), b"this");
        opened += usize::from(store.len() > 0);
        let digests: Vec<_> = store.old.places.keys().copied().collect();
        for digest in digests {
            drop(store.find(&digest));
        }
    }
    assert!(opened > 100, "the parser was hardly reached: {opened}");
}

#[test]
fn what_lies_in_the_way_is_not_written_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), b"this");
    let mine = folder.path().join("mine");
    std::fs::write(&mine, "precious").expect("written");
    let name = format!("{}.tmp", std::process::id());
    std::fs::hard_link(&mine, store.path.with_extension(name)).expect("linked");
    store.keep([1; 32], &object(1));
    store.save();
    assert_eq!(std::fs::read(&mine).expect("there"), b"precious");
    assert_eq!(Store::open(folder.path(), b"this").len(), 1);
}
