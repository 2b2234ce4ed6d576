//! What is about files.

use rustix::fs::{self, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use super::{Done, Share};
use crate::attr::write_attributes;
use crate::fids::{Fid, Opened};
use crate::message::{Attributes, FidNumber};
use crate::node::MODE_BITS;
use crate::spec::{FS_MAGIC, Open, SetAttr};
use crate::wire::Writer;

const NANOSECONDS: u64 = 1_000_000_000;

impl Share {
    /// All that is known, whatever the client wants of it; but it is told only that it
    /// got what it wanted.
    pub(super) fn getattr(&self, fid: FidNumber, mask: u64, to: &mut Writer) -> Done {
        let stat = self.fids.get(fid)?.node.stat()?;
        write_attributes(to, &stat, mask, self.root.dev());
        Ok(())
    }

    /// Changes owner, size, permissions and times, in an order in which none undoes
    /// another: the first two take set-user-ID from the third, and all change the last.
    pub(super) fn setattr(&self, fid: FidNumber, attributes: &Attributes) -> Done {
        self.may_change()?;
        let fid = self.fids.get(fid)?;
        let valid = SetAttr::from_bits_truncate(attributes.valid);
        let times = times(valid, attributes)?;
        if valid.intersects(SetAttr::UID | SetAttr::GID | SetAttr::CTIME) {
            let uid = valid.contains(SetAttr::UID).then_some(attributes.uid);
            let gid = valid.contains(SetAttr::GID).then_some(attributes.gid);
            match fid.node.chown(uid, gid) {
                // Few processes may give files away, and archives want to.
                Ok(()) | Err(Errno::PERM) => {}
                Err(e) => return Err(e),
            }
        }
        if valid.contains(SetAttr::SIZE) {
            self.truncate(&fid, attributes.size)?;
        }
        if valid.contains(SetAttr::MODE) {
            let mode = attributes.mode & MODE_BITS;
            fid.node.chmod(&self.descriptors, mode)?;
        }
        match times {
            Some(times) => fid.node.utimens(&self.descriptors, &times),
            None => Ok(()),
        }
    }

    /// A descriptor that is open for writing may be so where the file's permissions no
    /// longer allow it.
    fn truncate(&self, fid: &Fid, size: u64) -> Done {
        if let Some(Opened::File(fd)) = fid.opened.as_deref()
            && let Ok(()) = fs::ftruncate(fd, size)
        {
            return Ok(());
        }
        let fd = fid.node.open(&self.descriptors, Open::WRONLY.host())?;
        fs::ftruncate(fd, size)
    }

    pub(super) fn statfs(&self, fid: FidNumber, to: &mut Writer) -> Done {
        let stat = self.fids.get(fid)?.node.statfs()?;
        // Not the host's kind: programs in the guest would rely on what only a local
        // file system does, such as to notify of changes.
        to.u32(FS_MAGIC).u32(stat.f_bsize as u32);
        for value in [
            stat.f_blocks,
            stat.f_bfree,
            stat.f_bavail,
            stat.f_files,
            stat.f_ffree,
            self.root.dev(),
        ] {
            to.u64(value);
        }
        to.u32(stat.f_namelen as u32);
        Ok(())
    }
}

/// What the host is told of times; `None`: nothing.
fn times(valid: SetAttr, attributes: &Attributes) -> Result<Option<Timestamps>, Errno> {
    let time = |set, given, (seconds, nanoseconds): (u64, u64)| {
        let at = |tv_sec: u64, tv_nsec| Timespec {
            tv_sec: tv_sec as i64,
            tv_nsec,
        };
        match (valid.contains(set), valid.contains(given)) {
            (false, _) => Ok(at(0, UTIME_OMIT)),
            (true, false) => Ok(at(0, UTIME_NOW)),
            (true, true) if nanoseconds < NANOSECONDS => Ok(at(seconds, nanoseconds as _)),
            (true, true) => Err(Errno::INVAL),
        }
    };
    let times = Timestamps {
        last_access: time(SetAttr::ATIME, SetAttr::ATIME_SET, attributes.atime)?,
        last_modification: time(SetAttr::MTIME, SetAttr::MTIME_SET, attributes.mtime)?,
    };
    Ok(valid
        .intersects(SetAttr::ATIME | SetAttr::MTIME)
        .then_some(times))
}
