//! The server: what each request does to the folder.
//!
//! * here: sessions, and how numbers come to stand for files;
//! * [`data`]: what is in files and folders;
//! * [`attributes`]: what is about them;
//! * [`names`]: making, moving and removing.

mod attributes;
mod data;
mod names;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::attr::Qid;
use crate::fids::{Fid, Fids, Trail};
use crate::limit;
use crate::message::{FidNumber, Request};
use crate::node::{Descriptors, Name, Node};
use crate::spec::{ERROR_BYTES, MSIZE, MSIZE_MIN, UNKNOWN_VERSION, VERSION, kind};
use crate::wire::{HEADER_BYTES, Reader, Writer};

/// Stands for no request (`P9_NOTAG`).
const NOTAG: u16 = !0;

/// What a guest may do to a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whatever the serving process may.
    Full,
    /// Read; all else fails with EROFS.
    ReadOnly,
}

/// Why a folder cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The folder is not there, or is none.
    #[error("the folder {} cannot be shared: {source}", folder.display())]
    Folder {
        /// As it was named.
        folder: PathBuf,
        /// What the host says.
        source: std::io::Error,
    },
    /// Files cannot be opened.
    #[error("folders can be shared only where /proc is mounted: {0}")]
    Proc(std::io::Error),
}

/// A folder, served to one client at a time.
#[derive(Debug)]
pub struct Share {
    // --- fixed configuration
    root: Arc<Node>,
    access: Access,
    /// The process may give files away.
    gives: bool,
    descriptors: Descriptors,

    // --- the session
    /// Bytes of a message at most.
    msize: AtomicU32,
    fids: Fids,
}

/// What a request comes to: its answer's body is written, or it has failed.
type Done = Result<(), Errno>;

impl Share {
    /// Serves `folder`, one of `shares` in this process.
    ///
    /// # Errors
    /// The folder is not there, or no folder; there is no `/proc`.
    pub fn open(folder: &Path, access: Access, shares: usize) -> Result<Self, ShareError> {
        let root = Node::root(folder).map_err(|e| ShareError::Folder {
            folder: folder.to_owned(),
            source: e.into(),
        })?;
        Ok(Self {
            root: Arc::new(root),
            access,
            gives: rustix::process::geteuid().is_root(),
            descriptors: Descriptors::open().map_err(|e| ShareError::Proc(e.into()))?,
            msize: AtomicU32::new(MSIZE),
            fids: Fids::new(limit::fids(shares)),
        })
    }

    /// Answers one request. The answer has at most `room` bytes, of which there must be
    /// [`ERROR_BYTES`]; it is an error where what was asked for needs more.
    ///
    /// The message's own length must not be more than there are bytes. Where it is less,
    /// the bytes count: Linux before 5.20 left data out of it.
    pub fn answer(&self, request: &[u8], room: usize) -> Vec<u8> {
        let room = room.min(self.msize.load(Ordering::Relaxed) as usize);
        let mut reader = Reader::new(request);
        let mut header = || Ok::<_, Errno>((reader.u32()?, reader.u8()?, reader.u16()?));
        let Ok((size, number, tag)) = header() else {
            return error(NOTAG, Errno::PROTO);
        };
        if size as usize > request.len() || (size as usize) < HEADER_BYTES {
            return error(tag, Errno::PROTO);
        }
        let body = request.get(HEADER_BYTES..).unwrap_or_default();
        let mut answer = Writer::new(number.wrapping_add(1), tag, 160);
        let done = Request::parse(number, body).and_then(|r| self.perform(r, room, &mut answer));
        let answer = answer.finish();
        match done {
            Ok(()) if answer.len() <= room => answer,
            Ok(()) => error(tag, Errno::MSGSIZE),
            Err(e) => error(tag, e),
        }
    }

    fn perform(&self, request: Request<'_>, room: usize, to: &mut Writer) -> Done {
        match request {
            Request::Version { msize, version } => self.version(msize, version, to),
            Request::Attach {
                fid,
                aname,
                n_uname,
            } => self.attach(fid, aname, n_uname, to),
            // Whoever runs requests side by side sees to the order (`pool`).
            Request::Flush => Ok(()),
            Request::Walk { fid, newfid, names } => self.walk(fid, newfid, &names, to),
            Request::Clunk { fid } => self.fids.remove(fid).map(drop),
            Request::Read { fid, offset, count } => self.read(fid, offset, count, room, to),
            Request::Write { fid, offset, data } => self.write(fid, offset, data, to),
            Request::Lopen { fid, flags } => self.lopen(fid, flags, to),
            Request::Lcreate {
                fid,
                name,
                flags,
                mode,
                gid,
            } => self.lcreate(fid, name, flags, (mode, gid), to),
            Request::Readdir { fid, offset, count } => self.readdir(fid, offset, count, room, to),
            Request::Fsync { fid, datasync } => self.fsync(fid, datasync),
            Request::Lock { fid } => self.lock(fid, to),
            Request::Getlock {
                fid,
                start,
                length,
                proc_id,
                client_id,
            } => self.getlock(fid, (start, length), proc_id, client_id, to),
            Request::Statfs { fid } => self.statfs(fid, to),
            Request::Getattr { fid, mask } => self.getattr(fid, mask, to),
            Request::Setattr { fid, attributes } => self.setattr(fid, &attributes),
            Request::Readlink { fid } => self.readlink(fid, to),
            Request::Unsupported => Err(Errno::OPNOTSUPP),
            request => self.change_names(request, to),
        }
    }

    /// What every change must pass.
    fn may_change(&self) -> Done {
        match self.access {
            Access::Full => Ok(()),
            Access::ReadOnly => Err(Errno::ROFS),
        }
    }

    fn qid(&self, stat: &Stat) -> Qid {
        Qid::of(stat, self.root.dev())
    }

    /// A new session: whatever there was is forgotten.
    fn version(&self, msize: u32, version: &[u8], to: &mut Writer) -> Done {
        if msize < MSIZE_MIN {
            return Err(Errno::MSGSIZE);
        }
        let msize = msize.min(MSIZE);
        let known = match version {
            VERSION => VERSION,
            _ => UNKNOWN_VERSION,
        };
        self.fids.clear();
        self.msize.store(msize, Ordering::Relaxed);
        to.u32(msize).string(known).map(drop)
    }

    /// Has a number stand for the folder, or for one below it, named by a path.
    fn attach(&self, fid: FidNumber, aname: &[u8], n_uname: u32, to: &mut Writer) -> Done {
        let mut at = Fid {
            node: self.root.clone(),
            trail: Trail::root(),
            uid: n_uname,
            opened: None,
        };
        for name in aname.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            at = self.step(&at, name)?.0;
        }
        if !at.node.is_folder() {
            return Err(Errno::NOTDIR);
        }
        let stat = at.node.stat()?;
        self.fids.insert(fid, at)?;
        self.qid(&stat).write(to);
        Ok(())
    }

    /// Goes from a file down by names. Where not all of them exist the answer tells of
    /// those that do, and the new number stands for nothing.
    fn walk(&self, fid: FidNumber, newfid: FidNumber, names: &[&[u8]], to: &mut Writer) -> Done {
        let from = self.fids.get(fid)?;
        let mut at = Fid {
            opened: None,
            ..from.clone()
        };
        let mut qids = Vec::with_capacity(names.len());
        for name in names {
            match self.step(&at, name) {
                Ok((next, stat)) => {
                    at = next;
                    qids.push(self.qid(&stat));
                }
                Err(e) if qids.is_empty() => return Err(e),
                Err(_) => break,
            }
        }
        if qids.len() == names.len() {
            match fid == newfid {
                true => self.fids.replace(fid, &from, at)?,
                false => self.fids.insert(newfid, at)?,
            }
        }
        to.u16(qids.len() as u16);
        qids.into_iter().for_each(|qid| qid.write(to));
        Ok(())
    }

    /// One step of a walk.
    fn step(&self, from: &Fid, name: &[u8]) -> Result<(Fid, Stat), Errno> {
        let (node, trail, stat) = match name {
            b"." => (from.node.clone(), from.trail.clone(), from.node.stat()?),
            // The shared folder is its own parent, as `/` is.
            b".." if from.trail.is_root() => {
                (from.node.clone(), from.trail.clone(), from.node.stat()?)
            }
            b".." => {
                let (node, trail) = self.parent(from)?;
                let stat = node.stat()?;
                (node, trail, stat)
            }
            name => {
                let name = Name::new(name)?;
                let (node, stat) = from.node.child(name)?;
                (Arc::new(node), from.trail.down(name), stat)
            }
        };
        let fid = Fid {
            node,
            trail,
            uid: from.uid,
            opened: None,
        };
        Ok((fid, stat))
    }

    /// The folder that a file was found in, come to anew from the shared folder, if the
    /// file still is there.
    ///
    /// # Errors
    /// ESTALE: it was renamed since, by whomever.
    fn parent(&self, of: &Fid) -> Result<(Arc<Node>, Trail), Errno> {
        let (folders, last) = of.trail.split()?;
        let (mut node, mut trail) = (self.root.clone(), Trail::root());
        let stale = |e| match e {
            Errno::NOENT | Errno::NOTDIR => Errno::STALE,
            e => e,
        };
        for name in folders {
            node = Arc::new(node.child(name).map_err(stale)?.0);
            trail = trail.down(name);
        }
        match node.child(last).map_err(stale)?.0.is(&of.node) {
            true => Ok((node, trail)),
            false => Err(Errno::STALE),
        }
    }
}

/// The answer to what has failed.
fn error(tag: u16, errno: Errno) -> Vec<u8> {
    let mut answer = Writer::new(kind::RLERROR, tag, ERROR_BYTES - HEADER_BYTES);
    answer.u32(errno.raw_os_error() as u32);
    answer.finish()
}

/// The answer to a request that was given up before it was begun.
pub(crate) fn interrupted(tag: u16) -> Vec<u8> {
    error(tag, Errno::INTR)
}
