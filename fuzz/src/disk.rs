//! Disk images: any bytes as an image, and a good qcow2 image with some bytes changed.
//! They are opened, read, written, flushed and checked.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use isoform_disk::{Cache, Format, Image, NewImage, Request, check, create, info};

use crate::input::Input;

/// Bytes of the good image's disk.
const SIZE: u64 = 1 << 20;

/// A qcow2 image of small clusters with data, zeros and holes.
fn good() -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("good");
    let new = NewImage {
        cluster: 512,
        ..NewImage::of(Format::Qcow2, SIZE)
    };
    create(&path, &new).ok()?;
    let mut image = Image::open(&request(&path, Format::Qcow2, false)).ok()?;
    for n in 0..20 {
        image.write(n * 97, &[n as u8; 1024]).ok()?;
    }
    image.write_zeroes(97, 4, false).ok()?;
    image.close().ok()?;
    std::fs::read(path).ok()
}

fn request(path: &Path, format: Format, backing: bool) -> Request {
    Request {
        format: Some(format),
        cache: Cache::Unsafe,
        backing,
        ..Request::of(path)
    }
}

/// Uses an image as a guest would.
fn work(image: &mut Image, input: &mut Input<'_>) {
    let mut bytes = vec![0; 16 << 9];
    for _ in 0..16 {
        let at = input.word() % image.sectors();
        let count = 1 + u64::from(input.byte() % 16);
        let (part, _) = bytes.split_at_mut((count * 512) as usize);
        // Refused as often as not, and that is fine.
        let _ = match input.byte() % 6 {
            0 | 1 => image.read(at, part),
            2 => image.write(at, part),
            3 => image.write_zeroes(at, count, input.byte() & 1 != 0),
            4 => image.discard(at, count),
            _ => image.flush(),
        };
    }
}

/// Opens `data` in every way.
pub fn run(data: &[u8]) {
    static GOOD: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let mut input = Input::new(data);
    let changed = match (input.byte() & 3, GOOD.get_or_init(good)) {
        (0, _) | (_, None) => input.rest().to_vec(),
        (kind, Some(good)) => {
            let mut bytes = good.clone();
            for _ in 0..8 {
                // The header's fields, or any byte.
                let most = if kind == 1 { 112 } else { bytes.len() };
                let at = input.word() as usize % most;
                bytes[at] = input.byte();
            }
            bytes
        }
    };
    let Ok(mut file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if file.write_all(&changed).is_err() {
        return;
    }
    let path = file.path();
    let _ = (info(path, None), check(path));
    for format in [Format::Raw, Format::Qcow2] {
        for read_only in [true, false] {
            let request = Request {
                read_only,
                ..request(path, format, input.byte() & 1 != 0)
            };
            if let Ok(mut image) = Image::open(&request) {
                work(&mut image, &mut input);
            }
        }
    }
    let _ = check(path);
}
