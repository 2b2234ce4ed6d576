//! What is in files and folders.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::fs::{self, FileType, RawDir, SeekFrom};
use rustix::io::{self, Errno};

use super::{Done, Share};
use crate::attr::{Qid, entry_kind};
use crate::fids::{Fid, Opened};
use crate::message::FidNumber;
use crate::node::{Name, Node};
use crate::spec::{DATA_HEADER, Open};
use crate::wire::Writer;

/// What no folder's descriptor stands at.
const NOWHERE: u64 = u64::MAX;
/// Bytes of entries that are asked of the host at a time.
const ENTRIES_MAX: usize = 128 << 10;
/// `F_UNLCK`: nobody has a lock.
const UNLOCKED: u8 = 2;

impl Share {
    /// Opens what a number stands for.
    pub(super) fn lopen(&self, fid: FidNumber, flags: u32, to: &mut Writer) -> Done {
        let flags = Open::from_bits_truncate(flags);
        if flags.writes() {
            self.may_change()?;
        }
        let old = self.fids.unopened(fid)?;
        if flags.contains(Open::DIRECTORY) && !old.node.is_folder() {
            return Err(Errno::NOTDIR);
        }
        let fd = old.node.open(&self.descriptors, flags.host())?;
        let stat = fs::fstat(&fd)?;
        let opened = match old.node.is_folder() {
            true => Opened::Folder(fd, Mutex::new(0)),
            false => Opened::File(fd),
        };
        let new = Fid {
            opened: Some(Arc::new(opened)),
            ..old.clone()
        };
        self.opened(fid, (&old, new), &stat, to)
    }

    /// Makes a file in a folder and opens it; the folder's number stands for it then.
    pub(super) fn lcreate(
        &self,
        fid: FidNumber,
        name: &[u8],
        flags: u32,
        (mode, gid): (u32, u32),
        to: &mut Writer,
    ) -> Done {
        self.may_change()?;
        let (name, flags) = (Name::new(name)?, Open::from_bits_truncate(flags));
        let old = self.fids.unopened(fid)?;
        let (node, fd) = match old.node.create(name, flags.host(), mode) {
            Ok(fd) => {
                let (node, stat) = Node::of(&self.descriptors, &fd)?;
                self.settle(&node, &stat, (old.user(), gid), mode);
                (node, fd)
            }
            // It must not be opened by its name: nobody knows what it is.
            Err(Errno::EXIST) if !flags.contains(Open::EXCL) => {
                let (node, _) = old.node.child(name)?;
                let fd = node.open(&self.descriptors, flags.host())?;
                (node, fd)
            }
            Err(e) => return Err(e),
        };
        if node.is_folder() {
            return Err(Errno::ISDIR);
        }
        let stat = fs::fstat(&fd)?;
        let new = Fid {
            node: Arc::new(node),
            trail: old.trail.down(name),
            uid: old.uid,
            opened: Some(Arc::new(Opened::File(fd))),
        };
        self.opened(fid, (&old, new), &stat, to)
    }

    /// Lets a number stand for what was opened, and says what that is.
    fn opened(
        &self,
        fid: FidNumber,
        (old, new): (&Fid, Fid),
        stat: &fs::Stat,
        to: &mut Writer,
    ) -> Done {
        self.fids.replace(fid, old, new)?;
        self.qid(stat).write(to);
        // The size of reads and writes is left to the client.
        to.u32(0);
        Ok(())
    }

    pub(super) fn read(
        &self,
        fid: FidNumber,
        offset: u64,
        count: u32,
        room: usize,
        to: &mut Writer,
    ) -> Done {
        let fid = self.fids.get(fid)?;
        let file = fid.file()?;
        let count = (count as usize).min(room.saturating_sub(DATA_HEADER));
        to.data(count, |to| {
            let bytes = to.buffer();
            bytes.reserve_exact(count);
            // An empty buffer would be an error of ours.
            if count > 0 {
                io::pread(file, spare_capacity(bytes), offset)?;
            }
            Ok(())
        })
    }

    /// Writes; where the file was opened to be appended to, at its end.
    pub(super) fn write(&self, fid: FidNumber, offset: u64, data: &[u8], to: &mut Writer) -> Done {
        self.may_change()?;
        let fid = self.fids.get(fid)?;
        let written = io::pwrite(fid.file()?, data, offset)?;
        to.u32(written as u32);
        Ok(())
    }

    /// Entries of a folder from a place on. Places are the host's: they stay what they
    /// are while entries come and go.
    pub(super) fn readdir(
        &self,
        fid: FidNumber,
        offset: u64,
        count: u32,
        room: usize,
        to: &mut Writer,
    ) -> Done {
        let fid = self.fids.get(fid)?;
        let Some(Opened::Folder(folder, at)) = fid.opened.as_deref() else {
            return Err(Errno::BADF);
        };
        let count = (count as usize).min(room.saturating_sub(DATA_HEADER));
        let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
        if *at != offset {
            *at = NOWHERE;
            fs::seek(folder, SeekFrom::Start(offset))?;
        }
        let next = self.entries(&fid, folder, count, offset, to);
        // After a failure the host's descriptor may stand anywhere.
        *at = *next.as_ref().unwrap_or(&NOWHERE);
        next.map(drop)
    }

    /// Writes what the host gives at once, and returns where that ends.
    fn entries(
        &self,
        fid: &Fid,
        folder: &OwnedFd,
        count: usize,
        mut next: u64,
        to: &mut Writer,
    ) -> Result<u64, Errno> {
        let (dev, root) = (fid.node.dev(), self.root.dev());
        // An entry with a name of n bytes takes 24 + n here, and 20 + n or more on the
        // host: so much of the host's fits for certain.
        let mut buffer = Vec::<u8>::with_capacity((count / 7 * 6).min(ENTRIES_MAX));
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        to.data(count, |to| {
            while let Some(entry) = entries.next() {
                let entry = entry?;
                let (kind, name) = (entry.file_type(), entry.file_name().to_bytes());
                // Outside of the share is nothing that the guest should know.
                let outside = name == b".." && fid.trail.is_root();
                let qid = match outside {
                    true => self.qid(&fid.node.stat()?),
                    false => Qid::of_entry(kind, entry.ino(), dev, root),
                };
                next = entry.next_entry_cookie();
                qid.write(to);
                to.u64(next).u8(entry_kind(kind)).string(name)?;
                if entries.is_buffer_empty() {
                    break;
                }
            }
            Ok(next)
        })
    }

    pub(super) fn fsync(&self, fid: FidNumber, datasync: bool) -> Done {
        let fid = self.fids.get(fid)?;
        let fd = match fid.opened.as_deref() {
            Some(Opened::File(fd) | Opened::Folder(fd, _)) => fd,
            None => return Err(Errno::BADF),
        };
        match datasync {
            true => fs::fdatasync(fd),
            false => fs::fsync(fd),
        }
    }

    /// Grants a lock: the guest's kernel has looked after its own processes before it
    /// asks, and there is no other client.
    pub(super) fn lock(&self, fid: FidNumber, to: &mut Writer) -> Done {
        self.fids.get(fid)?;
        // `P9_LOCK_SUCCESS`.
        to.u8(0);
        Ok(())
    }

    /// Nobody else has a lock.
    pub(super) fn getlock(
        &self,
        fid: FidNumber,
        (start, length): (u64, u64),
        proc_id: u32,
        client_id: &[u8],
        to: &mut Writer,
    ) -> Done {
        self.fids.get(fid)?;
        to.u8(UNLOCKED).u64(start).u64(length).u32(proc_id);
        to.string(client_id).map(drop)
    }

    pub(super) fn readlink(&self, fid: FidNumber, to: &mut Writer) -> Done {
        let target = self.fids.get(fid)?.node.readlink()?;
        to.string(&target).map(drop)
    }

    /// Gives something new the owner and the permissions that the guest wants. The host's
    /// umask was for the host's programs; the guest's kernel has one of its own.
    ///
    /// What cannot be done is left: the file is there, and works.
    pub(super) fn settle(
        &self,
        node: &Node,
        stat: &fs::Stat,
        (user, group): (Option<u32>, u32),
        mode: u32,
    ) {
        const PERMISSIONS: u32 = 0o777;
        if self.gives {
            let _ = node.chown(user, Some(group).filter(|g| *g != crate::spec::NONUNAME));
        }
        let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if !link && (stat.st_mode ^ mode) & PERMISSIONS != 0 {
            let mode = stat.st_mode & !PERMISSIONS | mode & PERMISSIONS;
            let _ = node.chmod(&self.descriptors, mode);
        }
    }
}
