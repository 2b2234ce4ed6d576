//! What a client's numbers stand for.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::message::FidNumber;
use crate::node::{Name, Node};
use crate::spec::NONUNAME;

/// Bytes of a path at most (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// By which names a file was come to, from the shared folder on. It is *not* how the
/// file is found, except for the way back up: others may have renamed it since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    /// With `/` before each; `None`: too long to be said.
    names: Option<Arc<[u8]>>,
}

impl Trail {
    /// The shared folder's own.
    pub(crate) fn root() -> Self {
        Self {
            names: Some(Arc::default()),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.names.as_ref().is_some_and(|names| names.is_empty())
    }

    /// One name further.
    pub(crate) fn down(&self, name: Name<'_>) -> Self {
        let names = self.names.as_ref().map(|names| {
            let parts: [&[u8]; 3] = [names, b"/", name.bytes()];
            parts.concat()
        });
        let names = names.filter(|names| names.len() <= PATH_MAX);
        Self {
            names: names.map(Arc::from),
        }
    }

    /// The folder's names in order, and the last one apart. The root has none.
    pub(crate) fn split(&self) -> Result<(Vec<Name<'_>>, Name<'_>), Errno> {
        let names = self.names.as_ref().ok_or(Errno::NAMETOOLONG)?;
        let mut parts = names
            .split(|b| *b == b'/')
            .skip(1)
            .map(Name::new)
            .collect::<Result<Vec<_>, _>>()?;
        let last = parts.pop().ok_or(Errno::BUSY)?;
        Ok((parts, last))
    }
}

/// What is read and written.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A file.
    File(OwnedFd),
    /// A folder, and where its descriptor stands.
    Folder(OwnedFd, Mutex<u64>),
}

/// What one number stands for.
#[derive(Clone, Debug)]
pub(crate) struct Fid {
    pub(crate) node: Arc<Node>,
    pub(crate) trail: Trail,
    /// The user of the guest that it was made for, or [`NONUNAME`].
    pub(crate) uid: u32,
    pub(crate) opened: Option<Arc<Opened>>,
}

impl Fid {
    /// What is open as a file, to be read or written.
    pub(crate) fn file(&self) -> Result<&OwnedFd, Errno> {
        match self.opened.as_deref() {
            Some(Opened::File(fd)) => Ok(fd),
            Some(Opened::Folder(..)) => Err(Errno::ISDIR),
            None => Err(Errno::BADF),
        }
    }

    /// The guest's user, if one is known.
    pub(crate) fn user(&self) -> Option<u32> {
        Some(self.uid).filter(|uid| *uid != NONUNAME)
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Fids {
    /// How many there may be: each holds up to two of the host's descriptors.
    max: usize,
    table: Mutex<HashMap<FidNumber, Fid>>,
}

impl Fids {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<FidNumber, Fid>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a number stands for now; it stays open while somebody works with it.
    pub(crate) fn get(&self, number: FidNumber) -> Result<Fid, Errno> {
        self.table().get(&number).cloned().ok_or(Errno::BADF)
    }

    /// Gives a new number its meaning.
    pub(crate) fn insert(&self, number: FidNumber, fid: Fid) -> Result<(), Errno> {
        let mut table = self.table();
        if table.contains_key(&number) {
            return Err(Errno::BADF);
        }
        if table.len() >= self.max {
            return Err(Errno::MFILE);
        }
        table.insert(number, fid);
        Ok(())
    }

    /// What a number stands for that is about to be opened: it must not be open yet.
    pub(crate) fn unopened(&self, number: FidNumber) -> Result<Fid, Errno> {
        let fid = self.get(number)?;
        match fid.opened {
            None => Ok(fid),
            Some(_) => Err(Errno::BADF),
        }
    }

    /// Gives a number another meaning, unless somebody else did meanwhile: `old` is what
    /// it stood for. What opens files goes by here; two may have tried to at once.
    pub(crate) fn replace(&self, number: FidNumber, old: &Fid, new: Fid) -> Result<(), Errno> {
        let mut table = self.table();
        let current = table.get_mut(&number).ok_or(Errno::BADF)?;
        if !Arc::ptr_eq(&current.node, &old.node) || current.opened.is_some() {
            return Err(Errno::BADF);
        }
        let before = std::mem::replace(current, new);
        drop(table);
        // Closing may take the host a while.
        drop(before);
        Ok(())
    }

    /// Takes a number's meaning away.
    pub(crate) fn remove(&self, number: FidNumber) -> Result<Fid, Errno> {
        let removed = self.table().remove(&number);
        removed.ok_or(Errno::BADF)
    }

    /// Takes every number's meaning away.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.table());
        drop(all);
    }
}
