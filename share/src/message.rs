//! Requests, taken apart.

use rustix::io::Errno;

use crate::spec::{MAXWELEM, kind};
use crate::wire::Reader;

/// Names a file between client and server.
pub(crate) type FidNumber = u32;

/// What to set of a file's attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) valid: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) atime: (u64, u64),
    /// Seconds and nanoseconds.
    pub(crate) mtime: (u64, u64),
}

/// A request, under the protocol's own names; all that is not used is left out.
#[derive(Clone, Debug)]
pub(crate) enum Request<'a> {
    Version {
        msize: u32,
        version: &'a [u8],
    },
    Attach {
        fid: FidNumber,
        aname: &'a [u8],
        n_uname: u32,
    },
    Flush,
    Walk {
        fid: FidNumber,
        newfid: FidNumber,
        names: Vec<&'a [u8]>,
    },
    Read {
        fid: FidNumber,
        offset: u64,
        count: u32,
    },
    Write {
        fid: FidNumber,
        offset: u64,
        data: &'a [u8],
    },
    Clunk {
        fid: FidNumber,
    },
    Remove {
        fid: FidNumber,
    },
    Statfs {
        fid: FidNumber,
    },
    Lopen {
        fid: FidNumber,
        flags: u32,
    },
    Lcreate {
        fid: FidNumber,
        name: &'a [u8],
        flags: u32,
        mode: u32,
        gid: u32,
    },
    Symlink {
        dfid: FidNumber,
        name: &'a [u8],
        target: &'a [u8],
        gid: u32,
    },
    Mknod {
        dfid: FidNumber,
        name: &'a [u8],
        mode: u32,
        gid: u32,
    },
    Rename {
        fid: FidNumber,
        dfid: FidNumber,
        name: &'a [u8],
    },
    Readlink {
        fid: FidNumber,
    },
    Getattr {
        fid: FidNumber,
        mask: u64,
    },
    Setattr {
        fid: FidNumber,
        attributes: Attributes,
    },
    Readdir {
        fid: FidNumber,
        offset: u64,
        count: u32,
    },
    Fsync {
        fid: FidNumber,
        datasync: bool,
    },
    Lock {
        fid: FidNumber,
    },
    Getlock {
        fid: FidNumber,
        start: u64,
        length: u64,
        proc_id: u32,
        client_id: &'a [u8],
    },
    Link {
        dfid: FidNumber,
        fid: FidNumber,
        name: &'a [u8],
    },
    Mkdir {
        dfid: FidNumber,
        name: &'a [u8],
        mode: u32,
        gid: u32,
    },
    Renameat {
        olddirfid: FidNumber,
        oldname: &'a [u8],
        newdirfid: FidNumber,
        newname: &'a [u8],
    },
    Unlinkat {
        dfid: FidNumber,
        name: &'a [u8],
        flags: u32,
    },
    /// Known, and not done here: authentication, extended attributes.
    Unsupported,
}

impl<'a> Request<'a> {
    /// Takes a request's body apart. Fields are in the order in which they stand in the
    /// message; what stands behind them is not looked at.
    pub(crate) fn parse(kind: u8, body: &'a [u8]) -> Result<Self, Errno> {
        let mut r = Reader::new(body);
        let r = &mut r;
        Ok(match kind {
            kind::TVERSION => Self::Version {
                msize: r.u32()?,
                version: r.string()?,
            },
            kind::TATTACH => attach(r)?,
            kind::TFLUSH => Self::Flush,
            kind::TWALK => walk(r)?,
            kind::TREAD => Self::Read {
                fid: r.u32()?,
                offset: r.u64()?,
                count: r.u32()?,
            },
            kind::TWRITE => Self::Write {
                fid: r.u32()?,
                offset: r.u64()?,
                data: r.data()?,
            },
            kind::TCLUNK => Self::Clunk { fid: r.u32()? },
            kind::TREMOVE => Self::Remove { fid: r.u32()? },
            kind::TSTATFS => Self::Statfs { fid: r.u32()? },
            kind::TLOPEN => Self::Lopen {
                fid: r.u32()?,
                flags: r.u32()?,
            },
            kind::TREADLINK => Self::Readlink { fid: r.u32()? },
            kind::TGETATTR => Self::Getattr {
                fid: r.u32()?,
                mask: r.u64()?,
            },
            kind::TSETATTR => Self::Setattr {
                fid: r.u32()?,
                attributes: attributes(r)?,
            },
            kind::TREADDIR => Self::Readdir {
                fid: r.u32()?,
                offset: r.u64()?,
                count: r.u32()?,
            },
            kind::TFSYNC => Self::Fsync {
                fid: r.u32()?,
                datasync: r.u32()? != 0,
            },
            kind::TLOCK => Self::Lock { fid: r.u32()? },
            kind::TGETLOCK => getlock(r)?,
            kind::TAUTH | kind::TXATTRWALK | kind::TXATTRCREATE => Self::Unsupported,
            _ => return Self::parse_names(kind, r),
        })
    }

    /// The requests that make, move and remove names.
    fn parse_names(kind: u8, r: &mut Reader<'a>) -> Result<Self, Errno> {
        Ok(match kind {
            kind::TLCREATE => Self::Lcreate {
                fid: r.u32()?,
                name: r.string()?,
                flags: r.u32()?,
                mode: r.u32()?,
                gid: r.u32()?,
            },
            kind::TSYMLINK => Self::Symlink {
                dfid: r.u32()?,
                name: r.string()?,
                target: r.string()?,
                gid: r.u32()?,
            },
            kind::TMKNOD => mknod(r)?,
            kind::TRENAME => Self::Rename {
                fid: r.u32()?,
                dfid: r.u32()?,
                name: r.string()?,
            },
            kind::TLINK => Self::Link {
                dfid: r.u32()?,
                fid: r.u32()?,
                name: r.string()?,
            },
            kind::TMKDIR => Self::Mkdir {
                dfid: r.u32()?,
                name: r.string()?,
                mode: r.u32()?,
                gid: r.u32()?,
            },
            kind::TRENAMEAT => Self::Renameat {
                olddirfid: r.u32()?,
                oldname: r.string()?,
                newdirfid: r.u32()?,
                newname: r.string()?,
            },
            kind::TUNLINKAT => Self::Unlinkat {
                dfid: r.u32()?,
                name: r.string()?,
                flags: r.u32()?,
            },
            _ => return Err(Errno::OPNOTSUPP),
        })
    }
}

fn attach<'a>(r: &mut Reader<'a>) -> Result<Request<'a>, Errno> {
    let (fid, _afid, _uname) = (r.u32()?, r.u32()?, r.string()?);
    Ok(Request::Attach {
        fid,
        aname: r.string()?,
        n_uname: r.u32()?,
    })
}

fn walk<'a>(r: &mut Reader<'a>) -> Result<Request<'a>, Errno> {
    let (fid, newfid, count) = (r.u32()?, r.u32()?, usize::from(r.u16()?));
    if count > MAXWELEM {
        return Err(Errno::INVAL);
    }
    let names = (0..count).map(|_| r.string());
    Ok(Request::Walk {
        fid,
        newfid,
        names: names.collect::<Result<_, _>>()?,
    })
}

fn mknod<'a>(r: &mut Reader<'a>) -> Result<Request<'a>, Errno> {
    let (dfid, name, mode) = (r.u32()?, r.string()?, r.u32()?);
    let (_major, _minor) = (r.u32()?, r.u32()?);
    Ok(Request::Mknod {
        dfid,
        name,
        mode,
        gid: r.u32()?,
    })
}

fn attributes(r: &mut Reader<'_>) -> Result<Attributes, Errno> {
    Ok(Attributes {
        valid: r.u32()?,
        mode: r.u32()?,
        uid: r.u32()?,
        gid: r.u32()?,
        size: r.u64()?,
        atime: (r.u64()?, r.u64()?),
        mtime: (r.u64()?, r.u64()?),
    })
}

fn getlock<'a>(r: &mut Reader<'a>) -> Result<Request<'a>, Errno> {
    let (fid, _kind) = (r.u32()?, r.u8()?);
    Ok(Request::Getlock {
        fid,
        start: r.u64()?,
        length: r.u64()?,
        proc_id: r.u32()?,
        client_id: r.string()?,
    })
}
