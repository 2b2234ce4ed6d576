//! Messages for the file server, on a folder that holds a little of everything.

use crate::input::Input;
use isoform_share::{Access, ERROR_BYTES, Share, kind};
use std::fs;
use std::os::unix::fs::symlink;

/// Bytes that an answer may have.
const ROOM: usize = 4096;
/// The kinds that are known.
const KINDS: [u8; 28] = [
    kind::TSTATFS,
    kind::TLOPEN,
    kind::TLCREATE,
    kind::TSYMLINK,
    kind::TMKNOD,
    kind::TRENAME,
    kind::TREADLINK,
    kind::TGETATTR,
    kind::TSETATTR,
    kind::TXATTRWALK,
    kind::TXATTRCREATE,
    kind::TREADDIR,
    kind::TFSYNC,
    kind::TLOCK,
    kind::TGETLOCK,
    kind::TLINK,
    kind::TMKDIR,
    kind::TRENAMEAT,
    kind::TUNLINKAT,
    kind::TVERSION,
    kind::TAUTH,
    kind::TATTACH,
    kind::TFLUSH,
    kind::TWALK,
    kind::TREAD,
    kind::TWRITE,
    kind::TCLUNK,
    kind::TREMOVE,
];
/// Names that lead somewhere, or might.
const NAMES: [&str; 8] = ["file", "dir", "link", "..", ".", "dir/file", "", "new"];

/// Sends what `data` says, and looks whether anything beside the folder has changed.
pub fn run(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("share");
    fs::create_dir_all(root.join("dir")).expect("made");
    fs::write(folder.path().join("secret"), "secret").expect("written");
    fs::write(root.join("file"), "content").expect("written");
    symlink("../secret", root.join("link")).expect("made");
    let share = Share::open(&root, Access::Full, 1000).expect("it is there");
    share.answer(&message(kind::TATTACH, &attach()), ROOM);

    let mut input = Input::new(data);
    while !input.is_empty() {
        let request = request(&mut input);
        let answer = share.answer(&request, ROOM);
        assert!((7..=ROOM).contains(&answer.len()));
        assert!(answer[4] != kind::RLERROR || answer.len() == ERROR_BYTES);
    }
    let secret = fs::read(folder.path().join("secret"));
    assert_eq!(secret.expect("it is there"), b"secret");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 2);
}

/// A message of this kind.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32 + 7).to_le_bytes().to_vec();
    message.extend([kind, 1, 0]);
    message.extend(body);
    message
}

/// Has fid 0 stand for the folder.
fn attach() -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend([0xff; 4]);
    body.extend([0; 8]);
    body
}

/// A request made of numbers and names, or of any bytes.
fn request(input: &mut Input<'_>) -> Vec<u8> {
    let choice = input.byte();
    if choice >= 240 {
        let count = usize::from(input.byte());
        return input.bytes(count).to_vec();
    }
    let kind = KINDS[usize::from(choice) % KINDS.len()];
    let mut body = Vec::new();
    for _ in 0..input.byte() % 10 {
        let part = input.byte();
        match part % 4 {
            0 => body.extend(u32::from(part / 4 % 4).to_le_bytes()),
            1 => {
                let name = NAMES[usize::from(part / 4) % NAMES.len()];
                body.extend((name.len() as u16).to_le_bytes());
                body.extend(name.as_bytes());
            }
            2 => body.extend(u16::from(part / 4 % 3).to_le_bytes()),
            _ => body.extend(input.word().to_le_bytes()),
        }
    }
    message(kind, &body)
}
