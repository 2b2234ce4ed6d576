//! Downloads of known size and sum into a file that is named after the sum and
//! `.partial` until it is whole. What broke off is continued, now or next time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use super::client::{Client, describe, unreachable};
use crate::digest::{Hasher, Sha256};
use crate::error::Error;
use crate::progress::{Progress, Step};

/// Attempts in a row that bring no byte before giving up.
const FRUITLESS_ATTEMPTS: u32 = 3;

/// What to fetch and how to know it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its address.
    pub url: &'a str,
    /// What to call it on the progress bar.
    pub title: &'a str,
    /// Bytes it has.
    pub size: u64,
    /// Their sum.
    pub sha256: Sha256,
}

/// Fetches `wanted` into the file `partial`, going on with what is there. On
/// success the file is complete, verified and on disk; on interruption it stays,
/// on a wrong sum it is removed.
///
/// # Errors
/// [`Error::Interrupted`], [`Error::Mismatch`], those of [`Client::get`], and
/// host errors on `partial`.
pub fn download(
    client: &Client,
    wanted: &Wanted<'_>,
    partial: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut transfer = Transfer::open(client, wanted, partial)?;
    let step = Step::begin(progress, wanted.title, Some(wanted.size));
    step.advance(transfer.got);
    // A file continued from an earlier run may be of another time: once more,
    // from the start, before the mirror is blamed.
    let continued = transfer.got > 0;
    transfer.run(&step)?;
    if transfer.sum() != wanted.sha256 && continued {
        progress.line(&format!(
            "{}: the part from an earlier run does not fit, starting again",
            wanted.title
        ));
        transfer.restart()?;
        transfer.run(&step)?;
    }
    drop(step);
    let sum = transfer.sum();
    if sum != wanted.sha256 {
        drop(transfer);
        std::fs::remove_file(partial).map_err(|e| Error::io("remove", partial, e))?;
        let reason = format!("its SHA-256 is {sum}, the index says {}", wanted.sha256);
        return Err(Error::Mismatch {
            file: wanted.url.to_owned(),
            reason,
        });
    }
    transfer
        .file
        .sync_all()
        .map_err(|e| Error::io("write", partial, e))
}

struct Transfer<'a> {
    client: &'a Client,
    wanted: &'a Wanted<'a>,
    path: &'a Path,
    file: File,
    hasher: Hasher,
    got: u64,
}

impl<'a> Transfer<'a> {
    fn open(
        client: &'a Client,
        wanted: &'a Wanted<'a>,
        path: &'a Path,
    ) -> Result<Transfer<'a>, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = file.map_err(|e| Error::io("write", path, e))?;
        let mut transfer = Transfer {
            client,
            wanted,
            path,
            file,
            hasher: Hasher::default(),
            got: 0,
        };
        transfer.got = io::copy(&mut transfer.file, &mut transfer.hasher)
            .map_err(|e| Error::io("read", path, e))?;
        if transfer.got > wanted.size {
            transfer.restart()?;
        }
        Ok(transfer)
    }

    fn sum(&self) -> Sha256 {
        self.hasher.clone().finish()
    }

    fn restart(&mut self) -> Result<(), Error> {
        let emptied = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|e| Error::io("write", self.path, e))?;
        self.hasher = Hasher::default();
        self.got = 0;
        Ok(())
    }

    /// Attempts until everything is there or nothing comes any more.
    fn run(&mut self, step: &Step<'_>) -> Result<(), Error> {
        let mut fruitless = 0;
        let mut furthest = self.got;
        while self.got < self.wanted.size {
            let Err(error) = self.attempt(step) else {
                continue;
            };
            let may_pass = matches!(error, Error::Unreachable { .. })
                || matches!(
                    error,
                    Error::Status {
                        status: 416 | 500..=599,
                        ..
                    }
                );
            // Measured by the furthest point ever reached: attempts that start over
            // and break at the same place would otherwise go on for ever.
            fruitless = if self.got > furthest {
                0
            } else {
                fruitless + 1
            };
            furthest = furthest.max(self.got);
            if !may_pass || fruitless >= FRUITLESS_ATTEMPTS {
                return Err(self.give_up(error));
            }
            log::info!("{error}; trying again from byte {}", self.got);
        }
        Ok(())
    }

    fn give_up(&self, error: Error) -> Error {
        match error {
            Error::Unreachable { url, reason } if self.got > 0 => Error::Interrupted {
                url,
                got: self.got,
                size: self.wanted.size,
                reason,
            },
            // Started over, and again the file ended before the place to go on from.
            Error::Status { status: 416, .. } => self.wrong_size("shorter"),
            other => other,
        }
    }

    fn attempt(&mut self, step: &Step<'_>) -> Result<(), Error> {
        let body = match self.client.get(self.wanted.url, self.got) {
            Err(error @ Error::Status { status: 416, .. }) => {
                self.restart()?;
                return Err(error);
            }
            other => other?,
        };
        if body.start != self.got {
            self.restart()?;
        }
        // One byte more than announced shows a file that is too long.
        let mut reader = body.reader.take(self.wanted.size - self.got + 1);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = match reader.read(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(|e| unreachable(self.wanted.url, &describe(&e)))?,
            };
            if n == 0 {
                break;
            }
            if self.got + n as u64 > self.wanted.size {
                return Err(self.wrong_size("longer"));
            }
            self.keep(&buffer[..n])?;
            step.advance(n as u64);
        }
        if self.got < self.wanted.size {
            return Err(unreachable(
                self.wanted.url,
                "the connection ended too early",
            ));
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(bytes)
            .map_err(|e| Error::io("write", self.path, e))?;
        // Cannot fail: the hasher takes everything.
        let _ = self.hasher.write(bytes);
        self.got += bytes.len() as u64;
        Ok(())
    }

    fn wrong_size(&self, how: &str) -> Error {
        let reason = format!(
            "it is {how} than the {} bytes of the index",
            self.wanted.size
        );
        Error::Mismatch {
            file: self.wanted.url.to_owned(),
            reason,
        }
    }
}
