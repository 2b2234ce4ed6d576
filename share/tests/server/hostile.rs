//! Messages that no client sends.

use crate::client::errno::*;
use crate::client::{Client, T, u32_at};
use isoform_share::{Access, Share, kind};
use proptest::prelude::*;

#[test]
fn huge_counts() {
    let c = Client::new();
    c.host_write("file", &"x".repeat(200_000));
    c.walk(0, 1, "file").expect("there");
    c.lopen(1, 2).expect("open");
    let body = c.read(1, 0, u32::MAX).expect("as much as fits");
    assert_eq!(body.len(), crate::client::MSIZE as usize - 11);
    assert_eq!(c.read(1, u64::MAX, u32::MAX), Err(EINVAL));
    let write = T::new(kind::TWRITE, 1).u32(1).u64(0).u32(u32::MAX);
    assert_eq!(c.ask(write.raw(b"abc")), Err(EPROTO));
    assert_eq!(c.write(1, u64::MAX, b"x"), Err(EINVAL));
    c.walk(0, 2, "").expect("cloned");
    c.lopen(2, 0).expect("open");
    c.readdir(2, 0, u32::MAX).expect("as much as fits");
    // An answer that does not fit its buffer is an error that does.
    let getattr = T::new(kind::TGETATTR, 1).u32(0).u64(!0).finish();
    let answer = c.share.answer(&getattr, 100);
    assert_eq!((answer[4], u32_at(&answer, 7)), (7, EMSGSIZE));
    let read = T::new(kind::TREAD, 1).u32(1).u64(0).u32(u32::MAX).finish();
    assert_eq!(c.share.answer(&read, 11).len(), 11);
    assert_eq!(c.share.answer(&read, 100).len(), 100);
}

#[test]
fn walks_of_too_many_names() {
    let c = Client::new();
    assert_eq!(c.walk_all(0, 1, &[&b"."[..]; 17]), Err(EINVAL));
    let walk = T::new(kind::TWALK, 1).u32(0).u32(1).u16(u16::MAX);
    assert_eq!(c.ask(walk), Err(EINVAL));
    let walk = T::new(kind::TWALK, 1).u32(0).u32(1).u16(2).s("a");
    assert_eq!(c.ask(walk), Err(EPROTO), "one is not there");
}

#[test]
fn unterminated_strings() {
    let c = Client::new();
    for cut in [
        T::new(kind::TMKDIR, 1).u32(0).u16(500).raw(b"short"),
        T::new(kind::TMKDIR, 1),
    ] {
        assert_eq!(c.ask(cut), Err(EPROTO));
    }
    let message = T::new(kind::TSYMLINK, 1).u32(0).s("a").s("b\0c").u32(0);
    assert_eq!(c.ask(message), Err(EINVAL));
}

#[test]
fn the_size_field_lies() {
    let c = Client::new();
    let sized = |size: u32| {
        let mut message = T::new(kind::TGETATTR, 1).u32(0).u64(0x7ff).finish();
        message[..4].copy_from_slice(&size.to_le_bytes());
        c.send(&message)
    };
    assert!(sized(19).is_ok());
    for size in [0, 6, 20, u32::MAX] {
        assert_eq!(sized(size).err(), Some(EPROTO), "{size}");
    }
    for len in 0..7 {
        let answer = c.share.answer(&[11; 7][..len], 11);
        assert_eq!((answer.len(), answer[4]), (11, 7));
    }
}

#[test]
fn a_client_runs_out_of_numbers_and_not_the_host() {
    // So many that half of what the process may open is left.
    let c = Client::new();
    let others = Share::open(&c.host(""), Access::Full, 1000).expect("it is there");
    let ask = |message: T| others.answer(&message.finish(), 4096);
    ask(T::new(kind::TVERSION, 1).u32(4096).s("9P2000.L"));
    let attach = |fid| ask(T::new(kind::TATTACH, 1).u32(fid).u32(!0).s("").s("").u32(0));
    let refused = (0..200_000).map(attach).find(|answer| answer[4] == 7);
    assert_eq!(refused.map(|a| u32_at(&a, 7)), Some(24));
    std::fs::File::open("/dev/null").expect("the host has some left");
}

/// A kind of message that is known, or any.
fn kinds() -> impl Strategy<Value = u8> {
    prop_oneof![
        9 => prop::sample::select(vec![
            kind::TSTATFS, kind::TLOPEN, kind::TLCREATE, kind::TSYMLINK, kind::TMKNOD,
            kind::TRENAME, kind::TREADLINK, kind::TGETATTR, kind::TSETATTR, kind::TXATTRWALK,
            kind::TXATTRCREATE, kind::TREADDIR, kind::TFSYNC, kind::TLOCK, kind::TGETLOCK,
            kind::TLINK, kind::TMKDIR, kind::TRENAMEAT, kind::TUNLINKAT, kind::TVERSION,
            kind::TAUTH, kind::TATTACH, kind::TFLUSH, kind::TWALK, kind::TREAD,
            kind::TWRITE, kind::TCLUNK, kind::TREMOVE,
        ]),
        1 => any::<u8>(),
    ]
}

/// Bytes that are numbers and names more often than not.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["a", "b", "..", ".", "a/b", "", "link"]);
    let part = prop_oneof![
        4 => (0..4u32).prop_map(|n| n.to_le_bytes().to_vec()),
        4 => name.prop_map(|n| [&(n.len() as u16).to_le_bytes()[..], n.as_bytes()].concat()),
        1 => (0..0o7777u32).prop_map(|n| n.to_le_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_messages_leave_the_rest_alone(
        messages in prop::collection::vec((kinds(), any::<u16>(), bodies()), 1..60)
    ) {
        let c = Client::new();
        std::os::unix::fs::symlink("../secret", c.host("link")).expect("made");
        let before = std::fs::metadata(c.outside("secret")).expect("there");
        for (kind, tag, body) in messages {
            let message = T::new(kind, tag).raw(&body).finish();
            let answer = c.share.answer(&message, 4096);
            prop_assert!((7..=4096).contains(&answer.len()));
            prop_assert_eq!(u32_at(&answer, 0) as usize, answer.len());
        }
        let mut names: Vec<_> = std::fs::read_dir(c.outside("")).expect("there")
            .map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        prop_assert_eq!(names, ["secret", "share"]);
        let after = std::fs::metadata(c.outside("secret")).expect("there");
        prop_assert_eq!(before.modified().ok(), after.modified().ok());
        prop_assert_eq!(before.permissions(), after.permissions());
    }
}
