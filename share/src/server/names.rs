//! Making, moving and removing.

use rustix::io::Errno;

use super::{Done, Share};
use crate::message::{FidNumber, Request};
use crate::node::Name;
use crate::spec::AT_REMOVEDIR;
use crate::wire::Writer;

/// Something to be made in a folder.
enum New<'a> {
    Folder { mode: u32 },
    Special { mode: u32 },
    Link { target: &'a [u8] },
}

impl Share {
    pub(super) fn change_names(&self, request: Request<'_>, to: &mut Writer) -> Done {
        if let Request::Remove { fid } = request {
            return self.remove(fid);
        }
        self.may_change()?;
        match request {
            Request::Mkdir {
                dfid,
                name,
                mode,
                gid,
            } => self.make(dfid, name, New::Folder { mode }, gid, to),
            Request::Mknod {
                dfid,
                name,
                mode,
                gid,
            } => self.make(dfid, name, New::Special { mode }, gid, to),
            Request::Symlink {
                dfid,
                name,
                target,
                gid,
            } => self.make(dfid, name, New::Link { target }, gid, to),
            Request::Link { dfid, fid, name } => {
                let (folder, file) = (self.fids.get(dfid)?.node, self.fids.get(fid)?.node);
                folder.link(&self.descriptors, &file, Name::new(name)?)
            }
            Request::Rename { fid, dfid, name } => {
                let (from, to) = (self.fids.get(fid)?, self.fids.get(dfid)?.node);
                let (folder, _) = self.parent(&from)?;
                let (_, old) = from.trail.split()?;
                folder.rename(old, &to, Name::new(name)?)
            }
            Request::Renameat {
                olddirfid,
                oldname,
                newdirfid,
                newname,
            } => {
                let (from, to) = (self.fids.get(olddirfid)?, self.fids.get(newdirfid)?);
                let (old, new) = (Name::new(oldname)?, Name::new(newname)?);
                from.node.rename(old, &to.node, new)
            }
            Request::Unlinkat { dfid, name, flags } if flags & !AT_REMOVEDIR == 0 => {
                let folder = self.fids.get(dfid)?.node;
                folder.unlink(Name::new(name)?, flags & AT_REMOVEDIR != 0)
            }
            Request::Unlinkat { .. } => Err(Errno::INVAL),
            // All others are done elsewhere.
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// Makes something that is not opened at once.
    fn make(&self, dfid: FidNumber, name: &[u8], new: New<'_>, gid: u32, to: &mut Writer) -> Done {
        let (folder, name) = (self.fids.get(dfid)?, Name::new(name)?);
        let mode = match new {
            New::Folder { mode } => folder.node.mkdir(name, mode).map(|()| mode),
            New::Special { mode } => folder.node.mknod(name, mode).map(|()| mode),
            New::Link { target } => folder.node.symlink(target, name).map(|()| 0o777),
        }?;
        let (node, stat) = folder.node.child(name)?;
        self.settle(&node, &stat, (folder.user(), gid), mode);
        self.qid(&stat).write(to);
        Ok(())
    }

    /// Removes a file by its number, which stands for nothing afterwards in any case.
    fn remove(&self, fid: FidNumber) -> Done {
        let fid = self.fids.remove(fid)?;
        self.may_change()?;
        let (folder, _) = self.parent(&fid)?;
        let (_, name) = fid.trail.split()?;
        folder.unlink(name, fid.node.is_folder())
    }
}
