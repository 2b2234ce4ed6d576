//! Compressed kernels: what packs them, and EFI zboot files that carry one.
//!
//! Everything unpacks as a stream with a bound, so that a small file cannot ask
//! for more than guest RAM holds.

use std::io::{self, BufReader, Read};

use super::{LoadError, Source};

/// How a kernel is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// RFC 1952.
    Gzip,
    /// RFC 8878, one frame.
    Zstd,
    /// The .xz format.
    Xz,
    /// The .lzma format, xz's forerunner.
    Lzma,
}

/// zstd's largest window of `--ultra -22`, what kernels are packed with; a frame
/// that asks for more is refused rather than given the memory.
const ZSTD_WINDOW: u64 = 128 << 20;
/// What xz and lzma may use for their dictionary and tables.
const LZMA_MEMORY: u64 = 256 << 20;

impl Codec {
    /// The codec whose magic number opens `head`; lzma has none, so it is known
    /// only by a zboot header's word.
    pub fn of(head: &[u8]) -> Option<Codec> {
        if head.starts_with(&[0x1f, 0x8b, 8]) {
            Some(Codec::Gzip)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Codec::Zstd)
        } else if head.starts_with(b"\xfd7zXZ\0") {
            Some(Codec::Xz)
        } else {
            None
        }
    }

    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
            Codec::Xz => "xz",
            Codec::Lzma => "lzma",
        }
    }
}

/// A compressed stretch of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// How it is compressed.
    pub codec: Codec,
    /// Where it starts in the source, bytes.
    pub offset: u64,
    /// How long it is there, bytes.
    pub len: u64,
    /// Whether an EFI zboot file carries it.
    pub zboot: bool,
}

impl Packed {
    /// Unpacks it as a stream. Errors while reading are the codec's opinion of
    /// the bytes; [`unpack_error`] words them.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] when the very header is wrong.
    pub(super) fn reader<'a>(&self, source: &'a Source) -> Result<Box<dyn Read + 'a>, LoadError> {
        let packed = BufReader::new(source.reader(self.offset, self.len));
        let fail =
            |reason: String| source.malformed(format!("its {} data: {reason}", self.codec.name()));
        Ok(match self.codec {
            Codec::Gzip => Box::new(flate2::bufread::GzDecoder::new(packed)),
            Codec::Zstd => Box::new(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, ZSTD_WINDOW)
                    .map_err(|e| fail(e.to_string()))?,
            ),
            Codec::Xz | Codec::Lzma => {
                let stream = if self.codec == Codec::Xz {
                    liblzma::stream::Stream::new_stream_decoder(LZMA_MEMORY, 0)
                } else {
                    liblzma::stream::Stream::new_lzma_decoder(LZMA_MEMORY)
                };
                let stream = stream.map_err(|e| fail(e.to_string()))?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
        })
    }

    /// The error for a stream that broke while it was unpacked.
    pub(super) fn unpack_error(&self, source: &Source, error: &io::Error) -> LoadError {
        let codec = self.codec.name();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => source.truncated("compressed data end"),
            _ => source.malformed(format!("its {codec} data do not unpack ({error})")),
        }
    }

    /// The first bytes of what it holds, at most `len`.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] or [`LoadError::Truncated`] where it does not unpack.
    pub(super) fn head(&self, source: &Source, len: u64) -> Result<Vec<u8>, LoadError> {
        let mut head = Vec::new();
        self.reader(source)?
            .take(len)
            .read_to_end(&mut head)
            .map_err(|e| self.unpack_error(source, &e))?;
        Ok(head)
    }
}

/// The kernel inside an EFI zboot file, if `head` opens one.
///
/// The header (kernel tree, `libstub/zboot-header.S`): `MZ`, "zimg" at 4, the
/// payload's offset at 8 and size at 12, the codec's name at 24 up to a NUL.
///
/// # Errors
/// [`LoadError::Unsupported`] for a codec not known here, [`LoadError::Truncated`]
/// when the payload ends beyond the file.
pub(super) fn zboot(source: &Source, head: &[u8]) -> Result<Option<Packed>, LoadError> {
    if !head.starts_with(b"MZ") || head.get(4..8) != Some(b"zimg") {
        return Ok(None);
    }
    let (Some(offset), Some(len), Some(name)) = (word(head, 8), word(head, 12), head.get(24..0x38))
    else {
        return Err(source.truncated("EFI zboot header"));
    };
    let (offset, len) = (u64::from(offset), u64::from(len));
    let name = name.split(|&b| b == 0).next().unwrap_or_default();
    let codec = match name {
        b"gzip" => Codec::Gzip,
        b"zstd" | b"zstd22" => Codec::Zstd,
        b"xz" | b"xzkern" => Codec::Xz,
        b"lzma" => Codec::Lzma,
        other => {
            return Err(LoadError::Unsupported {
                file: source.name().to_owned(),
                what: format!(
                    "an EFI zboot kernel packed with `{}`",
                    String::from_utf8_lossy(other).escape_debug()
                ),
                advice: "give its uncompressed Image, or one packed with gzip, zstd or xz".into(),
            });
        }
    };
    if offset.checked_add(len).is_none_or(|end| end > source.len()) {
        return Err(source.truncated("zboot payload's end"));
    }
    Ok(Some(Packed {
        codec,
        offset,
        len,
        zboot: true,
    }))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
