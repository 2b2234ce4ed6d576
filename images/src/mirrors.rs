//! Which mirrors to ask, and one after the other.

use std::path::PathBuf;

use crate::apt::{conf::Conf, proxy::Proxies, sources};
use crate::cache::{Cache, Lock};
use crate::catalogue::{MIRROR_VARIABLE, Options};
use crate::debian::archive::Archive;
use crate::debian::signature::Verifier;
use crate::error::Error;
use crate::net::client::{Client, Patience};

/// Looks up an environment variable; those set to nothing count as absent.
pub(crate) type Variables = Box<dyn Fn(&str) -> Option<String>>;

/// What of the host bears on fetching; tests have their own.
pub(crate) struct Host {
    pub(crate) etc_apt: PathBuf,
    pub(crate) variable: Variables,
    pub(crate) verifier: Verifier,
    pub(crate) patience: Patience,
}

impl Host {
    pub(crate) fn here() -> Host {
        Host {
            etc_apt: PathBuf::from("/etc/apt"),
            variable: Box::new(environment),
            verifier: Verifier::of_host(),
            patience: Patience::default(),
        }
    }
}

pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// One visit to the mirrors, under the cache's lock.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) options: &'a Options<'a>,
    pub(crate) host: &'a Host,
    pub(crate) cache: &'a Cache,
    pub(crate) lock: &'a Lock,
}

impl Visit<'_> {
    /// What `use_archive` makes of the first mirror that can serve `name`.
    pub(crate) fn first_good<T>(
        &self,
        name: &str,
        use_archive: impl Fn(&Archive<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let conf = Conf::read(&self.host.etc_apt);
        let client = Client::new(Proxies::new(conf, &self.host.variable), self.host.patience);
        let mirrors = self.mirrors()?;
        let mut attempts = Vec::new();
        for mirror in &mirrors {
            let archive = Archive {
                mirror,
                client: &client,
                verifier: &self.host.verifier,
                cache: self.cache,
                lock: self.lock,
                progress: self.options.progress,
            };
            match use_archive(&archive) {
                Ok(done) => return Ok(done),
                // The host's own trouble does not pass with another mirror.
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => attempts.push(error),
            }
            if let (Some(error), true) = (attempts.last(), attempts.len() < mirrors.len()) {
                self.options
                    .progress
                    .line(&format!("{error}\ntrying the next of apt's mirrors"));
            }
        }
        match attempts.len() {
            1 => Err(attempts.remove(0)),
            _ => Err(Error::AllMirrors {
                name: name.to_owned(),
                attempts,
            }),
        }
    }

    /// Named by the person, or else all of apt's.
    fn mirrors(&self) -> Result<Vec<String>, Error> {
        let named = self
            .options
            .mirror
            .clone()
            .or_else(|| (self.host.variable)(MIRROR_VARIABLE));
        if let Some(mirror) = named {
            if !["http://", "https://", "file:/"]
                .iter()
                .any(|scheme| mirror.starts_with(scheme))
            {
                let reason = "its scheme is missing or not known".to_owned();
                return Err(Error::BadMirror {
                    url: mirror,
                    reason,
                });
            }
            return Ok(vec![mirror.trim_end_matches('/').to_owned()]);
        }
        let mirrors = sources::mirrors(&self.host.etc_apt);
        if mirrors.is_empty() {
            return Err(Error::NoMirror {
                looked: self.host.etc_apt.clone(),
            });
        }
        Ok(mirrors)
    }
}
