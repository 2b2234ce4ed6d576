//! Writes initramfs archives: cpio in the "new ASCII" (newc) form that Linux
//! unpacks at boot (kernel documentation, "initramfs buffer format").
//!
//! Linux accepts several such archives one after the other, each aligned to four
//! bytes; later files replace earlier ones. `--exec` rests on that: its command
//! travels as a second small archive behind the cached one.

/// File type and permission bits as in `stat.st_mode`.
mod mode {
    pub(super) const DIRECTORY: u32 = 0o040_000;
    pub(super) const REGULAR: u32 = 0o100_000;
    pub(super) const SYMLINK: u32 = 0o120_000;
    pub(super) const CHARACTER: u32 = 0o020_000;
    pub(super) const FIFO: u32 = 0o010_000;
}

/// Collects entries in memory; everything belongs to root and dates from the
/// epoch, so that equal contents give equal bytes.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Archive {
        Archive::default()
    }

    /// A directory. Parents have to be added first.
    pub fn directory(&mut self, path: &str, permissions: u32) {
        self.entry(path, mode::DIRECTORY | permissions, (0, 0), &[]);
    }

    /// A regular file, less than 4 GiB long.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.entry(path, mode::REGULAR | permissions, (0, 0), content);
    }

    /// A symbolic link at `path` to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, mode::SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// A character device node.
    pub fn character_device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) {
        self.entry(path, mode::CHARACTER | permissions, (major, minor), &[]);
    }

    /// A named pipe.
    pub fn fifo(&mut self, path: &str, permissions: u32) {
        self.entry(path, mode::FIFO | permissions, (0, 0), &[]);
    }

    /// The finished archive, its length a multiple of 512 bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.header("TRAILER!!!", 0, (0, 0), 0);
        self.pad(512);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let length = u32::try_from(content.len()).expect("callers add files of known, small size");
        self.inode += 1;
        self.header(path, mode, device, length);
        self.bytes.extend_from_slice(content);
        self.pad(4);
    }

    fn header(&mut self, path: &str, mode: u32, device: (u32, u32), length: u32) {
        let links = if mode & mode::DIRECTORY == mode::DIRECTORY {
            2
        } else {
            1
        };
        let name_length = u32::try_from(path.len() + 1).expect("paths are short and our own");
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            length,
            0,
            0,
            device.0,
            device.1,
            name_length,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn every_part_is_aligned_and_the_trailer_ends_it() {
        let mut archive = Archive::new();
        archive.directory("d", 0o755);
        archive.file("d/f", 0o644, b"abcde");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        assert_eq!(&bytes[..6], b"070701");
        // 110 header + "d\0" = 112, then the next magic.
        assert_eq!(&bytes[112..118], b"070701");
        // mode field of the second entry: regular, 0644.
        assert_eq!(&bytes[112 + 14..112 + 22], b"000081a4");
        assert!(bytes.windows(10).any(|w| w == b"TRAILER!!!"));
    }

    /// GNU cpio is the independent judge.
    #[test]
    fn cpio_lists_and_extracts_what_was_written() {
        if Command::new("cpio").arg("--version").output().is_err() {
            println!("skipped: cpio_lists_and_extracts_what_was_written (no cpio on this machine)");
            return;
        }
        let mut archive = Archive::new();
        archive.directory("dir", 0o755);
        archive.file("dir/data", 0o640, &[0, 255, 10, 13, 7]);
        archive.symlink("dir/link", "data");
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("cpio")
            .args(["-id", "--quiet"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&archive.finish())
            .unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(
            std::fs::read(folder.path().join("dir/link")).unwrap(),
            [0, 255, 10, 13, 7]
        );
    }
}
