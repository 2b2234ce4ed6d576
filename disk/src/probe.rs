//! What a file is, told from its first bytes.
//!
//! A guest writes the first bytes of a raw disk as it likes. So a guess decides only
//! how a file is read, never that another file is opened.

/// A format that images can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

impl Format {
    /// Its name on the command line and in qcow2 headers.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Format> {
        [Format::Raw, Format::Qcow2]
            .into_iter()
            .find(|format| format.name() == name)
    }
}

/// What a qcow2 file begins with.
pub(crate) const QCOW2_MAGIC: &[u8] = b"QFI\xfb";

/// Bytes that [`foreign`] looks at.
pub(crate) const LOOK: usize = 512;

/// Disk images in a form of some other program.
const FOREIGN: [(&[u8], usize, &str); 4] = [
    (b"KDMV", 0, "a VMDK disk image"),
    (b"vhdxfile", 0, "a VHDX disk image"),
    (b"conectix", 0, "a VHD disk image"),
    (b"\x7f\x10\xda\xbe", 0x40, "a VDI disk image"),
];

/// The name of another program's disk format, with an article.
pub fn foreign(head: &[u8]) -> Option<&'static str> {
    let found = FOREIGN
        .iter()
        .find(|(magic, at, _)| head.get(*at..).is_some_and(|tail| tail.starts_with(magic)));
    found.map(|(_, _, name)| *name)
}
