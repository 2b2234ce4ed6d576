//! Unpacks `.deb` packages in process (deb(5)): an `ar` archive whose member
//! `data.tar.*` holds the files.
//!
//! Nothing is extracted to the host's file system: callers see each regular file
//! as a path and a reader and take what they need. Whatever the archive claims
//! (sizes, names, compression), memory stays bounded by the limits below.

use std::io::{self, Read};

use crate::error::{Error, Malformed};

/// A `.deb` unpacks to less than this, or it is a bomb. Debian's largest are
/// near 2 GB.
const MAX_UNPACKED: u64 = 8 << 30;
/// Room an xz or zstd decoder may claim for its window (`xz -9` takes 65 MB).
const MAX_DECODER_MEMORY: u64 = 256 << 20;
/// A package that is held in memory unpacks to less than this.
const MAX_IN_MEMORY: u64 = 2 << 30;
/// Paths longer than this exist in no package.
const MAX_PATH: u64 = 4096;

/// Calls `visit(path, size, content)` for each regular file of the package, in
/// its order. Paths have no leading `./` and no `..`.
///
/// # Errors
/// What `visit` returns; a damaged, truncated or hostile package as
/// [`Error::Malformed`] with `name` in it.
pub fn deb_files(
    deb: impl Read,
    name: &str,
    mut visit: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let malformed = |why: Malformed| Error::malformed(name, why);
    let (member, data) = find_data(deb).map_err(malformed)?;
    let tar = decompress(&member, data).map_err(malformed)?;
    let mut archive = tar::Archive::new(tar.take(MAX_UNPACKED));
    // Raw entries: the crate would read long-name records of any size into memory.
    let entries = archive
        .entries()
        .map_err(|e| malformed(e.into()))?
        .raw(true);
    let mut long_name = None;
    for entry in entries {
        let mut entry = entry.map_err(|e| malformed(e.into()))?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            long_name = Some(read_long_name(&mut entry).map_err(malformed)?);
            continue;
        }
        if kind.is_gnu_longlink() {
            continue;
        }
        let raw = long_name
            .take()
            .unwrap_or_else(|| entry.path_bytes().into_owned());
        if kind.is_pax_local_extensions() {
            return Err(malformed(Malformed::new(
                "it has pax headers, which deb(5) does not allow",
            )));
        }
        let path = clean_path(&raw).map_err(malformed)?;
        if kind.is_file() || kind.is_contiguous() {
            let size = entry.size();
            visit(&path, size, &mut entry)?;
        }
    }
    Ok(())
}

/// A `.deb` with the same contents, none of its members compressed.
///
/// # Errors
/// A damaged, truncated or hostile package, or one that is larger than fits here.
pub fn uncompressed_deb(mut deb: impl Read) -> Result<Vec<u8>, Malformed> {
    read_magic(&mut deb)?;
    let mut plain = AR_MAGIC.to_vec();
    while let Some(member) = next_member(&mut deb)? {
        let content = deb.by_ref().take(member.size);
        let (name, bytes) = match member.name.split_once(".tar") {
            Some((stem, _)) => {
                let name = format!("{stem}.tar");
                let tar = decompress(&member.name, content)?;
                (name, read_to_limit(tar, MAX_IN_MEMORY)?)
            }
            None => (member.name.clone(), read_to_limit(content, MAX_IN_MEMORY)?),
        };
        append_member(&mut plain, &name, &bytes)?;
        if member.size % 2 == 1 {
            // Absent after the last member, by some writers.
            io::copy(&mut deb.by_ref().take(1), &mut io::sink())?;
        }
    }
    Ok(plain)
}

fn append_member(ar: &mut Vec<u8>, name: &str, bytes: &[u8]) -> Result<(), Malformed> {
    if ar.len() as u64 + bytes.len() as u64 > MAX_IN_MEMORY {
        return Err(Malformed::new(format!(
            "it unpacks to more than {MAX_IN_MEMORY} bytes"
        )));
    }
    let header = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        0,
        100_644,
        bytes.len()
    );
    ar.extend_from_slice(header.as_bytes());
    ar.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        ar.push(b'\n');
    }
    Ok(())
}

/// Reads all of `content`, which has announced `size` bytes.
///
/// # Errors
/// More than `limit` bytes, or fewer than announced.
pub fn read_whole(content: &mut dyn Read, size: u64, limit: u64) -> Result<Vec<u8>, Malformed> {
    if size > limit {
        return Err(Malformed::new(format!(
            "a file of {size} bytes is larger than the {limit} allowed here"
        )));
    }
    let mut bytes = Vec::new();
    content.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(Malformed::new("it ends too early (truncated)"));
    }
    Ok(bytes)
}

/// Unpacks an `.xz` file held in memory to at most `limit` bytes.
///
/// # Errors
/// Damaged or truncated data, or more than `limit`.
pub fn unxz(bytes: &[u8], limit: u64) -> Result<Vec<u8>, Malformed> {
    read_to_limit(xz(bytes)?, limit)
}

/// As [`unxz`] for Zstandard.
///
/// # Errors
/// As [`unxz`].
pub fn unzstd(bytes: &[u8], limit: u64) -> Result<Vec<u8>, Malformed> {
    read_to_limit(zstd(bytes)?, limit)
}

/// A decoder for an `.xz` stream that refuses to use more than 256 MiB.
///
/// # Errors
/// None in practice: the decoder could not be set up.
pub fn xz<R: Read>(input: R) -> Result<impl Read, Malformed> {
    let stream = liblzma::stream::Stream::new_stream_decoder(
        MAX_DECODER_MEMORY,
        liblzma::stream::CONCATENATED,
    )
    .map_err(|e| Malformed::new(e.to_string()))?;
    Ok(liblzma::read::XzDecoder::new_stream(input, stream))
}

fn zstd<R: Read>(input: R) -> Result<impl Read, Malformed> {
    ruzstd::decoding::StreamingDecoder::new(input).map_err(|e| Malformed::new(e.to_string()))
}

fn read_to_limit(input: impl Read, limit: u64) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Malformed::new(format!(
            "it unpacks to more than {limit} bytes"
        )));
    }
    Ok(bytes)
}

/// An `ar` member's header (ar(5)): name 16, date 12, uid 6, gid 6, mode 8,
/// size 10, magic 2.
struct Member {
    name: String,
    size: u64,
}

fn find_data<R: Read>(mut deb: R) -> Result<(String, io::Take<R>), Malformed> {
    read_magic(&mut deb)?;
    let mut first = true;
    loop {
        let member = read_member(&mut deb)?;
        if std::mem::take(&mut first) && member.name != "debian-binary" {
            return Err(Malformed::new(
                "it is no .deb (its first member is not debian-binary)",
            ));
        }
        if member.name.starts_with("data.tar") {
            return Ok((member.name, deb.take(member.size)));
        }
        // Members start at even offsets.
        let padded = member.size + member.size % 2;
        if io::copy(&mut deb.by_ref().take(padded), &mut io::sink())? != padded {
            return Err(Malformed::new("it ends too early (truncated)"));
        }
    }
}

const AR_MAGIC: &[u8; 8] = b"!<arch>\n";

fn read_magic(deb: &mut impl Read) -> Result<(), Malformed> {
    let mut magic = [0; 8];
    deb.read_exact(&mut magic)?;
    match &magic == AR_MAGIC {
        true => Ok(()),
        false => Err(Malformed::new("it is no .deb (no `ar` archive)")),
    }
}

/// As [`read_member`], but an archive may end here.
fn next_member(deb: &mut impl Read) -> Result<Option<Member>, Malformed> {
    let mut first = Vec::new();
    deb.by_ref().take(1).read_to_end(&mut first)?;
    match first.is_empty() {
        true => Ok(None),
        false => read_member(&mut first.as_slice().chain(deb)).map(Some),
    }
}

fn read_member(deb: &mut impl Read) -> Result<Member, Malformed> {
    let mut header = [0_u8; 60];
    deb.read_exact(&mut header)?;
    if header[58..] != *b"`\n" {
        return Err(Malformed::new("an `ar` member header is damaged"));
    }
    let text = |range: std::ops::Range<usize>| {
        std::str::from_utf8(&header[range])
            .map(str::trim_end)
            .unwrap_or_default()
    };
    let size = text(48..58)
        .parse()
        .map_err(|_| Malformed::new("an `ar` member has no proper size"))?;
    Ok(Member {
        name: text(0..16).trim_end_matches('/').to_owned(),
        size,
    })
}

fn decompress<'a>(member: &str, data: impl Read + 'a) -> Result<Box<dyn Read + 'a>, Malformed> {
    match member.split_once(".tar").map(|(_, packing)| packing) {
        Some(".xz") => Ok(Box::new(xz(data)?)),
        Some(".zst") => Ok(Box::new(zstd(data)?)),
        Some("") => Ok(Box::new(data)),
        _ => Err(Malformed::new(format!(
            "its `{member}` is compressed in a way not known here"
        ))),
    }
}

fn read_long_name(entry: &mut impl Read) -> Result<Vec<u8>, Malformed> {
    let mut name = Vec::new();
    entry.take(MAX_PATH + 1).read_to_end(&mut name)?;
    if name.len() as u64 > MAX_PATH {
        return Err(Malformed::new(format!(
            "a path is longer than {MAX_PATH} bytes"
        )));
    }
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn clean_path(raw: &[u8]) -> Result<String, Malformed> {
    let path = String::from_utf8_lossy(raw);
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Malformed::new(format!(
            "the path `{}` leads outside the package",
            path.escape_debug()
        )));
    }
    Ok(path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect::<Vec<_>>()
        .join("/"))
}
