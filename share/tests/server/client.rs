//! A small client, written from the protocol's description: it shares no code with the
//! server.

use isoform_share::{Access, Share, kind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const NOFID: u32 = !0;
pub(crate) const MSIZE: u32 = 64 << 10;
/// Error numbers of Linux.
pub(crate) mod errno {
    pub(crate) const EPERM: u32 = 1;
    pub(crate) const ENOENT: u32 = 2;
    pub(crate) const EINTR: u32 = 4;
    pub(crate) const ENXIO: u32 = 6;
    pub(crate) const EBADF: u32 = 9;
    pub(crate) const EEXIST: u32 = 17;
    pub(crate) const ENOTDIR: u32 = 20;
    pub(crate) const EISDIR: u32 = 21;
    pub(crate) const EINVAL: u32 = 22;
    pub(crate) const EROFS: u32 = 30;
    pub(crate) const ENAMETOOLONG: u32 = 36;
    pub(crate) const ENOTEMPTY: u32 = 39;
    pub(crate) const ELOOP: u32 = 40;
    pub(crate) const EPROTO: u32 = 71;
    pub(crate) const EMSGSIZE: u32 = 90;
    pub(crate) const EOPNOTSUPP: u32 = 95;
    pub(crate) const ESTALE: u32 = 116;
}

/// A message in the making.
pub(crate) struct T(Vec<u8>);

impl T {
    pub(crate) fn new(kind: u8, tag: u16) -> T {
        let mut bytes = vec![0, 0, 0, 0, kind];
        bytes.extend(tag.to_le_bytes());
        T(bytes)
    }

    pub(crate) fn u16(mut self, v: u16) -> T {
        self.0.extend(v.to_le_bytes());
        self
    }

    pub(crate) fn u32(mut self, v: u32) -> T {
        self.0.extend(v.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, v: u64) -> T {
        self.0.extend(v.to_le_bytes());
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> T {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn s(self, name: impl AsRef<[u8]>) -> T {
        let name = name.as_ref();
        self.u16(name.len() as u16).raw(name)
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_le_bytes());
        self.0
    }
}

/// An answer's body, or its error number.
pub(crate) type R = Result<Vec<u8>, u32>;

/// Reads numbers off a body.
pub(crate) fn u16_at(body: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(body[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn u32_at(body: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(body: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes"))
}

/// What `Rgetattr` says, as far as tests look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) nlink: u64,
    pub(crate) size: u64,
    pub(crate) mtime: (u64, u64),
    pub(crate) number: u64,
}

/// A shared folder with a client attached as fid 0. Beside the share is a secret.
pub(crate) struct Client {
    pub(crate) share: Share,
    folder: TempDir,
}

impl Client {
    pub(crate) fn new() -> Client {
        Client::with(Access::Full)
    }

    pub(crate) fn with(access: Access) -> Client {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("share")).expect("made");
        std::fs::write(folder.path().join("secret"), "secret").expect("written");
        let share = Share::open(&folder.path().join("share"), access, 1).expect("it is there");
        let client = Client { share, folder };
        client.version(MSIZE);
        client.attach(0).expect("attached");
        client
    }

    /// A path on the host, in the share.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.folder.path().join("share").join(name)
    }

    /// A path on the host, beside the share.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn host_write(&self, name: &str, content: &str) {
        std::fs::write(self.host(name), content).expect("written");
    }

    pub(crate) fn host_read(&self, name: &str) -> String {
        std::fs::read_to_string(self.host(name)).expect("read")
    }

    /// Sends a message, and checks the form of the answer.
    pub(crate) fn send(&self, message: &[u8]) -> R {
        let answer = self.share.answer(message, MSIZE as usize);
        assert!(answer.len() <= MSIZE as usize);
        assert_eq!(u32_at(&answer, 0) as usize, answer.len());
        assert_eq!(answer[5..7], message[5..7], "the tag comes back");
        match answer[4] {
            7 => {
                assert_eq!(answer.len(), 11);
                Err(u32_at(&answer, 7))
            }
            kind => {
                assert_eq!(kind, message[4] + 1);
                Ok(answer[7..].to_vec())
            }
        }
    }

    pub(crate) fn ask(&self, message: T) -> R {
        self.send(&message.finish())
    }

    pub(crate) fn version(&self, msize: u32) -> Vec<u8> {
        let message = T::new(kind::TVERSION, 0xffff).u32(msize).s("9P2000.L");
        self.ask(message).expect("a version")
    }

    pub(crate) fn attach(&self, fid: u32) -> R {
        let message = T::new(kind::TATTACH, 1).u32(fid).u32(NOFID);
        self.ask(message.s("user").s("").u32(!0))
    }

    pub(crate) fn walk_all(&self, fid: u32, newfid: u32, names: &[&[u8]]) -> R {
        let message = T::new(kind::TWALK, 1).u32(fid).u32(newfid);
        let message = message.u16(names.len() as u16);
        self.ask(names.iter().fold(message, |m, name| m.s(name)))
    }

    /// Walks all of a path, or fails.
    pub(crate) fn walk(&self, fid: u32, newfid: u32, path: &str) -> Result<(), u32> {
        let names: Vec<&[u8]> = path
            .split('/')
            .filter(|n| !n.is_empty())
            .map(str::as_bytes)
            .collect();
        let body = self.walk_all(fid, newfid, &names)?;
        match usize::from(u16_at(&body, 0)) == names.len() {
            true => Ok(()),
            false => Err(errno::ENOENT),
        }
    }

    pub(crate) fn lopen(&self, fid: u32, flags: u32) -> R {
        self.ask(T::new(kind::TLOPEN, 1).u32(fid).u32(flags))
    }

    pub(crate) fn lcreate(&self, fid: u32, name: &str, flags: u32, mode: u32) -> R {
        let message = T::new(kind::TLCREATE, 1).u32(fid).s(name);
        self.ask(message.u32(flags).u32(mode).u32(0))
    }

    pub(crate) fn read(&self, fid: u32, offset: u64, count: u32) -> R {
        let message = T::new(kind::TREAD, 1).u32(fid).u64(offset).u32(count);
        let body = self.ask(message)?;
        assert_eq!(u32_at(&body, 0) as usize, body.len() - 4);
        Ok(body[4..].to_vec())
    }

    pub(crate) fn write(&self, fid: u32, offset: u64, data: &[u8]) -> Result<u32, u32> {
        let message = T::new(kind::TWRITE, 1).u32(fid).u64(offset);
        let body = self.ask(message.u32(data.len() as u32).raw(data))?;
        Ok(u32_at(&body, 0))
    }

    pub(crate) fn clunk(&self, fid: u32) -> R {
        self.ask(T::new(kind::TCLUNK, 1).u32(fid))
    }

    pub(crate) fn remove(&self, fid: u32) -> R {
        self.ask(T::new(kind::TREMOVE, 1).u32(fid))
    }

    pub(crate) fn getattr(&self, fid: u32) -> Result<Attr, u32> {
        let body = self.ask(T::new(kind::TGETATTR, 1).u32(fid).u64(0x7ff))?;
        assert_eq!(body.len(), 153);
        Ok(Attr {
            mode: u32_at(&body, 21),
            uid: u32_at(&body, 25),
            nlink: u64_at(&body, 33),
            size: u64_at(&body, 49),
            mtime: (u64_at(&body, 89), u64_at(&body, 97)),
            number: u64_at(&body, 13),
        })
    }

    /// `valid`, mode, size, seconds of `mtime`.
    pub(crate) fn setattr(&self, fid: u32, valid: u32, mode: u32, size: u64, mtime: u64) -> R {
        let message = T::new(kind::TSETATTR, 1).u32(fid).u32(valid).u32(mode);
        let message = message.u32(12345).u32(12345).u64(size).u64(1).u64(2);
        self.ask(message.u64(mtime).u64(500))
    }

    pub(crate) fn mkdir(&self, dfid: u32, name: &str, mode: u32) -> R {
        let message = T::new(kind::TMKDIR, 1).u32(dfid).s(name);
        self.ask(message.u32(mode).u32(0))
    }

    pub(crate) fn symlink(&self, dfid: u32, name: &str, target: &str) -> R {
        self.ask(T::new(kind::TSYMLINK, 1).u32(dfid).s(name).s(target).u32(0))
    }

    pub(crate) fn mknod(&self, dfid: u32, name: &str, mode: u32) -> R {
        let message = T::new(kind::TMKNOD, 1).u32(dfid).s(name).u32(mode);
        self.ask(message.u32(1).u32(3).u32(0))
    }

    pub(crate) fn link(&self, dfid: u32, fid: u32, name: &str) -> R {
        self.ask(T::new(kind::TLINK, 1).u32(dfid).u32(fid).s(name))
    }

    pub(crate) fn rename(&self, fid: u32, dfid: u32, name: &str) -> R {
        self.ask(T::new(kind::TRENAME, 1).u32(fid).u32(dfid).s(name))
    }

    pub(crate) fn renameat(&self, from: u32, old: &str, to: u32, new: &str) -> R {
        let message = T::new(kind::TRENAMEAT, 1).u32(from).s(old);
        self.ask(message.u32(to).s(new))
    }

    pub(crate) fn unlinkat(&self, dfid: u32, name: &str, flags: u32) -> R {
        self.ask(T::new(kind::TUNLINKAT, 1).u32(dfid).s(name).u32(flags))
    }

    pub(crate) fn readlink(&self, fid: u32) -> R {
        let body = self.ask(T::new(kind::TREADLINK, 1).u32(fid))?;
        assert_eq!(usize::from(u16_at(&body, 0)), body.len() - 2);
        Ok(body[2..].to_vec())
    }

    /// Names and places of a folder's entries, from a place on.
    pub(crate) fn readdir(
        &self,
        fid: u32,
        offset: u64,
        count: u32,
    ) -> Result<Vec<(String, u64)>, u32> {
        let message = T::new(kind::TREADDIR, 1).u32(fid).u64(offset).u32(count);
        let body = self.ask(message)?;
        assert_eq!(u32_at(&body, 0) as usize, body.len() - 4);
        assert!(body.len() - 4 <= count as usize);
        let mut entries = Vec::new();
        let mut rest = &body[4..];
        while !rest.is_empty() {
            let (place, len) = (u64_at(rest, 13), usize::from(u16_at(rest, 22)));
            let name = String::from_utf8_lossy(&rest[24..24 + len]).into_owned();
            entries.push((name, place));
            rest = &rest[24 + len..];
        }
        Ok(entries)
    }

    /// All names of an open folder.
    pub(crate) fn names(&self, fid: u32, count: u32) -> Vec<String> {
        let (mut names, mut at) = (Vec::new(), 0);
        loop {
            let entries = self.readdir(fid, at, count).expect("entries");
            let Some((_, last)) = entries.last() else {
                names.sort();
                return names;
            };
            at = *last;
            names.extend(entries.into_iter().map(|(name, _)| name));
        }
    }
}

/// Whether a path is there, without following it.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
